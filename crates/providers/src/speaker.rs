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

/// When a word of a sentence is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordTime {
    /// The word as the vendor says it was spoken.
    pub text: String,
    /// Its beginning, ms since the sentence's first sample.
    pub from_ms: u32,
    /// Its end.
    pub to_ms: u32,
}

/// A piece of speech.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpeechChunk {
    /// Mono samples at the rate wanted; may be empty when only words are told.
    pub pcm: Vec<i16>,
    /// Words whose times became known with it, in order; empty for vendors that tell none.
    pub words: Vec<WordTime>,
}

impl From<Vec<i16>> for SpeechChunk {
    fn from(pcm: Vec<i16>) -> Self {
        Self { pcm, words: Vec::new() }
    }
}

/// A text-to-speech service.
pub trait Speaker: Send + Sync {
    /// Stable short name, for settings, logs and metrics.
    fn name(&self) -> &'static str;
    /// Starts to speak. Chunks of mono PCM at the wanted rate; the channel closes at the end. An error ends it.
    /// Dropping the receiver cancels.
    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>>;
}
