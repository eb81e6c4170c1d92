//! What any carrier reports of a call that is there: taken once, harmless when it comes again, late or out of order.

use crate::origin::Origin;
use crate::{Code, Problem};
use axum::Json;
use chrono::{DateTime, Utc};
use model::{AuditKind, CallDirection, CallId, EndedReason, PhoneNumberId, Severity, TenantId};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use store::call_ends::{self, Teller};
use store::calls::{self, Call, CarrierWord};
use store::carrier_events::{self, NewCarrierEvent, Taken};
use store::phone_numbers::PhoneNumber;
use store::{Tx, audit};
use utoipa::ToSchema;
use wire::report::{DisconnectedBy, Report};

/// It is on record.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTaken)]
pub(crate) struct TakenBody {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The answer to a report that is on record.
pub(super) const OK: Json<TakenBody> = Json(TakenBody { status: "ok" });

/// Puts a report of a call on record, once, and closes the call if it is over by it.
///
/// # Errors
/// When the database fails.
pub(super) async fn keep(
    tx: &mut Tx,
    call: &Call,
    report: &Report,
    actor: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let taken = carrier_events::take(tx, call.id, &event_of(report), now).await?;
    Ok(follow(tx, call.id, report, taken, actor, origin, now).await?)
}

/// A report as it is kept.
pub(super) fn event_of(report: &Report) -> NewCarrierEvent<'_> {
    NewCarrierEvent {
        kind: report.message.as_str(),
        key: Sha256::digest(report.identity()).into(),
        data: particulars(report),
        word: CarrierWord {
            status: report.status,
            duration_s: report.duration_s.map(u64::from),
            ended_at: report.ended_at,
            recording_url: report.recording_url.as_deref(),
            recording_due_at: report.recording_available_at,
        },
    }
}

/// What follows when a report was taken, in the same transaction.
///
/// # Errors
/// When the database fails.
pub(super) async fn follow(
    tx: &mut Tx,
    call: CallId,
    report: &Report,
    taken: Taken,
    actor: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), store::Error> {
    match taken {
        Taken::Repeated => return Ok(()),
        Taken::TooMany => {
            tracing::warn!(call.id = %call, "the carrier reports of a call more often than can be");
            return Ok(());
        }
        Taken::Noted => {}
        Taken::Closed => tell_ended(tx, call, actor, origin, now).await?,
    }
    let object_id = call.to_string();
    let data = Map::from_iter([
        ("message".to_owned(), report.message.as_str().into()),
        ("status".to_owned(), report.status.map(|status| status.as_str()).into()),
    ]);
    let object = Some(("call", object_id.as_str()));
    let event = origin.event(AuditKind::CallReported, Severity::Info, actor, object, data);
    audit::record(tx, &event, now).await.map(|_| ())
}

/// A call that ends here had no media: nobody else puts its end on record.
async fn tell_ended(
    tx: &mut Tx,
    call: CallId,
    actor: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), store::Error> {
    let (ip, request_id) = (origin.ip, origin.request_id.as_deref());
    let teller = Teller { actor, severity: Severity::Info, ip, request_id };
    let reason = calls::get(tx, call).await?.ended_reason.unwrap_or(EndedReason::CallerNeverJoined);
    call_ends::tell(tx, call, reason, 0, teller, now).await
}

/// A signed request with a time is taken once.
///
/// # Errors
/// 401 for one that came before.
pub(super) async fn once(tx: &mut Tx, request_key: [u8; 32], now: DateTime<Utc>) -> Result<(), Problem> {
    if carrier_events::first_time(tx, request_key, now).await? {
        return Ok(());
    }
    Err(replayed())
}

/// It came before.
pub(super) fn replayed() -> Problem {
    Problem::new(Code::SignatureReplayed, "This webhook was received before")
}

/// A signed request without a time is not one with a time that was left out.
///
/// # Errors
/// 401 for one that came with a time before.
pub(super) async fn never_timed(tx: &mut Tx, untimed_key: [u8; 32]) -> Result<(), Problem> {
    if carrier_events::came_before(tx, untimed_key).await? {
        return Err(replayed());
    }
    Ok(())
}

/// Whether the address of a number speaks for a call: for those of this number, and for one that was placed through a flow,
/// which may have the address of any number of its organisation in it.
pub(super) fn is_of(call: &Call, number: &PhoneNumber) -> bool {
    speaks_for(number, call.tenant, call.direction, call.phone_number)
}

/// The same of what is known of a call.
pub(super) fn speaks_for(
    number: &PhoneNumber,
    tenant: TenantId,
    direction: CallDirection,
    of: Option<PhoneNumberId>,
) -> bool {
    tenant == number.tenant && (direction == CallDirection::Outgoing || of.is_none_or(|id| id == number.id))
}

/// For people who look into a call. What it does not say is left out.
fn particulars(report: &Report) -> Map<String, Value> {
    let by = report.disconnected_by.map(|by| match by {
        DisconnectedBy::User => "caller",
        DisconnectedBy::Bot => "agent",
        DisconnectedBy::Unknown => "unknown",
    });
    let legs: Vec<Value> = report
        .legs
        .iter()
        .map(|leg| {
            said([
                ("on_call_s", json!(leg.on_call_s)),
                ("status", json!(leg.status.map(|status| status.as_str()))),
                ("answered_by", json!(leg.answered_by.map(|by| by.as_str()))),
            ])
            .into()
        })
        .collect();
    said([
        ("event", json!(report.event)),
        ("status", json!(report.status.map(|status| status.as_str()))),
        ("duration_s", json!(report.duration_s)),
        ("ended_at", json!(report.ended_at)),
        ("stream_id", json!(report.stream_id)),
        ("disconnected_by", json!(by)),
        ("error", json!(report.error)),
        ("answered_by", json!(report.answered_by.map(|by| by.as_str()))),
        ("recording", if report.recording_url.is_some() { json!(true) } else { Value::Null }),
        ("legs", if legs.is_empty() { Value::Null } else { legs.into() }),
    ])
}

fn said<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}
