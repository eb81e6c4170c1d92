//! `store_recording`: takes the finished spool file of a call's recording into the object store.
//!
//! recording → (header repaired, digest) → spooled → (uploaded) → ready → spool file removed. Every step is found again
//! after a crash; what has been uploaded is not uploaded twice.

use crate::attempts::{Tried, upload};
use crate::job::{Context, Job, JobError};
use audio::wav::{HEADER_BYTES, repair_header};
use model::{RecordingId, RecordingSource, RecordingStatus, TenantId};
use providers::objects::{ObjectError, ObjectErrorKind, ObjectKey, Stored};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use store::recordings::{self, Recording, SpooledFile};
use store::{Tx, outbox};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// The file is read in pieces of this size for its digest.
const PIECE_BYTES: usize = 64 * 1024;
/// A call without a single frame of audio leaves a header and nothing else.
const SAMPLE_BYTES: u64 = 2;

/// The payload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreRecording {
    tenant_id: TenantId,
    recording_id: RecordingId,
}

impl Job for StoreRecording {
    const NAME: &'static str = recordings::STORE_JOB;

    async fn run(self, context: &Context) -> Result<(), JobError> {
        let Self { tenant_id, recording_id: id } = self;
        let load = async |tx: &mut Tx| recordings::get(tx, id).await;
        let mut recording = context.store.read(tenant_id, "recordings.get", load).await?;
        if recording.status == RecordingStatus::Recording {
            self.close_spool(context, &recording).await?;
            recording = context.store.read(tenant_id, "recordings.get", load).await?;
        }
        let path = PathBuf::from(&recording.spool_path);
        match recording.status {
            RecordingStatus::Spooled => self.upload(context, &recording, &path).await?,
            RecordingStatus::Ready => {}
            // The file stays: a retry may yet save it.
            RecordingStatus::Failed => return Err(JobError::Fail("the recording was given up".to_owned())),
            RecordingStatus::Recording => return Err(JobError::Retry("the recording is not closed".to_owned())),
            RecordingStatus::Awaited => return Err(JobError::Fail("it is the carrier's recording".to_owned())),
        }
        remove_spool(&path).await
    }
}

impl StoreRecording {
    /// Makes a valid file of what was written, and notes its size and digest.
    async fn close_spool(&self, context: &Context, recording: &Recording) -> Result<(), JobError> {
        let spooled = match close_file(Path::new(&recording.spool_path), recording).await {
            Ok(spooled) => spooled,
            Err(Unclosed::Later(error)) => return Err(JobError::Retry(error)),
            Err(Unclosed::Never(error)) => {
                self.give_up(context, &error).await?;
                remove_empty(Path::new(&recording.spool_path)).await?;
                return Err(JobError::Fail(error));
            }
        };
        let (id, now) = (self.recording_id, context.now());
        context
            .store
            .write(self.tenant_id, "recordings.spooled", async |tx| recordings::spooled(tx, id, &spooled, now).await)
            .await?;
        Ok(())
    }

    async fn upload(&self, context: &Context, recording: &Recording, path: &Path) -> Result<(), JobError> {
        let key = ObjectKey::recording(self.tenant_id, recording.created_at.date_naive(), recording.call);
        let (Some(bytes), Some(sha256)) = (recording.bytes, recording.sha256) else {
            return Err(JobError::Fail("the recording's size and digest are missing".to_owned()));
        };
        let content = Stored { bytes, sha256 };
        match upload(context, self.tenant_id, &key, path, content).await {
            Ok(stored) if stored == content => {}
            Ok(_) => return Err(JobError::Retry("the file changed while it was uploaded".to_owned())),
            Err(Tried::Open(wait)) => {
                return Err(JobError::Wait(wait, "the object store fails; it is left alone for a minute".to_owned()));
            }
            Err(Tried::Failed(error)) => return Err(self.upload_failed(context, &error).await?),
        }
        let (id, now) = (self.recording_id, context.now());
        let ready = json!({
            "call_id": recording.call,
            "recording_id": id,
            "bytes": bytes,
            "source": RecordingSource::Own.as_str(),
        });
        context
            .store
            .write(self.tenant_id, "recordings.stored", async |tx| {
                if recordings::stored(tx, id, key.as_str(), now).await?
                    && let serde_json::Value::Object(ready) = ready
                {
                    outbox::push(tx, "recording.ready", ready, now).await?;
                }
                Ok::<_, store::Error>(())
            })
            .await?;
        Ok(())
    }

    /// Notes the error with the recording, and says whether another try makes sense.
    async fn upload_failed(&self, context: &Context, error: &ObjectError) -> Result<JobError, JobError> {
        let text = error.to_string();
        if error.kind == ObjectErrorKind::File {
            self.give_up(context, &text).await?;
            return Ok(JobError::Fail(text));
        }
        let (id, now) = (self.recording_id, context.now());
        context
            .store
            .write(self.tenant_id, "recordings.note_error", async |tx| recordings::note_error(tx, id, &text, now).await)
            .await?;
        Ok(JobError::Retry(error.to_string()))
    }

    async fn give_up(&self, context: &Context, error: &str) -> Result<(), JobError> {
        let (id, now) = (self.recording_id, context.now());
        let give_up = async |tx: &mut Tx| recordings::give_up(tx, id, error, now).await;
        context.store.write(self.tenant_id, "recordings.failed", give_up).await?;
        Ok(())
    }
}

/// Why there is no complete file.
enum Unclosed {
    /// This machine cannot read or write it now.
    Later(String),
    /// It is not there, or it is no recording.
    Never(String),
}

/// Repairs the header of a file that may not have been closed, and measures it.
async fn close_file(path: &Path, recording: &Recording) -> Result<SpooledFile, Unclosed> {
    let describe = |error: std::io::Error| {
        let text = format!("the recording's file: {error}");
        match error.kind() {
            // It ends within its header.
            std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof => Unclosed::Never(text),
            _ => Unclosed::Later(text),
        }
    };
    let mut file = OpenOptions::new().read(true).write(true).open(path).await.map_err(describe)?;
    let length = file.metadata().await.map_err(describe)?.len();
    let mut header = [0u8; HEADER_BYTES];
    file.read_exact(&mut header).await.map_err(describe)?;
    let repaired =
        repair_header(&header, length).map_err(|error| Unclosed::Never(format!("the recording's file: {error}")))?;
    if repaired != header {
        file.seek(SeekFrom::Start(0)).await.map_err(describe)?;
        file.write_all(&repaired).await.map_err(describe)?;
        file.sync_all().await.map_err(describe)?;
    }
    let frame_bytes = u64::from(recording.channels.max(1)) * SAMPLE_BYTES;
    let data_bytes = length.saturating_sub(HEADER_BYTES as u64);
    let duration_ms = data_bytes / frame_bytes * 1_000 / u64::from(recording.sample_rate_hz.max(1));
    let sha256 = digest(&mut file).await.map_err(describe)?;
    Ok(SpooledFile { duration_ms, bytes: length, sha256 })
}

async fn digest(file: &mut File) -> std::io::Result<[u8; 32]> {
    file.seek(SeekFrom::Start(0)).await?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0u8; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&piece[..read]);
    }
}

/// A process that died while it made the file left less than a header: nothing to keep, for nobody to find.
async fn remove_empty(path: &Path) -> Result<(), JobError> {
    match tokio::fs::metadata(path).await {
        Ok(file) if file.len() < HEADER_BYTES as u64 => remove_spool(path).await,
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn remove_spool(path: &Path) -> Result<(), JobError> {
    match tokio::fs::remove_file(path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(JobError::Retry(format!("the spool file could not be removed: {error}"))),
    }
}
