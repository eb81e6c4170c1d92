//! What a measurement came to: a table for people, JSON for programs.

use super::figures::{Figures, Summary};
use super::machine::Machine;
use super::server::Usage;
use crate::terminal::{bold, coloured, dim, say};
use anyhow::Context;
use serde::Serialize;
use std::path::Path;

/// Our own frames may be late by this much at the 99th percentile; beyond it the run says little about the server.
const LATE_MS_MAX: f64 = 10.0;

/// The head of the table. Times are in ms; `late` is the callers' own lateness.
const HEAD: [[&str; COLUMNS]; 2] = [
    [
        "", "CPU s a", "calls a", "MB at", "MB at", "KB a", "answer", "answer", "answer", "", "gaps a", "stop", "stop",
        "", "late", "calls",
    ],
    [
        "calls", "call-s", "core", "start", "end", "call", "p50", "p95", "p99", "n", "reply", "p50", "p95", "n", "p99",
        "failed",
    ],
];
/// See [`row`].
const COLUMNS: usize = 16;
const WIDTHS: [usize; COLUMNS] = [5, 9, 9, 8, 7, 7, 8, 8, 8, 5, 8, 7, 7, 5, 7, 8];

/// A line of the table.
fn row<T: AsRef<str>>(cells: [T; COLUMNS]) -> String {
    cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{:>width$}", cell.as_ref())).collect()
}

/// A whole measurement.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    build: &'static str,
    machine: Machine,
    /// `server N, generator N`, or why not.
    cores: String,
    frame_ms: u64,
    recorded: bool,
    window_s: u64,
    pub(super) runs: Vec<Run>,
}

impl Report {
    pub(super) fn new(frame_ms: u64, recorded: bool, window_s: u64, machine: Machine, cores: String) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            machine,
            cores,
            frame_ms,
            recorded,
            window_s,
            runs: Vec::new(),
        }
    }

    /// Says what is measured, and the head of the table.
    pub(super) fn print_head(&self) {
        say(bold(&format!("Caly {} ({} build) with the built-in models", self.version, self.build)));
        say(format!(
            "{}, {} cores, load {}; {}",
            self.machine.processor, self.machine.cores, self.machine.load_before, self.cores
        ));
        let recorded = if self.recorded { "recorded" } else { "not recorded" };
        say(format!("frames of {} ms, calls {recorded}, measured for {} s", self.frame_ms, self.window_s));
        say("answers: caller's last sound to agent's first, at the telephone");
        if self.build == "debug" {
            say(coloured("33", "a debug build: these figures say nothing about a release build"));
        }
        say("");
        for head in HEAD {
            say(dim(&row(head)));
        }
    }

    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("the report cannot be written to {}", path.display()))
    }
}

/// What the server used.
#[derive(Debug, Serialize)]
pub(super) struct ServerFigures {
    processor_s: f64,
    /// Processor seconds for a second of one call.
    processor_s_per_call_s: f64,
    /// So many calls fill a core, were processor time all that counts.
    calls_per_core: f64,
    resident_before_kib: u64,
    resident_end_kib: u64,
    resident_peak_kib: u64,
    resident_per_call_kib: f64,
    threads: u64,
}

impl ServerFigures {
    /// From what was used when it was idle, when the window opened and when it closed.
    pub(super) fn between(idle: Usage, opens: Usage, closes: Usage, peak_kib: u64, calls: usize, call_s: f64) -> Self {
        let processor_s = closes.cpu_s() - opens.cpu_s();
        let grown_kib = closes.resident_kib as f64 - idle.resident_kib as f64;
        Self {
            processor_s,
            processor_s_per_call_s: processor_s / call_s,
            calls_per_core: call_s / processor_s,
            resident_before_kib: idle.resident_kib,
            resident_end_kib: closes.resident_kib,
            resident_peak_kib: peak_kib,
            resident_per_call_kib: grown_kib / calls as f64,
            threads: closes.threads,
        }
    }
}

/// One number of calls.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    calls: usize,
    /// With the built-in models a caller who is done calls again.
    placed: usize,
    failed: usize,
    notes: Vec<String>,
    call_s: f64,
    /// None where the system does not tell.
    server: Option<ServerFigures>,
    answer_ms: Option<Summary>,
    unanswered: usize,
    talked_over: usize,
    gaps: usize,
    gaps_per_reply: f64,
    gap_ms: Option<Summary>,
    barge_ins: usize,
    barge_in_missed: usize,
    barge_in_ms: Option<Summary>,
    violations: usize,
    /// Callers and vendors, this process.
    generator_late_ms: Option<Summary>,
    generator_processor_share: Option<f64>,
    /// The generator was too late to judge the server.
    discard: bool,
}

impl Run {
    pub(super) fn new(
        calls: usize,
        figures: Figures,
        server: Option<ServerFigures>,
        generator_processor_share: Option<f64>,
    ) -> Self {
        let late = Summary::of(&figures.late_us, 1_000.0, 0.0);
        let replies = figures.answers_ms.len() + figures.talked_over;
        Self {
            calls,
            placed: figures.placed,
            failed: figures.failed,
            notes: figures.notes,
            call_s: figures.call_s,
            server,
            answer_ms: Summary::of(&figures.answers_ms, 1.0, 0.0),
            unanswered: figures.unanswered,
            talked_over: figures.talked_over,
            gaps: figures.gaps_ms.len(),
            gaps_per_reply: if replies == 0 { 0.0 } else { figures.gaps_ms.len() as f64 / replies as f64 },
            gap_ms: Summary::of(&figures.gaps_ms, 1.0, 0.0),
            barge_ins: figures.barge_ins,
            barge_in_missed: figures.barge_ins.saturating_sub(figures.reactions_ms.len()),
            barge_in_ms: Summary::of(&figures.reactions_ms, 1.0, 0.0),
            violations: figures.violations,
            // Nothing sent in the window: nothing to judge by.
            discard: late.is_none_or(|late| late.p99 > LATE_MS_MAX),
            generator_late_ms: late,
            generator_processor_share,
        }
    }

    pub(super) const fn failed(&self) -> bool {
        self.failed > 0
    }

    /// The line of the table, and what must be said about it.
    pub(super) fn print(&self) {
        let [processor, per_core, before, end, per_call] = match &self.server {
            Some(server) => [
                format!("{:.5}", server.processor_s_per_call_s),
                format!("{:.0}", server.calls_per_core),
                format!("{:.1}", server.resident_before_kib as f64 / 1_024.0),
                format!("{:.1}", server.resident_end_kib as f64 / 1_024.0),
                format!("{:.0}", server.resident_per_call_kib),
            ],
            None => ["-"; 5].map(str::to_owned),
        };
        let [answer_p50, answer_p95, answer_p99, answers] = cells(self.answer_ms);
        let [stop_p50, stop_p95, _, stops] = cells(self.barge_in_ms);
        let late = self.generator_late_ms.map_or_else(|| "-".to_owned(), |late| format!("{:.1}", late.p99));
        let (calls, failed, gaps) =
            (self.calls.to_string(), self.failed.to_string(), format!("{:.3}", self.gaps_per_reply));
        say(row([
            calls, processor, per_core, before, end, per_call, answer_p50, answer_p95, answer_p99, answers, gaps,
            stop_p50, stop_p95, stops, late, failed,
        ]));
        let mut remarks: Vec<String> = [
            (self.unanswered, "unanswered"),
            (self.talked_over, "answered before the caller had finished"),
            (self.barge_in_missed, "interruptions without effect"),
            (self.violations, "violations of the carrier's rules"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        remarks.extend(self.notes.iter().cloned());
        if self.discard {
            remarks.push(format!("discard this line: the callers themselves were late by more than {LATE_MS_MAX} ms"));
        }
        for remark in remarks {
            say(coloured("33", &format!("       {remark}")));
        }
    }
}

fn cells(summary: Option<Summary>) -> [String; 4] {
    let none = || ["-"; 4].map(str::to_owned);
    summary.map_or_else(none, |summary| {
        let ms = |value: f64| format!("{value:.0}");
        [ms(summary.p50), ms(summary.p95), ms(summary.p99), summary.n.to_string()]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(user_s: f64, resident_kib: u64) -> Usage {
        Usage { user_s, resident_kib, ..Usage::default() }
    }

    fn figures() -> Figures {
        Figures {
            placed: 2,
            call_s: 80.0,
            answers_ms: vec![600, 700, 800],
            talked_over: 1,
            barge_ins: 2,
            reactions_ms: vec![310],
            gaps_ms: vec![40, 60],
            late_us: vec![100, 900],
            ..Figures::default()
        }
    }

    #[test]
    fn a_run_is_summed_up() {
        let idle = usage(1.0, 10_000);
        let opens = usage(1.5, 11_000);
        let closes = usage(1.9, 10_400);
        let server = ServerFigures::between(idle, opens, closes, 11_000, 2, 80.0);
        assert!((server.processor_s_per_call_s - 0.005).abs() < 1e-9);
        assert!((server.calls_per_core - 200.0).abs() < 1e-6);
        assert!((server.resident_per_call_kib - 200.0).abs() < 1e-9);
        let run = Run::new(2, figures(), Some(server), None);
        assert_eq!(run.answer_ms.map(|answer| answer.p50), Some(700.0));
        assert_eq!((run.gaps_per_reply, run.barge_in_missed, run.discard), (0.5, 1, false));
        run.print();
    }

    #[test]
    fn a_late_generator_is_no_judge() {
        for (late_us, want) in [(vec![9_000; 200], false), (vec![11_000; 200], true), (vec![], true)] {
            let run = Run::new(1, Figures { late_us, ..figures() }, None, None);
            assert_eq!(run.discard, want);
            run.print();
        }
    }
}
