//! The person on the telephone and what they hear: when they speak, when they interrupt, when the agent's sound runs dry.
//! Pure: times are given.
//!
//! A turn of 1.6 s every 6 s; in every third the answer is interrupted for 1 s, one second after its first sound, and the
//! next turn comes after 10 s. Sound is played 100 ms after the first frame of a reply; if the next frame comes when all
//! has been played for more than 5 ms, that is a gap. All definitions are those of our comparisons between voice servers.

use super::figures::Figures;
use super::wheel::Micros;
use std::collections::VecDeque;

const MS: Micros = 1_000;
/// Silence before a call's first turn, as a rule, in milliseconds.
pub const LEAD_MS: u64 = 2_500;
/// From one turn to the next.
pub(super) const TURN: Micros = 6_000 * MS;
/// From a turn whose answer is interrupted to the next.
const BARGE_TURN: Micros = 10_000 * MS;
/// Every so many turns the answer is interrupted.
const BARGE_EVERY: u64 = 3;
/// So long after the agent's first sound.
const BARGE_AFTER: Micros = 1_000 * MS;
/// An interruption without a clear for so long was missed.
const MISSED_AFTER: Micros = 2_500 * MS;
/// A question that is this old when the call ends should have been answered.
const ANSWERED_WITHIN: Micros = 1_500 * MS;
/// Sound within this time after a clear had been on its way too long.
const STALE_WITHIN: Micros = 1_500 * MS;
/// Playback begins so long after the first frame of a reply.
const PREBUFFER: Micros = 100 * MS;
/// A shorter stop of playback is not heard.
const GAP_MIN: Micros = 5 * MS;
/// A longer stop is the end of the reply.
const GAP_MAX: Micros = 1_000 * MS;
/// Mean size of samples from which on sound is heard.
const LOUD: u32 = 20;
/// Marks that wait for their time; servers send one for each sentence.
const MARKS_MAX: usize = 256;

/// What is in the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The line's own noise; any of its frames.
    Quiet(u64),
    /// A frame of the turn.
    Turn(usize),
    /// A frame of the interruption.
    BargeIn(usize),
}

/// How many frames the caller has to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    pub(super) turn: usize,
    pub(super) barge_in: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saying {
    Nothing,
    Turn(usize),
    BargeIn(usize),
}

/// A question that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Micros,
    interrupting: bool,
}

/// A reply as it is played.
#[derive(Clone, Copy, Debug)]
struct Reply {
    counts: bool,
    gap: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    lengths: Lengths,
    frames: u64,
    saying: Saying,
    next_turn: Micros,
    turns: u64,
    /// This turn's answer is to be interrupted.
    interrupts: bool,
    barge_at: Option<Micros>,
    /// When the interruption began that no clear has answered yet.
    interrupting: Option<Micros>,
    asked: Option<Asked>,
    /// The turn began within the window.
    counts: bool,
    reply: Option<Reply>,
    /// All sound that has come is played by then.
    play_end: Micros,
    cleared: Option<Micros>,
    marks: VecDeque<(Micros, Box<[u8]>)>,
}

impl Line {
    pub(super) fn new(lengths: Lengths, lead_ms: u64, now: Micros) -> Self {
        Self {
            lengths,
            frames: 0,
            saying: Saying::Nothing,
            next_turn: now + lead_ms * MS,
            turns: 0,
            interrupts: false,
            barge_at: None,
            interrupting: None,
            asked: None,
            counts: false,
            reply: None,
            play_end: now,
            cleared: None,
            marks: VecDeque::new(),
        }
    }

    /// What is in the frame that is sent now.
    pub(super) fn frame(&mut self, now: Micros, in_window: bool, figures: &mut Figures) -> Piece {
        if self.interrupting.is_some_and(|began| now > began + MISSED_AFTER) {
            self.interrupting = None;
            self.asked = None;
            figures.missed += u64::from(self.counts);
        }
        if self.saying == Saying::Nothing {
            self.begin(now, in_window, figures);
        }
        let n = self.frames;
        self.frames += 1;
        match self.saying {
            Saying::Nothing => Piece::Quiet(n),
            Saying::Turn(k) => {
                self.saying = Saying::Turn(k + 1);
                if k + 1 == self.lengths.turn {
                    self.asks(now, false);
                }
                Piece::Turn(k)
            }
            Saying::BargeIn(k) => {
                if k == 0 {
                    self.interrupting = Some(now);
                    figures.barge_ins += u64::from(self.counts);
                }
                self.saying = Saying::BargeIn(k + 1);
                if k + 1 == self.lengths.barge_in {
                    self.asks(now, true);
                }
                Piece::BargeIn(k)
            }
        }
    }

    fn asks(&mut self, now: Micros, interrupting: bool) {
        self.saying = Saying::Nothing;
        self.asked = Some(Asked { at: now, interrupting });
    }

    fn begin(&mut self, now: Micros, in_window: bool, figures: &mut Figures) {
        match self.barge_at {
            Some(at) if now >= at => {
                self.barge_at = None;
                self.saying = Saying::BargeIn(0);
            }
            None if now >= self.next_turn => {
                figures.unanswered += u64::from(self.asked.take().is_some() && self.counts);
                self.end_reply(figures);
                self.turns += 1;
                self.interrupts = self.turns.is_multiple_of(BARGE_EVERY);
                self.counts = in_window;
                self.next_turn = now + if self.interrupts { BARGE_TURN } else { TURN };
                self.saying = Saying::Turn(0);
            }
            Some(_) | None => {}
        }
    }

    /// A frame of the agent's sound: how long it is and how loud.
    pub(super) fn heard(&mut self, now: Micros, length: Micros, level: u32, figures: &mut Figures) {
        figures.frames_heard += 1;
        let loud = level > LOUD;
        match self.asked {
            // Until the clear, what is heard belongs to the answer that is interrupted.
            Some(asked) if loud && !(asked.interrupting && self.interrupting.is_some()) => {
                self.asked = None;
                if self.counts {
                    Figures::keep(&mut figures.answers, now - asked.at);
                }
                self.end_reply(figures);
                if self.interrupts && !asked.interrupting {
                    self.barge_at = Some(now + BARGE_AFTER);
                }
            }
            None if loud && self.reply.is_none() => {
                if self.cleared.is_some_and(|at| now < at + STALE_WITHIN) {
                    figures.stale += 1;
                    return;
                }
                // Before the first turn it is the greeting.
                figures.unexpected += u64::from(self.turns > 0);
            }
            Some(_) | None => {}
        }
        self.play(now, length, loud, figures);
    }

    fn play(&mut self, now: Micros, length: Micros, loud: bool, figures: &mut Figures) {
        let begins = Reply { counts: self.counts, gap: false };
        match &mut self.reply {
            // Silence between replies.
            None if !loud => {}
            None => {
                self.reply = Some(begins);
                self.play_end = now + PREBUFFER + length;
            }
            Some(_) if now <= self.play_end => self.play_end += length,
            Some(reply) => {
                let dry = now - self.play_end;
                if dry > GAP_MAX {
                    self.end_reply(figures);
                    self.play(now, length, loud, figures);
                    return;
                }
                if reply.counts {
                    figures.late_frames += 1;
                    if dry > GAP_MIN {
                        reply.gap = true;
                        Figures::keep(&mut figures.gaps, dry);
                    }
                }
                self.play_end = now + length;
            }
        }
    }

    fn end_reply(&mut self, figures: &mut Figures) {
        if let Some(reply) = self.reply.take()
            && reply.counts
        {
            figures.replies += 1;
            figures.replies_with_gap += u64::from(reply.gap);
        }
    }

    /// The agent wants nothing more to be played. Pending marks are reached at once.
    pub(super) fn clear(&mut self, now: Micros, figures: &mut Figures) {
        self.cleared = Some(now);
        if let Some(began) = self.interrupting.take()
            && self.counts
        {
            Figures::keep(&mut figures.reactions, now - began);
        }
        self.end_reply(figures);
        self.play_end = now;
        for (at, _) in &mut self.marks {
            *at = now;
        }
    }

    /// A mark: when it is reached, unless a clear comes first. None when there are too many.
    pub(super) fn mark(&mut self, now: Micros, name: &[u8]) -> Option<Micros> {
        if self.marks.len() == MARKS_MAX {
            return None;
        }
        let at = self.play_end.max(now);
        self.marks.push_back((at, name.into()));
        Some(at)
    }

    /// The next mark that has been reached.
    pub(super) fn reached(&mut self, now: Micros) -> Option<Box<[u8]>> {
        // A timer fires up to a millisecond early.
        let due = self.marks.front().is_some_and(|(at, _)| *at <= now + MS);
        due.then(|| self.marks.pop_front()).flatten().map(|(_, name)| name)
    }

    /// The call is over.
    pub(super) fn finish(&mut self, now: Micros, figures: &mut Figures) {
        let waited = self.asked.take().is_some_and(|asked| now > asked.at + ANSWERED_WITHIN);
        figures.unanswered += u64::from(waited && self.counts);
        self.end_reply(figures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: Lengths = Lengths { turn: 16, barge_in: 10 };
    const FRAME: Micros = 100 * MS;

    /// Plays frames until `until`; when each piece began.
    fn pieces(line: &mut Line, figures: &mut Figures, from: Micros, until: Micros) -> Vec<(Micros, Piece)> {
        let mut said = Vec::new();
        for now in (from..until).step_by(FRAME as usize) {
            let piece = line.frame(now, true, figures);
            if matches!(piece, Piece::Turn(0) | Piece::BargeIn(0)) {
                said.push((now / MS, piece));
            }
        }
        said
    }

    #[test]
    fn an_agent_that_says_nothing_is_asked_every_six_seconds_and_never_interrupted() {
        let (mut line, mut figures) = (Line::new(LENGTHS, LEAD_MS, 0), Figures::default());
        let said = pieces(&mut line, &mut figures, 0, 31_000 * MS);
        let want = [2_500, 8_500, 14_500, 24_500, 30_500];
        assert_eq!(said, want.map(|at| (at, Piece::Turn(0))));
        assert_eq!((figures.unanswered, figures.barge_ins), (4, 0));
        line.finish(34_000 * MS, &mut figures);
        assert_eq!(figures.unanswered, 4, "it was still being said");
    }

    #[test]
    fn an_answer_is_timed_from_the_last_frame_and_the_third_is_interrupted() {
        let (mut line, mut figures) = (Line::new(LENGTHS, LEAD_MS, 0), Figures::default());
        let mut said = Vec::new();
        for (turn, begins) in [2_500, 8_500, 14_500].into_iter().enumerate() {
            let from = line.frames * FRAME;
            said.extend(pieces(&mut line, &mut figures, from, (begins + 1_600) * MS));
            // Its last frame went out 100 ms before; not every frame of an answer is loud.
            line.heard((begins + 1_900) * MS, FRAME, 3, &mut figures);
            line.heard((begins + 2_000) * MS, FRAME, 900, &mut figures);
            assert_eq!(figures.answers[turn], 500_000);
        }
        let from = line.frames * FRAME;
        said.extend(pieces(&mut line, &mut figures, from, 17_700 * MS));
        assert_eq!(said.last(), Some(&(17_500, Piece::BargeIn(0))));
        line.heard(17_750 * MS, FRAME, 900, &mut figures);
        line.clear(17_800 * MS, &mut figures);
        assert_eq!((figures.reactions.as_slice(), figures.barge_ins), (&[300_000][..], 1));
        line.heard(17_900 * MS, FRAME, 900, &mut figures);
        assert_eq!(figures.stale, 1);
        pieces(&mut line, &mut figures, 17_700 * MS, 18_600 * MS);
        line.heard(19_000 * MS, FRAME, 900, &mut figures);
        assert_eq!(figures.answers.last(), Some(&600_000));
        line.finish(21_000 * MS, &mut figures);
        assert_eq!((figures.missed, figures.unanswered, figures.unexpected), (0, 0, 0));
        // What is heard more than a second after the third has run dry is another one.
        assert_eq!((figures.replies, figures.replies_with_gap), (5, 0));
    }

    #[test]
    fn an_interruption_without_a_clear_was_missed() {
        let (mut line, mut figures) = (Line::new(LENGTHS, LEAD_MS, 0), Figures::default());
        line.turns = BARGE_EVERY - 1;
        pieces(&mut line, &mut figures, 0, 4_100 * MS);
        line.heard(4_500 * MS, FRAME, 900, &mut figures);
        pieces(&mut line, &mut figures, 4_100 * MS, 9_000 * MS);
        assert_eq!((figures.barge_ins, figures.missed), (1, 1));
    }

    /// A line whose first answer begins at 5 s.
    fn answering() -> (Line, Figures) {
        let (mut line, mut figures) = (Line::new(LENGTHS, LEAD_MS, 0), Figures::default());
        pieces(&mut line, &mut figures, 0, 4_100 * MS);
        line.heard(5_000 * MS, FRAME, 900, &mut figures);
        (line, figures)
    }

    #[test]
    fn playback_that_runs_dry_inside_a_reply_is_a_gap() {
        // The first frame is played from 5100 to 5200 ms.
        for (next_ms, late, gaps) in
            [(5_199, 0, vec![]), (5_204, 1, vec![]), (5_230, 1, vec![30_000]), (6_900, 0, vec![])]
        {
            let (mut line, mut figures) = answering();
            line.heard(next_ms * MS, FRAME, 900, &mut figures);
            line.finish(9_000 * MS, &mut figures);
            assert_eq!((figures.late_frames, &figures.gaps), (late, &gaps), "{next_ms}");
            assert_eq!(figures.replies_with_gap, gaps.len() as u64);
        }
    }

    #[test]
    fn marks_are_reached_when_all_before_them_is_played_or_cleared() {
        let (mut line, mut figures) = answering();
        assert_eq!(line.mark(5_000 * MS, b"a"), Some(5_200 * MS));
        line.heard(5_050 * MS, FRAME, 900, &mut figures);
        assert_eq!(line.mark(5_050 * MS, b"b"), Some(5_300 * MS));
        assert_eq!(line.reached(5_190 * MS), None);
        assert_eq!(line.reached(5_200 * MS).as_deref(), Some(&b"a"[..]));
        assert_eq!(line.reached(5_200 * MS), None);
        line.clear(5_210 * MS, &mut figures);
        assert_eq!(line.reached(5_210 * MS).as_deref(), Some(&b"b"[..]));
        for _ in 0..MARKS_MAX {
            assert!(line.mark(6_000 * MS, b"c").is_some());
        }
        assert_eq!(line.mark(6_000 * MS, b"c"), None);
    }

    #[test]
    fn what_is_said_outside_the_window_does_not_count() {
        let (mut line, mut figures) = (Line::new(LENGTHS, LEAD_MS, 0), Figures::default());
        for now in (0..4_100 * MS).step_by(FRAME as usize) {
            line.frame(now, false, &mut figures);
        }
        line.heard(5_000 * MS, FRAME, 900, &mut figures);
        line.heard(5_300 * MS, FRAME, 900, &mut figures);
        line.finish(9_000 * MS, &mut figures);
        assert_eq!((figures.answers.len(), figures.gaps.len(), figures.replies, figures.late_frames), (0, 0, 0, 0));
    }
}
