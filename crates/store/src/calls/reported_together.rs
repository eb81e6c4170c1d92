//! What [`carrier_reported`](super::carrier_reported) does, of many calls of a tenant at once: a statement for all of them
//! where there would be one or two for each. The conditions are the same, word for word.

use super::CarrierWord;
use super::reported::{never_joined_reason, never_joined_status};
use crate::sql::{self, row_statements, sql};
use crate::{Error, Tx};
use chrono::{DateTime, Utc};
use model::{CallDirection, CallId, CallStatus};
use serde::Serialize;
use std::collections::HashSet;

// See `taken_without_media!` of one call.
macro_rules! taken_without_media {
    () => {
        "direction = 'outgoing' and r.said_completed and (r.said_talk or carrier_status = 'in-progress')"
    };
}

// The tenant is $1, which is never null. Compared with a plain $1 it would be what SQLite begins with: it would go through
// all calls of the tenant instead of these rows.
row_statements! {
    CLOSED = "calls.carrier_closed_together" ["update calls set
        status = case when ", taken_without_media!(), " then 'failed' else r.left_as end,
        ended_reason = case when ", taken_without_media!(), " then 'carrier/no-start'
            when direction = 'outgoing' then r.outgoing_reason else r.incoming_reason end,
        ended_at = $3, duration_ms = 0 from"]
        "$2" (call_id uuid, left_as text, incoming_reason text, outgoing_reason text, said_completed boolean,
        said_talk boolean) ["where calls.id = r.call_id and calls.tenant_id = coalesce($1, r.call_id) and status in ('queued', 'ringing')
        returning calls.id as id"];
    NOTED = "calls.carrier_noted_together" ["update calls set
        status = case when status = 'queued' and r.said in ('ringing', 'in-progress')
            and (direction <> 'outgoing' or dialed_at is not null) then 'ringing' else status end,
        carrier_status = case
            when r.said is null or carrier_status in ('completed', 'busy', 'no-answer', 'failed', 'canceled')
                or (carrier_status = 'in-progress' and r.said in ('queued', 'ringing'))
                or (carrier_status = 'ringing' and r.said = 'queued') then carrier_status
            else r.said end,
        carrier_duration_s = case when carrier_duration_s >= r.said_s or r.said_s is null then carrier_duration_s
            else r.said_s end,
        carrier_ended_at = coalesce(carrier_ended_at, r.said_ended_at),
        carrier_recording_url = coalesce(r.said_url, carrier_recording_url),
        carrier_recording_due_at = coalesce(r.said_due_at, carrier_recording_due_at) from"]
        "$2" (call_id uuid, said text, said_s bigint, said_ended_at timestamptz, said_url text,
        said_due_at timestamptz) ["where calls.id = r.call_id and calls.tenant_id = coalesce($1, r.call_id)"];
}

#[derive(Serialize)]
struct Closing {
    call_id: sql::Id,
    left_as: &'static str,
    incoming_reason: &'static str,
    outgoing_reason: &'static str,
    said_completed: bool,
    said_talk: bool,
}

#[derive(Serialize)]
struct Noting<'a> {
    call_id: sql::Id,
    said: Option<&'static str>,
    said_s: Option<u64>,
    said_ended_at: Option<sql::At>,
    said_url: Option<&'a str>,
    said_due_at: Option<sql::At>,
}

/// The carrier says something of each of these calls, each named once; those that it closed. Whether a call may be closed
/// by it is looked at only where the second part says so.
pub(crate) async fn carrier_reported_together(
    tx: &mut Tx,
    words: &[(CallId, bool, CarrierWord<'_>)],
    now: DateTime<Utc>,
) -> Result<HashSet<CallId>, Error> {
    let closing: Vec<Closing> =
        words.iter().filter(|(_, waiting, _)| *waiting).filter_map(|(call, _, word)| closing(*call, word)).collect();
    let closed = if closing.is_empty() {
        HashSet::new()
    } else {
        let statement = sql(&CLOSED).bind(tx.tenant()).bind(sql::rows(&closing)?).bind(now);
        statement.all(tx, |row| row.id("id")).await?.into_iter().collect()
    };
    let noting: Vec<Noting<'_>> = words.iter().map(|(call, _, word)| noting(*call, word)).collect();
    if !noting.is_empty() {
        sql(&NOTED).bind(tx.tenant()).bind(sql::rows(&noting)?).run(tx).await?;
    }
    Ok(closed)
}

fn closing(call: CallId, word: &CarrierWord<'_>) -> Option<Closing> {
    let left = never_joined_status(word.status?)?;
    Some(Closing {
        call_id: sql::Id(call.into()),
        left_as: left.as_str(),
        incoming_reason: never_joined_reason(CallDirection::Incoming, left).as_str(),
        outgoing_reason: never_joined_reason(CallDirection::Outgoing, left).as_str(),
        said_completed: word.status == Some(CallStatus::Completed),
        said_talk: word.duration_s.is_some_and(|seconds| seconds > 0),
    })
}

fn noting<'a>(call: CallId, word: &CarrierWord<'a>) -> Noting<'a> {
    Noting {
        call_id: sql::Id(call.into()),
        said: word.status.map(|status| status.as_str()),
        said_s: word.duration_s,
        said_ended_at: word.ended_at.map(sql::At),
        said_url: word.recording_url,
        said_due_at: word.recording_due_at.map(sql::At),
    }
}
