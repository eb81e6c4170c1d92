//! `POST /webhooks/exotel/status/{token}`: status callbacks as Exotel really sends them, for calls placed through its API:
//! multipart, urlencoded or JSON, thin or full, with no signature. The unguessable token of the number in the path
//! stands in for one.

use super::call_status::StatusBody;
use super::report::{self, Incoming, TakenBody, Together};
use super::{number_at, on_record, read, rejected};
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use std::sync::Arc;
use wire::exotel::report::Message;

/// Where a call stands, told to the address that belongs to its number.
///
/// Repeated and late ones do no harm.
#[utoipa::path(
    post, path = "/webhooks/exotel/status/{token}", tag = "webhooks", operation_id = "exotel_status",
    params(("token" = String, Path, description = "The unguessable part of the number's address")),
    request_body(content(
        (StatusBody = "multipart/form-data"),
        (StatusBody = "application/json"),
        (StatusBody = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, description = "It is on record", body = TakenBody),
        (status = 401, description = "The number takes other proofs", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such address, or no such call of its number", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    origin: Origin,
    together: Together,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TakenBody>, Problem> {
    let number = match number_at(&app, &token).await {
        Ok(number) => number,
        Err(problem) => {
            if problem.code == Code::NotFound {
                rejected(&app, &origin, problem.code).await;
            }
            return Err(problem);
        }
    };
    let (fields, offered) = read(&app, &headers, &body, &origin);
    let offered = offered.at_its_address();
    let incoming = Incoming { message: Message::Status, offered, fields, number: Some(number), origin: origin.clone() };
    on_record(&app, &origin, report::take_of_call(&together, incoming).await).await
}
