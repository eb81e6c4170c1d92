//! `POST /webhooks/exotel/call-status`: where a call stands, signed; for deployments whose own flow or proxy signs. What
//! Exotel itself sends goes to the address of the number, see [`super::status`].

use super::report::{self, TakenBody, Together};
use super::{incoming, on_record};
use crate::origin::Origin;
use crate::{App, Problem};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use std::sync::Arc;
use utoipa::ToSchema;
use wire::exotel::report::Message;

/// The fields that are read. Names are taken in any case and under the other names the carrier uses for them.
#[derive(ToSchema)]
#[schema(as = ExotelStatus, example = json!({
    "CallSid": "b6f1d0c2a8e94f35b1de3f5f2a4c7e11",
    "EventType": "terminal",
    "Status": "completed",
    "ConversationDuration": "42",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads, since they come in three codings")]
pub(super) struct StatusBody {
    /// The carrier's id of the call.
    #[schema(rename = "CallSid", example = "b6f1d0c2a8e94f35b1de3f5f2a4c7e11", max_length = 128)]
    call_sid: String,
    /// `queued`, `ringing`, `in-progress`, `completed`, `busy`, `no-answer`, `failed` or `canceled`.
    #[schema(rename = "Status", example = "completed")]
    status: String,
    /// `answered` or `terminal`.
    #[schema(rename = "EventType", example = "terminal")]
    event_type: Option<String>,
    /// Length of the conversation, seconds.
    #[schema(rename = "ConversationDuration", example = "42")]
    conversation_duration: Option<String>,
    /// Where the carrier's own recording is, or will be.
    #[schema(rename = "RecordingUrl", example = "https://recordings.exotel.com/exotelrecordings/a/b.mp3")]
    recording_url: Option<String>,
}

/// Where a call stands.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/exotel/call-status", tag = "webhooks", operation_id = "exotel_call_status",
    params(
        ("x-exotel-signature" = Option<String>, Header, description = "HMAC-SHA1 of the body with the webhook secret, hex or base64"),
        ("x-exotel-timestamp" = Option<String>, Header, description = "When it was signed"),
    ),
    request_body(content(
        (StatusBody = "application/json"),
        (StatusBody = "application/x-www-form-urlencoded"),
        (StatusBody = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 401, description = "Not authentic: no signature, a wrong one, an old one, or one that came before", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such call", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn call_status(
    State(app): State<Arc<App>>,
    origin: Origin,
    together: Together,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TakenBody>, Problem> {
    let incoming = incoming(&app, Message::Status, &headers, &body, &origin);
    on_record(&app, &origin, report::take_of_call(&together, incoming).await).await
}
