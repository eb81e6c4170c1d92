//! `GET /api/recordings/{id}/audio`.

use super::sound::{Disposition, Sound};
use crate::auth::path_id::PathId;
use crate::caller::scopes::RecordingsRead;
use crate::problem::ProblemBody;
use crate::{Caller, Problem};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use model::{AuditKind, RecordingId};
use serde_json::Map;
use store::recordings;

/// Gives out the sound of a recording: a WAV file, or the carrier's MP3. Who hears it is on record.
///
/// In our own recordings the caller is on the left, the agent on the right. A range of bytes is given when asked for;
/// the `ETag` is the SHA-256 of the file.
#[utoipa::path(
    get,
    path = "/api/recordings/{id}/audio",
    tag = "calls",
    security(("bearer" = ["recordings:read"])),
    params(("id" = RecordingId, Path, description = "The recording")),
    responses(
        (status = 200, description = "The file; `audio/mpeg` for a carrier's MP3",
            body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "The range of bytes that was asked for",
            body = Vec<u8>, content_type = "audio/wav"),
        (status = 409, description = "It is not stored yet, or never will be: see its status",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "The range lies beyond the end; `Content-Range` tells the length",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 502, description = "The store of recordings does not answer",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_recording_audio(
    caller: Caller<RecordingsRead>,
    PathId(id): PathId<RecordingId>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let recording = caller.read("recordings.get", async |tx| Ok(recordings::get(tx, id).await?)).await?;
    let sound = Sound::open(&caller.app, &recording, &method, &headers).await?;
    if let Some(first_byte) = sound.first_byte() {
        // On record before the first byte leaves; without the record none does.
        let (hearings, actor) = (&caller.app.hearings, caller.identity.actor());
        if !hearings.goes_on(&actor, id, first_byte, caller.now) {
            caller
                .write("recordings.accessed", async |tx| {
                    let object = Some(("recording", id.to_string()));
                    caller.audit(tx, AuditKind::RecordingAccessed, object, Map::new()).await
                })
                .await?;
            hearings.began(&actor, id, caller.now);
        }
    }
    Ok(sound.answer(Disposition::Attachment))
}
