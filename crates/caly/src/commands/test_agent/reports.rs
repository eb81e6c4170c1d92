//! What is written about test calls: for people, for CI servers (JUnit), and as JSON.

use super::expect::Failure;
use crate::rehearsal::Seen;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// Events shown around what failed at the end of a call.
const LAST_EVENTS: usize = 8;

/// How one file went.
pub(super) struct Report {
    /// Its name.
    pub(super) name: String,
    /// Its file.
    pub(super) file: String,
    /// How long it took.
    pub(super) took: Duration,
    /// What became of it.
    pub(super) result: Outcome,
}

/// See [`Report`].
pub(super) enum Outcome {
    /// It could not be played: why.
    Unusable(String),
    /// It was played.
    Played {
        /// What happened.
        seen: Box<Seen>,
        /// What differed from what was expected.
        failures: Vec<Failure>,
    },
}

impl Report {
    pub(super) fn passed(&self) -> bool {
        matches!(&self.result, Outcome::Played { failures, .. } if failures.is_empty())
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let (seen, failures) = match &self.result {
            Outcome::Unusable(why) => return vec![format!("error {}", why)],
            Outcome::Played { seen, failures } => (seen, failures),
        };
        let word = if failures.is_empty() { "pass " } else { "FAIL " };
        let (turns, seconds) = (seen.turns.len(), seen.duration_ms as f64 / 1_000.0);
        let mut lines = vec![format!("{word} {} ({turns} turns, {seconds:.1} s; {})", self.name, self.file)];
        let mut shown = None;
        for failure in failures {
            lines.push(format!("      {}", failure.line()));
            if failure.turn.is_some() && failure.turn != shown {
                lines.extend(around(seen, failure.turn));
                shown = failure.turn;
            }
        }
        if failures.last().is_some_and(|failure| failure.turn.is_none()) {
            lines.extend(around(seen, None));
        }
        lines
    }

    fn json(&self) -> Value {
        let mut value = json!({ "name": self.name, "file": self.file, "passed": self.passed() });
        match &self.result {
            Outcome::Unusable(why) => value["error"] = json!(why),
            Outcome::Played { seen, failures } => {
                let failures: Vec<Value> = failures
                    .iter()
                    .map(|failure| json!({ "turn": failure.turn.map(|turn| turn + 1), "what": failure.what }))
                    .collect();
                let lines: Vec<String> = seen.events.iter().map(|event| event.line().trim().to_owned()).collect();
                value["failures"] = json!(failures);
                value["turns"] = json!(seen.turns.len());
                value["duration_ms"] = json!(seen.duration_ms);
                value["ended_reason"] = json!(seen.ended.map(model::EndedReason::as_str));
                value["collected"] = seen.collected.clone();
                value["transcript"] = json!(lines);
            }
        }
        value
    }
}

impl Failure {
    /// Turns are counted from 1, as people do.
    pub(super) fn line(&self) -> String {
        match self.turn {
            Some(turn) => format!("turn {}: {}", turn + 1, self.what),
            None => format!("end: {}", self.what),
        }
    }
}

/// The transcript around a turn: it and the one before; or the end of the call.
fn around(seen: &Seen, turn: Option<usize>) -> Vec<String> {
    match turn {
        Some(turn) => {
            let before = turn.checked_sub(1).map_or_else(Vec::new, |before| seen.of_turn(before).iter().collect());
            let of_turn = seen.of_turn(turn).iter().map(|event| format!("      > {}", event.line()));
            before.into_iter().map(|event| format!("        {}", event.line())).chain(of_turn).collect()
        }
        None => {
            let from = seen.events.len().saturating_sub(LAST_EVENTS);
            seen.events.iter().skip(from).map(|event| format!("        {}", event.line())).collect()
        }
    }
}

/// All cases as JSON.
pub(super) fn as_json(reports: &[Report]) -> Value {
    let passed = reports.iter().filter(|report| report.passed()).count();
    let cases: Vec<Value> = reports.iter().map(Report::json).collect();
    json!({ "cases": cases, "passed": passed, "failed": reports.len() - passed })
}

/// All cases as JUnit's XML.
pub(super) fn as_junit(reports: &[Report]) -> String {
    let errors = reports.iter().filter(|report| matches!(report.result, Outcome::Unusable(_))).count();
    let failed = reports.iter().filter(|report| !report.passed()).count() - errors;
    let took: Duration = reports.iter().map(|report| report.took).sum();
    let counts = format!(
        "tests=\"{}\" failures=\"{failed}\" errors=\"{errors}\" time=\"{:.3}\"",
        reports.len(),
        took.as_secs_f64()
    );
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n");
    let _ = writeln!(out, "  <testsuite name=\"caly test-agent\" {counts}>");
    for report in reports {
        let (name, file, time) = (escaped(&report.name), escaped(&report.file), report.took.as_secs_f64());
        let _ = write!(out, "    <testcase name=\"{name}\" classname=\"{file}\" file=\"{file}\" time=\"{time:.3}\"");
        match &report.result {
            Outcome::Played { failures, .. } if failures.is_empty() => out.push_str("/>\n"),
            Outcome::Played { failures, .. } => {
                let message = failures.first().map(Failure::line).unwrap_or_default();
                let text = report.lines().join("\n");
                let _ = write!(
                    out,
                    ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                    escaped(&message),
                    escaped(&text)
                );
            }
            Outcome::Unusable(why) => {
                let why = escaped(why);
                let _ = write!(out, ">\n      <error message=\"{why}\">{why}</error>\n    </testcase>\n");
            }
        }
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text in XML; what XML cannot hold becomes the sign for it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
