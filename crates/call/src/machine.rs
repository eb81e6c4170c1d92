//! Calls that we placed and no person answers: voicemail, and the network's announcements.

use crate::effect::Machine;
use crate::timing::MACHINE_WITHIN_MS;
use crate::{Call, CallerTurn, Closing, Effect, Effects, Note};
use language::announcement::{Answered, answered_by};
use model::{CallDirection, EndedReason};

/// A second of silence.
const BEEP_WAIT: &str = "ww";

impl Call {
    /// A machine may still be what answered.
    fn listens_for_machines(&self) -> bool {
        self.setup.agent.voicemail.detect
            && self.setup.direction == CallDirection::Outgoing
            && self.now.ms() <= MACHINE_WITHIN_MS
            && self.closing == Closing::Open
            && self.goodbye_when_cleared.is_none()
    }

    /// The network's announcement, of which these are the words so far, ends the call at once: it goes on for ever, and
    /// nobody hears us. True then.
    pub(crate) fn hears_announcement(&mut self, text: &str, effects: &mut Effects) -> bool {
        // «Is not available» may yet be the beginning of a voicemail's greeting.
        self.is_announcement(text).is_some_and(|(reason, sure)| {
            if sure {
                self.end_for_announcement(reason, effects);
            }
            sure
        })
    }

    /// Why nobody answers, and whether more words could change that.
    fn is_announcement(&self, text: &str) -> Option<(EndedReason, bool)> {
        if !self.listens_for_machines() {
            return None;
        }
        match answered_by(text) {
            Answered::SwitchedOff => Some((EndedReason::CallerUnreachable, true)),
            Answered::NotReachable => Some((EndedReason::CallerUnreachable, false)),
            Answered::Busy => Some((EndedReason::CallerBusy, true)),
            Answered::Person | Answered::Voicemail | Answered::Screening | Answered::Unknown => None,
        }
    }

    fn end_for_announcement(&mut self, reason: EndedReason, effects: &mut Effects) {
        effects.push(Effect::Note(Note::AnsweredByMachine { what: Machine::Announcement }));
        self.cancel_thinking(effects);
        self.hang_up(reason, effects);
    }

    /// The greeting of a voicemail is over: leave the message, if there is one. True when it was one.
    pub(crate) fn hears_voicemail(&mut self, turn: &CallerTurn, effects: &mut Effects) -> bool {
        if let Some((reason, _)) = self.is_announcement(&turn.text) {
            self.caller_turn(&turn.text, turn.began, turn.ended, effects);
            self.end_for_announcement(reason, effects);
            return true;
        }
        if !self.listens_for_machines() || answered_by(&turn.text) != Answered::Voicemail {
            return false;
        }
        self.caller_turn(&turn.text, turn.began, turn.ended, effects);
        effects.push(Effect::Note(Note::AnsweredByMachine { what: Machine::Voicemail }));
        match self.setup.agent.voicemail.message.clone() {
            // What it is saying now, the machine has not taken down.
            Some(message) if self.mouth.is_busy() => {
                self.stop_and_say_goodbye(message, EndedReason::AgentVoicemail, effects);
            }
            Some(message) => {
                self.wait_for_the_beep(effects);
                self.say_goodbye(&message, EndedReason::AgentVoicemail, effects);
            }
            None => self.hang_up(EndedReason::AgentVoicemail, effects),
        }
        true
    }

    /// A machine beeps after its greeting and takes down what comes after.
    pub(crate) fn wait_for_the_beep(&mut self, effects: &mut Effects) {
        if !self.mouth.is_busy() {
            let speech = self.push_sentence("", false, true);
            effects.push(Effect::PlayKeys { speech, keys: BEEP_WAIT.to_owned() });
        }
    }
}
