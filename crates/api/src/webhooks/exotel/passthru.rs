//! `GET /webhooks/exotel/passthru/{token}`: the Passthru applet, wherever it stands in a flow; behind the Voicebot applet
//! it is how Exotel says that an incoming call is over. A flow goes on with the answer, and goes astray with any other
//! than 200: what cannot be read, kept in time, or belongs to no call is logged, not refused.

use super::proof::Offered;
use super::report::{self, Incoming, Known, OK, TakenBody, Together};
use super::{is_refusal, number_at, on_record, read, rejected};
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
use wire::exotel::report::Message;
use wire::fields::{BodyError, Fields};

/// A caller waits for the answer, in silence, when the applet is synchronous. The end of the call is known from its
/// media, too.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// A flow passes through; what it says of its call is kept.
#[utoipa::path(
    get, path = "/webhooks/exotel/passthru/{token}", tag = "webhooks", operation_id = "exotel_passthru",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("CallSid" = Option<String>, Query, description = "The carrier's id of the call"),
        ("CallStatus" = Option<String>, Query, description = "Where the call stands"),
        ("Stream" = Option<String>, Query, description = "What became of the media, as JSON; also as `Stream[Status]` and so on"),
    ),
    responses(
        (status = 200, description = "The flow goes on, whether this could be kept or not", body = TakenBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn passthru(
    State(app): State<Arc<App>>,
    origin: Origin,
    together: Together,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<TakenBody>, Problem> {
    let fields = Fields::from_urlencoded(query.unwrap_or_default().as_bytes());
    pass(&app, &together, &origin, &token, fields, Offered::without_body(&headers, &origin)).await
}

/// A flow passes through, told in a body.
#[utoipa::path(
    post, path = "/webhooks/exotel/passthru/{token}", tag = "webhooks", operation_id = "exotel_passthru_post",
    params(("token" = String, Path, description = "The unguessable part of the number's address")),
    responses(
        (status = 200, description = "The flow goes on, whether this could be kept or not", body = TakenBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn passthru_post(
    State(app): State<Arc<App>>,
    origin: Origin,
    together: Together,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TakenBody>, Problem> {
    let (fields, offered) = read(&app, &headers, &body, &origin);
    pass(&app, &together, &origin, &token, fields, offered).await
}

async fn pass(
    app: &App,
    together: &Together,
    origin: &Origin,
    token: &str,
    fields: Result<Fields, BodyError>,
    offered: Offered,
) -> Result<Json<TakenBody>, Problem> {
    let kept = tokio::time::timeout(ANSWERED_WITHIN, keep(app, together, origin, token, fields, offered)).await;
    let Ok(kept) = kept else {
        tracing::error!("a passthru could not be kept in time");
        return Ok(OK);
    };
    match on_record(app, origin, kept).await {
        Ok(Known::Call) => Ok(OK),
        Ok(Known::NoCall) => {
            tracing::info!("a passthru of a call that is not known");
            Ok(OK)
        }
        Err(problem) if problem.code == Code::NotFound || is_refusal(problem.code) => Err(problem),
        Err(problem) => {
            tracing::warn!(reason = problem.code.as_str(), "a passthru could not be kept");
            Ok(OK)
        }
    }
}

async fn keep(
    app: &App,
    together: &Together,
    origin: &Origin,
    token: &str,
    fields: Result<Fields, BodyError>,
    offered: Offered,
) -> Result<Known, Problem> {
    let number = match number_at(app, token).await {
        Ok(number) => number,
        Err(problem) => {
            if problem.code == Code::NotFound {
                rejected(app, origin, problem.code).await;
            }
            return Err(problem);
        }
    };
    let offered = offered.at_its_address();
    let origin = origin.clone();
    report::take(together, Incoming { message: Message::Passthru, offered, fields, number: Some(number), origin }).await
}
