//! Is the node alive, and does it take calls?

use crate::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The database must answer a probe within this time.
const PING_DEADLINE: Duration = Duration::from_secs(2);

/// `GET /health`: for people and balancers that know only one address.
pub(crate) async fn summary(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (status, body) = readiness(&app).await;
    (status, Json(json!({ "status": body, "version": app.version })))
}

/// `GET /health/live`: the process works. Touches nothing else, so that a database that is away restarts nobody.
pub(crate) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: new calls may come here.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (status, body) = readiness(&app).await;
    (status, Json(json!({ "status": body })))
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
