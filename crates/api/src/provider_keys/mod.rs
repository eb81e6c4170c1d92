//! Keys of the organisation at its providers. They come in and never go out: only the last four characters are shown.

mod create;
mod delete;
mod list;
mod replace;

use crate::App;
use chrono::{DateTime, Utc};
use model::ProviderKeyId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::provider_keys::ProviderKey;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Whose key it is: a vendor (`deepgram`, `openai`, `sarvam`, `elevenlabs`, `cartesia`, `anthropic`, `google`), the host of
/// a server of your own with its port unless that is the usual one (`llm.example.org:8443`), or any name by which your
/// tools ask for it (`crm`). Lower case letters, digits, dots and dashes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(transparent)]
// The longest name of a host has 253 characters, a port six with its colon.
#[schema(
    min_length = 1,
    max_length = 259,
    pattern = "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[1-9][0-9]{0,4})?$",
    example = "deepgram"
)]
pub(crate) struct ProviderName(String);

impl ProviderName {
    /// As it stands in the database, and as agents and addresses name it.
    fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key at a provider, without the key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderKey)]
pub(crate) struct ProviderKeyView {
    /// Its id.
    id: ProviderKeyId,
    /// At which provider.
    #[schema(example = "deepgram")]
    provider: String,
    /// What you call it.
    label: String,
    /// The key's last four characters.
    #[schema(example = "x7Qf")]
    last4: String,
    /// When it was first kept.
    created_at: DateTime<Utc>,
    /// When it was last replaced.
    updated_at: DateTime<Utc>,
}

impl From<ProviderKey> for ProviderKeyView {
    fn from(key: ProviderKey) -> Self {
        Self {
            id: key.id.into(),
            provider: key.provider,
            label: key.label,
            last4: key.last4,
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_provider_keys, create::create_provider_key))
        .routes(routes!(replace::replace_provider_key, delete::delete_provider_key))
}
