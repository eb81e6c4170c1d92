//! The outbox: what must follow a change, written in the same transaction and carried out after it.

use crate::sql::{Row, sql, statements};
use crate::{Error, Page, PageRequest, SystemTx, Tx, ids, webhook_endpoints};
use chrono::{DateTime, Utc};
use model::{EventKind, TenantId};
use uuid::Uuid;

/// Messages taken at once.
const TAKE_MAX: u32 = 500;

statements! {
    PUSH = "outbox.push" ["insert into outbox (id, tenant_id, kind, data, created_at) values ($1, $2, $3, $4, $5)"];
    TAKE = "outbox.take" ["update outbox set taken_at = $1
        where taken_at is null and id in (
            select id from outbox where taken_at is null order by created_at, id limit $2)
        returning id, tenant_id, kind, data, created_at"];
    WAITING = "outbox.waiting" ["select 1 as one from outbox where taken_at is null limit 1"];
    LIST = "outbox.list" ["select id, tenant_id, kind, data, created_at from outbox
        where tenant_id = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4"];
    PURGE = "outbox.purge" ["delete from outbox where taken_at is not null and taken_at < $1"];
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// Whose change it was.
    pub tenant: TenantId,
    /// What happened: `call.ended`.
    pub kind: String,
    /// The particulars: a JSON object.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
}

fn message(row: &Row) -> Result<Message, Error> {
    Ok(Message {
        id: row.get("id")?,
        tenant: row.id("tenant_id")?,
        kind: row.get("kind")?,
        data: row.json("data")?,
        created_at: row.get("created_at")?,
    })
}

/// Adds a message.
///
/// # Errors
/// [`Error::NotFound`] when there is no such tenant.
pub async fn push(
    tx: &mut Tx,
    kind: &str,
    data: serde_json::Map<String, serde_json::Value>,
    now: DateTime<Utc>,
) -> Result<Uuid, Error> {
    let id = ids::new(now)?;
    sql(&PUSH).bind(id).bind(tx.tenant()).bind(kind).bind(serde_json::Value::Object(data)).bind(now).run(tx).await?;
    Ok(id)
}

/// Adds a message of a kind that is frequent, when the tenant has an endpoint that gets events of this kind; otherwise
/// nothing, and `None`.
///
/// # Errors
/// When the database fails.
pub async fn push_if_wanted(
    tx: &mut Tx,
    kind: EventKind,
    data: serde_json::Map<String, serde_json::Value>,
    now: DateTime<Utc>,
) -> Result<Option<Uuid>, Error> {
    if is_wanted(tx, kind).await? { push(tx, kind.as_str(), data, now).await.map(Some) } else { Ok(None) }
}

/// Whether the tenant has an endpoint that gets events of this kind.
///
/// # Errors
/// When the database fails.
pub async fn is_wanted(tx: &mut Tx, kind: EventKind) -> Result<bool, Error> {
    Ok(webhook_endpoints::listening(tx).await?.iter().any(|endpoint| endpoint.wants(kind)))
}

/// Takes the oldest messages, in order. They count as taken when this transaction commits: enqueue the jobs that carry
/// them out in the same one.
///
/// # Errors
/// When the database fails.
pub async fn take(tx: &mut SystemTx, limit: u32, now: DateTime<Utc>) -> Result<Vec<Message>, Error> {
    let mut messages = sql(&TAKE).bind(now).bind(limit.clamp(1, TAKE_MAX)).all(tx, message).await?;
    messages.sort_by_key(|message| (message.created_at, message.id));
    Ok(messages)
}

/// Whether there is anything to take. Asked often, in a transaction that only reads.
///
/// # Errors
/// When the database fails.
pub async fn waiting(tx: &mut SystemTx) -> Result<bool, Error> {
    Ok(sql(&WAITING).one(tx, |_| Ok(())).await?.is_some())
}

/// A page of a tenant's messages that are still kept, taken or not, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, page: PageRequest) -> Result<Page<Message>, Error> {
    let list = sql(&LIST).bind(tx.tenant());
    page.fetch(list, tx, message, |message| (message.created_at, message.id)).await
}

/// Removes messages taken before this time; how many.
///
/// # Errors
/// When the database fails.
pub async fn purge(tx: &mut SystemTx, taken_before: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(taken_before).run(tx).await
}
