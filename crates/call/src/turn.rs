//! When is a turn over? One pure decision from everything that is known: the words, the sound, what was asked, what the
//! transcriber says.
//!
//! No source is trusted alone unless the agent says so: the end-of-turn model calls three of four cut-off sentences
//! finished, silence alone is slow, and words alone miss «um».

use crate::ear::{Score, Verdict};
use crate::flow::Completeness;
use crate::timing::{PAUSE_COMPLETE_MS, PAUSE_PARTIAL_MS, TURN_FINISHED_MIN};
use model::{EndOfTurn, TurnTaking};

/// What is known about a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) text: &'a str,
    pub(crate) score: Score,
    pub(crate) completeness: Completeness,
    pub(crate) verdict: Verdict,
}

/// Silence in ms after the last loud moment that ends the turn.
pub(crate) fn silence_needed(known: Known<'_>, settings: &TurnTaking) -> u64 {
    let (short, long) = (settings.pause_short_ms, settings.pause_long_ms);
    if settings.end_of_turn == EndOfTurn::Transcriber && known.verdict == Verdict::Ended {
        return 0;
    }
    match known.completeness {
        // The question is answered, whatever the melody was.
        Completeness::Complete => PAUSE_COMPLETE_MS.min(short),
        Completeness::Partial => PAUSE_PARTIAL_MS.max(long),
        Completeness::Unknown if settings.end_of_turn == EndOfTurn::Model => by_score(known.score, short, long),
        Completeness::Unknown if language::tail::is_dangling(known.text) => long,
        Completeness::Unknown => match (known.score, known.verdict) {
            // The sound was not judged, and the transcriber, which heard it, takes it for finished.
            (Score::Waiting | Score::Unknown, Verdict::Ended) => short,
            (score, Verdict::Open | Verdict::Likely | Verdict::Ended) => by_score(score, short, long),
        },
    }
}

fn by_score(score: Score, short: u64, long: u64) -> u64 {
    match score {
        Score::Known(p) if p >= TURN_FINISHED_MIN => short,
        Score::Known(_) => long,
        // Without a judgement of the sound: between the two.
        Score::Waiting | Score::Unknown => short.midpoint(long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Completeness::{Complete, Partial, Unknown};
    use Verdict::{Ended, Likely, Open};

    #[test]
    fn every_source_counts() {
        let auto = TurnTaking::default();
        let (short, long) = (auto.pause_short_ms, auto.pause_long_ms);
        let of = |end_of_turn| TurnTaking { end_of_turn, ..TurnTaking::default() };
        let (silence, model, vendor) = (of(EndOfTurn::Silence), of(EndOfTurn::Model), of(EndOfTurn::Transcriber));
        for (settings, text, score, completeness, verdict, want) in [
            (&auto, "For Tuesday.", Score::Known(0.9), Unknown, Open, short),
            (&auto, "For Tuesday.", Score::Known(0.1), Unknown, Open, long),
            (&auto, "For Tuesday.", Score::Known(0.1), Unknown, Ended, long),
            (&auto, "I want to cancel my", Score::Known(0.9), Unknown, Ended, long),
            (&auto, "Yes.", Score::Waiting, Complete, Open, PAUSE_COMPLETE_MS),
            (&auto, "nine eight seven", Score::Known(0.9), Partial, Ended, PAUSE_PARTIAL_MS),
            (&auto, "For Tuesday.", Score::Unknown, Unknown, Likely, u64::midpoint(short, long)),
            (&auto, "For Tuesday.", Score::Unknown, Unknown, Ended, short),
            (&silence, "For Tuesday.", Score::Unknown, Unknown, Open, u64::midpoint(short, long)),
            (&silence, "and then I", Score::Unknown, Unknown, Open, long),
            (&model, "and then I", Score::Known(0.9), Unknown, Open, short),
            (&model, "For Tuesday.", Score::Known(0.2), Unknown, Ended, long),
            (&vendor, "and then I", Score::Unknown, Unknown, Ended, 0),
            (&vendor, "nine eight", Score::Unknown, Partial, Ended, 0),
            (&vendor, "For Tuesday.", Score::Unknown, Unknown, Likely, u64::midpoint(short, long)),
        ] {
            let known = Known { text, score, completeness, verdict };
            assert_eq!(silence_needed(known, settings), want, "{:?} {known:?}", settings.end_of_turn);
        }
    }
}
