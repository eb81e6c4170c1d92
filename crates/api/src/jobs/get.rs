//! `GET /api/jobs/{id}`.

use super::JobView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::JobsRead;
use crate::{Caller, Problem};
use axum::Json;
use model::JobId;
use store::jobs;

/// Shows a job.
#[utoipa::path(
    get,
    path = "/api/jobs/{id}",
    tag = "jobs",
    security(("bearer" = ["jobs:read"])),
    params(("id" = JobId, Path, description = "The job")),
    responses((status = 200, description = "The job", body = JobView)),
)]
pub(crate) async fn get_job(caller: Caller<JobsRead>, PathId(id): PathId<JobId>) -> Result<Json<JobView>, Problem> {
    let job = caller.read("jobs.get_own", async |tx| Ok(jobs::get_own(tx, id).await?)).await?;
    Ok(Json(job.into()))
}
