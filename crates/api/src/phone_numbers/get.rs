//! `GET /api/phone-numbers/{id}`.

use super::PhoneNumberView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::PhoneNumbersRead;
use crate::{Caller, Problem};
use axum::Json;
use model::PhoneNumberId;
use store::phone_numbers;

/// Shows a phone number.
#[utoipa::path(
    get,
    path = "/api/phone-numbers/{id}",
    tag = "phone-numbers",
    security(("bearer" = ["phone-numbers:read"])),
    params(("id" = PhoneNumberId, Path, description = "The phone number")),
    responses((status = 200, description = "The phone number", body = PhoneNumberView)),
)]
pub(crate) async fn get_phone_number(
    caller: Caller<PhoneNumbersRead>,
    PathId(id): PathId<PhoneNumberId>,
) -> Result<Json<PhoneNumberView>, Problem> {
    let number = caller.read("phone_numbers.get", async |tx| Ok(phone_numbers::get(tx, id).await?)).await?;
    Ok(Json(number.into()))
}
