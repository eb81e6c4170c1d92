//! Deepgram's side of a session: its messages, and its close codes put into ours.

use super::NAME;
use super::utterance::Utterance;
use crate::live::{Answer, Dialect, Vendor, pcm_bytes};
use crate::transcriber::Pcm;
use crate::{Error, ErrorKind};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use wire::deepgram::{CLOSE_STREAM, FINALIZE, KEEP_ALIVE, ServerError, ServerMessage, close_is_transient};

pub(super) static VENDOR: Vendor = Vendor { name: NAME, refusal, closed };

fn refusal(body: &[u8]) -> String {
    let said = ServerError::parse(body);
    format!("{} {}", said.code, said.text)
}

const fn closed(code: u16, _reason: &str) -> ErrorKind {
    if close_is_transient(code) { ErrorKind::Unavailable } else { ErrorKind::Rejected }
}

pub(super) struct Deepgram {
    pub(super) utterance: Utterance,
}

impl Dialect for Deepgram {
    fn audio_message(&self, pcm: &[i16]) -> Message {
        Message::binary(pcm_bytes(pcm))
    }

    fn finalize(&self) -> Message {
        Message::text(FINALIZE)
    }

    fn keep_alive(&self) -> Message {
        Message::text(KEEP_ALIVE)
    }

    fn farewell(&self) -> Option<Message> {
        Some(Message::text(CLOSE_STREAM))
    }

    fn heard(&mut self, text: &str, _now: Instant, out: &mut Vec<Answer>) -> Result<bool, Error> {
        match ServerMessage::parse(text) {
            Ok(ServerMessage::Results(result)) => {
                self.utterance.result(&result, out);
                Ok(true)
            }
            Ok(ServerMessage::Error(said)) => {
                let detail = format!("error {} {}", said.code, said.text);
                Err(VENDOR.error(ErrorKind::Unavailable, detail.trim_end()))
            }
            Ok(
                ServerMessage::Metadata { .. }
                | ServerMessage::SpeechStarted { .. }
                | ServerMessage::UtteranceEnd { .. }
                | ServerMessage::Unknown,
            ) => Ok(false),
            // One unreadable message loses its words; the connection may be fine.
            Err(error) => {
                tracing::debug!(provider = NAME, %error, "message skipped");
                Ok(false)
            }
        }
    }

    fn audio(&mut self, pcm: Pcm) {
        self.utterance.audio(pcm);
    }

    fn silence(&mut self, pcm: Pcm) {
        self.utterance.silence(pcm);
    }

    fn discard(&mut self) {
        self.utterance.discard();
    }

    fn request(&mut self, work: u64, _now: Instant, due: Instant, _out: &mut Vec<Answer>) {
        self.utterance.request(work, due);
    }

    fn next_due(&self) -> Option<Instant> {
        self.utterance.next_due()
    }

    fn overdue(&mut self, now: Instant, out: &mut Vec<Answer>) -> bool {
        self.utterance.overdue(now, out)
    }

    fn give_up(&mut self) -> Vec<u64> {
        self.utterance.give_up()
    }

    fn is_wanted(&self) -> bool {
        self.utterance.is_wanted()
    }

    fn replay(&mut self) -> Vec<i16> {
        self.utterance.replay()
    }
}
