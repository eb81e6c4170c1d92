//! Measures a case: starts who answers, lets the callers call, looks at the server from outside.

use super::case::{CHURN_MS, Case, Profile, STORM_CALL, STORM_OVER, Shape, System};
use super::cores::Cores;
use super::outcome::{Facts, Looks, Run, Sample};
use super::server::{Scratch, Server, Usage};
use super::speech::Speech;
use super::{TurnEnd, database, setup, step};
use crate::config::Config;
use crate::demo_tenant;
use anyhow::{Context, bail};
use indicatif::ProgressBar;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::load::{Announce, Group, LEAD_MS, Life, Load, Order, Script, Target, VENDORS_MS};
use tokio::time::sleep_until;

/// After the last call has begun, so long until the window opens: the first turns have begun.
const SETTLE: Duration = Duration::from_secs(3);
/// What was said in the window is answered within this time after it, or not at all.
const ANSWERED_WITHIN: Duration = Duration::from_millis(3_500);
/// After that every caller has hung up, closed and reported within this time.
const CLOSED_WITHIN: Duration = Duration::from_secs(45);
/// Between two moves of the progress bar.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at the server's memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// The same in a long run, which keeps them.
const SOAK_SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Calm before the storm, within the window.
const CALM: Duration = Duration::from_secs(2);
/// Calls beyond those asked for that the server takes: one who calls again does so while the call before is put away.
const SPARE_CALLS: usize = 50;
/// The vendors' end of a turn, which silence of our own stands in for.
const VENDORS_END_MS: u64 = 100;

/// What all cases share.
pub(super) struct Bench<'a> {
    pub(super) config: &'a Config,
    pub(super) cores: Option<Cores>,
    pub(super) speech: &'a Speech,
}

/// One case under way.
struct Play<'a> {
    case: &'a Case,
    load: Load,
    target: Arc<Target>,
    server: Server,
    idle: Option<Usage>,
    bar: &'a ProgressBar,
    title: String,
}

/// What was seen while waiting.
#[derive(Default)]
struct Seen {
    peak_kib: u64,
    samples: Vec<Sample>,
}

impl Bench<'_> {
    /// The lines of the table that a case gives: one, or one for each step.
    ///
    /// # Errors
    /// When something it needs is missing, or the server ends.
    pub(super) async fn measure(&self, case: &Case, bar: &ProgressBar) -> anyhow::Result<Vec<Run>> {
        let title = case.title();
        step(bar, &title, "starting");
        let scratch = Scratch::create(&format!("{}-{}", case.profile.name(), case.calls()))?;
        let load = Load::start().context("the load cannot be started")?;
        let server = self.server(case, &scratch, load.vendors).await?;
        let target = Arc::new(self.target(case, &server)?);
        let idle = server.usage();
        let mut play = Play { case, load, target, server, idle, bar, title };
        let mut runs = match case.shape {
            Shape::Ramp => play.ramp().await?,
            Shape::Steady | Shape::Churn | Shape::Storm | Shape::Soak => vec![play.once().await?],
        };
        step(bar, &play.title, "hanging up");
        play.hang_up(&mut runs).await?;
        play.server.kill().await;
        if case.system == System::Caly
            && let Some(last) = runs.last_mut()
        {
            step(bar, &play.title, "reading the database");
            last.rows = Some(database::rows(&setup::own(self.config, scratch.path())).await?);
        }
        Ok(runs)
    }

    async fn server(&self, case: &Case, scratch: &Scratch, vendors: SocketAddr) -> anyhow::Result<Server> {
        let core = self.cores.map(|cores| cores.server);
        match case.system {
            System::Relay => Server::start_relay(scratch.path(), vendors, core).await,
            System::Caly => {
                let Case { profile, record, turn_end, pause_ms, .. } = *case;
                let how = setup::Stubbed { profile, vendors, record, turn_end, pause_ms };
                setup::stubbed(self.config, scratch.path(), &how).await?;
                let calls_max = case.calls_max.unwrap_or(case.at_once() + SPARE_CALLS);
                let settings = setup::with_vendors(scratch.path(), calls_max, vendors);
                Server::start(scratch.path(), &settings, core).await
            }
        }
    }

    fn target(&self, case: &Case, server: &Server) -> anyhow::Result<Target> {
        let address = server.address.strip_prefix("http://").and_then(|address| address.parse().ok());
        let announce = match (case.system, case.profile) {
            (System::Relay, _) => Announce::Direct { path: "/ws".to_owned() },
            (System::Caly, Profile::Exotel100 | Profile::Exotel20) => {
                Announce::Exotel { secret: SecretString::from(setup::WEBHOOK_SECRET) }
            }
            (System::Caly, Profile::Twilio20) => Announce::Twilio {
                path_token: setup::PATH_TOKEN.to_owned(),
                auth_token: SecretString::from(setup::AUTH_TOKEN),
            },
        };
        let (format, frame_ms) = (case.profile.format(), case.profile.frame_ms());
        Ok(Target {
            server: address.context("the server's address cannot be read")?,
            announce,
            number: demo_tenant::NUMBER.to_owned(),
            script: Script::new(format, frame_ms, &self.speech.utterance, &self.speech.barge_in),
            lead_ms: LEAD_MS,
        })
    }
}

impl Play<'_> {
    fn order(&self, group: Group, calls: usize, begins: Instant, over: Duration, life: Life) -> anyhow::Result<()> {
        if calls > 0 {
            self.load.order(Order { group, calls, begins, over, life, target: Arc::clone(&self.target) })?;
        }
        Ok(())
    }

    /// All shapes but the ramp.
    async fn once(&mut self) -> anyhow::Result<Run> {
        let case = self.case;
        let calls = case.calls();
        let (begins, over) = (Instant::now(), case.ramp(calls));
        let (min_ms, max_ms) = CHURN_MS;
        let renewed = Life::Renewed { min_ms, max_ms };
        let steady = match case.shape {
            Shape::Steady | Shape::Storm | Shape::Ramp => calls,
            Shape::Churn => 0,
            Shape::Soak => calls / 2,
        };
        self.order(Group::Live, steady, begins, over, Life::Open)?;
        self.order(Group::Live, calls - steady, begins, over, renewed)?;
        let opens = begins + over + SETTLE;
        let closes = opens + Duration::from_secs(case.seconds);
        self.load.window(opens, closes)?;
        if case.shape == Shape::Storm {
            let life = Life::Once { ms: STORM_CALL.as_millis() as u64 };
            self.order(Group::Storm, case.storm_calls, opens + CALM, STORM_OVER, life)?;
        }
        let mut seen = Seen::default();
        self.wait(opens, "calls begin", None, &mut seen).await?;
        let opened = self.server.usage();
        self.wait(closes, "measuring", Some(opens), &mut seen).await?;
        let closed = self.server.usage();
        self.wait(closes + ANSWERED_WITHIN, "last answers", None, &mut seen).await?;
        let looks = self.looks(opened, closed, &seen);
        let taken = self.load.take().await?;
        Ok(Run::new(self.facts(calls, case.seconds, seen.samples), looks.as_ref(), &taken))
    }

    /// One step after the other, until one does not hold.
    async fn ramp(&mut self) -> anyhow::Result<Vec<Run>> {
        let case = self.case;
        let mut runs: Vec<Run> = Vec::new();
        let mut live = 0;
        let mut steps = case.calls.clone();
        steps.sort_unstable();
        for calls in steps {
            let begins = Instant::now();
            let over = case.ramp(calls - live);
            self.order(Group::Live, calls - live, begins, over, Life::Open)?;
            live = calls;
            let opens = begins + over + SETTLE;
            let closes = opens + Duration::from_secs(case.seconds);
            self.load.window(opens, closes)?;
            let mut seen = Seen::default();
            self.wait(opens, &format!("up to {calls}"), None, &mut seen).await?;
            let opened = self.server.usage();
            self.wait(closes, &format!("measuring {calls}"), Some(opens), &mut seen).await?;
            let closed = self.server.usage();
            self.wait(closes + ANSWERED_WITHIN, "last answers", None, &mut seen).await?;
            let looks = self.looks(opened, closed, &seen);
            let taken = self.load.take().await?;
            let run = Run::new(self.facts(calls, case.seconds, Vec::new()), looks.as_ref(), &taken);
            let holds = run.holds();
            runs.push(run);
            if !holds {
                break;
            }
        }
        Ok(runs)
    }

    fn looks(&self, opens: Option<Usage>, closes: Option<Usage>, seen: &Seen) -> Option<Looks> {
        Some(Looks { idle: self.idle?, opens: opens?, closes: closes?, peak_kib: seen.peak_kib })
    }

    fn facts(&self, calls: usize, seconds: u64, samples: Vec<Sample>) -> Facts {
        let Case { system, profile, shape, record, turn_end, pause_ms, .. } = *self.case;
        let vendors_ms = match turn_end {
            TurnEnd::Transcriber => VENDORS_MS,
            TurnEnd::Silence => VENDORS_MS - VENDORS_END_MS + pause_ms,
        };
        let recorded = record && system == System::Caly;
        Facts { system, profile, shape, calls, recorded, window_s: seconds as f64, vendors_ms, samples }
    }

    /// Waits, says how it goes, and looks at the server.
    async fn wait(
        &mut self,
        until: Instant,
        what: &str,
        window: Option<Instant>,
        seen: &mut Seen,
    ) -> anyhow::Result<()> {
        step(self.bar, &self.title, what);
        let began = Instant::now();
        self.bar.set_length(until.saturating_duration_since(began).as_millis() as u64);
        let soak = self.case.shape == Shape::Soak;
        let every = if soak { SOAK_SAMPLE_EVERY } else { SAMPLE_EVERY };
        let mut next_sample = began;
        while Instant::now() < until {
            let now = Instant::now();
            if now >= next_sample {
                next_sample += every;
                self.sample(window.filter(|_| soak), seen);
            }
            self.bar.set_position(began.elapsed().as_millis() as u64);
            self.bar.set_message(format!("{}: {what}; {}", self.title, self.progress()));
            sleep_until(until.min(now + LOOK_EVERY).into()).await;
            self.server.still_runs()?;
        }
        Ok(())
    }

    fn sample(&self, window: Option<Instant>, seen: &mut Seen) {
        let Some(usage) = self.server.usage() else { return };
        seen.peak_kib = seen.peak_kib.max(usage.resident_kib);
        if let Some(opens) = window {
            let at_s = opens.elapsed().as_secs_f64();
            let live = self.load.progress.live();
            seen.samples.push(Sample { at_s, resident_kib: usage.resident_kib, files: usage.files, live });
        }
    }

    fn progress(&self) -> String {
        let progress = &self.load.progress;
        let mut said = format!("{} live, {} answers", progress.live(), progress.answers());
        for (count, what) in [(progress.gaps(), "gaps"), (progress.refused(), "refused"), (progress.errors(), "errors")]
        {
            if count > 0 {
                said = format!("{said}, {count} {what}");
            }
        }
        said
    }

    /// Ends all calls; what breaks now counts as well.
    async fn hang_up(&mut self, runs: &mut [Run]) -> anyhow::Result<()> {
        self.load.hang_up()?;
        let until = Instant::now() + CLOSED_WITHIN;
        while self.load.progress.lines() > 0 {
            if Instant::now() > until {
                bail!("{} calls did not end", self.load.progress.lines());
            }
            sleep_until((Instant::now() + LOOK_EVERY / 5).into()).await;
            self.server.still_runs()?;
        }
        // The counters are published some times a second.
        sleep_until((Instant::now() + LOOK_EVERY / 2).into()).await;
        let taken = self.load.take().await?;
        if let Some(run) = runs.last_mut() {
            let [live, storm] = &taken.groups;
            run.heard.errors += live.errors;
            run.heard.unanswered += live.unanswered;
            run.lived_s += live.lived_s + storm.lived_s;
            run.heard.notes.extend(live.notes.iter().cloned());
            if let Some(heard) = &mut run.storm {
                heard.errors += storm.errors;
                heard.notes.extend(storm.notes.iter().cloned());
            }
        }
        Ok(())
    }
}
