//! `POST /api/jobs/{id}/retry`.

use super::{JobView, about};
use crate::auth::path_id::PathId;
use crate::caller::scopes::JobsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Problem};
use axum::Json;
use axum::http::StatusCode;
use model::{AuditKind, JobId, RecordingId};
use serde_json::{Map, Value};
use store::{jobs, recordings};

/// Has a job that was given up tried again, with all its attempts.
#[utoipa::path(
    post,
    path = "/api/jobs/{id}/retry",
    tag = "jobs",
    security(("bearer" = ["jobs:write"])),
    params(("id" = JobId, Path, description = "The job")),
    responses(
        (status = 202, description = "It will be tried", body = JobView),
        (status = 409, description = "It was not given up, or another one has the same to do",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn retry_job(
    caller: Caller<JobsWrite>,
    PathId(id): PathId<JobId>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let job = caller
        .write("jobs.requeue_own", async |tx| {
            let job = jobs::requeue_own(tx, id, caller.now).await?;
            // The recording was given up with it; one that is gone or stored meanwhile is the job's to judge.
            if let Some(recording) = about::<RecordingId>(&job, "recording_id") {
                match recordings::retry(tx, recording, caller.now).await {
                    Ok(_) | Err(store::Error::NotFound) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let data = Map::from_iter([("name".to_owned(), Value::from(job.name.as_str()))]);
            caller.audit(tx, AuditKind::JobRetried, Some(("job", id.to_string())), data).await?;
            Ok(job)
        })
        .await?;
    caller.app.jobs_wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}
