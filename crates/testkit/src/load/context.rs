//! What all parties of the load share: the time, the wheel, the counters.

use super::figures::{Figures, Lateness};
use super::vendors::Answers;
use super::wheel::{Micros, Wheel};
use chrono::{DateTime, Utc};
use mio::Registry;
use std::time::SystemTime;

/// Groups of calls that are counted apart.
pub const GROUPS: usize = 2;

/// Which group of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Those that are measured.
    Live = 0,
    /// Those that come all at once.
    Storm = 1,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A call begins.
    Begin,
    /// A frame of the caller's sound is due.
    Frame,
    /// A mark is reached.
    Mark,
    /// The server has had its time.
    Deadline,
    /// The caller hangs up.
    End,
    /// A vendor has something to say.
    Due,
}

/// A timer of one party.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    pub(super) slot: usize,
    /// Void when the party has gone on since.
    pub(super) leg: u64,
    pub(super) what: What,
}

/// What vendors were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VendorCounts {
    /// Streams of sound to be transcribed.
    pub listens: u64,
    /// Utterances transcribed.
    pub finals: u64,
    /// Chat requests.
    pub chats: u64,
    /// Connections for speech.
    pub speaks: u64,
    /// Sentences spoken.
    pub sentences: u64,
    /// Speech that was cleared.
    pub clears: u64,
}

/// See the module.
pub(super) struct Context {
    pub(super) now: Micros,
    pub(super) wheel: Wheel<Timer>,
    pub(super) registry: Registry,
    pub(super) scratch: Vec<u8>,
    pub(super) figures: [Figures; GROUPS],
    /// What begins within it counts.
    pub(super) window: (Micros, Micros),
    pub(super) hanging_up: bool,
    /// When hanging up began, and how long it takes until all have.
    pub(super) hangs_up: (Micros, Micros),
    /// Calls whose media is open.
    pub(super) live: u64,
    pub(super) calls: u64,
    pub(super) random: u64,
    pub(super) answers: Answers,
    pub(super) counts: VendorCounts,
    pub(super) vendors_late: Lateness,
}

impl Context {
    pub(super) fn figures(&mut self, group: Group) -> &mut Figures {
        &mut self.figures[group as usize]
    }

    pub(super) const fn in_window(&self) -> bool {
        self.now >= self.window.0 && self.now < self.window.1
    }

    /// Whether the caller in this place hangs up by now: not all in the same moment.
    pub(super) const fn hangs_up(&self, slot: usize) -> bool {
        let (from, over) = self.hangs_up;
        // Neighbours began one after the other; a large stride spreads them.
        self.hanging_up && self.now >= from + over * (slot as u64 * 379 % 1_000) / 1_000
    }

    pub(super) const fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// Any number from one to the other.
    pub(super) const fn between(&mut self, min: u64, max: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        min + self.random % (max - min + 1)
    }
}

/// The carrier's clock is its own.
#[expect(clippy::disallowed_methods, reason = "the one place where this carrier reads the calendar")]
pub(super) fn clock() -> DateTime<Utc> {
    DateTime::from(SystemTime::now())
}
