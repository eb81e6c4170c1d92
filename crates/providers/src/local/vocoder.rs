//! From hibari's spectrum to sound. The network gives five layers of 601 bins per 12.5 ms frame and the pitch; the
//! sound is a pulse train at that pitch shaped by two of them, noise shaped by one, and a free part of two:
//! `S = e^lh · e^(iπ·tanh θ) · STFT(pulses) + e^ln · noise + e^lr · e^iφ`, then the inverse STFT (Hann, 1200, hop 300).

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::f32::consts::{PI, TAU};
use std::sync::Arc;

/// Rate of the sound.
pub(super) const RATE_HZ: u32 = 24_000;
const WINDOW: usize = 1_200;
const HOP: usize = 300;
const BINS: usize = WINDOW / 2 + 1;
/// A pitch not above this is no voice.
const VOICED_HZ: f32 = 40.0;
/// Harmonics end here.
const HARMONICS_HZ: f32 = 11_000.0;
/// Exponents are cut here, against a network gone astray.
const EXPONENT_MAX: f32 = 7.0;

/// What the network gives: layers of [`BINS`] rows of frames each, and the pitch of the frames.
pub(super) struct Layers {
    pub(super) harmonic: Vec<f32>,
    pub(super) harmonic_phase: Vec<f32>,
    pub(super) noise: Vec<f32>,
    pub(super) free: Vec<f32>,
    pub(super) free_phase: Vec<f32>,
    pub(super) pitch_hz: Vec<f32>,
}

impl Layers {
    /// Every layer has all its bins.
    pub(super) fn are_whole(&self) -> bool {
        let wanted = self.pitch_hz.len() * BINS;
        [&self.harmonic, &self.harmonic_phase, &self.noise, &self.free, &self.free_phase]
            .iter()
            .all(|layer| layer.len() == wanted)
    }
}

/// Window and transforms, computed once.
pub(super) struct Vocoder {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
}

impl Vocoder {
    pub(super) fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        Self {
            forward: planner.plan_fft_forward(WINDOW),
            inverse: planner.plan_fft_inverse(WINDOW),
            window: (0..WINDOW).map(|i| 0.5 - 0.5 * (TAU * i as f32 / WINDOW as f32).cos()).collect(),
        }
    }

    /// The sound of whole layers, -1 to 1; the same seed gives the same sound.
    pub(super) fn sound(&self, layers: &Layers, seed: u64) -> Vec<f32> {
        let frames = layers.pitch_hz.len();
        let length = frames * HOP;
        let source = pulses(&layers.pitch_hz);
        let mut noise = Noise::new(seed);
        let mut input = self.forward.make_input_vec();
        let mut spectrum = self.forward.make_output_vec();
        let mut output = self.inverse.make_output_vec();
        let mut scratch =
            vec![Complex32::default(); self.forward.get_scratch_len().max(self.inverse.get_scratch_len())];
        let mut sum = vec![0.0; length + WINDOW];
        let mut weight = vec![0.0; length + WINDOW];
        for frame in 0..frames {
            let start = frame * HOP;
            for (offset, (slot, window)) in input.iter_mut().zip(&self.window).enumerate() {
                // A cosine of height one has height one in the spectrum.
                *slot = source[mirrored(start + offset, length)] * window / (WINDOW as f32 / 4.0);
            }
            self.forward
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .expect("the vectors are made by the transform itself");
            for (bin, value) in spectrum.iter_mut().enumerate() {
                *value = shaped(*value, layers, bin * frames + frame, noise.pair());
            }
            // The first and the last bin of a real signal are real.
            spectrum[0].im = 0.0;
            spectrum[BINS - 1].im = 0.0;
            self.inverse
                .process_with_scratch(&mut spectrum, &mut output, &mut scratch)
                .expect("the vectors are made by the transform itself, and the outer bins are real");
            for (offset, (value, window)) in output.iter().zip(&self.window).enumerate() {
                sum[start + offset] += value / WINDOW as f32 * window;
                weight[start + offset] += window * window;
            }
        }
        let middle = WINDOW / 2..WINDOW / 2 + length;
        sum[middle.clone()].iter().zip(&weight[middle]).map(|(value, weight)| value / weight.max(1e-11)).collect()
    }
}

fn shaped(source: Complex32, layers: &Layers, at: usize, noise: Complex32) -> Complex32 {
    let height = |layer: &[f32]| layer[at].min(EXPONENT_MAX).exp();
    source * Complex32::from_polar(height(&layers.harmonic), layers.harmonic_phase[at].tanh() * PI)
        + noise * height(&layers.noise)
        + Complex32::from_polar(height(&layers.free), layers.free_phase[at])
}

/// Where sample `padded` of a sound, mirrored at both ends by half a window, is.
fn mirrored(padded: usize, length: usize) -> usize {
    let half = WINDOW / 2;
    let at = if padded < half {
        half - padded
    } else if padded - half < length {
        padded - half
    } else {
        (2 * (length - 1)).saturating_sub(padded - half)
    };
    at.min(length - 1)
}

/// Pulses at the pitch, all harmonics up to [`HARMONICS_HZ`] at height one, by the closed form of their sum:
/// `Σ cos(ht) = sin((H + ½)t) / (2 sin(t/2)) - ½`. Zero where there is no voice.
fn pulses(pitch_hz: &[f32]) -> Vec<f32> {
    let mut out = Vec::with_capacity(pitch_hz.len() * HOP);
    let mut phase = 0.0f64;
    for frame in 0..pitch_hz.len() {
        let (before, here) = (pitch_hz[frame.saturating_sub(1)], pitch_hz[frame]);
        let after = pitch_hz.get(frame + 1).copied().unwrap_or(here);
        for offset in 0..HOP {
            // Linear between the middles of the frames.
            let position = (offset as f32 + 0.5) / HOP as f32 - 0.5;
            let pitch =
                if position < 0.0 { here + (here - before) * position } else { here + (after - here) * position };
            let hz = pitch.max(VOICED_HZ);
            phase = (phase + f64::from(hz) / f64::from(RATE_HZ)).fract();
            out.push(if pitch > VOICED_HZ { pulse((phase * std::f64::consts::TAU) as f32, hz) } else { 0.0 });
        }
    }
    out
}

fn pulse(angle: f32, hz: f32) -> f32 {
    let harmonics = (HARMONICS_HZ / hz).floor() + 0.5;
    let below = (angle * 0.5).sin() * 2.0;
    // At the top of the pulse both are zero; there the sum is the number of harmonics.
    if below.abs() <= 2e-3 { harmonics - 0.5 } else { (harmonics * angle).sin() / below - 0.5 }
}

/// Gaussian noise, Box and Muller's way, from splitmix64: small, and the same everywhere.
struct Noise {
    state: u64,
}

impl Noise {
    fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Above 0, up to 1.
    fn uniform(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 24) as f32 + f32::EPSILON
    }

    /// Two independent values of variance one.
    fn pair(&mut self) -> Complex32 {
        let radius = (-2.0 * self.uniform().min(1.0).ln()).sqrt();
        Complex32::from_polar(radius, TAU * self.uniform())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_mean_zero_variance_one_and_repeats() {
        let (mut a, mut b) = (Noise::new(7), Noise::new(7));
        let values: Vec<f32> = (0..20_000).flat_map(|_| [a.pair()]).flat_map(|c| [c.re, c.im]).collect();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
        assert_eq!(b.pair(), Noise::new(7).pair());
        assert_ne!(Noise::new(8).pair(), Noise::new(7).pair());
    }

    #[test]
    fn pulses_come_at_the_pitch_and_not_without_voice() {
        let voiced = pulses(&[200.0; 80]);
        let tops: Vec<usize> = (1..voiced.len() - 1)
            .filter(|i| voiced[*i] > 40.0 && voiced[*i] >= voiced[i - 1] && voiced[*i] > voiced[i + 1])
            .collect();
        assert_eq!(voiced.len(), 24_000);
        assert!((199..=201).contains(&tops.len()), "{} pulses in one second at 200 Hz", tops.len());
        assert!(pulses(&[0.0; 10]).iter().all(|v| *v == 0.0));
    }

    #[test]
    fn a_free_spectrum_comes_out_as_the_sound_it_describes() {
        // 1 kHz is bin 50; its phase advances by 12.5 turns with every frame: half a turn, that is, a change of sign.
        let frames = 40;
        let mut layers = Layers {
            harmonic: vec![-60.0; BINS * frames],
            harmonic_phase: vec![0.0; BINS * frames],
            noise: vec![-60.0; BINS * frames],
            free: vec![-60.0; BINS * frames],
            free_phase: vec![0.0; BINS * frames],
            pitch_hz: vec![0.0; frames],
        };
        for frame in 0..frames {
            for (bin, height) in [(49, 75.0f32), (50, 150.0), (51, 75.0)] {
                layers.free[bin * frames + frame] = height.ln();
                let turn = if bin % 2 == 0 { 0.0 } else { PI };
                layers.free_phase[bin * frames + frame] = if frame % 2 == 0 { turn } else { turn + PI };
            }
        }
        assert!(layers.are_whole());
        let sound = Vocoder::new().sound(&layers, 1);
        let crossings = sound[3_000..9_000].windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        assert_eq!(sound.len(), frames * HOP);
        assert!((249..=251).contains(&crossings), "{crossings} periods of 1 kHz in 250 ms");
        layers.free.pop();
        assert!(!layers.are_whole());
    }

    #[test]
    fn nothing_gives_nothing() {
        let none = || Vec::new();
        let layers = Layers {
            harmonic: none(),
            harmonic_phase: none(),
            noise: none(),
            free: none(),
            free_phase: none(),
            pitch_hz: none(),
        };
        assert!(Vocoder::new().sound(&layers, 1).is_empty());
    }
}
