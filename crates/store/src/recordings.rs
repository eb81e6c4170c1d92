//! Recordings: our own are written on a node's disk while the call runs, then stored; the carrier's are fetched.

use crate::jobs::{self, Enqueued, NewJob};
use crate::sql::{Row, sql, statements};
use crate::{Error, SystemTx, Tx, ids, outbox};
use chrono::{DateTime, Utc};
use model::{CallId, RecordingId, RecordingSource, RecordingStatus, TenantId};

/// Recordings of one call that are listed; there are one or two.
const PER_CALL_MAX: i64 = 20;
/// Unfinished recordings that a reconciler takes at once.
const UNFINISHED_MAX: i64 = 200;
/// What carriers make mostly; until it is fetched nobody knows.
const CARRIERS_CONTENT_TYPE: &str = "audio/mpeg";
/// Kept of an error's text, in characters.
const ERROR_CHARS_MAX: usize = 1_000;

macro_rules! columns {
    () => {
        "id, tenant_id, call_id, status, node, spool_path, object_key, channels, sample_rate_hz, duration_ms, bytes,
        sha256, recording_error, created_at, updated_at, source, content_type"
    };
}

statements! {
    CREATE = "recordings.create" ["insert into recordings
        (id, tenant_id, call_id, status, node, spool_path, channels, sample_rate_hz, created_at, updated_at)
        values ($1, $2, $3, 'recording', $4, $5, $6, $7, $8, $8) returning ", columns!()];
    GET = "recordings.get" ["select ", columns!(), " from recordings where tenant_id = $1 and id = $2"];
    OF_CALL = "recordings.of_call" ["select ", columns!(), " from recordings
        where tenant_id = $1 and call_id = $2 order by created_at, id limit $3"];
    SPOOLED = "recordings.spooled" ["update recordings
        set status = 'spooled', duration_ms = $3, bytes = $4, sha256 = $5, updated_at = $6
        where tenant_id = $1 and id = $2 and status = 'recording'"];
    STORED = "recordings.stored" ["update recordings
        set status = 'ready', object_key = $3, recording_error = null, updated_at = $4
        where tenant_id = $1 and id = $2 and status = 'spooled'"];
    AWAIT_CARRIER = "recordings.await_carrier" ["insert into recordings
        (id, tenant_id, call_id, status, source, content_type, node, spool_path, channels, sample_rate_hz, created_at,
         updated_at)
        values ($1, $2, $3, 'awaited', 'carrier', $4, '', '', 0, 0, $5, $5)
        on conflict (tenant_id, call_id) where source = 'carrier' do nothing returning ", columns!()];
    FETCHED = "recordings.fetched" ["update recordings
        set status = 'ready', content_type = $3, channels = $4, sample_rate_hz = $5, duration_ms = $6, bytes = $7,
            sha256 = $8, object_key = $9, recording_error = null, updated_at = $10
        where tenant_id = $1 and id = $2 and status = 'awaited'"];
    NOTE_ERROR = "recordings.note_error" ["update recordings set recording_error = $3, updated_at = $4
        where tenant_id = $1 and id = $2 and status in ('awaited', 'recording', 'spooled')"];
    FAILED = "recordings.failed" ["update recordings set status = 'failed', recording_error = $3, updated_at = $4
        where tenant_id = $1 and id = $2 and status in ('awaited', 'recording', 'spooled')"];
    RETRY = "recordings.retry" ["update recordings
        set status = case when source = 'carrier' then 'awaited' when sha256 is null then 'recording' else 'spooled' end,
            updated_at = $3
        where tenant_id = $1 and id = $2 and status = 'failed'"];
    REMARK = "recordings.remark" ["update recordings set recording_error = $3, updated_at = $4
        where tenant_id = $1 and id = $2 and status = 'ready'"];
    AWAITED = "recordings.awaited" ["select ", columns!(), " from recordings
        where status = 'awaited' and updated_at <= $1 order by updated_at, id limit $2"];
    UNFINISHED = "recordings.unfinished" ["select ", columns!(), " from recordings
        where node = $1 and status in ('recording', 'spooled') and created_at <= $2
        order by created_at, id limit $3"];
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its id.
    pub id: RecordingId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Of which call.
    pub call: CallId,
    /// Who made it.
    pub source: RecordingSource,
    /// Where it stands.
    pub status: RecordingStatus,
    /// What the file is: `audio/wav` or `audio/mpeg`. Of the carrier's a guess until it is `ready`.
    pub content_type: String,
    /// The node whose disk has the file; empty for the carrier's.
    pub node: String,
    /// The file on that node; empty for the carrier's.
    pub spool_path: String,
    /// Its key in the object store, once `ready`.
    pub object_key: Option<String>,
    /// Our own: 2 = caller left, agent right. The carrier's: 0 until it is `ready`.
    pub channels: u32,
    /// Samples a second of each channel. The carrier's: 0 until it is `ready`.
    pub sample_rate_hz: u32,
    /// Its length, ms, once `spooled` or fetched.
    pub duration_ms: Option<u64>,
    /// Size of the file, once `spooled` or fetched.
    pub bytes: Option<u64>,
    /// SHA-256 of the file, once `spooled` or fetched.
    pub sha256: Option<[u8; 32]>,
    /// What went wrong last.
    pub recording_error: Option<String>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When its row last changed.
    pub updated_at: DateTime<Utc>,
}

/// A recording that begins.
#[derive(Clone, Debug)]
pub struct NewRecording {
    /// Of which call.
    pub call: CallId,
    /// The node whose disk has the file.
    pub node: String,
    /// The file on that node.
    pub spool_path: String,
    /// 2 = caller left, agent right.
    pub channels: u32,
    /// Samples a second of each channel.
    pub sample_rate_hz: u32,
}

/// A complete file.
#[derive(Clone, Copy, Debug)]
pub struct SpooledFile {
    /// Its length, ms.
    pub duration_ms: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// The carrier's file, fetched and in the object store.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// What it is: `audio/wav` or `audio/mpeg`.
    pub content_type: &'a str,
    /// 1 or 2.
    pub channels: u32,
    /// Samples a second of each channel.
    pub sample_rate_hz: u32,
    /// Its length, ms.
    pub duration_ms: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its key in the object store.
    pub object_key: &'a str,
}

fn recording(row: &Row) -> Result<Recording, Error> {
    Ok(Recording {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        call: row.id("call_id")?,
        source: row.word("source")?,
        status: row.word("status")?,
        content_type: row.get("content_type")?,
        node: row.get("node")?,
        spool_path: row.get("spool_path")?,
        object_key: row.get("object_key")?,
        channels: row.unsigned("channels")?,
        sample_rate_hz: row.unsigned("sample_rate_hz")?,
        duration_ms: row.unsigned_opt("duration_ms")?,
        bytes: row.unsigned_opt("bytes")?,
        sha256: row.hash_opt("sha256")?,
        recording_error: row.get("recording_error")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// A recording begins.
///
/// # Errors
/// [`Error::NotFound`] when the call is not this tenant's.
pub async fn create(tx: &mut Tx, new: &NewRecording, now: DateTime<Utc>) -> Result<Recording, Error> {
    sql(&CREATE)
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(new.call)
        .bind(new.node.as_str())
        .bind(new.spool_path.as_str())
        .bind(new.channels)
        .bind(new.sample_rate_hz)
        .bind(now)
        .required(tx, recording)
        .await
}

/// The carrier made a recording of this call, which is to be fetched: its row, or `None` when there was one already.
///
/// # Errors
/// [`Error::NotFound`] when the call is not this tenant's.
pub async fn await_carrier(tx: &mut Tx, call: CallId, now: DateTime<Utc>) -> Result<Option<Recording>, Error> {
    sql(&AWAIT_CARRIER)
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(call)
        .bind(CARRIERS_CONTENT_TYPE)
        .bind(now)
        .one(tx, recording)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: RecordingId) -> Result<Recording, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, recording).await
}

/// Those of a call, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_call(tx: &mut Tx, call: CallId) -> Result<Vec<Recording>, Error> {
    sql(&OF_CALL).bind(tx.tenant()).bind(call).bind(PER_CALL_MAX).all(tx, recording).await
}

/// The file is complete: recording → spooled. True once.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn spooled(tx: &mut Tx, id: RecordingId, file: &SpooledFile, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&SPOOLED)
        .bind(tx.tenant())
        .bind(id)
        .bind(file.duration_ms)
        .bind(file.bytes)
        .bind(file.sha256)
        .bind(now)
        .run(tx)
        .await?;
    once(tx, id, changed).await
}

/// It is in the object store: spooled → ready. True once. The file may be removed after the commit.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn stored(tx: &mut Tx, id: RecordingId, object_key: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&STORED).bind(tx.tenant()).bind(id).bind(object_key).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// The carrier's file is in the object store: awaited → ready. True once; false when it is ready or given up, and then
/// nothing changes.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn fetched(tx: &mut Tx, id: RecordingId, file: &Fetched<'_>, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&FETCHED)
        .bind(tx.tenant())
        .bind(id)
        .bind(file.content_type)
        .bind(file.channels)
        .bind(file.sample_rate_hz)
        .bind(file.duration_ms)
        .bind(file.bytes)
        .bind(file.sha256)
        .bind(file.object_key)
        .bind(now)
        .run(tx)
        .await?;
    once(tx, id, changed).await
}

/// An attempt failed and another will follow: the error is kept, the status stays. False when it is ready or given up.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn note_error(tx: &mut Tx, id: RecordingId, error: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&NOTE_ERROR).bind(tx.tenant()).bind(id).bind(shorten(error)).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// It is ready, and somebody who hears it should know this of it. False when it is not ready.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn remark(tx: &mut Tx, id: RecordingId, remark: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&REMARK).bind(tx.tenant()).bind(id).bind(shorten(remark)).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// Given up: awaited, recording or spooled → failed. True once.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn failed(tx: &mut Tx, id: RecordingId, error: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&FAILED).bind(tx.tenant()).bind(id).bind(shorten(error)).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// Given up, as [`failed`], and those who wait for it are told. The event names the one that stands in for the
/// carrier's, if there is one. True once.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn give_up(tx: &mut Tx, id: RecordingId, error: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    if !failed(tx, id, error, now).await? {
        return Ok(false);
    }
    let lost = get(tx, id).await?;
    let mut data = serde_json::Map::from_iter([
        ("call_id".to_owned(), lost.call.to_string().into()),
        ("recording_id".to_owned(), id.to_string().into()),
        ("source".to_owned(), lost.source.as_str().into()),
    ]);
    if lost.source == RecordingSource::Carrier {
        let stand_in = of_call(tx, lost.call)
            .await?
            .into_iter()
            .find(|other| other.source == RecordingSource::Own && other.status != RecordingStatus::Failed);
        data.insert("stand_in_recording_id".to_owned(), stand_in.map(|other| other.id.to_string()).into());
    }
    outbox::push(tx, "recording.failed", data, now).await?;
    Ok(true)
}

/// Another try of one that was given up: failed → spooled where our own file was complete, failed → recording where it
/// was not closed yet, failed → awaited for the carrier's. The caller enqueues the job.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn retry(tx: &mut Tx, id: RecordingId, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&RETRY).bind(tx.tenant()).bind(id).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// Recordings on this node's disk that are not stored yet and began at or before `created_until`, oldest first, at most
/// 200: for the reconciler after a crash.
///
/// # Errors
/// When the database fails.
pub async fn unfinished(tx: &mut SystemTx, node: &str, created_until: DateTime<Utc>) -> Result<Vec<Recording>, Error> {
    sql(&UNFINISHED).bind(node).bind(created_until).bind(UNFINISHED_MAX).all(tx, recording).await
}

/// Carriers' recordings that are waited for and have not been touched since `untouched_since`, oldest first, at most
/// 200: each try touches its recording, so that these have lost their jobs.
///
/// # Errors
/// When the database fails.
pub async fn awaited(tx: &mut SystemTx, untouched_since: DateTime<Utc>) -> Result<Vec<Recording>, Error> {
    sql(&AWAITED).bind(untouched_since).bind(UNFINISHED_MAX).all(tx, recording).await
}

/// Name of the job that takes a recording's file into the object store.
pub const STORE_JOB: &str = "store_recording";
/// It is tried this often before it counts as failed; with the runner's back-off that is more than a day.
const STORE_ATTEMPTS_MAX: u32 = 20;

/// In the payload of [`FETCH_JOB`]: since when the recording is waited for, when that is not since the job was made.
pub const WAITED_SINCE: &str = "since";
/// In the payload of [`FETCH_JOB`]: how often it was tried.
pub const TRIES: &str = "tries";
/// Name of the job that fetches a carrier's recording.
pub const FETCH_JOB: &str = "fetch_recording";
/// It is tried this often before it counts as failed. Waiting until the carrier has the file is no attempt.
const FETCH_ATTEMPTS_MAX: u32 = 40;

/// Has the file taken into the object store, by the node whose disk has it: only that one can.
///
/// # Errors
/// When the database fails.
pub async fn enqueue_storing(tx: &mut Tx, id: RecordingId, node: &str, now: DateTime<Utc>) -> Result<Enqueued, Error> {
    let queue = format!("node:{node}");
    let job = NewJob {
        queue: &queue,
        name: STORE_JOB,
        dedup_key: Some(id.to_string()),
        payload: about(tx, id),
        sealed: None,
        attempts_max: STORE_ATTEMPTS_MAX,
        run_at: now,
    };
    jobs::enqueue(tx, &job, now).await
}

/// Has the carrier's file fetched, by any node, not before `due_at`.
///
/// # Errors
/// When the database fails.
pub async fn enqueue_fetching(
    tx: &mut Tx,
    id: RecordingId,
    due_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Enqueued, Error> {
    let job = NewJob {
        queue: jobs::DEFAULT_QUEUE,
        name: FETCH_JOB,
        dedup_key: Some(id.to_string()),
        payload: about(tx, id),
        sealed: None,
        attempts_max: FETCH_ATTEMPTS_MAX,
        run_at: due_at,
    };
    jobs::enqueue(tx, &job, now).await
}

fn about(tx: &Tx, id: RecordingId) -> serde_json::Map<String, serde_json::Value> {
    serde_json::Map::from_iter([
        ("tenant_id".to_owned(), tx.tenant().to_string().into()),
        ("recording_id".to_owned(), id.to_string().into()),
    ])
}

async fn once(tx: &mut Tx, id: RecordingId, changed: u64) -> Result<bool, Error> {
    if changed == 0 {
        get(tx, id).await?;
    }
    Ok(changed > 0)
}

fn shorten(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
