//! hibari: text to sound. The text becomes phonemes, the phonemes a spectrum (one small network, once per piece), the
//! spectrum a waveform; then the sound is trimmed and brought to one level.

use super::models::HibariFiles;
use super::network::{Network, row};
use super::phonemes::Phonemes;
use super::vocoder::{Layers, RATE_HZ, Vocoder};
use crate::{Error, ErrorKind};
use rten::{NodeId, Value};
use rten_tensor::NdTensor;
use std::collections::BTreeMap;

/// Its only voice.
pub(super) const VOICE: &str = "heart";
/// Loudness of speech on the line while somebody speaks: usual for telephony, with room for the peaks.
const LEVEL_WANTED_DBFS: f32 = -20.0;
/// No sample above this.
const PEAK_MAX: f32 = 0.95;
/// The level is not changed by more than this, up or down.
const GAIN_MAX: f32 = 4.0;
/// What is this much quieter than the loudest 20 ms is a pause, and does not count for the level.
const PAUSE_BELOW: f32 = 0.03;
/// Silence kept before the first sound: breath and soft consonants begin below the threshold.
const BEFORE_MS: usize = 40;
/// Silence kept after the last sound: a clause needs its pause.
const AFTER_MS: usize = 120;
/// Quieter than this (after the level is set) is silence at the ends: -46 dBFS.
const SILENCE: f32 = 0.005;
/// Phonemes of one piece at most; the pieces are cut by their letters long before.
const PHONEMES_MAX: usize = 510;

const PROVIDER: &str = "builtin";

/// The loaded model.
pub(super) struct Hibari {
    phonemes: Phonemes,
    numbers: BTreeMap<char, i32>,
    network: Network,
    ids: NodeId,
    speed: NodeId,
    outputs: [NodeId; 6],
    vocoder: Vocoder,
}

impl Hibari {
    pub(super) fn load(files: &HibariFiles) -> Result<Self, Error> {
        let network = Network::load(&files.acoustic, "hibari")?;
        let broken = || Error::new(ErrorKind::NotInstalled, PROVIDER, "vocab.json cannot be read");
        let bytes = std::fs::read(&files.vocabulary).map_err(|e| broken().caused_by(e))?;
        let numbers = serde_json::from_slice(&bytes).map_err(|e| broken().caused_by(e))?;
        let layer = |name| network.node(name);
        Ok(Self {
            phonemes: Phonemes::load(&files.unknown_words, &files.unknown_words_letters)?,
            numbers,
            ids: network.node("ids")?,
            speed: network.node("speed")?,
            outputs: [layer("lh")?, layer("theta")?, layer("ln")?, layer("lr")?, layer("phi")?, layer("f0")?],
            network,
            vocoder: Vocoder::new(),
        })
    }

    /// The sound of a piece of text at a rate; empty when there is nothing to pronounce. The same text always gives
    /// the same sound.
    pub(super) fn speak(&self, text: &str, sample_rate_hz: u32) -> Result<Vec<i16>, Error> {
        let phonemes = self.phonemes.of(text)?;
        let ids: Vec<i32> = phonemes.chars().filter_map(|c| self.numbers.get(&c).copied()).take(PHONEMES_MAX).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let layers = self.layers(ids)?;
        if !layers.are_whole() {
            return Err(Error::new(ErrorKind::Protocol, PROVIDER, "hibari gives layers of other sizes"));
        }
        let mut sound = self.vocoder.sound(&layers, seed(text));
        level(&mut sound);
        let pcm: Vec<i16> = trimmed(&sound).iter().map(|v| (v.clamp(-1.0, 1.0) * 32_767.0) as i16).collect();
        Ok(at_rate(pcm, sample_rate_hz))
    }

    fn layers(&self, ids: Vec<i32>) -> Result<Layers, Error> {
        // Zero stands at both ends.
        let padded = std::iter::once(0).chain(ids).chain(std::iter::once(0)).collect();
        let speed = Value::from(NdTensor::from_data([1], vec![1.0f32]));
        let mut values = self.network.run(vec![(self.ids, row(padded)), (self.speed, speed.into())], &self.outputs)?;
        let mut next = || self.network.floats(&mut values);
        Ok(Layers {
            harmonic: next()?,
            harmonic_phase: next()?,
            noise: next()?,
            free: next()?,
            free_phase: next()?,
            pitch_hz: next()?,
        })
    }
}

/// A seed from the text (FNV-1a).
fn seed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Brings the speech (not its pauses) to the wanted level.
fn level(sound: &mut [f32]) {
    let frame = RATE_HZ as usize / 50;
    let powers: Vec<f32> = sound.chunks(frame).map(|c| c.iter().map(|v| v * v).sum::<f32>() / c.len() as f32).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let spoken = powers.iter().copied().filter(|p| *p > loudest * PAUSE_BELOW * PAUSE_BELOW);
    let (sum, count) = spoken.fold((0.0, 0.0f32), |(sum, count), power| (sum + power, count + 1.0));
    let peak = sound.iter().fold(0.0f32, |peak, v| peak.max(v.abs()));
    if sum <= 0.0 || peak <= 0.0 {
        return;
    }
    let wanted = 10f32.powf(LEVEL_WANTED_DBFS / 20.0);
    let gain = (wanted / (sum / count).sqrt()).clamp(1.0 / GAIN_MAX, GAIN_MAX).min(PEAK_MAX / peak);
    for value in sound {
        *value *= gain;
    }
}

/// Without long silence at the ends.
fn trimmed(sound: &[f32]) -> &[f32] {
    let ms = RATE_HZ as usize / 1000;
    let loud = |v: &f32| v.abs() > SILENCE;
    let (Some(first), Some(last)) = (sound.iter().position(loud), sound.iter().rposition(loud)) else { return &[] };
    &sound[first.saturating_sub(BEFORE_MS * ms)..sound.len().min(last + 1 + AFTER_MS * ms)]
}

fn at_rate(pcm: Vec<i16>, sample_rate_hz: u32) -> Vec<i16> {
    if sample_rate_hz == RATE_HZ {
        return pcm;
    }
    let mut resampler = audio::resample::Resampler::new(RATE_HZ, sample_rate_hz);
    let mut out = Vec::with_capacity(pcm.len() * sample_rate_hz as usize / RATE_HZ as usize + 64);
    resampler.process(&pcm, &mut out);
    resampler.flush(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(height: f32, ms: usize) -> Vec<f32> {
        (0..ms * 24).map(|i| height * (i as f32 * 0.05).sin()).collect()
    }

    #[test]
    fn pauses_do_not_count_for_the_level() {
        let rms = |sound: &[f32]| (sound.iter().map(|v| v * v).sum::<f32>() / sound.len() as f32).sqrt();
        for (height, pause_ms) in [(0.05, 0), (0.05, 2_000), (0.4, 500)] {
            let mut sound = [tone(height, 600), vec![0.0; pause_ms * 24]].concat();
            level(&mut sound);
            let found = 20.0 * rms(&sound[..600 * 24]).log10();
            assert!((found - LEVEL_WANTED_DBFS).abs() < 0.5, "{found} dBFS");
        }
        let mut silent = vec![0.0; 100];
        level(&mut silent);
        assert!(silent.iter().all(|v| *v == 0.0));
    }

    #[test]
    fn peaks_are_never_cut() {
        let mut sound = tone(0.01, 1_000);
        sound[5_000] = 0.9;
        level(&mut sound);
        assert!(sound.iter().all(|v| v.abs() <= PEAK_MAX + 1e-6));
    }

    #[test]
    fn only_long_silence_is_trimmed() {
        let silence = |ms: usize| vec![0.0; ms * 24];
        let length_ms = |before, after| trimmed(&[silence(before), tone(0.3, 100), silence(after)].concat()).len() / 24;
        assert!((100 + BEFORE_MS + AFTER_MS - 1..=100 + BEFORE_MS + AFTER_MS + 1).contains(&length_ms(500, 900)));
        assert_eq!(length_ms(10, 20), 130);
        assert!(trimmed(&silence(100)).is_empty());
    }
}
