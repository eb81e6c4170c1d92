//! What is counted of each call, and how it is summed up. Everything as the telephone saw it.

use serde::Serialize;
use testkit::caller::report::{TurnReport, measure};
use testkit::caller::{TurnKind, Utterance};
use testkit::carrier::{CallObservation, Closed};
use tokio::time::Instant;

/// A shorter stop of playback is not heard.
const GAP_MS_MIN: u64 = 5;
/// An interruption that had no effect for so long was missed.
const REACTION_MS_MAX: u64 = 2_500;
/// Violations of the carrier's rules that are kept in words.
const NOTES_MAX: usize = 5;

/// The part of a run that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) opens: Instant,
    pub(super) closes: Instant,
}

impl Window {
    pub(super) fn contains(&self, at: Instant) -> bool {
        at >= self.opens && at < self.closes
    }

    /// Seconds of it between two moments.
    fn overlap_s(&self, from: Instant, to: Instant) -> f64 {
        to.min(self.closes).saturating_duration_since(from.max(self.opens)).as_secs_f64()
    }
}

/// One call, or all calls of a run.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Calls that were placed.
    pub(super) placed: usize,
    /// Calls that did not come about or broke.
    pub(super) failed: usize,
    /// The reasons of the first of them, violations of the carrier's rules.
    pub(super) notes: Vec<String>,
    /// Seconds of calls within the window.
    pub(super) call_s: f64,
    /// The caller's last loud sound to the agent's first.
    pub(super) answers_ms: Vec<u64>,
    /// What the caller said and nobody answered.
    pub(super) unanswered: usize,
    /// Answers that began before the caller had finished.
    pub(super) talked_over: usize,
    /// Interruptions.
    pub(super) barge_ins: usize,
    /// First frame of the interruption sent, to the agent's clear.
    pub(super) reactions_ms: Vec<u64>,
    /// Times that playback ran dry inside a reply.
    pub(super) gaps_ms: Vec<u64>,
    /// Violations of the carrier's rules.
    pub(super) violations: usize,
    /// How late each of our own frames was.
    pub(super) late_us: Vec<u64>,
}

impl Figures {
    /// A call that did not come about.
    pub(super) fn failed(why: Option<String>) -> Self {
        let why = why.unwrap_or_else(|| "the call ended before its first frame".to_owned());
        Self { placed: 1, failed: 1, notes: vec![why], ..Self::default() }
    }

    /// A call that began at `began`; what was said within the window counts.
    pub(super) fn of_call(
        seen: &CallObservation,
        said: &[Utterance],
        said_all: bool,
        window: Window,
        began: Instant,
        late_us: Vec<u64>,
    ) -> Self {
        let at = |ms| began + std::time::Duration::from_millis(ms);
        let call_s = window.overlap_s(began, at(seen.duration_ms));
        let mut figures = Self { placed: 1, call_s, late_us, ..Self::default() };
        if let Some(why) = failure(seen, said_all) {
            figures.failed = 1;
            figures.notes.push(why);
        }
        figures.violations = seen.violations.len();
        figures.notes.extend(seen.violations.iter().take(NOTES_MAX).cloned());
        let gaps = seen.gaps.iter().filter(|gap| gap.length_ms > GAP_MS_MIN && window.contains(at(gap.at_ms)));
        figures.gaps_ms.extend(gaps.map(|gap| gap.length_ms));
        let report = measure(seen, said);
        for (index, turn) in report.turns.iter().enumerate() {
            if window.contains(at(turn.said.loud_end_ms)) {
                let until_ms = said.get(index + 1).map_or(u64::MAX, |next| next.loud_start_ms);
                figures.turn(turn, &seen.clear_at_ms, until_ms);
            }
        }
        figures
    }

    fn turn(&mut self, turn: &TurnReport, clears_ms: &[u64], until_ms: u64) {
        match turn.said.kind {
            TurnKind::Turn => {}
            TurnKind::BargeIn => {
                self.barge_ins += 1;
                // Only a clear is a reaction; an answer that ends by itself is none.
                let cleared = clears_ms.iter().find(|at| **at >= turn.said.loud_start_ms && **at < until_ms);
                let reaction = cleared.map(|at| at.saturating_sub(turn.said.first_loud_sent_ms));
                self.reactions_ms.extend(reaction.filter(|ms| *ms <= REACTION_MS_MAX));
            }
            TurnKind::Backchannel => return,
        }
        let too_early = turn.agent_first_audio_ms.is_some_and(|at| at < turn.said.loud_end_ms);
        match turn.end_to_end_ms {
            Some(_) if too_early || turn.talked_over == Some(true) => self.talked_over += 1,
            Some(ms) => self.answers_ms.push(ms),
            None => self.unanswered += 1,
        }
    }

    /// Takes the figures of another call.
    pub(super) fn add(&mut self, other: Self) {
        self.placed += other.placed;
        self.failed += other.failed;
        let room = NOTES_MAX.saturating_sub(self.notes.len());
        self.notes.extend(other.notes.into_iter().take(room));
        self.call_s += other.call_s;
        self.answers_ms.extend(other.answers_ms);
        self.unanswered += other.unanswered;
        self.talked_over += other.talked_over;
        self.barge_ins += other.barge_ins;
        self.reactions_ms.extend(other.reactions_ms);
        self.gaps_ms.extend(other.gaps_ms);
        self.violations += other.violations;
        self.late_us.extend(other.late_us);
    }
}

/// Why a call counts as failed.
pub(super) fn failure(seen: &CallObservation, said_all: bool) -> Option<String> {
    match &seen.closed {
        Closed::NeverConnected { error } => return Some(format!("no media socket: {error}")),
        Closed::ByCaller { answered: false } => return Some("the server did not close its side".to_owned()),
        Closed::ByServer { .. } if !said_all => return Some("the server ended the call early".to_owned()),
        Closed::Dropped => return Some("the connection was dropped".to_owned()),
        Closed::ServerStalled => return Some("the server did not take our frames".to_owned()),
        Closed::Failed { error } => return Some(format!("the connection failed: {error}")),
        Closed::ByCaller { answered: true } | Closed::ByServer { .. } => {}
    }
    match &seen.end_report {
        Some(Ok(status)) if !(200..300).contains(status) => {
            Some(format!("the end of the call was answered with {status}"))
        }
        Some(Err(error)) => Some(format!("the end of the call could not be reported: {error}")),
        Some(Ok(_)) | None => None,
    }
}

/// Percentiles by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) n: usize,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Summary {
    /// Of these values, each divided by `unit` and less `less`; none of nothing.
    pub(super) fn of(values: &[u64], unit: f64, less: f64) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).map(|value| *value as f64 / unit - less)
        };
        Some(Self { n: sorted.len(), p50: rank(50)?, p95: rank(95)?, p99: rank(99)?, max: rank(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<u64> = (1..=200).rev().collect();
        let summary = Summary::of(&values, 1.0, 0.0).expect("values");
        assert_eq!(summary, Summary { n: 200, p50: 100.0, p95: 190.0, p99: 198.0, max: 200.0 });
        let one = Summary::of(&[1_500], 1_000.0, 0.5).expect("a value");
        assert_eq!((one.p50, one.p99, one.max), (1.0, 1.0, 1.0));
        assert_eq!(Summary::of(&[], 1.0, 0.0), None);
    }

    #[test]
    fn only_the_part_of_a_call_within_the_window_counts() {
        let opens = Instant::now() + Duration::from_secs(100);
        let window = Window { opens, closes: opens + Duration::from_secs(10) };
        for (from_s, to_s, want) in
            [(-5, 20, 10.0), (-5, 4, 4.0), (3, 7, 4.0), (8, 30, 2.0), (-5, -1, 0.0), (11, 12, 0.0)]
        {
            let at = |s: i64| opens - Duration::from_secs(50) + Duration::from_secs((50 + s) as u64);
            assert!((window.overlap_s(at(from_s), at(to_s)) - want).abs() < 1e-9, "{from_s} {to_s}");
        }
    }

    fn turn(kind: TurnKind, answer: Option<u64>) -> TurnReport {
        let said = Utterance {
            turn: 0,
            text: String::new(),
            kind,
            loud_start_ms: 1_000,
            loud_end_ms: 2_000,
            first_loud_sent_ms: 1_100,
            agent_was_speaking: false,
            out_of_patience: false,
        };
        TurnReport {
            said,
            agent_first_audio_ms: answer,
            end_to_end_ms: answer.map(|at| at.saturating_sub(2_000)),
            talked_over: None,
            reaction_ms: None,
            silent_after_ms: None,
            interrupted: None,
        }
    }

    #[test]
    fn an_answer_before_the_end_of_the_turn_is_not_a_fast_one() {
        let mut figures = Figures::default();
        figures.turn(&turn(TurnKind::Turn, Some(2_700)), &[], 9_000);
        figures.turn(&turn(TurnKind::BargeIn, Some(1_500)), &[], 9_000);
        figures.turn(&turn(TurnKind::Turn, None), &[], 9_000);
        figures.turn(&turn(TurnKind::Backchannel, Some(3_000)), &[], 9_000);
        assert_eq!((figures.answers_ms.as_slice(), figures.talked_over, figures.unanswered), (&[700][..], 1, 1));
    }

    #[test]
    fn only_a_clear_in_time_answers_an_interruption() {
        for (clears, want) in [
            (vec![1_450], vec![350]),
            (vec![900, 1_450], vec![350]),
            (vec![], vec![]),
            (vec![900], vec![]),
            (vec![3_900], vec![]),
            (vec![9_500], vec![]),
        ] {
            let mut figures = Figures::default();
            figures.turn(&turn(TurnKind::BargeIn, Some(2_500)), &clears, 9_000);
            assert_eq!((figures.barge_ins, &figures.reactions_ms), (1, &want), "{clears:?}");
        }
    }
}
