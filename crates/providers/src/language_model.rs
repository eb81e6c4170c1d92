//! Language models.

use crate::Error;
use tokio::sync::mpsc;

/// Pieces of an answer waiting for the call.
pub const THOUGHT_QUEUE: usize = 64;
/// Longest answer in bytes; a phone answer is a few sentences, and a model that rambles is cut off here.
pub const ANSWER_BYTES_MAX: usize = 8_192;

/// Tools in one prompt. More confuse a model and cost time.
pub const TOOLS_MAX: usize = 64;
/// Tool calls in one answer; more is a model that has lost its way.
pub const TOOL_CALLS_MAX: usize = 8;
/// Longest arguments of a tool call in bytes.
pub const ARGUMENTS_BYTES_MAX: usize = 8_192;

/// One message of the conversation so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The caller said it.
    Caller(String),
    /// The agent said it, as far as it was heard, and asked for these tools.
    Agent {
        /// What was heard; may be empty when there are tool calls.
        text: String,
        /// The tools it asked for.
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool gave back.
    ToolResult {
        /// Of which call.
        id: String,
        /// Which tool.
        name: String,
        /// What the model reads.
        text: String,
    },
}

impl Message {
    /// What the agent said, without tools.
    #[must_use]
    pub fn agent(text: impl Into<String>) -> Self {
        Self::Agent { text: text.into(), tool_calls: Vec::new() }
    }
}

/// Something the model can ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// Its name: letters, digits, `_`, `-`; at most 64.
    pub name: String,
    /// What it is for, to the model.
    pub description: String,
    /// JSON schema of its arguments, an object.
    pub parameters: serde_json::Value,
}

/// The model asks for a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The vendor's name for this call; the result repeats it.
    pub id: String,
    /// Which tool. Not checked: a model may make one up.
    pub name: String,
    /// Its arguments: JSON as the model wrote it, not checked.
    pub arguments: String,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Of these from the vendor's cache.
    pub cached_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

/// What the model is asked.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Its instructions.
    pub system: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Sampling temperature.
    pub temperature: f64,
    /// What it may ask for; at most [`TOOLS_MAX`].
    pub tools: Vec<ToolSpec>,
}

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thought {
    /// More text; of a model that speaks by itself, the words of its sound.
    Text(String),
    /// More sound, mono PCM at the call's rate: from a model that speaks by itself.
    Audio(Vec<i16>),
    /// It asks for a tool; complete. At most [`TOOL_CALLS_MAX`].
    ToolCall(ToolCall),
    /// What the answer cost; before the end, when the vendor tells in time.
    Usage(Usage),
    /// The model finished on its own accord.
    Done,
}

/// A language model service.
pub trait LanguageModel: Send + Sync {
    /// Stable short name, for settings, logs and metrics.
    fn name(&self) -> &'static str;
    /// Starts to think. Pieces arrive as they are made; the last is `Done` or an error. Dropping the receiver cancels.
    fn think(&self, prompt: Prompt) -> mpsc::Receiver<Result<Thought, Error>>;
}
