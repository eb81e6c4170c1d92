//! Text to speech.

use crate::Error;
use tokio::sync::mpsc;

/// Chunks of speech waiting for the call. With chunks of 100 ms and more this is over 1 s ahead of what is played;
/// a faster service is held back here.
pub const CHUNK_QUEUE: usize = 16;
/// Longest text of one request in bytes: about a minute of speech. Sentences are cut long before.
pub const TEXT_BYTES_MAX: usize = 2_000;

/// One sentence to say.
#[derive(Clone, Debug)]
pub struct SpeakRequest {
    /// What to say, as written by the agent; the speaker makes it speakable if it needs to.
    pub text: String,
    /// BCP 47 tag.
    pub language: String,
    /// Name of the voice; empty = the default.
    pub voice: String,
    /// Rate of the chunks wanted.
    pub sample_rate_hz: u32,
}

/// A text-to-speech service.
pub trait Speaker: Send + Sync {
    /// Stable short name, for settings, logs and metrics.
    fn name(&self) -> &'static str;
    /// Starts to speak. Chunks of mono PCM at the wanted rate; the channel closes at the end. An error ends it.
    /// Dropping the receiver cancels.
    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<Vec<i16>, Error>>;
}
