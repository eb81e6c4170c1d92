//! From voice activity and words to a finished turn of the caller; interruptions.

use crate::ear::{Carried, EarState, Pause, Score, Text};
use crate::mouth::Rest;
use crate::timing::{SCORE_GRACE_MS, TRANSCRIBE_DEADLINE_MS, UTTERANCE_MAX_MS, UTTERANCE_MIN_MS, WITHDRAW_WITHIN_MS};
use crate::turn::silence_needed;
use crate::{Call, Closing, Effect, Effects, HeardSpeech, Note, PendingTurn, Stage, Voice, WorkId};
use language::backchannel::is_backchannel;
use model::CallTime;

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
                let (began, transcribe, score) = (pause.began, pause.transcribe, pause.score_work);
                effects.push(Effect::Cancel { work: transcribe });
                effects.push(Effect::Cancel { work: score });
                began
            }
        };
        self.ear.state = EarState::Hearing { began, until: at };
        self.withdraw_answer(effects);
    }

    fn voice_loud(&mut self, since: CallTime, until: CallTime, effects: &mut Effects) {
        if let EarState::Hearing { until: last, .. } = &mut self.ear.state {
            *last = until.max(*last);
        } else {
            self.ear.state = EarState::Hearing { began: since, until };
        }
        let settings = &self.setup.agent.turn_taking;
        let long_enough = until.since(since) >= settings.barge_in_min_ms;
        let guarded = self.now.ms() < settings.barge_in_guard_ms;
        let open = self.closing == Closing::Open;
        if long_enough && !guarded && open && self.mouth.is_busy() && self.mouth.may_be_interrupted() {
            self.interrupt(since, effects);
        }
    }

    fn voice_ended(&mut self, at: CallTime, effects: &mut Effects) {
        let EarState::Hearing { began, .. } = self.ear.state else { return };
        if at.since(began) < UTTERANCE_MIN_MS {
            self.forget_utterance(effects);
            return;
        }
        self.pause_utterance(began, at, effects);
    }

    fn pause_utterance(&mut self, began: CallTime, ended: CallTime, effects: &mut Effects) {
        let (transcribe, score_work) = (self.work(), self.work());
        effects.push(Effect::Transcribe { work: transcribe });
        effects.push(Effect::ScoreTurn { work: score_work });
        let asked_at = self.now;
        let pause = Pause { began, ended, transcribe, score_work, asked_at, text: None, score: Score::Waiting };
        self.ear.state = EarState::Paused(pause);
    }

    /// The caller goes on although the turn seemed over. If nothing of the answer was heard, it is taken back and what
    /// was said before becomes the beginning of this turn.
    fn withdraw_answer(&mut self, effects: &mut Effects) {
        let Some(decided_at) = self.decided_at else { return };
        let answering = self.mouth.is_busy() || self.mind.is_busy();
        let in_time = self.now.since(decided_at) <= WITHDRAW_WITHIN_MS;
        if !answering || !in_time || self.mouth.is_audible() || self.mind.tool_started() || self.closing != Closing::Open
        {
            return;
        }
        let Some(turn) = self.last_caller_turn.take() else { return };
        self.cancel_thinking(effects);
        if self.mouth.is_busy() {
            self.mouth.begin_clearing();
            effects.push(Effect::ClearPlayback);
            self.mouth.forget();
        }
        self.mind.take_back();
        self.decided_at = None;
        self.turn_index = turn.index;
        self.ear.carried = Some(Carried { text: turn.text, began: CallTime(turn.started_ms) });
        effects.push(Effect::Note(Note::Withdrawn));
    }

    /// The caller speaks over the agent: stop, and remember only what was heard.
    fn interrupt(&mut self, voice_began: CallTime, effects: &mut Effects) {
        self.cancel_thinking(effects);
        self.mouth.begin_clearing();
        effects.push(Effect::ClearPlayback);
        let decided_after_ms = self.now.since(voice_began);
        effects.push(Effect::Note(Note::BargeIn { voice_began_ms: voice_began.ms(), decided_after_ms }));
    }

    pub(crate) fn playback_cleared(&mut self, heard: &[HeardSpeech], effects: &mut Effects) {
        let lookup = |speech| {
            heard.iter().find(|h| h.speech == speech).map_or((0, None), |h| (h.heard_ms, h.total_ms))
        };
        let Some(said) = self.mouth.cut(lookup, self.now) else { return };
        let interrupted = !said.rest.is_empty();
        self.interrupted_rest = said.rest.clone();
        self.agent_turn(said, interrupted, effects);
        self.quiet_since = self.now;
        if let Some((words, reason)) = self.goodbye_when_cleared.take() {
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
        if let Some(PendingTurn { text, began, ended }) = self.pending_turn.take() {
            self.take_turn(&text, began, ended, effects);
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
        let now = self.now;
        let EarState::Paused(pause) = &mut self.ear.state else { return };
        if pause.transcribe != work || pause.text.is_some() {
            return;
        }
        let Ok(words) = outcome else {
            self.transcription_failed(effects);
            return;
        };
        self.latency.transcription_ms = Some(now.since(pause.asked_at));
        let words = words.trim();
        let words = words[..words.floor_char_boundary(model::limits::TURN_TEXT_BYTES_MAX)].to_owned();
        pause.text = Some(Text { words, at: now });
        self.consider_noise(effects);
    }

    fn transcription_failed(&mut self, effects: &mut Effects) {
        self.forget_utterance(effects);
        effects.push(Effect::Note(Note::StageFailed { stage: Stage::Transcribing }));
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
        let speaking = self.mouth.is_busy();
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

    pub(crate) fn scored(&mut self, work: WorkId, probability: Option<f32>, _effects: &mut Effects) {
        if let EarState::Paused(pause) = &mut self.ear.state
            && pause.score_work == work
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
        if pause.score == Score::Waiting && completeness == crate::flow::Completeness::Unknown {
            // Give the judgement of the sound a moment; it is on its way.
            by_silence.max(text.at + SCORE_GRACE_MS)
        } else {
            by_silence
        }
    }

    fn with_carried(&self, words: &str) -> String {
        match &self.ear.carried {
            Some(carried) => format!("{} {words}", carried.text).trim().to_owned(),
            None => words.to_owned(),
        }
    }

    pub(crate) fn ear_deadline(&self) -> Option<CallTime> {
        match &self.ear.state {
            EarState::Quiet => None,
            EarState::Hearing { began, .. } => Some(*began + UTTERANCE_MAX_MS),
            EarState::Paused(pause) => Some(self.turn_ends_at(pause)),
        }
    }

    pub(crate) fn pass_ear_time(&mut self, effects: &mut Effects) {
        match &self.ear.state {
            EarState::Quiet => {}
            EarState::Hearing { began, until } => {
                let (began, until) = (*began, *until);
                if self.now >= began + UTTERANCE_MAX_MS {
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
                    let (transcribe, score) = (pause.transcribe, pause.score_work);
                    effects.push(Effect::Cancel { work: transcribe });
                    effects.push(Effect::Cancel { work: score });
                    self.transcription_failed(effects);
                }
            }
        }
    }

    /// The caller's turn is over: record it and let the mind answer.
    fn end_turn(&mut self, effects: &mut Effects) {
        let EarState::Paused(pause) = std::mem::take(&mut self.ear.state) else { return };
        let words = pause.text.map(|t| t.words).unwrap_or_default();
        let text = self.with_carried(&words);
        let began = self.ear.carried.take().map_or(pause.began, |c| c.began);
        effects.push(Effect::Cancel { work: pause.score_work });
        effects.push(Effect::DiscardUtterance);
        self.quiet_since = self.now;
        if self.closing != Closing::Open || text.is_empty() {
            return;
        }
        if self.mouth.is_busy() || self.mind.tool_started() {
            // Short words over the agent, too short to stop it by length, but words all the same: «no», «stop».
            if self.mouth.may_be_interrupted() {
                self.interrupt(pause.began, effects);
            }
            self.pending_turn = Some(PendingTurn { text, began, ended: pause.ended });
            return;
        }
        self.take_turn(&text, began, pause.ended, effects);
    }

    /// Answers a turn. The mouth is empty.
    pub(crate) fn take_turn(&mut self, text: &str, began: CallTime, ended: CallTime, effects: &mut Effects) {
        self.interrupted_rest.clear();
        self.reminders = 0;
        self.last_caller_turn = Some(self.caller_turn(text, began, ended, effects));
        self.latency.end_of_turn_ms = Some(self.now.since(ended));
        self.decided_at = Some(self.now);
        self.answered_voice_end = Some(ended);
        self.cancel_thinking(effects);
        let context = self.context();
        let step = self.mind.heard(text, &context);
        self.perform(step, effects);
    }
}
