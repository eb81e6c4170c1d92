//! From voice activity and words to a finished turn of the caller.

use crate::ear::{Carried, EarState, Pause, Probe, Score, Text, Verdict};
use crate::flow::Completeness;
use crate::timing::{
    NOISE_MAX_MS, PROBE_AGAIN_MS, PROBE_FRESH_MS, SCORE_GRACE_MS, TRANSCRIBE_DEADLINE_MS, UTTERANCE_MAX_MS,
    UTTERANCE_MIN_MS, WITHDRAW_WITHIN_MS,
};
use crate::turn::{Known, silence_needed};
use crate::{Call, CallerTurn, Closing, Effect, Effects, Note, Stage, Voice, WorkId};
use language::backchannel::is_backchannel;
use model::{CallTime, EndOfTurn, Latency};

/// The words came by themselves. Work is numbered from one.
pub(crate) const NOBODY_ASKED: WorkId = WorkId(0);

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
                self.drop_eager(effects);
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
            cancel_words(pause.transcribe, effects);
            if let Some(work) = pause.score_pending() {
                effects.push(Effect::Cancel { work });
            }
        }
    }

    fn voice_loud(&mut self, since: CallTime, until: CallTime, effects: &mut Effects) {
        self.ear.loud = Some((since, until));
        match &mut self.ear.state {
            EarState::Hearing { until: last, .. } => *last = until.max(*last),
            // An endless utterance was cut: its first part is answered before the next is looked at.
            EarState::Paused(_) if self.ear.cut_at.is_some() => {}
            // Sound that was taken as an utterance already: the detector holds on to it for a moment.
            EarState::Quiet if self.ear.cut_at.is_some_and(|cut| until <= cut) => {}
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
            cancel_words(work, effects);
        }
        let transcribe = if self.waits_for_the_verdict() { NOBODY_ASKED } else { self.work() };
        if transcribe != NOBODY_ASKED {
            effects.push(Effect::Transcribe { work: transcribe });
        }
        let asked_at = self.now;
        let (score, verdict) = (Score::Waiting, Verdict::Open);
        let pause = Pause { began, ended, transcribe, score_work: None, asked_at, text: None, score, verdict };
        self.ear.state = EarState::Paused(pause);
    }

    /// The transcriber, which tells words as they come, is to say when the turn is over. Asked for its words now, it would
    /// take the utterance for ours and say no more.
    fn waits_for_the_verdict(&self) -> bool {
        self.setup.agent.turn_taking.end_of_turn == EndOfTurn::Transcriber
            && self.ear.streams
            && !self.ear.partial.is_empty()
            && !self.mouth.is_busy()
            && (self.interrupted_rest.is_empty() || !is_backchannel(&self.ear.partial))
    }

    /// It has said nothing: it is asked.
    fn ask_for_words(&mut self, effects: &mut Effects) {
        let (work, now) = (self.work(), self.now);
        if let EarState::Paused(pause) = &mut self.ear.state {
            (pause.transcribe, pause.asked_at) = (work, now);
            effects.push(Effect::Transcribe { work });
        }
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

    /// Answers what the caller said while that was not possible.
    pub(crate) fn take_pending_turn(&mut self, effects: &mut Effects) {
        if self.mouth.is_busy() || self.mind.tool_started() || self.closing != Closing::Open {
            return;
        }
        if let Some(turn) = self.pending_turn.take() {
            self.take_turn(&turn, effects);
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
        if !words.is_empty() && self.ear.partial.is_empty() {
            // Another transcriber has taken over, which tells nothing unasked.
            self.ear.streams = false;
        }
        pause.text = Some(Text { words, at: now });
        self.words_known(effects);
    }

    /// The words of an utterance are there.
    fn words_known(&mut self, effects: &mut Effects) {
        self.consider_noise(effects);
        self.ask_for_score(effects);
        self.consider_eager(effects);
    }

    /// The transcriber takes the utterance for finished.
    pub(crate) fn utterance_ended(&mut self, sure: bool, effects: &mut Effects) {
        let verdict = if sure { Verdict::Ended } else { Verdict::Likely };
        let decides = sure && self.setup.agent.turn_taking.end_of_turn == EndOfTurn::Transcriber;
        let words = self.ear.partial.clone();
        let now = self.now;
        match &mut self.ear.state {
            EarState::Quiet => return,
            EarState::Hearing { began, until } => {
                if !decides || words.is_empty() {
                    return;
                }
                // Its words are its own; nobody has to be asked for them, and the detector is not waited for.
                let (began, ended) = (*began, *until);
                let transcribe = NOBODY_ASKED;
                self.ear.probe = Probe::None;
                self.ear.cut_at = Some(ended);
                let (text, score) = (Some(Text { words, at: now }), Score::Unknown);
                let pause = Pause { began, ended, transcribe, score_work: None, asked_at: now, text, score, verdict };
                self.ear.state = EarState::Paused(pause);
            }
            EarState::Paused(pause) => {
                pause.verdict = pause.verdict.max(verdict);
                if decides && pause.text.is_none() && !words.is_empty() {
                    cancel_words(pause.transcribe, effects);
                    pause.text = Some(Text { words, at: now });
                } else if pause.text.is_some() {
                    self.consider_eager(effects);
                    return;
                }
            }
        }
        self.words_known(effects);
    }

    /// Words that leave open whether the caller has finished: the sound may tell.
    fn ask_for_score(&mut self, effects: &mut Effects) {
        if self.closing != Closing::Open {
            return;
        }
        let EarState::Paused(Pause { text: Some(text), score_work: None, .. }) = &self.ear.state else { return };
        let whole = self.with_carried(&text.words);
        let open = self.mind.completeness(&whole) == Completeness::Unknown;
        let wanted = match self.setup.agent.turn_taking.end_of_turn {
            EndOfTurn::Auto => open && !language::tail::is_dangling(&whole),
            EndOfTurn::Model => open,
            EndOfTurn::Silence | EndOfTurn::Transcriber => false,
        };
        if !wanted {
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

    pub(crate) fn scored(&mut self, work: WorkId, probability: Option<f32>, effects: &mut Effects) {
        if let EarState::Paused(pause) = &mut self.ear.state
            && pause.score_work == Some(work)
        {
            pause.score = probability.map_or(Score::Unknown, Score::Known);
            self.consider_eager(effects);
        }
    }

    pub(crate) fn forget_utterance(&mut self, effects: &mut Effects) {
        self.drop_eager(effects);
        self.ear.state = EarState::Quiet;
        self.ear.partial.clear();
        self.quiet_since = self.now;
        effects.push(Effect::DiscardUtterance);
    }

    /// When the pause ends the turn, as far as is known now.
    pub(crate) fn turn_ends_at(&self, pause: &Pause) -> CallTime {
        let Some(text) = &pause.text else {
            return match pause.transcribe {
                NOBODY_ASKED => pause.ended + self.setup.agent.turn_taking.pause_long_ms,
                _ => pause.asked_at + TRANSCRIBE_DEADLINE_MS,
            };
        };
        let whole = self.with_carried(&text.words);
        let completeness = self.mind.completeness(&whole);
        let known = Known { text: &whole, score: pause.score, completeness, verdict: pause.verdict };
        let needed = silence_needed(known, &self.setup.agent.turn_taking);
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
                    cancel_words(work, effects);
                    // A click is over by now; whoever still makes a sound wants the floor.
                    let goes_on = self.now.since(until) <= PROBE_FRESH_MS;
                    self.probed((!goes_on).then_some(""), since, length_ms, effects);
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
                } else if pause.transcribe == NOBODY_ASKED {
                    self.ask_for_words(effects);
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
        self.ear.partial.clear();
        self.quiet_since = self.now;
        if !text.is_empty() {
            self.turn_over(CallerTurn { text, began, ended: pause.ended, transcription_ms }, effects);
        }
    }

    /// Answers a turn as soon as that is possible.
    pub(crate) fn turn_over(&mut self, mut turn: CallerTurn, effects: &mut Effects) {
        if self.closing != Closing::Open || self.goodbye_when_cleared.is_some() {
            // Said over the goodbye: nobody answers it, but it was said.
            self.caller_turn(&turn.text, turn.began, turn.ended, effects);
            return;
        }
        if self.hears_voicemail(&turn, effects) {
            return;
        }
        if !self.mouth.is_busy() && !self.mind.tool_started() {
            self.take_turn(&turn, effects);
            return;
        }
        self.drop_eager(effects);
        // Short words over the agent, too short to stop it by length, but words all the same: «no», «stop».
        // An answer to its last words waits for them.
        if self.mouth.may_be_interrupted() && !self.answers_the_end(turn.began) {
            self.interrupt(turn.began, effects);
        }
        if let Some(earlier) = self.pending_turn.take() {
            turn = CallerTurn { text: format!("{} {}", earlier.text, turn.text), began: earlier.began, ..turn };
        }
        self.pending_turn = Some(turn);
        self.words_instead_of_keys(effects);
    }

    /// Answers a turn. The mouth is empty.
    fn take_turn(&mut self, turn: &CallerTurn, effects: &mut Effects) {
        self.interrupted_rest.clear();
        self.interrupted_answer = false;
        self.reminders = 0;
        self.fillers = 0;
        self.tooling.new_turn();
        self.follow_language(&turn.text, effects);
        self.last_caller_turn = Some(self.caller_turn(&turn.text, turn.began, turn.ended, effects));
        self.latency = Latency {
            end_of_turn_ms: Some(self.now.since(turn.ended)),
            transcription_ms: turn.transcription_ms,
            ..Latency::default()
        };
        self.decided_at = Some(self.now);
        self.answered_voice_end = Some(turn.ended);
        let eager = self.eager.take();
        self.cancel_thinking(effects);
        self.eager = eager;
        let context = self.context();
        let step = self.mind.heard(&turn.text, &context);
        if !self.adopt_eager(&turn.text, effects) {
            self.perform(step, effects);
        }
    }

    /// The conversation goes over to the language that the caller speaks, if the agent may.
    fn follow_language(&mut self, text: &str, effects: &mut Effects) {
        // A flow's sentences are written in its own language.
        if !self.mind.is_model() || self.setup.agent.languages.is_empty() {
            return;
        }
        let tag = self.ear.tag.take();
        if let Some(tag) = self.language.heard(text, tag.as_deref()) {
            let tag = tag.to_owned();
            // What was begun early was begun in the other language.
            self.drop_eager(effects);
            self.mind.phrases = crate::phrases::phrases(&tag);
            effects.push(Effect::Note(Note::LanguageSwitched { tag: tag.clone() }));
            effects.push(Effect::SetLanguage { tag });
        }
    }
}

/// The words are no longer wanted, if they were asked for.
fn cancel_words(work: WorkId, effects: &mut Effects) {
    if work != NOBODY_ASKED {
        effects.push(Effect::Cancel { work });
    }
}
