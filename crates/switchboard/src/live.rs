//! What happens on the lines, as it happens: for the terminal and for pages that watch.

use model::{CallId, EndedReason, Stage, TenantId, TranscriptTurn};

/// Something that happened in a live call.
#[derive(Clone, Debug)]
pub struct LiveEvent {
    /// Whose call.
    pub tenant: TenantId,
    /// Which call.
    pub call: CallId,
    /// When, ms since its media began.
    pub at_ms: u64,
    /// What.
    pub what: Live,
}

/// See [`LiveEvent`].
#[derive(Clone, Debug)]
pub enum Live {
    /// The media has begun.
    Began,
    /// The words of an utterance; the turn may go on.
    Understood(String),
    /// The agent begins to say a sentence.
    Saying(String),
    /// The caller interrupted.
    BargeIn,
    /// A listening noise was ignored.
    Backchannel(String),
    /// A turn is finished.
    Turn(TranscriptTurn),
    /// The agent does something.
    Tool(String),
    /// A few words bridge a slow answer.
    Filler,
    /// A provider failed or was late, and the next one took over.
    Fallback(Stage),
    /// The conversation goes on in this language (BCP 47).
    Language(String),
    /// The call is over.
    Ended(EndedReason),
}
