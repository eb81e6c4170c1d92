//! Keys on the caller's phone: asked for by a tool, or instead of words.

use crate::mind::Busy;
use crate::timing::{KEYS_MAX, KEYS_PAUSE_MS};
use crate::{Call, CallerTurn, Closing, Effects};
use model::CallTime;

/// Keys typed without being asked for.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    typed: String,
    began: CallTime,
    last: CallTime,
    complete: bool,
    /// Keys until then belong to what was typed before: the hash after the last digit.
    rests_until: CallTime,
}

impl Keys {
    pub(crate) fn clear(&mut self) {
        self.typed.clear();
        self.complete = false;
    }

    pub(crate) const fn rest_until(&mut self, until: CallTime) {
        self.rests_until = until;
    }

    pub(crate) fn deadline(&self) -> Option<CallTime> {
        match (self.typed.is_empty(), self.complete) {
            (true, _) => None,
            (false, true) => Some(self.last),
            (false, false) => Some(self.last + KEYS_PAUSE_MS),
        }
    }

    fn push(&mut self, key: char, now: CallTime) {
        if self.typed.is_empty() {
            self.began = now;
        }
        self.last = now;
        match key {
            '#' => self.complete = !self.typed.is_empty(),
            key if self.typed.len() < KEYS_MAX => self.typed.push(key),
            _ => {}
        }
    }
}

impl Call {
    pub(crate) fn key(&mut self, key: char, effects: &mut Effects) {
        if !self.connected || self.closing != Closing::Open || !(key.is_ascii_digit() || matches!(key, '*' | '#')) {
            return;
        }
        self.quiet_since = self.now;
        let now = self.now;
        if let Some(Busy::Keys(collecting)) = &mut self.mind.busy {
            collecting.due = now + collecting.timeout_ms;
            let finished = key == collecting.finish_key;
            if !finished {
                collecting.digits.push(key);
            }
            if finished || collecting.digits.len() >= collecting.digits_max {
                let digits = std::mem::take(&mut collecting.digits);
                self.stop_for_keys(effects);
                self.keys_collected(digits, effects);
            } else {
                self.stop_for_keys(effects);
            }
            return;
        }
        if now < self.keys.rests_until {
            return;
        }
        self.keys.push(key, now);
        // A hash alone is nothing typed.
        if !self.keys.typed.is_empty() {
            self.stop_for_keys(effects);
        }
    }

    /// Somebody who types has heard enough.
    fn stop_for_keys(&mut self, effects: &mut Effects) {
        if self.mouth.is_busy() && self.mouth.may_be_interrupted() {
            self.interrupt(self.now, effects);
        }
    }

    /// The time for typing begins when the agent has finished asking.
    pub(crate) fn keys_wait_from_now(&mut self) {
        let (now, speaking) = (self.now, self.mouth.is_busy());
        if let Some(Busy::Keys(collecting)) = &mut self.mind.busy
            && !speaking
        {
            collecting.due = now + collecting.timeout_ms;
        }
    }

    /// The caller speaks instead of typing: what was typed so far is the result, the words are answered after it.
    pub(crate) fn words_instead_of_keys(&mut self, effects: &mut Effects) {
        if let Some(Busy::Keys(collecting)) = &mut self.mind.busy {
            let digits = std::mem::take(&mut collecting.digits);
            self.keys_collected(digits, effects);
        }
    }

    pub(crate) fn pass_keys(&mut self, effects: &mut Effects) {
        if self.keys.deadline().is_none_or(|due| self.now < due) {
            return;
        }
        if let Some(turn) = self.keys_as_turn() {
            self.turn_over(turn, effects);
        }
    }

    /// What was typed without being asked for, as what the caller said.
    pub(crate) fn keys_as_turn(&mut self) -> Option<CallerTurn> {
        let typed = std::mem::take(&mut self.keys.typed);
        let (began, ended) = (self.keys.began, self.keys.last);
        self.keys.clear();
        // A flow understands digits; a model is told that they were typed.
        let text = if self.mind.is_model() { format!("(pressed {typed})") } else { typed.clone() };
        (!typed.is_empty()).then_some(CallerTurn { text, began, ended, transcription_ms: None })
    }
}
