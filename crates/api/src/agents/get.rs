//! `GET /api/agents/{id}`.

use super::AgentView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::AgentsRead;
use crate::{Caller, Problem};
use axum::Json;
use model::AgentId;
use store::agents;

/// Shows an agent.
#[utoipa::path(
    get,
    path = "/api/agents/{id}",
    tag = "agents",
    security(("bearer" = ["agents:read"])),
    params(("id" = AgentId, Path, description = "The agent")),
    responses((status = 200, description = "The agent", body = AgentView)),
)]
pub(crate) async fn get_agent(
    caller: Caller<AgentsRead>,
    PathId(id): PathId<AgentId>,
) -> Result<Json<AgentView>, Problem> {
    let agent = caller.read("agents.get", async |tx| Ok(agents::get(tx, id).await?)).await?;
    Ok(Json(agent.into()))
}
