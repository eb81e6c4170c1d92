//! The runner: claims due jobs for a while, runs a few at once, says how they went. A runner that dies loses its
//! leases, and another takes its jobs.

use crate::errand;
use crate::job::{Context, Job, JobError};
use crate::store_recording::StoreRecording;
use chrono::Duration as Span;
use providers::resilience::random01;
use std::sync::Arc;
use std::time::Duration;
use store::errands::{ERRAND_JOB, Errand};
use store::jobs::{self, JobState};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A claim lasts this long unless renewed; a dead runner's job is taken up by another after it.
const LEASE: Duration = Duration::from_secs(60);
/// Claims are renewed this often while a job runs.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Longest run of one job. An upload of the longest recording over a slow line fits.
const RUN_DEADLINE: Duration = Duration::from_secs(900);
/// Jobs at once. They wait for the network mostly; more would crowd the calls' own traffic.
const JOBS_AT_ONCE: usize = 4;
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
    queues: Vec<String>,
    room: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl Runner {
    /// For the queues that any node serves and this node's own. `owner` is unique to this process.
    #[must_use]
    pub fn new(context: Context, node: &str, owner: String) -> Self {
        let queues = vec!["default".to_owned(), format!("node:{node}")];
        Self { context, owner, queues, room: Arc::new(Semaphore::new(JOBS_AT_ONCE)), tracker: TaskTracker::new() }
    }

    /// Runs jobs until `stop`; those under way are finished.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let claimed = self.claim_and_start().await;
            if claimed == 0 {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.context.wake.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Runs every job that is due now; for tests and for the end of a demo. How many ran.
    pub async fn run_due(&self) -> usize {
        let mut ran = 0;
        loop {
            let claimed = self.claim_and_start().await;
            if claimed == 0 && self.room.available_permits() == JOBS_AT_ONCE {
                return ran;
            }
            ran += claimed;
            // All permits back: everything claimed so far is done.
            if let Ok(all) = self.room.acquire_many(u32::try_from(JOBS_AT_ONCE).unwrap_or(u32::MAX)).await {
                drop(all);
            }
        }
    }

    async fn claim_and_start(&self) -> usize {
        let free = self.room.available_permits();
        if free == 0 {
            // Waiting for room is waiting for work to end; the permit is given back at once.
            drop(self.room.acquire().await);
            return 0;
        }
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let now = self.context.now();
        let queues: Vec<&str> = self.queues.iter().map(String::as_str).collect();
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
            let Ok(permit) = self.room.clone().try_acquire_owned() else { break };
            let (context, owner) = (self.context.clone(), self.owner.clone());
            self.tracker.spawn(async move {
                Box::pin(run_one(&context, &owner, job)).await;
                drop(permit);
            });
        }
        count
    }
}

async fn run_one(context: &Context, owner: &str, job: jobs::Job) {
    let (id, name, attempts) = (job.id, job.name.clone(), job.attempts);
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
        .system("jobs.ended", async |tx| match &outcome {
            Ok(()) => jobs::complete(tx, id, owner, now).await.map(|_| Some(JobState::Done)),
            Err(JobError::Retry(error)) => {
                jobs::retry(tx, id, owner, error, now + backoff(attempts, random01()), now).await
            }
            Err(JobError::Fail(error)) => jobs::dead(tx, id, owner, error, now).await.map(|_| Some(JobState::Dead)),
        })
        .await;
    match (&outcome, noted) {
        (Ok(()), Ok(_)) => tracing::info!(job.id = %id, job.name = %name, attempts, "job done"),
        (Err(error), Ok(Some(JobState::Dead))) => {
            tracing::error!(job.id = %id, job.name = %name, attempts, error = error.text(), "job given up");
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
    let job: J = serde_json::from_value(payload).map_err(|error| JobError::Fail(format!("its payload: {error}")))?;
    job.run(context).await
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
