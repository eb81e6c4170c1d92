//! From a turn of the caller to an answer that is heard: the mind's steps, sentences, tools, and what happens when a
//! stage does not do its work.

use crate::flow::{FlowStep, Then};
use crate::mind::{Busy, Step, say};
use crate::mouth::{Said, Sentence};
use crate::timing::{FAILURES_MAX, GOODBYE_MS, THINK_DEADLINE_MS, THINK_IDLE_MS, TOOL_DEADLINE_MS};
use crate::{Call, Closing, Effect, Effects, Note, SpeechId, Stage, WorkId};
use language::sentence::SentenceCutter;
use model::{EndedReason, Latency, TranscriptTurn, TurnRole};
use std::collections::BTreeMap;

impl Call {
    /// Does what the mind wants.
    pub(crate) fn perform(&mut self, step: Step, effects: &mut Effects) {
        match step {
            Step::Answer(answer) => self.answer(answer, effects),
            Step::Ask(messages) => {
                let work = self.work();
                let due = self.now + THINK_DEADLINE_MS;
                let cutter = Box::new(SentenceCutter::new());
                self.mind.busy = Some(Busy::Thinking { work, due, cutter, spoken: false });
                effects.push(Effect::Think { work, messages });
            }
        }
    }

    fn answer(&mut self, answer: FlowStep, effects: &mut Effects) {
        let silent = answer.say.iter().all(|line| line.text.trim().is_empty());
        for line in &answer.say {
            self.speak(&line.text, line.interruptible, effects);
        }
        match answer.then {
            Then::Listen => {}
            Then::RunTool { name, arguments } => {
                let work = self.work();
                // What a tool does cannot be taken back, so neither can the turn, even once the tool is done.
                self.last_caller_turn = None;
                self.mind.busy = Some(Busy::Tool { work, due: self.now + TOOL_DEADLINE_MS });
                effects.push(Effect::Note(Note::ToolStarted { name: name.clone() }));
                effects.push(Effect::RunTool { work, name, arguments });
            }
            Then::Transfer { to } => {
                self.close_after_speech(EndedReason::AgentTransferred, Some(to), GOODBYE_MS, silent);
            }
            Then::HangUp => self.close_after_speech(EndedReason::AgentCompleted, None, GOODBYE_MS, silent),
        }
    }

    fn close_after_speech(&mut self, reason: EndedReason, transfer_to: Option<String>, within_ms: u64, at_once: bool) {
        let by = if at_once && !self.mouth.is_busy() { self.now } else { self.now + within_ms };
        self.closing = Closing::AfterSpeech { reason, by, transfer_to };
    }

    /// Says goodbye with these words and ends the call for this reason. Nothing can interrupt it.
    pub(crate) fn say_goodbye(&mut self, words: &str, reason: EndedReason, effects: &mut Effects) {
        if self.closing != Closing::Open {
            return;
        }
        self.cancel_thinking(effects);
        self.mind.busy = None;
        self.speak(words, false, effects);
        self.close_after_speech(reason, None, GOODBYE_MS, false);
    }

    pub(crate) fn speak(&mut self, text: &str, interruptible: bool, effects: &mut Effects) {
        let text = text.trim();
        if text.is_empty() || self.mouth.is_full() {
            return;
        }
        if self.latency.thinking_ms.is_none()
            && let Some(decided_at) = self.decided_at
        {
            self.latency.thinking_ms = Some(self.now.since(decided_at));
        }
        let speech = SpeechId(self.work().0);
        self.mouth.push(Sentence {
            speech,
            text: text.to_owned(),
            interruptible,
            asked_at: self.now,
            started_at: None,
            total_ms: None,
        });
        effects.push(Effect::Speak { speech, text: text.to_owned() });
    }

    pub(crate) fn cancel_thinking(&mut self, effects: &mut Effects) {
        if let Some(Busy::Thinking { work, .. }) = &self.mind.busy {
            effects.push(Effect::Cancel { work: *work });
            self.mind.busy = None;
        }
    }

    pub(crate) fn thought_text(&mut self, work: WorkId, text: &str, effects: &mut Effects) {
        let now = self.now;
        let Some(Busy::Thinking { work: current, due, cutter, spoken }) = &mut self.mind.busy else { return };
        if *current != work {
            return;
        }
        *due = now + THINK_IDLE_MS;
        let sentences = cutter.push(text);
        *spoken |= !sentences.is_empty();
        for sentence in sentences {
            self.speak(&sentence, true, effects);
        }
    }

    pub(crate) fn thought_done(&mut self, work: WorkId, effects: &mut Effects) {
        let Some(Busy::Thinking { work: current, cutter, spoken, .. }) = &mut self.mind.busy else { return };
        if *current != work {
            return;
        }
        let rest = cutter.finish();
        let empty = rest.is_none() && !*spoken;
        self.mind.busy = None;
        if empty {
            self.thinking_failed(effects);
            return;
        }
        self.failures.thinking = 0;
        if let Some(rest) = rest {
            self.speak(&rest, true, effects);
        }
        self.after_playback(effects);
    }

    pub(crate) fn think_failed(&mut self, work: WorkId, effects: &mut Effects) {
        if let Some(Busy::Thinking { work: current, spoken, .. }) = &self.mind.busy
            && *current == work
        {
            let spoken = *spoken;
            self.thinking_stopped(spoken, effects);
        }
    }

    /// The model gave up in the middle, or before it began.
    fn thinking_stopped(&mut self, spoken: bool, effects: &mut Effects) {
        self.mind.busy = None;
        if spoken {
            // What was said stands; the rest is lost. The caller has the floor.
            effects.push(Effect::Note(Note::StageFailed { stage: Stage::Thinking }));
            self.after_playback(effects);
        } else {
            self.thinking_failed(effects);
        }
    }

    fn thinking_failed(&mut self, effects: &mut Effects) {
        effects.push(Effect::Note(Note::StageFailed { stage: Stage::Thinking }));
        self.failures.thinking += 1;
        if self.failed_too_often(effects) {
            return;
        }
        // Asking the caller to say it again is the retry: it gives the model another chance, and the caller the floor.
        self.speak(self.mind.phrases.say_again, true, effects);
    }

    /// After too many failures of a stage in a row the call says sorry and ends; true then.
    pub(crate) fn failed_too_often(&mut self, effects: &mut Effects) -> bool {
        if self.failures.transcribing.max(self.failures.thinking) < FAILURES_MAX {
            return false;
        }
        self.say_goodbye(self.mind.phrases.apology, EndedReason::ProviderFailed, effects);
        true
    }

    pub(crate) fn tool_finished(
        &mut self,
        work: WorkId,
        outcome: Result<BTreeMap<String, String>, String>,
        effects: &mut Effects,
    ) {
        if !matches!(&self.mind.busy, Some(Busy::Tool { work: current, .. }) if *current == work) {
            return;
        }
        self.mind.busy = None;
        effects.push(Effect::Note(Note::ToolFinished { succeeded: outcome.is_ok() }));
        self.interrupted_rest.clear();
        if self.closing != Closing::Open {
            return;
        }
        let context = self.context();
        let step = self.mind.tool_finished(outcome, &context);
        self.perform(step, effects);
    }

    pub(crate) fn speech_started(&mut self, speech: SpeechId) {
        let first = self.mouth.started(speech, self.now);
        if !first {
            return;
        }
        if let Some(decided_at) = self.decided_at {
            let thought = self.latency.thinking_ms.unwrap_or(0);
            self.latency.speaking_ms = Some(self.now.since(decided_at).saturating_sub(thought));
        }
        if let Some(voice_end) = self.answered_voice_end {
            self.latency.end_to_end_ms = Some(self.now.since(voice_end));
        }
    }

    pub(crate) fn speech_failed(&mut self, speech: SpeechId, effects: &mut Effects) {
        if self.mouth.remove(speech, self.now).is_none() {
            return;
        }
        effects.push(Effect::Note(Note::StageFailed { stage: Stage::Speaking }));
        self.failures.speaking += 1;
        if self.failures.speaking >= FAILURES_MAX && !self.mouth.is_busy() {
            // Without a voice there is no apology either.
            self.hang_up(EndedReason::ProviderFailed, effects);
            return;
        }
        self.after_playback(effects);
    }

    pub(crate) fn played(&mut self, speech: SpeechId, effects: &mut Effects) {
        if self.mouth.is_clearing() || !self.mouth.played(speech, self.now) {
            return;
        }
        self.failures.speaking = 0;
        self.after_playback(effects);
    }

    /// When the last sentence of a turn has been heard: record the turn, then do what comes after it.
    fn after_playback(&mut self, effects: &mut Effects) {
        self.quiet_since = self.now;
        if self.mouth.is_busy() || matches!(self.mind.busy, Some(Busy::Thinking { .. })) {
            return;
        }
        if self.mouth.has_finished()
            && let Some(said) = self.mouth.cut(|_| None, self.now)
        {
            self.agent_turn(said, false, effects);
        }
        if let Closing::AfterSpeech { reason, transfer_to, .. } = self.closing.clone() {
            self.close(reason, transfer_to, effects);
            return;
        }
        self.take_pending_turn(effects);
    }

    /// Records what the agent said, and remembers of it what was heard.
    pub(crate) fn agent_turn(&mut self, said: Said, interrupted: bool, effects: &mut Effects) {
        let latency = std::mem::take(&mut self.latency);
        let answered = self.answered_voice_end.take().is_some();
        self.decided_at = None;
        self.last_caller_turn = None;
        self.mind.agent_heard(&said.heard);
        let turn = TranscriptTurn {
            index: self.next_turn_index(),
            role: TurnRole::Agent,
            intended: (said.heard != said.intended).then_some(said.intended),
            text: said.heard,
            interrupted,
            started_ms: said.started.ms(),
            ended_ms: self.now.ms(),
            latency: (answered && latency != Latency::default()).then_some(latency),
        };
        self.note_turn(turn, effects);
    }

    pub(crate) fn pass_mind_time(&mut self, effects: &mut Effects) {
        let Some(due) = self.mind.deadline() else { return };
        if self.now < due {
            return;
        }
        match self.mind.busy.take() {
            Some(Busy::Thinking { work, spoken, .. }) => {
                effects.push(Effect::Cancel { work });
                self.thinking_stopped(spoken, effects);
            }
            Some(Busy::Tool { work, .. }) => {
                effects.push(Effect::Cancel { work });
                effects.push(Effect::Note(Note::StageFailed { stage: Stage::Tool }));
                effects.push(Effect::Note(Note::ToolFinished { succeeded: false }));
                let context = self.context();
                let step = self.mind.tool_finished(Err("no answer in time".to_owned()), &context);
                self.perform(step, effects);
            }
            None => {}
        }
    }

    pub(crate) fn pass_mouth_time(&mut self, effects: &mut Effects) {
        if self.mouth.clear_overdue(self.now) {
            // The shell owes an answer and does not give it: nothing is known to have been heard.
            self.playback_cleared(&[], effects);
        }
        while let Some((speech, at, was_spoken)) = self.mouth.overdue() {
            if self.now < at || self.mouth.is_clearing() {
                return;
            }
            if was_spoken {
                effects.push(Effect::Note(Note::MarkMissing));
                self.played(speech, effects);
            } else {
                effects.push(Effect::CancelSpeech { speech });
                self.speech_failed(speech, effects);
            }
        }
    }

    /// Nobody speaks and nothing is being done: when to remind the caller.
    pub(crate) fn silence_deadline(&self) -> Option<model::CallTime> {
        let idle =
            !self.ear.is_busy() && !self.mouth.is_busy() && !self.mind.is_busy() && self.closing == Closing::Open;
        idle.then(|| self.quiet_since + self.setup.agent.turn_taking.reminder_after_ms)
    }

    pub(crate) fn pass_silence(&mut self, effects: &mut Effects) {
        let Some(due) = self.silence_deadline() else { return };
        if self.now < due {
            return;
        }
        if self.reminders >= self.setup.agent.turn_taking.reminders_max {
            let words = self.mind.goodbye();
            self.say_goodbye(&words, EndedReason::AgentSilence, effects);
            return;
        }
        self.reminders += 1;
        effects.push(Effect::Note(Note::Reminded { count: self.reminders }));
        let reminder = self.mind.reminder();
        self.answer(say(reminder, Then::Listen), effects);
    }
}
