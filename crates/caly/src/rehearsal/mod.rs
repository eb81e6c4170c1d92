//! Rehearsals: a call without a telephone. A caller who follows a script talks to an agent, in time that is reckoned and
//! not waited for: a conversation of two minutes takes milliseconds, and takes the same course every time.
//!
//! [`Stage`] is a shell in miniature around [`call::Call`]. It gives the call what a carrier and vendors would: voice
//! activity, words, keys, the end of every sentence. No vendor is needed for that: the caller's words stand in the
//! script and sentences are as long as they would be spoken. Only a language model may be a real one ([`Thinker`]); it is
//! waited for in real time, and its answer counts as given at once.
//!
//! `caly test-agent` and `caly replay --agent` are built on it.

mod agent;
mod offer;
mod remote;
mod seen;
mod sound;
mod stage;
mod thinker;
mod tools;

pub(crate) use agent::{AgentSource, Overrides, Refused};
pub(crate) use offer::Offer;
pub(crate) use remote::{Remote, RemoteCall, RemoteOptions};
pub(crate) use seen::{Event, Happened, Seen, ToolAsked, TurnSeen, heard, intended, language, tools as tools_asked};
pub(crate) use stage::Stage;
pub(crate) use thinker::{ANSWERS_MAX, ModelAccess, ScriptedAnswer, Thinker};
pub(crate) use tools::{ToolAnswer, ToolAnswers, plain_dates};

use call::CallSetup;

/// Most turns of a script: two hours of a caller who speaks once a minute.
pub(crate) const TURNS_MAX: usize = 120;
/// Longest text of one turn in characters: two minutes of speech in one breath.
pub(crate) const TURN_CHARS_MAX: usize = 2_000;
/// Longest silence, or pause before a turn, ms. Agents end calls long before.
pub(crate) const WAIT_MS_MAX: u64 = 600_000;
/// Most keys of one turn.
pub(crate) const KEYS_MAX: usize = 64;

/// What is played.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// What the call is told before it begins.
    pub setup: CallSetup,
    /// What the caller does, one after the other.
    pub turns: Vec<CallerTurn>,
    /// What tools give back.
    pub tools: ToolAnswers,
}

/// One thing that the caller does. With none of speech, keys and silence the caller only listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallerTurn {
    /// What is said, as a transcriber would give it.
    pub says: Option<String>,
    /// Which language the transcriber hears in it, if it tells (BCP 47).
    pub language: Option<String>,
    /// How long the caller waits after the agent has finished, ms.
    pub pause_ms: u64,
    /// Do not wait: speak as soon as so many words of the agent's answer were heard.
    pub interrupt_after_words: Option<u32>,
    /// Keys that are pressed, after what is said.
    pub keys: String,
    /// Say nothing for so long, ms.
    pub silence_ms: u64,
}
