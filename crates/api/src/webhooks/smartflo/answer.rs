//! `GET` and `POST /webhooks/smartflo/answer/{token}`: the Dynamic endpoint of a Voice Bot: a call has arrived; where
//! shall its media go? The method is chosen in the portal.

use super::PEER;
use crate::webhooks::peers::{self, Asked, Reply};
use crate::{App, Problem};
use axum::extract::State;
use std::sync::Arc;
use utoipa::ToSchema;
use wire::WireError;
use wire::smartflo::reply::Answer;

/// The fields that are read. Names are taken in any case and under the other names the carrier uses for them.
#[derive(ToSchema)]
#[schema(as = SmartfloCall, example = json!({
    "callId": "1715235734.129662",
    "fromNumber": "919812345678",
    "toNumber": "918037091588",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads")]
struct CallBody {
    /// The carrier's id of the call.
    #[schema(rename = "callId", max_length = 128)]
    call_id: String,
    /// Who is called.
    #[schema(rename = "toNumber")]
    to_number: String,
    /// Who calls, unless masked.
    #[schema(rename = "fromNumber")]
    from_number: Option<String>,
}

/// Where the call's media goes.
#[derive(ToSchema)]
#[schema(as = SmartfloMedia)]
#[expect(dead_code, reason = "describes what `wire` writes")]
struct MediaBody {
    /// Opens one socket, once, within a minute.
    #[schema(example = "wss://caly.example.in/media/smartflo/4f1Qd0kZr0mYw2b6cJ3sT8vXnA5gHhLpEoUiRtWqBzM")]
    url: String,
}

/// A call has arrived at Smartflo: where shall its media go?
///
/// A repeated question about the same call is the same call with another address.
#[utoipa::path(
    get, path = "/webhooks/smartflo/answer/{token}", tag = "webhooks", operation_id = "smartflo_answer",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("callId" = String, Query, description = "The carrier's id of the call"),
        ("toNumber" = String, Query, description = "Who is called"),
        ("fromNumber" = Option<String>, Query, description = "Who calls, unless masked"),
    ),
    responses(
        (status = 200, description = "Where the media goes", body = MediaBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such address", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The call's media has begun", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn answer(State(app): State<Arc<App>>, asked: Asked) -> Result<Reply, Problem> {
    peers::answer(&PEER, &app, &asked, write).await
}

/// A call has arrived at Smartflo, told in a body: where shall its media go?
#[utoipa::path(
    post, path = "/webhooks/smartflo/answer/{token}", tag = "webhooks", operation_id = "smartflo_answer_post",
    params(("token" = String, Path, description = "The unguessable part of the number's address")),
    request_body(content((CallBody = "application/json"), (CallBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "Where the media goes", body = MediaBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such address", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The call's media has begun", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn answer_post(State(app): State<Arc<App>>, asked: Asked) -> Result<Reply, Problem> {
    peers::answer(&PEER, &app, &asked, write).await
}

fn write(stream_url: &str, _after_url: &str) -> Result<Reply, WireError> {
    Ok(Reply::json(Answer { stream_url }.to_json()))
}
