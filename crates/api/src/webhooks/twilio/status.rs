//! `POST /webhooks/twilio/status/{token}`: status callbacks of calls, and of their recordings.

use super::PEER;
use crate::webhooks::peers::{self, Asked};
use crate::webhooks::report::TakenBody;
use crate::{App, Problem};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;
use utoipa::ToSchema;

/// The fields that are read.
#[derive(ToSchema)]
#[schema(as = TwilioStatus, example = json!({
    "CallSid": "CA5d0d0d8047bf685c3f0ff980fe62c123",
    "CallStatus": "completed",
    "CallDuration": "42",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads")]
struct StatusBody {
    /// The carrier's id of the call.
    #[schema(rename = "CallSid", max_length = 128)]
    call_sid: String,
    /// `initiated`, `ringing`, `in-progress`, `completed`, `busy`, `no-answer`, `failed`, `canceled`.
    #[schema(rename = "CallStatus")]
    call_status: Option<String>,
    /// Length of the call, seconds.
    #[schema(rename = "CallDuration")]
    call_duration: Option<String>,
    /// Where the carrier's own recording is.
    #[schema(rename = "RecordingUrl", max_length = 2048)]
    recording_url: Option<String>,
}

/// What Twilio reports of a call: where it stands, its end, its recording.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/twilio/status/{token}", tag = "webhooks", operation_id = "twilio_status",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("x-twilio-signature" = Option<String>, Header, description = "HMAC-SHA1 over the address and the fields, with the account's auth token; needed when there is an account"),
    ),
    request_body(content = StatusBody, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 401, description = "Not authentic: no signature where the account has one, a wrong one, or the number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such address, or no such call of its number", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn status(State(app): State<Arc<App>>, asked: Asked) -> Result<Json<TakenBody>, Problem> {
    peers::status(&PEER, &app, &asked).await
}
