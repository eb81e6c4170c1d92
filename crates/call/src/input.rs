//! What a call is told.

use crate::{SpeechId, WorkId};
use model::{CallTime, EndedReason};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that happened. Serialisable: a call's inputs replay it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Input {
    /// The media stream has begun.
    Connected,
    /// Voice activity of the caller.
    Voice(Voice),
    /// Words so far, from a streaming transcriber.
    Partial {
        /// The text.
        text: String,
    },
    /// The answer to [`crate::Effect::Transcribe`]. Empty text: no words in it.
    Heard {
        /// Which request.
        work: WorkId,
        /// The caller's words.
        text: String,
    },
    /// The transcriber, with all its fallbacks, gave no answer.
    TranscribeFailed {
        /// Which request.
        work: WorkId,
    },
    /// The answer to [`crate::Effect::ScoreTurn`].
    TurnScored {
        /// Which request.
        work: WorkId,
        /// That the caller has finished, 0 to 1.
        probability: f32,
    },
    /// No judgement from the sound; silence and words must do.
    TurnScoreFailed {
        /// Which request.
        work: WorkId,
    },
    /// More of the language model's answer.
    ThoughtText {
        /// Which request.
        work: WorkId,
        /// The piece.
        text: String,
    },
    /// The language model asks for a tool. It runs once the answer is complete.
    ThoughtTool {
        /// Which request.
        work: WorkId,
        /// The model's name of this call of the tool.
        id: String,
        /// Which tool.
        name: String,
        /// Its arguments, as the model wrote them: should be a JSON object.
        arguments: String,
    },
    /// What an answer cost.
    ThoughtUsed {
        /// Which request.
        work: WorkId,
        /// Tokens, read and written.
        tokens: u64,
    },
    /// The language model has finished.
    ThoughtDone {
        /// Which request.
        work: WorkId,
    },
    /// The language model, with all its fallbacks, failed.
    ThinkFailed {
        /// Which request.
        work: WorkId,
    },
    /// A tool has answered, or what went wrong.
    ToolFinished {
        /// Which request.
        work: WorkId,
        /// Its outcome.
        outcome: Result<ToolOutput, String>,
    },
    /// The transcriber's own judgement: the caller has finished.
    UtteranceEnded {
        /// False: likely; the caller may yet go on.
        sure: bool,
    },
    /// The transcriber heard which language is spoken.
    LanguageHeard {
        /// BCP 47.
        tag: String,
    },
    /// The first audio of a sentence went out to the carrier.
    SpeechStarted {
        /// Which sentence.
        speech: SpeechId,
    },
    /// All audio of a sentence exists.
    SpeechSynthesized {
        /// Which sentence.
        speech: SpeechId,
        /// How long it is.
        total_ms: u64,
    },
    /// The sentence cannot be spoken.
    SpeechFailed {
        /// Which sentence.
        speech: SpeechId,
    },
    /// The caller has heard a sentence to its end (the carrier's mark came back).
    Played {
        /// Which sentence.
        speech: SpeechId,
    },
    /// The answer to [`crate::Effect::ClearPlayback`], at once: how far each unfinished sentence had been heard.
    PlaybackCleared {
        /// In the order they were to be played.
        heard: Vec<HeardSpeech>,
    },
    /// A key on the caller's phone.
    Dtmf {
        /// `0`–`9`, `*`, `#`.
        digit: char,
    },
    /// From the tenant's people or from Caly itself.
    Command(Command),
    /// The caller's side is gone.
    CallerLeft {
        /// Why.
        reason: EndedReason,
    },
    /// The time asked for by [`crate::Call::deadline`] has come.
    Tick,
}

/// What a tool gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// What a language model reads.
    pub text: String,
    /// What a flow can use, by name.
    pub values: BTreeMap<String, String>,
}

/// Voice activity, in the call's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "voice", rename_all = "kebab-case")]
pub enum Voice {
    /// Speech began.
    Began {
        /// Its first loud moment.
        at: CallTime,
    },
    /// Speech goes on. Sent with each piece of audio while it lasts.
    Loud {
        /// First loud moment of this speech.
        since: CallTime,
        /// Last loud moment so far.
        until: CallTime,
    },
    /// Speech paused.
    Ended {
        /// Its last loud moment.
        at: CallTime,
    },
}

/// How far a sentence was heard when playback was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardSpeech {
    /// Which sentence.
    pub speech: SpeechId,
    /// How much of it the caller has heard.
    pub heard_ms: u64,
    /// How long it is, if all of it exists.
    pub total_ms: Option<u64>,
    /// How many of its words the caller has heard, when the vendor told when each is said; else it is reckoned by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_words: Option<u32>,
}

/// An order from outside the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Hang up now.
    HangUp,
    /// Say a sentence.
    Say {
        /// The sentence.
        text: String,
    },
    /// The node stops: say goodbye and end.
    Drain,
}
