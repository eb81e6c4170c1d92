//! Streamed chat completions.

use super::{Deadlines, Endpoint};
use crate::Error;
use crate::answer::{Reading, TOOL_CALL_LIMITS, tools, turns};
use crate::http::Http;
use crate::language_model::{LanguageModel, Prompt, Thought};
use secrecy::SecretString;
use tokio::sync::mpsc;
use wire::openai::{ChatRequest, ChatStream, TokenLimit};

/// Name of this provider.
const NAME: &str = "openai";

/// How to reach a model and ask it.
#[derive(Clone, Debug)]
pub struct ModelSettings {
    /// Address up to and with `/v1`; a slash at its end does not matter.
    pub base_url: String,
    /// The key; `None` for servers without.
    pub key: Option<SecretString>,
    /// Model name.
    pub model: String,
    /// Send the temperature. Reasoning models refuse it.
    pub send_temperature: bool,
    /// Longest answer in tokens, and the field that says it.
    pub token_limit: Option<TokenLimit>,
    /// Ask for token counts.
    pub include_usage: bool,
    /// How long an answer may take.
    pub deadlines: Deadlines,
}

impl ModelSettings {
    /// OpenAI's own service with its usual settings.
    #[must_use]
    pub fn new(model: impl Into<String>, key: Option<SecretString>) -> Self {
        Self {
            base_url: super::BASE_URL.to_owned(),
            key,
            model: model.into(),
            send_temperature: true,
            token_limit: None,
            include_usage: true,
            deadlines: Deadlines::default(),
        }
    }
}

/// A model behind the chat completions protocol.
#[derive(Clone, Debug)]
pub struct OpenAiModel {
    endpoint: Endpoint,
    settings: ModelSettings,
}

impl OpenAiModel {
    /// A model; nothing is sent yet.
    #[must_use]
    pub fn new(http: Http, settings: ModelSettings) -> Self {
        let endpoint = Endpoint { name: NAME, http, base_url: settings.base_url.clone(), key: settings.key.clone() };
        Self { endpoint, settings }
    }

    /// Whether service and key work; leaves an open connection behind.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        self.endpoint.check().await
    }

    fn body(&self, prompt: &Prompt) -> String {
        let request = ChatRequest {
            model: &self.settings.model,
            system: &prompt.system,
            turns: turns(prompt),
            tools: tools(prompt),
            temperature: self.settings.send_temperature.then_some(prompt.temperature),
            token_limit: self.settings.token_limit,
            include_usage: self.settings.include_usage,
        };
        request.body()
    }
}

impl LanguageModel for OpenAiModel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn think(&self, prompt: Prompt) -> mpsc::Receiver<Result<Thought, Error>> {
        let reading = Reading {
            provider: NAME,
            reader: ChatStream::new(TOOL_CALL_LIMITS),
            deadlines: self.settings.deadlines,
            counted: self.settings.include_usage,
        };
        let (endpoint, body) = (self.endpoint.clone(), self.body(&prompt));
        reading.start(prompt.tools.len(), async move { endpoint.post("chat/completions", body).await })
    }
}
