//! A caller who asks, waits for a real answer, and asks again. Words that only bridge a wait are no answer.

use crate::voice;
use testkit::carrier::{CallerAction, CallerSide, LOUD_DBFS};

/// Length of an utterance.
const UTTERANCE_MS: usize = 800;
/// Sound in one run that is an answer, in frames of 100 ms: a filler of these tests has one word.
const ANSWER_FRAMES: u32 = 4;
/// Silence between two runs of sound, in frames.
const APART_FRAMES: u32 = 4;
/// After an answer the caller thinks for so long, in frames.
const THINKS_FRAMES: u32 = 7;
/// After the last answer the caller stays for so long: an agent that ends the call does it meanwhile.
const STAYS_FRAMES: u32 = 25;
/// A caller who hears nothing for so long says it again: longer than any deadline.
const PATIENCE_FRAMES: u32 = 65;

/// One utterance: where its sound begins and ends, on the call's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
}

/// See the module.
pub(super) struct Asker<'a> {
    pcm: Vec<i16>,
    turns_max: usize,
    /// Told, with its number from 0, when a turn begins.
    on_turn: Box<dyn FnMut(usize) + Send + 'a>,
    pub(super) turns: Vec<Turn>,
    /// Samples of the current utterance that have been said; none = it listens.
    position: Option<usize>,
    loud: u32,
    quiet: u32,
    answered: bool,
}

impl<'a> Asker<'a> {
    pub(super) fn new(turns_max: usize, on_turn: impl FnMut(usize) + Send + 'a) -> Self {
        let (pcm, on_turn) = (voice::say(8_000, UTTERANCE_MS), Box::new(on_turn));
        Self { pcm, turns_max, on_turn, turns: Vec::new(), position: None, loud: 0, quiet: 0, answered: false }
    }

    fn listen(&mut self, agent_dbfs: f32) {
        if agent_dbfs > LOUD_DBFS {
            self.loud = if self.quiet >= APART_FRAMES { 1 } else { self.loud + 1 };
            self.quiet = 0;
            self.answered |= self.loud >= ANSWER_FRAMES;
        } else {
            self.quiet += 1;
        }
    }

    fn begin(&mut self, now_ms: u64) {
        (self.on_turn)(self.turns.len());
        self.turns.push(Turn { from_ms: now_ms, to_ms: now_ms + UTTERANCE_MS as u64 });
        (self.position, self.answered, self.loud, self.quiet) = (Some(0), false, 0, 0);
    }
}

impl CallerSide for Asker<'_> {
    fn next_frame(&mut self, now_ms: u64, agent_dbfs: f32, samples: usize, frame: &mut Vec<i16>) -> CallerAction {
        if self.position.is_none() {
            self.listen(agent_dbfs);
            let done = self.turns.len() >= self.turns_max;
            let thought = self.answered && self.quiet >= THINKS_FRAMES;
            if done && (self.answered && self.quiet >= STAYS_FRAMES || self.quiet >= PATIENCE_FRAMES) {
                return CallerAction::HangUp;
            }
            if !done && (thought || self.quiet >= PATIENCE_FRAMES) {
                self.begin(now_ms);
            }
        }
        if let Some(position) = self.position {
            let rest = &self.pcm[position.min(self.pcm.len())..];
            frame.extend_from_slice(&rest[..samples.min(rest.len())]);
            self.position = (rest.len() > samples).then_some(position + samples);
        }
        frame.resize(samples, 0);
        CallerAction::Stay
    }
}
