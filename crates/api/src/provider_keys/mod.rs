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

/// Whose key it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProviderName {
    /// Speech to text, text to speech.
    Deepgram,
    /// Language models, speech.
    Openai,
    /// Speech and language models for India's languages.
    Sarvam,
    /// Text to speech.
    Elevenlabs,
    /// Text to speech.
    Cartesia,
    /// Language models.
    Anthropic,
    /// Language models, speech.
    Google,
}

impl ProviderName {
    /// The word in the API and the database.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Deepgram => "deepgram",
            Self::Openai => "openai",
            Self::Sarvam => "sarvam",
            Self::Elevenlabs => "elevenlabs",
            Self::Cartesia => "cartesia",
            Self::Anthropic => "anthropic",
            Self::Google => "google",
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_same_everywhere() {
        for word in ["deepgram", "openai", "sarvam", "elevenlabs", "cartesia", "anthropic", "google"] {
            let name: ProviderName = serde_json::from_value(word.into()).expect("a name");
            assert_eq!(name.as_str(), word);
        }
    }
}
