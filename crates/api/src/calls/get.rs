//! `GET /api/calls/{id}`.

use super::CallView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::CallsRead;
use crate::{Caller, Problem};
use axum::Json;
use model::{AuditKind, CallId};
use serde::Serialize;
use serde_json::{Map, Value};
use store::calls;
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
}

/// Shows a call with its summary and what it collected. Who looks is on record.
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
    let call = caller
        .write("calls.get", async |tx| {
            let call = calls::get(tx, id).await?;
            caller.audit(tx, AuditKind::DataAccessed, Some(("call", id.to_string())), Map::new()).await?;
            Ok(call)
        })
        .await?;
    let view = CallView::of(&call);
    Ok(Json(CallDetailView { call: view, summary: call.summary, data: call.data, variables: call.variables }))
}
