//! What carriers report of calls: kept, and the end of those that never had media. The same for many calls at once is in
//! [`super::reported_together`].

use super::{Call, call};
use crate::sql::{sql, statements};
use crate::{Error, SystemTx, Tx};
use chrono::{DateTime, Utc};
use model::{CallDirection, CallId, CallStatus, CarrierKind, EndedReason};

// $7: the call is completed by the carrier's word; $8: with a conversation. Before somebody takes the call the carrier may
// say in-progress, too, but then it does not end as completed.
macro_rules! taken_without_media {
    () => {
        "direction = 'outgoing' and $7 and ($8 or carrier_status = 'in-progress')"
    };
}

statements! {
    FIND_CARRIED = "calls.find_carried" ["select ", columns!(), " from calls
        where carrier = $1 and carrier_call_id = $2"];
    CARRIER_CLOSED = "calls.carrier_closed" ["update calls set
        status = case when ", taken_without_media!(), " then 'failed' else $4 end,
        ended_reason = case when ", taken_without_media!(), " then 'carrier/no-start'
            when direction = 'outgoing' then $6 else $5 end,
        ended_at = $3, duration_ms = 0
        where tenant_id = $1 and id = $2 and status in ('queued', 'ringing')"];
    CARRIER_NOTED = "calls.carrier_noted" ["update calls set
        status = case when status = 'queued' and $3 in ('ringing', 'in-progress')
            and (direction <> 'outgoing' or dialed_at is not null) then 'ringing' else status end,
        carrier_status = case
            when $3 is null or carrier_status in ('completed', 'busy', 'no-answer', 'failed', 'canceled')
                or (carrier_status = 'in-progress' and $3 in ('queued', 'ringing'))
                or (carrier_status = 'ringing' and $3 = 'queued') then carrier_status
            else $3 end,
        carrier_duration_s = case when carrier_duration_s >= $4 or $4 is null then carrier_duration_s else $4 end,
        carrier_ended_at = coalesce(carrier_ended_at, $5),
        carrier_recording_url = coalesce($6, carrier_recording_url),
        carrier_recording_due_at = coalesce($7, carrier_recording_due_at)
        where tenant_id = $1 and id = $2 returning ", columns!()];
}

/// What a carrier says of a call; what it does not say is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CarrierWord<'a> {
    /// Where it stands.
    pub status: Option<CallStatus>,
    /// Length of the conversation, s.
    pub duration_s: Option<u64>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Where the carrier's own recording is, or will be.
    pub recording_url: Option<&'a str>,
    /// From when it is there.
    pub recording_due_at: Option<DateTime<Utc>>,
}

/// What [`carrier_reported`] did.
#[derive(Clone, Debug, PartialEq)]
pub enum Reported {
    /// It never had media and is closed now; its `ended_reason` says why.
    Closed(Call),
    /// It had media, goes on, or was over: the carrier's word is kept, nothing else changed.
    Noted(Call),
}

/// The call that a carrier calls so.
///
/// # Errors
/// When the database fails.
pub async fn find_carried(
    tx: &mut SystemTx,
    carrier: CarrierKind,
    carrier_call_id: &str,
) -> Result<Option<Call>, Error> {
    sql(&FIND_CARRIED).bind(carrier).bind(carrier_call_id).one(tx, call).await
}

/// The carrier says something of the call, which is kept: the final status it said first, the longest length, the
/// latest recording. A call that never had media and is over by the carrier's word is closed with the carrier's status,
/// unless that claims a conversation: an incoming one as `caller/never-joined`, an outgoing one as `caller/busy`,
/// `caller/no-answer` or `carrier/failed`, or as `carrier/no-start` when it was taken. One that was dialled rings from the first word of ringing on. A call whose
/// media still flows is left to its owner. May be repeated, and come in any order.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn carrier_reported(
    tx: &mut Tx,
    id: CallId,
    word: &CarrierWord<'_>,
    now: DateTime<Utc>,
) -> Result<Reported, Error> {
    let closed = match word.status.and_then(never_joined_status) {
        Some(left) => {
            sql(&CARRIER_CLOSED)
                .bind(tx.tenant())
                .bind(id)
                .bind(now)
                .bind(left)
                .bind(never_joined_reason(CallDirection::Incoming, left))
                .bind(never_joined_reason(CallDirection::Outgoing, left))
                .bind(word.status == Some(CallStatus::Completed))
                .bind(word.duration_s.is_some_and(|seconds| seconds > 0))
                .run(tx)
                .await?
                > 0
        }
        None => false,
    };
    let call = sql(&CARRIER_NOTED)
        .bind(tx.tenant())
        .bind(id)
        .bind(word.status)
        .bind(word.duration_s)
        .bind(word.ended_at)
        .bind(word.recording_url)
        .bind(word.recording_due_at)
        .required(tx, call)
        .await?;
    Ok(if closed { Reported::Closed(call) } else { Reported::Noted(call) })
}

/// What a call without media is left in when the carrier reports `status`; `None` = it is not over.
pub(super) const fn never_joined_status(status: CallStatus) -> Option<CallStatus> {
    match status {
        CallStatus::Queued | CallStatus::Ringing | CallStatus::InProgress => None,
        CallStatus::Completed | CallStatus::NoAnswer => Some(CallStatus::NoAnswer),
        CallStatus::Busy | CallStatus::Failed | CallStatus::Canceled => Some(status),
    }
}

/// Why a call that is left in this status never had media.
pub(super) const fn never_joined_reason(direction: CallDirection, left: CallStatus) -> EndedReason {
    match (direction, left) {
        (CallDirection::Incoming, _) => EndedReason::CallerNeverJoined,
        (CallDirection::Outgoing, CallStatus::Busy) => EndedReason::CallerBusy,
        (CallDirection::Outgoing, CallStatus::Failed | CallStatus::Canceled) => EndedReason::CarrierFailed,
        (
            CallDirection::Outgoing,
            CallStatus::NoAnswer
            | CallStatus::Completed
            | CallStatus::Queued
            | CallStatus::Ringing
            | CallStatus::InProgress,
        ) => EndedReason::CallerNoAnswer,
    }
}
