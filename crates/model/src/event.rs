//! What happens that tenants' own programs hear of.

use crate::words::words;

words! {
    /// Kinds of events that webhook endpoints choose among.
    EventKind {
        /// A call's media began.
        CallStarted = "call.started",
        /// A call is over.
        CallEnded = "call.ended",
        /// What a call collected is known.
        CallAnalyzed = "call.analyzed",
        /// Something was said in a call.
        TranscriptUpdated = "transcript.updated",
        /// A call's recording can be fetched.
        RecordingReady = "recording.ready",
        /// A call's recording is lost.
        RecordingFailed = "recording.failed",
    }
}

words! {
    /// Where an event on its way to an endpoint stands.
    DeliveryState {
        /// It is sent now or tried again later.
        Pending = "pending",
        /// The endpoint took it.
        Delivered = "delivered",
        /// Given up: every attempt failed, or the endpoint was disabled.
        Failed = "failed",
    }
}
