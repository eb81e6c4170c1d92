//! `POST /webhooks/vobiz/answer/{token}`: a call has arrived; where shall its media go? Answered with Vobiz's XML: the
//! media socket, and behind it the address to ask when that has closed.

use super::PEER;
use crate::webhooks::peers::{self, Asked, Reply};
use crate::{App, Problem};
use axum::extract::State;
use std::sync::Arc;
use utoipa::ToSchema;
use wire::WireError;
use wire::plivo::reply::Answer;

/// The fields that are read.
#[derive(ToSchema)]
#[schema(as = VobizCall, example = json!({
    "CallUUID": "12345678-1234-1234-1234-123456789abc",
    "From": "919812345678",
    "To": "918037091588",
    "Direction": "inbound",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads")]
pub(super) struct CallBody {
    /// The carrier's id of the call.
    #[schema(rename = "CallUUID", max_length = 128)]
    call_uuid: String,
    /// Who is called.
    #[schema(rename = "To")]
    to: String,
    /// Who calls, unless withheld.
    #[schema(rename = "From")]
    from: Option<String>,
    /// `inbound` or `outbound…`.
    #[schema(rename = "Direction")]
    direction: Option<String>,
}

/// A call has arrived at Vobiz: where shall its media go?
///
/// A repeated question about the same call is the same call with another media address.
#[utoipa::path(
    post, path = "/webhooks/vobiz/answer/{token}", tag = "webhooks", operation_id = "vobiz_answer",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("x-vobiz-signature-v3" = Option<String>, Header, description = "HMAC-SHA256 over the address and the nonce, with the account's auth token; needed, or that of V2, when there is an account"),
        ("x-vobiz-signature-v3-nonce" = Option<String>, Header, description = "What it was signed with besides; taken once"),
    ),
    request_body(content = CallBody, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Stream to this socket, then ask again", body = String, content_type = "application/xml"),
        (status = 401, description = "Not authentic: no signature where the account has one, a wrong one, or the number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such address", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The call's media has begun", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn answer(State(app): State<Arc<App>>, asked: Asked) -> Result<Reply, Problem> {
    peers::answer(&PEER, &app, &asked, write).await
}

fn write(stream_url: &str, after_url: &str) -> Result<Reply, WireError> {
    Answer { stream_url, parameters: &[], after_url }.to_xml().map(Reply::xml)
}
