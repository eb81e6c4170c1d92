//! `POST /api/provider-keys`.

use super::{ProviderKeyView, ProviderName};
use crate::auth::secret::Secret;
use crate::caller::scopes::ProviderKeysWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};
use axum::Json;
use axum::http::StatusCode;
use model::{AuditKind, ProviderKeyId};
use serde::Deserialize;
use serde_json::Map;
use store::provider_keys::{self, NewProviderKey};
use utoipa::ToSchema;

/// A key to keep.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewProviderKey, example = json!({
    "provider": "deepgram",
    "label": "Account of the clinic",
    "key": "0123456789abcdef0123456789abcdef01234567",
}))]
pub(crate) struct NewProviderKeyBody {
    /// At which provider. There is one key at each.
    provider: ProviderName,
    /// What you call it.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters")]
    label: String,
    /// The key. It is kept encrypted and never shown again.
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 512, pattern = "^[!-~]+$")]
    key: Secret,
}

/// Keeps a key at a provider.
#[utoipa::path(
    post,
    path = "/api/provider-keys",
    tag = "keys",
    security(("bearer" = ["provider-keys:write"])),
    request_body = NewProviderKeyBody,
    responses(
        (status = 201, description = "The key, without the key", body = ProviderKeyView),
        (status = 409, description = "There is a key for this provider already",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_provider_key(
    caller: Caller<ProviderKeysWrite>,
    Valid(body): Valid<NewProviderKeyBody>,
) -> Result<(StatusCode, Json<ProviderKeyView>), Problem> {
    let new = NewProviderKey { provider: body.provider.as_str(), label: &body.label, key: body.key.hidden() };
    let made = caller
        .write("provider_keys.create", async |tx| {
            let made = provider_keys::create(tx, &new, caller.now).await?;
            let data = Map::from_iter([("provider".to_owned(), body.provider.as_str().into())]);
            let object = Some(("provider_key", ProviderKeyId::from(made.id).to_string()));
            caller.audit(tx, AuditKind::ProviderKeyCreated, object, data).await?;
            Ok(made)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}
