//! What a call was like for the caller: per utterance, how fast the agent answered, stopped, or rightly went on. From
//! the observation at the telephone alone.

use super::{TurnKind, Utterance};
use crate::carrier::{CallObservation, Closed, LOUD_DBFS, rms_dbfs};
use serde::Serialize;

/// The agent counts as silent at the caller's ear when this much of its timeline is.
const SILENT_MS: u64 = 200;
/// Resolution of that search.
const WINDOW_MS: u64 = 20;
/// After a backchannel an agent that is silent for so long has been interrupted. Longer than a pause between sentences.
const INTERRUPTED_MS: u64 = 1_000;

/// One utterance and what followed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TurnReport {
    /// What was said, when.
    #[serde(flatten)]
    pub said: Utterance,
    /// First loud audio received from the agent after it.
    pub agent_first_audio_ms: Option<u64>,
    /// The caller's last loud sound to that audio; of turns and barge-ins.
    pub end_to_end_ms: Option<u64>,
    /// Turn: the agent began to talk before the caller had finished.
    pub talked_over: Option<bool>,
    /// Barge-in: the caller's first loud frame was sent, to the agent's clear, or to its silence at the ear when
    /// nothing had to be cleared.
    pub reaction_ms: Option<u64>,
    /// Barge-in: the same, to silence at the caller's ear.
    pub silent_after_ms: Option<u64>,
    /// Backchannel: the agent stopped because of it.
    pub interrupted: Option<bool>,
}

/// A whole call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallReport {
    /// Per utterance.
    pub turns: Vec<TurnReport>,
    /// Start message to the agent's first loud audio: how long the caller heard nothing.
    pub greeting_ms: Option<u64>,
    /// Median of the answers' end-to-end times.
    pub end_to_end_p50_ms: Option<u64>,
    /// Their 95th percentile.
    pub end_to_end_p95_ms: Option<u64>,
    /// Their maximum.
    pub end_to_end_max_ms: Option<u64>,
    /// Utterances that nobody answered.
    pub unanswered: usize,
    /// Playback ran dry inside a reply: how often, and how long together.
    pub gaps: usize,
    /// Together.
    pub gap_total_ms: u64,
    /// Violations of the carrier's rules.
    pub violations: Vec<String>,
    /// How far ahead of playback the server has sent, at most.
    pub max_ahead_ms: u64,
    /// How it ended.
    pub closed: Closed,
    /// How long it lasted.
    pub duration_ms: u64,
    /// The simulator's own lateness, at most.
    pub late_frame_max_ms: u64,
}

/// Measures a call.
#[must_use]
pub fn measure(seen: &CallObservation, said: &[Utterance]) -> CallReport {
    let turns: Vec<TurnReport> =
        said.iter().enumerate().map(|(i, utterance)| turn(seen, utterance, said.get(i + 1))).collect();
    let mut delays: Vec<u64> = turns.iter().filter_map(|turn| turn.end_to_end_ms).collect();
    delays.sort_unstable();
    CallReport {
        greeting_ms: seen.first_agent_audio_ms,
        end_to_end_p50_ms: percentile(&delays, 50),
        end_to_end_p95_ms: percentile(&delays, 95),
        end_to_end_max_ms: delays.last().copied(),
        unanswered: turns
            .iter()
            .filter(|turn| turn.said.kind != TurnKind::Backchannel && turn.agent_first_audio_ms.is_none())
            .count(),
        turns,
        gaps: seen.gaps.len(),
        gap_total_ms: seen.gap_total_ms,
        violations: seen.violations.clone(),
        max_ahead_ms: seen.max_ahead_ms,
        closed: seen.closed.clone(),
        duration_ms: seen.duration_ms,
        late_frame_max_ms: seen.late_frame_max_ms,
    }
}

/// Nearest rank.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn turn(seen: &CallObservation, said: &Utterance, next: Option<&Utterance>) -> TurnReport {
    let until = next.map_or(u64::MAX, |next| next.loud_start_ms);
    let mut report = TurnReport {
        said: said.clone(),
        agent_first_audio_ms: None,
        end_to_end_ms: None,
        talked_over: None,
        reaction_ms: None,
        silent_after_ms: None,
        interrupted: None,
    };
    let cleared_ms = seen.clear_at_ms.iter().copied().find(|at| *at >= said.loud_start_ms && *at < until);
    let silent_ms = silent_from(seen, said.first_loud_sent_ms, SILENT_MS).filter(|at| *at < until);
    // Audio of the reply that was going on is no answer: an answer comes after the clear, or after the silence.
    let answer_from = match said.kind {
        TurnKind::Turn => said.loud_end_ms,
        TurnKind::BargeIn => cleared_ms.or(silent_ms).unwrap_or(said.loud_end_ms).max(said.loud_start_ms),
        TurnKind::Backchannel => {
            let interrupted = cleared_ms.is_some_and(|at| at < said.loud_end_ms + INTERRUPTED_MS)
                || (said.agent_was_speaking && stops_at_once(seen, said));
            report.interrupted = Some(interrupted);
            return report;
        }
    };
    report.agent_first_audio_ms = seen
        .received
        .iter()
        .find(|received| received.at_ms >= answer_from && received.at_ms < until && received.dbfs > LOUD_DBFS)
        .map(|received| received.at_ms);
    report.end_to_end_ms = report.agent_first_audio_ms.map(|at| at.saturating_sub(said.loud_end_ms));
    if said.kind == TurnKind::Turn {
        let spoken = said.first_loud_sent_ms..said.loud_end_ms;
        report.talked_over =
            Some(seen.received.iter().any(|received| spoken.contains(&received.at_ms) && received.dbfs > LOUD_DBFS));
    }
    if said.kind == TurnKind::BargeIn {
        report.reaction_ms = cleared_ms.or(silent_ms).map(|at| at.saturating_sub(said.first_loud_sent_ms));
        report.silent_after_ms = silent_ms.map(|at| at.saturating_sub(said.first_loud_sent_ms));
    }
    report
}

/// The agent fell silent during the utterance or right after, and stayed so.
fn stops_at_once(seen: &CallObservation, said: &Utterance) -> bool {
    let Some(silent_ms) = silent_from(seen, said.loud_start_ms, INTERRUPTED_MS) else { return false };
    // It was the reply's natural end when nothing more had been queued for it: the server marked its end.
    let ended_by_itself = seen
        .marks
        .iter()
        .any(|mark| !mark.cleared && mark.echoed_ms.is_some_and(|at| at.abs_diff(silent_ms) <= SILENT_MS));
    silent_ms < said.loud_end_ms + SILENT_MS && !ended_by_itself
}

/// The first moment from `from_ms` on at which the agent is silent at the caller's ear for `silent_ms`.
fn silent_from(seen: &CallObservation, from_ms: u64, silent_ms: u64) -> Option<u64> {
    let window = (WINDOW_MS * u64::from(seen.sample_rate_hz) / 1000) as usize;
    let first = (from_ms / WINDOW_MS) as usize;
    let needed = silent_ms.div_ceil(WINDOW_MS) as usize;
    let mut run = 0;
    for (i, part) in seen.agent_timeline.chunks(window).enumerate().skip(first) {
        run = if rms_dbfs(part) > LOUD_DBFS { 0 } else { run + 1 };
        if run == needed {
            return Some((i + 1 - needed) as u64 * WINDOW_MS).map(|at| at.max(from_ms));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::{Gap, MarkSeen, Received};

    /// An agent that is loud at the caller's ear in the given spans, its audio received 100 ms earlier in 100 ms frames.
    fn seen(spans: &[(u64, u64)], clears: &[u64]) -> CallObservation {
        let mut timeline = vec![0_i16; 8 * 20_000];
        let mut received = Vec::new();
        for (from, to) in spans {
            timeline[*from as usize * 8..*to as usize * 8].fill(5000);
            for at_ms in (from - 100..to - 100).step_by(100) {
                received.push(Received { at_ms, length_ms: 100, dbfs: -16.0 });
            }
        }
        CallObservation {
            call_id: "c".into(),
            stream_id: "s".into(),
            sample_rate_hz: 8000,
            frame_ms: 100,
            announce_ms: 1,
            connect_ms: 1,
            connect_tries: 1,
            events: Vec::new(),
            first_agent_audio_ms: received.first().map(|first| first.at_ms),
            media_in_count: received.len() as u64,
            media_out_count: 200,
            received,
            violations: Vec::new(),
            warnings: Vec::new(),
            short_frames: 0,
            gaps: vec![Gap { at_ms: 1, length_ms: 2 }],
            gap_total_ms: 2,
            pauses: Vec::new(),
            max_ahead_ms: 0,
            clear_at_ms: clears.to_vec(),
            marks: Vec::new(),
            closed: Closed::ByServer { code: Some(1000) },
            duration_ms: 20_000,
            late_frame_max_ms: 0,
            end_report: None,
            transfer: None,
            stream_url: String::new(),
            agent_timeline: timeline,
            caller_timeline: Vec::new(),
        }
    }
    fn said(kind: TurnKind, start: u64, end: u64) -> Utterance {
        Utterance {
            turn: 0,
            text: "x".into(),
            kind,
            loud_start_ms: start,
            loud_end_ms: end,
            first_loud_sent_ms: start + 100,
            agent_was_speaking: kind != TurnKind::Turn,
            out_of_patience: false,
        }
    }

    #[test]
    fn an_answer_is_measured_from_the_last_loud_sound_to_the_first_audio_received() {
        let seen = seen(&[(500, 1500), (4000, 5000)], &[]);
        let report = measure(&seen, &[said(TurnKind::Turn, 2200, 3150)]);
        assert_eq!(report.greeting_ms, Some(400));
        assert_eq!(report.turns[0].agent_first_audio_ms, Some(3900));
        assert_eq!(report.turns[0].end_to_end_ms, Some(750));
        assert_eq!((report.end_to_end_p50_ms, report.unanswered, report.gaps), (Some(750), 0, 1));
    }

    #[test]
    fn an_answer_after_the_next_utterance_is_not_this_ones() {
        let seen = seen(&[(8000, 9000)], &[]);
        let report = measure(&seen, &[said(TurnKind::Turn, 1000, 2000), said(TurnKind::Turn, 5000, 6000)]);
        assert_eq!(report.turns[0].end_to_end_ms, None);
        assert_eq!(report.turns[1].end_to_end_ms, Some(1900));
        assert_eq!(report.unanswered, 1);
    }

    #[test]
    fn an_agent_that_cuts_in_has_talked_over_the_caller() {
        for (span, want) in [((2700, 4000), true), ((3500, 4000), false)] {
            let report = measure(&seen(&[span], &[]), &[said(TurnKind::Turn, 2200, 3150)]);
            assert_eq!(report.turns[0].talked_over, Some(want), "{span:?}");
        }
    }

    #[test]
    fn a_barge_in_is_measured_to_the_clear_and_to_silence() {
        let seen = seen(&[(1000, 2600), (4000, 5000)], &[2500]);
        let report = measure(&seen, &[said(TurnKind::BargeIn, 2000, 3000)]);
        let turn = &report.turns[0];
        assert_eq!((turn.reaction_ms, turn.silent_after_ms), (Some(400), Some(500)));
        assert_eq!((turn.agent_first_audio_ms, turn.end_to_end_ms), (Some(3900), Some(900)));
    }

    #[test]
    fn an_agent_that_talks_on_has_not_reacted_until_it_is_silent() {
        let seen = seen(&[(1000, 5000)], &[]);
        let turn = &measure(&seen, &[said(TurnKind::BargeIn, 2000, 3000)]).turns[0];
        assert_eq!((turn.reaction_ms, turn.agent_first_audio_ms), (Some(2900), None));
    }

    #[test]
    fn a_backchannel_interrupts_or_not() {
        for (spans, clears, marked_at, want) in [
            (vec![(1000, 6000)], vec![], None, false),
            (vec![(1000, 6000)], vec![2400], None, true),
            (vec![(1000, 2400)], vec![], None, true),
            (vec![(1000, 2400)], vec![], Some(2400), false),
            (vec![(1000, 2400), (2800, 6000)], vec![], None, false),
            (vec![(1000, 4000)], vec![], None, false),
        ] {
            let mut seen = seen(&spans, &clears);
            if let Some(at) = marked_at {
                let mark = MarkSeen { name: "m".into(), received_ms: 0, echoed_ms: Some(at), cleared: false };
                seen.marks.push(mark);
            }
            let report = measure(&seen, &[said(TurnKind::Backchannel, 2000, 2400)]);
            assert_eq!(report.turns[0].interrupted, Some(want), "{spans:?} {clears:?} {marked_at:?}");
            assert_eq!(report.unanswered, 0);
        }
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<u64> = (1..=20).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 95), percentile(&[], 50)), (Some(10), Some(19), None));
        assert_eq!(percentile(&[7], 95), Some(7));
    }
}
