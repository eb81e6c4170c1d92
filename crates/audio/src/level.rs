//! How loud: level and peak of PCM, and the noise floor of a line.
//!
//! The floor is the minimum of the averaged power over a sliding window (minimum statistics, R. Martin, "Noise Power
//! Spectral Density Estimation Based on Optimal Smoothing and Minimum Statistics", IEEE TSAP 9(5), 2001, here over the
//! whole band): it needs no decision about speech, so a wrong decision cannot poison it.

/// Level given for digital silence, dB below full scale. 16 bits reach -90 at best.
pub const SILENCE_DBFS: f32 = -100.0;
/// Bounds of [`NoiseFloor::snr_db`].
pub const SNR_DB_MAX: f32 = 60.0;
/// See [`SNR_DB_MAX`].
pub const SNR_DB_MIN: f32 = -10.0;

const SILENCE_POWER: f32 = 1e-10;
const FULL_SCALE_POWER: f32 = 32_768.0 * 32_768.0;
/// The power is averaged over this many frames, 96 ms: any pause of that length shows the floor.
const AVERAGED_FRAMES: usize = 6;
/// The window is 8 x 24 frames of 16 ms, 3.1 s: people breathe more often than that.
const BLOCKS: usize = 8;
const FRAMES_PER_BLOCK: u32 = 24;
/// The minimum of a fluctuating power lies under its mean; by about 1 dB with this average and window.
const MINIMUM_BIAS: f32 = 1.26;
/// Frames before the floor means anything, half a second: a caller who speaks at once is not noise.
const SETTLED_FRAMES: usize = 32;
/// The speech level follows the loud frames over about half a second of them.
const SPEECH_SMOOTHING: f32 = 0.03;
/// Speech on a telephone line before any was heard: -24 dBFS.
const NOMINAL_SPEECH_POWER: f32 = 0.004;
/// From this many loud frames on, what was heard counts, not the nominal level.
const SPEECH_FRAMES_MIN: u32 = 8;

/// Mean power relative to full scale, 0.0..=1.0; 0.0 for nothing.
pub fn power(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return 0.0;
    }
    // Eight lanes that the compiler keeps in vector registers.
    let mut lanes = [0.0_f32; 8];
    let eights = pcm.chunks_exact(8);
    let rest: f32 = eights.remainder().iter().map(|&s| f32::from(s) * f32::from(s)).sum();
    for eight in eights {
        for (lane, &s) in lanes.iter_mut().zip(eight) {
            *lane += f32::from(s) * f32::from(s);
        }
    }
    (lanes.iter().sum::<f32>() + rest) / pcm.len() as f32 / FULL_SCALE_POWER
}

/// Root mean square level in dB relative to full scale (a full-scale square wave is 0 dBFS, a sine -3); never under
/// [`SILENCE_DBFS`], which is also the level of nothing.
pub fn rms_dbfs(pcm: &[i16]) -> f32 {
    power_dbfs(power(pcm))
}

/// Largest absolute sample, 0..=32768.
pub fn peak(pcm: &[i16]) -> u16 {
    pcm.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// Power relative to full scale in dBFS.
pub fn power_dbfs(power: f32) -> f32 {
    10.0 * power.max(SILENCE_POWER).log10()
}

/// The noise of one line and how far speech stands out of it. Feed it every frame, 16 ms each.
#[derive(Debug, Clone)]
pub struct NoiseFloor {
    newest: [f32; AVERAGED_FRAMES],
    frames: usize,
    minima: [f32; BLOCKS],
    oldest: usize,
    block_minimum: f32,
    block_frames: u32,
    speech: f32,
    speech_frames: u32,
}

impl Default for NoiseFloor {
    fn default() -> Self {
        Self::new()
    }
}

impl NoiseFloor {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self {
            newest: [0.0; AVERAGED_FRAMES],
            frames: 0,
            minima: [f32::INFINITY; BLOCKS],
            oldest: 0,
            block_minimum: f32::INFINITY,
            block_frames: 0,
            speech: NOMINAL_SPEECH_POWER,
            speech_frames: 0,
        }
    }

    /// One frame of PCM; `loud`: taken for speech.
    pub fn push(&mut self, frame: &[i16], loud: bool) {
        self.push_power(power(frame), loud);
    }

    /// One frame given by its [`power`].
    pub fn push_power(&mut self, power: f32, loud: bool) {
        let power = if power.is_finite() { power.clamp(SILENCE_POWER, 1.0) } else { SILENCE_POWER };
        self.newest[self.frames % AVERAGED_FRAMES] = power;
        self.frames = self.frames.saturating_add(1);
        // Before the average is full its unset places would pass for silence.
        let full = self.frames.min(AVERAGED_FRAMES);
        let average = self.newest[..full].iter().sum::<f32>() / full as f32;
        self.block_minimum = self.block_minimum.min(average);
        self.block_frames += 1;
        if self.block_frames == FRAMES_PER_BLOCK {
            self.minima[self.oldest] = self.block_minimum;
            self.oldest = (self.oldest + 1) % BLOCKS;
            self.block_minimum = f32::INFINITY;
            self.block_frames = 0;
        }
        if loud {
            self.push_speech(power);
        }
    }

    /// Level of the line without speech.
    pub fn floor_dbfs(&self) -> f32 {
        power_dbfs(self.floor_power())
    }

    /// Level of the speech heard of late, noise included; a nominal level before any was heard.
    pub fn speech_dbfs(&self) -> f32 {
        power_dbfs(self.speech_power())
    }

    /// Speech over noise, [`SNR_DB_MIN`]..=[`SNR_DB_MAX`]. Before any speech was heard: a nominal speech level over the
    /// noise.
    pub fn snr_db(&self) -> f32 {
        let floor = self.floor_power();
        let speech = (self.speech_power() - floor).max(SILENCE_POWER);
        (10.0 * (speech / floor).log10()).clamp(SNR_DB_MIN, SNR_DB_MAX)
    }

    fn push_speech(&mut self, power: f32) {
        self.speech_frames = self.speech_frames.saturating_add(1);
        // A plain mean first, so that the first frame does not weigh for half a second.
        let weight = SPEECH_SMOOTHING.max(1.0 / self.speech_frames as f32);
        self.speech += weight * (power - self.speech);
    }

    fn speech_power(&self) -> f32 {
        if self.speech_frames < SPEECH_FRAMES_MIN { NOMINAL_SPEECH_POWER } else { self.speech }
    }

    /// Enough was heard to trust the floor.
    pub fn is_settled(&self) -> bool {
        self.frames >= SETTLED_FRAMES
    }

    /// The floor as a power relative to full scale, 1e-10..=1.0.
    pub fn floor_power(&self) -> f32 {
        let minimum = self.minima.iter().copied().fold(self.block_minimum, f32::min);
        if minimum.is_finite() { (minimum * MINIMUM_BIAS).clamp(SILENCE_POWER, 1.0) } else { SILENCE_POWER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White-ish noise of a known level from a small linear congruential generator.
    struct Noise(u32);

    impl Noise {
        fn frame(&mut self, dbfs: f32) -> Vec<i16> {
            // A uniform distribution of half-width w has power w^2 / 3.
            let half_width = 32_768.0 * 10_f32.powf(dbfs / 20.0) * 3_f32.sqrt();
            (0..128)
                .map(|_| {
                    self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (((self.0 >> 8) as f32 / 8_388_608.0 - 1.0) * half_width) as i16
                })
                .collect()
        }
    }

    #[test]
    fn levels_of_known_signals() {
        let sine: Vec<i16> =
            (0..8_000).map(|i| (32_767.0 * (std::f32::consts::TAU * i as f32 / 80.0).sin()) as i16).collect();
        for (pcm, want) in [
            (vec![], SILENCE_DBFS),
            (vec![0; 160], SILENCE_DBFS),
            (vec![i16::MIN; 160], 0.0),
            (vec![16_384; 160], -6.02),
            (vec![328, -328, 328, -328], -39.99),
            (vec![1; 160], -90.31),
            (sine, -3.01),
        ] {
            let got = rms_dbfs(&pcm);
            assert!((got - want).abs() < 0.02, "got {got}, want {want}");
        }
    }

    #[test]
    fn peaks() {
        assert_eq!(peak(&[]), 0);
        assert_eq!(peak(&[3, -7, 5]), 7);
        assert_eq!(peak(&[i16::MAX, i16::MIN]), 32_768);
    }

    #[test]
    fn the_floor_of_steady_noise_is_its_level() {
        for level in [-70.0, -50.0, -30.0] {
            let (mut noise, mut floor) = (Noise(1), NoiseFloor::new());
            for _ in 0..400 {
                floor.push(&noise.frame(level), false);
            }
            assert!((floor.floor_dbfs() - level).abs() < 1.5, "{level}: {}", floor.floor_dbfs());
        }
    }

    #[test]
    fn speech_does_not_lift_the_floor() {
        let (mut noise, mut floor) = (Noise(7), NoiseFloor::new());
        for i in 0..1_000 {
            // 800 ms of speech, 200 ms of pause.
            let loud = i % 62 < 50;
            floor.push(&noise.frame(if loud { -20.0 } else { -50.0 }), loud);
        }
        assert!((floor.floor_dbfs() + 50.0).abs() < 2.0, "{}", floor.floor_dbfs());
        assert!((floor.speech_dbfs() + 20.0).abs() < 1.0, "{}", floor.speech_dbfs());
        assert!((floor.snr_db() - 30.0).abs() < 2.5, "{}", floor.snr_db());
    }

    #[test]
    fn the_floor_follows_a_rising_and_a_falling_line() {
        let (mut noise, mut floor) = (Noise(3), NoiseFloor::new());
        for level in [-60.0, -35.0, -65.0] {
            for _ in 0..250 {
                floor.push(&noise.frame(level), false);
            }
            assert!((floor.floor_dbfs() - level).abs() < 2.0, "{level}: {}", floor.floor_dbfs());
        }
    }

    #[test]
    fn before_any_speech_the_nominal_level_counts() {
        let mut floor = NoiseFloor::new();
        assert_eq!(floor.snr_db(), SNR_DB_MAX, "nothing known");
        assert!(!floor.is_settled());
        let mut noise = Noise(9);
        for _ in 0..200 {
            floor.push(&noise.frame(-34.0), false);
        }
        assert!(floor.is_settled());
        assert!((floor.snr_db() - 9.5).abs() < 1.5, "{}", floor.snr_db());
    }

    #[test]
    fn noise_taken_for_speech_shows_as_a_bad_line() {
        let (mut noise, mut floor) = (Noise(5), NoiseFloor::new());
        for _ in 0..300 {
            floor.push(&noise.frame(-30.0), true);
        }
        assert!(floor.snr_db() < 3.0, "{}", floor.snr_db());
    }

    #[test]
    fn nonsense_powers_do_no_harm() {
        let mut floor = NoiseFloor::new();
        for power in [f32::NAN, f32::INFINITY, -1.0, 7.0, 0.0] {
            floor.push_power(power, true);
        }
        assert!(floor.floor_dbfs().is_finite() && floor.snr_db().is_finite() && floor.speech_dbfs().is_finite());
    }
}
