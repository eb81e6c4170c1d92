//! `GET /api/calls/{id}/recordings`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::RecordingsRead;
use crate::recordings::RecordingView;
use crate::{Caller, Problem};
use axum::Json;
use model::CallId;
use serde::Serialize;
use store::{calls, recordings};
use utoipa::ToSchema;

/// The recordings of a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallRecordings)]
pub(crate) struct CallRecordingsView {
    /// Oldest first; all of them.
    items: Vec<RecordingView>,
}

/// Lists the recordings of a call.
#[utoipa::path(
    get,
    path = "/api/calls/{id}/recordings",
    tag = "calls",
    security(("bearer" = ["recordings:read"])),
    params(("id" = CallId, Path, description = "The call")),
    responses((status = 200, description = "The recordings", body = CallRecordingsView)),
)]
pub(crate) async fn list_call_recordings(
    caller: Caller<RecordingsRead>,
    PathId(id): PathId<CallId>,
) -> Result<Json<CallRecordingsView>, Problem> {
    let found = caller
        .read("recordings.of_call", async |tx| {
            calls::get(tx, id).await?;
            Ok(recordings::of_call(tx, id).await?)
        })
        .await?;
    Ok(Json(CallRecordingsView { items: found.into_iter().map(RecordingView::from).collect() }))
}
