//! Call events: what happened in a call besides words, in media time.

use crate::sql::{self, Row, row_statements, sql, statements};
use crate::{Error, Tx, ids};
use chrono::{DateTime, Utc};
use model::CallId;
use serde::Serialize;
use uuid::Uuid;

/// Events read at once; the next begins after the last.
const LIST_MAX: u32 = 1_000;

statements! {
    LIST = "call_events.list" ["select id, at_ms, kind, data, created_at from call_events
        where tenant_id = $1 and call_id = $2 and (at_ms, id) > ($3, $4) order by at_ms, id limit $5"];
}

row_statements! {
    APPEND = "call_events.append" ["insert into call_events (id, tenant_id, call_id, at_ms, kind, data, created_at)
        select r.id, $1, r.call_id, r.at_ms, r.kind, r.data, r.created_at from"]
        "$2" (id uuid, call_id uuid, at_ms bigint, kind text, data jsonb, created_at timestamptz) [""];
}

#[derive(Serialize)]
struct Adding<'a> {
    id: sql::Id,
    call_id: sql::Id,
    at_ms: u64,
    kind: &'a str,
    data: &'a serde_json::Map<String, serde_json::Value>,
    created_at: sql::At,
}

/// What happened in one call.
pub type Happened<'a> = (CallId, &'a [NewCallEvent]);

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
    append_together(tx, &[(call, events)], now).await
}

/// Adds events of many calls in one statement. Otherwise like [`append`]; all or nothing.
///
/// # Errors
/// As [`append`], when it is so with any of them.
pub async fn append_together(tx: &mut Tx, happened: &[Happened<'_>], now: DateTime<Utc>) -> Result<(), Error> {
    let count = happened.iter().map(|(_, events)| events.len()).sum();
    if count == 0 {
        return Ok(());
    }
    let all = happened.iter().flat_map(|(call, events)| events.iter().map(move |event| (*call, event)));
    let rows: Vec<Adding<'_>> = all
        .zip(ids::batch(now, count)?)
        .map(|((call, event), id)| Adding {
            id: sql::Id(id),
            call_id: sql::Id(call.into()),
            at_ms: event.at_ms,
            kind: &event.kind,
            data: &event.data,
            created_at: sql::At(now),
        })
        .collect();
    sql(&APPEND).bind(tx.tenant()).bind(sql::rows(&rows)?).run(tx).await.map(|_| ())
}

/// Events in order of media time, those after `after`; at most 1000. Empty when the call is not this tenant's.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, call: CallId, after: Option<&CallEvent>, limit: u32) -> Result<Vec<CallEvent>, Error> {
    let (at_ms, id) = after.map_or((-1, Uuid::nil()), |e| (i64::try_from(e.at_ms).unwrap_or(i64::MAX), e.id));
    sql(&LIST).bind(tx.tenant()).bind(call).bind(at_ms).bind(id).bind(limit.clamp(1, LIST_MAX)).all(tx, event).await
}
