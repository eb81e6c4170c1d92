//! `POST /webhooks/exotel/call-end`: the carrier says that a call is over. Late, repeated and unknown ones do no harm:
//! the carrier's figures are kept, and a call whose media never came is closed.

use super::{ACTOR, signed_fields};
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use model::{CarrierKind, EndedReason, Severity};
use serde::Serialize;
use std::sync::Arc;
use store::Tx;
use store::call_ends::{self, Teller};
use store::calls::{self, Call, CarrierEnd};
use utoipa::ToSchema;
use wire::exotel::webhook::CallEnd;

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
    /// When it was sent; more than five minutes off is refused.
    #[schema(rename = "Timestamp")]
    timestamp: Option<String>,
}

/// It is on record.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTaken)]
pub(crate) struct TakenBody {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// A call is over.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/exotel/call-end", tag = "webhooks", operation_id = "exotel_call_end",
    params(
        ("x-exotel-signature" = String, Header, description = "HMAC-SHA1 of the body with the webhook secret, hex or base64"),
        ("x-exotel-timestamp" = Option<String>, Header, description = "When it was signed"),
    ),
    request_body(content(
        (CallEndBody = "application/json"),
        (CallEndBody = "application/x-www-form-urlencoded"),
        (CallEndBody = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 401, description = "No signature, a wrong one or an old one", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such call", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn call_end(
    State(app): State<Arc<App>>,
    origin: Origin,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TakenBody>, Problem> {
    let fields = signed_fields(&app, &headers, &body, &origin).await?;
    let end = CallEnd::read(&fields)?;
    let now = app.now();
    let found = app
        .store
        .system("calls.carrier_ended", async |tx| {
            let duration_s = end.duration_s.map(u64::from);
            let found =
                calls::carrier_ended(tx, CarrierKind::Exotel, &end.call_id, duration_s, end.status, now).await?;
            if let CarrierEnd::Closed(call) = &found {
                tell_ended(tx.tenant(call.tenant).await?, call, &origin, now).await?;
            }
            Ok::<_, store::Error>(found)
        })
        .await?;
    match found {
        CarrierEnd::Unknown => Err(Problem::new(Code::NotFound, "there is no such call")),
        CarrierEnd::Closed(_) | CarrierEnd::Noted(_) => Ok(Json(TakenBody { status: "ok" })),
    }
}

/// A call that ends here had no media: nobody else puts its end on record.
async fn tell_ended(tx: &mut Tx, call: &Call, origin: &Origin, now: DateTime<Utc>) -> Result<(), store::Error> {
    let teller =
        Teller { actor: ACTOR, severity: Severity::Info, ip: origin.ip, request_id: origin.request_id.as_deref() };
    let reason = call.ended_reason.unwrap_or(EndedReason::CallerNeverJoined);
    call_ends::tell(tx, call.id, reason, 0, teller, now).await
}
