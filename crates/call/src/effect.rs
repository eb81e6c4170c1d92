//! What a call wants done.

use crate::{SpeechId, WorkId};
use model::{EndedReason, TranscriptTurn};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Effects, in the order they are to be performed.
pub type Effects = Vec<Effect>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Effect {
    /// Give the text of the caller's utterance so far.
    Transcribe {
        /// Name of the request.
        work: WorkId,
    },
    /// Judge from the sound whether the caller has finished.
    ScoreTurn {
        /// Name of the request.
        work: WorkId,
    },
    /// The utterance is over: forget its audio.
    DiscardUtterance,
    /// Ask the language model for an answer.
    Think {
        /// Name of the request.
        work: WorkId,
        /// The conversation so far.
        messages: Vec<Message>,
    },
    /// Run a tool.
    RunTool {
        /// Name of the request.
        work: WorkId,
        /// Which tool.
        name: String,
        /// What it is given.
        arguments: BTreeMap<String, String>,
    },
    /// The answer to this request is no longer wanted.
    Cancel {
        /// Name of the request.
        work: WorkId,
    },
    /// Say a sentence after those asked for earlier.
    Speak {
        /// Name of the sentence.
        speech: SpeechId,
        /// What to say.
        text: String,
    },
    /// This sentence is given up; those after it are still wanted.
    CancelSpeech {
        /// Name of the sentence.
        speech: SpeechId,
    },
    /// Stop speaking at once and forget what was to be said. Answered by [`crate::Input::PlaybackCleared`].
    ClearPlayback,
    /// Keep a record.
    Note(Note),
    /// Hand the caller to this number; the call ends for us.
    Transfer {
        /// Whom to connect.
        to: String,
    },
    /// Close the line. Nothing follows.
    HangUp {
        /// Why.
        reason: EndedReason,
    },
}

/// One message of the conversation, as a language model sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub role: model::TurnRole,
    /// What; of the agent only what was heard.
    pub text: String,
}

/// A stage of the pipeline, for counters and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Speech to text.
    Transcribing,
    /// Language model or flow.
    Thinking,
    /// A tool.
    Tool,
    /// Text to speech.
    Speaking,
}

/// What is kept about a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "kebab-case")]
pub enum Note {
    /// A finished turn. One with the index of an earlier one replaces it: the caller had gone on.
    Turn(TranscriptTurn),
    /// The caller spoke over the agent, and the agent stopped.
    BargeIn {
        /// First loud moment of the caller, ms since the media began.
        voice_began_ms: u64,
        /// From there to the decision.
        decided_after_ms: u64,
    },
    /// A listening noise or a cough that changed nothing.
    Backchannel {
        /// What was understood of it.
        text: String,
        /// The agent had stopped for it and went on.
        resumed: bool,
    },
    /// The caller went on after a turn seemed over; the answer was withdrawn unheard.
    Withdrawn,
    /// The caller said nothing and was reminded.
    Reminded {
        /// How often, with this one.
        count: u32,
    },
    /// A stage did not do its work in time.
    StageFailed {
        /// Which.
        stage: Stage,
    },
    /// A tool was started.
    ToolStarted {
        /// Which.
        name: String,
    },
    /// A tool has answered.
    ToolFinished {
        /// It did its work.
        succeeded: bool,
    },
    /// The carrier did not say that a sentence was played; its length was used.
    MarkMissing,
}
