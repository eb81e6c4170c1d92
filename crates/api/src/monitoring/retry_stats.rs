//! `GET /api/monitoring/retry-stats`.

use crate::{App, Operator, RetryStats};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How often requests to others were repeated, and what came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = RetryFigures)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RetryStatsBody {
    /// Requests that were repeated.
    #[schema(example = 40)]
    total_retries: u64,
    /// Of them, those that then succeeded.
    #[schema(example = 36)]
    successful_retries: u64,
    /// Of them, those that failed all the same.
    #[schema(example = 4)]
    failed_retries: u64,
    /// How often a breaker opened.
    #[schema(example = 1)]
    circuit_breaker_triggered: u64,
    /// The share of those that succeeded, 0 to 1; null while none has come to an end.
    #[schema(example = 0.9)]
    retry_success_rate: Option<f64>,
    /// Breakers that are open or on trial: requests to these are refused at once.
    breakers: Vec<OpenBreakersBody>,
}

/// Open breakers of one kind of target, of all organisations.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenBreakers)]
struct OpenBreakersBody {
    /// What the requests are for.
    #[schema(example = "objects")]
    target: &'static str,
    /// How many.
    #[schema(example = 1)]
    open: u64,
}

impl From<RetryStats> for RetryStatsBody {
    fn from(stats: RetryStats) -> Self {
        let ended = stats.successful_retries.saturating_add(stats.failed_retries);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
        let rate = (ended > 0).then(|| stats.successful_retries as f64 / ended as f64);
        Self {
            total_retries: stats.total_retries,
            successful_retries: stats.successful_retries,
            failed_retries: stats.failed_retries,
            circuit_breaker_triggered: stats.circuit_breaker_triggered,
            retry_success_rate: rate,
            breakers: stats.open_breakers.into_iter().map(|(target, open)| OpenBreakersBody { target, open }).collect(),
        }
    }
}

/// How often requests to other services were repeated, what came of it, and which breakers are open.
#[utoipa::path(
    get, path = "/api/monitoring/retry-stats", tag = "monitoring", operation_id = "get_retry_figures",
    responses((status = 200, description = "The figures of this node, since its start", body = RetryStatsBody)),
    security(("operator" = [])),
)]
pub(crate) async fn get_retry_stats(_: Operator, State(app): State<Arc<App>>) -> Json<RetryStatsBody> {
    Json((app.retry_stats)().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_share_needs_something_to_be_a_share_of() {
        for (successful_retries, failed_retries, want) in
            [(0, 0, json!(null)), (3, 1, json!(0.75)), (0, 2, json!(0.0)), (2, 0, json!(1.0))]
        {
            let stats = RetryStats { total_retries: 9, successful_retries, failed_retries, ..RetryStats::default() };
            let body = serde_json::to_value(RetryStatsBody::from(stats)).expect("JSON");
            assert_eq!(body["retrySuccessRate"], want);
            assert_eq!(body["totalRetries"], 9);
        }
    }
}
