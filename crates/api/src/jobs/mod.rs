//! Work that goes on behind the requests: what is to come, what was done, and what was given up.

mod discard;
mod get;
mod list;
mod retry;

use crate::App;
use chrono::{DateTime, Utc};
use model::{CallId, JobId, RecordingId};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::Arc;
use store::jobs::{Job, JobState};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[schema(as = JobState)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum JobStateName {
    /// To be run, at or after its time.
    Queued,
    /// It is being run.
    Running,
    /// Carried out.
    Done,
    /// Given up: every attempt failed, or another would not help.
    Dead,
    /// Given up, and taken off the list by somebody.
    Discarded,
}

impl From<JobState> for JobStateName {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Dead => Self::Dead,
            JobState::Discarded => Self::Discarded,
        }
    }
}

impl From<JobStateName> for JobState {
    fn from(name: JobStateName) -> Self {
        match name {
            JobStateName::Queued => Self::Queued,
            JobStateName::Running => Self::Running,
            JobStateName::Done => Self::Done,
            JobStateName::Dead => Self::Dead,
            JobStateName::Discarded => Self::Discarded,
        }
    }
}

/// A job. What it works with is not shown, only what it is about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobView {
    /// Its id.
    id: JobId,
    /// What is to be done.
    #[schema(example = "store_recording")]
    name: String,
    /// Where it stands.
    state: JobStateName,
    /// How often it was begun.
    #[schema(example = 2)]
    attempts: u32,
    /// How often it may be.
    #[schema(example = 20)]
    attempts_max: u32,
    /// Not before.
    run_at: DateTime<Utc>,
    /// What went wrong last.
    last_error: Option<String>,
    /// About which call, if it is about one.
    call_id: Option<CallId>,
    /// About which recording, if it is about one.
    recording_id: Option<RecordingId>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When its state last changed.
    updated_at: DateTime<Utc>,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            call_id: about(&job, "call_id"),
            recording_id: about(&job, "recording_id"),
            id: job.id,
            name: job.name,
            state: job.state.into(),
            attempts: job.attempts,
            attempts_max: job.attempts_max,
            run_at: job.run_at,
            last_error: job.last_error,
            created_at: job.created_at,
            updated_at: job.updated_at,
        }
    }
}

/// An id that its payload names.
fn about<T: FromStr>(job: &Job, field: &str) -> Option<T> {
    job.payload.get(field)?.as_str()?.parse().ok()
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_jobs))
        .routes(routes!(get::get_job))
        .routes(routes!(retry::retry_job))
        .routes(routes!(discard::discard_job))
}
