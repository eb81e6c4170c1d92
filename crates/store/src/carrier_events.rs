//! What carriers report of calls. Reports come twice, late and out of order: each is taken once, by a unique rule of the
//! database, and what a call has learned before is not unlearned.

mod together;

pub(crate) use together::ROW_STATEMENTS;
pub use together::{Telling, Told, find_together, take_together};

use crate::calls::{self, Call, CarrierWord, Reported};
use crate::recordings::Recording;
use crate::sql::{Row, sql, statements};
use crate::{Error, Tx, agents, ids, recordings};
use chrono::{DateTime, Duration, Utc};
use model::{CallId, CallStatus, RecordingSource, RecordingStatus};
use serde_json::{Map, Value};

/// Reports kept of one call. A carrier sends about five; more than this is somebody who makes them up.
const PER_CALL_MAX: i64 = 100;
/// Signed requests are remembered for this long: twice the window in which their times are believed, and some.
const SIGNED_KEPT_FOR_S: i64 = 3_600;
/// A recording whose carrier does not say when it is there is looked for after this; the carrier needs minutes.
const RECORDING_LOOKED_FOR_AFTER_S: i64 = 30;

/// No recording takes longer to be made: a carrier's wrong clock or a made-up time must not put the fetching off.
const RECORDING_DUE_WITHIN: Duration = Duration::hours(1);

statements! {
    ADD = "carrier_events.add" ["insert into carrier_events (id, tenant_id, call_id, kind, event_key, data, created_at)
        values ($1, $2, $3, $4, $5, $6, $7) on conflict (tenant_id, call_id, event_key) do nothing"];
    COUNT = "carrier_events.count" ["select count(*) as reports from carrier_events
        where tenant_id = $1 and call_id = $2"];
    OF_CALL = "carrier_events.of_call" ["select kind, data, created_at from carrier_events
        where tenant_id = $1 and call_id = $2 order by created_at, id limit $3"];
    SIGNED = "carrier_events.signed" ["insert into signed_requests (tenant_id, request_key, seen_at)
        values ($1, $2, $3) on conflict (tenant_id, request_key) do nothing"];
    SIGNED_BEFORE = "carrier_events.signed_before" ["select count(*) as requests from signed_requests
        where tenant_id = $1 and request_key = $2"];
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

/// Takes a report, once. The first that tells of a recording has it fetched, unless there was no conversation; one that
/// tells another address of a recording that was given up has it fetched again.
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
    let known_url = match event.word.recording_url {
        Some(_) => calls::get(tx, call).await?.carrier_recording_url,
        None => None,
    };
    let word = within_reason(&event.word, now);
    let reported = calls::carrier_reported(tx, call, &word, now).await?;
    let (Reported::Closed(said) | Reported::Noted(said)) = &reported;
    if word.recording_url.is_some() && may_have_recording(said) {
        fetch_recording(tx, said, known_url.as_deref() != word.recording_url, now).await?;
    }
    Ok(match reported {
        Reported::Closed(_) => Taken::Closed,
        Reported::Noted(_) => Taken::Noted,
    })
}

/// The carrier's word, with a time for its recording that can be.
fn within_reason<'a>(word: &CarrierWord<'a>, now: DateTime<Utc>) -> CarrierWord<'a> {
    let due_at = word.recording_due_at.map(|at| at.min(now + RECORDING_DUE_WITHIN));
    CarrierWord { recording_due_at: due_at, ..*word }
}

/// A call that ended without media was not recorded, whatever a carrier puts into the field.
const fn may_have_recording(call: &Call) -> bool {
    match call.status {
        CallStatus::Busy | CallStatus::NoAnswer | CallStatus::Failed | CallStatus::Canceled => {
            call.started_at.is_some()
        }
        CallStatus::Queued | CallStatus::Ringing | CallStatus::InProgress | CallStatus::Completed => true,
    }
}

/// `is_elsewhere`: its address is not the one that was known before.
async fn fetch_recording(tx: &mut Tx, call: &Call, is_elsewhere: bool, now: DateTime<Utc>) -> Result<(), Error> {
    // Who wants no recordings wants none of the carrier's either, even if the carrier makes them.
    if !agents::get(tx, call.agent).await?.agent.config.record {
        return Ok(());
    }
    let recording = match recordings::await_carrier(tx, call.id, now).await? {
        Some(recording) => recording,
        None => match given_up(tx, call.id).await? {
            Some(recording) if is_elsewhere && recordings::retry(tx, recording.id, now).await? => recording,
            Some(_) | None => return Ok(()),
        },
    };
    let due = call.carrier_recording_due_at.unwrap_or(now + Duration::seconds(RECORDING_LOOKED_FOR_AFTER_S));
    recordings::enqueue_fetching(tx, recording.id, due, now).await.map(|_| ())
}

/// The carrier's recording of the call, if it was given up.
async fn given_up(tx: &mut Tx, call: CallId) -> Result<Option<Recording>, Error> {
    let all = recordings::of_call(tx, call).await?.into_iter();
    let mut lost = all.filter(|recording| recording.status == RecordingStatus::Failed);
    Ok(lost.find(|recording| recording.source == RecordingSource::Carrier))
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

/// Whether [`first_time`] was told of this request, and remembers it.
///
/// # Errors
/// When the database fails.
pub async fn came_before(tx: &mut Tx, key: [u8; 32]) -> Result<bool, Error> {
    let requests = sql(&SIGNED_BEFORE).bind(tx.tenant()).bind(key);
    Ok(requests.required(tx, |row| row.get::<i64>("requests")).await? > 0)
}
