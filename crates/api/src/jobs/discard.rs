//! `POST /api/jobs/{id}/discard`.

use super::{JobView, about};
use crate::auth::path_id::PathId;
use crate::caller::scopes::JobsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Problem};
use axum::Json;
use model::{AuditKind, JobId, RecordingId};
use serde_json::{Map, Value};
use store::{jobs, recordings};

/// What its recording says then.
const NOT_WANTED: &str = "its job was given up and discarded";

/// Takes a job that was given up off the list. It stays to be seen for 7 days, and cannot be tried again.
#[utoipa::path(
    post,
    path = "/api/jobs/{id}/discard",
    tag = "jobs",
    security(("bearer" = ["jobs:write"])),
    params(("id" = JobId, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 409, description = "It was not given up",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn discard_job(
    caller: Caller<JobsWrite>,
    PathId(id): PathId<JobId>,
) -> Result<Json<JobView>, Problem> {
    let job = caller
        .write("jobs.discard_own", async |tx| {
            let job = jobs::discard_own(tx, id, caller.now).await?;
            // The recording it was to store or fetch: left as it is, it would be found unfinished and get another job.
            if let Some(recording) = about::<RecordingId>(&job, "recording_id") {
                match recordings::give_up(tx, recording, NOT_WANTED, caller.now).await {
                    Ok(_) | Err(store::Error::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let data = Map::from_iter([("name".to_owned(), Value::from(job.name.as_str()))]);
            caller.audit(tx, AuditKind::JobDiscarded, Some(("job", id.to_string())), data).await?;
            Ok(job)
        })
        .await?;
    Ok(Json(job.into()))
}
