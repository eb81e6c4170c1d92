//! What carriers report of calls. Reports come twice, late and out of order: each is taken once, by a unique rule of the
//! database, and what a call has learned before is not unlearned.

use crate::calls::{self, CarrierWord, Reported};
use crate::sql::{Row, sql, statements};
use crate::{Error, Tx, ids};
use chrono::{DateTime, Duration, Utc};
use model::CallId;
use serde_json::{Map, Value};

/// Reports kept of one call. A carrier sends about five; more than this is somebody who makes them up.
const PER_CALL_MAX: i64 = 100;
/// Signed requests are remembered for this long: twice the window in which their times are believed, and some.
const SIGNED_KEPT_FOR_S: i64 = 3_600;

statements! {
    ADD = "carrier_events.add" ["insert into carrier_events (id, tenant_id, call_id, kind, event_key, data, created_at)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (tenant_id, call_id, event_key) do nothing"];
    COUNT = "carrier_events.count" ["select count(*) as reports from carrier_events
        where tenant_id = $1 and call_id = $2"];
    OF_CALL = "carrier_events.of_call" ["select kind, data, created_at from carrier_events
        where tenant_id = $1 and call_id = $2 order by created_at, id limit $3"];
    SIGNED = "carrier_events.signed" ["insert into signed_requests (tenant_id, request_key, seen_at)
        values ($1, $2, $3) on conflict (tenant_id, request_key) do nothing"];
    FORGET_SIGNED = "carrier_events.forget_signed" ["delete from signed_requests
        where tenant_id = $1 and seen_at < $2"];
}

/// A report to take.
#[derive(Clone, Debug)]
pub struct NewCarrierEvent<'a> {
    /// In which message it came: `status`, `passthru`.
    pub kind: &'a str,
    /// SHA-256 of what it says.
    pub key: [u8; 32],
    /// Its particulars: a JSON object, for people who look into a call.
    pub data: Map<String, Value>,
    /// What it means for the call.
    pub word: CarrierWord<'a>,
}

/// A report that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct CarrierEvent {
    /// In which message it came.
    pub kind: String,
    /// Its particulars.
    pub data: Map<String, Value>,
    /// When it came first.
    pub created_at: DateTime<Utc>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was new, and closed a call that never had media.
    Closed,
    /// It was new, and is kept.
    Noted,
    /// It had come before; nothing changed.
    Repeated,
    /// The call has more reports than a call can have; nothing changed.
    TooMany,
}

/// Takes a report, once.
///
/// # Errors
/// [`Error::NotFound`] when the call is not this tenant's.
pub async fn take(tx: &mut Tx, call: CallId, event: &NewCarrierEvent<'_>, now: DateTime<Utc>) -> Result<Taken, Error> {
    let reports = sql(&COUNT).bind(tx.tenant()).bind(call).required(tx, |row| row.get::<i64>("reports")).await?;
    if reports >= PER_CALL_MAX {
        return Ok(Taken::TooMany);
    }
    let added = sql(&ADD)
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(call)
        .bind(event.kind)
        .bind(event.key)
        .bind(Value::Object(event.data.clone()))
        .bind(now)
        .run(tx)
        .await?;
    if added == 0 {
        return Ok(Taken::Repeated);
    }
    Ok(match calls::carrier_reported(tx, call, &event.word, now).await? {
        Reported::Closed(_) => Taken::Closed,
        Reported::Noted(_) => Taken::Noted,
    })
}

/// Those of a call, oldest first. Empty when the call is not this tenant's.
///
/// # Errors
/// When the database fails.
pub async fn of_call(tx: &mut Tx, call: CallId) -> Result<Vec<CarrierEvent>, Error> {
    sql(&OF_CALL).bind(tx.tenant()).bind(call).bind(PER_CALL_MAX).all(tx, event).await
}

fn event(row: &Row) -> Result<CarrierEvent, Error> {
    Ok(CarrierEvent { kind: row.get("kind")?, data: row.json("data")?, created_at: row.get("created_at")? })
}

/// A signed request with a time has come: true the first time. In the transaction of its effect, so that one which
/// failed may come again.
///
/// # Errors
/// When the database fails.
pub async fn first_time(tx: &mut Tx, key: [u8; 32], now: DateTime<Utc>) -> Result<bool, Error> {
    let old = now - Duration::seconds(SIGNED_KEPT_FOR_S);
    sql(&FORGET_SIGNED).bind(tx.tenant()).bind(old).run(tx).await?;
    Ok(sql(&SIGNED).bind(tx.tenant()).bind(key).bind(now).run(tx).await? > 0)
}
