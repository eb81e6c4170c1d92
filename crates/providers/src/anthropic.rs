//! Anthropic's models: the Messages API, streamed.
//!
//! Sources: platform.claude.com/docs/en/api/messages, …/build-with-claude/streaming, …/build-with-claude/prompt-caching,
//! …/api/errors, …/api/models-list.

use crate::answer::{Deadlines, Reading, TOOL_CALL_LIMITS, tools, turns};
use crate::http::{Http, join_url, transport_error};
use crate::language_model::{LanguageModel, Prompt, Thought};
use crate::refusal::refusal;
use crate::{Error, ErrorKind};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use tokio::sync::mpsc;
use wire::anthropic::{MessageStream, MessagesRequest, VERSION};

/// Name of this provider.
const NAME: &str = "anthropic";
/// Anthropic's own address.
pub const BASE_URL: &str = "https://api.anthropic.com/v1";
/// Longest answer in tokens: the protocol wants a limit. A phone answer is a hundred; tool calls and thinking count too.
pub const MAX_TOKENS: u32 = 2_048;
/// Longest wait of a check whether service and key work.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach a model and ask it.
#[derive(Clone, Debug)]
pub struct AnthropicSettings {
    /// Address up to and with `/v1`; a slash at its end does not matter.
    pub base_url: String,
    /// The key; `None` for services without.
    pub key: Option<SecretString>,
    /// Model name.
    pub model: String,
    /// Longest answer in tokens.
    pub max_tokens: u32,
    /// Send the temperature, held to 1. The newer models refuse every one ("`temperature` is deprecated for this model"),
    /// so it is left out unless asked for.
    pub send_temperature: bool,
    /// Have instructions and tools kept in the vendor's cache for five minutes: what is read again costs a tenth and
    /// comes sooner.
    pub cache_system: bool,
    /// How long an answer may take.
    pub deadlines: Deadlines,
}

impl AnthropicSettings {
    /// Anthropic's own service with its usual settings.
    #[must_use]
    pub fn new(model: impl Into<String>, key: Option<SecretString>) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            model: model.into(),
            max_tokens: MAX_TOKENS,
            send_temperature: false,
            cache_system: true,
            deadlines: Deadlines::default(),
        }
    }
}

/// A model behind the Messages API.
#[derive(Clone, Debug)]
pub struct AnthropicModel {
    http: Http,
    settings: AnthropicSettings,
}

impl AnthropicModel {
    /// A model; nothing is sent yet.
    #[must_use]
    pub const fn new(http: Http, settings: AnthropicSettings) -> Self {
        Self { http, settings }
    }

    /// Whether service and key work, by the list of models, which costs nothing; leaves an open connection behind.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let address = join_url(&self.settings.base_url, "models?limit=1");
        let mut response = self.send(self.http.client().get(address).timeout(CHECK_TIMEOUT)).await?;
        // The body is read so that the connection can be used again.
        while let Ok(Some(_)) = response.chunk().await {}
        Ok(())
    }

    fn body(&self, prompt: &Prompt) -> String {
        let request = MessagesRequest {
            model: &self.settings.model,
            system: &prompt.system,
            turns: turns(prompt),
            tools: tools(prompt),
            max_tokens: self.settings.max_tokens,
            temperature: self.settings.send_temperature.then_some(prompt.temperature),
            cache_system: self.settings.cache_system,
        };
        request.body()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Error> {
        let mut request = request.header("anthropic-version", VERSION);
        if let Some(key) = &self.settings.key {
            let mut value = HeaderValue::try_from(key.expose_secret().trim())
                .map_err(|_| Error::new(ErrorKind::Unauthorized, NAME, "the key has characters no key has"))?;
            value.set_sensitive(true);
            request = request.header("x-api-key", value);
        }
        let response = request.send().await.map_err(|e| transport_error(NAME, e))?;
        if response.status() == reqwest::StatusCode::OK { Ok(response) } else { Err(refusal(NAME, response).await) }
    }
}

impl LanguageModel for AnthropicModel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn think(&self, prompt: Prompt) -> mpsc::Receiver<Result<Thought, Error>> {
        let reading = Reading {
            provider: NAME,
            reader: MessageStream::new(TOOL_CALL_LIMITS),
            deadlines: self.settings.deadlines,
            counted: true,
        };
        let (model, body) = (self.clone(), self.body(&prompt));
        reading.start(prompt.tools.len(), async move {
            let address = join_url(&model.settings.base_url, "messages");
            let request = model.http.client().post(address).header(CONTENT_TYPE, "application/json");
            model.send(request.body(body)).await
        })
    }
}
