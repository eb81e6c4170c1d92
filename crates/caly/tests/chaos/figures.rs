//! What a round was like, for `docs/measurements.md`.

use crate::killer::Aim;
use crate::place::Place;
use crate::round::Round;
use crate::scene::Scene;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// See the module.
pub(crate) struct Figures {
    pub(crate) database: &'static str,
    pub(crate) round: Round,
    began: Instant,
    restarts: Vec<Duration>,
    aims: BTreeMap<Aim, u32>,
    /// By what had to be put right after the last start.
    pub(crate) settled: Vec<(&'static str, Option<Duration>)>,
    /// Recordings by what became of them.
    pub(crate) recordings: BTreeMap<String, u32>,
    /// Events received, and those that came more than once.
    pub(crate) events: (usize, usize),
    /// Jobs, and those that were claimed more than once.
    pub(crate) jobs: (usize, usize),
    calls: usize,
    webhooks: (u64, u64),
    /// How long webhooks took that were answered, in order, ms.
    pub(crate) answered_ms: Vec<u64>,
}

impl Figures {
    pub(crate) fn new(round: Round, place: &Place) -> Self {
        Self {
            database: if place.is_postgres() { "PostgreSQL" } else { "SQLite" },
            round,
            began: Instant::now(),
            restarts: Vec::new(),
            aims: BTreeMap::new(),
            settled: Vec::new(),
            recordings: BTreeMap::new(),
            events: (0, 0),
            jobs: (0, 0),
            calls: 0,
            webhooks: (0, 0),
            answered_ms: Vec::new(),
        }
    }

    pub(crate) fn started(&mut self, took: Duration) {
        self.restarts.push(took);
    }

    pub(crate) fn aimed(&mut self, aim: Aim) {
        *self.aims.entry(aim).or_default() += 1;
    }

    pub(crate) fn count(&mut self, scene: &Scene<'_>) {
        let kept = scene.ledger.kept();
        self.calls = kept.calls.len();
        self.webhooks = (kept.webhooks, kept.unanswered);
        self.answered_ms.clone_from(&kept.answered_ms);
        self.answered_ms.sort_unstable();
    }

    /// Progress.
    #[expect(clippy::print_stderr, reason = "somebody waits for minutes")]
    pub(crate) fn tell(&mut self, scene: &Scene<'_>) {
        self.count(scene);
        eprintln!(
            "{}: {} of {} kills, {} calls, {} webhooks, {:.0} s",
            self.database,
            scene.kills(),
            self.round.kills,
            self.calls,
            self.webhooks.0,
            self.began.elapsed().as_secs_f64()
        );
    }

    /// Everything.
    #[expect(clippy::print_stderr, reason = "the figures are what `make chaos` is for")]
    pub(crate) fn show(&mut self) {
        self.restarts.sort();
        let middle = self.restarts.get(self.restarts.len() / 2).copied().unwrap_or_default();
        let longest = self.restarts.last().copied().unwrap_or_default();
        let put_right = self.settled.iter().map(|(what, at)| match at {
            Some(at) => format!("{what} {:.1} s", at.as_secs_f64()),
            None => format!("{what} NEVER"),
        });
        eprintln!(
            "{}, seed {}: {} kills {:?}, {} calls, {} webhooks ({} sent again; answered after p50 {} ms, max {} ms), recordings {:?}, {} events ({} twice), \
             {} jobs ({} claimed again), restart p50 {} ms, max {} ms, put right: {}, {:.0} s in all",
            self.database,
            self.round.seed,
            self.aims.values().sum::<u32>(),
            self.aims,
            self.calls,
            self.webhooks.0,
            self.webhooks.1,
            self.answered_ms.get(self.answered_ms.len() / 2).copied().unwrap_or_default(),
            self.answered_ms.last().copied().unwrap_or_default(),
            self.recordings,
            self.events.0,
            self.events.1,
            self.jobs.0,
            self.jobs.1,
            middle.as_millis(),
            longest.as_millis(),
            put_right.collect::<Vec<_>>().join(", "),
            self.began.elapsed().as_secs_f64()
        );
    }
}
