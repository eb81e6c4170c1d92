//! An answer that is begun when the end of the caller's turn is likely, and thrown away, unheard, when they go on.

use crate::ear::{EarState, Pause, Score, Verdict};
use crate::flow::Completeness;
use crate::mind::Busy;
use crate::timing::{EAGER_GAIN_MIN_MS, EAGER_PIECES_MAX, TURN_FINISHED_MIN};
use crate::{Call, Closing, Effect, Effects, Input, Message, WorkId};

/// An answer that nobody wants yet.
#[derive(Debug)]
pub(crate) struct Eager {
    pub(crate) work: WorkId,
    /// To these words.
    pub(crate) text: String,
    /// What has come of it.
    pieces: Vec<Input>,
}

impl Call {
    /// Begins an answer early when the turn is likely over and there is time to gain.
    pub(crate) fn consider_eager(&mut self, effects: &mut Effects) {
        let idle = self.eager.is_none()
            && self.setup.agent.turn_taking.eager
            && self.mind.is_model()
            // What a model that hears by itself was told cannot be taken back.
            && !self.mind.speaks()
            && !self.mind.is_busy()
            && !self.mouth.is_busy()
            && self.pending_turn.is_none()
            && self.interrupted_rest.is_empty()
            && !self.is_over_budget()
            && self.closing == Closing::Open;
        let EarState::Paused(pause) = &self.ear.state else { return };
        let Some(text) = pause.text.as_ref().map(|text| self.with_carried(&text.words)).filter(|_| idle) else {
            return;
        };
        let gains = self.turn_ends_at(pause) >= self.now + EAGER_GAIN_MIN_MS;
        if !gains || !self.is_likely_over(pause, &text) {
            return;
        }
        let work = self.work();
        let mut messages = self.mind.messages();
        match messages.last_mut() {
            Some(Message::Caller { text: before }) => {
                before.push(' ');
                before.push_str(&text);
            }
            Some(Message::Agent { .. } | Message::ToolResult { .. }) | None => {
                messages.push(Message::Caller { text: text.clone() });
            }
        }
        effects.push(Effect::Think { work, messages, language: self.language.current().to_owned() });
        self.eager = Some(Eager { work, text, pieces: Vec::new() });
    }

    fn is_likely_over(&self, pause: &Pause, text: &str) -> bool {
        if text.is_empty() || language::tail::is_dangling(text) || self.mind.completeness(text) == Completeness::Partial
        {
            return false;
        }
        match (pause.score, pause.verdict) {
            (Score::Known(p), _) => p >= TURN_FINISHED_MIN,
            (Score::Waiting | Score::Unknown, Verdict::Likely | Verdict::Ended) => true,
            (Score::Waiting | Score::Unknown, Verdict::Open) => {
                pause.score_pending().is_none() && text.ends_with(['.', '?', '!', '।'])
            }
        }
    }

    /// What came of an answer that is not wanted yet is kept. False when it is not such an answer's.
    pub(crate) fn keep_for_later(&mut self, work: WorkId, input: &Input) -> bool {
        let Some(eager) = self.eager.as_mut().filter(|eager| eager.work == work) else { return false };
        match input {
            Input::ThinkFailed { .. } => self.eager = None,
            piece if eager.pieces.len() < EAGER_PIECES_MAX => eager.pieces.push(piece.clone()),
            // Too long an answer to keep: it is asked for again.
            _ => {}
        }
        true
    }

    pub(crate) fn drop_eager(&mut self, effects: &mut Effects) {
        if let Some(eager) = self.eager.take() {
            effects.push(Effect::Cancel { work: eager.work });
        }
    }

    /// The turn is over: the answer that was begun for these very words is wanted now. True then.
    pub(crate) fn adopt_eager(&mut self, text: &str, effects: &mut Effects) -> bool {
        let Some(eager) = self.eager.take() else { return false };
        if eager.text != text || eager.pieces.len() >= EAGER_PIECES_MAX {
            effects.push(Effect::Cancel { work: eager.work });
            return false;
        }
        self.mind.busy = Some(Busy::Thinking(self.thinking(eager.work)));
        for piece in eager.pieces {
            self.think_input(piece, effects);
        }
        true
    }
}
