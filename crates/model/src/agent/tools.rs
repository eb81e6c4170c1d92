//! What an agent can do besides talking.

use super::schema;
use crate::words::words;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Something an agent can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToolConfig {
    /// Keep what was collected with the call, under the tool's name, and give back a reference to say.
    Record,
    /// Ask a web service.
    Http(HttpTool),
    /// All tools of a server that speaks the Model Context Protocol (streamable HTTP).
    Mcp(McpServer),
    /// End the call.
    EndCall(EndCallTool),
    /// Hand the caller to a person.
    TransferCall(TransferTool),
    /// Press keys, as on a telephone.
    SendDtmf(SendDtmfTool),
    /// Let the caller type digits.
    CollectDtmf(CollectDtmfTool),
    /// A machine has answered: leave a message and end.
    Voicemail(VoicemailTool),
}

words! {
    /// How a web service is asked.
    HttpMethod {
        /// Arguments in the query.
        Get = "GET",
        /// Arguments as JSON in the body.
        Post = "POST",
        /// Arguments as JSON in the body.
        Put = "PUT",
        /// Arguments as JSON in the body.
        Patch = "PATCH",
        /// Arguments in the query.
        Delete = "DELETE",
    }
}

/// A web service as a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// What it is for, for the model.
    #[schema(min_length = 1, max_length = 2000)]
    pub description: String,
    /// Where. `{name}` in the path is an argument, encoded; `{{name}}` is one of the call's variables. The host is fixed.
    #[schema(min_length = 1, max_length = 2048, example = "https://clinic.example.org/slots/{doctor}")]
    pub url: String,
    /// How.
    #[serde(default = "post")]
    #[schema(schema_with = schema::http_method)]
    pub method: HttpMethod,
    /// JSON schema of the arguments: an object.
    #[serde(default)]
    #[schema(schema_with = schema::json_schema)]
    pub parameters: Option<Map<String, Value>>,
    /// Arguments that the model neither sees nor sets; `{{name}}` is one of the call's variables. They win.
    #[serde(default)]
    #[schema(schema_with = schema::fixed)]
    pub fixed: BTreeMap<String, String>,
    /// Headers that are sent. Secrets belong into `key`.
    #[serde(default)]
    #[schema(schema_with = schema::headers)]
    pub headers: BTreeMap<String, String>,
    /// Which of the organisation's provider keys is sent as `Authorization: Bearer …`: the one named after the host of the
    /// address. Empty: none.
    #[serde(default)]
    #[schema(max_length = 260)]
    pub key: String,
    /// The answer must be there after this time.
    #[serde(default = "default_timeout_ms")]
    #[schema(default = default_timeout_ms, minimum = 100, maximum = 10_000)]
    pub timeout_ms: u64,
    /// The model reads so much of the answer, in bytes.
    #[serde(default = "default_result_bytes_max")]
    #[schema(default = default_result_bytes_max, minimum = 64, maximum = 32_768)]
    pub result_bytes_max: u32,
    /// Said while it runs, unless the agent has just said something.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub say: Option<String>,
    /// It only reads: it may be asked again after a failure, and twice for the same.
    #[serde(default)]
    pub reads_only: bool,
}

/// A server of tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    /// Where: one address for everything.
    #[schema(format = "uri", min_length = 1, max_length = 2048, example = "https://clinic.example.org/mcp")]
    pub url: String,
    /// Which of its tools are offered; empty = all, up to 20.
    #[serde(default)]
    #[schema(schema_with = schema::tool_names)]
    pub only: Vec<String>,
    /// Which of the organisation's provider keys is sent as `Authorization: Bearer …`: the one named after the host of the
    /// address. Empty: none.
    #[serde(default)]
    #[schema(max_length = 260)]
    pub key: String,
    /// An answer must be there after this time.
    #[serde(default = "default_timeout_ms")]
    #[schema(default = default_timeout_ms, minimum = 100, maximum = 10_000)]
    pub timeout_ms: u64,
    /// The model reads so much of an answer, in bytes.
    #[serde(default = "default_result_bytes_max")]
    #[schema(default = default_result_bytes_max, minimum = 64, maximum = 32_768)]
    pub result_bytes_max: u32,
    /// Said while one of them runs, unless the agent has just said something.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub say: Option<String>,
}

/// Ends the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EndCallTool {
    /// When to use it, for the model.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// Said before the call ends, unless the model has said goodbye in the same answer.
    #[schema(max_length = 500)]
    pub say: Option<String>,
}

/// Hands the caller to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferTool {
    /// When to use it, for the model.
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// Who can be reached. The model chooses by name; it never sees or sets a number.
    #[schema(inline, min_items = 1, max_items = 20)]
    pub destinations: Vec<TransferDestination>,
    /// Said before the caller is handed over.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub say: Option<String>,
}

/// Somebody a caller can be handed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferDestination {
    /// What the model calls them: `billing`.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$", max_length = 60)]
    pub name: String,
    /// What they are for.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub description: String,
    /// Their number, `+` and digits.
    #[schema(pattern = "^\\+[1-9][0-9]{6,14}$", max_length = 16, example = "+918047184718")]
    pub number: String,
}

/// Presses keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendDtmfTool {
    /// When to use it, for the model.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
}

/// Lets the caller type digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CollectDtmfTool {
    /// When to use it, for the model.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// Said before.
    #[schema(max_length = 500)]
    pub say: Option<String>,
    /// No more digits than this.
    #[schema(minimum = 1, maximum = 32)]
    pub digits_max: u32,
    /// The key that ends the input.
    #[schema(schema_with = schema::finish_key)]
    pub finish_key: char,
    /// Waiting for the next digit ends after this time.
    #[schema(minimum = 1_000, maximum = 60_000)]
    pub timeout_ms: u64,
}

impl Default for CollectDtmfTool {
    fn default() -> Self {
        Self { description: None, say: None, digits_max: 16, finish_key: '#', timeout_ms: 6_000 }
    }
}

/// Leaves a message on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VoicemailTool {
    /// When to use it, for the model.
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// What is left. Without it the agent's `voicemail.message`.
    #[schema(max_length = 2000)]
    pub message: Option<String>,
}

const fn post() -> HttpMethod {
    HttpMethod::Post
}
const fn default_timeout_ms() -> u64 {
    4_000
}
const fn default_result_bytes_max() -> u32 {
    4_096
}
