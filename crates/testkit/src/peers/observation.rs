//! What a carrier saw of a call.

use super::Ids;
use crate::carrier::{Closed, Gap, MarkSeen, Received, rms_dbfs};

/// Most violations kept.
const VIOLATIONS_MAX: usize = 200;
/// Samples per second of everything.
pub(super) const RATE_HZ: u32 = 8_000;

/// What came when the socket had closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The caller was put through.
    Dialled {
        /// To whom.
        to: String,
        /// What they see.
        caller_id: String,
        /// How long it may ring.
        ring_s: u32,
        /// How long they may talk.
        time_limit_s: u32,
    },
    /// The call was ended.
    HungUp,
    /// The answer was refused or cannot be read, and the caller hears of a fault.
    Failed {
        /// Why.
        error: String,
    },
}

/// Everything the carrier saw. Times are milliseconds on the call's clock, which starts with the start message.
#[derive(Clone, Debug)]
pub struct PeerObservation {
    /// The call.
    pub call_id: String,
    /// The stream.
    pub stream_id: String,
    /// Where the media went.
    pub stream_url: String,
    /// The webhook's answer took so long.
    pub announce_ms: u64,
    /// First media message that can be heard.
    pub first_agent_audio_ms: Option<u64>,
    /// Each media message from the server.
    pub received: Vec<Received>,
    /// Media messages to the server.
    pub media_out_count: u64,
    /// What the server did against the carrier's rules.
    pub violations: Vec<String>,
    /// Playback ran dry inside a reply.
    pub gaps: Vec<Gap>,
    /// Silences shorter than 700 ms after a mark.
    pub pauses: Vec<Gap>,
    /// How far ahead of playback the server has sent, at most.
    pub max_ahead_ms: u64,
    /// When the server cleared.
    pub clear_at_ms: Vec<u64>,
    /// Marks.
    pub marks: Vec<MarkSeen>,
    /// How the socket ended.
    pub closed: Closed,
    /// Start message to end.
    pub duration_ms: u64,
    /// Our own lateness with a frame, at most.
    pub late_frame_max_ms: u64,
    /// What came when the server had closed the socket; none when the caller hung up, or nothing is asked.
    pub after: Option<After>,
    /// The server's answer to the report of the end: its status, or why there was none.
    pub end_report: Option<Result<u16, String>>,
    /// What the caller heard, at 8000 Hz on the call's clock.
    pub agent_timeline: Vec<i16>,
    /// What the caller said.
    pub caller_timeline: Vec<i16>,
}

impl PeerObservation {
    /// Nothing seen yet.
    pub(super) fn new(ids: &Ids, stream_url: String) -> Self {
        Self {
            call_id: ids.call_id.clone(),
            stream_id: ids.stream_id.clone(),
            stream_url,
            announce_ms: 0,
            first_agent_audio_ms: None,
            received: Vec::new(),
            media_out_count: 0,
            violations: Vec::new(),
            gaps: Vec::new(),
            pauses: Vec::new(),
            max_ahead_ms: 0,
            clear_at_ms: Vec::new(),
            marks: Vec::new(),
            closed: Closed::Dropped,
            duration_ms: 0,
            late_frame_max_ms: 0,
            after: None,
            end_report: None,
            agent_timeline: Vec::new(),
            caller_timeline: Vec::new(),
        }
    }

    pub(super) fn violation(&mut self, at_ms: u64, what: impl std::fmt::Display) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(format!("{at_ms} ms: {what}"));
        }
    }

    /// How loud the agent was while it could be heard. Speech that was coded otherwise than the carrier plays it is noise
    /// near full scale.
    #[must_use]
    pub fn agent_dbfs(&self) -> f32 {
        heard_dbfs(&self.agent_timeline)
    }

    /// How loud the caller was while it spoke.
    #[must_use]
    pub fn caller_dbfs(&self) -> f32 {
        heard_dbfs(&self.caller_timeline)
    }
}

/// The level of what is not silent, in pieces of 20 ms.
#[must_use]
pub(super) fn heard_dbfs(timeline: &[i16]) -> f32 {
    let loud = timeline.chunks(RATE_HZ as usize / 50).filter(|piece| rms_dbfs(piece) > crate::carrier::LOUD_DBFS);
    rms_dbfs(&loud.flatten().copied().collect::<Vec<_>>())
}
