//! `POST /webhooks/vobiz/status/{token}`: hang-up and ring callbacks, and those of recordings.

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
#[schema(as = VobizStatus, example = json!({
    "CallUUID": "12345678-1234-1234-1234-123456789abc",
    "CallStatus": "completed",
    "Event": "Hangup",
    "Duration": "42",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads")]
struct StatusBody {
    /// The carrier's id of the call.
    #[schema(rename = "CallUUID", max_length = 128)]
    call_uuid: String,
    /// `Ring`, `Hangup` and others.
    #[schema(rename = "Event")]
    event: Option<String>,
    /// `ringing`, `in-progress`, `completed`, `busy`, `no-answer`, `timeout`, `failed`, `cancel`.
    #[schema(rename = "CallStatus")]
    call_status: Option<String>,
    /// Length of the call, seconds.
    #[schema(rename = "Duration")]
    duration: Option<String>,
    /// Where the carrier's own recording is.
    #[schema(rename = "RecordUrl", max_length = 2048)]
    record_url: Option<String>,
}

/// What Vobiz reports of a call: where it stands, its end, its recording.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/vobiz/status/{token}", tag = "webhooks", operation_id = "vobiz_status",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("x-vobiz-signature-v3" = Option<String>, Header, description = "HMAC-SHA256 over the address and the nonce, with the account's auth token; needed, or that of V2, when there is an account"),
        ("x-vobiz-signature-v3-nonce" = Option<String>, Header, description = "What it was signed with besides; taken once"),
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
