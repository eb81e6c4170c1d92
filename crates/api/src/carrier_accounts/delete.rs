//! `DELETE /api/carrier-accounts/{id}`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::ProviderKeysWrite;
use crate::{Caller, Problem};
use axum::http::StatusCode;
use model::{AuditKind, CarrierAccountId};
use serde_json::Map;
use store::carrier_accounts;

/// Forgets an account at a carrier.
///
/// Calls that wait to be placed with it and recordings that wait to be fetched with it fail.
#[utoipa::path(
    delete,
    path = "/api/carrier-accounts/{id}",
    tag = "keys",
    security(("bearer" = ["provider-keys:write"])),
    params(("id" = CarrierAccountId, Path, description = "The account")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete_carrier_account(
    caller: Caller<ProviderKeysWrite>,
    PathId(id): PathId<CarrierAccountId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("carrier_accounts.delete", async |tx| {
            let account = carrier_accounts::get(tx, id).await?;
            carrier_accounts::delete(tx, id).await?;
            let data = Map::from_iter([("carrier".to_owned(), account.carrier.as_str().into())]);
            let object = Some(("carrier_account", id.to_string()));
            caller.audit(tx, AuditKind::CarrierAccountDeleted, object, data).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
