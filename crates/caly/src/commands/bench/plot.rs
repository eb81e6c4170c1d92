//! The measurement as a picture: processor time and memory of a call, the overhead of an answer, by the number of calls;
//! memory and open files over a long run.

mod axis;
mod chart;

use super::case::{Profile, Shape, System};
use super::outcome::{Run, Sample};
use super::tables::Report;
use axis::Axis;
use chart::{Chart, Place, Series, escape};
use std::collections::BTreeSet;
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const MARGIN: f64 = 32.0;
const GUTTER: f64 = 30.0;
const HEAD: f64 = 108.0;
const ROW: f64 = 280.0;
const STYLE: &str = "text{font-family:Inter,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;fill:#1f2937}\
.heading{font-size:21px;font-weight:650}.sub{font-size:12.5px;fill:#6b7280}.title{font-size:14.5px;font-weight:600}\
.unit{font-size:12px;fill:#6b7280}.tick{font-size:12px;fill:#4b5563}.key{font-size:12.5px}\
.end{text-anchor:end}.middle{text-anchor:middle}\
.grid{stroke:#e5e7eb;stroke-width:1;fill:none}.base{stroke:#9ca3af;stroke-width:1;fill:none}\
.line{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}.dashed{stroke-dasharray:6 5}";
/// With fewer calls it is what the server needs anyhow that shows, not what a call adds.
const FEW_CALLS: f64 = 10.0;
const P50: &str = "#1d4ed8";
const P95: &str = "#f59e0b";
const P99: &str = "#dc2626";
const GREY: &str = "#9ca3af";

const fn colour(profile: Profile) -> &'static str {
    match profile {
        Profile::Exotel100 => "#2563eb",
        Profile::Exotel20 => "#0d9488",
        Profile::Twilio20 => "#db2777",
    }
}

/// The picture.
pub(super) fn svg(report: &Report) -> String {
    let by_calls: Vec<&Run> =
        report.runs.iter().filter(|run| matches!(run.shape, Shape::Steady | Shape::Ramp | Shape::Churn)).collect();
    let soaks: Vec<&Run> = report.runs.iter().filter(|run| run.samples.len() > 1).collect();
    let mut body = String::new();
    let mut y = HEAD;
    if !by_calls.is_empty() {
        let half = (WIDTH - 2.0 * MARGIN - GUTTER) / 2.0;
        let place = |n: f64| Place { x: MARGIN + n * (half + GUTTER), y, width: half, height: ROW };
        processor(&by_calls, place(0.0)).draw(&mut body);
        memory(&by_calls, place(1.0)).draw(&mut body);
        y += ROW + GUTTER;
        overhead(&by_calls, y, &mut body);
        y += ROW + GUTTER + 14.0;
    }
    for run in soaks {
        soak(run, y, &mut body);
        y += ROW + GUTTER;
    }
    let mut head = String::new();
    heading(report, &by_calls, &mut head);
    // Writing to a text cannot fail.
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" width="{WIDTH}" height="{y:.0}"><style>{STYLE}</style><rect width="100%" height="100%" fill="#ffffff"/>
{head}{body}</svg>
"##
    )
}

fn heading(report: &Report, runs: &[&Run], out: &mut String) {
    let recorded = if report.runs.iter().any(|run| run.recorded) { "calls recorded" } else { "calls not recorded" };
    let build = if report.build == "release" { String::new() } else { format!(", {} build", report.build) };
    let title = format!("Caly {} under load{build}", report.version);
    let machine = format!("{}; {}; {recorded}", report.machine.processor, report.cores);
    let _ = writeln!(out, r#"<text x="{MARGIN}" y="38" class="heading">{}</text>"#, escape(&title));
    let _ = writeln!(out, r#"<text x="{MARGIN}" y="58" class="sub">{}</text>"#, escape(&machine));
    let mut x = MARGIN;
    let mut key = |colour: &str, class: &str, text: &str| {
        let _ = writeln!(out, r#"<path d="M{x:.1} 82h24" class="line{class}" stroke="{colour}"/>"#);
        let _ = writeln!(out, r#"<text x="{:.1}" y="86" class="key">{}</text>"#, x + 31.0, escape(text));
        // As wide as the letters are, about.
        x += 31.0 + text.chars().count() as f64 * 6.9 + 22.0;
    };
    for profile in profiles(runs) {
        key(colour(profile), "", profile.title());
    }
    if runs.iter().any(|run| run.system == System::Relay) {
        key(GREY, " dashed", "bare relay");
    }
    if !runs.iter().all(|run| is_good(run)) {
        let _ = writeln!(
            out,
            r##"<circle cx="{:.1}" cy="82" r="3.6" fill="#ffffff" stroke="{GREY}" stroke-width="1.6"/><text x="{:.1}" y="86" class="key">did not keep up</text>"##,
            x + 6.0,
            x + 17.0
        );
    }
}

fn profiles(runs: &[&Run]) -> BTreeSet<Profile> {
    runs.iter().map(|run| run.profile).collect()
}

/// The server kept up, and the callers were in time to judge it. What the relay does is measured anyhow.
fn is_good(run: &Run) -> bool {
    !run.discard && (run.system == System::Relay || run.holds())
}

/// The values of one system over one carrier, by calls.
fn points(runs: &[&Run], system: System, profile: Profile, of: impl Fn(&Run) -> Option<f64>) -> Vec<(f64, f64, bool)> {
    let of_it = runs.iter().filter(|run| (run.system, run.profile) == (system, profile));
    let mut points: Vec<(f64, f64, bool)> =
        of_it.filter_map(|run| Some((run.calls as f64, of(run)?, is_good(run)))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// A line for each carrier, and a dashed one for the relay over it.
fn lines(runs: &[&Run], relay: bool, of: fn(&Run) -> Option<f64>) -> Vec<Series> {
    let mut series = Vec::new();
    for profile in profiles(runs) {
        for system in [System::Relay, System::Caly] {
            let dashed = system == System::Relay;
            let points = points(runs, system, profile, of);
            if points.is_empty() || (dashed && !relay) {
                continue;
            }
            series.push(Series { colour: colour(profile), dashed, marks: true, points });
        }
    }
    series
}

fn largest(series: &[Series]) -> f64 {
    series.iter().flat_map(|series| &series.points).map(|point| point.1).fold(0.0, f64::max)
}

fn calls_axis(runs: &[&Run]) -> Axis {
    Axis::of(&runs.iter().map(|run| run.calls as f64).collect::<Vec<_>>())
}

fn processor<'a>(runs: &[&Run], place: Place) -> Chart<'a> {
    let series = lines(runs, true, |run| run.server.as_ref().map(|server| server.processor_s_per_call_s * 1_000.0));
    Chart {
        place,
        title: "Processor time",
        unit: "ms of one core for a second of one call",
        below: "calls at once",
        x: calls_axis(runs),
        // A single call bears all that the server does anyhow; it is drawn at the edge.
        y: Axis::from_zero(largest_from(&series, FEW_CALLS).unwrap_or(largest(&series)) * 1.15),
        series,
    }
}

/// The largest value at this many calls or more.
fn largest_from(series: &[Series], calls: f64) -> Option<f64> {
    let many = series.iter().flat_map(|series| &series.points).filter(|point| point.0 >= calls);
    many.map(|point| point.1).reduce(f64::max)
}

fn memory<'a>(runs: &[&Run], place: Place) -> Chart<'a> {
    // With few calls it is what the first call ever needs, not what one more does.
    let of = |run: &Run| {
        run.server
            .as_ref()
            .filter(|_| run.calls as f64 >= FEW_CALLS)
            .map(|server| server.resident_per_call_kib.max(0.0))
    };
    let series = lines(runs, false, of);
    Chart {
        place,
        title: "Memory",
        unit: "kB that a call adds (from 10 calls on)",
        below: "calls at once",
        x: calls_axis(runs),
        y: Axis::from_zero(largest(&series)),
        series,
    }
}

/// A figure of a run, where it has it.
type Figure = fn(&Run) -> Option<f64>;

/// A small chart for each carrier, all on one scale.
fn overhead(runs: &[&Run], y: f64, out: &mut String) {
    let profiles = profiles(runs);
    let count = profiles.len() as f64;
    let width = (WIDTH - 2.0 * MARGIN - GUTTER * (count - 1.0)) / count;
    let percentiles: [(&str, Figure); 3] = [
        (P50, |run| run.heard.overhead_ms.map(|overhead| overhead.p50)),
        (P95, |run| run.heard.overhead_ms.map(|overhead| overhead.p95)),
        (P99, |run| run.heard.overhead_ms.map(|overhead| overhead.p99)),
    ];
    let all: Vec<Vec<Series>> = profiles
        .iter()
        .map(|profile| {
            let line = |(colour, of): &(&'static str, fn(&Run) -> Option<f64>)| {
                let points = points(runs, System::Caly, *profile, of);
                Series { colour, dashed: false, marks: true, points }
            };
            percentiles.iter().map(line).collect()
        })
        .collect();
    let values: Vec<f64> =
        all.iter().flatten().flat_map(|series| &series.points).map(|point| point.1.max(1.0)).collect();
    let _ = writeln!(
        out,
        r#"<text x="{MARGIN}" y="{:.1}" class="title">Overhead of an answer</text><text x="{MARGIN}" y="{:.1}" class="unit">ms from the caller's last word to the agent's first sound, less the vendors' own time</text>"#,
        y + 14.0,
        y + 31.0
    );
    let mut x = WIDTH - MARGIN - 150.0;
    for (colour, name) in [(P50, "p50"), (P95, "p95"), (P99, "p99")] {
        let _ = writeln!(out, r#"<path d="M{x:.1} {:.1}h16" class="line" stroke="{colour}"/>"#, y + 10.0);
        let _ = writeln!(out, r#"<text x="{:.1}" y="{:.1}" class="key">{name}</text>"#, x + 21.0, y + 14.0);
        x += 54.0;
    }
    for (n, (profile, series)) in profiles.iter().zip(all).enumerate() {
        let own: Vec<&Run> = runs.iter().copied().filter(|run| run.profile == *profile).collect();
        let place = Place { x: MARGIN + n as f64 * (width + GUTTER), y: y + 30.0, width, height: ROW - 16.0 };
        let unit = profile.title();
        let (x, y) = (calls_axis(&own), Axis::of(&values));
        Chart { place, title: "", unit, below: "calls at once", x, y, series }.draw(out);
    }
}

/// Memory and open files of a long run.
fn soak(run: &Run, y: f64, out: &mut String) {
    let half = (WIDTH - 2.0 * MARGIN - GUTTER) / 2.0;
    let minutes = Axis::from_zero(run.samples.last().map_or(1.0, |sample| sample.at_s / 60.0));
    let line = |of: fn(&Sample) -> f64| {
        let points = run.samples.iter().map(|sample| (sample.at_s / 60.0, of(sample), true)).collect();
        vec![Series { colour: colour(run.profile), dashed: false, marks: false, points }]
    };
    let growth = run.memory_kib_per_min.map_or_else(String::new, |kib| format!("; grows by {kib:.0} kB a minute"));
    let charts = [
        (0.0, "Memory of a long run", format!("MB resident, {} calls{growth}", run.calls), line(megabytes)),
        (1.0, "Open files", "files and sockets of the server".to_owned(), line(|sample| sample.files as f64)),
    ];
    for (n, title, unit, series) in charts {
        let place = Place { x: MARGIN + n * (half + GUTTER), y, width: half, height: ROW };
        let y = Axis::from_zero(largest(&series));
        Chart { place, title, unit: &unit, below: "minutes", x: minutes.clone(), y, series }.draw(out);
    }
}

fn megabytes(sample: &Sample) -> f64 {
    sample.resident_kib as f64 / 1_024.0
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::outcome::tests::run;
    use super::*;

    fn picture() -> String {
        let mut report = Report::new(Machine::look(), "server on <core> 1 & callers on core 0".to_owned());
        report.runs = vec![
            run(System::Relay, Profile::Exotel100, 100, 0.2),
            run(System::Caly, Profile::Exotel100, 1, 0.1),
            run(System::Caly, Profile::Exotel100, 100, 0.3),
            run(System::Caly, Profile::Twilio20, 100, 0.9),
        ];
        let mut soak = Run { shape: Shape::Soak, ..run(System::Caly, Profile::Exotel20, 50, 0.9) };
        let sample = |n: u64| Sample { at_s: n as f64 * 10.0, resident_kib: 40_000 + n, files: 200, live: 50 };
        soak.samples = (0..30).map(sample).collect();
        report.runs.push(soak);
        svg(&report)
    }

    #[test]
    fn the_picture_is_well_formed_and_has_every_panel() {
        let picture = picture();
        let mut reader = quick_xml::Reader::from_str(&picture);
        loop {
            if matches!(reader.read_event().expect("XML"), quick_xml::events::Event::Eof) {
                break;
            }
        }
        for text in ["Processor time", "Memory", "Overhead of an answer", "Open files", "bare relay", "calls at once"] {
            assert!(picture.contains(text), "{text}");
        }
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        assert!(picture.contains("&lt;core&gt; 1 &amp; callers"));
    }

    #[test]
    fn nothing_measured_is_a_picture_too() {
        let report = Report::new(Machine::look(), String::new());
        assert!(svg(&report).starts_with("<svg"));
    }
}
