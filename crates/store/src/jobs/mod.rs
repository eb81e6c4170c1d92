//! Jobs: work for later. Enqueued in the transaction of the change that needs it; claimed under a lease by one runner at
//! a time; what a runner does after losing its lease has no effect. A job may run more than once: jobs are idempotent.

use crate::row_security::Identity;
use crate::sql::{Row, sql, statements};
use crate::vault::{self, Place};
use crate::{AnyTx, Error, Page, PageRequest, SystemTx, Tx, call_records, calls, documents, ids, recordings};
use chrono::{DateTime, Duration, Utc};
use model::{JobId, TenantId};
use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;
use std::fmt;
use std::str::FromStr;

/// What is soon done and waited for: placing calls, asking about them, mails. Runners keep places for it, so that it never
/// stands behind files.
pub const QUICK_QUEUE: &str = "quick";
/// Everything else that any node can do.
pub const DEFAULT_QUEUE: &str = "default";
/// Queues that one claim looks at.
pub const QUEUES_MAX: usize = 8;
/// Jobs that one claim takes.
const CLAIM_MAX: u32 = 100;
/// Kept of an error's text, in characters.
const ERROR_CHARS_MAX: usize = 1_000;
/// [`enqueue`] looks for the job in its way this often; each time in between that job must have ended.
const DEDUP_LOOKS_MAX: usize = 3;

macro_rules! columns {
    () => {
        "id, tenant_id, queue, name, dedup_key, payload, attempts, attempts_max, run_at, lease_owner, lease_until, state,
        last_error, created_at, updated_at, sealed"
    };
}

// A job belongs to a lease owner; where the transaction is a tenant's, it must be that tenant's too.
macro_rules! held {
    () => {
        "id = $1 and lease_owner = $2 and state = 'running' and (tenant_id = $3 or $3 is null)"
    };
}

mod own;

pub(crate) use own::STATEMENTS as OWN_STATEMENTS;
pub use own::{discard_own, get_own, list_own, requeue_own};

statements! {
    ENQUEUE = "jobs.enqueue" ["insert into jobs
        (id, tenant_id, queue, name, dedup_key, payload, attempts, attempts_max, run_at, state, created_at, updated_at,
            sealed)
        values ($1, $2, $3, $4, $5, $6, 0, $7, $8, 'queued', $9, $9, $10)
        on conflict (name, dedup_key) where state in ('queued', 'running') do nothing returning id"];
    EXISTING = "jobs.existing" ["select id from jobs
        where name = $1 and dedup_key = $2 and state in ('queued', 'running')"];
    BURY_LOST = "jobs.bury_lost" ["with lost as (
            select id from jobs where state = 'running' and lease_until <= $1 and attempts >= attempts_max"] skip_locked [")
        update jobs set state = 'dead', last_error = 'the runner was lost', lease_owner = null, lease_until = null,
            updated_at = $1
        where id in (select id from lost) returning ", columns!()];
    CLAIM = "jobs.claim" ["with candidates as (
            select id from jobs
            where queue in ($4, $5, $6, $7, $8, $9, $10, $11)
              and ((state = 'queued' and run_at <= $1)
                or (state = 'running' and lease_until <= $1 and attempts < attempts_max))
            order by run_at, id limit $12"] skip_locked [")
        update jobs set state = 'running', attempts = attempts + 1, lease_owner = $2, lease_until = $3, updated_at = $1
        where id in (select id from candidates) returning ", columns!()];
    HEARTBEAT = "jobs.heartbeat" ["update jobs set lease_until = $4 where ", held!()];
    COMPLETE = "jobs.complete" ["update jobs
        set state = 'done', lease_owner = null, lease_until = null, last_error = null, sealed = null, updated_at = $4
        where ", held!()];
    RETRY = "jobs.retry" ["update jobs
        set state = case when attempts >= attempts_max then 'dead' else 'queued' end,
            run_at = $4, last_error = $5, lease_owner = null, lease_until = null, updated_at = $6
        where ", held!(), " returning state"];
    WAIT = "jobs.wait" ["update jobs
        set state = 'queued', attempts = attempts - 1, run_at = $4, last_error = $5, lease_owner = null,
            lease_until = null, updated_at = $6
        where ", held!()];
    RELEASE_NODE = "jobs.release_node" ["update jobs set lease_until = $2
        where state = 'running' and substr(lease_owner, 1, length($1)) = $1 and lease_until > $2"];
    DEAD = "jobs.dead" ["update jobs
        set state = 'dead', last_error = $4, lease_owner = null, lease_until = null, updated_at = $5
        where ", held!()];
    GET = "jobs.get" ["select ", columns!(), " from jobs where id = $1"];
    LIST = "jobs.list" ["select ", columns!(), " from jobs
        where (state = $1 or $1 is null) and (queue = $2 or $2 is null) and (created_at, id) < ($3, $4)
        order by created_at desc, id desc limit $5"];
    REQUEUE = "jobs.requeue" ["update jobs set state = 'queued', attempts = 0, run_at = $2, updated_at = $2, payload = $3
        where id = $1 and state = 'dead'"];
    AMEND = "jobs.amend" ["update jobs set payload = $3
        where tenant_id = $1 and id = $2 and state in ('queued', 'running')"];
    COUNTS = "jobs.counts" ["select queue, name, state, count(*) as n, min(run_at) as oldest_run_at from jobs
        group by queue, name, state order by queue, name, state"];
    PURGE = "jobs.purge" ["delete from jobs where state in ('done', 'discarded') and updated_at < $1"];
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// To be run, at or after its time.
    Queued,
    /// A runner has it.
    Running,
    /// Carried out.
    Done,
    /// Given up.
    Dead,
    /// Given up, and taken off the list by somebody.
    Discarded,
}

impl JobState {
    /// Every value, in order.
    pub const ALL: &'static [Self] = &[Self::Queued, Self::Running, Self::Done, Self::Dead, Self::Discarded];

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|s| s.as_str() == word).ok_or_else(|| format!("unknown job state: {word}"))
    }
}

/// A job. Printing it does not print what it is about.
#[derive(Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose it is; `None` for the house's own.
    pub tenant: Option<TenantId>,
    /// Which runners take it.
    pub queue: String,
    /// What is to be done.
    pub name: String,
    /// At most one unfinished job of this name has this key.
    pub dedup_key: Option<String>,
    /// With what: a JSON object.
    pub payload: serde_json::Value,
    /// The sealed part, opened. Only a claimed job has it; it goes when the job is done.
    pub secret: Option<serde_json::Value>,
    /// How often it was claimed, this time included.
    pub attempts: u32,
    /// How often it may be.
    pub attempts_max: u32,
    /// Not before.
    pub run_at: DateTime<Utc>,
    /// Who has it.
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_until: Option<DateTime<Utc>>,
    /// Where it stands.
    pub state: JobState,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its row last changed, heartbeats aside.
    pub updated_at: DateTime<Utc>,
}

/// A job to enqueue. Printing it does not print what it is about.
#[derive(Clone)]
pub struct NewJob<'a> {
    /// Which runners take it.
    pub queue: &'a str,
    /// What is to be done.
    pub name: &'static str,
    /// With a key, a second one is not enqueued while the first is unfinished (queued or running). Put an id into it:
    /// keys are not per tenant.
    pub dedup_key: Option<String>,
    /// With what.
    pub payload: serde_json::Map<String, serde_json::Value>,
    /// What of it must not be readable in the database: codes, links with tokens.
    pub sealed: Option<serde_json::Value>,
    /// How often it may be claimed.
    pub attempts_max: u32,
    /// Not before.
    pub run_at: DateTime<Utc>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("queue", &self.queue)
            .field("attempts", &self.attempts)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NewJob<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob").field("name", &self.name).field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// What [`enqueue`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// A new job.
    New(JobId),
    /// One with this key is unfinished.
    Existing(JobId),
}

/// Jobs of one name in one queue and one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCount {
    /// The queue.
    pub queue: String,
    /// What is to be done.
    pub name: String,
    /// The state.
    pub state: JobState,
    /// How many.
    pub count: u64,
    /// The earliest time of theirs: of `Queued`, how far behind the runners are.
    pub oldest_run_at: DateTime<Utc>,
}

fn job(row: &Row) -> Result<Job, Error> {
    Ok(Job {
        id: row.id("id")?,
        tenant: row.id_opt("tenant_id")?,
        queue: row.get("queue")?,
        name: row.get("name")?,
        dedup_key: row.get("dedup_key")?,
        payload: row.get("payload")?,
        secret: None,
        attempts: row.unsigned("attempts")?,
        attempts_max: row.unsigned("attempts_max")?,
        run_at: row.get("run_at")?,
        lease_owner: row.get("lease_owner")?,
        lease_until: row.get("lease_until")?,
        state: row.word("state")?,
        last_error: row.get("last_error")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Adds a job to the transaction: it exists when the change exists. In a tenant's transaction it is the tenant's.
///
/// # Errors
/// [`Error::Conflict`] when the sealed part is longer than 64 KiB; when the database fails.
pub async fn enqueue(tx: &mut impl AnyTx, new: &NewJob<'_>, now: DateTime<Utc>) -> Result<Enqueued, Error> {
    let id = ids::new(now)?;
    let sealed = match &new.sealed {
        None => None,
        Some(value) => {
            let text = Zeroizing::new(value.to_string());
            Some(vault::seal_as(tx.raw(), None, sealed_place(id), text.as_bytes(), now).await?)
        }
    };
    for _ in 0..DEDUP_LOOKS_MAX {
        let inserted = sql(&ENQUEUE)
            .bind(id)
            .bind(tx.tenant_if_any())
            .bind(new.queue)
            .bind(new.name)
            .bind(new.dedup_key.as_deref())
            .bind(serde_json::Value::Object(new.payload.clone()))
            .bind(new.attempts_max.max(1))
            .bind(new.run_at)
            .bind(now)
            .bind(sealed.clone())
            .one(tx, |row| row.id("id"))
            .await?;
        if let Some(id) = inserted {
            return Ok(Enqueued::New(id));
        }
        // Keys are not per tenant: the job in the way may be one that this tenant does not see.
        let mut system = tx.raw().acting(Identity::System);
        let existing =
            sql(&EXISTING).bind(new.name).bind(new.dedup_key.as_deref()).one(&mut system, |row| row.id("id")).await?;
        if let Some(id) = existing {
            return Ok(Enqueued::Existing(id));
        }
    }
    Err(Error::Busy)
}

/// Takes due jobs of these queues (at most eight), oldest first, for `owner` until `now + lease`; also those whose
/// runner was lost. A lost job that has no attempt left is dead instead.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut SystemTx,
    queues: &[&str],
    owner: &str,
    now: DateTime<Utc>,
    lease: Duration,
    limit: u32,
) -> Result<Vec<Job>, Error> {
    if queues.len() > QUEUES_MAX {
        return Err(Error::Conflict("too many queues in one claim"));
    }
    let Some(first) = queues.first() else {
        return Ok(Vec::new());
    };
    for lost in sql(&BURY_LOST).bind(now).all(tx, job).await? {
        given_up(tx, &lost, now).await?;
    }
    let mut claim = sql(&CLAIM).bind(now).bind(owner).bind(now + lease);
    for index in 0..QUEUES_MAX {
        claim = claim.bind(*queues.get(index).unwrap_or(first));
    }
    let mut claimed = claim.bind(limit.clamp(1, CLAIM_MAX)).all(tx, |row| Ok((job(row)?, row.get("sealed")?))).await?;
    claimed.sort_by_key(|(job, _)| (job.run_at, job.id));
    let mut jobs = Vec::with_capacity(claimed.len());
    for (mut job, sealed) in claimed {
        match open_secret(tx, job.id, sealed).await {
            Ok(secret) => {
                job.secret = secret;
                jobs.push(job);
            }
            // One such job must not keep the others from being run.
            Err(Error::Broken(_)) => {
                dead(tx, job.id, owner, "its sealed part does not open", now).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(jobs)
}

fn sealed_place(job: uuid::Uuid) -> Place {
    Place { table: "jobs", column: "sealed", row: job }
}

async fn open_secret(
    tx: &mut SystemTx,
    job: JobId,
    sealed: Option<Vec<u8>>,
) -> Result<Option<serde_json::Value>, Error> {
    let Some(sealed) = sealed else { return Ok(None) };
    let opened = vault::open(tx, sealed_place(job.into()), &sealed).await?;
    let value =
        serde_json::from_slice(opened.expose_secret()).map_err(|_| Error::broken("a sealed part is no JSON"))?;
    Ok(Some(value))
}

/// The runner still works on it. False when the lease was lost: stop.
///
/// # Errors
/// When the database fails.
pub async fn heartbeat(
    tx: &mut impl AnyTx,
    id: JobId,
    owner: &str,
    now: DateTime<Utc>,
    lease: Duration,
) -> Result<bool, Error> {
    let tenant = tx.tenant_if_any();
    Ok(sql(&HEARTBEAT).bind(id).bind(owner).bind(tenant).bind(now + lease).run(tx).await? > 0)
}

/// Carried out. False when the lease was lost: return an error then, so that what was done in this transaction is undone.
///
/// # Errors
/// When the database fails.
pub async fn complete(tx: &mut impl AnyTx, id: JobId, owner: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let tenant = tx.tenant_if_any();
    Ok(sql(&COMPLETE).bind(id).bind(owner).bind(tenant).bind(now).run(tx).await? > 0)
}

/// Failed, to be tried again at `run_at`; dead when no attempt is left. `None` when the lease was lost.
///
/// # Errors
/// When the database fails.
pub async fn retry(
    tx: &mut impl AnyTx,
    id: JobId,
    owner: &str,
    error: &str,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<JobState>, Error> {
    let tenant = tx.tenant_if_any();
    sql(&RETRY)
        .bind(id)
        .bind(owner)
        .bind(tenant)
        .bind(run_at)
        .bind(shorten(error))
        .bind(now)
        .one(tx, |row| row.word("state"))
        .await
}

/// Not ready yet, to be tried again at `run_at`: the attempt is given back, so that waiting never makes a job dead. The
/// job itself decides when to stop. False when the lease was lost.
///
/// # Errors
/// When the database fails.
pub async fn wait(
    tx: &mut impl AnyTx,
    id: JobId,
    owner: &str,
    reason: &str,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let tenant = tx.tenant_if_any();
    let changed =
        sql(&WAIT).bind(id).bind(owner).bind(tenant).bind(run_at).bind(shorten(reason)).bind(now).run(tx).await?;
    Ok(changed > 0)
}

/// Jobs whose runner's name begins so are nobody's any more: they are taken up at once instead of when their leases run
/// out. A node asks for its own name with the separator (`node-1/`) when it starts, before its runners claim. How many.
///
/// # Errors
/// When the database fails.
pub async fn release_node(tx: &mut SystemTx, node_prefix: &str, now: DateTime<Utc>) -> Result<u64, Error> {
    sql(&RELEASE_NODE).bind(node_prefix).bind(now).run(tx).await
}

/// Given up: trying again would not help. False when the lease was lost.
///
/// # Errors
/// When the database fails.
pub async fn dead(tx: &mut impl AnyTx, id: JobId, owner: &str, error: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let tenant = tx.tenant_if_any();
    Ok(sql(&DEAD).bind(id).bind(owner).bind(tenant).bind(shorten(error)).bind(now).run(tx).await? > 0)
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut SystemTx, id: JobId) -> Result<Job, Error> {
    sql(&GET).bind(id).required(tx, job).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(
    tx: &mut SystemTx,
    state: Option<JobState>,
    queue: Option<&str>,
    page: PageRequest,
) -> Result<Page<Job>, Error> {
    let list = sql(&LIST).bind(state.map(JobState::as_str)).bind(queue);
    page.fetch(list, tx, job, |j| (j.created_at, j.id.into())).await
}

/// A dead job is to be run again, with all its attempts.
///
/// # Errors
/// [`Error::NotFound`] when there is no such dead job; [`Error::Conflict`] when another with its key is unfinished.
pub async fn requeue(tx: &mut SystemTx, id: JobId, now: DateTime<Utc>) -> Result<(), Error> {
    let payload = begun_anew(&get(tx, id).await?, now);
    let requeue = sql(&REQUEUE).conflict("a job with the same key is unfinished");
    let changed = requeue.bind(id).bind(now).bind(payload).run(tx).await?;
    if changed == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// What an unfinished job of the tenant's works with from now on, by the job itself. False when it is over.
///
/// # Errors
/// When the database fails.
pub async fn amend(tx: &mut Tx, id: JobId, payload: serde_json::Map<String, serde_json::Value>) -> Result<bool, Error> {
    Ok(sql(&AMEND).bind(tx.tenant()).bind(id).bind(serde_json::Value::Object(payload)).run(tx).await? > 0)
}

/// What follows when a job is given up, in the transaction that does so: a call that was to be placed is over. One whose
/// order has left is not: the carrier may have taken it. A document that was to be indexed says so.
///
/// # Errors
/// When the database fails.
pub async fn given_up(tx: &mut SystemTx, job: &Job, now: DateTime<Utc>) -> Result<(), Error> {
    let about = |field: &str| job.payload.get(field).and_then(serde_json::Value::as_str);
    if let (documents::INDEX_JOB, Some(tenant), Some(document)) =
        (job.name.as_str(), job.tenant, about("document_id").and_then(|id| id.parse().ok()))
    {
        return documents::not_indexed(tx.tenant(tenant).await?, document).await;
    }
    match (job.tenant, about("call_id").and_then(|id| id.parse().ok())) {
        (Some(tenant), Some(call)) if job.name == calls::PLACE_JOB => {
            calls::not_placed(tx.tenant(tenant).await?, call, now).await.map(|_| ())
        }
        (Some(tenant), Some(call)) if job.name == call_records::ANALYZE_JOB => {
            call_records::give_up(tx.tenant(tenant).await?, call, now).await
        }
        _ => Ok(()),
    }
}

/// Its payload when it begins anew: what waits by a schedule waits by it from now on.
fn begun_anew(job: &Job, now: DateTime<Utc>) -> serde_json::Value {
    let mut payload = job.payload.clone();
    if let (recordings::FETCH_JOB, Some(fields)) = (job.name.as_str(), payload.as_object_mut()) {
        fields.insert(recordings::WAITED_SINCE.to_owned(), now.to_rfc3339().into());
        fields.remove(recordings::TRIES);
    }
    payload
}

/// How many there are, by queue, name and state.
///
/// # Errors
/// When the database fails.
pub async fn counts(tx: &mut SystemTx) -> Result<Vec<JobCount>, Error> {
    sql(&COUNTS)
        .all(tx, |row| {
            Ok(JobCount {
                queue: row.get("queue")?,
                name: row.get("name")?,
                state: row.word("state")?,
                count: row.unsigned("n")?,
                oldest_run_at: row.get("oldest_run_at")?,
            })
        })
        .await
}

/// Removes jobs done or discarded before this time; how many.
///
/// # Errors
/// When the database fails.
pub async fn purge(tx: &mut SystemTx, ended_before: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(ended_before).run(tx).await
}

fn shorten(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
