//! Language models.

use crate::Error;
use tokio::sync::mpsc;

/// Pieces of an answer waiting for the call.
pub const THOUGHT_QUEUE: usize = 64;
/// Longest answer in bytes; a phone answer is a few sentences, and a model that rambles is cut off here.
pub const ANSWER_BYTES_MAX: usize = 8_192;

/// Who said a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The caller.
    User,
    /// The agent.
    Assistant,
}

/// One message of the conversation so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// What; for the agent only what was heard.
    pub text: String,
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
}

/// A piece of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thought {
    /// More text.
    Text(String),
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
