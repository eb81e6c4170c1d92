//! The switchboard: live callers. It accepts the carrier's media socket, runs one task per call around the pure
//! `call::Call`, performs its effects with the providers, records both sides, keeps what must be kept, and drains.
//!
//! Architecture Invariant: a call is owned by one task. There is no lock around a call and none in it.
//!
//! Architecture Invariant: a media socket is accepted only with the one-time token that a webhook issued, and permits
//! are taken before the upgrade.

mod accept;
mod call_log;
mod keeper;
mod lateness;
pub mod live;
mod recall;
mod recorder;
mod services;
mod session;
mod spool;

pub use accept::{Clock, router};
pub use keeper::{Keeper, Pricing};
pub use recall::{Found as FoundPassage, RecallScope, StoreRecall};
pub use services::{BUILTIN, Clients, Services, SpeechModelFactory, SpeechParts};

use model::{CallId, TenantId};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Live events waiting for a slow watcher; it then misses some, the calls do not wait.
const LIVE_QUEUE: usize = 1_024;
/// Commands waiting for one call. People do not type faster; more means the call is stuck.
pub(crate) const COMMAND_QUEUE: usize = 16;
/// A live call's lease in the database. Renewed at a quarter of it; a dead node's calls are closed after it.
pub const LEASE: chrono::Duration = chrono::Duration::seconds(60);
/// Wishes to hang up are read this often: somebody watches and waits.
const HEED_EVERY: Duration = Duration::from_secs(1);
/// A quarter of [`LEASE`].
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// Calls opened at once: each asks the database twice and three vendors. A thousand that come together take their turns,
/// and those that are on the line do not notice.
const OPENINGS_MAX: usize = 8;
/// After the goodbye of a draining node, its calls have this long.
const GOODBYE: Duration = Duration::from_secs(17);

/// How the switchboard runs on this node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of this node in leases and jobs.
    pub node: String,
    /// Recordings being written, call logs.
    pub spool_dir: PathBuf,
    /// Where the inputs of calls are logged for `caly replay`; none = not logged.
    pub call_log_dir: Option<PathBuf>,
    /// Most live calls of this node.
    pub calls_max: usize,
    /// Offset of the businesses' local time from UTC, in seconds.
    pub local_offset_s: i32,
}

/// The shared part: what every session of this node can reach.
pub struct Switchboard {
    pub(crate) settings: Settings,
    pub(crate) services: Services,
    pub(crate) keeper: Keeper,
    pub(crate) spool: spool::Spool,
    pub(crate) permits: Arc<Semaphore>,
    /// Calls that may be opened at once.
    pub(crate) openings: Arc<Semaphore>,
    pub(crate) lateness: lateness::Lateness,
    pub(crate) live: broadcast::Sender<live::LiveEvent>,
    calls: Mutex<BTreeMap<CallId, LiveCall>>,
    tracker: TaskTracker,
    /// No new calls.
    draining: CancellationToken,
    /// End now.
    hard_stop: CancellationToken,
}

#[derive(Clone)]
struct LiveCall {
    tenant: TenantId,
    commands: mpsc::Sender<call::Command>,
}

impl Switchboard {
    /// Opens the board. `keeper` must be running.
    #[must_use]
    pub fn new(settings: Settings, services: Services, keeper: Keeper) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(settings.calls_max));
        let spool = spool::Spool::new(settings.calls_max);
        Arc::new(Self {
            settings,
            services,
            keeper,
            spool,
            permits,
            openings: Arc::new(Semaphore::new(OPENINGS_MAX)),
            lateness: lateness::Lateness::default(),
            live: broadcast::Sender::new(LIVE_QUEUE),
            calls: Mutex::default(),
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            hard_stop: CancellationToken::new(),
        })
    }

    /// What happens on the lines, for people who watch. A slow watcher misses events.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<live::LiveEvent> {
        self.live.subscribe()
    }

    /// How many calls are live.
    #[must_use]
    pub fn live_calls(&self) -> usize {
        self.calls().len()
    }

    /// New calls are refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Gives a live call of this tenant an order. False when there is no such call on this node or it does not listen.
    #[must_use]
    pub fn command(&self, tenant: TenantId, call: CallId, command: call::Command) -> bool {
        let live = self.calls().get(&call).filter(|live| live.tenant == tenant).cloned();
        live.is_some_and(|live| live.commands.try_send(command).is_ok())
    }

    /// Refuses new calls, lets live ones finish for `patience`, says goodbye to the rest, ends what remains.
    pub async fn drain(&self, patience: Duration) {
        self.draining.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_ok() {
            return;
        }
        for live in self.calls().values() {
            // A full queue means the call does not listen; the hard stop below ends it.
            let _ = live.commands.try_send(call::Command::Drain);
        }
        if tokio::time::timeout(GOODBYE, self.tracker.wait()).await.is_err() {
            self.stop_now().await;
        }
    }

    /// Ends every call at once, recordings and records closed properly.
    pub async fn stop_now(&self) {
        self.draining.cancel();
        self.hard_stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// What must go on as long as the node does: leases of its calls are renewed, wishes to hang up are heeded, and how late
    /// the node is is watched.
    pub async fn tend(&self, clock: impl Fn() -> chrono::DateTime<chrono::Utc>) {
        tokio::join!(self.renew_leases(clock), self.heed_hang_ups(), self.lateness.watch());
    }

    /// Renews the leases of this node's calls until the node ends.
    async fn renew_leases(&self, clock: impl Fn() -> chrono::DateTime<chrono::Utc>) {
        let mut interval = tokio::time::interval(RENEW_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if self.live_calls() == 0 {
                continue;
            }
            if let Err(error) = self.keeper.renew_leases(clock()).await {
                tracing::warn!(error = %error, "leases of live calls could not be renewed");
            }
        }
    }

    /// Ends the calls of this node that their people want to end, until the node ends. The wish is a row in the database,
    /// since it is told to whichever node was asked.
    async fn heed_hang_ups(&self) {
        let mut interval = tokio::time::interval(HEED_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if self.live_calls() == 0 {
                continue;
            }
            match self.keeper.hang_ups().await {
                // One that does not listen is asked again at the next tick.
                Ok(calls) => {
                    for (tenant, call) in calls {
                        let _ = self.command(tenant, call, call::Command::HangUp);
                    }
                }
                Err(error) => tracing::warn!(error = %error, "wishes to hang up could not be read"),
            }
        }
    }

    fn register(&self, call: CallId, tenant: TenantId) -> mpsc::Receiver<call::Command> {
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        self.calls().insert(call, LiveCall { tenant, commands });
        receiver
    }

    fn unregister(&self, call: CallId) {
        self.calls().remove(&call);
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, BTreeMap<CallId, LiveCall>> {
        // The map is valid between any two of its operations; a panic elsewhere does not spoil it.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
