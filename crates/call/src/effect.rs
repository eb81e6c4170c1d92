//! What a call wants done.

use crate::{SpeechId, WorkId};
use model::{EndedReason, Stage, TranscriptTurn};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
        /// BCP 47 tag of the language to answer in.
        language: String,
    },
    /// Run a tool.
    RunTool {
        /// Name of the request.
        work: WorkId,
        /// Which tool.
        name: String,
        /// What it is given.
        arguments: Map<String, Value>,
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
        /// BCP 47 tag of the language it is in.
        language: String,
    },
    /// Let the caller hear, after what was asked for earlier, what the model says by itself in answer to this request.
    SpeakThought {
        /// Name of the whole answer, as if it were a sentence.
        speech: SpeechId,
        /// The request.
        work: WorkId,
    },
    /// Press keys: their tones, after what was asked for earlier.
    PlayKeys {
        /// Name of the tones, as if they were a sentence.
        speech: SpeechId,
        /// `0`–`9`, `*`, `#`; `w` waits half a second.
        keys: String,
    },
    /// What is heard when there is no voice, after what was asked for earlier.
    PlayTone {
        /// Name of the tone, as if it were a sentence.
        speech: SpeechId,
        /// Which.
        tone: Tone,
    },
    /// The caller is heard in this language from now on.
    SetLanguage {
        /// BCP 47.
        tag: String,
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

/// What callers know without words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// The line is alive, but what was to be said is lost.
    Lost,
    /// The call cannot go on.
    Congestion,
}

/// One message of the conversation, as a language model sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Message {
    /// The caller said it.
    Caller {
        /// What.
        text: String,
    },
    /// The agent said it, as far as it was heard, and asked for these tools.
    Agent {
        /// What was heard; may be empty when there are tools.
        text: String,
        /// The tools. Each one's result follows.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool gave back.
    ToolResult {
        /// The model's name of the call of the tool.
        id: String,
        /// Which tool.
        name: String,
        /// What the model reads.
        text: String,
    },
}

/// A tool that a language model asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's name of it.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// As the model wrote them: should be a JSON object.
    pub arguments: String,
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
    /// A few words bridged a slow answer.
    Filler,
    /// The agent's own voice came back over the line and was not taken for the caller.
    Echo,
    /// The conversation goes on in another language.
    LanguageSwitched {
        /// BCP 47.
        tag: String,
    },
    /// No person answered the call that we placed.
    AnsweredByMachine {
        /// What did.
        what: Machine,
    },
}

/// What answers calls besides persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// A machine that takes messages.
    Voicemail,
    /// An announcement of the network: switched off, out of coverage.
    Announcement,
}
