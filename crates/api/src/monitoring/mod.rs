//! The installation itself, for whoever runs it.

mod jobs;
mod requests;
mod retry_stats;

use crate::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(requests::get_requests))
        .routes(routes!(jobs::get_jobs))
        .routes(routes!(retry_stats::get_retry_stats))
}
