//! `GET /api/phone-numbers`.

use super::PhoneNumberView;
use crate::caller::scopes::PhoneNumbersRead;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use store::phone_numbers;

/// Lists phone numbers.
#[utoipa::path(
    get,
    path = "/api/phone-numbers",
    tag = "phone-numbers",
    security(("bearer" = ["phone-numbers:read"])),
    params(ListQuery),
    responses((status = 200, description = "A page of phone numbers", body = ListBody<PhoneNumberView>)),
)]
pub(crate) async fn list_phone_numbers(
    caller: Caller<PhoneNumbersRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<PhoneNumberView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let page = caller.read("phone_numbers.list", async |tx| Ok(phone_numbers::list(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, PhoneNumberView::from)))
}
