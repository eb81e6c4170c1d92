//! How a call ends: after a goodbye, at once, or because the other side is gone. Always with one reason, once.

use crate::ear::EarState;
use crate::timing::GOODBYE_MS;
use crate::{Call, Closing, Command, Effect, Effects};
use model::EndedReason;

/// How long words take to be said, at most: ten characters a second, and time to begin.
pub(crate) fn saying_ms(words: &str) -> u64 {
    GOODBYE_MS.max(5_000 + 100 * words.chars().count() as u64)
}

impl Call {
    pub(crate) fn command(&mut self, command: Command, effects: &mut Effects) {
        match command {
            Command::HangUp => self.hang_up(EndedReason::OperatorHungUp, effects),
            Command::Say { text } => {
                if self.closing == Closing::Open && self.connected {
                    let end = text.floor_char_boundary(model::limits::TURN_TEXT_BYTES_MAX);
                    self.speak(&text[..end], true, effects);
                }
            }
            Command::Drain if !self.connected => self.hang_up(EndedReason::CalyDrained, effects),
            Command::Drain => {
                let words = self.mind.phrases.goodbye_drain.to_owned();
                self.stop_and_say_goodbye(words, EndedReason::CalyDrained, effects);
            }
        }
    }

    /// Cuts what is being said, so that the goodbye is heard at once.
    pub(crate) fn stop_and_say_goodbye(&mut self, words: String, reason: EndedReason, effects: &mut Effects) {
        if self.closing != Closing::Open || self.goodbye_when_cleared.is_some() {
            return;
        }
        if self.mouth.is_busy() {
            self.goodbye_when_cleared = Some((words, reason));
            if !self.mouth.is_clearing() {
                self.mouth.begin_clearing(self.now);
                effects.push(Effect::ClearPlayback);
            }
        } else {
            self.say_goodbye(&words, reason, effects);
        }
    }

    /// The caller's side is gone, or the shell must end: record what was heard and be done.
    pub(crate) fn ended(&mut self, reason: EndedReason, effects: &mut Effects) {
        // A caller who hangs up during the goodbye did not end the call early.
        let reason = match (&self.closing, reason) {
            // One who leaves before being handed over was not handed over.
            (
                Closing::AfterSpeech { reason: ours, transfer_to: None, .. },
                EndedReason::CallerHungUp | EndedReason::CarrierStopped,
            ) => *ours,
            (Closing::AfterSpeech { .. } | Closing::Open | Closing::Done, given) => given,
        };
        self.hang_up(reason, effects);
    }

    /// Ends now.
    pub(crate) fn hang_up(&mut self, reason: EndedReason, effects: &mut Effects) {
        if let Some(said) = self.mouth.cut(|_| None, self.now) {
            let interrupted = !said.rest.is_empty();
            self.agent_turn(said, interrupted, effects);
        }
        self.drop_eager(effects);
        self.keep_unanswered(effects);
        self.closing = Closing::Done;
        effects.push(Effect::HangUp { reason });
    }

    /// What the caller said last belongs into the transcript even when nobody will answer it.
    fn keep_unanswered(&mut self, effects: &mut Effects) {
        if let Some(pending) = self.pending_turn.take() {
            self.caller_turn(&pending.text, pending.began, pending.ended, effects);
        }
        if let Some(typed) = self.keys_as_turn() {
            self.caller_turn(&typed.text, typed.began, typed.ended, effects);
        }
        let (words, began, ended) = match std::mem::take(&mut self.ear.state) {
            EarState::Paused(pause) => (pause.text.map(|t| t.words).unwrap_or_default(), pause.began, pause.ended),
            EarState::Hearing { began, until } => (String::new(), began, until),
            EarState::Quiet => (String::new(), self.now, self.now),
        };
        let whole = self.with_carried(&words);
        let began = self.ear.carried.take().map_or(began, |carried| carried.began);
        if !whole.is_empty() {
            self.caller_turn(&whole, began, ended, effects);
        }
    }

    pub(crate) fn close(&mut self, reason: EndedReason, transfer_to: Option<String>, effects: &mut Effects) {
        if let Some(to) = transfer_to {
            effects.push(Effect::Transfer { to });
        }
        self.hang_up(reason, effects);
    }

    pub(crate) fn pass_closing_time(&mut self, effects: &mut Effects) {
        match self.closing.clone() {
            Closing::AfterSpeech { reason, by, transfer_to } if self.now >= by => {
                self.close(reason, transfer_to, effects)
            }
            Closing::Open if self.now.ms() >= self.setup.agent.max_duration_s.saturating_mul(1_000) => {
                let words = self.mind.phrases.goodbye_time.to_owned();
                self.stop_and_say_goodbye(words, EndedReason::AgentMaxDuration, effects);
            }
            Closing::AfterSpeech { .. } | Closing::Open | Closing::Done => {}
        }
    }
}
