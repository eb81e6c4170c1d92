//! The audio since the last `Discard`, to be heard again by another transcriber; and what of it one wants that takes
//! speech only.

use crate::transcriber::{AudioWanted, Pcm};
use audio::voice::{VoiceDetector, VoiceEvent};
use std::collections::VecDeque;

/// Audio kept to be heard again, in seconds: the longest utterance that a call keeps. Half a megabyte at 8 kHz.
pub const REPLAY_S_MAX: usize = 30;
/// Audio from before speech was noticed: soft beginnings are quieter than what is detected.
const PREROLL_MS: usize = 320;

/// The newest audio, up to a length, by whole pieces.
#[derive(Debug)]
pub(super) struct Newest {
    pieces: VecDeque<Pcm>,
    samples: usize,
    most: usize,
}

impl Newest {
    pub(super) const fn new(most: usize) -> Self {
        Self { pieces: VecDeque::new(), samples: 0, most }
    }

    pub(super) fn of_utterance(sample_rate_hz: u32) -> Self {
        Self::new(sample_rate_hz as usize * REPLAY_S_MAX)
    }

    pub(super) fn push(&mut self, pcm: Pcm) {
        self.samples += pcm.len();
        self.pieces.push_back(pcm);
        // The oldest piece stays while what follows it is too short.
        while let Some(first) = self.pieces.front().filter(|first| self.samples - first.len() >= self.most) {
            self.samples -= first.len();
            self.pieces.pop_front();
        }
    }

    /// Nothing is kept; a long one's memory is given back.
    pub(super) fn clear(&mut self) {
        (self.pieces, self.samples) = (VecDeque::new(), 0);
    }

    pub(super) fn all(&self) -> Pcm {
        let newest: Vec<i16> = self.pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        newest[newest.len().saturating_sub(self.most)..].into()
    }

    pub(super) fn take(&mut self) -> Pcm {
        let all = self.all();
        self.clear();
        all
    }
}

/// What of the call's audio goes to a transcriber.
#[derive(Debug)]
pub(super) enum Gate {
    /// As it comes.
    Open,
    /// It wants speech only, and the call gives everything: silence before speech is held back.
    Speech(Box<SpeechGate>),
}

#[derive(Debug)]
pub(super) struct SpeechGate {
    detector: VoiceDetector,
    events: Vec<VoiceEvent>,
    before: Newest,
    speech: bool,
}

impl Gate {
    pub(super) fn new(given: AudioWanted, wanted: AudioWanted, sample_rate_hz: u32) -> Self {
        match (given, wanted) {
            (AudioWanted::Continuous, AudioWanted::SpeechOnly) => Self::Speech(Box::new(SpeechGate {
                detector: VoiceDetector::new(sample_rate_hz),
                events: Vec::new(),
                before: Newest::new(sample_rate_hz as usize * PREROLL_MS / 1_000),
                speech: false,
            })),
            (AudioWanted::Continuous | AudioWanted::SpeechOnly, _) => Self::Open,
        }
    }

    /// What is to be sent of it, if anything.
    pub(super) fn pass(&mut self, pcm: Pcm) -> Pcm {
        let Self::Speech(gate) = self else { return pcm };
        gate.detector.push(&pcm, &mut gate.events);
        gate.speech = gate.speech || !gate.events.is_empty() || gate.detector.is_speaking();
        gate.events.clear();
        if gate.speech {
            let before = gate.before.take();
            return if before.is_empty() { pcm } else { before.iter().chain(pcm.iter()).copied().collect() };
        }
        gate.before.push(pcm);
        Pcm::default()
    }

    /// Text is wanted now: what was held back is sent after all.
    pub(super) fn rest(&mut self) -> Pcm {
        match self {
            Self::Open => Pcm::default(),
            Self::Speech(gate) => {
                gate.speech = true;
                gate.before.take()
            }
        }
    }

    /// The utterance is over.
    pub(super) fn discard(&mut self) {
        if let Self::Speech(gate) = self {
            gate.speech = gate.detector.is_speaking();
            gate.before.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_audio_is_kept() {
        let mut newest = Newest::new(5);
        newest.push([1, 2, 3].into());
        newest.push([4, 5, 6].into());
        assert_eq!(*newest.all(), [2, 3, 4, 5, 6]);
        newest.push([0; 3].into());
        newest.push([7, 8, 9, 10, 11, 12].into());
        assert_eq!(*newest.all(), [8, 9, 10, 11, 12]);
        assert_eq!(*newest.take(), [8, 9, 10, 11, 12]);
        assert!(newest.all().is_empty());
    }

    #[test]
    fn silence_before_speech_is_held_back() {
        let mut gate = Gate::new(AudioWanted::Continuous, AudioWanted::SpeechOnly, 8_000);
        let mut sent = 0;
        for _ in 0..50 {
            sent += gate.pass([0; 800].into()).len();
        }
        assert_eq!(sent, 0);
        assert_eq!(gate.rest().len(), 2_560, "320 ms, when text is wanted although nothing was noticed");
        assert_eq!(gate.pass([0; 800].into()).len(), 800, "and what follows");
        gate.discard();
        assert!(gate.pass([0; 800].into()).is_empty());
    }

    #[test]
    fn who_wants_all_gets_all() {
        for (given, wanted) in [
            (AudioWanted::Continuous, AudioWanted::Continuous),
            (AudioWanted::SpeechOnly, AudioWanted::Continuous),
            (AudioWanted::SpeechOnly, AudioWanted::SpeechOnly),
        ] {
            let mut gate = Gate::new(given, wanted, 8_000);
            assert_eq!(gate.pass([0; 800].into()).len(), 800);
            assert!(gate.rest().is_empty());
        }
    }
}
