//! The person on a scripted telephone, and a meter around them that tells how late this process is.

use super::figures::{Figures, Window};
use anyhow::Context;
use std::path::Path;
use std::time::Duration;
use testkit::caller::{Script, ScriptedCaller, Voice};
use testkit::carrier::{CallObservation, CallerAction, CallerSide};
use testkit::load::SAMPLE_RATE_HZ;
use tokio::time::Instant;

/// The line's noise is the same in every run.
const SEED: u64 = 7;

/// The visit to the clinic.
pub(super) fn clinic(voices: &Path) -> anyhow::Result<ScriptedCaller> {
    let voice = Voice::open(voices).context("the callers have no voice; run `make models`")?;
    ScriptedCaller::new(Script::clinic(), &voice, SAMPLE_RATE_HZ, SEED).context("the caller cannot speak")
}

/// A caller on the line, with a meter for this process's own lateness.
pub(super) struct Metered {
    caller: ScriptedCaller,
    frame_ms: u64,
    window: Window,
    hang_up_at: Instant,
    /// When the call began, if the frame just sent was in time.
    earliest: Option<Instant>,
    /// The same of each frame of the window.
    begins: Vec<Instant>,
}

impl Metered {
    pub(super) const fn new(caller: ScriptedCaller, frame_ms: u64, window: Window, hang_up_at: Instant) -> Self {
        Self { caller, frame_ms, window, hang_up_at, earliest: None, begins: Vec::new() }
    }

    /// What the call was like.
    pub(super) fn figures(&self, seen: &CallObservation) -> Figures {
        // No frame is early: the earliest one was in time.
        let Some(began) = self.earliest else { return Figures::failed(super::figures::failure(seen, true)) };
        let late_us = self.begins.iter().map(|begin| begin.duration_since(began).as_micros() as u64).collect();
        let said_all = self.caller.unsaid() == 0;
        Figures::of_call(seen, self.caller.utterances(), said_all, self.window, began, late_us)
    }
}

impl CallerSide for Metered {
    fn next_frame(&mut self, now_ms: u64, agent_dbfs: f32, count: usize, frame: &mut Vec<i16>) -> CallerAction {
        let now = Instant::now();
        // The frame of these milliseconds is due when they are over.
        let begin = now.checked_sub(Duration::from_millis(now_ms + self.frame_ms)).unwrap_or(now);
        self.earliest = Some(self.earliest.map_or(begin, |earliest| earliest.min(begin)));
        if self.window.contains(now) {
            self.begins.push(begin);
        }
        if now >= self.hang_up_at {
            return CallerAction::HangUp;
        }
        self.caller.next_frame(now_ms, agent_dbfs, count, frame)
    }
}
