//! Agents: how calls are answered.

mod create;
mod delete;
mod get;
mod list;
mod rules;
mod update;

use crate::{App, Author, Problem};
use axum::extract::DefaultBodyLimit;
use chrono::{DateTime, Utc};
use model::limits::AGENT_CONFIG_BYTES_MAX;
use model::{AgentConfig, AgentId, AuditKind};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::sync::Arc;
use store::Tx;
use store::agents::{self, StoredAgent};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest body: a configuration as another program may write it, with every letter that is not ASCII escaped.
const BODY_BYTES_MAX: usize = 2 * AGENT_CONFIG_BYTES_MAX;

/// An agent as it is to be.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentBody, example = json!({
    "name": "Receptionist",
    "config": {
        "language": "en-IN",
        "greeting": "Hello, this is Sunrise Clinic. How can I help you?",
        "brain": {
            "kind": "language-model",
            "base_url": "https://models.example.org/v1",
            "model": "qwen3-30b",
            "system_prompt": "You answer the telephone of a clinic. Be brief.",
        },
        "turn_taking": { "pause_long_ms": 1200 },
        "tools": { "book_visit": { "kind": "record" } },
    },
}))]
pub(crate) struct AgentBody {
    /// Shown to people.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters")]
    name: String,
    /// What it says and how it listens; 256 KiB at most.
    config: AgentConfig,
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(crate) struct AgentView {
    /// Its id.
    id: AgentId,
    /// Shown to people.
    name: String,
    /// What it says and how it listens, every default written out.
    config: AgentConfig,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<StoredAgent> for AgentView {
    fn from(stored: StoredAgent) -> Self {
        let StoredAgent { agent, created_at, updated_at } = stored;
        Self { id: agent.id, name: agent.name, config: agent.config, created_at, updated_at }
    }
}

/// Makes an agent; who did it is on record.
///
/// # Errors
/// When the database fails.
pub async fn make_agent(
    tx: &mut Tx,
    author: &Author,
    name: &str,
    config: &AgentConfig,
    now: DateTime<Utc>,
) -> Result<StoredAgent, Problem> {
    let made = agents::create(tx, name, config, now).await?;
    author.audit(tx, AuditKind::AgentCreated, Some(("agent", made.agent.id.to_string())), Map::new(), now).await?;
    Ok(made)
}

/// Replaces an agent's name and configuration; who did it is on record.
///
/// # Errors
/// [`Code::NotFound`](crate::Code::NotFound); when the database fails.
pub async fn change_agent(
    tx: &mut Tx,
    author: &Author,
    id: AgentId,
    name: &str,
    config: &AgentConfig,
    now: DateTime<Utc>,
) -> Result<StoredAgent, Problem> {
    let changed = agents::update(tx, id, name, config, now).await?;
    author.audit(tx, AuditKind::AgentUpdated, Some(("agent", id.to_string())), Map::new(), now).await?;
    Ok(changed)
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_agents, create::create_agent))
        .routes(routes!(get::get_agent, update::update_agent, delete::delete_agent))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}
