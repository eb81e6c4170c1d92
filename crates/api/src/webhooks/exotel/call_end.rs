//! `POST /webhooks/exotel/call-end`: the carrier says that a call is over. Late, repeated and unknown ones do no harm:
//! the carrier's figures are kept, and a call whose media never came is closed.

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
#[schema(as = ExotelCallEnd, example = json!({
    "CallSid": "b6f1d0c2a8e94f35b1de3f5f2a4c7e11",
    "Status": "completed",
    "Duration": "42",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads, since they come in three codings")]
struct CallEndBody {
    /// The carrier's id of the call.
    #[schema(rename = "CallSid", example = "b6f1d0c2a8e94f35b1de3f5f2a4c7e11", max_length = 128)]
    call_sid: String,
    /// How it ended; completed when not said.
    #[schema(rename = "Status", example = "completed")]
    status: Option<String>,
    /// Length of the conversation, seconds.
    #[schema(rename = "Duration", example = "42")]
    duration: Option<String>,
    /// Where the carrier's own recording is, or will be.
    #[schema(rename = "RecordingUrl", example = "https://recordings.exotel.com/exotelrecordings/a/b.mp3")]
    recording_url: Option<String>,
    /// When it was sent; more than five minutes off is refused.
    #[schema(rename = "Timestamp")]
    timestamp: Option<String>,
}

/// A call is over.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/exotel/call-end", tag = "webhooks", operation_id = "exotel_call_end",
    params(
        ("x-exotel-signature" = Option<String>, Header, description = "HMAC-SHA1 of the body with the webhook secret, hex or base64"),
        ("x-exotel-timestamp" = Option<String>, Header, description = "When it was signed"),
    ),
    request_body(content(
        (CallEndBody = "application/json"),
        (CallEndBody = "application/x-www-form-urlencoded"),
        (CallEndBody = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 401, description = "Not authentic: no signature, a wrong one, an old one, or one that came before", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such call", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn call_end(
    State(app): State<Arc<App>>,
    origin: Origin,
    together: Together,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TakenBody>, Problem> {
    let incoming = incoming(&app, Message::CallEnd, &headers, &body, &origin);
    on_record(&app, &origin, report::take_of_call(&together, incoming).await).await
}
