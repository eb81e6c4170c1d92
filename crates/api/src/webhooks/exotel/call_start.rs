//! `POST /webhooks/exotel/call-start`: a call has arrived; where shall its media go?
//!
//! Answers `{"url": "wss://…/media/exotel/TOKEN"}`. The token in the path opens one socket, once, within a minute. A
//! repeated announcement of the same call is the same call with another token; once its media has begun, 409. A call that
//! Caly had placed through a flow is known by the custom field that it was given.

use super::proof::{Offered, Proven};
use super::report::{find_called, never_timed, once};
use super::{ACTOR, on_record, read};
use crate::origin::Origin;
use crate::webhooks::media_base;
use crate::{App, Code, Problem};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, Duration, Utc};
use identity::token::PathToken;
use model::{AuditKind, CallDirection, CallId, CallStatus, CarrierKind, Severity};
use serde::Serialize;
use serde_json::Map;
use std::sync::Arc;
use store::calls::{self, Call, Created, NewCall};
use store::phone_numbers::PhoneNumber;
use store::{SystemTx, Tx, audit, stream_tokens, token_hash};
use utoipa::ToSchema;
use wire::exotel::report::Routing;
use wire::exotel::webhook::CallStart;
use wire::fields::{BodyError, Fields};

/// The fields that are read. Names are taken in any case and under the other names the carrier uses for them.
#[derive(ToSchema)]
#[schema(as = ExotelCallStart, example = json!({
    "CallSid": "b6f1d0c2a8e94f35b1de3f5f2a4c7e11",
    "CallFrom": "09876543210",
    "CallTo": "08047491899",
    "Direction": "incoming",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads, since they come in three codings")]
struct CallStartBody {
    /// The carrier's id of the call.
    #[schema(rename = "CallSid", example = "b6f1d0c2a8e94f35b1de3f5f2a4c7e11", max_length = 128)]
    call_sid: String,
    /// The number that was called.
    #[schema(rename = "CallTo", example = "08047491899")]
    call_to: String,
    /// The caller, unless withheld.
    #[schema(rename = "CallFrom", example = "09876543210")]
    call_from: Option<String>,
    /// `incoming` or `outbound-…`.
    #[schema(rename = "Direction", example = "incoming")]
    direction: Option<String>,
    /// When it was sent; more than five minutes off is refused. A body without it that came with a time in the header is
    /// taken once within an hour.
    #[schema(rename = "Timestamp")]
    timestamp: Option<String>,
}

/// Where the call's media goes.
#[derive(Serialize, ToSchema)]
#[schema(as = MediaAddress)]
pub(crate) struct MediaBody {
    /// Opens one socket, once, within a minute.
    #[schema(example = "wss://caly.example.in/media/exotel/4f1Qd0kZr0mYw2b6cJ3sT8vXnA5gHhLpEoUiRtWqBzM")]
    url: String,
}

/// A call has arrived: where shall its media go?
///
/// A repeated announcement of the same call is the same call with another address.
#[utoipa::path(
    post, path = "/webhooks/exotel/call-start", tag = "webhooks", operation_id = "exotel_call_start",
    params(
        ("x-exotel-signature" = Option<String>, Header, description = "HMAC-SHA1 of the body with the webhook secret, hex or base64"),
        ("x-exotel-timestamp" = Option<String>, Header, description = "When it was signed"),
    ),
    request_body(content(
        (CallStartBody = "application/json"),
        (CallStartBody = "application/x-www-form-urlencoded"),
        (CallStartBody = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "Where the media goes", body = MediaBody),
        (status = 401, description = "Not authentic: no signature, a wrong one, an old one, or one that came before", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No agent answers this number", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The call's media has begun", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn call_start(
    State(app): State<Arc<App>>,
    origin: Origin,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<MediaBody>, Problem> {
    let (fields, offered) = read(&app, &headers, &body, &origin);
    let arrival = Arrival { fields, offered, number: None };
    on_record(&app, &origin, arrival.answer(&app, &headers, &origin).await).await
}

/// A call that arrives.
pub(super) struct Arrival {
    pub(super) fields: Result<Fields, BodyError>,
    pub(super) offered: Offered,
    /// The number to whose address it came.
    pub(super) number: Option<PhoneNumber>,
}

impl Arrival {
    /// Creates the call (or finds it) and answers with its media address.
    pub(super) async fn answer(
        self,
        app: &App,
        headers: &HeaderMap,
        origin: &Origin,
    ) -> Result<Json<MediaBody>, Problem> {
        let now = app.now();
        let token = PathToken::random().map_err(|error| {
            tracing::error!(error = %error, "no randomness");
            Problem::new(Code::Internal, "something went wrong on our side")
        })?;
        let hash = token_hash(token.expose());
        let stopping = app.stopping.is_cancelled();
        app.store
            .system("calls.announce", async |tx| {
                let routing = self.fields.as_ref().map(Routing::read).unwrap_or_default();
                let looked_up = match &self.number {
                    Some(_) => None,
                    None => find_called(tx, &routing).await?,
                };
                let number = self.number.as_ref().or(looked_up.as_ref());
                let proven = self.offered.judge(number.map(|number| &number.webhook_proofs))?;
                let start = CallStart::read(self.fields.as_ref().map_err(|error| *error)?)?;
                if stopping {
                    return Err(Problem::new(Code::Stopping, "this node takes no new calls"));
                }
                let unknown = || Problem::new(Code::UnknownNumber, "no agent answers this number");
                announce(tx, &start, number.ok_or_else(unknown)?, &proven, hash, now, origin).await
            })
            .await?;
        let url = format!("{}/media/exotel/{}", media_base(app, headers)?, token.expose());
        Ok(Json(MediaBody { url }))
    }
}

async fn announce(
    tx: &mut SystemTx,
    start: &CallStart,
    number: &PhoneNumber,
    proven: &Proven,
    token_hash: [u8; 32],
    now: DateTime<Utc>,
    origin: &Origin,
) -> Result<(), Problem> {
    let tx = tx.tenant(number.tenant).await?;
    taken_once(tx, proven, now).await?;
    let (call, first) = match placed(tx, start).await? {
        Some(call) => (calls::dialed(tx, call.id, &start.call_id).await?, call.carrier_call_id.is_none()),
        None => match calls::create(tx, &arrived(start, number), now).await? {
            Created::Created(call) => (call, true),
            Created::Existing(call) => (call, false),
        },
    };
    if call.status != CallStatus::Ringing {
        return Err(Problem::new(Code::CallAlreadyStarted, "this call has been started before"));
    }
    stream_tokens::issue(tx, call.id, token_hash, now, Duration::seconds(model::limits::STREAM_TOKEN_TTL_S)).await?;
    if first {
        let object_id = call.id.to_string();
        let data = Map::from_iter([("carrier_call_id".to_owned(), start.call_id.as_str().into())]);
        let object = Some(("call", object_id.as_str()));
        let event = origin.event(AuditKind::CallAnnounced, Severity::Info, ACTOR, object, data);
        audit::record(tx, &event, now).await?;
    }
    Ok(())
}

/// The answer opens a call's media, so that here the time in the header, which no signature covers, makes no other request
/// of the same body; nor does leaving it out. A body that never came with a time may come again.
async fn taken_once(tx: &mut Tx, proven: &Proven, now: DateTime<Utc>) -> Result<(), Problem> {
    match (proven.request_key, proven.untimed_key) {
        (Some(_), Some(key)) | (Some(key), None) => once(tx, key, now).await,
        (None, Some(key)) => never_timed(tx, key).await,
        (None, None) => Ok(()),
    }
}

/// The call of this organisation that the carrier was asked to place through a flow, by the name we gave it. What a
/// flow of somebody else's making says there names none.
async fn placed(tx: &mut Tx, start: &CallStart) -> Result<Option<Call>, store::Error> {
    let named = start.custom_field.as_deref().and_then(|text| text.parse::<CallId>().ok());
    let Some(id) = named.filter(|_| start.direction == CallDirection::Outgoing) else { return Ok(None) };
    let call = match calls::get(tx, id).await {
        Ok(call) => call,
        Err(store::Error::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let ours = call.direction == CallDirection::Outgoing
        && call.carrier == CarrierKind::Exotel
        && call.dialed_at.is_some()
        && call.carrier_call_id.as_ref().is_none_or(|known| *known == start.call_id);
    Ok(ours.then_some(call))
}

/// A call that we did not place. One that somebody had the carrier place names the customer where others name the caller.
fn arrived(start: &CallStart, number: &PhoneNumber) -> NewCall {
    let (ours, person) = (Some(number.number.clone()), start.from.clone());
    let (from, to) = match start.direction {
        CallDirection::Incoming => (person, ours),
        CallDirection::Outgoing => (ours, person),
    };
    NewCall {
        agent: number.agent,
        phone_number: Some(number.id),
        carrier: CarrierKind::Exotel,
        carrier_call_id: Some(start.call_id.clone()),
        direction: start.direction,
        from,
        to,
        status: CallStatus::Ringing,
        variables: Map::new(),
    }
}
