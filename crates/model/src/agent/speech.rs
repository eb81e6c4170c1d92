//! Which speech services an agent uses, and which when those fail.

use serde::{Deserialize, Serialize};

/// Which speech services to use. `builtin` is always there once its models are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpeechConfig {
    /// Speech to text: `builtin` or a vendor's name.
    #[schema(min_length = 1, max_length = 60)]
    pub transcriber: String,
    /// Model of the transcriber; empty = its default.
    #[schema(max_length = 200)]
    pub transcriber_model: String,
    /// Where the transcriber's service is, when it is not the vendor's own.
    #[schema(format = "uri", max_length = 2048)]
    pub transcriber_url: Option<String>,
    /// Used in this order when the transcriber cannot be reached or fails.
    #[schema(inline, max_items = 3)]
    pub transcriber_fallbacks: Vec<TranscriberChoice>,
    /// Text to speech: `builtin` or a vendor's name.
    #[schema(min_length = 1, max_length = 60)]
    pub speaker: String,
    /// Model of the speaker; empty = its default.
    #[schema(max_length = 200)]
    pub speaker_model: String,
    /// Where the speaker's service is, when it is not the vendor's own.
    #[schema(format = "uri", max_length = 2048)]
    pub speaker_url: Option<String>,
    /// Voice of the speaker; empty = its default.
    #[schema(max_length = 200)]
    pub voice: String,
    /// Used in this order when the speaker fails or is late. A sentence that has begun is not begun again.
    #[schema(inline, max_items = 3)]
    pub speaker_fallbacks: Vec<SpeakerChoice>,
}

/// A transcriber to fall back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscriberChoice {
    /// `builtin` or a vendor's name.
    #[schema(min_length = 1, max_length = 60)]
    pub name: String,
    /// Its model; empty = its default.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub model: String,
    /// Where its service is, when it is not the vendor's own.
    #[serde(default)]
    #[schema(format = "uri", max_length = 2048)]
    pub base_url: Option<String>,
}

/// A speaker to fall back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeakerChoice {
    /// `builtin` or a vendor's name.
    #[schema(min_length = 1, max_length = 60)]
    pub name: String,
    /// Its model; empty = its default.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub model: String,
    /// Its voice; empty = its default.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub voice: String,
    /// Where its service is, when it is not the vendor's own.
    #[serde(default)]
    #[schema(format = "uri", max_length = 2048)]
    pub base_url: Option<String>,
}

impl Default for SpeechConfig {
    fn default() -> Self {
        Self {
            transcriber: "builtin".into(),
            transcriber_model: String::new(),
            transcriber_url: None,
            transcriber_fallbacks: Vec::new(),
            speaker: "builtin".into(),
            speaker_model: String::new(),
            speaker_url: None,
            voice: String::new(),
            speaker_fallbacks: Vec::new(),
        }
    }
}

impl SpeechConfig {
    /// The transcriber and its fallbacks, in the order they are tried.
    pub fn transcribers(&self) -> impl Iterator<Item = TranscriberChoice> {
        let first = TranscriberChoice {
            name: self.transcriber.clone(),
            model: self.transcriber_model.clone(),
            base_url: self.transcriber_url.clone(),
        };
        std::iter::once(first).chain(self.transcriber_fallbacks.clone())
    }

    /// The speaker and its fallbacks, in the order they are tried.
    pub fn speakers(&self) -> impl Iterator<Item = SpeakerChoice> {
        let first = SpeakerChoice {
            name: self.speaker.clone(),
            model: self.speaker_model.clone(),
            voice: self.voice.clone(),
            base_url: self.speaker_url.clone(),
        };
        std::iter::once(first).chain(self.speaker_fallbacks.clone())
    }
}
