//! The ear of a call without a carrier: what the switchboard's session does with each frame of a caller's sound, in the
//! same order and with the same limits, but without a socket.

use super::sound::{FRAME, RATE_HZ};
use audio::resample::Resampler;
use audio::voice::{VoiceDetector, VoiceEvent};
use providers::local::SileroStream;
use std::collections::VecDeque;

/// As the session: audio kept from before speech was noticed.
pub(super) const PREROLL_MS: u32 = 320;
/// As the session: longest utterance.
const UTTERANCE_S_MAX: u32 = 30;
const WIDE_HZ: u32 = 16_000;

/// See the module.
pub(super) struct Ear {
    pub(super) detector: VoiceDetector,
    pub(super) events: Vec<VoiceEvent>,
    preroll: VecDeque<i16>,
    pub(super) utterance: Vec<i16>,
    in_utterance: bool,
    second: Option<SileroStream>,
    upsampler: Resampler,
    waiting: Vec<i16>,
}

impl Ear {
    pub(super) fn new(second: Option<SileroStream>) -> Self {
        Self {
            detector: VoiceDetector::new(RATE_HZ),
            events: Vec::new(),
            preroll: VecDeque::new(),
            utterance: Vec::new(),
            in_utterance: false,
            second,
            upsampler: Resampler::new(RATE_HZ, WIDE_HZ),
            waiting: Vec::new(),
        }
    }

    /// Takes a frame; afterwards `events` holds what was noticed.
    ///
    /// # Errors
    /// When the second detector fails.
    pub(super) fn push(&mut self, pcm: &[i16]) -> anyhow::Result<()> {
        self.events.clear();
        self.detector.push(pcm, &mut self.events);
        self.preroll.extend(pcm);
        let keep = (RATE_HZ * PREROLL_MS / 1_000) as usize + pcm.len();
        let excess = self.preroll.len().saturating_sub(keep);
        self.preroll.drain(..excess);
        let begins = |event: &VoiceEvent| matches!(event, VoiceEvent::Began { .. });
        let voice = self.detector.is_speaking() || self.events.iter().any(begins);
        if !self.in_utterance && voice {
            self.in_utterance = true;
            self.utterance.extend(&self.preroll);
        } else if self.in_utterance && self.utterance.len() < (RATE_HZ * UTTERANCE_S_MAX) as usize {
            self.utterance.extend(pcm);
        }
        self.ask_second_opinion(pcm)
    }

    /// As [`Self::push`], showing the detector after each of its 16 ms.
    ///
    /// # Errors
    /// When the second detector fails.
    pub(super) fn push_watched(
        &mut self,
        pcm: &[i16],
        each: &mut impl FnMut(&[i16], &VoiceDetector),
    ) -> anyhow::Result<()> {
        self.events.clear();
        for frame in pcm.chunks_exact(FRAME) {
            self.detector.push(frame, &mut self.events);
            each(frame, &self.detector);
        }
        self.ask_second_opinion(pcm)
    }

    /// On a noisy line a second, better and dearer detector is asked; its answer is there before the next frame.
    fn ask_second_opinion(&mut self, pcm: &[i16]) -> anyhow::Result<()> {
        let Some(second) = &mut self.second else { return Ok(()) };
        if !self.detector.noisy() {
            self.waiting.clear();
            return Ok(());
        }
        self.upsampler.process(pcm, &mut self.waiting);
        let probabilities = second.push(&self.waiting)?;
        self.waiting.clear();
        if let Some(last) = probabilities.last() {
            self.detector.override_probability(Some(*last));
        }
        Ok(())
    }

    /// The utterance is over.
    pub(super) fn discard(&mut self) {
        self.in_utterance = false;
        self.utterance.clear();
    }
}
