//! `GET /api/jobs`.

use super::{JobStateName, JobView};
use crate::caller::scopes::JobsRead;
use crate::listing::{ListBody, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use serde::Deserialize;
use store::jobs;
use utoipa::{IntoParams, ToSchema};

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobsQuery {
    /// Only of this state.
    state: Option<JobStateName>,
    /// Only of this name.
    #[schema(min_length = 1, max_length = 64)]
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// Where to go on: `next_cursor` of the page before.
    #[schema(max_length = 64)]
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Rows wanted.
    #[schema(minimum = 1, maximum = 200)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists the work that goes on behind the requests.
///
/// What is done or discarded is kept for 7 days, what was given up until somebody tries it again or discards it.
#[utoipa::path(
    get,
    path = "/api/jobs",
    tag = "jobs",
    security(("bearer" = ["jobs:read"])),
    params(JobsQuery),
    responses((status = 200, description = "A page of jobs", body = ListBody<JobView>)),
)]
pub(crate) async fn list_jobs(
    caller: Caller<JobsRead>,
    ValidQuery(query): ValidQuery<JobsQuery>,
) -> Result<Json<ListBody<JobView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let (state, name) = (query.state.map(Into::into), query.name.as_deref());
    let page = caller.read("jobs.list_own", async |tx| Ok(jobs::list_own(tx, state, name, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, JobView::from)))
}
