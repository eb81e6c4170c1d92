//! `DELETE /api/agents/{id}`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::AgentsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Problem};
use axum::http::StatusCode;
use model::{AgentId, AuditKind};
use serde_json::Map;
use store::agents;

/// Deletes an agent that has no phone numbers and never had a call.
#[utoipa::path(
    delete,
    path = "/api/agents/{id}",
    tag = "agents",
    security(("bearer" = ["agents:write"])),
    params(("id" = AgentId, Path, description = "The agent")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It has phone numbers or calls",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete_agent(
    caller: Caller<AgentsWrite>,
    PathId(id): PathId<AgentId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("agents.delete", async |tx| {
            agents::delete(tx, id).await?;
            caller.audit(tx, AuditKind::AgentDeleted, Some(("agent", id.to_string())), Map::new()).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
