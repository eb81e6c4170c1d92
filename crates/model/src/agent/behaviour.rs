//! What else an agent does around the conversation: looking up the caller, machines that answer, silence, sound.

use super::schema;
use crate::words::words;
use serde::{Deserialize, Serialize};

/// A web address that is asked, before the conversation, for what is known about the caller. It gets the call's numbers and
/// variables, and answers with more variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// Where: `https://…`.
    #[schema(format = "uri", min_length = 1, max_length = 2048, example = "https://clinic.example.org/caly/lookup")]
    pub url: String,
    /// The call begins without an answer after this time: the telephone has stopped ringing.
    #[serde(default = "default_lookup_timeout_ms")]
    #[schema(default = default_lookup_timeout_ms, minimum = 50, maximum = 5_000)]
    pub timeout_ms: u64,
    /// Which of the organisation's provider keys is sent as `Authorization: Bearer …`: the one named after the host of the
    /// address. Empty: none.
    #[serde(default)]
    #[schema(max_length = 260)]
    pub key: String,
}

const fn default_lookup_timeout_ms() -> u64 {
    800
}

/// What to do when a machine answers a call that we placed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Voicemail {
    /// Listen for voicemail and for announcements («the number you are calling is switched off») at the beginning of
    /// calls that we placed.
    pub detect: bool,
    /// What to leave on a voicemail. Without one the call ends.
    #[schema(max_length = 2000)]
    pub message: Option<String>,
}

/// What to do when the caller says nothing. How long that is stands in `turn_taking`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Silence {
    /// What to say, one after the other. Empty: the usual words of the language.
    #[schema(schema_with = schema::phrases)]
    pub reminders: Vec<String>,
    /// What to say before the call ends.
    #[schema(max_length = 1000)]
    pub goodbye: Option<String>,
}

words! {
    /// What is heard behind the agent.
    AmbienceSound {
        /// The murmur of an office.
        Office = "office",
        /// The faint noise of an open line.
        Line = "line",
    }
}

/// Sound behind the agent's voice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ambience {
    /// What is heard.
    #[schema(schema_with = schema::ambience_sound)]
    pub sound: AmbienceSound,
    /// How loud, dB below full scale.
    #[serde(default = "default_ambience_below_db")]
    #[schema(default = default_ambience_below_db, minimum = 20, maximum = 70)]
    pub below_db: u8,
}

const fn default_ambience_below_db() -> u8 {
    46
}

/// Whether the agent looks things up in the organisation's documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Knowledge {
    /// It does, with every turn of the caller.
    pub enabled: bool,
    /// Only documents of these collections; empty = all.
    #[schema(schema_with = schema::collections)]
    pub collections: Vec<String>,
    /// Passages that the model is shown.
    #[schema(minimum = 1, maximum = 10)]
    pub passages_max: u32,
    /// The model is asked without passages after this time.
    #[schema(minimum = 10, maximum = 2_000)]
    pub timeout_ms: u64,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self { enabled: false, collections: Vec::new(), passages_max: 3, timeout_ms: 150 }
    }
}
