//! Keys of a telephone as tones (DTMF).
//!
//! Frequencies: ITU-T Q.23. Times: Q.24 wants at least 40 ms of tone and 40 ms of pause; what telephones send, and what
//! every receiver takes, is 100 ms of each. Levels: the nominal ones of Q.24 and ETSI ES 201 235-2, the higher tone 2 dB
//! above the lower one, as it loses more on the way.

use std::f64::consts::{PI, TAU};

/// Length of a tone.
pub const TONE_MS: u32 = 100;
/// Silence after each tone.
pub const PAUSE_MS: u32 = 100;
/// What `w` waits.
pub const WAIT_MS: u32 = 500;
/// Most keys of one text, waits counted; the rest is not pressed. No menu, card or extension is longer.
pub const KEYS_MAX: usize = 64;
/// Levels of the lower and of the higher tone.
const LEVELS_DBM0: [f64; 2] = [-11.0, -9.0];
/// A full-scale sine on a line, in dBm0, by µ-law (ITU-T G.711); A-law differs by 0.03 dB.
const FULL_SCALE_DBM0: f64 = 3.17;
/// Tones swell and fade within this time: what begins at once clicks.
const EDGE_MS: u32 = 5;
/// The keys, row by row. A row shares its lower tone, a column its higher one.
const ROWS: [&str; 4] = ["123A", "456B", "789C", "*0#D"];
const LOW_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The two frequencies of a key, in Hz, the lower one first; `None` for what is no key.
#[must_use]
pub fn frequencies(key: char) -> Option<[f64; 2]> {
    let key = key.to_ascii_uppercase();
    ROWS.iter().zip(LOW_HZ).find_map(|(row, low)| {
        let column = row.chars().position(|known| known == key)?;
        Some([low, HIGH_HZ[column]])
    })
}

/// The sound of these keys, pressed one after the other: `0`–`9`, `*`, `#`, `A`–`D`; `w` waits half a second. What is no
/// key makes no sound and takes no time.
#[must_use]
pub fn tones(keys: &str, rate_hz: u32) -> Vec<i16> {
    let samples = |ms: u32| rate_hz as usize * ms as usize / 1_000;
    let mut pcm = Vec::new();
    for key in keys.chars().take(KEYS_MAX) {
        if key.eq_ignore_ascii_case(&'w') {
            pcm.resize(pcm.len() + samples(WAIT_MS), 0);
        } else if let Some(frequencies) = frequencies(key) {
            let [low, high] = frequencies;
            tone(&[(low, LEVELS_DBM0[0]), (high, LEVELS_DBM0[1])], rate_hz, TONE_MS, &mut pcm);
            pcm.resize(pcm.len() + samples(PAUSE_MS), 0);
        }
    }
    pcm
}

/// Adds sines, each of a frequency in Hz and a level in dBm0, sounding together for so long.
pub(crate) fn tone(sines: &[(f64, f64)], rate_hz: u32, length_ms: u32, pcm: &mut Vec<i16>) {
    let samples = |ms: u32| rate_hz as usize * ms as usize / 1_000;
    let (length, edge) = (samples(length_ms), samples(EDGE_MS));
    let peak = |level: f64| 32_767.0 * 10_f64.powf((level - FULL_SCALE_DBM0) / 20.0);
    let step = |hz: f64| TAU * hz / f64::from(rate_hz);
    pcm.extend((0..length).map(|n| {
        let from_edge = n.min(length - 1 - n);
        let swell = if from_edge >= edge { 1.0 } else { 0.5 - 0.5 * (PI * from_edge as f64 / edge as f64).cos() };
        let sound: f64 = sines.iter().map(|(hz, level)| peak(*level) * (step(*hz) * n as f64).sin()).sum();
        (sound * swell).round() as i16
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [f64; 8] = [697.0, 770.0, 852.0, 941.0, 1_209.0, 1_336.0, 1_477.0, 1_633.0];

    /// Power of one frequency, relative to full scale (Goertzel's algorithm).
    fn goertzel(pcm: &[i16], hz: f64, rate_hz: u32) -> f64 {
        let turn = 2.0 * (TAU * hz / f64::from(rate_hz)).cos();
        let (mut last, mut before) = (0.0, 0.0);
        for sample in pcm {
            (last, before) = (f64::from(*sample) / 32_768.0 + turn * last - before, last);
        }
        let power = last * last + before * before - turn * last * before;
        2.0 * power / (pcm.len() as f64).powi(2)
    }

    /// The key a receiver takes this tone for: the two strongest frequencies, one of each group, far above the others.
    fn received(pcm: &[i16], rate_hz: u32) -> Option<char> {
        let powers = ALL.map(|hz| goertzel(pcm, hz, rate_hz));
        let strongest = |powers: &[f64]| (0..4).max_by(|a, b| powers[*a].total_cmp(&powers[*b]));
        let (row, column) = (strongest(&powers[..4])?, strongest(&powers[4..])?);
        let weakest_wanted = powers[row].min(powers[4 + column]);
        let others = (0..8).filter(|n| *n != row && *n != 4 + column).map(|n| powers[n]).fold(0.0, f64::max);
        (weakest_wanted > 1e-4 && weakest_wanted > 20.0 * others).then(|| ROWS[row].chars().nth(column))?
    }

    #[test]
    fn every_key_is_heard_as_itself_at_every_rate_and_through_g711() {
        let keys = "1234567890*#ABCD";
        for rate_hz in [8_000, 16_000, 24_000] {
            let pcm = tones(keys, rate_hz);
            let each = (rate_hz * (TONE_MS + PAUSE_MS) / 1_000) as usize;
            assert_eq!(pcm.len(), each * keys.len());
            for (key, sound) in keys.chars().zip(pcm.chunks(each)) {
                let tone = &sound[..(rate_hz * TONE_MS / 1_000) as usize];
                assert_eq!(received(tone, rate_hz), Some(key), "{rate_hz}");
                // 40 ms out of the middle must do (Q.24).
                let middle = &tone[tone.len() * 3 / 10..tone.len() * 7 / 10];
                assert_eq!(received(middle, rate_hz), Some(key), "{rate_hz}, 40 ms");
                let lined: Vec<i16> =
                    tone.iter().map(|s| crate::g711::mulaw_decode(crate::g711::mulaw_encode(*s))).collect();
                assert_eq!(received(&lined, rate_hz), Some(key), "{rate_hz}, µ-law");
                assert!(sound[tone.len()..].iter().all(|sample| *sample == 0), "a pause");
            }
        }
    }

    #[test]
    fn levels_are_those_of_the_standard() {
        for key in ['1', '5', '9', '#'] {
            let pcm = tones(&key.to_string(), 8_000);
            // Without the edges.
            let steady = &pcm[80..720];
            for (hz, want) in frequencies(key).expect("a key").into_iter().zip(LEVELS_DBM0) {
                let dbm0 = 10.0 * (goertzel(steady, hz, 8_000) * 2.0).log10() + FULL_SCALE_DBM0;
                assert!((dbm0 - want).abs() < 0.5, "{key} {hz} Hz: {dbm0} dBm0");
            }
            assert!(crate::level::peak(&pcm) < 20_000, "far from clipping");
        }
    }

    #[test]
    fn nothing_clicks() {
        let pcm = tones("15w9", 8_000);
        // Swelling takes 5 ms; a tone that began at once would jump by thousands within its first 0.5 ms.
        for tone in [0, 1_600, 7_200] {
            let begins = &pcm[tone..tone + 4];
            let ends = &pcm[tone + 796..tone + 800];
            assert!(begins.iter().chain(ends).all(|sample| sample.abs() < 500), "{begins:?} {ends:?}");
        }
    }

    #[test]
    fn waits_wait_and_what_is_no_key_is_skipped() {
        assert_eq!(tones("w", 8_000), vec![0; 4_000]);
        assert_eq!(tones("1-2 ३x", 8_000), tones("12", 8_000));
        assert_eq!(tones("a", 8_000), tones("A", 8_000));
        assert_eq!(tones("", 8_000), Vec::<i16>::new());
        assert_eq!(tones(&"5".repeat(500), 8_000).len(), KEYS_MAX * 1_600);
        assert_eq!(tones("1", 0), Vec::<i16>::new());
    }
}
