//! When the caller's audio goes to a transcriber that takes everything: at once where somebody waits for what it says of
//! it, in larger pieces where nobody does. Each piece is a message, a system call and three tasks woken.

use providers::transcriber::Pcm;

/// While nobody speaks. The vendor hears of the silence so much later, and of a word at once.
const QUIET_HOLD_MS: usize = 500;
/// In the middle of loud speech: what Exotel's frames hold. Smaller ones are joined.
const LOUD_HOLD_MS: usize = 100;
/// So long after its beginning an utterance may be an interruption, whose first words are waited for.
const BEGINNING_MS: u64 = 400;
/// Silence of this length in speech may be its end, which the vendor is to notice at once.
const PAUSE_MS: u64 = 40;

/// What the caller is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing, as far as we hear.
    Quiet,
    /// Speaking on.
    Loud,
    /// Beginning to speak, or perhaps about to end.
    Tense,
}

impl Moment {
    /// `spoken_ms`: how long ago the utterance began, if there is one; `silent_ms`: since its last loud moment.
    pub(super) const fn of(spoken_ms: Option<u64>, silent_ms: u64) -> Self {
        match spoken_ms {
            None => Self::Quiet,
            Some(spoken_ms) if spoken_ms <= BEGINNING_MS || silent_ms >= PAUSE_MS => Self::Tense,
            Some(_) => Self::Loud,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gather {
    held: Vec<i16>,
    samples_per_ms: usize,
}

impl Gather {
    pub(super) fn new(rate: u32) -> Self {
        Self { held: Vec::new(), samples_per_ms: (rate / 1_000) as usize }
    }

    /// One more frame; gives what is to be sent now.
    pub(super) fn push(&mut self, pcm: &[i16], moment: Moment) -> Option<Pcm> {
        self.held.extend_from_slice(pcm);
        let hold_ms = match moment {
            Moment::Quiet => QUIET_HOLD_MS,
            Moment::Loud => LOUD_HOLD_MS,
            Moment::Tense => 0,
        };
        if self.held.len() >= hold_ms * self.samples_per_ms { self.take() } else { None }
    }

    /// All that is held.
    pub(super) fn take(&mut self) -> Option<Pcm> {
        let all = (!self.held.is_empty()).then(|| Pcm::from(self.held.as_slice()));
        self.held.clear();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of the pieces that come of frames of so many ms.
    fn pieces(frame_ms: usize, frames: usize, moment: Moment) -> Vec<usize> {
        let mut gather = Gather::new(8_000);
        let sent = (0..frames).filter_map(|_| gather.push(&vec![0; frame_ms * 8], moment));
        sent.map(|piece| piece.len() / 8).collect()
    }

    #[test]
    fn pieces_are_as_long_as_nobody_waits() {
        assert_eq!(pieces(100, 12, Moment::Quiet), [500, 500]);
        assert_eq!(pieces(20, 50, Moment::Quiet), [500, 500]);
        assert_eq!(pieces(100, 3, Moment::Loud), [100, 100, 100]);
        assert_eq!(pieces(20, 12, Moment::Loud), [100, 100]);
        assert_eq!(pieces(20, 3, Moment::Tense), [20, 20, 20]);
        assert_eq!(pieces(200, 2, Moment::Loud), [200, 200]);
    }

    #[test]
    fn what_was_held_goes_before_what_is_waited_for() {
        let mut gather = Gather::new(8_000);
        assert_eq!(gather.push(&[1; 800], Moment::Quiet), None);
        assert_eq!(gather.push(&[2; 800], Moment::Tense), Some([[1; 800], [2; 800]].concat().into()));
        assert_eq!(gather.take(), None);
    }

    #[test]
    fn beginning_and_end_of_an_utterance_are_waited_for() {
        let cases = [
            (None, 0, Moment::Quiet),
            (Some(0), 0, Moment::Tense),
            (Some(400), 0, Moment::Tense),
            (Some(401), 0, Moment::Loud),
            (Some(5_000), 39, Moment::Loud),
            (Some(5_000), 40, Moment::Tense),
        ];
        for (spoken_ms, silent_ms, want) in cases {
            assert_eq!(Moment::of(spoken_ms, silent_ms), want, "{spoken_ms:?} {silent_ms}");
        }
    }
}
