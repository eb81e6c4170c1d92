//! A call and its turns.

use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// Who carries the call.
    CarrierKind {
        /// Exotel `AgentStream`.
        Exotel = "exotel",
        /// Twilio Media Streams.
        Twilio = "twilio",
        /// Plivo Audio Streams.
        Plivo = "plivo",
        /// Vobiz: Plivo's messages, its own signatures.
        Vobiz = "vobiz",
        /// Tata Smartflo.
        Smartflo = "smartflo",
    }
}

words! {
    /// Who placed the call.
    CallDirection {
        /// Somebody called us.
        Incoming = "incoming",
        /// We called somebody.
        Outgoing = "outgoing",
    }
}

words! {
    /// Where a call stands.
    CallStatus {
        /// To be placed.
        Queued = "queued",
        /// Announced by the carrier, no media yet.
        Ringing = "ringing",
        /// Media flows.
        InProgress = "in-progress",
        /// Ended after a conversation.
        Completed = "completed",
        /// The other side was busy.
        Busy = "busy",
        /// Nobody answered, or media never came.
        NoAnswer = "no-answer",
        /// Ended by a fault.
        Failed = "failed",
        /// Taken back before it began.
        Canceled = "canceled",
    }
}

impl CallStatus {
    /// Nothing changes any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Ringing | Self::InProgress)
    }
}

words! {
    /// Whose doing the end of a call was.
    Blame {
        /// The person on the phone.
        Caller = "caller",
        /// The agent, as it was told to.
        Agent = "agent",
        /// The phone company.
        Carrier = "carrier",
        /// A speech or language vendor (or built-in model).
        Provider = "provider",
        /// A person working for the tenant.
        Operator = "operator",
        /// Caly itself.
        Caly = "caly",
    }
}

words! {
    /// Why a call ended: a closed list, `whose/what`.
    EndedReason {
        /// The caller hung up.
        CallerHungUp = "caller/hung-up",
        /// The carrier announced a call, media never came.
        CallerNeverJoined = "caller/never-joined",
        /// The line of the person we called was busy.
        CallerBusy = "caller/busy",
        /// The person we called did not pick up.
        CallerNoAnswer = "caller/no-answer",
        /// The network said that the person we called cannot be reached: switched off, out of coverage.
        CallerUnreachable = "caller/unreachable",
        /// The agent finished its business and said goodbye.
        AgentCompleted = "agent/completed",
        /// The caller said nothing, even after reminders.
        AgentSilence = "agent/silence",
        /// The agent's time limit was reached.
        AgentMaxDuration = "agent/max-duration",
        /// A machine answered a call that we placed.
        AgentVoicemail = "agent/voicemail",
        /// The call used what its agent may use.
        AgentBudget = "agent/budget",
        /// Handed to a human.
        AgentTransferred = "agent/transferred",
        /// The carrier ended the stream while the caller was still there.
        CarrierStopped = "carrier/stopped",
        /// The socket broke or went quiet without a farewell.
        CarrierLost = "carrier/lost",
        /// The carrier no longer takes our audio.
        CarrierStalled = "carrier/stalled",
        /// Too many frames in a row that could not be read.
        CarrierBadFrames = "carrier/bad-frames",
        /// No start message within its time.
        CarrierNoStart = "carrier/no-start",
        /// The carrier sent no audio for seconds, not even silence.
        CarrierSilent = "carrier/silent",
        /// The carrier did not take the order to place the call.
        CarrierRefused = "carrier/refused",
        /// The carrier could not put the call through.
        CarrierFailed = "carrier/failed",
        /// Whether the carrier took the order to place the call is not known, and nothing was heard of it since.
        CarrierUnconfirmed = "carrier/unconfirmed",
        /// Every provider of a stage failed; the caller was told.
        ProviderFailed = "provider/failed",
        /// Ended by the tenant's people.
        OperatorHungUp = "operator/hung-up",
        /// Taken back by the tenant's people before it was placed.
        OperatorCanceled = "operator/canceled",
        /// The process died; closed at the next start.
        CalyCrash = "caly/crash",
        /// The process was told to stop and the time for finishing calls was over.
        CalyDrained = "caly/drained",
        /// This machine has more calls than it can serve well; the caller was not answered.
        CalyBusy = "caly/busy",
        /// Something of ours failed that is no crash.
        CalyError = "caly/error",
    }
}

impl EndedReason {
    /// Whose doing.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::CallerHungUp
            | Self::CallerNeverJoined
            | Self::CallerBusy
            | Self::CallerNoAnswer
            | Self::CallerUnreachable => Blame::Caller,
            Self::AgentCompleted
            | Self::AgentSilence
            | Self::AgentMaxDuration
            | Self::AgentTransferred
            | Self::AgentVoicemail
            | Self::AgentBudget => Blame::Agent,
            Self::CarrierStopped
            | Self::CarrierLost
            | Self::CarrierStalled
            | Self::CarrierBadFrames
            | Self::CarrierNoStart
            | Self::CarrierSilent
            | Self::CarrierRefused
            | Self::CarrierFailed
            | Self::CarrierUnconfirmed => Blame::Carrier,
            Self::ProviderFailed => Blame::Provider,
            Self::OperatorHungUp | Self::OperatorCanceled => Blame::Operator,
            Self::CalyCrash | Self::CalyDrained | Self::CalyBusy | Self::CalyError => Blame::Caly,
        }
    }

    /// The status a call is left in.
    #[must_use]
    pub const fn status(self) -> CallStatus {
        match self {
            Self::CallerNeverJoined | Self::CallerNoAnswer | Self::CallerUnreachable => CallStatus::NoAnswer,
            Self::CallerBusy => CallStatus::Busy,
            Self::OperatorCanceled => CallStatus::Canceled,
            Self::CallerHungUp
            | Self::AgentCompleted
            | Self::AgentSilence
            | Self::AgentMaxDuration
            | Self::AgentVoicemail
            | Self::AgentBudget
            | Self::AgentTransferred
            | Self::OperatorHungUp
            | Self::CarrierStopped
            | Self::CalyDrained => CallStatus::Completed,
            Self::CarrierLost
            | Self::CarrierStalled
            | Self::CarrierBadFrames
            | Self::CarrierNoStart
            | Self::CarrierSilent
            | Self::CarrierRefused
            | Self::CarrierFailed
            | Self::CarrierUnconfirmed
            | Self::ProviderFailed
            | Self::CalyCrash
            | Self::CalyBusy
            | Self::CalyError => CallStatus::Failed,
        }
    }
}

words! {
    /// Who made a recording.
    RecordingSource {
        /// Caly, from the media stream: caller left, agent right.
        Own = "own",
        /// The carrier.
        Carrier = "carrier",
    }
}

words! {
    /// Where a recording stands.
    RecordingStatus {
        /// The carrier's; not fetched yet.
        Awaited = "awaited",
        /// Being written while the call runs.
        Recording = "recording",
        /// Complete on this node's disk, waiting to be stored.
        Spooled = "spooled",
        /// In the object store.
        Ready = "ready",
        /// Given up after retries; the error says why.
        Failed = "failed",
    }
}

words! {
    /// Who spoke.
    TurnRole {
        /// The person on the phone.
        Caller = "caller",
        /// The agent.
        Agent = "agent",
    }
}

/// Where the time of an answer went, from the caller's last loud frame to the agent's first frame. All in ms; a stage
/// that did not happen is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Caller's last loud frame to agent's first frame on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end_ms: Option<u64>,
    /// Caller's last loud frame to the decision that the turn is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_turn_ms: Option<u64>,
    /// Asking the transcriber to its text. Overlaps with the end of turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcription_ms: Option<u64>,
    /// Decision to the first sentence to speak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_ms: Option<u64>,
    /// First sentence to its first audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaking_ms: Option<u64>,
}

/// One turn as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TranscriptTurn {
    /// Position in the call, from 0.
    pub index: u32,
    /// Who spoke.
    pub role: TurnRole,
    /// What was said (caller), or what the caller heard of it (agent).
    pub text: String,
    /// What the agent was going to say, when it was cut short.
    pub intended: Option<String>,
    /// The agent was interrupted.
    pub interrupted: bool,
    /// Start, ms since the media began.
    pub started_ms: u64,
    /// End, ms since the media began.
    pub ended_ms: u64,
    /// Latency of this answer; agent turns that answer a caller only.
    pub latency: Option<Latency>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_say_whose_doing_it_was() {
        for reason in EndedReason::ALL {
            let (whose, _) = reason.as_str().split_once('/').expect("whose/what");
            assert_eq!(whose, reason.blame().as_str());
            assert!(reason.status().is_final());
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
    }
}
