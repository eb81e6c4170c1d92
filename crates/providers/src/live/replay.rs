//! The audio that has no final text yet. Positions are samples of the call's audio.

use super::REPLAY_S;
use crate::transcriber::Pcm;
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub(crate) struct Replay {
    sample_rate_hz: u64,
    /// Samples the call has given so far.
    given: u64,
    /// Up to here the text is final, or nobody wants it.
    settled: u64,
    kept: VecDeque<Pcm>,
    kept_samples: u64,
}

impl Replay {
    pub(crate) fn new(sample_rate_hz: u32) -> Self {
        Self { sample_rate_hz: u64::from(sample_rate_hz), given: 0, settled: 0, kept: VecDeque::new(), kept_samples: 0 }
    }

    /// Samples the call has given so far.
    pub(crate) const fn given(&self) -> u64 {
        self.given
    }

    /// So many samples are this long.
    pub(crate) const fn samples_in_ms(&self, ms: u64) -> u64 {
        self.sample_rate_hz * ms / 1_000
    }

    /// So many seconds as samples; nonsense becomes one of the ends.
    pub(crate) fn samples_in_s(&self, seconds: f64) -> u64 {
        // A float cast saturates.
        (seconds * self.sample_rate_hz as f64).round() as u64
    }

    /// Silence: what came before need not be sent again.
    pub(crate) fn rest(&mut self, pcm: Pcm) {
        self.settle(self.given);
        self.push(pcm);
    }

    pub(crate) fn push(&mut self, pcm: Pcm) {
        self.given += pcm.len() as u64;
        self.kept_samples += pcm.len() as u64;
        self.kept.push_back(pcm);
        let most = u64::from(REPLAY_S) * self.sample_rate_hz;
        self.trim(self.settled.max(self.given.saturating_sub(most)));
    }

    /// Up to here it need not be sent again.
    pub(crate) fn settle(&mut self, until: u64) {
        self.settled = self.settled.max(until.min(self.given));
        self.trim(self.settled);
    }

    /// Nothing so far need be sent again.
    pub(crate) fn forget(&mut self) {
        self.settled = self.given;
        self.kept.clear();
        self.kept_samples = 0;
    }

    /// What has to be sent again, oldest first; it ends at [`Self::given`].
    pub(crate) fn again(&self) -> Vec<i16> {
        let first = self.given - self.kept_samples;
        let skip = usize::try_from(self.settled.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut pcm: Vec<i16> = self.kept.iter().flat_map(|piece| piece.iter().copied()).collect();
        pcm.drain(..skip.min(pcm.len()));
        pcm
    }

    /// Lets go of audio before `until`, by whole messages.
    fn trim(&mut self, until: u64) {
        while let Some(first) = self.kept.front() {
            let len = first.len() as u64;
            if self.given - self.kept_samples + len > until {
                return;
            }
            self.kept_samples -= len;
            self.kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: usize = 8_000;

    #[test]
    fn memory_is_bounded() {
        let mut audio = Replay::new(S as u32);
        for _ in 0..60 * 50 {
            audio.push(vec![0; S / 50].into());
        }
        assert_eq!(audio.kept_samples, u64::from(REPLAY_S) * S as u64);
        assert_eq!(audio.again().len() as u64, audio.kept_samples);
    }

    proptest! {
        #[test]
        fn what_is_given_again_is_the_end_of_what_was_given(
            steps in prop::collection::vec((0usize..3_000, 0u64..200_000, any::<bool>()), 0..60),
        ) {
            let mut audio = Replay::new(8_000);
            let mut all: Vec<i16> = Vec::new();
            for (n, (samples, settle, forget)) in steps.into_iter().enumerate() {
                let piece = vec![n as i16; samples];
                all.extend(&piece);
                if settle % 11 == 0 { audio.rest(piece.into()) } else { audio.push(piece.into()) }
                audio.settle(settle);
                if forget && settle % 7 == 0 {
                    audio.forget();
                }
                let again = audio.again();
                prop_assert!(all.ends_with(&again));
                prop_assert!(audio.settled <= audio.given && audio.given == all.len() as u64);
                prop_assert!(again.len() as u64 <= audio.given - audio.settled);
            }
        }
    }
}
