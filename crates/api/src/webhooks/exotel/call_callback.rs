//! `POST /webhooks/exotel/call/{token}`: what becomes of one call that Caly had placed: multipart, urlencoded or JSON, thin
//! or full, with no signature. The token in the path was made for this call and is known to the carrier alone: it is the
//! proof, and names the call even before the carrier has answered the order.

use super::call_status::StatusBody;
use super::rejected;
use super::report::{self, OK, TakenBody};
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use store::calls::{self, Call};
use store::{SystemTx, Tx, token_hash};
use wire::exotel::report::{Message, Report};
use wire::fields::{BodyError, Fields};

/// Where a call stands that the carrier was asked to place, told to the address that belongs to this call.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/exotel/call/{token}", tag = "webhooks", operation_id = "exotel_call_callback",
    params(("token" = String, Path, description = "The unguessable part of the call's address")),
    request_body(content(
        (StatusBody = "application/json"),
        (StatusBody = "multipart/form-data"),
        (StatusBody = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 404, description = "There is no such address, or another call is meant", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn call_callback(
    State(app): State<Arc<App>>,
    origin: Origin,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TakenBody>, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let fields = Fields::parse(content_type, &body);
    let (hash, now) = (token_hash(&token), app.now());
    let taken =
        app.store.system("calls.carrier_called_back", async |tx| take(tx, hash, &fields, &origin, now).await).await;
    match taken {
        Ok(()) => Ok(OK),
        Err(problem) => {
            if problem.code == Code::NotFound {
                rejected(&app, &origin, problem.code).await;
            }
            Err(problem)
        }
    }
}

async fn take(
    tx: &mut SystemTx,
    hash: [u8; 32],
    fields: &Result<Fields, BodyError>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let no_address = || Problem::new(Code::NotFound, "there is no such address");
    let call = calls::find_by_callback_token(tx, hash).await?.ok_or_else(no_address)?;
    let report = Report::read(Message::Status, fields.as_ref().map_err(|error| *error)?)?;
    let tx = tx.tenant(call.tenant).await?;
    named(tx, &call, &report.call_id).await?;
    report::keep(tx, &call, &report, origin, now).await
}

/// The first word about a call tells the carrier's name for it; later ones must be about the same.
async fn named(tx: &mut Tx, call: &Call, name: &str) -> Result<(), Problem> {
    let another = || Problem::new(Code::NotFound, "this address belongs to another call");
    match &call.carrier_call_id {
        Some(known) if known == name => Ok(()),
        Some(_) => Err(another()),
        None => match calls::dialed(tx, call.id, name).await {
            Ok(_) => Ok(()),
            Err(store::Error::Conflict(_)) => Err(another()),
            Err(error) => Err(error.into()),
        },
    }
}
