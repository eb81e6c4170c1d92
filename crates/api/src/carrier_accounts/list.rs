//! `GET /api/carrier-accounts`.

use super::CarrierAccountView;
use crate::caller::scopes::ProviderKeysRead;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use store::carrier_accounts;

/// Lists the accounts at carriers, never their tokens.
#[utoipa::path(
    get,
    path = "/api/carrier-accounts",
    tag = "keys",
    security(("bearer" = ["provider-keys:read"])),
    params(ListQuery),
    responses((status = 200, description = "A page of accounts", body = ListBody<CarrierAccountView>)),
)]
pub(crate) async fn list_carrier_accounts(
    caller: Caller<ProviderKeysRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<CarrierAccountView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let page = caller.read("carrier_accounts.list", async |tx| Ok(carrier_accounts::list(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, CarrierAccountView::from)))
}
