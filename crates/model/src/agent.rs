//! An agent: how calls to its numbers are answered. Stored as JSON; every field has a default so that old rows read.

use crate::words::words;
use crate::{AgentId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod behaviour;
mod records;
mod schema;
mod speech;
mod tools;
mod turn_taking;

pub use behaviour::{Ambience, AmbienceSound, Knowledge, Lookup, Silence, Voicemail};
pub use records::{Analysis, Disposition};
pub use speech::{SpeakerChoice, SpeechConfig, TranscriberChoice};
pub use tools::{
    CollectDtmfTool, EndCallTool, HttpMethod, HttpTool, McpServer, SendDtmfTool, ToolConfig, TransferDestination,
    TransferTool, VoicemailTool,
};
pub use turn_taking::{EndOfTurn, TurnTaking};

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
    /// Said after the greeting, before anything else, and not to be interrupted: that the call is recorded, what the
    /// law asks for.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub notice: Option<String>,
    /// Other languages that the agent may go over to when the caller speaks them (BCP 47). Empty: it stays with its own.
    #[serde(default)]
    #[schema(schema_with = schema::languages)]
    pub languages: Vec<String>,
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
    /// Asked before the conversation for what is known about the caller.
    #[serde(default)]
    pub lookup: Option<Lookup>,
    /// What to do when a machine answers a call that we placed.
    #[serde(default)]
    pub voicemail: Voicemail,
    /// What to do when the caller says nothing.
    #[serde(default)]
    pub silence: Silence,
    /// Sound behind the agent's voice. None unless chosen.
    #[serde(default)]
    pub ambience: Option<Ambience>,
    /// Whether the agent looks things up in the organisation's documents.
    #[serde(default)]
    pub knowledge: Knowledge,
    /// What is made of the call once it is over.
    #[serde(default)]
    pub analysis: Analysis,
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
    /// A model that hears and speaks by itself: it is transcriber, language model and speaker in one.
    SpeechModel(SpeechModelConfig),
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
    /// Asked in this order when this one fails or is late; they are told the same.
    #[serde(default)]
    #[schema(inline, max_items = 3)]
    pub fallbacks: Vec<ModelChoice>,
    /// When nothing has come after so many ms the first fallback is asked as well, and whichever begins first is heard.
    /// 0 = only after a failure.
    #[serde(default)]
    #[schema(maximum = 10_000)]
    pub hedge_after_ms: u64,
    /// Tokens that one call may use, in and out; then it ends politely. 0 = no limit.
    #[serde(default)]
    #[schema(maximum = 100_000_000)]
    pub tokens_max: u64,
}

/// Another language model to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelChoice {
    /// What the API speaks.
    #[serde(default = "openai")]
    #[schema(schema_with = schema::protocol)]
    pub protocol: ModelProtocol,
    /// Where the API is.
    #[schema(format = "uri", max_length = 2048, example = "https://api.groq.com/openai/v1")]
    pub base_url: String,
    /// Name of the model.
    #[schema(min_length = 1, max_length = 200, example = "llama-3.3-70b-versatile")]
    pub model: String,
}

words! {
    /// Whose model hears and speaks.
    SpeechModelVendor {
        /// OpenAI Realtime, and servers that speak its protocol.
        Openai = "openai",
        /// Gemini Live.
        Gemini = "gemini",
    }
}

/// A model that hears and speaks by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeechModelConfig {
    /// Whose.
    #[schema(schema_with = schema::speech_model_vendor)]
    pub vendor: SpeechModelVendor,
    /// Where the API is, when it is not the vendor's own: `wss://…` or `https://…`.
    #[serde(default)]
    #[schema(format = "uri", max_length = 2048)]
    pub base_url: Option<String>,
    /// Name of the model; empty = the vendor's usual one.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub model: String,
    /// Name of the voice; empty = the vendor's usual one.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub voice: String,
    /// What it is told about its job.
    #[schema(max_length = 100_000)]
    pub system_prompt: String,
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
