//! The input log of a call, and its replay. One JSON line each: the setup, then every input with its time and the
//! effects it had. Replaying gives the same effects, or says where it does not: a bug report becomes a test.

use crate::{Call, CallSetup, Effect, Effects, Input, SetupError};
use model::CallTime;
use serde::{Deserialize, Serialize};

/// Most lines of a log that are kept. Ten voice inputs a second for the longest call would be 144 000; a caller does
/// not speak all the time, so this covers it. Beyond it the log ends with a note and the call goes on.
pub const LINES_MAX: usize = 200_000;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// The first line.
    Setup {
        /// What the call was told before it began.
        setup: Box<CallSetup>,
    },
    /// Every other line.
    Step(Box<Step>),
}

/// One input and what it led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: CallTime,
    /// What happened.
    pub input: Input,
    /// What the call wanted done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Effects,
}

/// Why a log cannot be replayed, or how the replay differs.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The first line must be the setup.
    #[error("line 1 is not the setup of a call")]
    NoSetup,
    /// A line is not of this format.
    #[error("line {line}: {source}")]
    Unreadable {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The setup's agent cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The same input had other effects.
    #[error("line {line}: the effects differ\n  logged:   {logged:?}\n  replayed: {replayed:?}")]
    Differs {
        /// Counted from 1.
        line: usize,
        /// As logged.
        logged: Vec<Effect>,
        /// As they are now.
        replayed: Vec<Effect>,
    },
}

/// How a replay went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs replayed.
    pub inputs: usize,
    /// Effects, all of them as logged.
    pub effects: usize,
}

/// Replays a log and compares every effect. `each` sees every step, for printing.
///
/// # Errors
/// [`ReplayError`] at the first line that cannot be read or whose effects differ.
pub fn replay(text: &str, mut each: impl FnMut(&Step)) -> Result<Replayed, ReplayError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, first) = lines.next().ok_or(ReplayError::NoSetup)?;
    let Ok(Line::Setup { setup }) = serde_json::from_str(first) else { return Err(ReplayError::NoSetup) };
    let mut call = Call::new(*setup)?;
    let mut replayed = Replayed { inputs: 0, effects: 0 };
    for (index, line) in lines {
        let line_number = index + 1;
        let step: Step =
            serde_json::from_str(line).map_err(|source| ReplayError::Unreadable { line: line_number, source })?;
        each(&step);
        let mut effects = Effects::new();
        call.handle(step.at, step.input, &mut effects);
        replayed.inputs += 1;
        replayed.effects += effects.len();
        if effects != step.effects {
            return Err(ReplayError::Differs { line: line_number, logged: step.effects, replayed: effects });
        }
    }
    Ok(replayed)
}
