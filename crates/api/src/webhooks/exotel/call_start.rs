//! `POST /webhooks/exotel/call-start`: a call has arrived; where shall its media go?
//!
//! Answers `{"url": "wss://…/media/exotel/TOKEN"}`. The token in the path opens one socket, once, within a minute. A
//! repeated announcement of the same call is the same call with another token; once its media has begun, 409.

use super::{Sender, signed_fields};
use crate::layers::RequestId;
use crate::server::Peer;
use crate::{App, Code, Problem};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use model::{CallStatus, CarrierKind};
use serde_json::{Map, json};
use std::sync::Arc;
use store::audit::{self, NewAuditEvent, Severity};
use store::calls::{self, Created, NewCall};
use store::phone_numbers::{self, PhoneNumber};
use store::{SystemTx, stream_tokens, token_hash};
use wire::exotel::webhook::CallStart;

/// Random bytes of a stream token: 256 bits.
const TOKEN_BYTES: usize = 32;

pub(crate) async fn signed(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    id: Option<Extension<RequestId>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let sender = Sender::new(peer, id);
    let fields = signed_fields(&app, &headers, &body, &sender).await?;
    let start = CallStart::read(&fields)?;
    answer(&app, &headers, &start, None, &sender).await
}

/// Creates the call (or finds it) and answers with its media address. `number` is known when the address was its own.
pub(crate) async fn answer(
    app: &App,
    headers: &HeaderMap,
    start: &CallStart,
    number: Option<PhoneNumber>,
    sender: &Sender,
) -> Result<Response, Problem> {
    if app.stopping.is_cancelled() {
        return Err(Problem::new(Code::Stopping, "this node takes no new calls"));
    }
    let now = app.now();
    let token = new_token()?;
    let hash = token_hash(&token);
    app.store
        .system("calls.announce", async |tx| {
            let number = match number {
                Some(number) => number,
                None => find_number(tx, start).await?,
            };
            announce(tx, start, &number, hash, now, sender).await
        })
        .await?;
    let url = format!("{}/media/exotel/{token}", media_base(app, headers)?);
    Ok(Json(json!({ "url": url })).into_response())
}

async fn find_number(tx: &mut SystemTx, start: &CallStart) -> Result<PhoneNumber, Problem> {
    // `CallTo` first: in captured requests `To` was the same number for different customers.
    for called in [Some(&start.to), start.to_other.as_ref()].into_iter().flatten() {
        if let Some(number) = phone_numbers::find_called(tx, CarrierKind::Exotel, called).await? {
            return Ok(number);
        }
    }
    Err(Problem::new(Code::UnknownNumber, "no agent answers this number"))
}

async fn announce(
    tx: &mut SystemTx,
    start: &CallStart,
    number: &PhoneNumber,
    token_hash: [u8; 32],
    now: DateTime<Utc>,
    sender: &Sender,
) -> Result<(), Problem> {
    let tx = tx.tenant(number.tenant).await?;
    let new = NewCall {
        agent: number.agent,
        phone_number: Some(number.id),
        carrier: CarrierKind::Exotel,
        carrier_call_id: Some(start.call_id.clone()),
        direction: start.direction,
        from: start.from.clone(),
        to: Some(number.number.clone()),
        status: CallStatus::Ringing,
    };
    let (call, first) = match calls::create(tx, &new, now).await? {
        Created::Created(call) => (call, true),
        Created::Existing(call) => (call, false),
    };
    if call.status != CallStatus::Ringing {
        return Err(Problem::new(Code::CallAlreadyStarted, "this call has been started before"));
    }
    stream_tokens::issue(tx, call.id, token_hash, now, Duration::seconds(model::limits::STREAM_TOKEN_TTL_S)).await?;
    if first {
        let object_id = call.id.to_string();
        let event = NewAuditEvent {
            kind: "call.announced",
            severity: Severity::Info,
            actor: "carrier:exotel",
            ip: sender.ip,
            request_id: sender.request_id(),
            object_kind: Some("call"),
            object_id: Some(&object_id),
            data: Map::from_iter([("carrier_call_id".to_owned(), start.call_id.as_str().into())]),
        };
        audit::record(tx, &event, now).await?;
    }
    Ok(())
}

fn new_token() -> Result<String, Problem> {
    let mut bytes = [0u8; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(error = %error, "no randomness");
        Problem::new(Code::Internal, "something went wrong on our side")
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// `wss://host`, from the configured address or, in development, from the host that was asked.
fn media_base(app: &App, headers: &HeaderMap) -> Result<String, Problem> {
    if let Some(url) = &app.public_url {
        let url = url.trim_end_matches('/');
        return Ok(match url.strip_prefix("https://") {
            Some(rest) => format!("wss://{rest}"),
            None => format!("ws://{}", url.strip_prefix("http://").unwrap_or(url)),
        });
    }
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .map(|host| format!("ws://{host}"))
        .ok_or_else(|| Problem::new(Code::MalformedBody, "the request names no host"))
}
