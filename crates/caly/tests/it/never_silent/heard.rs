//! What was heard while a caller waited, from the sound at the carrier.

use super::asker::Turn;
use testkit::carrier::{CallObservation, LOUD_DBFS, rms_dbfs};

/// Window in which a sound is looked for.
const WINDOW_MS: u64 = 20;
/// A silence shorter than this is part of speech.
const BREATH_MS: u64 = 300;
/// Sound of this length is an answer; a word that bridges a wait is shorter.
const ANSWER_MS: u64 = 380;

/// What a caller heard after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// From the end of the turn to the first sound.
    pub(super) first_ms: Option<u64>,
    /// The longest silence before the answer, or before the end of the wait.
    pub(super) silence_ms: u64,
    /// There was an answer, whatever it said.
    pub(super) answered: bool,
}

/// Stretches of sound: beginning and end, ms.
fn sounds(seen: &CallObservation) -> Vec<(u64, u64)> {
    let window = (u64::from(seen.sample_rate_hz) * WINDOW_MS / 1_000) as usize;
    let mut sounds: Vec<(u64, u64)> = Vec::new();
    for (n, part) in seen.agent_timeline.chunks(window).enumerate() {
        let (from, to) = (n as u64 * WINDOW_MS, (n as u64 + 1) * WINDOW_MS);
        if rms_dbfs(part) <= LOUD_DBFS {
            continue;
        }
        match sounds.last_mut() {
            Some((_, end)) if from - *end < BREATH_MS => *end = to,
            Some(_) | None => sounds.push((from, to)),
        }
    }
    sounds
}

/// What was heard after each turn.
pub(super) fn waits(seen: &CallObservation, turns: &[Turn]) -> Vec<Wait> {
    let sounds = sounds(seen);
    let next = turns.iter().skip(1).map(|turn| turn.from_ms).chain([seen.duration_ms]);
    turns.iter().zip(next).map(|(turn, until)| wait(&sounds, turn.to_ms, until)).collect()
}

fn wait(sounds: &[(u64, u64)], from: u64, until: u64) -> Wait {
    let (mut last, mut silence_ms, mut first_ms) = (from, 0, None);
    for (begin, end) in sounds.iter().filter(|(begin, _)| (from..until).contains(begin)) {
        first_ms.get_or_insert(begin - from);
        silence_ms = silence_ms.max(begin.saturating_sub(last));
        if end - begin >= ANSWER_MS {
            return Wait { first_ms, silence_ms, answered: true };
        }
        last = *end;
    }
    Wait { first_ms, silence_ms: silence_ms.max(until.saturating_sub(last)), answered: false }
}

#[test]
fn silence_is_measured_up_to_the_answer() {
    let sounds = [(0, 900), (3_200, 3_400), (6_000, 6_200), (9_000, 11_000), (20_000, 21_000)];
    assert_eq!(
        wait(&sounds, 1_000, 15_000),
        Wait { first_ms: Some(2_200), silence_ms: 2_800, answered: true },
        "two fillers and an answer"
    );
    assert_eq!(wait(&sounds, 1_000, 8_000), Wait { first_ms: Some(2_200), silence_ms: 2_600, answered: false });
    assert_eq!(wait(&sounds, 12_000, 19_000), Wait { first_ms: None, silence_ms: 7_000, answered: false });
}
