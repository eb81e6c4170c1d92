//! Is the node alive, and does it take calls? No more than that: these are open to everybody.

use crate::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The database must answer a probe within this time.
const PING_DEADLINE: Duration = Duration::from_secs(2);

/// Whether it works.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    /// `ok`, `stopping`, `database unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether it works, and what it is.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthSummary)]
pub(crate) struct SummaryBody {
    /// `ok`, `stopping`, `database unavailable`.
    #[schema(example = "ok")]
    status: &'static str,
    /// Version of the program.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(summary)).routes(routes!(live)).routes(routes!(ready))
}

/// For people, and for balancers that know only one address.
#[utoipa::path(
    get, path = "/health", tag = "health", operation_id = "health",
    responses(
        (status = 200, description = "New calls may come here", body = SummaryBody),
        (status = 503, description = "They may not", body = SummaryBody),
    ),
)]
pub(crate) async fn summary(State(app): State<Arc<App>>) -> (StatusCode, Json<SummaryBody>) {
    let (code, status) = readiness(&app).await;
    (code, Json(SummaryBody { status, version: app.version }))
}

/// The process works. Touches nothing else, so that a database that is away restarts nobody.
#[utoipa::path(
    get, path = "/health/live", tag = "health", operation_id = "health_live",
    responses((status = 200, description = "It does", body = HealthBody)),
)]
pub(crate) async fn live() -> Json<HealthBody> {
    Json(HealthBody { status: "ok" })
}

/// New calls may come here.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", operation_id = "health_ready",
    responses(
        (status = 200, description = "They may", body = HealthBody),
        (status = 503, description = "They may not", body = HealthBody),
    ),
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<HealthBody>) {
    let (code, status) = readiness(&app).await;
    (code, Json(HealthBody { status }))
}

async fn readiness(app: &App) -> (StatusCode, &'static str) {
    if app.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    match tokio::time::timeout(PING_DEADLINE, app.store.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "database unavailable"),
    }
}
