//! Streamed chat completions.

use super::{Deadlines, Endpoint, describe};
use crate::http::{Http, transport_error};
use crate::language_model::{ANSWER_BYTES_MAX, LanguageModel, Prompt, Role, THOUGHT_QUEUE, Thought};
use crate::{Error, ErrorKind};
use secrecy::SecretString;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use wire::openai::{ChatEvent, ChatMessage, ChatRequest, ChatRole, ChatStream, TokenLimit, Usage};

/// Name of this provider.
const NAME: &str = "openai";
/// After the answer is complete, the rest of the body (token counts) is read for this long, so that the connection can
/// be used again.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Events that cannot be read, in one answer, after which the server is taken for broken.
const MALFORMED_MAX: u32 = 3;

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
        let system = ChatMessage { role: ChatRole::System, content: &prompt.system };
        let said = prompt.messages.iter().map(|m| ChatMessage {
            role: match m.role {
                Role::User => ChatRole::User,
                Role::Assistant => ChatRole::Assistant,
            },
            content: &m.text,
        });
        let request = ChatRequest {
            model: &self.settings.model,
            messages: (!prompt.system.is_empty()).then_some(system).into_iter().chain(said).collect(),
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
        let (out, receiver) = mpsc::channel(THOUGHT_QUEUE);
        let body = self.body(&prompt);
        let (endpoint, deadlines) = (self.endpoint.clone(), self.settings.deadlines);
        tokio::spawn(async move {
            let cancelled = out.clone();
            let mut answer = Answer { out, bytes: 0, malformed: 0 };
            let response = tokio::select! {
                // The receiver is gone: what is under way is dropped, and with it the request.
                () = cancelled.closed() => return,
                result = answer.run(&endpoint, body, deadlines) => result,
            };
            drop(cancelled);
            match response {
                Ok((response, stream)) => {
                    drop(answer);
                    drain(response, stream).await;
                }
                // A full queue with a live receiver is waited for; a closed one needs no news.
                Err(error) => drop(answer.out.send(Err(error)).await),
            }
        });
        receiver
    }
}

/// One answer under way.
struct Answer {
    out: mpsc::Sender<Result<Thought, Error>>,
    bytes: usize,
    malformed: u32,
}

enum Next {
    More,
    Complete,
}

impl Answer {
    async fn run(
        &mut self,
        endpoint: &Endpoint,
        body: String,
        deadlines: Deadlines,
    ) -> Result<(reqwest::Response, ChatStream), Error> {
        let begun = Instant::now();
        let last = begun + deadlines.total;
        let first = last.min(begun + deadlines.first);
        let late = || Error::new(ErrorKind::TimedOut, NAME, "no answer in time");
        let mut response = timeout_at(first, endpoint.post("chat/completions", body)).await.map_err(|_| late())??;
        let mut stream = ChatStream::new();
        let mut events = Vec::new();
        let mut until = first;
        loop {
            let piece = timeout_at(until, response.chunk()).await.map_err(|_| late())?;
            match piece.map_err(|e| transport_error(NAME, e))? {
                Some(piece) => stream.push(&piece, &mut events),
                None => {
                    stream.finish(&mut events);
                    return match self.take(&mut events).await? {
                        Next::Complete => Ok((response, stream)),
                        Next::More => Err(Error::new(ErrorKind::Unavailable, NAME, "the answer was cut off")),
                    };
                }
            }
            let before = self.bytes;
            match self.take(&mut events).await? {
                Next::Complete => return Ok((response, stream)),
                // Comments that keep a connection alive are no answer: only text moves the deadline on.
                Next::More if self.bytes > before => until = last.min(Instant::now() + deadlines.idle),
                Next::More => {}
            }
        }
    }

    /// Hands on what one read brought: all its text at once.
    async fn take(&mut self, events: &mut Vec<ChatEvent>) -> Result<Next, Error> {
        let mut text = String::new();
        let mut next = Next::More;
        let mut failure = None;
        for event in events.drain(..) {
            match event {
                ChatEvent::Text(piece) => text.push_str(&piece),
                ChatEvent::Finished(_) | ChatEvent::Done => next = Next::Complete,
                ChatEvent::Usage(usage) => log_usage(usage),
                ChatEvent::Error(said) => {
                    failure = Some(Error::new(ErrorKind::Unavailable, NAME, describe("failed in the middle:", &said)));
                }
                ChatEvent::Malformed => {
                    self.malformed += 1;
                    if self.malformed >= MALFORMED_MAX {
                        failure = Some(Error::new(ErrorKind::Protocol, NAME, "events that are not JSON"));
                    }
                }
            }
            if failure.is_some() || matches!(next, Next::Complete) {
                break;
            }
        }
        if self.bytes + text.len() >= ANSWER_BYTES_MAX {
            text.truncate(text.floor_char_boundary(ANSWER_BYTES_MAX - self.bytes));
            next = Next::Complete;
        }
        if !text.is_empty() {
            self.bytes += text.len();
            // Failing means that nobody listens; the task is about to be cancelled.
            let _ = self.out.send(Ok(Thought::Text(text))).await;
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        if matches!(next, Next::Complete) {
            if self.bytes == 0 && self.malformed > 0 {
                return Err(Error::new(ErrorKind::Protocol, NAME, "the answer has no event that is JSON"));
            }
            let _ = self.out.send(Ok(Thought::Done)).await;
        }
        Ok(next)
    }
}

async fn drain(mut response: reqwest::Response, mut stream: ChatStream) {
    let mut events = Vec::new();
    let rest = async {
        while let Ok(Some(piece)) = response.chunk().await {
            stream.push(&piece, &mut events);
            for event in events.drain(..) {
                if let ChatEvent::Usage(usage) = event {
                    log_usage(usage);
                }
            }
        }
    };
    // A server that goes on talking loses its connection.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
}

fn log_usage(usage: Usage) {
    tracing::debug!(prompt_tokens = usage.prompt_tokens, completion_tokens = usage.completion_tokens, "model answered");
}
