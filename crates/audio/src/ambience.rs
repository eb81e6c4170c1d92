//! Sound behind a voice: the murmur of an office, the faint noise of an open line. Made from filtered noise, so there
//! are no words in it, and the same for the same seed. A loop of some seconds that meets itself without a seam: its noise
//! and its swelling have the loop's length as their period, and the filters have run through it once before it is kept.

use crate::level;
use std::f64::consts::TAU;

/// Length of the loop: nobody notices the return of a murmur after so long.
pub const LOOP_S: u32 = 6;
/// Voices in the murmur of an office; more sound like rain.
const VOICES: usize = 5;
/// Where each voice is loudest, in Hz: first formants of vowels.
const VOICE_HZ: [f64; VOICES] = [310.0, 420.0, 530.0, 610.0, 740.0];
/// How wide that is, in Hz.
const VOICE_BANDWIDTH_HZ: f64 = 160.0;
/// Syllables in a loop, by voice: 3 to 5 a second, no two alike.
const SYLLABLES: [f64; VOICES] = [19.0, 23.0, 26.0, 29.0, 31.0];
/// Sentences in a loop, by voice.
const SENTENCES: [f64; VOICES] = [1.0, 2.0, 1.0, 3.0, 2.0];
/// The room itself, beside the voices.
const ROOM: f64 = 0.15;
/// The band of a telephone line, in Hz.
const LINE_HZ: [f64; 2] = [250.0, 2_400.0];

/// What is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// The murmur of an office.
    Office,
    /// The faint noise of an open line.
    Line,
}

/// An endless sound. Clones go on from the same place.
#[derive(Debug, Clone)]
pub struct Ambience {
    samples: Vec<i16>,
    at: usize,
}

impl Ambience {
    /// Computes the loop: some ten milliseconds. `below_db`: its level below full scale.
    #[must_use]
    pub fn new(sound: Sound, below_db: u8, rate_hz: u32, seed: u64) -> Self {
        let rate = f64::from(rate_hz.clamp(1_000, 48_000));
        let length = (rate as usize) * LOOP_S as usize;
        let mut noise = Noise(seed ^ 0x9E37_79B9_7F4A_7C15);
        let wave = match sound {
            Sound::Office => office(length, rate, &mut noise),
            Sound::Line => band(&white(length, &mut noise), rate),
        };
        let power = wave.iter().map(|sample| sample * sample).sum::<f64>() / wave.len() as f64;
        let gain = 32_768.0 * 10_f64.powf(-f64::from(below_db) / 20.0) / power.sqrt().max(f64::MIN_POSITIVE);
        let samples: Vec<i16> = wave.iter().map(|sample| (sample * gain) as i16).collect();
        // Two calls with different seeds do not begin alike either.
        let at = (noise.next() as usize) % samples.len();
        Self { samples, at }
    }

    /// Adds the next part of it to this frame.
    pub fn mix(&mut self, frame: &mut [i16]) {
        for sample in frame {
            *sample = sample.saturating_add(self.samples[self.at]);
            self.at = (self.at + 1) % self.samples.len();
        }
    }

    /// A frame of nothing else.
    pub fn frame(&mut self, samples: usize, frame: &mut Vec<i16>) {
        frame.clear();
        frame.resize(samples, 0);
        self.mix(frame);
    }

    /// Level of the whole loop.
    #[must_use]
    pub fn dbfs(&self) -> f32 {
        level::rms_dbfs(&self.samples)
    }
}

/// Sixty-four bits of noise at a time (xorshift, G. Marsaglia 2003).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// -1.0 to 1.0.
    fn sample(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

fn white(length: usize, noise: &mut Noise) -> Vec<f64> {
    (0..length).map(|_| noise.sample()).collect()
}

fn office(length: usize, rate: f64, noise: &mut Noise) -> Vec<f64> {
    let mut wave: Vec<f64> = band(&white(length, noise), rate).iter().map(|sample| sample * ROOM).collect();
    for voice in 0..VOICES {
        let (begins, breath) = (noise.sample() * TAU, noise.sample() * TAU);
        let voiced = resonance(&white(length, noise), VOICE_HZ[voice], rate);
        for (n, (sum, sample)) in wave.iter_mut().zip(voiced).enumerate() {
            let turn = TAU * n as f64 / length as f64;
            // Whole numbers of cycles: the end of the loop meets its beginning.
            let syllable = 0.55 + 0.45 * (SYLLABLES[voice] * turn + begins).sin();
            let sentence = (0.4 + 0.6 * (SENTENCES[voice] * turn + breath).sin()).max(0.05);
            *sum += sample * syllable * sentence;
        }
    }
    wave
}

/// Noise around one frequency, as loud whatever the frequency. Run twice; the first time the filter finds its state.
fn resonance(noise: &[f64], hz: f64, rate: f64) -> Vec<f64> {
    let radius = (-std::f64::consts::PI * VOICE_BANDWIDTH_HZ / rate).exp();
    let turn = 2.0 * radius * (TAU * hz / rate).cos();
    let gain = (1.0 - radius * radius).sqrt();
    let (mut last, mut before) = (0.0, 0.0);
    twice(noise, |sample| {
        let out = sample * gain + turn * last - radius * radius * before;
        (last, before) = (out, last);
        out
    })
}

/// The band of a telephone line.
fn band(noise: &[f64], rate: f64) -> Vec<f64> {
    let [low, high] = LINE_HZ.map(|hz| 1.0 - (-TAU * hz / rate).exp());
    let (mut below, mut smooth) = (0.0, 0.0);
    twice(noise, |sample| {
        smooth += high * (sample - smooth);
        below += low * (smooth - below);
        smooth - below
    })
}

fn twice(noise: &[f64], mut filter: impl FnMut(f64) -> f64) -> Vec<f64> {
    for sample in noise {
        filter(*sample);
    }
    noise.iter().map(|sample| filter(*sample)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Sound; 2] = [Sound::Office, Sound::Line];

    #[test]
    fn it_is_as_loud_as_wanted_and_never_clips() {
        for sound in BOTH {
            for below_db in [20, 46, 60] {
                for rate_hz in [8_000, 16_000, 24_000] {
                    let ambience = Ambience::new(sound, below_db, rate_hz, 3);
                    let dbfs = ambience.dbfs();
                    // At -60 dBFS a sample is some thirty steps: rounding shows.
                    assert!((dbfs + f32::from(below_db)).abs() < 0.5, "{sound:?} {below_db} {rate_hz}: {dbfs}");
                    assert!(level::peak(&ambience.samples) < 32_000, "{sound:?} {below_db} {rate_hz}");
                    assert_eq!(ambience.samples.len(), (rate_hz * LOOP_S) as usize);
                }
            }
        }
    }

    #[test]
    fn the_loop_has_no_seam() {
        for sound in BOTH {
            let samples = Ambience::new(sound, 30, 8_000, 11).samples;
            let jump = |from: usize, to: usize| (i32::from(samples[to]) - i32::from(samples[from])).abs();
            let usual = (1..samples.len()).map(|n| jump(n - 1, n)).max().expect("samples");
            assert!(jump(samples.len() - 1, 0) <= usual, "{sound:?}");
            // Nor does its loudness jump there.
            let around: Vec<i16> = samples[samples.len() - 400..].iter().chain(&samples[..400]).copied().collect();
            let (left, right) = (level::rms_dbfs(&around[..400]), level::rms_dbfs(&around[400..]));
            assert!((left - right).abs() < 12.0, "{sound:?}: {left} and {right} dBFS");
        }
    }

    #[test]
    fn the_same_seed_sounds_the_same_and_another_does_not() {
        let frame = |seed| {
            let mut frame = Vec::new();
            Ambience::new(Sound::Office, 40, 8_000, seed).frame(800, &mut frame);
            frame
        };
        assert_eq!(frame(1), frame(1));
        assert_ne!(frame(1), frame(2));
        assert_eq!(frame(0).len(), 800);
    }

    #[test]
    fn it_is_added_to_what_is_said_and_goes_round() {
        let mut ambience = Ambience::new(Sound::Line, 40, 8_000, 5);
        let whole = ambience.samples.len();
        let (mut alone, mut behind) = (Vec::new(), vec![1_000; whole]);
        ambience.clone().frame(whole, &mut alone);
        ambience.mix(&mut behind);
        assert!(alone.iter().zip(&behind).all(|(alone, behind)| behind - alone == 1_000));
        let mut again = Vec::new();
        ambience.frame(whole, &mut again);
        assert_eq!(again, alone, "the loop returns");
        let mut loud = vec![i16::MAX; 800];
        ambience.mix(&mut loud);
        assert!(loud.iter().all(|sample| *sample > 32_000), "too loud is cut, not turned over");
    }

    #[test]
    fn a_murmur_swells_and_a_line_does_not() {
        let spread = |sound| {
            let samples = Ambience::new(sound, 30, 8_000, 9).samples;
            let levels: Vec<f32> = samples.chunks(400).map(level::rms_dbfs).collect();
            levels.iter().copied().fold(f32::MIN, f32::max) - levels.iter().copied().fold(f32::MAX, f32::min)
        };
        assert!(spread(Sound::Office) > 6.0 && spread(Sound::Line) < 6.0);
    }
}
