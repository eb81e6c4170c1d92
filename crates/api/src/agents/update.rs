//! `PUT /api/agents/{id}`.

use super::{AgentBody, AgentView, change_agent, rules};
use crate::auth::path_id::PathId;
use crate::caller::scopes::AgentsWrite;
use crate::{Caller, Problem, Valid};
use axum::Json;
use model::AgentId;

/// Replaces an agent's name and configuration.
///
/// Calls in progress go on as they began.
#[utoipa::path(
    put,
    path = "/api/agents/{id}",
    tag = "agents",
    security(("bearer" = ["agents:write"])),
    params(("id" = AgentId, Path, description = "The agent")),
    request_body = AgentBody,
    responses((status = 200, description = "The agent as it is now", body = AgentView)),
)]
pub(crate) async fn update_agent(
    caller: Caller<AgentsWrite>,
    PathId(id): PathId<AgentId>,
    Valid(body): Valid<AgentBody>,
) -> Result<Json<AgentView>, Problem> {
    rules::check(&caller.app, &body.config)?;
    let agent = caller
        .write("agents.update", async |tx| {
            change_agent(tx, &caller.author(), id, &body.name, &body.config, caller.now).await
        })
        .await?;
    Ok(Json(agent.into()))
}
