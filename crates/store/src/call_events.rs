//! Call events: what happened in a call besides words, in media time.

use crate::sql::{Row, sql, statements};
use crate::{Error, Tx, ids};
use chrono::{DateTime, Utc};
use model::CallId;
use uuid::Uuid;

/// Events read at once; the next begins after the last.
const LIST_MAX: u32 = 1_000;

statements! {
    APPEND = "call_events.append" ["insert into call_events (id, tenant_id, call_id, at_ms, kind, data, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)"];
    LIST = "call_events.list" ["select id, at_ms, kind, data, created_at from call_events
        where tenant_id = $1 and call_id = $2 and (at_ms, id) > ($3, $4) order by at_ms, id limit $5"];
}

/// An event to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCallEvent {
    /// ms since the media began.
    pub at_ms: u64,
    /// What happened.
    pub kind: String,
    /// Its particulars: a JSON object.
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct CallEvent {
    /// Its id.
    pub id: Uuid,
    /// ms since the media began.
    pub at_ms: u64,
    /// What happened.
    pub kind: String,
    /// Its particulars: a JSON object.
    pub data: serde_json::Map<String, serde_json::Value>,
    /// When it was kept.
    pub created_at: DateTime<Utc>,
}

fn event(row: &Row) -> Result<CallEvent, Error> {
    Ok(CallEvent {
        id: row.get("id")?,
        at_ms: row.unsigned("at_ms")?,
        kind: row.get("kind")?,
        data: row.json("data")?,
        created_at: row.get("created_at")?,
    })
}

/// Adds events, at most 4096 at once. Not idempotent.
///
/// # Errors
/// [`Error::NotFound`] when the call is not this tenant's; [`Error::Conflict`] when there are too many.
pub async fn append(tx: &mut Tx, call: CallId, events: &[NewCallEvent], now: DateTime<Utc>) -> Result<(), Error> {
    for (event, id) in events.iter().zip(ids::batch(now, events.len())?) {
        sql(&APPEND)
            .bind(id)
            .bind(tx.tenant())
            .bind(call)
            .bind(event.at_ms)
            .bind(event.kind.as_str())
            .bind(serde_json::Value::Object(event.data.clone()))
            .bind(now)
            .run(tx)
            .await?;
    }
    Ok(())
}

/// Events in order of media time, those after `after`; at most 1000. Empty when the call is not this tenant's.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, call: CallId, after: Option<&CallEvent>, limit: u32) -> Result<Vec<CallEvent>, Error> {
    let (at_ms, id) = after.map_or((-1, Uuid::nil()), |e| (i64::try_from(e.at_ms).unwrap_or(i64::MAX), e.id));
    sql(&LIST).bind(tx.tenant()).bind(call).bind(at_ms).bind(id).bind(limit.clamp(1, LIST_MAX)).all(tx, event).await
}
