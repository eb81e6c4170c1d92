//! The ear: is the caller speaking, and what of it is still to be decided.

use crate::WorkId;
use model::CallTime;

/// What the caller's side is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ear {
    pub(crate) state: EarState,
    /// Words of an earlier part of the same turn (an answer that was withdrawn).
    pub(crate) carried: Option<Carried>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Carried {
    pub(crate) text: String,
    pub(crate) began: CallTime,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum EarState {
    /// Nothing to hear.
    #[default]
    Quiet,
    /// The caller speaks.
    Hearing { began: CallTime, until: CallTime },
    /// The caller has paused; is it the end of the turn?
    Paused(Pause),
}

/// A pause in the caller's speech, and what is known about the words before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pause {
    pub(crate) began: CallTime,
    pub(crate) ended: CallTime,
    pub(crate) transcribe: WorkId,
    pub(crate) score_work: WorkId,
    pub(crate) asked_at: CallTime,
    pub(crate) text: Option<Text>,
    pub(crate) score: Score,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text {
    pub(crate) words: String,
    pub(crate) at: CallTime,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Score {
    Waiting,
    Known(f32),
    Unknown,
}

impl Ear {
    /// The caller speaks or has just paused: no silence to remind anyone of.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state, EarState::Quiet)
    }
}
