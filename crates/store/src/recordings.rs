//! Recordings: written on a node's disk while the call runs, then stored.

use crate::jobs::{self, Enqueued, NewJob};
use crate::sql::{Row, sql, statements};
use crate::{Error, SystemTx, Tx, ids};
use chrono::{DateTime, Utc};
use model::{CallId, RecordingId, RecordingStatus, TenantId};

/// Recordings of one call that are listed; there are one or two.
const PER_CALL_MAX: i64 = 20;
/// Unfinished recordings that a reconciler takes at once.
const UNFINISHED_MAX: i64 = 200;
/// Kept of an error's text, in characters.
const ERROR_CHARS_MAX: usize = 1_000;

macro_rules! columns {
    () => {
        "id, tenant_id, call_id, status, node, spool_path, object_key, channels, sample_rate_hz, duration_ms, bytes,
        sha256, recording_error, created_at, updated_at"
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
    NOTE_ERROR = "recordings.note_error" ["update recordings set recording_error = $3, updated_at = $4
        where tenant_id = $1 and id = $2 and status in ('recording', 'spooled')"];
    FAILED = "recordings.failed" ["update recordings set status = 'failed', recording_error = $3, updated_at = $4
        where tenant_id = $1 and id = $2 and status in ('recording', 'spooled')"];
    RETRY = "recordings.retry" ["update recordings set status = 'spooled', updated_at = $3
        where tenant_id = $1 and id = $2 and status = 'failed' and sha256 is not null"];
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
    /// Where it stands.
    pub status: RecordingStatus,
    /// The node whose disk has the file.
    pub node: String,
    /// The file on that node.
    pub spool_path: String,
    /// Its key in the object store, once `ready`.
    pub object_key: Option<String>,
    /// 2 = caller left, agent right.
    pub channels: u32,
    /// Samples a second of each channel.
    pub sample_rate_hz: u32,
    /// Its length, ms, once `spooled`.
    pub duration_ms: Option<u64>,
    /// Size of the file, once `spooled`.
    pub bytes: Option<u64>,
    /// SHA-256 of the file, once `spooled`.
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

fn recording(row: &Row) -> Result<Recording, Error> {
    Ok(Recording {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        call: row.id("call_id")?,
        status: row.word("status")?,
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

/// An attempt failed and another will follow: the error is kept, the status stays. False when it is ready or given up.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn note_error(tx: &mut Tx, id: RecordingId, error: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&NOTE_ERROR).bind(tx.tenant()).bind(id).bind(shorten(error)).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// Given up: recording or spooled → failed. True once.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn failed(tx: &mut Tx, id: RecordingId, error: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let changed = sql(&FAILED).bind(tx.tenant()).bind(id).bind(shorten(error)).bind(now).run(tx).await?;
    once(tx, id, changed).await
}

/// Another try of one that was given up and whose file was complete: failed → spooled.
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

/// Name of the job that takes a recording's file into the object store.
pub const STORE_JOB: &str = "store_recording";
/// It is tried this often before it counts as failed; with the runner's back-off that is more than a day.
const STORE_ATTEMPTS_MAX: u32 = 20;

/// Has the file taken into the object store, by the node whose disk has it: only that one can.
///
/// # Errors
/// When the database fails.
pub async fn enqueue_storing(tx: &mut Tx, id: RecordingId, node: &str, now: DateTime<Utc>) -> Result<Enqueued, Error> {
    let queue = format!("node:{node}");
    let payload = serde_json::Map::from_iter([
        ("tenant_id".to_owned(), tx.tenant().to_string().into()),
        ("recording_id".to_owned(), id.to_string().into()),
    ]);
    let job = NewJob {
        queue: &queue,
        name: STORE_JOB,
        dedup_key: Some(id.to_string()),
        payload,
        sealed: None,
        attempts_max: STORE_ATTEMPTS_MAX,
        run_at: now,
    };
    jobs::enqueue(tx, &job, now).await
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
