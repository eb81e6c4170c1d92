//! Speech on its way from a vendor to the call, cut into pieces of the right length.

use crate::Error;
use crate::speaker::{SpeechChunk, WordTime};
use tokio::sync::mpsc::Sender;

/// The first chunk goes out as soon as there is this much, in milliseconds: the caller is waiting.
const FIRST_CHUNK_MS: usize = 20;
/// Later chunks hold this much: fewer wake-ups of the call.
const CHUNK_MS: usize = 100;

/// One sentence under way. A slow call holds its vendor back.
pub(crate) struct SpeechCutter<'a> {
    out: &'a Sender<Result<SpeechChunk, Error>>,
    sample_rate_hz: usize,
    ready: Vec<i16>,
    words: Vec<WordTime>,
    begun: bool,
}

impl<'a> SpeechCutter<'a> {
    pub(crate) const fn new(out: &'a Sender<Result<SpeechChunk, Error>>, sample_rate_hz: u32) -> Self {
        Self { out, sample_rate_hz: sample_rate_hz as usize, ready: Vec::new(), words: Vec::new(), begun: false }
    }

    /// More samples.
    pub(crate) async fn push(&mut self, pcm: &[i16]) {
        self.ready.extend_from_slice(pcm);
        let whole = self.sample_rate_hz * CHUNK_MS / 1_000;
        loop {
            let enough = if self.begun { whole } else { self.sample_rate_hz * FIRST_CHUNK_MS / 1_000 };
            if self.ready.is_empty() || self.ready.len() < enough {
                return;
            }
            let rest = self.ready.split_off(self.ready.len().min(whole));
            self.send(rest).await;
        }
    }

    /// Words whose times became known; they go out with the next chunk.
    pub(crate) fn tell(&mut self, words: Vec<WordTime>) {
        self.words.extend(words);
    }

    /// The sentence is complete.
    pub(crate) async fn finish(&mut self) {
        if !self.ready.is_empty() || !self.words.is_empty() {
            self.send(Vec::new()).await;
        }
    }

    async fn send(&mut self, rest: Vec<i16>) {
        self.begun = true;
        let pcm = std::mem::replace(&mut self.ready, rest);
        let words = std::mem::take(&mut self.words);
        // Failing means that nobody listens; the task is about to be cancelled.
        let _ = self.out.send(Ok(SpeechChunk { pcm, words })).await;
    }
}
