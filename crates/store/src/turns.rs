//! Turns: the transcript of a call.

use crate::sql::{Row, sql, statements, to_json};
use crate::{Error, Tx, ids};
use chrono::{DateTime, Utc};
use model::limits::TURNS_PER_CALL_MAX;
use model::{CallId, TranscriptTurn};

/// Most turns in a page: a turn has 16 KiB at most, and a page is one body.
const PAGE_MAX: u32 = 200;

statements! {
    APPEND = "turns.append" ["insert into turns
        (id, tenant_id, call_id, turn_index, role, text, intended, interrupted, started_ms, ended_ms, latency)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (call_id, turn_index) do update set
            role = excluded.role, text = excluded.text, intended = excluded.intended,
            interrupted = excluded.interrupted, started_ms = excluded.started_ms, ended_ms = excluded.ended_ms,
            latency = excluded.latency
        where turns.tenant_id = $2"];
    LIST = "turns.list" ["select turn_index, role, text, intended, interrupted, started_ms, ended_ms, latency from turns
        where tenant_id = $1 and call_id = $2 order by turn_index limit $3"];
    PAGE = "turns.page" ["select turn_index, role, text, intended, interrupted, started_ms, ended_ms, latency from turns
        where tenant_id = $1 and call_id = $2 and turn_index > $3 order by turn_index limit $4"];
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
    if turns.iter().any(|turn| turn.index >= TURNS_PER_CALL_MAX) {
        return Err(Error::Conflict("the call has too many turns"));
    }
    for (turn, id) in turns.iter().zip(ids::batch(now, turns.len())?) {
        let changed = sql(&APPEND)
            .bind(id)
            .bind(tx.tenant())
            .bind(call)
            .bind(turn.index)
            .bind(turn.role)
            .bind(turn.text.as_str())
            .bind(turn.intended.as_deref())
            .bind(turn.interrupted)
            .bind(turn.started_ms)
            .bind(turn.ended_ms)
            .bind(turn.latency.as_ref().map(to_json).transpose()?)
            .run(tx)
            .await?;
        if changed == 0 {
            return Err(Error::NotFound);
        }
    }
    Ok(())
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
