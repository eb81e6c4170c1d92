//! When is a turn over? One pure decision from everything that is known: the words, the sound, what was asked.
//!
//! No source is trusted alone: the end-of-turn model calls three of four cut-off sentences finished, silence alone is
//! slow, and words alone miss «um».

use crate::ear::Score;
use crate::flow::Completeness;
use crate::timing::{PAUSE_COMPLETE_MS, PAUSE_PARTIAL_MS, TURN_FINISHED_MIN};
use model::TurnTaking;

/// Silence in ms after the last loud moment that ends the turn.
pub(crate) fn silence_needed(text: &str, score: Score, completeness: Completeness, settings: &TurnTaking) -> u64 {
    match completeness {
        // The question is answered, whatever the melody was.
        Completeness::Complete => PAUSE_COMPLETE_MS.min(settings.pause_short_ms),
        Completeness::Partial => PAUSE_PARTIAL_MS.max(settings.pause_long_ms),
        Completeness::Unknown if language::tail::is_dangling(text) => settings.pause_long_ms,
        Completeness::Unknown => match score {
            Score::Known(p) if p >= TURN_FINISHED_MIN => settings.pause_short_ms,
            Score::Known(_) => settings.pause_long_ms,
            // Without a judgement of the sound: between the two.
            Score::Waiting | Score::Unknown => settings.pause_short_ms.midpoint(settings.pause_long_ms),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_counts() {
        let settings = TurnTaking::default();
        let (short, long) = (settings.pause_short_ms, settings.pause_long_ms);
        for (text, score, completeness, want) in [
            ("For Tuesday.", Score::Known(0.9), Completeness::Unknown, short),
            ("For Tuesday.", Score::Known(0.1), Completeness::Unknown, long),
            ("I want to cancel my", Score::Known(0.9), Completeness::Unknown, long),
            ("Yes.", Score::Waiting, Completeness::Complete, PAUSE_COMPLETE_MS),
            ("nine eight seven", Score::Known(0.9), Completeness::Partial, PAUSE_PARTIAL_MS),
            ("For Tuesday.", Score::Unknown, Completeness::Unknown, (short + long) / 2),
        ] {
            assert_eq!(silence_needed(text, score, completeness, &settings), want, "{text} {score:?} {completeness:?}");
        }
    }
}
