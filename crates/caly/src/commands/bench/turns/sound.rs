//! Sound for the measurement: recordings at the rate and level of a telephone, where they are loud, and the line they
//! come over.

use anyhow::{Context, ensure};
use audio::level::{power, power_dbfs};
use audio::resample::Resampler;
use audio::voice::FRAME_MS;
use audio::{g711, wav};
use std::path::Path;

/// Rate of the line.
pub(super) const RATE_HZ: u32 = 8_000;
/// Samples of one frame that is labelled.
pub(super) const FRAME: usize = (RATE_HZ * FRAME_MS / 1_000) as usize;
/// Speech on a telephone line; every recording is brought to it.
const SPEECH_DBFS: f32 = -23.0;
/// A frame this far under the loudest one counts for the level of the speech.
const LEVEL_WITHIN_DB: f32 = 30.0;
/// A frame this far under the level of the speech is still speech. Softer is breath and the room.
const LOUD_WITHIN_DB: f32 = 25.0;

/// Samples of so much time.
pub(super) const fn samples(ms: u64) -> usize {
    (ms * RATE_HZ as u64 / 1_000) as usize
}

/// Time of so many samples.
pub(super) const fn ms(samples: usize) -> u64 {
    samples as u64 * 1_000 / RATE_HZ as u64
}

/// A recording as it would come over a telephone without any noise.
///
/// # Errors
/// When it cannot be read, is not mono, or is silent.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<i16>> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let recording = wav::read(&bytes).with_context(|| path.display().to_string())?;
    ensure!(recording.channels == 1, "{} is not mono", path.display());
    let mut pcm = Vec::new();
    let mut resampler = Resampler::new(recording.rate, RATE_HZ);
    resampler.process(&recording.samples, &mut pcm);
    resampler.flush(&mut pcm);
    let level = level_dbfs(&pcm).with_context(|| format!("{} is silent", path.display()))?;
    let gain = 10.0_f32.powf((SPEECH_DBFS - level) / 20.0);
    for sample in &mut pcm {
        *sample = clipped(f32::from(*sample) * gain);
    }
    Ok(pcm)
}

fn clipped(sample: f32) -> i16 {
    sample.clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

/// Level of what is not silence.
fn level_dbfs(pcm: &[i16]) -> Option<f32> {
    let powers: Vec<f32> = pcm.chunks_exact(FRAME).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let counts = loudest * 10.0_f32.powf(-LEVEL_WITHIN_DB / 10.0);
    let (sum, n) = powers.iter().filter(|p| **p > counts).fold((0.0, 0.0), |(sum, n), p| (sum + p, n + 1.0));
    (sum > 0.0).then(|| power_dbfs(sum / n))
}

/// Which frames are speech, by the level of a recording without noise.
pub(super) fn loud_frames(clean: &[i16]) -> Vec<bool> {
    let counts = 10.0_f32.powf((SPEECH_DBFS - LOUD_WITHIN_DB) / 10.0);
    clean.chunks(FRAME).map(|frame| power(frame) > counts).collect()
}

/// A run of frames, `from` inclusive, `to` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Run {
    pub(super) const fn frames(self) -> usize {
        self.to - self.from
    }

    pub(super) const fn ms(self) -> u64 {
        self.frames() as u64 * FRAME_MS as u64
    }
}

/// All runs of frames that are as wanted.
pub(super) fn runs(frames: &[bool], wanted: bool) -> Vec<Run> {
    let mut found: Vec<Run> = Vec::new();
    for (at, _) in frames.iter().enumerate().filter(|(_, is)| **is == wanted) {
        match found.last_mut() {
            Some(last) if last.to == at => last.to = at + 1,
            Some(_) | None => found.push(Run { from: at, to: at + 1 }),
        }
    }
    found
}

/// Noise that can be repeated: pink (3 dB less with every octave), as most noise behind callers is.
pub(super) struct Noise {
    state: u64,
    poles: [f32; 3],
}

/// Paul Kellet's economy filter: pole, gain of each; and of the input itself.
const PINK: [(f32, f32); 3] = [(0.997_65, 0.099_046), (0.963, 0.296_516_4), (0.57, 1.052_691_3)];
const PINK_DIRECT: f32 = 0.1848;
/// Level of the filter's output for white noise from -1 to 1, measured; right to half a decibel.
const PINK_RMS: f32 = 1.83;

impl Noise {
    pub(super) const fn new(seed: u64) -> Self {
        // A small seed is spread over all bits: a xorshift that starts small is quiet for a while.
        Self { state: (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, poles: [0.0; 3] }
    }

    /// Uniform, 0 to 1.
    pub(super) fn uniform(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 40) as f32 / (1 << 24) as f32
    }

    fn pink(&mut self) -> f32 {
        let white = self.uniform() * 2.0 - 1.0;
        let mut sum = white * PINK_DIRECT;
        for (state, (pole, gain)) in self.poles.iter_mut().zip(PINK) {
            *state = pole * *state + gain * white;
            sum += *state;
        }
        sum / PINK_RMS
    }
}

/// What comes out of the telephone: the sound, noise so far under speech, and the line's coding (mu-law).
pub(super) fn over_the_line(clean: &[i16], snr_db: f32, seed: u64) -> Vec<i16> {
    let mut noise = Noise::new(seed);
    let level = 32_768.0 * 10.0_f32.powf((SPEECH_DBFS - snr_db) / 20.0);
    let line = |sample: &i16| {
        let sum = clipped(f32::from(*sample) + noise.pink() * level);
        g711::mulaw_decode(g711::mulaw_encode(sum))
    };
    clean.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use audio::level::rms_dbfs;

    #[test]
    fn noise_has_the_level_it_should_have_and_is_the_same_again() {
        for snr_db in [5.0, 20.0] {
            let line = over_the_line(&vec![0; 80_000], snr_db, 1);
            let level = rms_dbfs(&line);
            assert!((level - (SPEECH_DBFS - snr_db)).abs() < 1.0, "{snr_db}: {level}");
            assert_eq!(line, over_the_line(&vec![0; 80_000], snr_db, 1));
            assert_ne!(line, over_the_line(&vec![0; 80_000], snr_db, 2));
        }
    }

    #[test]
    fn a_recording_is_brought_to_the_level_and_labelled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tone.wav");
        let tone: Vec<i16> = (0..16_000_usize)
            .map(|n| if (4_000..12_000).contains(&n) { (3_000.0 * (n as f32 * 0.2).sin()) as i16 } else { 0 })
            .collect();
        let mut bytes = wav::header(16_000, 1, 32_000).to_vec();
        bytes.extend(tone.iter().flat_map(|s| s.to_le_bytes()));
        std::fs::write(&path, bytes).unwrap();
        let pcm = read(&path).unwrap();
        assert!((rms_dbfs(&pcm[2_400..5_600]) - SPEECH_DBFS).abs() < 0.5);
        let speech = runs(&loud_frames(&pcm), true);
        let [run] = speech[..] else { panic!("{speech:?}") };
        assert!(run.from.abs_diff(samples(250) / FRAME) <= 1 && run.to.abs_diff(samples(750) / FRAME) <= 1, "{run:?}");
        std::fs::write(&path, wav::header(16_000, 1, 0)).unwrap();
        assert!(read(&path).unwrap_err().to_string().ends_with("is silent"));
    }

    #[test]
    fn runs_of_frames() {
        let frames = [false, true, true, false, true];
        assert_eq!(runs(&frames, true), [Run { from: 1, to: 3 }, Run { from: 4, to: 5 }]);
        assert_eq!(runs(&frames, false), [Run { from: 0, to: 1 }, Run { from: 3, to: 4 }]);
        assert_eq!(runs(&[], true), []);
    }
}
