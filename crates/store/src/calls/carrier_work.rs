//! What is left to jobs: asking a carrier to place a call, and asking it what became of one.

use crate::jobs::{self, Enqueued, NewJob};
use crate::{Error, Tx};
use chrono::{DateTime, Utc};
use model::CallId;
use serde_json::{Map, Value};

/// The job that has a carrier place a call.
pub const PLACE_JOB: &str = "place_call";
/// The job that asks a carrier for the details of a call until it is settled there.
pub const FOLLOW_JOB: &str = "follow_call";
/// Attempts at placing that fail on our side, such as at the database. With the runner's waits they last longer than a
/// call may wait for its order, so that the last of them end it.
const PLACE_ATTEMPTS_MAX: u32 = 12;
/// Questions that fail on our side; those that the carrier does not answer are not counted.
const FOLLOW_ATTEMPTS_MAX: u32 = 40;

/// Has a queued call placed, by any node, at once. In the transaction that creates it.
///
/// # Errors
/// When the database fails.
pub async fn enqueue_placing(tx: &mut Tx, call: CallId, now: DateTime<Utc>) -> Result<Enqueued, Error> {
    enqueue(tx, PLACE_JOB, PLACE_ATTEMPTS_MAX, call, now, now).await
}

/// Has the carrier asked for a call's details, by any node, not before `due_at`; nothing when somebody does so already.
/// Where there is no account at the carrier the job finds nobody to ask, and ends.
///
/// # Errors
/// When the database fails.
pub async fn enqueue_following(
    tx: &mut Tx,
    call: CallId,
    due_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Enqueued, Error> {
    enqueue(tx, FOLLOW_JOB, FOLLOW_ATTEMPTS_MAX, call, due_at, now).await
}

async fn enqueue(
    tx: &mut Tx,
    name: &'static str,
    attempts_max: u32,
    call: CallId,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Enqueued, Error> {
    let payload = Map::from_iter([
        ("tenant_id".to_owned(), Value::from(tx.tenant().to_string())),
        ("call_id".to_owned(), Value::from(call.to_string())),
    ]);
    let dedup_key = Some(call.to_string());
    let job = NewJob { queue: jobs::QUICK_QUEUE, name, dedup_key, payload, sealed: None, attempts_max, run_at };
    jobs::enqueue(tx, &job, now).await
}
