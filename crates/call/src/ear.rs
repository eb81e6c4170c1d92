//! The ear: is the caller speaking, and what of it is still to be decided.

use crate::WorkId;
use model::CallTime;

/// What the caller's side is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ear {
    pub(crate) state: EarState,
    /// Words of an earlier part of the same turn (an answer that was withdrawn).
    pub(crate) carried: Option<Carried>,
    /// Up to here the speech that is still going on was cut off and taken as an utterance.
    pub(crate) cut_at: Option<CallTime>,
    /// While the agent speaks: what is known about the sound that the caller is making.
    pub(crate) probe: Probe,
    /// Words of this utterance so far, from a transcriber that tells them as they come.
    pub(crate) partial: String,
    /// The transcriber has told words as they come: no need to ask it for them.
    pub(crate) streams: bool,
    /// The language that the transcriber heard last.
    pub(crate) tag: Option<String>,
    /// First and last loud moment of the sound that is going on.
    pub(crate) loud: Option<(CallTime, CallTime)>,
}

/// Somebody who speaks over the agent wants the floor, or only shows that they listen («oh», «haan»). The first words
/// tell: they are transcribed while the sound is still going on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Probe {
    /// Nothing is known yet.
    #[default]
    None,
    /// The words so far were asked for. Without an answer in time the agent stops: rather one stop too many.
    Asked { work: WorkId, since: CallTime, length_ms: u64, due: CallTime },
    /// So far it is a listening noise of this length.
    Noise { length_ms: u64 },
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
    /// The judgement of the sound is asked for only when the words leave the matter open: it costs as much computing
    /// as the words themselves.
    pub(crate) score_work: Option<WorkId>,
    pub(crate) asked_at: CallTime,
    pub(crate) text: Option<Text>,
    pub(crate) score: Score,
    pub(crate) verdict: Verdict,
}

/// The transcriber's own judgement of a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// None.
    #[default]
    Open,
    /// Likely finished.
    Likely,
    /// Finished.
    Ended,
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

impl Pause {
    /// The judgement of the sound was asked for and is not there yet.
    pub(crate) fn score_pending(&self) -> Option<WorkId> {
        self.score_work.filter(|_| self.score == Score::Waiting)
    }
}

impl Ear {
    /// The caller speaks or has just paused: no silence to remind anyone of.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.state, EarState::Quiet)
    }
}
