//! `POST /webhooks/exotel/recording`: the carrier's own recording of a call is there. Its address is kept.

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
#[schema(as = ExotelRecording, example = json!({
    "CallSid": "b6f1d0c2a8e94f35b1de3f5f2a4c7e11",
    "RecordingUrl": "https://recordings.exotel.com/exotelrecordings/a/b.mp3",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads, since they come in three codings")]
struct RecordingBody {
    /// The carrier's id of the call.
    #[schema(rename = "CallSid", example = "b6f1d0c2a8e94f35b1de3f5f2a4c7e11", max_length = 128)]
    call_sid: String,
    /// Where it is.
    #[schema(
        rename = "RecordingUrl",
        example = "https://recordings.exotel.com/exotelrecordings/a/b.mp3",
        max_length = 2048
    )]
    recording_url: String,
    /// Its length, seconds.
    #[schema(rename = "Duration", example = "42")]
    duration: Option<String>,
}

/// The carrier's recording of a call is there.
///
/// Repeated and late ones do no harm; the latest address counts.
#[utoipa::path(
    post, path = "/webhooks/exotel/recording", tag = "webhooks", operation_id = "exotel_recording",
    params(
        ("x-exotel-signature" = Option<String>, Header, description = "HMAC-SHA1 of the body with the webhook secret, hex or base64"),
        ("x-exotel-timestamp" = Option<String>, Header, description = "When it was signed"),
    ),
    request_body(content(
        (RecordingBody = "application/json"),
        (RecordingBody = "application/x-www-form-urlencoded"),
        (RecordingBody = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 401, description = "Not authentic: no signature, a wrong one, an old one, or one that came before", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such call", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn recording(
    State(app): State<Arc<App>>,
    origin: Origin,
    together: Together,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TakenBody>, Problem> {
    let incoming = incoming(&app, Message::Recording, &headers, &body, &origin);
    on_record(&app, &origin, report::take_of_call(&together, incoming).await).await
}
