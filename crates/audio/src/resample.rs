//! Streaming sample rate conversion: polyphase FIR, windowed sinc (Kaiser).
//!
//! Telephone grade: for 8 kHz flat to 3.3 kHz, what would fold or mirror into 0 to 3.3 kHz is 60 dB down. The filter is
//! causal: the output lags by [`Resampler::delay_samples`], 1.5 ms at 8 kHz. Design formulas: Kaiser window, Oppenheim and
//! Schafer, Discrete-Time Signal Processing, section 7.5.3.

use std::f64::consts::PI;

/// Lowest and highest rate; others are held to it. Telephony is 8 kHz, voices are made at up to 48 kHz.
pub const RATE_HZ_MIN: u32 = 4_000;
/// See [`RATE_HZ_MIN`].
pub const RATE_HZ_MAX: u32 = 48_000;

/// Taps at the slower of the two rates. 24 give 60 dB with a transition of 15 % of the rate (3.4 to 4.6 kHz at 8 kHz).
const TAPS_AT_SLOWER_RATE: usize = 24;
/// Taps are filled up to a multiple of the vector width the inner loop is written for.
const TAPS_MULTIPLE: usize = 8;
/// Kaiser beta for 60 dB: 0.1102 (60 - 8.7).
const KAISER_BETA: f64 = 5.653;
/// Coefficients are Q14: one filter's absolute sum stays under 2, so `i16` times `i16` summed fits `i32`.
const COEFFICIENT_BITS: u32 = 14;
/// Input is worked through in blocks of this many samples, so the history buffer never grows with the chunk.
const BLOCK_SAMPLES: usize = 480;

/// Converts one mono stream from one rate to another. After `n` samples in all, exactly `ceil(n * to / from)` have come
/// out, however the input was cut.
#[derive(Debug, Clone)]
pub struct Resampler {
    up: usize,
    down: usize,
    taps: usize,
    /// One filter per output phase, `taps` each, oldest sample first. Empty for equal rates.
    coefficients: Vec<i16>,
    /// The last `taps - 1` samples, then the block at hand.
    history: Vec<i16>,
    phase: usize,
    /// Samples of the next input that the next output still waits for.
    skip: usize,
}

impl Resampler {
    /// Rates in Hz, held to [`RATE_HZ_MIN`]..=[`RATE_HZ_MAX`]. Equal rates copy.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        let from = from_hz.clamp(RATE_HZ_MIN, RATE_HZ_MAX) as usize;
        let to = to_hz.clamp(RATE_HZ_MIN, RATE_HZ_MAX) as usize;
        let common = greatest_common_divisor(from, to);
        let (up, down) = (to / common, from / common);
        if up == down {
            return Self { up, down, taps: 1, coefficients: Vec::new(), history: Vec::new(), phase: 0, skip: 0 };
        }
        let taps = (TAPS_AT_SLOWER_RATE * down.max(up)).div_ceil(up).next_multiple_of(TAPS_MULTIPLE);
        let mut history = Vec::with_capacity(taps - 1 + BLOCK_SAMPLES);
        history.resize(taps - 1, 0);
        Self { up, down, taps, coefficients: design(up, down, taps), history, phase: 0, skip: 0 }
    }

    /// Appends the converted samples to `output`.
    pub fn process(&mut self, input: &[i16], output: &mut Vec<i16>) {
        if self.coefficients.is_empty() {
            output.extend_from_slice(input);
            return;
        }
        output.reserve(input.len() * self.up / self.down + 1);
        for block in input.chunks(BLOCK_SAMPLES) {
            self.block(block, output);
        }
    }

    /// Appends the tail that the filter still holds ([`Self::delay_samples`] of it, at the output rate) and resets.
    pub fn flush(&mut self, output: &mut Vec<i16>) {
        if !self.coefficients.is_empty() {
            let zeros = [0; BLOCK_SAMPLES];
            let mut left = self.taps / 2;
            while left > 0 {
                let n = left.min(BLOCK_SAMPLES);
                self.process(&zeros[..n], output);
                left -= n;
            }
        }
        self.reset();
    }

    /// Forgets the stream so far; the next sample begins a new one.
    pub fn reset(&mut self) {
        self.history.clear();
        self.history.resize(self.taps - 1, 0);
        self.phase = 0;
        self.skip = 0;
    }

    /// How far the output lags behind the input, in output samples.
    pub fn delay_samples(&self) -> usize {
        if self.coefficients.is_empty() { 0 } else { (self.taps / 2 * self.up).div_ceil(self.down) }
    }

    fn block(&mut self, block: &[i16], output: &mut Vec<i16>) {
        self.history.extend_from_slice(block);
        let (whole, part) = (self.down / self.up, self.down % self.up);
        let (mut at, mut phase) = (self.skip, self.phase);
        while at < block.len() {
            let window = &self.history[at..at + self.taps];
            let filter = &self.coefficients[phase * self.taps..(phase + 1) * self.taps];
            output.push(convolve(window, filter));
            at += whole;
            phase += part;
            if phase >= self.up {
                phase -= self.up;
                at += 1;
            }
        }
        self.skip = at - block.len();
        self.phase = phase;
        let keep = self.history.len() - (self.taps - 1);
        self.history.copy_within(keep.., 0);
        self.history.truncate(self.taps - 1);
    }
}

/// Sum of products, rounded and clipped. Whole vectors of `i16` and no overflow checks, so that the compiler makes
/// multiply-add instructions of it; [`COEFFICIENT_BITS`] keeps the sum in range.
#[inline]
fn convolve(window: &[i16], filter: &[i16]) -> i16 {
    let (windows, filters) = (window.as_chunks::<TAPS_MULTIPLE>().0, filter.as_chunks::<TAPS_MULTIPLE>().0);
    let sum = windows.iter().zip(filters).fold(0_i32, |sum, (w, f)| {
        w.iter().zip(f).fold(sum, |sum, (&w, &f)| sum.wrapping_add(i32::from(w).wrapping_mul(i32::from(f))))
    });
    let rounded = (sum + (1 << (COEFFICIENT_BITS - 1))) >> COEFFICIENT_BITS;
    rounded.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// The prototype low pass at `from * up`, cut off at half the slower rate, dealt out to the phases; each phase sums to
/// exactly one, so a constant stays constant.
fn design(up: usize, down: usize, taps: usize) -> Vec<i16> {
    let length = taps * up;
    let centre = (length / 2) as f64;
    let cutoff = 0.5 / up.max(down) as f64;
    let one = f64::from(1 << COEFFICIENT_BITS);
    let mut coefficients = vec![0_i16; length];
    for phase in 0..up {
        let filter = &mut coefficients[phase * taps..(phase + 1) * taps];
        let ideal: Vec<f64> = (0..taps)
            .map(|tap| {
                let x = ((taps - 1 - tap) * up + phase) as f64 - centre;
                sinc(2.0 * cutoff * x) * kaiser(x / centre)
            })
            .collect();
        let gain: f64 = ideal.iter().sum();
        for (quantised, exact) in filter.iter_mut().zip(&ideal) {
            *quantised = (exact / gain * one).round() as i16;
        }
        let error = (1 << COEFFICIENT_BITS) - filter.iter().map(|&c| i32::from(c)).sum::<i32>();
        if let Some(largest) = filter.iter_mut().max_by_key(|c| c.unsigned_abs()) {
            *largest += error as i16;
        }
    }
    coefficients
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Kaiser window over -1..=1.
fn kaiser(x: f64) -> f64 {
    bessel_i0(KAISER_BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(KAISER_BETA)
}

/// Modified Bessel function of order zero by its power series; 32 terms are exact for arguments under 10.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..32 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u32; 3] = [8_000, 16_000, 24_000];
    const PAIRS: [(u32, u32); 6] =
        [(8_000, 16_000), (8_000, 24_000), (16_000, 8_000), (16_000, 24_000), (24_000, 8_000), (24_000, 16_000)];

    fn tone(rate_hz: u32, hz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|i| ((2.0 * PI * hz * i as f64 / f64::from(rate_hz)).sin() * 16_000.0).round() as i16)
            .collect()
    }

    fn convert(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
        let mut out = Vec::new();
        Resampler::new(from, to).process(input, &mut out);
        out
    }

    /// Amplitude at one frequency over a window that holds whole periods (multiples of 100 Hz, 10 ms).
    fn amplitude(pcm: &[i16], rate_hz: u32, hz: f64) -> f64 {
        let skip = rate_hz as usize / 50;
        let window = &pcm[skip..skip + rate_hz as usize / 10];
        let (mut re, mut im) = (0.0, 0.0);
        for (i, &s) in window.iter().enumerate() {
            let angle = 2.0 * PI * hz * i as f64 / f64::from(rate_hz);
            re += f64::from(s) * angle.cos();
            im += f64::from(s) * angle.sin();
        }
        2.0 * re.hypot(im) / window.len() as f64
    }

    fn db(ratio: f64) -> f64 {
        20.0 * ratio.max(1e-9).log10()
    }

    #[test]
    fn counts_are_exact_for_every_pair() {
        for from in RATES {
            for to in RATES {
                for n in [0_usize, 1, 2, 3, 7, 160, 481, 1_001, 48_000] {
                    let want = (n * to as usize).div_ceil(from as usize);
                    assert_eq!(convert(from, to, &vec![3; n]).len(), want, "{from} -> {to}, {n} samples");
                }
            }
        }
    }

    #[test]
    fn equal_rates_copy() {
        let input = tone(8_000, 440.0, 500);
        assert_eq!(convert(8_000, 8_000, &input), input);
        let mut r = Resampler::new(24_000, 24_000);
        assert_eq!(r.delay_samples(), 0);
        let mut out = Vec::new();
        r.flush(&mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn the_pass_band_is_flat_to_3_2_khz() {
        for (from, to) in PAIRS {
            for hz in [100.0, 300.0, 1_000.0, 2_000.0, 3_000.0, 3_200.0] {
                let out = convert(from, to, &tone(from, hz, from as usize / 4));
                let change = db(amplitude(&out, to, hz) / 16_000.0);
                assert!(change.abs() < 0.1, "{from} -> {to}: {hz} Hz changes by {change:.2} dB");
            }
        }
    }

    #[test]
    fn images_of_speech_are_gone_after_going_up() {
        for (from, to, images) in [(8_000, 16_000, vec![1.0]), (8_000, 24_000, vec![1.0]), (16_000, 24_000, vec![2.0])]
        {
            for hz in [300.0, 1_000.0, 3_000.0, 3_300.0] {
                let out = convert(from, to, &tone(from, hz, from as usize / 4));
                for factor in &images {
                    let image = 8_000.0 * factor - hz;
                    let left = db(amplitude(&out, to, image) / 16_000.0);
                    assert!(left < -55.0, "{from} -> {to}: {hz} Hz leaves {left:.1} dB at {image} Hz");
                }
            }
        }
    }

    #[test]
    fn what_would_fold_into_speech_is_gone_after_going_down() {
        for (from, to, tones) in [
            (16_000, 8_000, vec![4_700.0, 5_000.0, 6_000.0, 7_500.0]),
            (24_000, 8_000, vec![4_700.0, 5_500.0, 7_300.0, 9_000.0, 11_500.0]),
            (24_000, 16_000, vec![9_400.0, 10_000.0, 11_500.0]),
        ] {
            for hz in tones {
                let out = convert(from, to, &tone(from, hz, from as usize / 4));
                let rate = f64::from(to);
                let folded = (hz - rate * (hz / rate).round()).abs();
                let left = db(amplitude(&out, to, folded) / 16_000.0);
                assert!(left < -55.0, "{from} -> {to}: {hz} Hz folds to {folded} Hz at {left:.1} dB");
            }
        }
    }

    #[test]
    fn a_constant_stays_what_it_is() {
        for (from, to) in PAIRS {
            for level in [i16::MIN, -12_345, -1, 1, 32_767] {
                let out = convert(from, to, &vec![level; 2_000]);
                let settled = Resampler::new(from, to).delay_samples() * 2 + 2;
                assert!(out[settled..].iter().all(|&s| s == level), "{from} -> {to}: {level}");
            }
        }
    }

    #[test]
    fn loud_square_waves_clip_and_do_not_wrap() {
        let square: Vec<i16> = (0..4_000).map(|i| if i / 20 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        for (from, to) in PAIRS {
            let out = convert(from, to, &square);
            let low_next_to_high = out.windows(2).any(|w| w[0] > 30_000 && w[1] < -30_000);
            assert!(!low_next_to_high, "{from} -> {to} wraps");
        }
    }

    #[test]
    fn no_filter_can_overflow_its_sum() {
        for (from, to) in PAIRS {
            let r = Resampler::new(from, to);
            for filter in r.coefficients.chunks(r.taps) {
                let absolute: i64 = filter.iter().map(|&c| i64::from(c).abs()).sum();
                assert!(absolute * 32_768 < i64::from(i32::MAX) - 8_192, "{from} -> {to}");
            }
        }
    }

    #[test]
    fn the_delay_is_what_it_says() {
        for (from, to) in PAIRS {
            let mut input = vec![0; 400];
            input[0] = 20_000;
            let out = convert(from, to, &input);
            let peak = (0..out.len()).max_by_key(|&i| out[i]).expect("not empty");
            let said = Resampler::new(from, to).delay_samples();
            assert!(peak.abs_diff(said) <= 1, "{from} -> {to}: peak at {peak}, said {said}");
        }
    }

    #[test]
    fn flush_gives_the_tail_and_starts_over() {
        let mut r = Resampler::new(8_000, 16_000);
        let (mut out, mut again) = (Vec::new(), Vec::new());
        let input = tone(8_000, 1_000.0, 160);
        r.process(&input, &mut out);
        assert_eq!(out.len(), 320);
        r.flush(&mut out);
        assert_eq!(out.len(), 320 + r.delay_samples());
        assert!(out[320..].iter().any(|&s| s.unsigned_abs() > 5_000), "the tail is sound");
        r.process(&input, &mut again);
        assert_eq!(again, out[..320]);
    }

    #[test]
    fn reset_forgets() {
        let mut r = Resampler::new(24_000, 16_000);
        let input = tone(24_000, 700.0, 331);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        r.process(&input, &mut first);
        r.reset();
        r.process(&input, &mut second);
        assert_eq!(first, second);
    }

    #[test]
    fn there_and_back_is_the_same_sound() {
        // The pairs whose delay there and back is a whole number of samples.
        for (from, to) in [(8_000, 16_000), (8_000, 24_000)] {
            let input = tone(from, 1_000.0, from as usize / 4);
            let back = convert(to, from, &convert(from, to, &input));
            let delay = Resampler::new(from, to).taps / 2 * 2;
            // Past the onset, which is no pure tone.
            let worst = (delay + 200..2_000).map(|i| (i32::from(back[i]) - i32::from(input[i - delay])).abs()).max();
            assert!(worst < Some(60), "{from} -> {to} -> {from}: {worst:?}");
        }
    }

    #[test]
    fn voices_at_odd_rates_work_too() {
        let out = convert(22_050, 8_000, &tone(22_050, 1_000.0, 22_050));
        assert_eq!(out.len(), 8_000);
        assert!(db(amplitude(&out, 8_000, 1_000.0) / 16_000.0).abs() < 0.1);
        assert_eq!(convert(0, u32::MAX, &[1; 10]).len(), 120);
    }
}
