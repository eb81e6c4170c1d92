//! One connection to Cartesia: its contexts, their words, and its errors put into ours.

use super::{CartesiaSettings, NAME};
use crate::http::kind_of_status;
use crate::live::{Frame, Vendor};
use crate::speaker::SpeakRequest;
use crate::speech_socket::{Cancelled, Event, Talk, context_name, context_number, told};
use crate::{Error, ErrorKind};
use std::collections::BTreeMap;
use tokio_tungstenite::tungstenite::Message;
use wire::cartesia::{Generation, GenerationConfig, ServerError, ServerMessage, cancel, language_code};
use wire::word_times::WordOrder;

pub(super) static VENDOR: Vendor = Vendor { name: NAME, refusal, closed };

fn refusal(body: &[u8]) -> String {
    ServerError::parse(body).what
}

const fn closed(code: u16, _reason: &str) -> ErrorKind {
    match code {
        1003 | 1007..=1009 => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    }
}

pub(super) struct Contexts {
    model: String,
    voice: String,
    config: GenerationConfig,
    open: BTreeMap<u64, WordOrder>,
}

impl Contexts {
    pub(super) fn new(settings: &CartesiaSettings) -> Self {
        let (model, voice) = (settings.model.clone(), settings.voice.clone());
        Self { model, voice, config: settings.config(), open: BTreeMap::new() }
    }
}

impl Talk for Contexts {
    fn begin(&mut self, id: u64, request: &SpeakRequest, out: &mut Vec<Message>) {
        let language = language_code(&request.language);
        let generation = Generation {
            model: &self.model,
            transcript: request.text.trim(),
            voice: if request.voice.is_empty() { &self.voice } else { &request.voice },
            language: language.as_deref(),
            context: &context_name(id),
            sample_rate_hz: request.sample_rate_hz,
            config: self.config,
        };
        out.push(Message::text(generation.message()));
        self.open.insert(id, WordOrder::default());
    }

    fn cancel(&mut self, id: u64, out: &mut Vec<Message>) -> Cancelled {
        self.open.remove(&id);
        out.push(Message::text(cancel(&context_name(id))));
        Cancelled::Over
    }

    fn heard(&mut self, frame: Frame, events: &mut Vec<(u64, Event)>) -> Result<(), Error> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary(_) => return Err(VENDOR.error(ErrorKind::Protocol, "sent bytes instead of text")),
            Frame::SignOfLife => return Ok(()),
        };
        let message = ServerMessage::parse(&text)
            .map_err(|error| VENDOR.error(ErrorKind::Protocol, "sent what is no message").caused_by(error))?;
        match message {
            ServerMessage::Chunk { context, audio } => {
                events.extend(context_number(&context).map(|id| (id, Event::Sound(audio))));
            }
            ServerMessage::Timestamps { context, times } => {
                if let Some(id) = context_number(&context)
                    && let Some(order) = self.open.get_mut(&id)
                {
                    let mut words = Vec::new();
                    times.in_order(order, &mut words);
                    events.push((id, told(words)));
                }
            }
            ServerMessage::Done { context } => {
                if let Some(id) = context_number(&context) {
                    self.open.remove(&id);
                    events.push((id, Event::End));
                }
            }
            ServerMessage::Error { context, error } => {
                let kind = if error.status == 0 { ErrorKind::Unavailable } else { kind_of_status(error.status) };
                let failed = VENDOR.error(kind, format!("error {} {}", error.status, error.what).trim_end());
                match context.as_deref().and_then(context_number) {
                    Some(id) => {
                        self.open.remove(&id);
                        events.push((id, Event::Failed(failed)));
                    }
                    None => return Err(failed),
                }
            }
            ServerMessage::Unknown => {}
        }
        Ok(())
    }

    fn farewell(&self) -> Option<Message> {
        None
    }
}
