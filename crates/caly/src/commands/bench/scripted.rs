//! Calls with the built-in models: scripted callers on faithful telephones, as many as the models can serve.

use super::caller::Metered;
use super::cores::Cores;
use super::figures::{Figures, Window};
use super::report::{Report, Run, ServerFigures};
use super::server::{Scratch, Server, Usage};
use super::{Arguments, setup, step};
use crate::config::Config;
use anyhow::Context;
use indicatif::ProgressBar;
use secrecy::SecretString;
use std::time::Duration;
use testkit::caller::ScriptedCaller;
use testkit::carrier::{Announce, FakeExotel, Options};
use testkit::load::SAMPLE_RATE_HZ;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The calls begin spread over this time, as a rule, in seconds.
const RAMP_S: u64 = 5;
/// After the last call has begun, so long until the window opens: one turn of every caller.
const SETTLE: Duration = Duration::from_secs(6);
/// What was said in the window is answered within this time after it, or not at all: the models may be busy with other
/// callers.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// After that every caller has hung up and closed within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at the server's memory, and two moves of the progress bar.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest call.
const CALL_MAX: Duration = Duration::from_secs(7_200);

pub(super) struct Bench<'a> {
    pub(super) config: &'a Config,
    pub(super) arguments: &'a Arguments,
    pub(super) cores: Option<Cores>,
    pub(super) caller: ScriptedCaller,
    pub(super) calls: &'a [usize],
    pub(super) frame_ms: u64,
    pub(super) seconds: u64,
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
    pub(super) async fn measure(&self, report: &mut Report) -> anyhow::Result<()> {
        for calls in self.calls {
            let bar = super::bar();
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
        step(bar, &format!("{calls} calls"), "starting the server");
        let scratch = Scratch::create(&calls.to_string())?;
        setup::clinic(self.config, scratch.path(), self.arguments.record).await?;
        let settings = setup::with_models(self.config, scratch.path(), calls);
        let mut server = Server::start(scratch.path(), &settings, self.cores.map(|cores| cores.server)).await?;
        let idle = server.usage();
        let plan = self.plan();
        let mut lines = self.place_calls(calls, &server.address, plan);
        bar.set_length((plan.hang_up_at - plan.begins).as_millis() as u64);
        let watched = watch(&mut server, plan, bar, calls).await?;
        step(bar, &format!("{calls} calls"), "hanging up");
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
            share = Some((own_closes.cpu_s() - own_opens.cpu_s()) / self.seconds as f64);
        }
        Run::new(calls, figures, server, share)
    }

    fn plan(&self) -> Plan {
        let begins = Instant::now();
        let opens = begins + Duration::from_secs(self.arguments.ramp_s.unwrap_or(RAMP_S)) + SETTLE;
        let closes = opens + Duration::from_secs(self.seconds);
        Plan { begins, window: Window { opens, closes }, hang_up_at: closes + ANSWERED_WITHIN }
    }

    /// A task for each line, the first calls spread over the ramp.
    fn place_calls(&self, calls: usize, address: &str, plan: Plan) -> JoinSet<Figures> {
        let secret = SecretString::from(setup::WEBHOOK_SECRET);
        let mut options = Options::new(address, Announce::Signed { secret });
        options.frame_ms = self.frame_ms;
        options.sample_rate_hz = SAMPLE_RATE_HZ;
        options.call_max = CALL_MAX;
        let carrier = FakeExotel::new(options);
        let ramp = Duration::from_secs(self.arguments.ramp_s.unwrap_or(RAMP_S));
        let mut lines = JoinSet::new();
        for index in 0..calls {
            let begins = plan.begins + ramp * index as u32 / calls as u32;
            lines.spawn(line(carrier.clone(), self.caller.clone(), plan, begins));
        }
        lines
    }
}

/// One telephone: call after call until the window is over, or one fails.
async fn line(carrier: FakeExotel, caller: ScriptedCaller, plan: Plan, begins: Instant) -> Figures {
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
        step(bar, &format!("{calls} calls"), what);
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
