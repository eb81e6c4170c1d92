//! What a telephone says without words.
//!
//! The pitch is the one of India's network tones, 400 Hz (ITU-T E.180, supplement 2); the congestion tone has its rhythm,
//! too. Callers elsewhere know both for what they are.

use crate::dtmf::tone;

const HZ: f64 = 400.0;
/// Softer than keys are.
const LEVEL_DBM0: f64 = -13.0;
/// One short tone: shorter than any word that could be missed in it.
const LOST_MS: u32 = 200;
/// Sound and pause of the congestion tone.
const CONGESTION_MS: u32 = 250;
/// So often: long enough to be known for what it is.
const CONGESTION_TIMES: usize = 4;

/// «The line is alive, but what was to be said is lost.»
#[must_use]
pub fn lost(rate_hz: u32) -> Vec<i16> {
    let mut pcm = Vec::new();
    tone(&[(HZ, LEVEL_DBM0)], rate_hz, LOST_MS, &mut pcm);
    pcm
}

/// «This call cannot go on.»
#[must_use]
pub fn congestion(rate_hz: u32) -> Vec<i16> {
    let mut pcm = Vec::new();
    for _ in 0..CONGESTION_TIMES {
        tone(&[(HZ, LEVEL_DBM0)], rate_hz, CONGESTION_MS, &mut pcm);
        pcm.resize(pcm.len() + rate_hz as usize * CONGESTION_MS as usize / 1_000, 0);
    }
    pcm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_can_be_heard_and_do_not_shout() {
        for rate_hz in [8_000, 16_000, 24_000] {
            let (lost, congestion) = (lost(rate_hz), congestion(rate_hz));
            assert_eq!(lost.len(), rate_hz as usize / 5);
            assert_eq!(congestion.len(), rate_hz as usize * 2);
            for pcm in [&lost, &congestion[..rate_hz as usize / 4].to_vec()] {
                let level = crate::level::rms_dbfs(pcm);
                assert!((-22.0..-17.0).contains(&level), "{level}");
                // As many turns of the wave as 400 Hz has.
                let turns = pcm.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
                assert!((turns as f64 - 400.0 * pcm.len() as f64 / f64::from(rate_hz)).abs() <= 2.0, "{turns}");
            }
            let pause = &congestion[rate_hz as usize / 4..rate_hz as usize / 2];
            assert!(pause.iter().all(|sample| *sample == 0));
        }
        assert!(lost(0).is_empty() && congestion(0).is_empty());
    }
}
