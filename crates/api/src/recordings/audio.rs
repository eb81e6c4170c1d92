//! `GET /api/recordings/{id}/audio`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::RecordingsRead;
use crate::problem::ProblemBody;
use crate::{Caller, Code, Problem, RecordingFile};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use model::{AuditKind, RecordingId, RecordingStatus};
use serde_json::Map;
use store::recordings::{self, Recording};

/// Gives out the sound of a recording, as a WAV file. Who hears it is on record.
///
/// Two channels: the caller is on the left, the agent on the right.
#[utoipa::path(
    get,
    path = "/api/recordings/{id}/audio",
    tag = "calls",
    security(("bearer" = ["recordings:read"])),
    params(("id" = RecordingId, Path, description = "The recording")),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "audio/wav"),
        (status = 409, description = "It is not stored yet, or never will be: see its status",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The store of recordings does not answer",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_recording_audio(
    caller: Caller<RecordingsRead>,
    PathId(id): PathId<RecordingId>,
) -> Result<Response, Problem> {
    let recording = caller.read("recordings.get", async |tx| Ok(recordings::get(tx, id).await?)).await?;
    let key = stored(&recording)?;
    let file = caller.app.recordings.open(key).await.map_err(|error| {
        tracing::error!(error = %error, "a recording could not be opened");
        Problem::new(Code::ExternalServiceFailed, "the store of recordings does not answer; try again")
    })?;
    let Some(file) = file else {
        tracing::error!(recording = %id, "the file of a stored recording is not there");
        return Err(Problem::new(Code::NotFound, "the file of this recording is not there"));
    };
    // On record before the first byte leaves; without the record none does.
    caller
        .write("recordings.accessed", async |tx| {
            caller.audit(tx, AuditKind::RecordingAccessed, Some(("recording", id.to_string())), Map::new()).await
        })
        .await?;
    Ok(answer(&recording, file))
}

/// Its key in the object store.
fn stored(recording: &Recording) -> Result<&str, Problem> {
    let why = match recording.status {
        RecordingStatus::Ready => match &recording.object_key {
            Some(key) => return Ok(key),
            None => "the recording is not stored",
        },
        RecordingStatus::Recording | RecordingStatus::Spooled | RecordingStatus::Awaited => {
            "the recording is not stored yet; try again later"
        }
        RecordingStatus::Failed => "the recording could not be stored",
    };
    Err(Problem::new(Code::Conflict, why))
}

fn answer(recording: &Recording, file: RecordingFile) -> Response {
    let name = format!("attachment; filename=\"caly-call-{}.wav\"", recording.call);
    let mut headers = HeaderMap::new();
    let mut set = |field: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(field, value);
        }
    };
    set(header::CONTENT_TYPE, "audio/wav");
    set(header::CONTENT_LENGTH, &file.bytes.to_string());
    set(header::CONTENT_DISPOSITION, &name);
    set(header::CACHE_CONTROL, "private, no-store");
    (headers, Body::from_stream(file.content)).into_response()
}
