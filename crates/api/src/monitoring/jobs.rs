//! `GET /api/monitoring/jobs`.

use crate::jobs::JobStateName;
use crate::{App, Operator, Problem};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::sync::Arc;
use store::jobs::{self, JobCount, JobState};
use utoipa::ToSchema;

/// How the work behind the requests fares.
#[derive(Serialize, ToSchema)]
#[schema(as = JobFigures)]
pub(crate) struct JobsBody {
    /// How many jobs there are, by name, queue and state.
    jobs: Vec<JobsCountBody>,
    /// For how long the one that has waited longest has been due, seconds; null when none is due. More than a few
    /// seconds: the runners do not keep up, or there is none for its queue.
    #[schema(example = 2)]
    oldest_due_s: Option<u64>,
}

/// Jobs of one name, queue and state.
#[derive(Serialize, ToSchema)]
#[schema(as = JobCount)]
struct JobsCountBody {
    /// What is to be done.
    #[schema(example = "store_recording")]
    name: String,
    /// Which runners take it: `default` any, `node:` and a name that node's.
    #[schema(example = "default")]
    queue: String,
    /// Where they stand.
    state: JobStateName,
    /// How many.
    #[schema(example = 3)]
    count: u64,
    /// For how long the oldest of those that wait has been due, seconds; null when none is due.
    #[schema(example = 2)]
    oldest_due_s: Option<u64>,
}

/// How many jobs there are, by name, queue and state, and how far behind the runners are.
#[utoipa::path(
    get, path = "/api/monitoring/jobs", tag = "monitoring", operation_id = "get_job_figures",
    responses((status = 200, description = "The figures of the installation", body = JobsBody)),
    security(("operator" = [])),
)]
pub(crate) async fn get_jobs(_: Operator, State(app): State<Arc<App>>) -> Result<Json<JobsBody>, Problem> {
    let counts = app.store.system_read("jobs.counts", jobs::counts).await?;
    let now = app.now();
    let jobs: Vec<JobsCountBody> = counts
        .into_iter()
        .map(|count| JobsCountBody {
            oldest_due_s: due_s(&count, now),
            name: count.name,
            queue: count.queue,
            state: count.state.into(),
            count: count.count,
        })
        .collect();
    Ok(Json(JobsBody { oldest_due_s: jobs.iter().filter_map(|count| count.oldest_due_s).max(), jobs }))
}

fn due_s(count: &JobCount, now: DateTime<Utc>) -> Option<u64> {
    match count.state {
        JobState::Queued => u64::try_from((now - count.oldest_run_at).num_seconds()).ok(),
        JobState::Running | JobState::Done | JobState::Dead | JobState::Discarded => None,
    }
}
