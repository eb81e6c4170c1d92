//! `POST /v1/chat/completions` as platform.openai.com/docs/api-reference/chat describes it, streamed only.

use super::faults::ChatFault;
use super::{AbortWatch, Shared, add, authorized, flushed};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What the model answers.
#[derive(Clone, Debug)]
pub enum Answers {
    /// Two sentences of 20 tokens in all, the first complete with token 9.
    Order,
    /// What the user said last.
    Echo,
    /// The n-th text to the n-th message of the user in a conversation; the last one again and again after that.
    Script(Vec<String>),
}

/// The tokens of [`Answers::Order`].
const ORDER: [&str; 20] = [
    "Sure",
    ",",
    " I",
    " have",
    " found",
    " your",
    " order",
    " now",
    ".",
    " It",
    " is",
    " on",
    " its",
    " way",
    " and",
    " will",
    " arrive",
    " this",
    " afternoon",
    ".",
];
/// Parameters that the reference knows and a server may send.
const PARAMETERS: [&str; 24] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "n",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "store",
    "metadata",
    "prompt_cache_key",
];

pub(super) async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if !authorized(&shared, &headers, "Bearer") {
        return refuse(&shared, 401, "invalid_api_key", "Incorrect API key provided.");
    }
    Json(json!({"object":"list","data":[{"id":"fake","object":"model","created":1,"owned_by":"testkit"}]}))
        .into_response()
}

pub(super) async fn completions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !authorized(&shared, &headers, "Bearer") {
        return refuse(&shared, 401, "invalid_api_key", "Incorrect API key provided.");
    }
    let request = match read_request(&headers, &body) {
        Ok(request) => request,
        Err(message) => return refuse(&shared, 400, "invalid_value", &message),
    };
    let fault = shared.faults.chat.take();
    if let Some(ChatFault::Status(status)) = fault {
        return refuse(&shared, status, "fault", "This was asked for.");
    }
    add(&shared.counters.chat_requests, 1);
    *shared.last_chat.lock().expect("no holder panics") = String::from_utf8_lossy(&body).into_owned();
    let tokens = tokens(&shared.settings.answers, &request);
    stream(shared, request, tokens, fault)
}

/// What of a request matters for its answer.
struct Request {
    model: String,
    usage: bool,
    said: Vec<String>,
}

fn read_request(headers: &HeaderMap, body: &[u8]) -> Result<Request, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !kind.starts_with("application/json") {
        return Err(format!("Unsupported content type '{kind}'"));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("We could not parse the JSON body: {e}"))?;
    let object = value.as_object().ok_or("The body must be an object")?;
    if let Some(name) = object.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(format!("Unrecognized request argument supplied: {name}"));
    }
    let model = object.get("model").and_then(Value::as_str).filter(|m| !m.is_empty());
    let model = model.ok_or("you must provide a model parameter")?.to_owned();
    if object.get("stream") != Some(&Value::Bool(true)) {
        return Err("only streamed answers here".into());
    }
    if let Some(temperature) = object.get("temperature") {
        let fine = temperature.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t));
        if !fine {
            return Err("Invalid 'temperature': must be from 0 to 2".into());
        }
    }
    if object.contains_key("max_tokens") && object.contains_key("max_completion_tokens") {
        return Err("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.".into());
    }
    let messages = object.get("messages").and_then(Value::as_array).filter(|m| !m.is_empty());
    let messages = messages.ok_or("Invalid 'messages': empty array")?;
    let mut said = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or("");
        let Some(content) = message.get("content").and_then(Value::as_str) else {
            return Err(format!("Invalid value for 'content': expected a string, messages[{index}]"));
        };
        match role {
            "system" | "developer" | "assistant" => {}
            "user" => said.push(content.to_owned()),
            _ => return Err(format!("Invalid value: '{role}' for messages[{index}].role")),
        }
    }
    let usage = object.get("stream_options").and_then(|o| o.get("include_usage")) == Some(&Value::Bool(true));
    Ok(Request { model, usage, said })
}

fn tokens(answers: &Answers, request: &Request) -> Vec<String> {
    let text = match answers {
        Answers::Order => return ORDER.iter().map(|token| (*token).to_owned()).collect(),
        Answers::Echo => request.said.last().cloned().unwrap_or_default(),
        Answers::Script(texts) => {
            let turn = request.said.len().saturating_sub(1);
            texts.get(turn).or(texts.last()).cloned().unwrap_or_default()
        }
    };
    // Words with the space before them, about what tokens are.
    let mut tokens: Vec<String> = Vec::new();
    for (n, word) in text.split(' ').enumerate() {
        tokens.push(if n == 0 { word.to_owned() } else { format!(" {word}") });
    }
    tokens
}

fn refuse(shared: &Shared, status: u16, code: &str, message: &str) -> Response {
    add(&shared.counters.refused, 1);
    let kind = match status {
        401 | 403 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let status = StatusCode::from_u16(status).expect("tests name real statuses");
    let body = json!({"error":{"message":message,"type":kind,"param":null,"code":code}});
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

/// What is sent next.
enum Piece {
    Token(usize),
    End,
    Over,
}

/// An answer being sent: what stands around each token is written once.
struct Sending {
    shared: Arc<Shared>,
    watch: AbortWatch,
    head: String,
    tokens: Vec<String>,
    fault: Option<ChatFault>,
    usage: bool,
    begun: Instant,
    next: Piece,
}

fn stream(shared: Arc<Shared>, request: Request, tokens: Vec<String>, fault: Option<ChatFault>) -> Response {
    let model = Value::String(request.model);
    let head = format!(
        r#"data: {{"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1,"model":{model},"choices":[{{"index":0,"delta":"#
    );
    let sending = Sending {
        watch: AbortWatch::new(Arc::clone(&shared), |c| &c.chat_aborted),
        shared,
        head,
        tokens,
        fault,
        usage: request.usage,
        begun: Instant::now(),
        next: Piece::Token(0),
    };
    let body = Body::from_stream(futures_util::stream::unfold(sending, |mut sending| async move {
        let piece = sending.next().await?;
        Some((piece, sending))
    }));
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, body).into_response()
}

impl Sending {
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        match self.next {
            Piece::Over => {
                self.watch.complete();
                None
            }
            Piece::End => {
                self.next = Piece::Over;
                Some(Ok(self.end().into()))
            }
            Piece::Token(n) => {
                if let Some(fault) = self.fault_at(n).await {
                    return Some(fault.map(Bytes::from));
                }
                if matches!(self.next, Piece::Over) {
                    self.watch.complete();
                    return None;
                }
                let settings = &self.shared.settings;
                let at = settings.chat_first_ms + settings.chat_token_ms * n as u64;
                sleep_until(self.begun + Duration::from_millis(at)).await;
                let text = self.token(n);
                self.next = if n + 1 < self.tokens.len() || self.fault == Some(ChatFault::Endless) {
                    Piece::Token(n + 1)
                } else {
                    Piece::End
                };
                Some(Ok(text.into()))
            }
        }
    }

    fn token(&self, n: usize) -> String {
        add(&self.shared.counters.chat_tokens, 1);
        let token = Value::String(self.tokens[n % self.tokens.len()].clone());
        let role = if n == 0 { r#""role":"assistant","# } else { "" };
        format!("{}{{{role}\"content\":{token}}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n", self.head)
    }

    fn end(&self) -> String {
        let mut text = format!("{}{{}},\"logprobs\":null,\"finish_reason\":\"stop\"}}]}}\n\n", self.head);
        if self.usage {
            let written = self.tokens.len();
            let usage = json!({"id":"chatcmpl-fake","object":"chat.completion.chunk","created":1,"choices":[],
                "usage":{"prompt_tokens":50,"completion_tokens":written,"total_tokens":50 + written}});
            text.push_str(&format!("data: {usage}\n\n"));
        }
        text.push_str("data: [DONE]\n\n");
        text
    }

    /// What goes wrong before token `n`, if anything.
    async fn fault_at(&mut self, n: usize) -> Option<std::io::Result<String>> {
        match self.fault? {
            ChatFault::StallAfter(k) if k == n => std::future::pending().await,
            ChatFault::CutAfter(k) if k == n => {
                flushed().await;
                Some(Err(std::io::Error::other("cut")))
            }
            ChatFault::EndAfter(k) if k == n => {
                self.next = Piece::Over;
                None
            }
            ChatFault::GarbageAfter(k) if k == n => {
                self.fault = None;
                Some(Ok("data: {oops\n\ndata: <html>\n\n: comment\n\ndata: 1 2\n\n".to_owned()))
            }
            ChatFault::ErrorAfter(k) if k == n => {
                self.next = Piece::Over;
                let error = json!({"error":{"message":"The server had an error","type":"server_error","code":null}});
                Some(Ok(format!("data: {error}\n\n")))
            }
            ChatFault::Status(_)
            | ChatFault::StallAfter(_)
            | ChatFault::CutAfter(_)
            | ChatFault::EndAfter(_)
            | ChatFault::GarbageAfter(_)
            | ChatFault::ErrorAfter(_)
            | ChatFault::Endless => None,
        }
    }
}
