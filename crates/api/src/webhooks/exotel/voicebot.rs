//! `GET /webhooks/exotel/voicebot/{token}`: the dynamic URL of a Voicebot applet, as Exotel really asks it: a GET with
//! the call in its query and no signature. The unguessable token of the number in the path stands in for one.

use super::call_start::{Arrival, MediaBody};
use super::proof::Offered;
use super::{number_at, on_record, rejected};
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use std::sync::Arc;
use wire::fields::Fields;

/// A call has arrived, asked by the address that belongs to its number.
#[utoipa::path(
    get, path = "/webhooks/exotel/voicebot/{token}", tag = "webhooks", operation_id = "exotel_voicebot",
    params(
        ("token" = String, Path, description = "The unguessable part of the number's address"),
        ("CallSid" = String, Query, description = "The carrier's id of the call"),
        ("CallTo" = String, Query, description = "The number that was called"),
        ("CallFrom" = Option<String>, Query, description = "The caller, unless withheld"),
    ),
    responses(
        (status = 200, description = "Where the media goes", body = MediaBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The call's media has begun", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn voicebot(
    State(app): State<Arc<App>>,
    origin: Origin,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<MediaBody>, Problem> {
    let number = match number_at(&app, &token).await {
        Ok(number) => number,
        Err(problem) => {
            if problem.code == Code::NotFound {
                rejected(&app, &origin, problem.code).await;
            }
            return Err(problem);
        }
    };
    let fields = Fields::from_urlencoded(query.unwrap_or_default().as_bytes());
    let offered = Offered::without_body(&headers, &origin).at_its_address();
    let arrival = Arrival { fields, offered, number: Some(number) };
    on_record(&app, &origin, arrival.answer(&app, &headers, &origin).await).await
}
