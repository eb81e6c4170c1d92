//! `POST /webhooks/smartflo/status/{token}`: the webhooks that are made in the portal, such as "Call hangup".

use super::PEER;
use crate::webhooks::peers::{self, Asked};
use crate::webhooks::report::TakenBody;
use crate::{App, Problem};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;
use utoipa::ToSchema;

/// The fields that are read. Names are taken in any case and under the other names the carrier uses for them.
#[derive(ToSchema)]
#[schema(as = SmartfloStatus, example = json!({
    "call_id": "1715235734.129662",
    "call_status": "answered",
    "billsec": "42",
    "end_stamp": "2026-05-09 11:53:10",
}))]
#[expect(dead_code, reason = "describes fields that `wire` reads")]
struct StatusBody {
    /// The carrier's id of the call.
    #[schema(max_length = 128)]
    call_id: String,
    /// `answered`, `missed` and others.
    call_status: Option<String>,
    /// Length of the conversation, seconds.
    billsec: Option<String>,
    /// When it ended; a time without a zone is Indian.
    end_stamp: Option<String>,
    /// Why it ended.
    hangup_cause: Option<String>,
    /// Where the carrier's own recording is.
    #[schema(max_length = 2048)]
    recording_url: Option<String>,
}

/// What Smartflo reports of a call: where it stands, its end, its recording.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/smartflo/status/{token}", tag = "webhooks", operation_id = "smartflo_status",
    params(("token" = String, Path, description = "The unguessable part of the number's address")),
    request_body(content((StatusBody = "application/json"), (StatusBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such address, or no such call of its number", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn status(State(app): State<Arc<App>>, asked: Asked) -> Result<Json<TakenBody>, Problem> {
    peers::status(&PEER, &app, &asked).await
}
