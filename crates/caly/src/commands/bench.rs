//! `caly bench`: what a node costs and how it keeps up, measured from outside. The server is a child process with a
//! folder of its own; callers and vendors are in this process, on another core. Method and figures are those of the
//! measurements that docs/measurements.md keeps. `caly bench turns` measures what is heard, without a server.

mod caller;
mod case;
mod cores;
mod database;
mod figures;
mod machine;
mod measure;
mod outcome;
mod plot;
mod relay;
mod report;
mod scripted;
mod server;
mod setup;
mod speech;
mod tables;
mod turns;

use crate::clock;
use crate::config::Config;
use crate::open_files;
use crate::terminal::{complain, say};
use anyhow::{Context, bail, ensure};
use case::{Case, Profile, Shape, System};
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use cores::Cores;
use indicatif::{ProgressBar, ProgressStyle};
use machine::Machine;
use outcome::Run;
use serde::Serialize;
use speech::Speech;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tables::Report;

/// Longest window.
const SECONDS_MAX: u64 = 12 * 3_600;
/// Most calls with the built-in models and their scripted callers.
const SCRIPTED_CALLS_MAX: usize = 500;
/// Window with the built-in models, unless it is given, in seconds.
const SCRIPTED_SECONDS: u64 = 40;
/// Calls, unless they are given.
const CALLS: [usize; 3] = [1, 10, 100];
const SCRIPTED_CALLS: [usize; 3] = [1, 10, 50];
/// Steps of a ramp, unless they are given.
const RAMP_STEP: usize = 100;
const RAMP_STEPS: usize = 20;

/// Where the server's speech comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum SpeechKind {
    /// Vendors with fixed latencies, in this process: what is measured is the server alone.
    Stub,
    /// The built-in models, on the server's core.
    Builtin,
}

/// Who says that the caller has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum TurnEnd {
    /// The vendor's transcriber, after 100 ms of silence.
    Transcriber,
    /// Our own voice activity and a pause.
    Silence,
}

/// What else there is.
#[derive(Subcommand)]
enum What {
    /// How well the end of a caller's turn is told on recorded speech, and how often voice activity is wrong.
    Turns(turns::Arguments),
    /// The yardstick that `--relay` measures: passes messages between callers and vendors, and nothing else.
    Relay(relay::Arguments),
}

/// What `caly bench` takes.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Which carrier, with which frames; a fresh server for each.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "exotel-100")]
    profile: Vec<Profile>,
    /// How calls come and go.
    #[arg(long, value_enum, default_value_t = Shape::Steady)]
    shape: Shape,
    /// How many calls at once; a fresh server for each number, but for a ramp, whose steps they are [default: 1,10,100]
    #[arg(long, value_delimiter = ',')]
    calls: Vec<usize>,
    /// Calls of a storm, on top of the others.
    #[arg(long, default_value_t = 1_000)]
    storm_calls: usize,
    /// How long to measure, in seconds [default: 20; churn 60, storm 30, soak 1800]
    #[arg(long)]
    seconds: Option<u64>,
    /// The calls begin spread over this time [default: whole turns of 6 s]
    #[arg(long)]
    ramp_s: Option<u64>,
    /// Record the calls.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    record: bool,
    /// Most calls that the server is told to take [default: as many as there are]
    #[arg(long)]
    calls_max: Option<usize>,
    /// Measure the bare relay as well, and how many times its processor time the server takes.
    #[arg(long)]
    relay: bool,
    /// The usual measurements of all carriers, about nine minutes.
    #[arg(long, conflicts_with_all = ["profile", "shape", "calls", "seconds"])]
    suite: bool,
    /// Folder for bench.json, bench.md and bench.svg.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Write the figures to this file as well, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the server's speech comes from.
    #[arg(long, value_enum, default_value_t = SpeechKind::Stub)]
    speech: SpeechKind,
    /// With stub: who says that a turn is over.
    #[arg(long, value_enum, default_value_t = TurnEnd::Transcriber)]
    turn_end: TurnEnd,
    /// With stub and silence: how much of it ends a turn.
    #[arg(long, default_value_t = 100)]
    pause_ms: u64,
    /// Give server and callers a core each, when there are two.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pin: bool,
}

impl Arguments {
    /// What is to be measured, in this order.
    fn cases(&self) -> anyhow::Result<Vec<Case>> {
        let seconds = self.seconds.unwrap_or(self.shape.seconds());
        ensure!((1..=SECONDS_MAX).contains(&seconds), "--seconds must be from 1 to {SECONDS_MAX}");
        ensure!(self.ramp_s.is_none_or(|ramp_s| ramp_s <= SECONDS_MAX), "--ramp-s must be at most {SECONDS_MAX}");
        let model = Case {
            system: System::Caly,
            profile: Profile::Exotel100,
            shape: self.shape,
            calls: Vec::new(),
            record: self.record,
            seconds,
            ramp_s: self.ramp_s,
            storm_calls: self.storm_calls,
            calls_max: self.calls_max,
            turn_end: self.turn_end,
            pause_ms: self.pause_ms,
        };
        let mut cases = if self.suite { case::suite(&model) } else { Vec::new() };
        if !self.suite {
            for profile in &self.profile {
                for calls in self.calls() {
                    cases.push(Case { profile: *profile, calls, ..model.clone() });
                }
            }
        }
        if self.relay {
            cases = cases.into_iter().flat_map(with_relay).collect();
        }
        cases.iter().try_for_each(Case::check)?;
        Ok(cases)
    }

    /// The numbers of calls of each case.
    fn calls(&self) -> Vec<Vec<usize>> {
        match (self.shape, self.calls.as_slice()) {
            (Shape::Ramp, []) => vec![(1..=RAMP_STEPS).map(|n| n * RAMP_STEP).collect()],
            (Shape::Ramp, given) => vec![given.to_vec()],
            (_, []) => CALLS.iter().map(|calls| vec![*calls]).collect(),
            (_, given) => given.iter().map(|calls| vec![*calls]).collect(),
        }
    }
}

/// The relay goes first, so that the server's line can be measured by it.
fn with_relay(case: Case) -> Vec<Case> {
    match case.shape {
        Shape::Steady => vec![Case { system: System::Relay, ..case.clone() }, case],
        Shape::Ramp | Shape::Churn | Shape::Storm | Shape::Soak => vec![case],
    }
}

/// Measures.
///
/// # Errors
/// When something it needs is missing, or the server ends. The exit status is 1 when a call failed.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.what {
        Some(What::Turns(arguments)) => return Box::pin(turns::run(config, arguments)).await,
        Some(What::Relay(arguments)) => return Box::pin(relay::run(arguments)).await,
        None => {}
    }
    match arguments.speech {
        SpeechKind::Stub => Box::pin(load(config, &arguments)).await,
        SpeechKind::Builtin => Box::pin(scripted(config, &arguments)).await,
    }
}

/// Calls in any number, with vendors beside them.
async fn load(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let cases = arguments.cases()?;
    let speech = Speech::load(&config.voices_dir)?;
    open_files::enough_for(cases.iter().map(Case::at_once).max().unwrap_or(0))?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("the folder {} cannot be made", arguments.out.display()))?;
    let machine = Machine::look();
    let (cores, said) = separate(arguments.pin).await;
    let mut report = Report::new(machine, said);
    report.print_head();
    let bench = measure::Bench { config, cores, speech: &speech };
    // Interrupted, everything is dropped: the server is killed and its folder removed. What is known is written.
    let measured = tokio::select! {
        measured = all(&bench, &cases, &mut report) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    write(&report, arguments)?;
    measured?;
    let failed = report.runs.iter().any(Run::failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn all(bench: &measure::Bench<'_>, cases: &[Case], report: &mut Report) -> anyhow::Result<()> {
    for (number, case) in cases.iter().enumerate() {
        let bar = bar();
        bar.set_prefix(format!("{}/{}", number + 1, cases.len()));
        let measured = bench.measure(case, &bar).await;
        bar.finish_and_clear();
        report.add(measured.with_context(|| case.title())?);
    }
    Ok(())
}

fn write(report: &Report, arguments: &Arguments) -> anyhow::Result<()> {
    if report.runs.is_empty() {
        return Ok(());
    }
    let at = |name: &str| arguments.out.join(name);
    let put = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    };
    report.write_json(&at("bench.json"))?;
    put(&at("bench.md"), report.markdown())?;
    put(&at("bench.svg"), plot::svg(report))?;
    if let Some(path) = &arguments.json {
        report.write_json(path)?;
    }
    say("");
    say(format!("written to {}: bench.md, bench.svg, bench.json", arguments.out.display()));
    Ok(())
}

/// A few calls, with the built-in models.
async fn scripted(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    ensure!(arguments.shape == Shape::Steady, "with the built-in models there are only steady calls");
    let [profile] = arguments.profile[..] else { bail!("with the built-in models there is one --profile") };
    ensure!(profile != Profile::Twilio20, "with the built-in models callers call over Exotel");
    let calls = if arguments.calls.is_empty() { &SCRIPTED_CALLS[..] } else { &arguments.calls };
    ensure!(
        calls.iter().all(|calls| (1..=SCRIPTED_CALLS_MAX).contains(calls)),
        "with the built-in models --calls must be from 1 to {SCRIPTED_CALLS_MAX}"
    );
    let seconds = arguments.seconds.unwrap_or(SCRIPTED_SECONDS);
    ensure!((1..=SECONDS_MAX).contains(&seconds), "--seconds must be from 1 to {SECONDS_MAX}");
    let caller = caller::clinic(&config.voices_dir)?;
    let machine = Machine::look();
    let (cores, said) = separate(arguments.pin).await;
    let frame_ms = profile.frame_ms();
    let mut report = report::Report::new(frame_ms, arguments.record, seconds, machine, said);
    report.print_head();
    let bench = scripted::Bench { config, arguments, cores, caller, calls, frame_ms, seconds };
    // Interrupted, everything is dropped: the server is killed and its folder removed.
    let measured = tokio::select! {
        measured = bench.measure(&mut report) => measured,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    measured?;
    let failed = report.runs.iter().any(report::Run::failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn separate(pin: bool) -> (Option<Cores>, String) {
    if !pin {
        return (None, "no cores of their own".to_owned());
    }
    match cores::separate().await {
        Ok(cores) => (Some(cores), format!("server on core {}, callers on core {}", cores.server, cores.generator)),
        Err(why) => (None, format!("no cores of their own: {why}")),
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg} [{bar:30}] {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// Says what is going on, also to those who have no terminal.
fn step(bar: &ProgressBar, title: &str, what: &str) {
    if bar.is_hidden() {
        let (number, now) = (bar.prefix(), clock::now().format("%H:%M:%S"));
        complain(format!("caly bench: {number} {title}: {what} ({now})"));
    }
    bar.set_message(format!("{title}: {what}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Option<(Arguments, Vec<Case>)> {
        let arguments = Line::try_parse_from(["bench"].into_iter().chain(line.split_whitespace())).ok()?.arguments;
        let cases = arguments.cases().ok()?;
        Some((arguments, cases))
    }

    fn sizes(line: &str) -> Vec<(System, Profile, Vec<usize>)> {
        let (_, cases) = parse(line).unwrap_or_else(|| panic!("{line}"));
        cases.into_iter().map(|case| (case.system, case.profile, case.calls)).collect()
    }

    #[test]
    fn a_case_for_each_number_and_carrier() {
        use Profile::{Exotel100, Twilio20};
        use System::{Caly, Relay};
        assert_eq!(sizes(""), CALLS.map(|calls| (Caly, Exotel100, vec![calls])));
        let want = [(Caly, Exotel100, vec![5]), (Caly, Twilio20, vec![5])];
        assert_eq!(sizes("--profile exotel-100,twilio-20 --calls 5"), want);
        assert_eq!(sizes("--calls 5 --relay"), [(Relay, Exotel100, vec![5]), (Caly, Exotel100, vec![5])]);
        assert_eq!(sizes("--shape ramp --calls 5,9"), [(Caly, Exotel100, vec![5, 9])]);
        assert_eq!(sizes("--shape ramp")[0].2.last(), Some(&2_000));
        assert_eq!(sizes("--suite").len(), 12);
        assert_eq!(sizes("--suite --relay").len(), 23);
    }

    #[test]
    fn the_arguments_are_checked() {
        let (defaults, cases) = parse("").expect("the defaults");
        assert!(defaults.pin && defaults.record && !defaults.relay);
        assert_eq!((cases[0].seconds, cases[0].turn_end), (20, TurnEnd::Transcriber));
        let (_, soak) = parse("--shape soak --calls 100 --record false").expect("fine");
        assert_eq!((soak[0].seconds, soak[0].record), (1_800, false));
        for line in [
            "--calls 0",
            "--calls 4001",
            "--calls x",
            "--seconds 0",
            "--profile exotel-50",
            "--shape flood",
            "--shape storm --calls 3500",
            "--suite --calls 5",
            "--speech none",
        ] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
