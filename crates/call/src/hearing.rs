//! From voice activity and words to a finished turn of the caller; interruptions.

use crate::ear::{Carried, EarState, Pause, Probe, Score, Text};
use crate::flow::Completeness;
use crate::mouth::Rest;
use crate::timing::{
    NOISE_MAX_MS, PROBE_AGAIN_MS, PROBE_DEADLINE_MS, SCORE_GRACE_MS, TRANSCRIBE_DEADLINE_MS, UTTERANCE_MAX_MS,
    UTTERANCE_MIN_MS, WITHDRAW_WITHIN_MS,
};
use crate::turn::silence_needed;
use crate::{Call, CallerTurn, Closing, Effect, Effects, HeardSpeech, Note, Stage, Voice, WorkId};
use language::backchannel::is_backchannel;
use model::{CallTime, Latency};

impl Call {
    pub(crate) fn voice(&mut self, voice: Voice, effects: &mut Effects) {
        if !self.connected {
            return;
        }
        match voice {
            Voice::Began { at } => self.voice_began(at, effects),
            Voice::Loud { since, until } => self.voice_loud(since, until, effects),
            Voice::Ended { at } => self.voice_ended(at, effects),
        }
    }

    fn voice_began(&mut self, at: CallTime, effects: &mut Effects) {
        let began = match &self.ear.state {
            EarState::Quiet => at,
            EarState::Hearing { began, .. } => *began,
            EarState::Paused(pause) => {
                // The pause was not the end: the utterance goes on, its text is asked for again later.
                let began = pause.began;
                self.cancel_pause_work(effects);
                began
            }
        };
        self.ear.state = EarState::Hearing { began, until: at };
        self.ear.probe = Probe::None;
        self.ear.cut_at = None;
        self.withdraw_answer(effects);
    }

    fn cancel_pause_work(&mut self, effects: &mut Effects) {
        if let EarState::Paused(pause) = &self.ear.state {
            effects.push(Effect::Cancel { work: pause.transcribe });
            if let Some(work) = pause.score_pending() {
                effects.push(Effect::Cancel { work });
            }
        }
    }

    fn voice_loud(&mut self, since: CallTime, until: CallTime, effects: &mut Effects) {
        match &mut self.ear.state {
            EarState::Hearing { until: last, .. } => *last = until.max(*last),
            // An endless utterance was cut: its first part is answered before the next is looked at.
            EarState::Paused(_) if self.ear.cut_at.is_some() => {}
            EarState::Paused(_) | EarState::Quiet => {
                let began = self.ear.cut_at.map_or(since, |cut| cut.max(since));
                self.ear.state = EarState::Hearing { began, until };
            }
        }
        let length_ms = until.since(since);
        if !self.may_interrupt() || length_ms < self.setup.agent.turn_taking.barge_in_min_ms {
            return;
        }
        match self.ear.probe {
            Probe::None => self.probe(since, length_ms, effects),
            Probe::Asked { .. } => {}
            Probe::Noise { .. } if length_ms >= NOISE_MAX_MS => self.interrupt(since, effects),
            Probe::Noise { length_ms: known } if length_ms >= known.saturating_add(PROBE_AGAIN_MS) => {
                self.probe(since, length_ms, effects);
            }
            Probe::Noise { .. } => {}
        }
    }

    /// The agent speaks, and the caller may stop it now.
    fn may_interrupt(&self) -> bool {
        let guarded = self.now.ms() < self.setup.agent.turn_taking.barge_in_guard_ms;
        !guarded && self.closing == Closing::Open && self.mouth.is_busy() && self.mouth.may_be_interrupted()
    }

    fn probe(&mut self, since: CallTime, length_ms: u64, effects: &mut Effects) {
        let work = self.work();
        self.ear.probe = Probe::Asked { work, since, length_ms, due: self.now + PROBE_DEADLINE_MS };
        effects.push(Effect::Transcribe { work });
    }

    /// The first words of somebody who speaks over the agent.
    fn probed(&mut self, words: Option<&str>, since: CallTime, length_ms: u64, effects: &mut Effects) {
        let noise = words.is_some_and(|words| words.is_empty() || is_backchannel(words));
        self.ear.probe = if noise { Probe::Noise { length_ms } } else { Probe::None };
        if !noise && self.may_interrupt() {
            self.interrupt(since, effects);
        }
    }

    fn voice_ended(&mut self, at: CallTime, effects: &mut Effects) {
        let EarState::Hearing { began, .. } = self.ear.state else { return };
        if at.since(began) < UTTERANCE_MIN_MS {
            self.forget_utterance(effects);
            self.answer_carried(at, effects);
            return;
        }
        self.pause_utterance(began, at, effects);
    }

    fn pause_utterance(&mut self, began: CallTime, ended: CallTime, effects: &mut Effects) {
        if let Probe::Asked { work, .. } = std::mem::take(&mut self.ear.probe) {
            effects.push(Effect::Cancel { work });
        }
        let transcribe = self.work();
        effects.push(Effect::Transcribe { work: transcribe });
        let asked_at = self.now;
        let pause = Pause { began, ended, transcribe, score_work: None, asked_at, text: None, score: Score::Waiting };
        self.ear.state = EarState::Paused(pause);
    }

    /// The caller goes on although the turn seemed over. If nothing of the answer was heard, it is taken back and what
    /// was said before becomes the beginning of this turn.
    fn withdraw_answer(&mut self, effects: &mut Effects) {
        let Some(decided_at) = self.decided_at else { return };
        let answering = self.mouth.is_busy() || self.mind.is_busy();
        let in_time = self.now.since(decided_at) <= WITHDRAW_WITHIN_MS;
        if !answering
            || !in_time
            || self.mouth.is_audible()
            || self.mind.tool_started()
            || self.closing != Closing::Open
        {
            return;
        }
        let Some(turn) = self.last_caller_turn.take() else { return };
        self.cancel_thinking(effects);
        if self.mouth.is_busy() {
            effects.push(Effect::ClearPlayback);
            self.mouth.forget();
        }
        self.mind.take_back();
        self.decided_at = None;
        self.latency = Latency::default();
        self.answered_voice_end = None;
        self.turn_index = turn.index;
        self.ear.carried = Some(Carried { text: turn.text, began: CallTime(turn.started_ms) });
        effects.push(Effect::Note(Note::Withdrawn));
    }

    /// The caller speaks over the agent: stop, and remember only what was heard.
    fn interrupt(&mut self, voice_began: CallTime, effects: &mut Effects) {
        self.cancel_thinking(effects);
        self.mouth.begin_clearing(self.now);
        effects.push(Effect::ClearPlayback);
        let decided_after_ms = self.now.since(voice_began);
        effects.push(Effect::Note(Note::BargeIn { voice_began_ms: voice_began.ms(), decided_after_ms }));
    }

    pub(crate) fn playback_cleared(&mut self, heard: &[HeardSpeech], effects: &mut Effects) {
        let lookup = |speech| heard.iter().find(|h| h.speech == speech).copied();
        let asked = self.mouth.is_clearing();
        let Some(said) = self.mouth.cut(lookup, self.now) else { return };
        let interrupted = !said.rest.is_empty();
        self.interrupted_rest = said.rest.clone();
        self.agent_turn(said, interrupted, effects);
        self.quiet_since = self.now;
        if !asked {
            // Told before the call ends: nothing is answered any more.
            return;
        }
        if let Some((words, reason)) = self.goodbye_when_cleared.take() {
            self.interrupted_rest.clear();
            self.say_goodbye(words, reason, effects);
            return;
        }
        self.take_pending_turn(effects);
    }

    /// Answers what the caller said while that was not possible.
    pub(crate) fn take_pending_turn(&mut self, effects: &mut Effects) {
        if self.mouth.is_busy() || self.mind.tool_started() || self.closing != Closing::Open {
            return;
        }
        if let Some(turn) = self.pending_turn.take() {
            self.take_turn(&turn, effects);
        }
    }

    /// A noise for which the agent stopped turned out to be no turn: go on where it stopped.
    fn resume(&mut self, rest: Vec<Rest>, effects: &mut Effects) {
        for part in rest {
            self.speak(&part.text, part.interruptible, effects);
        }
    }

    /// The text of an utterance, or the failure to get one.
    pub(crate) fn heard(&mut self, work: WorkId, outcome: Result<String, ()>, effects: &mut Effects) {
        if let Probe::Asked { work: asked, since, length_ms, .. } = self.ear.probe
            && asked == work
        {
            self.probed(outcome.as_deref().ok().map(str::trim), since, length_ms, effects);
            return;
        }
        let now = self.now;
        let EarState::Paused(pause) = &mut self.ear.state else { return };
        if pause.transcribe != work || pause.text.is_some() {
            return;
        }
        let Ok(words) = outcome else {
            self.transcription_failed(effects);
            return;
        };
        self.failures.transcribing = 0;
        let words = words.trim();
        let words = words[..words.floor_char_boundary(model::limits::TURN_TEXT_BYTES_MAX)].to_owned();
        pause.text = Some(Text { words, at: now });
        self.consider_noise(effects);
        self.ask_for_score(effects);
    }

    /// Words that leave open whether the caller has finished: the sound may tell.
    fn ask_for_score(&mut self, effects: &mut Effects) {
        if self.closing != Closing::Open {
            return;
        }
        let EarState::Paused(Pause { text: Some(text), score_work: None, .. }) = &self.ear.state else { return };
        let whole = self.with_carried(&text.words);
        if self.mind.completeness(&whole) != Completeness::Unknown || language::tail::is_dangling(&whole) {
            return;
        }
        let work = self.work();
        effects.push(Effect::ScoreTurn { work });
        if let EarState::Paused(pause) = &mut self.ear.state {
            pause.score_work = Some(work);
        }
    }

    /// Nothing was added to what was understood before: it still wants its answer. False when there was nothing.
    fn answer_carried(&mut self, ended: CallTime, effects: &mut Effects) -> bool {
        let Some(Carried { text, began }) = self.ear.carried.take() else { return false };
        self.turn_over(CallerTurn { text, began, ended, transcription_ms: None }, effects);
        true
    }

    fn transcription_failed(&mut self, effects: &mut Effects) {
        let ended = if let EarState::Paused(pause) = &self.ear.state { pause.ended } else { self.now };
        self.forget_utterance(effects);
        effects.push(Effect::Note(Note::StageFailed { stage: Stage::Transcribing }));
        self.failures.transcribing += 1;
        if self.answer_carried(ended, effects) {
            return;
        }
        if self.failed_too_often(effects) || self.mouth.is_busy() {
            return;
        }
        self.speak(self.mind.phrases.say_again, true, effects);
    }

    /// A cough, or «hmm» while the agent speaks, is no turn. Decided as soon as the words are known.
    fn consider_noise(&mut self, effects: &mut Effects) {
        let EarState::Paused(pause) = &self.ear.state else { return };
        let Some(text) = &pause.text else { return };
        let words = text.words.clone();
        let speaking = self.mouth.is_busy() || self.mind.tool_started();
        let stopped = !self.interrupted_rest.is_empty();
        let noise = words.is_empty() || ((speaking || stopped) && is_backchannel(&words));
        if noise && self.ear.carried.is_none() {
            let rest = std::mem::take(&mut self.interrupted_rest);
            if !words.is_empty() || stopped {
                effects.push(Effect::Note(Note::Backchannel { text: words, resumed: stopped }));
            }
            self.forget_utterance(effects);
            self.resume(rest, effects);
        }
    }

    pub(crate) fn scored(&mut self, work: WorkId, probability: Option<f32>) {
        if let EarState::Paused(pause) = &mut self.ear.state
            && pause.score_work == Some(work)
        {
            pause.score = probability.map_or(Score::Unknown, Score::Known);
        }
    }

    fn forget_utterance(&mut self, effects: &mut Effects) {
        self.ear.state = EarState::Quiet;
        self.quiet_since = self.now;
        effects.push(Effect::DiscardUtterance);
    }

    /// When the pause ends the turn, as far as is known now.
    fn turn_ends_at(&self, pause: &Pause) -> CallTime {
        let Some(text) = &pause.text else { return pause.asked_at + TRANSCRIBE_DEADLINE_MS };
        let whole = self.with_carried(&text.words);
        let completeness = self.mind.completeness(&whole);
        let needed = silence_needed(&whole, pause.score, completeness, &self.setup.agent.turn_taking);
        let by_silence = pause.ended + needed;
        if pause.score_pending().is_some() {
            // Give the judgement of the sound a moment; it is on its way.
            by_silence.max(text.at + SCORE_GRACE_MS)
        } else {
            by_silence
        }
    }

    pub(crate) fn with_carried(&self, words: &str) -> String {
        match &self.ear.carried {
            Some(carried) => format!("{} {words}", carried.text).trim().to_owned(),
            None => words.to_owned(),
        }
    }

    pub(crate) fn ear_deadline(&self) -> Option<CallTime> {
        match &self.ear.state {
            EarState::Quiet => None,
            EarState::Hearing { began, .. } => {
                let end = *began + UTTERANCE_MAX_MS;
                Some(if let Probe::Asked { due, .. } = self.ear.probe { due.min(end) } else { end })
            }
            EarState::Paused(pause) => Some(self.turn_ends_at(pause)),
        }
    }

    pub(crate) fn pass_ear_time(&mut self, effects: &mut Effects) {
        match &self.ear.state {
            EarState::Quiet => {}
            EarState::Hearing { began, until } => {
                let (began, until) = (*began, *until);
                if let Probe::Asked { work, since, length_ms, due } = self.ear.probe
                    && self.now >= due
                {
                    effects.push(Effect::Cancel { work });
                    self.probed(None, since, length_ms, effects);
                }
                if self.now >= began + UTTERANCE_MAX_MS {
                    self.ear.cut_at = Some(until);
                    self.pause_utterance(began, until, effects);
                }
            }
            EarState::Paused(pause) => {
                if self.now < self.turn_ends_at(pause) {
                    return;
                }
                if pause.text.is_some() {
                    self.end_turn(effects);
                } else {
                    self.cancel_pause_work(effects);
                    self.transcription_failed(effects);
                }
            }
        }
    }

    /// The caller's turn is over: record it and let the mind answer.
    fn end_turn(&mut self, effects: &mut Effects) {
        let EarState::Paused(pause) = std::mem::take(&mut self.ear.state) else { return };
        let score_pending = pause.score_pending();
        let (words, transcription_ms) =
            pause.text.map_or((String::new(), None), |t| (t.words, Some(t.at.since(pause.asked_at))));
        let text = self.with_carried(&words);
        let began = self.ear.carried.take().map_or(pause.began, |c| c.began);
        if let Some(work) = score_pending {
            effects.push(Effect::Cancel { work });
        }
        effects.push(Effect::DiscardUtterance);
        self.quiet_since = self.now;
        if !text.is_empty() {
            self.turn_over(CallerTurn { text, began, ended: pause.ended, transcription_ms }, effects);
        }
    }

    /// Answers a turn as soon as that is possible.
    fn turn_over(&mut self, mut turn: CallerTurn, effects: &mut Effects) {
        if self.closing != Closing::Open || self.goodbye_when_cleared.is_some() {
            // Said over the goodbye: nobody answers it, but it was said.
            self.caller_turn(&turn.text, turn.began, turn.ended, effects);
            return;
        }
        if !self.mouth.is_busy() && !self.mind.tool_started() {
            self.take_turn(&turn, effects);
            return;
        }
        // Short words over the agent, too short to stop it by length, but words all the same: «no», «stop».
        if self.mouth.may_be_interrupted() {
            self.interrupt(turn.began, effects);
        }
        if let Some(earlier) = self.pending_turn.take() {
            turn = CallerTurn { text: format!("{} {}", earlier.text, turn.text), began: earlier.began, ..turn };
        }
        self.pending_turn = Some(turn);
    }

    /// Answers a turn. The mouth is empty.
    fn take_turn(&mut self, turn: &CallerTurn, effects: &mut Effects) {
        self.interrupted_rest.clear();
        self.reminders = 0;
        self.last_caller_turn = Some(self.caller_turn(&turn.text, turn.began, turn.ended, effects));
        self.latency = Latency {
            end_of_turn_ms: Some(self.now.since(turn.ended)),
            transcription_ms: turn.transcription_ms,
            ..Latency::default()
        };
        self.decided_at = Some(self.now);
        self.answered_voice_end = Some(turn.ended);
        self.cancel_thinking(effects);
        let context = self.context();
        let step = self.mind.heard(&turn.text, &context);
        self.perform(step, effects);
    }
}
