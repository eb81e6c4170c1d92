//! `DELETE /api/phone-numbers/{id}`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::PhoneNumbersWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Problem};
use axum::http::StatusCode;
use model::{AuditKind, PhoneNumberId};
use serde_json::Map;
use store::phone_numbers;

/// Disconnects a phone number that never had a call.
#[utoipa::path(
    delete,
    path = "/api/phone-numbers/{id}",
    tag = "phone-numbers",
    security(("bearer" = ["phone-numbers:write"])),
    params(("id" = PhoneNumberId, Path, description = "The phone number")),
    responses(
        (status = 204, description = "It is disconnected"),
        (status = 409, description = "It has calls", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete_phone_number(
    caller: Caller<PhoneNumbersWrite>,
    PathId(id): PathId<PhoneNumberId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("phone_numbers.delete", async |tx| {
            phone_numbers::delete(tx, id).await?;
            let object = Some(("phone_number", id.to_string()));
            caller.audit(tx, AuditKind::PhoneNumberDeleted, object, Map::new()).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
