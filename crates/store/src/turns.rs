//! Turns: the transcript of a call.

use crate::sql::{self, Row, row_statements, sql, statements};
use crate::{Error, Tx, ids};
use chrono::{DateTime, Utc};
use model::limits::TURNS_PER_CALL_MAX;
use model::{CallId, Latency, TranscriptTurn};
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most turns in a page: a turn has 16 KiB at most, and a page is one body.
const PAGE_MAX: u32 = 200;

statements! {
    LIST = "turns.list" ["select turn_index, role, text, intended, interrupted, started_ms, ended_ms, latency from turns
        where tenant_id = $1 and call_id = $2 order by turn_index limit $3"];
    PAGE = "turns.page" ["select turn_index, role, text, intended, interrupted, started_ms, ended_ms, latency from turns
        where tenant_id = $1 and call_id = $2 and turn_index > $3 order by turn_index limit $4"];
}

row_statements! {
    APPEND = "turns.append" ["insert into turns
        (id, tenant_id, call_id, turn_index, role, text, intended, interrupted, started_ms, ended_ms, latency)
        select r.id, $1, r.call_id, r.turn_index, r.role, r.text, r.intended, r.interrupted, r.started_ms, r.ended_ms,
            r.latency
        from"]
        "$2" (id uuid, call_id uuid, turn_index bigint, role text, text text, intended text, interrupted boolean,
            started_ms bigint, ended_ms bigint, latency jsonb)
        ["where true on conflict (call_id, turn_index) do update set
            role = excluded.role, text = excluded.text, intended = excluded.intended,
            interrupted = excluded.interrupted, started_ms = excluded.started_ms, ended_ms = excluded.ended_ms,
            latency = excluded.latency
        where turns.tenant_id = $1"];
}

/// What is said in one call.
pub type Said<'a> = (CallId, &'a [TranscriptTurn]);

#[derive(Serialize)]
struct Adding<'a> {
    id: sql::Id,
    call_id: sql::Id,
    turn_index: u32,
    role: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    intended: Option<&'a str>,
    interrupted: bool,
    started_ms: u64,
    ended_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<&'a Latency>,
}

impl<'a> Adding<'a> {
    fn new(id: Uuid, call: CallId, turn: &'a TranscriptTurn) -> Self {
        Self {
            id: sql::Id(id),
            call_id: sql::Id(call.into()),
            turn_index: turn.index,
            role: turn.role.as_str(),
            text: &turn.text,
            intended: turn.intended.as_deref(),
            interrupted: turn.interrupted,
            started_ms: turn.started_ms,
            ended_ms: turn.ended_ms,
            latency: turn.latency.as_ref(),
        }
    }
}

fn turn(row: &Row) -> Result<TranscriptTurn, Error> {
    Ok(TranscriptTurn {
        index: row.unsigned("turn_index")?,
        role: row.word("role")?,
        text: row.get("text")?,
        intended: row.get("intended")?,
        interrupted: row.get("interrupted")?,
        started_ms: row.unsigned("started_ms")?,
        ended_ms: row.unsigned("ended_ms")?,
        latency: row.json_opt("latency")?,
    })
}

/// Adds turns. A turn whose index is there already replaces it, so that a repeated write does no harm and an answer
/// that was cut short can be corrected.
///
/// # Errors
/// [`Error::NotFound`] when the call is not this tenant's; [`Error::Conflict`] past the most turns of a call.
pub async fn append(tx: &mut Tx, call: CallId, turns: &[TranscriptTurn], now: DateTime<Utc>) -> Result<(), Error> {
    append_together(tx, &[(call, turns)], now).await
}

/// Adds turns of many calls in one statement: what a statement costs is mostly its way to the database and back. Otherwise
/// like [`append`]; all or nothing.
///
/// # Errors
/// As [`append`], when it is so with any of them.
pub async fn append_together(tx: &mut Tx, said: &[Said<'_>], now: DateTime<Utc>) -> Result<(), Error> {
    // The last of an index counts.
    let mut turns: BTreeMap<(CallId, u32), &TranscriptTurn> = BTreeMap::new();
    for (call, said) in said {
        turns.extend(said.iter().map(|turn| ((*call, turn.index), turn)));
    }
    if turns.keys().any(|(_, index)| *index >= TURNS_PER_CALL_MAX) {
        return Err(Error::Conflict("the call has too many turns"));
    }
    if turns.is_empty() {
        return Ok(());
    }
    let ids = ids::batch(now, turns.len())?;
    let rows: Vec<Adding<'_>> =
        turns.iter().zip(ids).map(|(((call, _), turn), id)| Adding::new(id, *call, turn)).collect();
    let changed = sql(&APPEND).bind(tx.tenant()).bind(sql::rows(&rows)?).run(tx).await?;
    if changed < rows.len() as u64 { Err(Error::NotFound) } else { Ok(()) }
}

/// The whole transcript, in order; empty when there is none or the call is not this tenant's.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, call: CallId) -> Result<Vec<TranscriptTurn>, Error> {
    sql(&LIST).bind(tx.tenant()).bind(call).bind(TURNS_PER_CALL_MAX).all(tx, turn).await
}

/// Turns in order, those after `after`, at most `limit`, and whether more follow.
///
/// # Errors
/// When the database fails.
pub async fn page(
    tx: &mut Tx,
    call: CallId,
    after: Option<u32>,
    limit: u32,
) -> Result<(Vec<TranscriptTurn>, bool), Error> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut turns = sql(&PAGE)
        .bind(tx.tenant())
        .bind(call)
        .bind(after.map_or(-1, i64::from))
        .bind(i64::from(limit) + 1)
        .all(tx, turn)
        .await?;
    let more = turns.len() > limit as usize;
    turns.truncate(limit as usize);
    Ok((turns, more))
}
