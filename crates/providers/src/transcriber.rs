//! Speech to text.

use crate::{BoxFuture, Error};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Audio messages waiting for a transcriber: 50 of 100 ms. A transcriber that is 5 s behind is no use to a live call.
pub const INPUT_QUEUE: usize = 50;
/// Results waiting for the call. The call reads at once; more than this means it is stuck.
pub const OUTPUT_QUEUE: usize = 64;

/// Which audio a transcriber wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioWanted {
    /// Everything, silence too: streaming vendors.
    Continuous,
    /// Only what voice activity detection takes for speech, with a little before it.
    SpeechOnly,
}

/// How to open a stream.
#[derive(Clone, Debug)]
pub struct TranscriberOptions {
    /// Rate of the PCM that will be sent.
    pub sample_rate_hz: u32,
    /// BCP 47 tag, `en-IN`.
    pub language: String,
}

/// A piece of the caller's audio. Whoever keeps it to be heard again shares it.
pub type Pcm = Arc<[i16]>;

/// What a call tells its transcriber.
#[derive(Debug)]
pub enum TranscriberInput {
    /// Caller's audio, mono PCM at the agreed rate.
    Audio(Pcm),
    /// The same, when nobody speaks: what came before it need not be kept to be heard again.
    Silence(Pcm),
    /// Everything since the last `Discard` is an utterance: give its text under this work number.
    Finalize {
        /// The number the answer must carry.
        work: u64,
    },
    /// Forget the audio so far: the utterance is over.
    Discard,
}

/// What a transcriber tells the call.
#[derive(Debug)]
pub enum TranscriberOutput {
    /// Words so far; will be replaced.
    Partial {
        /// The text.
        text: String,
    },
    /// The answer to `Finalize`.
    Final {
        /// The number that was asked under.
        work: u64,
        /// The text; empty when there were no words in the audio.
        text: String,
    },
    /// The vendor's own judgement that the caller has finished. Its words may still be on their way.
    EndOfUtterance {
        /// False: likely; more `Partial` takes it back.
        sure: bool,
    },
    /// The language the vendor noticed; again when it changes.
    Language {
        /// BCP 47 tag, `hi-IN`.
        tag: String,
    },
    /// The answer to `Finalize` is an error, or (without a number) the stream is dead.
    Failed {
        /// The number that was asked under; `None` = the whole stream.
        work: Option<u64>,
        /// What happened.
        error: Error,
    },
}

/// A running transcription of one call. Dropping it ends it.
#[derive(Debug)]
pub struct TranscriberStream {
    /// Audio and requests; `try_send`, a full queue means audio is dropped and counted.
    pub input: mpsc::Sender<TranscriberInput>,
    /// Results.
    pub output: mpsc::Receiver<TranscriberOutput>,
}

/// A speech-to-text service.
pub trait Transcriber: Send + Sync {
    /// Stable short name, for settings, logs and metrics.
    fn name(&self) -> &'static str;
    /// Which audio it wants.
    fn audio_wanted(&self) -> AudioWanted;
    /// Opens a stream for one call.
    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>>;
}
