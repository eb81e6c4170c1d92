//! Requests that carry an `Idempotency-Key`: the first one's answer is kept in the transaction of its effect, so that the
//! effect and the answer are there together, once. One that comes meanwhile waits for the first to end.

use crate::sql::{sql, statements};
use crate::{Error, SystemTx, Tx};
use chrono::{DateTime, Duration, Utc};
use serde_json::Value;

/// Most characters of a key.
pub const KEY_CHARS_MAX: usize = 255;
/// How long an answer is kept: a client that repeats does so within a day.
pub const KEPT: Duration = Duration::hours(24);

statements! {
    BEGIN = "idempotency.begin" ["insert into idempotency_keys
        (tenant_id, route, idempotency_key, body_hash, status, body, created_at)
        values ($1, $2, $3, $4, null, null, $5)
        on conflict (tenant_id, route, idempotency_key) do update set
            body_hash = excluded.body_hash, status = null, body = null, created_at = excluded.created_at
            where idempotency_keys.created_at <= $6
        returning route"];
    ANSWER = "idempotency.answer" ["select body_hash, status, body from idempotency_keys
        where tenant_id = $1 and route = $2 and idempotency_key = $3"];
    FINISH = "idempotency.finish" ["update idempotency_keys set status = $4, body = $5
        where tenant_id = $1 and route = $2 and idempotency_key = $3 and status is null"];
    PURGE = "idempotency.purge" ["delete from idempotency_keys where created_at < $1"];
}

/// What [`begin`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// Nothing: do it, and [`finish`] in the same transaction.
    First,
    /// The same request was answered: answer the same.
    Replay {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Value,
    },
    /// The key belongs to a request with another body.
    OtherBody,
}

struct Answer {
    body_hash: [u8; 32],
    status: Option<u16>,
    body: Option<String>,
}

/// Whether this request is the first with its key on this route (`POST /v1/calls`). `body_hash` is the SHA-256 of its
/// body.
///
/// # Errors
/// [`Error::Conflict`] when the key is empty or too long, or when the first request was kept without an answer;
/// [`Error::Busy`] when the first takes longer than a statement may.
pub async fn begin(
    tx: &mut Tx,
    route: &str,
    key: &str,
    body_hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<Begun, Error> {
    if key.is_empty() || key.contains('\0') || key.chars().nth(KEY_CHARS_MAX).is_some() {
        return Err(Error::Conflict("an idempotency key has 1 to 255 characters"));
    }
    let tenant = tx.tenant();
    let first = sql(&BEGIN)
        .bind(tenant)
        .bind(route)
        .bind(key)
        .bind(body_hash)
        .bind(now)
        .bind(now - KEPT)
        .one(tx, |row| row.get::<String>("route"))
        .await?;
    if first.is_some() {
        return Ok(Begun::First);
    }
    let answer = sql(&ANSWER)
        .bind(tenant)
        .bind(route)
        .bind(key)
        .one(tx, |row| {
            Ok(Answer {
                body_hash: row.hash("body_hash")?,
                status: row.unsigned_opt("status")?,
                body: row.get("body")?,
            })
        })
        .await?
        // Removed between the two statements.
        .ok_or(Error::Busy)?;
    match answer {
        Answer { body_hash: other, .. } if other != body_hash => Ok(Begun::OtherBody),
        Answer { status: Some(status), body: Some(body), .. } => {
            let body = serde_json::from_str(&body).map_err(|_| Error::broken("a kept answer is no JSON"))?;
            Ok(Begun::Replay { status, body })
        }
        Answer { .. } => Err(Error::Conflict("the first request with this key left no answer")),
    }
}

/// Keeps the answer, in the transaction that [`begin`] was called in.
///
/// # Errors
/// [`Error::NotFound`] when `begin` did not say [`Begun::First`] for this key.
pub async fn finish(tx: &mut Tx, route: &str, key: &str, status: u16, body: &Value) -> Result<(), Error> {
    let kept = sql(&FINISH)
        .bind(tx.tenant())
        .bind(route)
        .bind(key)
        .bind(u32::from(status))
        .bind(body.to_string())
        .run(tx)
        .await?;
    if kept == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Removes what was kept before this time ([`KEPT`] ago); how many.
///
/// # Errors
/// When the database fails.
pub async fn purge(tx: &mut SystemTx, before: DateTime<Utc>) -> Result<u64, Error> {
    sql(&PURGE).bind(before).run(tx).await
}
