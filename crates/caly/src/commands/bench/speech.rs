//! What callers of the load say: recorded speech, cut once.

use anyhow::Context;
use std::path::Path;
use testkit::caller::{Piece, Voice};
use testkit::carrier::rms_dbfs;
use testkit::load::SAMPLE_RATE_HZ;

/// Length of a turn: a whole number of frames, so that its last frame is speech to its end.
const UTTERANCE_MS: u64 = 1_600;
/// Length of an interruption.
const BARGE_MS: u64 = 1_000;
/// The recordings that the two are cut from; both have a long stretch without a pause.
const UTTERANCE_CLIP: &str = "followme/pls-hold-while-try.wav";
const BARGE_CLIP: &str = "vm-nobodyavail.wav";
const SPEECH_DBFS: f32 = -20.0;
/// Window of the search for such a stretch.
const WINDOW_MS: u64 = 10;
/// Quieter is a pause.
const PAUSE_DBFS: f32 = -40.0;
/// No pause is longer, or a server might end the turn in it.
const PAUSE_MS_MAX: u64 = 70;
/// What is said, cut once and shared by all calls.
#[derive(Debug)]
pub(super) struct Speech {
    pub(super) utterance: Vec<i16>,
    pub(super) barge_in: Vec<i16>,
}

impl Speech {
    pub(super) fn load(voices: &Path) -> anyhow::Result<Self> {
        let voice = Voice::open(voices).context("the callers have no voice; run `make models`")?;
        let cut = |clip: &str, ms| {
            let piece = Piece::Clip { clip: clip.to_owned(), from_ms: None, to_ms: None };
            let whole = voice.say(&[piece], SAMPLE_RATE_HZ, SPEECH_DBFS)?;
            let stretch = unbroken(&whole, ms).map(<[i16]>::to_vec);
            stretch.with_context(|| format!("the recording {clip} has no {ms} ms of speech without a pause"))
        };
        Ok(Self { utterance: cut(UTTERANCE_CLIP, UTTERANCE_MS)?, barge_in: cut(BARGE_CLIP, BARGE_MS)? })
    }
}

/// A stretch of speech of this length without a pause that is loud to its very end: the one with the loudest end.
fn unbroken(pcm: &[i16], length_ms: u64) -> Option<&[i16]> {
    let window = samples(WINDOW_MS);
    let levels: Vec<f32> = pcm.chunks_exact(window).map(rms_dbfs).collect();
    let (length, pause_max) = ((length_ms / WINDOW_MS) as usize, (PAUSE_MS_MAX / WINDOW_MS) as usize);
    let fits = |stretch: &[f32]| {
        let loud = |level: &f32| *level > PAUSE_DBFS;
        stretch.first().is_some_and(loud)
            && stretch[length.saturating_sub(2)..].iter().all(loud)
            && stretch.split(loud).all(|pause| pause.len() <= pause_max)
    };
    let end_level = |stretch: &[f32]| stretch[length.saturating_sub(2)..].iter().copied().fold(0.0, f32::min);
    let (from, _) = levels
        .windows(length)
        .enumerate()
        .filter(|(_, stretch)| fits(stretch))
        .map(|(from, stretch)| (from, end_level(stretch)))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    pcm.get(from * window..(from + length) * window)
}

fn samples(ms: u64) -> usize {
    (ms * u64::from(SAMPLE_RATE_HZ) / 1_000) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_has_no_pause_and_ends_loud() {
        let mut pcm = vec![5_000_i16; samples(400)];
        pcm.extend(vec![0; samples(100)]);
        pcm.extend(vec![5_000; samples(600)]);
        pcm.extend(vec![9_000; samples(20)]);
        pcm.extend(vec![0; samples(300)]);
        let stretch = unbroken(&pcm, 500).expect("600 ms are there");
        assert_eq!(stretch.len(), samples(500));
        assert_eq!(stretch.last(), Some(&9_000));
        assert!(stretch.iter().all(|sample| *sample != 0));
        assert_eq!(unbroken(&pcm, 700), None);
        assert_eq!(unbroken(&pcm[..samples(300)], 500), None);
    }
}
