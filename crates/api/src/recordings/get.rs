//! `GET /api/recordings/{id}`.

use super::RecordingView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::RecordingsRead;
use crate::{Caller, Problem};
use axum::Json;
use model::RecordingId;
use store::recordings;

/// Shows a recording, without its sound.
#[utoipa::path(
    get,
    path = "/api/recordings/{id}",
    tag = "calls",
    security(("bearer" = ["recordings:read"])),
    params(("id" = RecordingId, Path, description = "The recording")),
    responses((status = 200, description = "The recording", body = RecordingView)),
)]
pub(crate) async fn get_recording(
    caller: Caller<RecordingsRead>,
    PathId(id): PathId<RecordingId>,
) -> Result<Json<RecordingView>, Problem> {
    let recording = caller.read("recordings.get", async |tx| Ok(recordings::get(tx, id).await?)).await?;
    Ok(Json(recording.into()))
}
