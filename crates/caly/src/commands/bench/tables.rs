//! The measurement as a table: in the terminal while it goes on, and as Markdown and JSON when it is done.

use super::case::{Shape, System};
use super::figures::Summary;
use super::machine::Machine;
use super::outcome::{Heard, Run};
use crate::terminal::{bold, coloured, dim, say};
use anyhow::Context;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use testkit::load::VENDORS_MS;

/// A column: its head in two lines, its unit, its width in the terminal.
struct Column {
    head: [&'static str; 2],
    width: usize,
    cell: fn(&Run) -> String,
}

/// See [`LEGEND`].
const COLUMNS: [Column; 18] = [
    Column { head: ["", "calls"], width: 6, cell: |run| run.calls.to_string() },
    Column { head: ["CPU ms a", "call s"], width: 9, cell: |run| server(run, |s| milli(s.processor_s_per_call_s)) },
    Column { head: ["", "user"], width: 7, cell: |run| server(run, |s| milli(s.user_s_per_call_s)) },
    Column { head: ["", "system"], width: 7, cell: |run| server(run, |s| milli(s.system_s_per_call_s)) },
    Column { head: ["times", "relay"], width: 6, cell: |run| number(run.times_relay, 2) },
    Column { head: ["calls a", "core"], width: 8, cell: |run| server(run, |s| format!("{:.0}", s.calls_per_core)) },
    Column { head: ["kB a", "call"], width: 6, cell: |run| server(run, |s| format!("{:.0}", s.resident_per_call_kib)) },
    Column { head: ["overhead", "p50"], width: 9, cell: |run| ms(run.heard.overhead_ms, |s| s.p50) },
    Column { head: ["", "p95"], width: 6, cell: |run| ms(run.heard.overhead_ms, |s| s.p95) },
    Column { head: ["", "p99"], width: 6, cell: |run| ms(run.heard.overhead_ms, |s| s.p99) },
    Column { head: ["gaps /", "replies"], width: 9, cell: |run| format!("{}/{}", run.heard.gaps, run.heard.replies) },
    Column { head: ["late", "frames"], width: 7, cell: |run| run.heard.late_frames.to_string() },
    Column { head: ["barge-in", "p50"], width: 9, cell: |run| ms(run.heard.barge_in_ms, |s| s.p50) },
    Column { head: ["", "p95"], width: 6, cell: |run| ms(run.heard.barge_in_ms, |s| s.p95) },
    Column { head: ["set-up", "p50"], width: 7, cell: |run| ms(run.heard.setup_ms, |s| s.p50) },
    Column { head: ["", "p99"], width: 6, cell: |run| ms(run.heard.setup_ms, |s| s.p99) },
    Column { head: ["rows a", "call s"], width: 7, cell: rows },
    Column { head: ["gen. late", "p99"], width: 10, cell: |run| number(run.generator.late_p99_ms, 1) },
];

const LEGEND: &str = "Times in ms. Overhead: the caller's last speech frame sent to the agent's first sound, less the \
                      vendors' fixed latencies. Gaps: playback (100 ms buffered) ran dry for more than 5 ms; late \
                      frames: frames that came when it had run dry at all. Barge-in: the interruption's first frame \
                      sent to the agent's clear; that frame already holds its length of speech. Set-up: webhook and \
                      upgrade, to the open socket. Rows: calls, turns and audit events written. Generator late: how \
                      late the callers' own frames were; a line with more than 10 ms says little about the server.";

fn milli(seconds: f64) -> String {
    format!("{:.3}", seconds * 1_000.0)
}

fn server(run: &Run, cell: fn(&super::outcome::ServerFigures) -> String) -> String {
    run.server.as_ref().map_or_else(|| "-".to_owned(), cell)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn ms(summary: Option<Summary>, of: fn(&Summary) -> f64) -> String {
    summary.as_ref().map_or_else(
        || "-".to_owned(),
        |summary| {
            let value = of(summary);
            if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
        },
    )
}

fn rows(run: &Run) -> String {
    let all = run.rows.map(|rows| rows.calls + rows.turns + rows.audit);
    // The rows are those of the whole run; calls go on for longer than the window.
    all.map_or_else(|| "-".to_owned(), |rows| format!("{:.2}", rows as f64 / run.lived_s.max(1.0)))
}

/// What a line is about, besides its numbers.
fn group(run: &Run) -> String {
    let system = match run.system {
        System::Caly => "Caly",
        System::Relay => "bare relay",
    };
    let recorded = if run.recorded { "recorded" } else { "not recorded" };
    format!("{system}, {}, {}, {recorded}, {:.0} s", run.profile.title(), run.shape.name(), run.window_s)
}

/// What must be said about a line.
fn remarks(run: &Run) -> Vec<String> {
    let mut remarks = of_callers(&run.heard);
    if run.system == System::Caly && run.heard.odd_frames > 0 {
        // The relay pads nothing.
        remarks.push(format!("{} frames of an odd length", run.heard.odd_frames));
    }
    if let Some(storm) = &run.storm {
        let overhead = storm.overhead_ms.map_or_else(String::new, |ms| format!(", overhead p99 {:.1} ms", ms.p99));
        let setup = storm.setup_ms.map_or_else(String::new, |ms| format!(", set-up p99 {:.1} ms", ms.p99));
        remarks.push(format!(
            "the storm: {} of {} calls taken, {} gaps in {} replies{overhead}{setup}",
            storm.begun, storm.placed, storm.gaps, storm.replies
        ));
        remarks.extend(of_callers(storm).into_iter().map(|remark| format!("the storm: {remark}")));
    }
    if let (Shape::Soak, Some(kib)) = (run.shape, run.memory_kib_per_min) {
        let files = run.samples.iter().map(|sample| sample.files);
        let (fewest, most) = (files.clone().min().unwrap_or(0), files.max().unwrap_or(0));
        remarks.push(format!("memory grew by {kib:.1} kB a minute; {fewest} to {most} open files"));
    }
    if run.discard {
        remarks.push("discard this line: callers or vendors were late themselves".to_owned());
    }
    remarks
}

fn of_callers(heard: &Heard) -> Vec<String> {
    let mut remarks: Vec<String> = [
        (heard.unanswered, "unanswered"),
        (heard.unexpected, "answers to nothing"),
        (heard.barge_in_missed, "interruptions without effect"),
        (heard.stale_after_clear, "frames after a clear"),
        (heard.errors, "calls broke"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    remarks.extend(heard.refused.iter().map(|(status, count)| format!("{count} refused with {status}")));
    remarks.extend(heard.notes.iter().cloned());
    remarks
}

/// A whole measurement.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) build: &'static str,
    pub(super) machine: Machine,
    /// Which core does what, or why none.
    pub(super) cores: String,
    /// What the vendors' fixed latencies add to every answer when their transcriber ends a turn.
    pub(super) vendors_ms: u64,
    pub(super) runs: Vec<Run>,
}

impl Report {
    pub(super) fn new(machine: Machine, cores: String) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            machine,
            cores,
            vendors_ms: VENDORS_MS,
            runs: Vec::new(),
        }
    }

    fn machine_line(&self) -> String {
        format!(
            "{}, {} cores, load {}; {}",
            self.machine.processor, self.machine.cores, self.machine.load_before, self.cores
        )
    }

    /// Says what is measured.
    pub(super) fn print_head(&self) {
        say(bold(&format!("Caly {} ({} build), vendors with fixed latencies beside it", self.version, self.build)));
        say(self.machine_line());
        if self.build == "debug" {
            say(coloured("33", "a debug build: these figures say nothing about a release build"));
        }
    }

    /// Takes lines and shows them; a line of another kind than the one before gets a head.
    pub(super) fn add(&mut self, runs: Vec<Run>) {
        for mut run in runs {
            let relay = self.runs.iter().find(|other| other.system == System::Relay && other.is_like(&run));
            let by_relay = relay.filter(|_| run.system == System::Caly).and_then(|relay| relay.server.as_ref());
            if let (Some(relay), Some(server)) = (by_relay, &run.server) {
                run.times_relay = Some(server.processor_s_per_call_s / relay.processor_s_per_call_s);
            }
            if self.runs.last().is_none_or(|last| group(last) != group(&run)) {
                say("");
                say(bold(&group(&run)));
                for head in 0..2 {
                    let line: String =
                        COLUMNS.iter().map(|column| format!("{:>1$}", column.head[head], column.width)).collect();
                    say(dim(&line));
                }
            }
            let line: String =
                COLUMNS.iter().map(|column| format!("{:>1$}", (column.cell)(&run), column.width)).collect();
            say(line);
            for remark in remarks(&run) {
                say(coloured("33", &format!("       {remark}")));
            }
            self.runs.push(run);
        }
    }

    /// The table for a document.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "# Caly {} under load\n\n{} build. {}.\n\n{LEGEND}\n",
            self.version,
            self.build,
            self.machine_line()
        );
        let mut said: Option<String> = None;
        for run in &self.runs {
            let group = group(run);
            if said.as_ref() != Some(&group) {
                let heads: Vec<String> = COLUMNS.iter().map(heading).collect();
                // Writing to a text cannot fail.
                let _ = write!(text, "\n## {group}\n\n| {} |\n|{}\n", heads.join(" | "), "---:|".repeat(COLUMNS.len()));
                said = Some(group);
            }
            let cells: Vec<String> = COLUMNS.iter().map(|column| (column.cell)(run)).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        let remarks: Vec<String> = self
            .runs
            .iter()
            .flat_map(|run| {
                remarks(run).into_iter().map(|remark| format!("- {}, {} calls: {remark}\n", group(run), run.calls))
            })
            .collect();
        if !remarks.is_empty() {
            let _ = write!(text, "\n## Remarks\n\n{}", remarks.concat());
        }
        text
    }

    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// A head in one line; columns without a first line belong to the one before.
fn heading(column: &Column) -> String {
    column.head.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::case::Profile;
    use super::super::outcome::tests::run;
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(Machine::look(), "server on core 0".to_owned());
        report.add(vec![run(System::Relay, Profile::Exotel100, 100, 0.2)]);
        report
            .add(vec![run(System::Caly, Profile::Exotel100, 100, 0.3), run(System::Caly, Profile::Exotel20, 100, 0.9)]);
        report
    }

    #[test]
    fn a_line_is_measured_by_the_relay_of_its_kind() {
        let report = report();
        assert!(report.runs[1].times_relay.is_some_and(|times| (times - 1.5).abs() < 1e-9));
        assert_eq!((report.runs[0].times_relay, report.runs[2].times_relay), (None, None));
    }

    #[test]
    fn the_document_has_a_table_for_each_kind() {
        let text = report().markdown();
        assert_eq!(text.matches("\n## ").count(), 4, "{text}");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert!(lines.iter().all(|line| line.matches('|').count() == COLUMNS.len() + 1), "{text}");
        assert!(text.contains("| 1.500 |"), "{text}");
        assert!(text.contains("discard this line"));
    }

    #[test]
    fn the_figures_are_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bench.json");
        report().write_json(&path).expect("written");
        let read: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).expect("read")).expect("JSON");
        assert_eq!(read["runs"][1]["profile"], "exotel-100");
        assert_eq!(read["runs"][0]["system"], "relay");
    }
}
