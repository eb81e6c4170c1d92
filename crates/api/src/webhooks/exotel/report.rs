//! What a carrier reports of a call that is there, by whichever message: taken once, harmless when it comes again, late
//! or out of order.

use super::ACTOR;
use super::proof::Offered;
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use chrono::{DateTime, Utc};
use model::{AuditKind, CallId, CarrierKind, EndedReason, Severity};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use store::call_ends::{self, Teller};
use store::calls::{self, Call, CarrierWord};
use store::carrier_events::{self, NewCarrierEvent, Taken};
use store::phone_numbers::{self, PhoneNumber};
use store::{SystemTx, Tx, audit};
use utoipa::ToSchema;
use wire::exotel::report::{Message, Report, Routing};
use wire::exotel::webhook::DisconnectedBy;
use wire::fields::{BodyError, Fields};

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

/// A message on its way in.
pub(super) struct Incoming<'a> {
    pub(super) message: Message,
    pub(super) offered: Offered,
    pub(super) fields: Result<Fields, BodyError>,
    /// The number to whose address it came.
    pub(super) number: Option<PhoneNumber>,
    pub(super) origin: &'a Origin,
}

/// Whether the call is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The report is on record, now or since it came first.
    Call,
    /// There is no such call, or not of this number.
    NoCall,
}

/// Takes a report.
///
/// # Errors
/// 401 unless it is authentic; 400 when it cannot be read; when the database fails.
pub(super) async fn take(app: &App, incoming: Incoming<'_>) -> Result<Known, Problem> {
    let now = app.now();
    app.store.system("calls.carrier_reported", async |tx| incoming.take(tx, now).await).await
}

/// The same, where an unknown call is the sender's fault.
///
/// # Errors
/// As [`take`]; 404 for an unknown call.
pub(super) async fn take_of_call(app: &App, incoming: Incoming<'_>) -> Result<Json<TakenBody>, Problem> {
    match take(app, incoming).await? {
        Known::Call => Ok(OK),
        Known::NoCall => Err(Problem::new(Code::NotFound, "there is no such call")),
    }
}

impl Incoming<'_> {
    async fn take(&self, tx: &mut SystemTx, now: DateTime<Utc>) -> Result<Known, Problem> {
        let routing = self.fields.as_ref().map(Routing::read).unwrap_or_default();
        let call = match &routing.call_id {
            Some(id) => calls::find_carried(tx, CarrierKind::Exotel, id).await?,
            None => None,
        };
        let looked_up = match &self.number {
            Some(_) => None,
            None => number_of(tx, call.as_ref(), &routing).await?,
        };
        let number = self.number.as_ref().or(looked_up.as_ref());
        let proven = self.offered.judge(number.map(|number| &number.webhook_proofs))?;
        let report = Report::read(self.message, self.fields.as_ref().map_err(|error| *error)?)?;
        // An address speaks for its own number's calls only.
        let Some(call) = call.filter(|call| self.number.as_ref().is_none_or(|number| is_of(call, number))) else {
            return Ok(Known::NoCall);
        };
        let tx = tx.tenant(call.tenant).await?;
        if let Some(key) = proven.request_key {
            once(tx, key, now).await?;
        }
        self.keep(tx, &call, &report, now).await?;
        Ok(Known::Call)
    }

    async fn keep(&self, tx: &mut Tx, call: &Call, report: &Report, now: DateTime<Utc>) -> Result<(), Problem> {
        let event = NewCarrierEvent {
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
        };
        match carrier_events::take(tx, call.id, &event, now).await? {
            Taken::Repeated => return Ok(()),
            Taken::TooMany => {
                tracing::warn!(call.id = %call.id, "the carrier reports of a call more often than can be");
                return Ok(());
            }
            Taken::Noted => {}
            Taken::Closed => self.tell_ended(tx, call.id, now).await?,
        }
        let object_id = call.id.to_string();
        let data = Map::from_iter([
            ("message".to_owned(), event.kind.into()),
            ("status".to_owned(), report.status.map(|status| status.as_str()).into()),
        ]);
        let object = Some(("call", object_id.as_str()));
        let event = self.origin.event(AuditKind::CallReported, Severity::Info, ACTOR, object, data);
        Ok(audit::record(tx, &event, now).await.map(|_| ())?)
    }

    /// A call that ends here had no media: nobody else puts its end on record.
    async fn tell_ended(&self, tx: &mut Tx, call: CallId, now: DateTime<Utc>) -> Result<(), store::Error> {
        let (ip, request_id) = (self.origin.ip, self.origin.request_id.as_deref());
        let teller = Teller { actor: ACTOR, severity: Severity::Info, ip, request_id };
        call_ends::tell(tx, call, EndedReason::CallerNeverJoined, 0, teller, now).await
    }
}

/// A signed request with a time is taken once.
///
/// # Errors
/// 401 for one that came before.
pub(super) async fn once(tx: &mut Tx, request_key: [u8; 32], now: DateTime<Utc>) -> Result<(), Problem> {
    if carrier_events::first_time(tx, request_key, now).await? {
        return Ok(());
    }
    Err(Problem::new(Code::SignatureReplayed, "This webhook was received before"))
}

fn is_of(call: &Call, number: &PhoneNumber) -> bool {
    call.tenant == number.tenant && call.phone_number.is_none_or(|id| id == number.id)
}

/// Whose proofs count: the number of the call, or else the number that was called.
async fn number_of(
    tx: &mut SystemTx,
    call: Option<&Call>,
    routing: &Routing,
) -> Result<Option<PhoneNumber>, store::Error> {
    match call {
        Some(Call { phone_number: Some(id), .. }) => phone_numbers::find(tx, *id).await,
        Some(_) => Ok(None),
        None => find_called(tx, routing).await,
    }
}

/// The first of the called numbers that is somebody's. `CallTo` first: in captured requests `To` was the same number for
/// different customers.
pub(super) async fn find_called(tx: &mut SystemTx, routing: &Routing) -> Result<Option<PhoneNumber>, store::Error> {
    for called in &routing.called {
        if let Some(number) = phone_numbers::find_called(tx, CarrierKind::Exotel, called).await? {
            return Ok(Some(number));
        }
    }
    Ok(None)
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
