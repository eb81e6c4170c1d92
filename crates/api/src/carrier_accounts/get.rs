//! `GET /api/carrier-accounts/{id}`.

use super::CarrierAccountView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::ProviderKeysRead;
use crate::{Caller, Problem};
use axum::Json;
use model::CarrierAccountId;
use store::carrier_accounts;

/// Shows an account at a carrier.
#[utoipa::path(
    get,
    path = "/api/carrier-accounts/{id}",
    tag = "keys",
    security(("bearer" = ["provider-keys:read"])),
    params(("id" = CarrierAccountId, Path, description = "The account")),
    responses((status = 200, description = "The account, without its token", body = CarrierAccountView)),
)]
pub(crate) async fn get_carrier_account(
    caller: Caller<ProviderKeysRead>,
    PathId(id): PathId<CarrierAccountId>,
) -> Result<Json<CarrierAccountView>, Problem> {
    let account = caller.read("carrier_accounts.get", async |tx| Ok(carrier_accounts::get(tx, id).await?)).await?;
    Ok(Json(account.into()))
}
