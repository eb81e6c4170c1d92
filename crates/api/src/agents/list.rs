//! `GET /api/agents`.

use crate::caller::scopes::AgentsRead;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use chrono::{DateTime, Utc};
use model::AgentId;
use serde::Serialize;
use store::agents;
use utoipa::ToSchema;

/// An agent in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentSummary)]
pub(crate) struct AgentSummaryView {
    /// Its id.
    id: AgentId,
    /// Shown to people.
    name: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// Lists agents.
#[utoipa::path(
    get,
    path = "/api/agents",
    tag = "agents",
    security(("bearer" = ["agents:read"])),
    params(ListQuery),
    responses((status = 200, description = "A page of agents", body = ListBody<AgentSummaryView>)),
)]
pub(crate) async fn list_agents(
    caller: Caller<AgentsRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<AgentSummaryView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let page = caller.read("agents.list", async |tx| Ok(agents::summaries(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, |agent| AgentSummaryView {
        id: agent.id,
        name: agent.name,
        created_at: agent.created_at,
        updated_at: agent.updated_at,
    })))
}
