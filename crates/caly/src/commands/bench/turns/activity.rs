//! Voice activity against what is known to be speech, at several levels of noise; and what a plain level would do.

use super::ear::{Ear, PREROLL_MS};
use super::material::Clip;
use super::minds::Minds;
use super::sound::{FRAME, Noise, loud_frames, over_the_line, runs, samples};
use crate::commands::bench::figures::Summary;
use audio::level::rms_dbfs;
use audio::voice::{FRAME_MS, GATE_DBFS, VoiceEvent};
use serde::Serialize;

/// Silence between two recordings, ms: from, and how much more at most.
const GAP_MS: (u64, f32) = (600, 1_200.0);
/// The line before the first.
const LEAD_MS: u64 = 1_500;
/// Frames so near to the edge of speech count neither way: 60 ms.
const EDGE_FRAMES: usize = 4;
/// Shorter pauses do not part two stretches of speech.
const PART_FRAMES: usize = 19;
/// A stretch of speech that must be noticed: 96 ms.
const STRETCH_FRAMES_MIN: usize = 6;
/// A plain level, to compare with: what is so much louder than the line's noise is speech.
const PLAIN_OVER_NOISE_DB: f32 = 6.0;
/// The detector is given frames of the carrier's length, in whole frames of its own.
const CHUNK_FRAMES: usize = 6;
/// Speech that is not noticed so long after its beginning is missed.
const NOTICED_WITHIN_FRAMES: usize = 25;

/// What came out at one level of noise.
#[derive(Debug, Serialize)]
pub(super) struct Activity {
    pub(super) snr_db: f32,
    pub(super) seconds: u64,
    pub(super) speech_frames: usize,
    pub(super) silent_frames: usize,
    /// Shares of frames, 0 to 1.
    pub(super) missed: f64,
    pub(super) false_alarms: f64,
    pub(super) plain_missed: f64,
    pub(super) plain_false_alarms: f64,
    pub(super) stretches: usize,
    pub(super) stretches_missed: usize,
    /// Stretches whose first sound was not in what the transcriber gets.
    pub(super) clipped: usize,
    /// Times that speech was said to begin where there is none.
    pub(super) false_beginnings: usize,
    pub(super) onset_ms: Option<Summary>,
    pub(super) end_ms: Option<Summary>,
}

/// A sound without words, and whether it was taken for speech.
#[derive(Debug, Serialize)]
pub(super) struct Wordless {
    pub(super) name: String,
    pub(super) taken_for_speech_ms: u64,
}

/// Recordings one after the other, with silence between them.
pub(super) fn in_a_row(clips: &[&Clip]) -> Vec<i16> {
    let mut gaps = Noise::new(1);
    let mut row = vec![0; samples(LEAD_MS)];
    for clip in clips {
        row.extend(&clip.pcm);
        row.resize(row.len() + samples(GAP_MS.0 + (gaps.uniform() * GAP_MS.1) as u64), 0);
    }
    row.truncate(row.len() / FRAME * FRAME);
    row
}

/// Frames as they were judged.
#[derive(Default)]
struct Judged {
    loud: Vec<bool>,
    plain: Vec<bool>,
    speaking: Vec<bool>,
    began_ms: Vec<u64>,
}

fn judge(minds: &Minds, line: &[i16]) -> anyhow::Result<Judged> {
    let mut ear = Ear::new(minds.second_opinion());
    let mut judged = Judged::default();
    for chunk in line.chunks(FRAME * CHUNK_FRAMES) {
        ear.push_watched(chunk, &mut |frame, detector| {
            judged.loud.push(detector.last_loud_ms() == Some(detector.now_ms()));
            let level = rms_dbfs(frame);
            judged.plain.push(level >= GATE_DBFS && level >= detector.floor_dbfs() + PLAIN_OVER_NOISE_DB);
            judged.speaking.push(detector.is_speaking());
        })?;
        judged.began_ms.extend(ear.events.iter().filter_map(|event| match event {
            VoiceEvent::Began { at_ms } => Some(*at_ms),
            VoiceEvent::Ended { .. } => None,
        }));
    }
    Ok(judged)
}

/// Measures at one level of noise.
///
/// # Errors
/// When the second detector fails.
pub(super) fn measure(minds: &Minds, clean: &[i16], snr_db: f32) -> anyhow::Result<Activity> {
    let truth = loud_frames(clean);
    let line = over_the_line(clean, snr_db, 17);
    let judged = judge(minds, &line)?;
    let silent = far_from_speech(&truth);
    let share = |judged: &[bool], among: &[bool], wrong: bool| {
        let all = among.iter().filter(|is| **is).count();
        let wrong = judged.iter().zip(among).filter(|(judged, among)| **among && **judged == wrong).count();
        wrong as f64 / all.max(1) as f64
    };
    let stretches = stretches(&truth);
    let mut onsets = Vec::new();
    let (mut missed, mut clipped) = (0, 0);
    for (from, to) in &stretches {
        let until = (*to).min(from + NOTICED_WITHIN_FRAMES);
        match (*from..until.min(judged.speaking.len())).find(|at| judged.speaking[*at]) {
            Some(at) => {
                let delay_ms = (at + 1 - from) as u64 * u64::from(FRAME_MS);
                onsets.push(delay_ms);
                clipped += usize::from(delay_ms > u64::from(PREROLL_MS));
            }
            None => missed += 1,
        }
    }
    let ends: Vec<u64> = stretches
        .iter()
        .filter_map(|(_, to)| (*to..judged.speaking.len()).find(|at| !judged.speaking[*at]).map(|at| at + 1 - to))
        .map(|frames| frames as u64 * u64::from(FRAME_MS))
        .collect();
    let near = |ms: &u64| (ms / u64::from(FRAME_MS)) as usize;
    let false_beginnings = judged.began_ms.iter().map(near).filter(|at| {
        let around = &silent[(*at).min(silent.len())..(at + 3).min(silent.len())];
        !around.is_empty() && around.iter().all(|silent| *silent)
    });
    Ok(Activity {
        snr_db,
        seconds: line.len() as u64 / 8_000,
        speech_frames: truth.iter().filter(|loud| **loud).count(),
        silent_frames: silent.iter().filter(|silent| **silent).count(),
        missed: share(&judged.loud, &truth, false),
        false_alarms: share(&judged.loud, &silent, true),
        plain_missed: share(&judged.plain, &truth, false),
        plain_false_alarms: share(&judged.plain, &silent, true),
        stretches: stretches.len(),
        stretches_missed: missed,
        clipped,
        false_beginnings: false_beginnings.count(),
        onset_ms: Summary::of(&onsets, 1.0, 0.0),
        end_ms: Summary::of(&ends, 1.0, 0.0),
    })
}

/// What is taken for speech of a sound without words.
///
/// # Errors
/// When the second detector fails.
pub(super) fn wordless(minds: &Minds, clip: &Clip) -> anyhow::Result<Wordless> {
    let line = over_the_line(&in_a_row(&[clip]), 30.0, 3);
    let speaking = judge(minds, &line)?.speaking.iter().filter(|speaking| **speaking).count();
    Ok(Wordless { name: clip.name.clone(), taken_for_speech_ms: speaking as u64 * u64::from(FRAME_MS) })
}

/// Frames further from any speech than the edge.
fn far_from_speech(truth: &[bool]) -> Vec<bool> {
    let near = |at: usize| truth[at.saturating_sub(EDGE_FRAMES)..(at + EDGE_FRAMES + 1).min(truth.len())].iter();
    (0..truth.len()).map(|at| near(at).all(|loud| !loud)).collect()
}

/// Stretches of speech that a pause parts: first frame, and the one after the last.
fn stretches(truth: &[bool]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for run in runs(truth, true) {
        match found.last_mut() {
            Some((_, to)) if run.from - *to < PART_FRAMES => *to = run.to,
            Some(_) | None => found.push((run.from, run.to)),
        }
    }
    found.retain(|(from, to)| to - from >= STRETCH_FRAMES_MIN);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_and_stretches() {
        let truth: Vec<bool> =
            "....######....######....................######..#........".chars().map(|c| c == '#').collect();
        assert_eq!(stretches(&truth), [(4, 20), (40, 49)]);
        let silent = far_from_speech(&truth);
        assert!(silent[24] && !silent[23] && !silent[12] && !silent[0]);
    }
}
