//! `GET /api/calls/{id}`.

use super::CallView;
use super::records::{AnalysisView, CostLineView, cost_lines};
use crate::auth::path_id::PathId;
use crate::caller::scopes::CallsRead;
use crate::{Caller, Problem};
use axum::Json;
use model::{AuditKind, CallId, CallUsage};
use serde::Serialize;
use serde_json::{Map, Value};
use store::{call_records, calls};
use utoipa::ToSchema;

/// A call with what it was about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CallDetail)]
pub(crate) struct CallDetailView {
    #[serde(flatten)]
    call: CallView,
    /// What the call was about; null when there is no summary.
    summary: Option<String>,
    /// What the call collected, by name.
    #[schema(value_type = Object, example = json!({ "book_visit": { "day": "2026-11-25", "name": "Asha" } }))]
    data: Value,
    /// What the agent was told of a call that was placed, by name.
    #[schema(value_type = Object, example = json!({ "name": "Asha", "visit_on": "2026-11-25" }))]
    variables: Map<String, Value>,
    /// What the call used of its providers, and what went on in it, counted; null when it had no media or its end is not
    /// known.
    usage: Option<CallUsage>,
    /// What each provider's work cost. One without a price is not in the sum.
    cost_lines: Vec<CostLineView>,
    /// What was made of it; null when there is nothing.
    analysis: Option<AnalysisView>,
    /// Why the last analysis could not be made, or not yet.
    analysis_error: Option<String>,
    /// How often an analysis was asked for.
    analyses: u32,
}

/// Shows a call with its summary, what it collected and what was made of it. Who looks is on record.
#[utoipa::path(
    get,
    path = "/api/calls/{id}",
    tag = "calls",
    security(("bearer" = ["calls:read"])),
    params(("id" = CallId, Path, description = "The call")),
    responses((status = 200, description = "The call", body = CallDetailView)),
)]
pub(crate) async fn get_call(
    caller: Caller<CallsRead>,
    PathId(id): PathId<CallId>,
) -> Result<Json<CallDetailView>, Problem> {
    let (call, record) = caller
        .write("calls.get", async |tx| {
            let call = calls::get(tx, id).await?;
            let record = call_records::get(tx, id).await?;
            caller.audit(tx, AuditKind::DataAccessed, Some(("call", id.to_string())), Map::new()).await?;
            Ok((call, record))
        })
        .await?;
    let view = CallView::of(&call);
    Ok(Json(CallDetailView {
        call: view,
        summary: call.summary,
        data: call.data,
        variables: call.variables,
        usage: record.usage,
        cost_lines: cost_lines(record.cost),
        analysis: record.analysis.map(AnalysisView::from),
        analysis_error: record.error,
        analyses: record.analyses,
    }))
}
