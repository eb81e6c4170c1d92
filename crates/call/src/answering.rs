//! From a turn of the caller to an answer that is heard: the mind's steps, sentences, tools, and what happens when a
//! stage does not do its work.

use crate::ending::saying_ms;
use crate::flow::{FlowStep, Then};
use crate::mind::{Busy, Step, Thinking, say};
use crate::mouth::{Said, Sentence};
use crate::timing::{FAILURES_MAX, FILLERS_MAX, GOODBYE_MS, THINK_DEADLINE_MS, THINK_IDLE_MS, TOOL_DEADLINE_MS};
use crate::{Call, Closing, Effect, Effects, Message, Note, SpeechId, Stage, Tone, WorkId};
use language::sentence::SentenceCutter;
use model::{Brain, CallTime, EndedReason, Latency, TranscriptTurn, TurnRole};
use serde_json::Value;

impl Call {
    /// Does what the mind wants.
    pub(crate) fn perform(&mut self, step: Step, effects: &mut Effects) {
        match step {
            Step::Answer(answer) => self.answer(answer, effects),
            Step::Ask(messages) => self.ask(messages, effects),
        }
    }

    /// Asks the language model, unless the call has used what it may use.
    pub(crate) fn ask(&mut self, messages: Vec<Message>, effects: &mut Effects) {
        if self.is_over_budget() {
            self.say_goodbye(self.mind.phrases.goodbye_time, EndedReason::AgentBudget, effects);
            return;
        }
        let work = self.work();
        self.mind.busy = Some(Busy::Thinking(self.thinking(work)));
        effects.push(Effect::Think { work, messages, language: self.language.current().to_owned() });
    }

    pub(crate) fn thinking(&self, work: WorkId) -> Thinking {
        Thinking {
            work,
            due: self.now + THINK_DEADLINE_MS,
            cutter: Box::new(SentenceCutter::new()),
            spoken: false,
            asked: Vec::new(),
            speech: None,
        }
    }

    pub(crate) fn is_over_budget(&self) -> bool {
        match &self.setup.agent.brain {
            Brain::LanguageModel(model) => model.tokens_max > 0 && self.tokens_used >= model.tokens_max,
            Brain::Flow { .. } | Brain::SpeechModel(_) => false,
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
                let arguments = arguments.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
                effects.push(Effect::RunTool { work, name, arguments });
            }
            Then::Transfer { to } => {
                self.close_after_speech(EndedReason::AgentTransferred, Some(to), GOODBYE_MS, silent);
            }
            Then::HangUp => self.close_after_speech(EndedReason::AgentCompleted, None, GOODBYE_MS, silent),
        }
    }

    pub(crate) fn close_after_speech(
        &mut self,
        reason: EndedReason,
        transfer_to: Option<String>,
        within_ms: u64,
        at_once: bool,
    ) {
        let by = if at_once && !self.mouth.is_busy() { self.now } else { self.now + within_ms };
        self.closing = Closing::AfterSpeech { reason, by, transfer_to };
    }

    /// Says goodbye with these words and ends the call for this reason. Nothing can interrupt it.
    pub(crate) fn say_goodbye(&mut self, words: &str, reason: EndedReason, effects: &mut Effects) {
        if self.closing != Closing::Open {
            return;
        }
        self.stop_answering(effects);
        self.speak(words, false, effects);
        self.close_after_speech(reason, None, saying_ms(words), !self.mouth.is_busy());
    }

    /// Nothing more comes of what the mind is doing.
    fn stop_answering(&mut self, effects: &mut Effects) {
        self.cancel_thinking(effects);
        self.mind.busy = None;
        self.tooling.round = None;
    }

    pub(crate) fn speak(&mut self, text: &str, interruptible: bool, effects: &mut Effects) {
        self.speak_as(text, interruptible, false, effects);
    }

    fn speak_as(&mut self, text: &str, interruptible: bool, filler: bool, effects: &mut Effects) {
        let text = text.trim();
        if text.is_empty() || self.mouth.is_full() {
            return;
        }
        if !filler {
            self.answer_begins();
        }
        let speech = self.push_sentence(text, interruptible, filler);
        effects.push(Effect::Speak { speech, text: text.to_owned(), language: self.language.current().to_owned() });
    }

    /// The first thing to say in answer to the caller is there.
    fn answer_begins(&mut self) {
        if self.latency.thinking_ms.is_none()
            && let Some(decided_at) = self.decided_at
        {
            self.latency.thinking_ms = Some(self.now.since(decided_at));
        }
    }

    pub(crate) fn push_sentence(&mut self, text: &str, interruptible: bool, filler: bool) -> SpeechId {
        let speech = SpeechId(self.work().0);
        self.mouth.push(Sentence {
            speech,
            text: text.to_owned(),
            interruptible: interruptible && self.setup.agent.turn_taking.interruptible,
            filler,
            asked_at: self.now,
            started_at: None,
            total_ms: None,
        });
        speech
    }

    pub(crate) fn cancel_thinking(&mut self, effects: &mut Effects) {
        self.drop_eager(effects);
        if let Some(Busy::Thinking(Thinking { work, .. })) = &self.mind.busy {
            effects.push(Effect::Cancel { work: *work });
            self.mind.busy = None;
        }
    }

    /// The answer that this work makes.
    fn current_thinking(&mut self, work: WorkId) -> Option<&mut Thinking> {
        match &mut self.mind.busy {
            Some(Busy::Thinking(thinking)) if thinking.work == work => Some(thinking),
            Some(Busy::Thinking(_) | Busy::Tool { .. } | Busy::Keys(_)) | None => None,
        }
    }

    pub(crate) fn thought_text(&mut self, work: WorkId, text: &str, effects: &mut Effects) {
        let (now, speaks) = (self.now, self.mind.speaks());
        let Some(thinking) = self.current_thinking(work) else { return };
        thinking.due = now + THINK_IDLE_MS;
        if speaks {
            self.thought_aloud(work, text, effects);
            return;
        }
        let mut sentences = thinking.cutter.push(text);
        sentences.extend(thinking.cutter.at_end_of_piece());
        thinking.spoken |= !sentences.is_empty();
        for sentence in sentences {
            self.speak(&sentence, true, effects);
        }
    }

    /// A model that speaks by itself has said more: its answer is one sentence, which grows.
    fn thought_aloud(&mut self, work: WorkId, text: &str, effects: &mut Effects) {
        let speech = self.current_thinking(work).and_then(|thinking| thinking.speech);
        if let Some(speech) = speech {
            self.mouth.append(speech, text);
            return;
        }
        if self.mouth.is_full() {
            return;
        }
        self.answer_begins();
        let speech = self.push_sentence(text, true, false);
        if let Some(thinking) = self.current_thinking(work) {
            thinking.speech = Some(speech);
            thinking.spoken = true;
        }
        effects.push(Effect::SpeakThought { speech, work });
    }

    pub(crate) fn thought_used(&mut self, tokens: u64) {
        // Of answers that were thrown away, too: they were paid for.
        self.tokens_used = self.tokens_used.saturating_add(tokens);
    }

    pub(crate) fn thought_done(&mut self, work: WorkId, effects: &mut Effects) {
        let Some(thinking) = self.current_thinking(work) else { return };
        let rest = thinking.cutter.finish();
        let spoken = thinking.spoken || rest.is_some();
        let asked = std::mem::take(&mut thinking.asked);
        self.mind.busy = None;
        if !spoken && asked.is_empty() {
            self.thinking_failed(effects);
            return;
        }
        self.failures.thinking = 0;
        if let Some(rest) = rest {
            self.speak(&rest, true, effects);
        }
        if asked.is_empty() {
            self.after_playback(effects);
        } else {
            self.begin_round(asked, spoken, effects);
        }
    }

    pub(crate) fn think_failed(&mut self, work: WorkId, effects: &mut Effects) {
        if let Some(thinking) = self.current_thinking(work) {
            let spoken = thinking.spoken;
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

    pub(crate) fn thinking_failed(&mut self, effects: &mut Effects) {
        effects.push(Effect::Note(Note::StageFailed { stage: Stage::Thinking }));
        self.failures.thinking += 1;
        if self.failed_too_often(effects) {
            return;
        }
        // Asking the caller to say it again is the retry: it gives the model another chance, and the caller the floor.
        self.speak(self.mind.phrases.trouble, true, effects);
    }

    /// After too many failures of a stage in a row the call says sorry and ends; true then.
    pub(crate) fn failed_too_often(&mut self, effects: &mut Effects) -> bool {
        if self.failures.transcribing.max(self.failures.thinking) < FAILURES_MAX {
            return false;
        }
        self.say_goodbye(self.mind.phrases.apology, EndedReason::ProviderFailed, effects);
        true
    }

    /// A tool of a flow has answered; those of models: [`Call::tool_ended`].
    pub(crate) fn flow_tool_finished(&mut self, outcome: Result<crate::ToolOutput, String>, effects: &mut Effects) {
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
        // What is being cleared need not be spoken.
        if self.mouth.is_clearing() || !self.mouth.remove(speech, self.now) {
            return;
        }
        effects.push(Effect::Note(Note::StageFailed { stage: Stage::Speaking }));
        self.failures.speaking += 1;
        if self.failures.speaking >= FAILURES_MAX && !self.mouth.is_busy() {
            self.end_without_a_voice(effects);
            return;
        }
        self.after_playback(effects);
    }

    /// There is no voice for an apology either: a tone says it.
    fn end_without_a_voice(&mut self, effects: &mut Effects) {
        if self.closing != Closing::Open {
            self.hang_up(EndedReason::ProviderFailed, effects);
            return;
        }
        self.stop_answering(effects);
        self.play_tone(Tone::Congestion, false, effects);
        self.close_after_speech(EndedReason::ProviderFailed, None, GOODBYE_MS, false);
    }

    fn play_tone(&mut self, tone: Tone, interruptible: bool, effects: &mut Effects) {
        let speech = self.push_sentence("", interruptible, true);
        effects.push(Effect::PlayTone { speech, tone });
    }

    pub(crate) fn played(&mut self, speech: SpeechId, effects: &mut Effects) {
        if self.mouth.is_clearing() {
            return;
        }
        let Some(words) = self.mouth.played(speech, self.now) else { return };
        if words {
            self.failures.speaking = 0;
        }
        self.after_playback(effects);
    }

    /// While a model's tools run its answer goes on, though it is silent.
    fn answer_goes_on(&self) -> bool {
        self.mind.is_thinking() || (self.tooling.is_running() && self.pending_turn.is_none())
    }

    /// When the last sentence of a turn has been heard: record the turn, then do what comes after it.
    pub(crate) fn after_playback(&mut self, effects: &mut Effects) {
        self.quiet_since = self.now;
        self.keys_wait_from_now();
        if self.mouth.is_busy() || (self.answer_goes_on() && self.closing == Closing::Open) {
            return;
        }
        if self.mouth.take_lost() && self.closing == Closing::Open && self.pending_turn.is_none() {
            self.play_tone(Tone::Lost, true, effects);
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
            Some(Busy::Thinking(Thinking { work, spoken, .. })) => {
                effects.push(Effect::Cancel { work });
                self.thinking_stopped(spoken, effects);
            }
            Some(Busy::Tool { work, .. }) => {
                effects.push(Effect::Cancel { work });
                effects.push(Effect::Note(Note::StageFailed { stage: Stage::Tool }));
                self.tool_ended(Err("no answer in time".to_owned()), effects);
            }
            Some(Busy::Keys(collecting)) => self.keys_collected(collecting.digits, effects),
            None => {}
        }
    }

    /// The caller waits for an answer and hears nothing: when to bridge it.
    pub(crate) fn filler_deadline(&self) -> Option<CallTime> {
        let after_ms = self.setup.agent.turn_taking.filler_after_ms;
        let waits = matches!(self.mind.busy, Some(Busy::Thinking(_) | Busy::Tool { .. }))
            && !self.mouth.is_busy()
            && !self.ear.is_busy()
            && self.closing == Closing::Open;
        (waits && after_ms > 0 && self.fillers < FILLERS_MAX).then(|| self.quiet_since + after_ms)
    }

    pub(crate) fn pass_filler(&mut self, effects: &mut Effects) {
        if self.filler_deadline().is_none_or(|due| self.now < due) {
            return;
        }
        let own = &self.setup.agent.turn_taking.fillers;
        let at = usize::try_from(self.fillers_said).unwrap_or(0);
        let words = match own.get(at % own.len().max(1)) {
            Some(words) => words.clone(),
            None => self.mind.phrases.fillers[at % 2].to_owned(),
        };
        self.fillers += 1;
        self.fillers_said = self.fillers_said.wrapping_add(1);
        effects.push(Effect::Note(Note::Filler));
        self.speak_as(&words, true, true, effects);
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
            let own = self.setup.agent.silence.goodbye.clone().or_else(|| self.mind.goodbye());
            let words = own.unwrap_or_else(|| self.mind.phrases.goodbye_silence.to_owned());
            self.say_goodbye(&words, EndedReason::AgentSilence, effects);
            return;
        }
        let own = &self.setup.agent.silence.reminders;
        let at = usize::try_from(self.reminders).unwrap_or(0);
        let own = own.get(at % own.len().max(1)).cloned();
        self.reminders += 1;
        effects.push(Effect::Note(Note::Reminded { count: self.reminders }));
        let flows = self.mind.reminder();
        let reminder = own.or(flows).unwrap_or_else(|| self.mind.phrases.reminder.to_owned());
        self.answer(say(reminder, Then::Listen), effects);
    }
}
