//! Exotel's webhooks. Authenticity first, then the fields, then the store.

mod call_callback;
mod call_end;
mod call_start;
mod call_status;
mod connect;
mod passthru;
mod proof;
mod recording;
mod report;
mod status;
mod voicebot;

use super::is_refusal;
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use model::CarrierKind;
use proof::Offered;
use report::Incoming;
pub(crate) use report::Reports;
use std::sync::Arc;
use store::phone_numbers::PhoneNumber;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::exotel::report::Message;
use wire::fields::{BodyError, Fields};

/// Who does what a webhook tells, in the audit log.
const ACTOR: &str = "carrier:exotel";

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(call_start::call_start))
        .routes(routes!(call_end::call_end))
        .routes(routes!(call_status::call_status))
        .routes(routes!(recording::recording))
        .routes(routes!(voicebot::voicebot))
        .routes(routes!(passthru::passthru, passthru::passthru_post))
        .routes(routes!(status::status))
        .routes(routes!(call_callback::call_callback))
        .routes(routes!(connect::connect, connect::connect_post))
}

/// The fields of a body and what the request offers as proof.
fn read(app: &App, headers: &HeaderMap, body: &Bytes, origin: &Origin) -> (Result<Fields, BodyError>, Offered) {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let fields = Fields::parse(content_type, body);
    let offered = proof::offered(app, headers, body, fields.as_ref().ok(), origin);
    (fields, offered)
}

/// A message that came to an address which is the same for all numbers.
fn incoming(app: &App, message: Message, headers: &HeaderMap, body: &Bytes, origin: &Origin) -> Incoming {
    let (fields, offered) = read(app, headers, body, origin);
    Incoming { message, offered, fields, number: None, origin: origin.clone() }
}

/// The number that an address with a token belongs to.
async fn number_at(app: &App, token: &str) -> Result<PhoneNumber, Problem> {
    super::number_at(app, CarrierKind::Exotel, token).await
}

/// An answer on its way out; if it refuses what was not authentic, that is on record with its address.
async fn on_record<T>(app: &App, origin: &Origin, answer: Result<T, Problem>) -> Result<T, Problem> {
    if let Err(problem) = &answer
        && is_refusal(problem.code)
    {
        // Seldom, and its future is large.
        Box::pin(rejected(app, origin, problem.code)).await;
    }
    answer
}

/// A webhook that was not authentic is on record, with its address.
async fn rejected(app: &App, origin: &Origin, code: Code) {
    super::rejected(app, ACTOR, origin, code).await;
}
