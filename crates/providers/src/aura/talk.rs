//! One connection to Deepgram's voices: one sentence after the other, and its errors put into ours.

use super::NAME;
use crate::live::{Frame, Vendor};
use crate::speaker::SpeakRequest;
use crate::speech_socket::{Cancelled, Event, Talk};
use crate::{Error, ErrorKind};
use tokio_tungstenite::tungstenite::Message;
use wire::aura::{CLEAR, CLOSE, FLUSH, ServerMessage, speak};
use wire::deepgram::{ServerError, close_is_transient};

pub(super) static VENDOR: Vendor = Vendor { name: NAME, refusal, closed };

fn refusal(body: &[u8]) -> String {
    let said = ServerError::parse(body);
    format!("{} {}", said.code, said.text)
}

const fn closed(code: u16, _reason: &str) -> ErrorKind {
    if close_is_transient(code) { ErrorKind::Unavailable } else { ErrorKind::Rejected }
}

#[derive(Default)]
pub(super) struct OneByOne {
    current: Option<u64>,
    /// `Clear` is on its way; what comes before `Cleared` is of no interest.
    clearing: bool,
}

impl Talk for OneByOne {
    fn begin(&mut self, id: u64, request: &SpeakRequest, out: &mut Vec<Message>) {
        self.current = Some(id);
        out.push(Message::text(speak(&request.text)));
        out.push(Message::text(FLUSH));
    }

    fn cancel(&mut self, _id: u64, out: &mut Vec<Message>) -> Cancelled {
        self.clearing = true;
        out.push(Message::text(CLEAR));
        Cancelled::Ending
    }

    fn heard(&mut self, frame: Frame, events: &mut Vec<(u64, Event)>) -> Result<(), Error> {
        let text = match frame {
            Frame::Binary(sound) => {
                if let Some(id) = self.current
                    && !self.clearing
                {
                    events.push((id, Event::Sound(sound.into())));
                }
                return Ok(());
            }
            Frame::Text(text) => text,
            Frame::SignOfLife => return Ok(()),
        };
        let message = ServerMessage::parse(&text)
            .map_err(|error| VENDOR.error(ErrorKind::Protocol, "sent what is no message").caused_by(error))?;
        match message {
            // `Flushed` while clearing crossed our message on its way: `Cleared` still comes.
            ServerMessage::Flushed if self.clearing => {}
            ServerMessage::Cleared if !self.clearing => {}
            ServerMessage::Flushed | ServerMessage::Cleared => {
                self.clearing = false;
                events.extend(self.current.take().map(|id| (id, Event::End)));
            }
            // A flush was not obeyed: the sentence would never come.
            ServerMessage::Warning(said)
                if said.code.to_ascii_lowercase().contains("flush")
                    || said.text.to_ascii_lowercase().contains("flush") =>
            {
                return Err(VENDOR.error(ErrorKind::Overloaded, format!("warning {}", said.code).trim_end()));
            }
            ServerMessage::Warning(said) => tracing::debug!(provider = NAME, code = said.code, "warning"),
            ServerMessage::Error(said) => {
                return Err(VENDOR.error(ErrorKind::Unavailable, format!("error {}", said.code).trim_end()));
            }
            ServerMessage::Metadata | ServerMessage::Unknown => {}
        }
        Ok(())
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::text(CLOSE))
    }
}
