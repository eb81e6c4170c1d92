//! `DELETE /api/provider-keys/{id}`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::ProviderKeysWrite;
use crate::{Caller, Problem};
use axum::http::StatusCode;
use model::{AuditKind, ProviderKeyId};
use serde_json::Map;
use store::provider_keys;

/// Forgets a key at a provider.
#[utoipa::path(
    delete,
    path = "/api/provider-keys/{id}",
    tag = "keys",
    security(("bearer" = ["provider-keys:write"])),
    params(("id" = ProviderKeyId, Path, description = "The key")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete_provider_key(
    caller: Caller<ProviderKeysWrite>,
    PathId(id): PathId<ProviderKeyId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("provider_keys.delete", async |tx| {
            let key = provider_keys::get(tx, id.into()).await?;
            provider_keys::delete(tx, id.into()).await?;
            let data = Map::from_iter([("provider".to_owned(), key.provider.into())]);
            let object = Some(("provider_key", id.to_string()));
            caller.audit(tx, AuditKind::ProviderKeyDeleted, object, data).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
