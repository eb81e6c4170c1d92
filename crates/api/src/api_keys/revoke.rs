//! `DELETE /api/api-keys/{id}`.

use crate::auth::path_id::PathId;
use crate::{Caller, Problem, scopes};
use axum::http::StatusCode;
use model::{ApiKeyId, AuditKind};
use serde_json::Map;
use store::api_keys;

/// Revokes an API key: the next request with it is refused. It stays in the list.
#[utoipa::path(
    delete, path = "/api/api-keys/{id}", tag = "keys", operation_id = "revoke_api_key",
    params(("id" = ApiKeyId, Path, description = "The key's id")),
    responses((status = 204, description = "Revoked")),
    security(("bearer" = ["api-keys:write"])),
)]
pub(crate) async fn revoke_api_key(
    caller: Caller<scopes::ApiKeysWrite>,
    PathId(id): PathId<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("api_keys.revoke", async |tx| {
            if api_keys::revoke(tx, id, caller.now).await? {
                caller.audit(tx, AuditKind::ApiKeyRevoked, Some(("api_key", id.to_string())), Map::new()).await?;
            }
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}
