//! `caly bench`: what a node costs and how it keeps up, measured from outside. The server is a child process with a
//! folder of its own; callers and vendors are in this process, on another core. Method and figures are those of the
//! measurements that docs/measurements.md keeps. `caly bench turns` measures what is heard, without a server.

mod caller;
mod cores;
mod figures;
mod report;
mod server;
mod setup;
mod turns;

use crate::clock;
use crate::config::Config;
use crate::terminal::complain;
use anyhow::{Context, bail, ensure};
use caller::{Caller, Metered, SAMPLE_RATE_HZ, Speech, TurnCaller};
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use cores::Cores;
use figures::{Figures, Window};
use indicatif::{ProgressBar, ProgressStyle};
use report::{Machine, Report, Run, ServerFigures};
use secrecy::SecretString;
use serde::Serialize;
use server::{Scratch, Server, Usage};
use setup::Setup;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use testkit::carrier::{Announce, FakeExotel, Options};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Most calls at once; more than one core of callers can play in time.
const CALLS_MAX: usize = 500;
/// Longest window.
const SECONDS_MAX: u64 = 3_600;
/// After the last call has begun, so long until the window opens: one turn of every caller.
const SETTLE: Duration = Duration::from_secs(6);
/// What was said in the window is answered within this time after it, or not at all.
const ANSWERED_WITHIN: Duration = Duration::from_millis(3_500);
/// The same for the built-in models, which may be busy with other callers.
const ANSWERED_WITHIN_BUILTIN: Duration = Duration::from_secs(8);
/// After that every caller has hung up and closed within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at the server's memory, and two moves of the progress bar.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What the vendors' fixed latencies add to every answer: 50 ms to the final text, 180 ms to the end of the first
/// sentence, 80 ms to its first sound.
const VENDORS_MS: u64 = 310;
/// Silence after which the vendor's transcriber says that a turn is over: as our client asks for.
const VENDORS_SILENCE_MS: u64 = 300;

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
    /// The vendor's transcriber, after 300 ms of silence.
    Transcriber,
    /// Our own voice activity and a pause.
    Silence,
}

/// What else can be measured.
#[derive(Subcommand)]
enum What {
    /// How well the end of a caller's turn is told on recorded speech, and how often voice activity is wrong.
    Turns(turns::Arguments),
}

/// What `caly bench` takes.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// How many calls at once; a fresh server for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50")]
    calls: Vec<usize>,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// The calls begin spread over this time.
    #[arg(long, default_value_t = 5)]
    ramp_s: u64,
    /// Where the server's speech comes from.
    #[arg(long, value_enum, default_value_t = SpeechKind::Stub)]
    speech: SpeechKind,
    /// Length of the carrier's frames: 100 or 20.
    #[arg(long, default_value_t = 100)]
    frame_ms: u64,
    /// With stub: who says that a turn is over.
    #[arg(long, value_enum, default_value_t = TurnEnd::Transcriber)]
    turn_end: TurnEnd,
    /// With stub and silence: how much of it ends a turn.
    #[arg(long, default_value_t = 100)]
    pause_ms: u64,
    /// Write the figures to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Do not record the calls.
    #[arg(long)]
    no_record: bool,
    /// Give server and callers a core each, when there are two.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pin: bool,
}

impl Arguments {
    /// What is not our doing in an answer, in ms; none with the built-in models.
    fn vendors_ms(&self) -> Option<u64> {
        match (self.speech, self.turn_end) {
            (SpeechKind::Builtin, _) => None,
            (SpeechKind::Stub, TurnEnd::Transcriber) => Some(VENDORS_MS + VENDORS_SILENCE_MS),
            (SpeechKind::Stub, TurnEnd::Silence) => Some(VENDORS_MS + self.pause_ms),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.calls.is_empty(), "--calls needs a number");
        ensure!(self.calls.iter().all(|n| (1..=CALLS_MAX).contains(n)), "--calls must be from 1 to {CALLS_MAX}");
        ensure!((1..=SECONDS_MAX).contains(&self.seconds), "--seconds must be from 1 to {SECONDS_MAX}");
        ensure!(self.ramp_s <= SECONDS_MAX, "--ramp-s must be at most {SECONDS_MAX}");
        ensure!(matches!(self.frame_ms, 20 | 100), "--frame-ms must be 20 or 100");
        Ok(())
    }
}

/// Measures.
///
/// # Errors
/// When something it needs is missing, or the server ends. The exit status is 1 when a call failed.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Some(What::Turns(arguments)) = &arguments.what {
        return Box::pin(turns::run(config, arguments)).await;
    }
    arguments.check()?;
    let caller = match arguments.speech {
        SpeechKind::Stub => Caller::Turns(TurnCaller::new(Arc::new(Speech::load(&config.voices_dir)?))),
        SpeechKind::Builtin => Caller::clinic(&config.voices_dir)?,
    };
    let machine = Machine::look();
    let (cores, said) = if arguments.pin { separate().await } else { (None, "no cores of their own".to_owned()) };
    let mut report = Report::new(&arguments, machine, said);
    report.print_head();
    let bench = Bench { config, arguments: &arguments, cores, caller };
    // Interrupted, everything is dropped: the server is killed and its folder removed.
    let measured = tokio::select! {
        measured = bench.measure(&mut report) => measured,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    };
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    measured?;
    let failed = report.runs.iter().any(Run::failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn separate() -> (Option<Cores>, String) {
    match cores::separate().await {
        Ok(cores) => (Some(cores), format!("server on core {}, callers on core {}", cores.server, cores.generator)),
        Err(why) => (None, format!("no cores of their own: {why}")),
    }
}

struct Bench<'a> {
    config: &'a Config,
    arguments: &'a Arguments,
    cores: Option<Cores>,
    caller: Caller,
}

/// When what happens in a run.
#[derive(Clone, Copy)]
struct Plan {
    begins: Instant,
    window: Window,
    hang_up_at: Instant,
}

/// What the server had used when.
#[derive(Default)]
struct Watched {
    opens: Option<(Usage, Usage)>,
    closes: Option<(Usage, Usage)>,
    peak_kib: u64,
}

impl Bench<'_> {
    async fn measure(&self, report: &mut Report) -> anyhow::Result<()> {
        for calls in &self.arguments.calls {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{bar:30}] {elapsed}") {
                bar.set_style(style);
            }
            let run = self.run(*calls, &bar).await;
            bar.finish_and_clear();
            let run = run.with_context(|| format!("with {calls} calls"))?;
            run.print();
            report.runs.push(run);
        }
        Ok(())
    }

    /// One number of calls, from a fresh server to its end.
    async fn run(&self, calls: usize, bar: &ProgressBar) -> anyhow::Result<Run> {
        step(bar, calls, "starting the server");
        let scratch = Scratch::create(&calls.to_string())?;
        let setup = Setup::prepare(self.config, self.arguments, scratch.path()).await?;
        let settings = setup.settings(self.config, scratch.path(), calls);
        let mut server = Server::start(scratch.path(), &settings, self.cores.map(|cores| cores.server)).await?;
        let idle = server.usage();
        let plan = self.plan();
        let mut lines = self.place_calls(calls, &server.address, plan);
        bar.set_length((plan.hang_up_at - plan.begins).as_millis() as u64);
        let watched = watch(&mut server, plan, bar, calls).await?;
        step(bar, calls, "hanging up");
        let mut figures = Figures::default();
        let closed = timeout_at(plan.hang_up_at + CLOSED_WITHIN, async {
            while let Some(line) = lines.join_next().await {
                figures.add(line?);
            }
            anyhow::Ok(())
        });
        match closed.await {
            Ok(joined) => joined.context("a caller broke")?,
            Err(_) => figures.add(Figures::failed(Some(format!("{} calls did not end", lines.len())))),
        }
        server.still_runs()?;
        server.kill().await;
        Ok(self.sum_up(calls, figures, idle, &watched))
    }

    fn sum_up(&self, calls: usize, figures: Figures, idle: Option<Usage>, watched: &Watched) -> Run {
        let mut server = None;
        let mut share = None;
        if let (Some(idle), Some((opens, own_opens)), Some((closes, own_closes))) =
            (idle, watched.opens, watched.closes)
        {
            server = Some(ServerFigures::between(idle, opens, closes, watched.peak_kib, calls, figures.call_s));
            share = Some((own_closes.cpu_s - own_opens.cpu_s) / self.arguments.seconds as f64);
        }
        Run::new(calls, figures, server, share, self.arguments.vendors_ms())
    }

    fn plan(&self) -> Plan {
        let begins = Instant::now();
        let opens = begins + Duration::from_secs(self.arguments.ramp_s) + SETTLE;
        let closes = opens + Duration::from_secs(self.arguments.seconds);
        let answered_within = match self.arguments.speech {
            SpeechKind::Stub => ANSWERED_WITHIN,
            SpeechKind::Builtin => ANSWERED_WITHIN_BUILTIN,
        };
        Plan { begins, window: Window { opens, closes }, hang_up_at: closes + answered_within }
    }

    /// A task for each line, the first calls spread over the ramp.
    fn place_calls(&self, calls: usize, address: &str, plan: Plan) -> JoinSet<Figures> {
        let secret = SecretString::from(setup::WEBHOOK_SECRET);
        let mut options = Options::new(address, Announce::Signed { secret });
        options.frame_ms = self.arguments.frame_ms;
        options.sample_rate_hz = SAMPLE_RATE_HZ;
        options.call_max = Duration::from_secs(2 * SECONDS_MAX);
        let carrier = FakeExotel::new(options);
        let ramp = Duration::from_secs(self.arguments.ramp_s);
        let mut lines = JoinSet::new();
        for index in 0..calls {
            let begins = plan.begins + ramp * index as u32 / calls as u32;
            lines.spawn(line(carrier.clone(), self.caller.clone(), plan, begins));
        }
        lines
    }
}

/// One telephone: call after call until the window is over, or one fails.
async fn line(carrier: FakeExotel, caller: Caller, plan: Plan, begins: Instant) -> Figures {
    sleep_until(begins).await;
    let mut figures = Figures::default();
    loop {
        let mut metered = Metered::new(caller.clone(), carrier.options.frame_ms, plan.window, plan.hang_up_at);
        match carrier.place_call(&mut metered).await {
            Ok(seen) => figures.add(metered.figures(&seen)),
            Err(refused) => figures.add(Figures::failed(Some(refused.to_string()))),
        }
        if figures.failed > 0 || Instant::now() >= plan.window.closes {
            return figures;
        }
    }
}

/// Looks at the server from the first call to the moment when all hang up.
async fn watch(server: &mut Server, plan: Plan, bar: &ProgressBar, calls: usize) -> anyhow::Result<Watched> {
    let mut watched = Watched::default();
    let phases =
        [(plan.window.opens, "the calls begin"), (plan.window.closes, "measuring"), (plan.hang_up_at, "last answers")];
    for (until, what) in phases {
        step(bar, calls, what);
        while Instant::now() < until {
            sleep_until(until.min(Instant::now() + LOOK_EVERY)).await;
            bar.set_position(plan.begins.elapsed().as_millis() as u64);
            server.still_runs()?;
            if Instant::now() < plan.window.closes + LOOK_EVERY {
                let resident_kib = server.usage().map_or(0, |usage| usage.resident_kib);
                watched.peak_kib = watched.peak_kib.max(resident_kib);
            }
        }
        let used = server.usage().zip(Usage::of(std::process::id()));
        if until == plan.window.opens {
            watched.opens = used;
        } else if until == plan.window.closes {
            watched.closes = used;
        }
    }
    Ok(watched)
}

/// Says what is going on, also to those who have no terminal.
fn step(bar: &ProgressBar, calls: usize, what: &'static str) {
    let calls = if calls == 1 { "1 call".to_owned() } else { format!("{calls} calls") };
    if bar.is_hidden() {
        complain(format!("caly bench: {calls}: {what} ({})", clock::now().format("%H:%M:%S")));
    }
    bar.set_message(format!("{calls}: {what}"));
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

    fn parse(line: &str) -> Option<Arguments> {
        let arguments = Line::try_parse_from(["bench"].into_iter().chain(line.split_whitespace())).ok()?.arguments;
        arguments.check().is_ok().then_some(arguments)
    }

    #[test]
    fn the_arguments_are_checked() {
        let defaults = parse("").expect("the defaults");
        assert_eq!((defaults.calls.as_slice(), defaults.seconds, defaults.pin), (&[1, 10, 50][..], 40, true));
        let given = parse("--calls 2,3 --speech builtin --frame-ms 20 --pin false --no-record").expect("fine");
        assert_eq!((given.calls.as_slice(), given.frame_ms, given.pin), (&[2, 3][..], 20, false));
        for line in ["--calls 0", "--calls 501", "--calls x", "--seconds 0", "--frame-ms 50", "--speech none"] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
