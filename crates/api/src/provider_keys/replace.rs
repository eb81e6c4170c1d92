//! `PUT /api/provider-keys/{id}`.

use super::ProviderKeyView;
use crate::auth::path_id::PathId;
use crate::auth::secret::Secret;
use crate::caller::scopes::ProviderKeysWrite;
use crate::{Caller, Problem, Valid};
use axum::Json;
use model::{AuditKind, ProviderKeyId};
use serde::Deserialize;
use serde_json::Map;
use store::provider_keys;
use utoipa::ToSchema;

/// Another key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderKeyReplacement, example = json!({ "key": "0123456789abcdef0123456789abcdef01234567" }))]
pub(crate) struct ProviderKeyReplacement {
    /// The key. It is kept encrypted and never shown again.
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 512, pattern = "^[!-~]+$")]
    key: Secret,
}

/// Puts another key in the place of one.
#[utoipa::path(
    put,
    path = "/api/provider-keys/{id}",
    tag = "keys",
    security(("bearer" = ["provider-keys:write"])),
    params(("id" = ProviderKeyId, Path, description = "The key")),
    request_body = ProviderKeyReplacement,
    responses((status = 200, description = "The key, without the key", body = ProviderKeyView)),
)]
pub(crate) async fn replace_provider_key(
    caller: Caller<ProviderKeysWrite>,
    PathId(id): PathId<ProviderKeyId>,
    Valid(body): Valid<ProviderKeyReplacement>,
) -> Result<Json<ProviderKeyView>, Problem> {
    let key = caller
        .write("provider_keys.replace", async |tx| {
            let key = provider_keys::replace(tx, id.into(), body.key.hidden(), caller.now).await?;
            let data = Map::from_iter([("provider".to_owned(), key.provider.as_str().into())]);
            let object = Some(("provider_key", id.to_string()));
            caller.audit(tx, AuditKind::ProviderKeyUpdated, object, data).await?;
            Ok(key)
        })
        .await?;
    Ok(Json(key.into()))
}
