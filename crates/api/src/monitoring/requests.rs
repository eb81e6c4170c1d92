//! `GET /api/monitoring/requests`.

use crate::layers::Edge;
use crate::layers::anomalies::Anomaly;
use crate::{Operator, Problem};
use axum::{Extension, Json};
use limiter::State;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use utoipa::ToSchema;

/// How requests fare.
#[derive(Serialize, ToSchema)]
#[schema(as = RequestFigures)]
pub(crate) struct RequestsBody {
    /// How long they took in the last five to ten minutes, by route and method.
    latency: Vec<LatencyBody>,
    /// How many looked like an attack since the start. They were not refused for it.
    anomalies: AnomaliesBody,
    /// Who counts what is limited.
    limiter: LimiterBody,
}

/// How long the requests of one route took.
#[derive(Serialize, ToSchema)]
#[schema(as = RouteLatency)]
struct LatencyBody {
    /// Its method; `OTHER` for what is none of HTTP's own.
    #[schema(example = "GET")]
    method: &'static str,
    /// Its template; `-` for requests that no route takes.
    #[schema(example = "/api/agents/{id}")]
    route: String,
    /// Requests.
    #[schema(example = 1200)]
    count: u64,
    /// Half of them took no longer, milliseconds.
    #[schema(example = 2.1)]
    p50_ms: f64,
    /// 95 of 100 took no longer, milliseconds.
    #[schema(example = 7.8)]
    p95_ms: f64,
    /// 99 of 100 took no longer, milliseconds.
    #[schema(example = 21.5)]
    p99_ms: f64,
    /// The longest, milliseconds.
    #[schema(example = 64.0)]
    max_ms: f64,
}

/// Requests that looked like an attack, by kind.
#[derive(Serialize, ToSchema)]
#[schema(as = Anomalies)]
struct AnomaliesBody {
    /// A piece of SQL that no text has by chance.
    sql_injection: u64,
    /// Markup that would run in a browser.
    cross_site_scripting: u64,
    /// A command line behind a separator.
    command_injection: u64,
    /// More body than any route takes.
    oversized_request: u64,
    /// A client that does not say what it is.
    missing_user_agent: u64,
    /// Headers that contradict each other, or that only a proxy may send.
    suspicious_headers: u64,
}

/// Who counts.
#[derive(Serialize, ToSchema)]
#[schema(as = LimiterState)]
struct LimiterBody {
    /// `local`: this machine, as set up. `shared`: all machines together. `degraded`: this machine alone, since the
    /// shared count cannot be reached.
    #[schema(example = "shared")]
    state: &'static str,
    /// For how long it has been degraded, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12)]
    degraded_s: Option<u64>,
    /// Decisions made without the shared count that should have made them, since the start.
    #[schema(example = 0)]
    degraded_decisions: u64,
}

/// How long requests took by route, how many looked like an attack, and who counts what is limited.
#[utoipa::path(
    get, path = "/api/monitoring/requests", tag = "monitoring", operation_id = "get_request_figures",
    responses((status = 200, description = "The figures of this node", body = RequestsBody)),
    security(("operator" = [])),
)]
pub(crate) async fn get_requests(
    _: Operator,
    Extension(edge): Extension<Arc<Edge>>,
) -> Result<Json<RequestsBody>, Problem> {
    let now = Instant::now();
    let latency = edge.app.latencies.report(now).into_iter().map(|route| LatencyBody {
        method: route.method,
        route: route.route.to_string(),
        count: route.count,
        p50_ms: route.p50_ms,
        p95_ms: route.p95_ms,
        p99_ms: route.p99_ms,
        max_ms: route.max_ms,
    });
    let count = |kind| edge.anomalies.count(kind);
    let anomalies = AnomaliesBody {
        sql_injection: count(Anomaly::SqlInjection),
        cross_site_scripting: count(Anomaly::CrossSiteScripting),
        command_injection: count(Anomaly::CommandInjection),
        oversized_request: count(Anomaly::OversizedRequest),
        missing_user_agent: count(Anomaly::MissingUserAgent),
        suspicious_headers: count(Anomaly::SuspiciousHeaders),
    };
    let limiter = &edge.app.limiter;
    limiter.probe_when_due(now);
    let (state, degraded_s) = match limiter.state() {
        State::Local => ("local", None),
        State::Shared => ("shared", None),
        State::Degraded { since } => ("degraded", Some(now.saturating_duration_since(since).as_secs())),
    };
    let limiter = LimiterBody { state, degraded_s, degraded_decisions: limiter.degraded_decisions() };
    Ok(Json(RequestsBody { latency: latency.collect(), anomalies, limiter }))
}
