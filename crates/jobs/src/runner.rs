//! The runner: claims due jobs for a while, runs a few at once, says how they went. A runner that dies loses its
//! leases, and another takes its jobs.

use crate::analyze_call::AnalyzeCall;
use crate::errand;
use crate::fetch_recording::{FetchRecording, ThisJob};
use crate::follow_call::FollowCall;
use crate::index_document::IndexDocument;
use crate::job::{Context, Job, JobError};
use crate::place_call::PlaceCall;
use crate::store_recording::StoreRecording;
use chrono::Duration as Span;
use providers::resilience::random01;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use store::call_records::ANALYSIS_QUEUE;
use store::errands::{ERRAND_JOB, Errand};
use store::jobs::{self, DEFAULT_QUEUE, JobState, QUICK_QUEUE};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A claim lasts this long unless renewed; a dead runner's job is taken up by another after it.
const LEASE: Duration = Duration::from_secs(60);
/// Claims are renewed this often while a job runs.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Longest run of one job. Fetching the longest recording over a slow line, decoding and uploading it fits.
const RUN_DEADLINE: Duration = Duration::from_secs(1_800);
/// Jobs at once that move files. They wait for the network mostly; more would crowd the calls' own traffic.
const FILES_AT_ONCE: usize = 4;
/// Quick jobs at once, in places of their own. Each is a small request or two: a carrier that lets four orders hang for
/// their 15 s leaves room for mails.
const QUICK_AT_ONCE: usize = 8;
/// Analyses of calls at once, in places of their own: each waits for a language model, a minute and a half at most.
const ANALYSES_AT_ONCE: usize = 4;
/// The database is asked for due jobs this often when there are none.
const POLL: Duration = Duration::from_millis(1_000);
/// Wait before the second attempt; it doubles with each.
const BACKOFF_FIRST_S: i64 = 2;
/// Longest wait between attempts.
const BACKOFF_MAX_S: i64 = 3_600;

/// Runs this node's jobs.
pub struct Runner {
    context: Context,
    /// This process, in leases.
    owner: String,
    /// How leases of this node's processes begin.
    node_prefix: String,
    lanes: [Lane; 3],
    /// A job of a full lane has ended.
    room: Arc<Notify>,
    tracker: TaskTracker,
}

/// Queues whose jobs share places.
struct Lane {
    queues: Vec<String>,
    at_once: usize,
    places: Arc<Semaphore>,
}

impl Lane {
    fn new(queues: Vec<String>, at_once: usize) -> Self {
        Self { queues, at_once, places: Arc::new(Semaphore::new(at_once)) }
    }
}

impl Runner {
    /// For the queues that any node serves and this node's own. `owner` is unique to this process, and begins with the
    /// node's name and a slash.
    #[must_use]
    pub fn new(context: Context, node: &str, owner: String) -> Self {
        let quick = Lane::new(vec![QUICK_QUEUE.to_owned()], QUICK_AT_ONCE);
        let files = Lane::new(vec![DEFAULT_QUEUE.to_owned(), format!("node:{node}")], FILES_AT_ONCE);
        let analyses = Lane::new(vec![ANALYSIS_QUEUE.to_owned()], ANALYSES_AT_ONCE);
        let node_prefix = format!("{node}/");
        let room = Arc::new(Notify::new());
        Self { context, owner, node_prefix, lanes: [quick, files, analyses], room, tracker: TaskTracker::new() }
    }

    /// Runs jobs until `stop`; those under way are finished.
    pub async fn run(self, stop: CancellationToken) {
        self.release().await;
        while !stop.is_cancelled() {
            let claimed = self.claim_and_start().await;
            if claimed == 0 {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.context.wake.notified() => {}
                    () = self.room.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Frees what earlier processes of this node held when they died: it is taken up now, not when their leases are over.
    /// Before anything is claimed.
    pub async fn release(&self) {
        let now = self.context.now();
        let released = self
            .context
            .store
            .system("jobs.release_node", async |tx| jobs::release_node(tx, &self.node_prefix, now).await)
            .await;
        match released {
            Ok(0) => {}
            Ok(released) => tracing::info!(released, "jobs of this node's earlier run are taken up again"),
            // Their leases end by themselves.
            Err(error) => tracing::warn!(error = %error, "jobs of this node's earlier run could not be freed"),
        }
    }

    /// Runs every job that is due now; for tests and for the end of a demo. How many ran.
    pub async fn run_due(&self) -> usize {
        let mut ran = 0;
        loop {
            let claimed = self.claim_and_start().await;
            if claimed == 0 && self.lanes.iter().all(|lane| lane.places.available_permits() == lane.at_once) {
                return ran;
            }
            ran += claimed;
            // All places free: everything claimed so far is done.
            for lane in &self.lanes {
                if let Ok(all) = lane.places.acquire_many(u32::try_from(lane.at_once).unwrap_or(u32::MAX)).await {
                    drop(all);
                }
            }
        }
    }

    /// Starts what is due, as far as there are places. How many.
    async fn claim_and_start(&self) -> usize {
        let mut count = 0;
        for lane in &self.lanes {
            count += self.fill(lane).await;
        }
        count
    }

    async fn fill(&self, lane: &Lane) -> usize {
        let free = lane.places.available_permits();
        if free == 0 {
            return 0;
        }
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let now = self.context.now();
        let queues: Vec<&str> = lane.queues.iter().map(String::as_str).collect();
        let claimed = self
            .context
            .store
            .system("jobs.claim", async |tx| jobs::claim(tx, &queues, &self.owner, now, span(LEASE), limit).await)
            .await;
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(error = %error, "no jobs could be claimed");
                return 0;
            }
        };
        let count = claimed.len();
        for job in claimed {
            // Only this runner takes places, one lane after the other.
            let Ok(place) = lane.places.clone().try_acquire_owned() else { break };
            let (context, owner, room) = (self.context.clone(), self.owner.clone(), self.room.clone());
            self.tracker.spawn(async move {
                Box::pin(run_one(&context, &owner, job)).await;
                let was_full = place.semaphore().available_permits() == 0;
                drop(place);
                if was_full {
                    room.notify_one();
                }
            });
        }
        count
    }
}

async fn run_one(context: &Context, owner: &str, job: jobs::Job) {
    let (id, name, attempts) = (job.id, job.name.clone(), job.attempts);
    let this = jobs::Job { secret: None, ..job.clone() };
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(RUN_DEADLINE, dispatch(context, job)) => {
            outcome.unwrap_or_else(|_| Err(JobError::Retry("it took too long".to_owned())))
        }
        () = keep_lease(context, owner, id) => {
            tracing::warn!(job.id = %id, job.name = %name, "the lease of a job was lost; another runner has it");
            return;
        }
    };
    let now = context.now();
    let noted = context
        .store
        .system("jobs.ended", async |tx| {
            let state = match &outcome {
                Ok(()) => jobs::complete(tx, id, owner, now).await?.then_some(JobState::Done),
                Err(JobError::Wait(wait, reason)) => {
                    jobs::wait(tx, id, owner, reason, now + *wait, now).await?.then_some(JobState::Queued)
                }
                Err(JobError::Retry(error)) => {
                    jobs::retry(tx, id, owner, error, now + backoff(attempts, random01()), now).await?
                }
                Err(JobError::Fail(error)) => jobs::dead(tx, id, owner, error, now).await?.then_some(JobState::Dead),
            };
            if state == Some(JobState::Dead) {
                jobs::given_up(tx, &this, now).await?;
            }
            Ok::<_, store::Error>(state)
        })
        .await;
    match (&outcome, noted) {
        (Ok(()), Ok(_)) => tracing::info!(job.id = %id, job.name = %name, attempts, "job done"),
        (Err(error), Ok(Some(JobState::Dead))) => {
            tracing::error!(job.id = %id, job.name = %name, attempts, error = error.text(), "job given up");
        }
        (Err(JobError::Wait(wait, reason)), Ok(_)) => {
            tracing::info!(job.id = %id, job.name = %name, wait_s = wait.num_seconds(), reason, "job waits");
        }
        (Err(error), Ok(_)) => {
            tracing::warn!(job.id = %id, job.name = %name, attempts, error = error.text(), "job failed; it is tried again");
        }
        (_, Err(error)) => {
            tracing::error!(job.id = %id, job.name = %name, error = %error, "the end of a job could not be kept");
        }
    }
}

async fn dispatch(context: &Context, job: jobs::Job) -> Result<(), JobError> {
    match job.name.as_str() {
        StoreRecording::NAME => run_as::<StoreRecording>(context, job.payload).await,
        FetchRecording::NAME => {
            let this = ThisJob { id: job.id, created_at: job.created_at };
            parse::<FetchRecording>(job.payload)?.run(context, this).await
        }
        AnalyzeCall::NAME => {
            let this = ThisJob { id: job.id, created_at: job.created_at };
            parse::<AnalyzeCall>(job.payload)?.run(context, this).await
        }
        PlaceCall::NAME => run_as::<PlaceCall>(context, job.payload).await,
        FollowCall::NAME => run_as::<FollowCall>(context, job.payload).await,
        IndexDocument::NAME => run_as::<IndexDocument>(context, job.payload).await,
        ERRAND_JOB => {
            let secret = job.secret.ok_or_else(|| JobError::Fail("the errand has no contents".to_owned()))?;
            let errand: Errand = serde_json::from_value(secret)
                .map_err(|_| JobError::Fail("the errand's contents cannot be read".to_owned()))?;
            errand::run(context, errand).await
        }
        other => Err(JobError::Fail(format!("no job is named {other}"))),
    }
}

async fn run_as<J: Job>(context: &Context, payload: serde_json::Value) -> Result<(), JobError> {
    parse::<J>(payload)?.run(context).await
}

fn parse<J: DeserializeOwned>(payload: serde_json::Value) -> Result<J, JobError> {
    serde_json::from_value(payload).map_err(|error| JobError::Fail(format!("its payload: {error}")))
}

/// Returns when the lease is lost.
async fn keep_lease(context: &Context, owner: &str, id: model::JobId) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let now = context.now();
        let kept = context
            .store
            .system("jobs.heartbeat", async |tx| jobs::heartbeat(tx, id, owner, now, span(LEASE)).await)
            .await;
        // A database that is away for a moment is no lost lease: the next beat tells.
        if matches!(kept, Ok(false)) {
            return;
        }
    }
}

/// Doubling, between half and the whole of it at random, so that what failed together does not return together.
fn backoff(attempts: u32, random01: f64) -> Span {
    let doubled =
        BACKOFF_FIRST_S.saturating_mul(1i64.checked_shl(attempts.saturating_sub(1).min(20)).unwrap_or(i64::MAX));
    let whole_ms = doubled.min(BACKOFF_MAX_S) * 1_000;
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "an hour in ms is far below 2^52")]
    let random_ms = (whole_ms as f64 / 2.0 * random01.clamp(0.0, 1.0)) as i64;
    Span::milliseconds(whole_ms / 2 + random_ms)
}

fn span(duration: Duration) -> Span {
    Span::from_std(duration).unwrap_or(Span::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_and_ends() {
        for (attempts, low_s, high_s) in [(1, 1, 2), (2, 2, 4), (3, 4, 8), (10, 512, 1_024), (30, 1_800, 3_600)] {
            assert_eq!(backoff(attempts, 0.0).num_seconds(), low_s, "attempt {attempts}");
            assert_eq!(backoff(attempts, 1.0).num_seconds(), high_s, "attempt {attempts}");
        }
        assert!(backoff(u32::MAX, f64::NAN) <= Span::seconds(BACKOFF_MAX_S));
    }
}
