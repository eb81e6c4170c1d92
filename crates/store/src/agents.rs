//! Agents: how calls are answered.

use crate::sql::{Row, sql, statements, to_json};
use crate::{Error, Page, PageRequest, Tx, ids};
use chrono::{DateTime, Utc};
use model::{Agent, AgentConfig, AgentId};

macro_rules! columns {
    () => {
        "id, tenant_id, name, config, created_at, updated_at"
    };
}

statements! {
    CREATE = "agents.create" ["insert into agents (id, tenant_id, name, config, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $5) returning ", columns!()];
    GET = "agents.get" ["select ", columns!(), " from agents where tenant_id = $1 and id = $2"];
    LIST = "agents.list" ["select ", columns!(), " from agents
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    SUMMARIES = "agents.summaries" ["select id, name, created_at, updated_at from agents
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    UPDATE = "agents.update" ["update agents set name = $3, config = $4, updated_at = $5
        where tenant_id = $1 and id = $2 returning ", columns!()];
    DELETE = "agents.delete" ["delete from agents where tenant_id = $1 and id = $2"];
}

/// An agent and its times.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAgent {
    /// The agent.
    pub agent: Agent,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// An agent without its configuration, which may be large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSummary {
    /// Its id.
    pub id: AgentId,
    /// Shown to people.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

fn summary(row: &Row) -> Result<AgentSummary, Error> {
    Ok(AgentSummary {
        id: row.id("id")?,
        name: row.get("name")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn stored(row: &Row) -> Result<StoredAgent, Error> {
    Ok(StoredAgent {
        agent: Agent {
            id: row.id("id")?,
            tenant: row.id("tenant_id")?,
            name: row.get("name")?,
            config: row.json("config")?,
        },
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Makes one.
///
/// # Errors
/// [`Error::NotFound`] when there is no such tenant.
pub async fn create(tx: &mut Tx, name: &str, config: &AgentConfig, now: DateTime<Utc>) -> Result<StoredAgent, Error> {
    sql(&CREATE)
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(name)
        .bind(to_json(config)?)
        .bind(now)
        .required(tx, stored)
        .await
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: AgentId) -> Result<StoredAgent, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, stored).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<StoredAgent>, Error> {
    page.fetch(sql(&LIST).bind(tx.tenant()), tx, stored, |a| (a.created_at, a.agent.id.into())).await
}

/// A page without the configurations, newest first.
///
/// # Errors
/// When the database fails.
pub async fn summaries(tx: &mut Tx, page: PageRequest) -> Result<Page<AgentSummary>, Error> {
    page.fetch(sql(&SUMMARIES).bind(tx.tenant()), tx, summary, |a| (a.created_at, a.id.into())).await
}

/// Replaces name and configuration.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn update(
    tx: &mut Tx,
    id: AgentId,
    name: &str,
    config: &AgentConfig,
    now: DateTime<Utc>,
) -> Result<StoredAgent, Error> {
    sql(&UPDATE).bind(tx.tenant()).bind(id).bind(name).bind(to_json(config)?).bind(now).required(tx, stored).await
}

/// Removes one that has no numbers and never had a call.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] while numbers or calls refer to it.
pub async fn delete(tx: &mut Tx, id: AgentId) -> Result<(), Error> {
    let removed =
        sql(&DELETE).bind(tx.tenant()).bind(id).in_use("the agent has phone numbers or calls").run(tx).await?;
    if removed == 0 { Err(Error::NotFound) } else { Ok(()) }
}
