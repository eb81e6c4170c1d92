//! The log-mel spectrogram that Whisper models, and smart-turn after them, look at: 80 bands of 25 ms windows every
//! 10 ms, of the last 8 s at 16 kHz. Defined by the feature extractor that smart-turn was trained with.

use crate::turn::WINDOW_S;
use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};
use std::f64::consts::PI;
use std::ops::Range;
use std::sync::Arc;

/// Rate of the samples.
const RATE_HZ: usize = 16_000;
/// Samples looked at.
pub(super) const SAMPLES: usize = WINDOW_S * RATE_HZ;
/// Bands.
pub(super) const BANDS: usize = 80;
/// Frames.
pub(super) const FRAMES: usize = SAMPLES / HOP;
const WINDOW: usize = 400;
const HOP: usize = 160;
const BINS: usize = WINDOW / 2 + 1;
/// Keeps the logarithm finite.
const POWER_MIN: f64 = 1e-10;
/// Keeps the division finite.
const VARIANCE_MIN: f32 = 1e-7;
/// How far below the loudest the quietest is drawn, in powers of ten.
const RANGE: f64 = 8.0;

/// A triangle over a few bins.
struct Band {
    bins: Range<usize>,
    weights: Vec<f64>,
}

/// Window, transform and bands, computed once.
pub(super) struct LogMel {
    transform: Arc<dyn RealToComplex<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
}

impl LogMel {
    pub(super) fn new() -> Self {
        Self {
            transform: RealFftPlanner::new().plan_fft_forward(WINDOW),
            // Periodic Hann.
            window: (0..WINDOW).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / WINDOW as f64).cos()).collect(),
            bands: bands(),
        }
    }

    /// The features of the last 8 s: [`BANDS`] rows of [`FRAMES`]. Shorter sound is taken as silent before.
    pub(super) fn features(&self, pcm: &[i16]) -> Vec<f32> {
        let samples = normalized(pcm);
        let mut powers = vec![0.0; BANDS * FRAMES];
        let mut input = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        let mut power = [0.0; BINS];
        let mut loudest = f64::MIN;
        for frame in 0..FRAMES {
            for (offset, (slot, weight)) in input.iter_mut().zip(&self.window).enumerate() {
                *slot = f64::from(samples[mirrored(frame * HOP + offset)]) * weight;
            }
            self.transform
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .expect("the vectors are made by the transform itself");
            for (to, bin) in power.iter_mut().zip(&spectrum) {
                *to = Complex64::norm_sqr(bin);
            }
            for (row, band) in self.bands.iter().enumerate() {
                let sum: f64 = power[band.bins.clone()].iter().zip(&band.weights).map(|(p, w)| p * w).sum();
                let log = sum.max(POWER_MIN).log10();
                loudest = loudest.max(log);
                powers[row * FRAMES + frame] = log;
            }
        }
        powers.iter().map(|log| ((log.max(loudest - RANGE) + 4.0) / 4.0) as f32).collect()
    }
}

/// Where sample `padded` of the sound, mirrored at both ends by half a window, is.
fn mirrored(padded: usize) -> usize {
    let half = WINDOW / 2;
    if padded < half {
        half - padded
    } else if padded - half < SAMPLES {
        padded - half
    } else {
        2 * (SAMPLES - 1) - (padded - half)
    }
}

/// The last 8 s with silence before them, mean 0 and variance 1 over all of it.
fn normalized(pcm: &[i16]) -> Vec<f32> {
    let last = &pcm[pcm.len().saturating_sub(SAMPLES)..];
    let mut samples = vec![0.0; SAMPLES - last.len()];
    samples.extend(last.iter().map(|s| f32::from(*s) / 32_768.0));
    let count = SAMPLES as f64;
    let mean = (samples.iter().map(|s| f64::from(*s)).sum::<f64>() / count) as f32;
    let variance = (samples.iter().map(|s| f64::from(s - mean).powi(2)).sum::<f64>() / count) as f32;
    let scale = (variance + VARIANCE_MIN).sqrt();
    for sample in &mut samples {
        *sample = (*sample - mean) / scale;
    }
    samples
}

/// Triangles evenly spaced on Slaney's mel scale (linear below 1 kHz, logarithmic above), each of area one.
fn bands() -> Vec<Band> {
    let step = 6.4f64.ln() / 27.0;
    let highest_mel = 15.0 + (RATE_HZ as f64 / 2.0 / 1000.0).ln() / step;
    let corner_hz = |index: usize| {
        let mel = highest_mel * index as f64 / (BANDS + 1) as f64;
        if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * step).exp() }
    };
    let bin_hz = |bin: usize| bin as f64 * RATE_HZ as f64 / WINDOW as f64;
    (0..BANDS)
        .map(|index| {
            let (low, middle, high) = (corner_hz(index), corner_hz(index + 1), corner_hz(index + 2));
            let weight = |bin| {
                let up = (bin_hz(bin) - low) / (middle - low);
                let down = (high - bin_hz(bin)) / (high - middle);
                up.min(down).max(0.0) * 2.0 / (high - low)
            };
            let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(0);
            let end = (first..BINS).rev().find(|bin| weight(*bin) > 0.0).map_or(first, |last| last + 1);
            Band { bins: first..end, weights: (first..end).map(weight).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sound both sides can make exactly: a sweep in whole numbers, 3 s.
    fn sweep() -> Vec<i16> {
        let mut state = 12_345u32;
        (0..48_000u32)
            .map(|i| {
                state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                let noise = ((state >> 16) & 0x3ff) as i32 - 512;
                let saw = ((i * (200 + i / 40)) % 16_000) as i32 - 8_000;
                (saw + noise) as i16
            })
            .collect()
    }

    #[test]
    fn the_features_are_those_of_the_reference() {
        let features = LogMel::new().features(&sweep());
        assert_eq!(features.len(), BANDS * FRAMES);
        for (band, frame, wanted) in GOLDEN {
            let found = features[band * FRAMES + frame];
            assert!((found - wanted).abs() < 2e-4, "band {band}, frame {frame}: {found}, not {wanted}");
        }
        let mean = features.iter().map(|f| f64::from(*f)).sum::<f64>() / features.len() as f64;
        assert!((mean - GOLDEN_MEAN).abs() < 1e-4, "{mean}");
    }

    #[test]
    fn silence_nothing_and_too_much_are_no_trouble() {
        let mel = LogMel::new();
        assert_eq!(mel.features(&[]), mel.features(&[0; 100]));
        let long: Vec<i16> = sweep().into_iter().cycle().take(SAMPLES + 5_000).collect();
        assert_eq!(mel.features(&long), mel.features(&long[5_000..]), "the last 8 s count");
    }

    /// Band, frame, value; computed with the reference in Python.
    const GOLDEN: [(usize, usize, f32); 12] = [
        (0, 0, 0.563905),
        (0, 500, 1.396573),
        (79, 799, 1.131898),
        (79, 500, 0.807332),
        (40, 650, 0.731407),
        (10, 510, 1.232729),
        (63, 700, 0.979491),
        (5, 799, 0.973760),
        (33, 499, 0.471653),
        (33, 498, -0.255417),
        (20, 600, 0.974481),
        (70, 555, 1.105405),
    ];
    const GOLDEN_MEAN: f64 = 0.267167;
}
