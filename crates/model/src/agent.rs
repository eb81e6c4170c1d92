//! An agent: how calls to its numbers are answered. Stored as JSON; every field has a default so that old rows read.

use crate::words::words;
use crate::{AgentId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod schema;

/// An agent as the store returns it.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Shown to people.
    pub name: String,
    /// What it does.
    pub config: AgentConfig,
}

/// What an agent says and how it listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// BCP 47 tag of the language it speaks: `en-IN`, `hi-IN`.
    #[serde(default = "default_language")]
    #[schema(default = default_language, example = "en-IN", max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
    pub language: String,
    /// Said at once when the call connects. A flow brings its own.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub greeting: Option<String>,
    /// What decides the answers.
    pub brain: Brain,
    /// Speech services.
    #[serde(default)]
    pub speech: SpeechConfig,
    /// When to speak and when to listen.
    #[serde(default)]
    pub turn_taking: TurnTaking,
    /// What the agent can do besides talking, by name.
    #[serde(default)]
    #[schema(schema_with = schema::tools)]
    pub tools: BTreeMap<String, ToolConfig>,
    /// The call ends, politely, after this many seconds.
    #[serde(default = "default_max_duration_s")]
    #[schema(default = default_max_duration_s, minimum = 10, maximum = 14400)]
    pub max_duration_s: u64,
    /// Record both sides.
    #[serde(default = "yes")]
    #[schema(default = yes)]
    pub record: bool,
}

/// What decides the agent's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Brain {
    /// A flow: a graph of steps, no language model. The text is the flow file (TOML), read by `call::flow`.
    Flow {
        /// The flow file.
        text: String,
    },
    /// A language model behind an API.
    LanguageModel(LanguageModelConfig),
}

words! {
    /// The language of a language model's API.
    ModelProtocol {
        /// OpenAI's chat completions, which most servers speak.
        Openai = "openai",
        /// Anthropic's messages.
        Anthropic = "anthropic",
    }
}

/// A language model behind an API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LanguageModelConfig {
    /// What the API speaks.
    #[serde(default = "openai")]
    #[schema(schema_with = schema::protocol)]
    pub protocol: ModelProtocol,
    /// Where the API is: `http://` or `https://`, without a name and password.
    #[schema(format = "uri", max_length = 2048, example = "http://127.0.0.1:11434/v1")]
    pub base_url: String,
    /// Name of the model.
    #[schema(min_length = 1, max_length = 200, example = "qwen3:8b")]
    pub model: String,
    /// What it is told about its job.
    #[schema(max_length = 100_000)]
    pub system_prompt: String,
    /// Sampling temperature.
    #[serde(default = "default_temperature")]
    #[schema(default = default_temperature, minimum = 0, maximum = 2)]
    pub temperature: f64,
}

/// Something an agent can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToolConfig {
    /// Keep what was collected with the call, under the tool's name, and give back a reference to say.
    Record,
}

/// Which speech services to use. `builtin` is always there once its models are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpeechConfig {
    /// Speech to text: `builtin` or a vendor's name.
    #[schema(min_length = 1, max_length = 60)]
    pub transcriber: String,
    /// Text to speech: `builtin` or a vendor's name.
    #[schema(min_length = 1, max_length = 60)]
    pub speaker: String,
    /// Voice of the speaker; empty = its default.
    #[schema(max_length = 200)]
    pub voice: String,
}

impl Default for SpeechConfig {
    fn default() -> Self {
        Self { transcriber: "builtin".into(), speaker: "builtin".into(), voice: String::new() }
    }
}

/// When to speak and when to listen. All times in ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TurnTaking {
    /// Silence after which the turn is over when everything says the caller is done.
    #[schema(minimum = 100, maximum = 5_000)]
    pub pause_short_ms: u64,
    /// Silence after which the turn is over when the caller seems to be thinking. At least the short one.
    #[schema(minimum = 100, maximum = 10_000)]
    pub pause_long_ms: u64,
    /// Sound of the caller over the agent that is looked at as a possible interruption. Shorter is a click.
    #[schema(maximum = 5_000)]
    pub barge_in_min_ms: u64,
    /// No interruption in this first part of the call: the phone leg may echo our greeting.
    #[schema(maximum = 30_000)]
    pub barge_in_guard_ms: u64,
    /// Silence of the caller before a reminder.
    #[schema(minimum = 1_000, maximum = 120_000)]
    pub reminder_after_ms: u64,
    /// Reminders before goodbye.
    #[schema(maximum = 10)]
    pub reminders_max: u32,
}

impl Default for TurnTaking {
    fn default() -> Self {
        Self {
            pause_short_ms: 240,
            pause_long_ms: 1_100,
            barge_in_min_ms: 100,
            barge_in_guard_ms: 400,
            reminder_after_ms: 7_000,
            reminders_max: 2,
        }
    }
}

fn default_language() -> String {
    "en-IN".into()
}
const fn openai() -> ModelProtocol {
    ModelProtocol::Openai
}
fn default_max_duration_s() -> u64 {
    600
}
fn default_temperature() -> f64 {
    0.4
}
const fn yes() -> bool {
    true
}
