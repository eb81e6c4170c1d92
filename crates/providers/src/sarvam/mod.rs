//! Sarvam: speech to text and text to speech for the languages of India, each over one WebSocket.
//!
//! Its chat models speak OpenAI's protocol under [`CHAT_BASE_URL`] and take the key as a Bearer token, so
//! [`crate::openai::OpenAiModel`] is their client.
//!
//! Sources: see `wire::sarvam`; for chat docs.sarvam.ai/api-reference/authentication ("Bearer token").

mod connection;
mod dialect;
mod speaker;
mod transcriber;
mod utterance;

pub use speaker::{SarvamSpeaker, SpeakerSettings};
pub use transcriber::{SarvamTranscriber, TranscriberSettings};

use std::time::Duration;

/// Name of this provider.
const NAME: &str = "sarvam";
/// Sarvam's own address for sockets.
pub const BASE_URL: &str = "wss://api.sarvam.ai";
/// Sarvam's own address for chat completions as OpenAI offers them.
pub const CHAT_BASE_URL: &str = "https://api.sarvam.ai/v1";
/// Longest wait for the text of an utterance. It comes 200 to 300 ms after a pause as a rule.
pub const FINALIZE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Asked for text while nothing was noticed, the vendor is given this long to notice that there was speech after all:
/// it takes about 250 ms of speech to notice it, and the message is on its way for 50 to 200 ms.
pub const QUIET_WAIT: Duration = Duration::from_millis(600);
/// A sign of life after so much silence of ours; they close after 60 s.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// An idle speech connection is used again until it is this old; they close it after 60 s.
pub const IDLE_SPEECH_MAX: Duration = Duration::from_secs(50);
/// Idle speech connections kept. One sentence needs one, so this is the number of calls that can go on without a new
/// handshake, about 200 ms.
pub const IDLE_SPEECH_SOCKETS_MAX: usize = 64;
/// Longest wait of a check whether service and key work.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
