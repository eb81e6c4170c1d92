//! Sarvam's side of a transcription session: its messages in either protocol.

use super::NAME;
use super::connection::{VENDOR, told};
use super::utterance::Utterance;
use crate::live::{Answer, Dialect, pcm_bytes};
use crate::transcriber::Pcm;
use crate::{Error, ErrorKind};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use wire::sarvam::{END, FLUSH, ListenMessage, PING, Protocol, audio_message};

/// Silence that keeps a connection open where there is no ping, in milliseconds.
const SILENCE_MS: usize = 100;

pub(super) struct Sarvam {
    pub(super) protocol: Protocol,
    pub(super) sample_rate_hz: u32,
    pub(super) utterance: Utterance,
}

impl Dialect for Sarvam {
    fn audio_message(&self, pcm: &[i16]) -> Message {
        Message::text(audio_message(self.protocol, &pcm_bytes(pcm), self.sample_rate_hz))
    }

    /// The newer protocol takes a flush only from those who tell it when speech begins and ends; there its own
    /// judgement of a pause gives the text, and the answer to a ping tells that our audio has arrived.
    fn finalize(&self) -> Message {
        match self.protocol {
            Protocol::Realtime => Message::text(PING),
            Protocol::Streaming => Message::text(FLUSH),
        }
    }

    fn keep_alive(&self) -> Message {
        match self.protocol {
            Protocol::Realtime => Message::text(PING),
            Protocol::Streaming => self.audio_message(&vec![0; self.sample_rate_hz as usize * SILENCE_MS / 1_000]),
        }
    }

    fn farewell(&self) -> Option<Message> {
        match self.protocol {
            Protocol::Realtime => Some(Message::text(END)),
            Protocol::Streaming => None,
        }
    }

    fn heard(&mut self, text: &str, now: Instant, out: &mut Vec<Answer>) -> Result<bool, Error> {
        let message = match ListenMessage::parse(text) {
            Ok(message) => message,
            // One unreadable message loses its words; the connection may be fine.
            Err(error) => {
                tracing::debug!(provider = NAME, %error, "message skipped");
                return Ok(false);
            }
        };
        self.utterance.sign_of_life();
        match message {
            ListenMessage::SpeechStart { utterance } => self.utterance.speech_started(utterance),
            ListenMessage::SpeechEnd { utterance } => self.utterance.speech_ended(utterance, out),
            ListenMessage::Partial(said) => self.utterance.partial(&said, out),
            ListenMessage::Final(said) => self.utterance.done(&said, out),
            ListenMessage::Pong => {
                self.utterance.pong(now, out);
                return Ok(false);
            }
            ListenMessage::Error(said) if said.is_fatal => return Err(told(&said)),
            ListenMessage::Error(said) => {
                tracing::debug!(provider = NAME, error = %told(&said), "the session goes on");
                return Ok(false);
            }
            ListenMessage::End => return Err(VENDOR.error(ErrorKind::Unavailable, "ended the session")),
            ListenMessage::Begin { request_id } => {
                tracing::debug!(provider = NAME, request_id, "session");
                return Ok(false);
            }
            ListenMessage::Unknown => return Ok(false),
        }
        Ok(true)
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

    fn request(&mut self, work: u64, now: Instant, due: Instant, out: &mut Vec<Answer>) {
        self.utterance.request(work, now, due, out);
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
