//! What the carrier saw of a call.

use super::Options;
use super::announce::CallIds;
use super::flow::Transfer;
use serde::Serialize;

/// Most events kept of one call: an hour of 20 ms frames both ways would be 360 000 and media are counted, not kept.
pub(super) const EVENTS_MAX: usize = 20_000;
/// Most violations kept; the rest is counted by the last one.
pub(super) const VIOLATIONS_MAX: usize = 200;

/// How the media socket ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// It never opened, at no try.
    NeverConnected {
        /// Why.
        error: String,
    },
    /// The caller hung up.
    ByCaller {
        /// The server closed its side in time.
        answered: bool,
    },
    /// The server closed it.
    ByServer {
        /// The close code; none when the connection just ended.
        code: Option<u16>,
    },
    /// We broke it, as asked.
    Dropped,
    /// The server did not take our frames in time.
    ServerStalled,
    /// An error of the connection.
    Failed {
        /// Which.
        error: String,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// On the call's clock.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Kinds of events. Media messages are counted elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EventKind {
    /// We sent the start message.
    Started,
    /// A mark came from the server.
    MarkReceived {
        /// Its name.
        name: String,
    },
    /// We told the server that a mark has been played.
    MarkEchoed {
        /// Its name.
        name: String,
    },
    /// The server cleared the queue.
    Clear {
        /// What it dropped.
        dropped_ms: u64,
    },
    /// The caller pressed a key.
    Dtmf {
        /// Which.
        digit: char,
    },
    /// The caller hung up.
    HungUp,
    /// A fault was played.
    Fault {
        /// Which.
        name: String,
    },
}

/// Playback ran dry inside a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When playback ran dry.
    pub at_ms: u64,
    /// For how long.
    pub length_ms: u64,
}

/// A mark's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkSeen {
    /// Its name.
    pub name: String,
    /// When it came.
    pub received_ms: u64,
    /// When we gave it back; none when it was dropped, or still waiting at the end.
    pub echoed_ms: Option<u64>,
    /// Its audio was cleared before it was played.
    pub cleared: bool,
}

/// One media message from the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Received {
    /// When it came.
    pub at_ms: u64,
    /// How much audio it was.
    pub length_ms: u64,
    /// How loud.
    pub dbfs: f32,
}

/// Everything the carrier saw. Times are milliseconds on the call's clock, which starts with the start message.
#[derive(Clone, Debug, Serialize)]
pub struct CallObservation {
    /// The call.
    pub call_id: String,
    /// The stream.
    pub stream_id: String,
    /// Samples per second of both timelines.
    pub sample_rate_hz: u32,
    /// Length of the caller's frames.
    pub frame_ms: u64,
    /// The webhook's answer took so long.
    pub announce_ms: u64,
    /// Opening the socket took so long.
    pub connect_ms: u64,
    /// Tries to open it.
    pub connect_tries: u32,
    /// What happened.
    pub events: Vec<Event>,
    /// First media message louder than [`super::LOUD_DBFS`].
    pub first_agent_audio_ms: Option<u64>,
    /// Media messages from the server.
    pub media_in_count: u64,
    /// Media messages to the server.
    pub media_out_count: u64,
    /// Each media message from the server.
    pub received: Vec<Received>,
    /// What the server did against the carrier's rules.
    pub violations: Vec<String>,
    /// What is not forbidden, but advised against: the first of each kind.
    pub warnings: Vec<String>,
    /// Media messages from the server below the documented minimum of 3200 bytes.
    pub short_frames: u64,
    /// Playback ran dry inside a reply.
    pub gaps: Vec<Gap>,
    /// All gaps together.
    pub gap_total_ms: u64,
    /// Silences shorter than 700 ms after a mark: between two sentences of one reply. No gaps, but audible.
    pub pauses: Vec<Gap>,
    /// How far ahead of playback the server has sent, at most.
    pub max_ahead_ms: u64,
    /// When the server cleared.
    pub clear_at_ms: Vec<u64>,
    /// Marks.
    pub marks: Vec<MarkSeen>,
    /// How it ended.
    pub closed: Closed,
    /// Start message to end.
    pub duration_ms: u64,
    /// Our own lateness with a frame, at most: beyond a few ms the machine was too busy to judge anybody.
    pub late_frame_max_ms: u64,
    /// The server's answer to the end report: its status, or why there was none.
    pub end_report: Option<Result<u16, String>>,
    /// What the Connect applet behind the Voicebot did.
    pub transfer: Option<Transfer>,
    /// Where the media went, without user and password. It may hold a token, so it is not written out.
    #[serde(skip)]
    pub stream_url: String,
    /// What the caller heard, sample by sample on the call's clock.
    #[serde(skip)]
    pub agent_timeline: Vec<i16>,
    /// What the caller said.
    #[serde(skip)]
    pub caller_timeline: Vec<i16>,
}

impl CallObservation {
    /// Nothing seen yet.
    pub(super) fn new(options: &Options, ids: &CallIds) -> Self {
        Self {
            call_id: ids.call_id.clone(),
            stream_id: ids.stream_id.clone(),
            sample_rate_hz: options.sample_rate_hz,
            frame_ms: options.frame_ms,
            announce_ms: 0,
            connect_ms: 0,
            connect_tries: 0,
            events: Vec::new(),
            first_agent_audio_ms: None,
            media_in_count: 0,
            media_out_count: 0,
            received: Vec::new(),
            violations: Vec::new(),
            warnings: Vec::new(),
            short_frames: 0,
            gaps: Vec::new(),
            gap_total_ms: 0,
            pauses: Vec::new(),
            max_ahead_ms: 0,
            clear_at_ms: Vec::new(),
            marks: Vec::new(),
            closed: Closed::Dropped,
            duration_ms: 0,
            late_frame_max_ms: 0,
            end_report: None,
            transfer: None,
            stream_url: String::new(),
            agent_timeline: Vec::new(),
            caller_timeline: Vec::new(),
        }
    }

    pub(super) fn event(&mut self, at_ms: u64, kind: EventKind) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event { at_ms, kind });
        }
    }

    pub(super) fn violation(&mut self, at_ms: u64, what: impl std::fmt::Display) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(format!("{at_ms} ms: {what}"));
        }
    }

    /// The call as a stereo recording, caller left, agent right: interleaved samples.
    #[must_use]
    pub fn stereo(&self) -> Vec<i16> {
        let length = self.agent_timeline.len().max(self.caller_timeline.len());
        let at = |timeline: &[i16], i: usize| timeline.get(i).copied().unwrap_or(0);
        (0..length).flat_map(|i| [at(&self.caller_timeline, i), at(&self.agent_timeline, i)]).collect()
    }
}
