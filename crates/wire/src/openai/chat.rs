//! Streamed chat completions with tools: `POST {base}/chat/completions`.
//!
//! Sources: platform.openai.com/docs/api-reference/chat/create, …/chat/streaming, github.com/openai/openai-python
//! src/openai/types/chat. What others add or change: `reasoning_content` beside the content
//! (docs.sarvam.ai/api-reference/open-source/chat-completions; vLLM and llama.cpp too), token counts under `x_groq`
//! (console.groq.com/docs/api-reference), `prompt_cache_hit_tokens` (api-docs.deepseek.com/guides/kv_cache), content in
//! parts (docs.mistral.ai), arguments as an object. Tool calls: see `conversation/tool_calls.rs`.

use crate::api_error::ApiError;
use crate::conversation::{
    AnswerEvent, AnswerReader, FinishReason, Piece, Tool, ToolCallLimits, ToolCalls, Turn, Usage, in_order,
};
use crate::sse::EventStream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How the longest answer is asked for. OpenAI's newer models refuse `max_tokens`; many other servers know only that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenLimit {
    /// `max_tokens`.
    MaxTokens(u32),
    /// `max_completion_tokens`.
    MaxCompletionTokens(u32),
}

/// A chat request; always streamed.
#[derive(Clone, Debug)]
pub struct ChatRequest<'a> {
    /// Model name.
    pub model: &'a str,
    /// Instructions; empty = none.
    pub system: &'a str,
    /// The conversation. Results of tools need not stand where the protocol wants them.
    pub turns: Vec<Turn<'a>>,
    /// What the model may ask for; it decides by itself whether to.
    pub tools: Vec<Tool<'a>>,
    /// Sampling temperature, 0 to 2; `None` for models that refuse it.
    pub temperature: Option<f64>,
    /// Longest answer.
    pub token_limit: Option<TokenLimit>,
    /// Ask for token counts at the end. Some self-hosted servers refuse the option.
    pub include_usage: bool,
}

impl ChatRequest<'_> {
    /// The JSON body of `POST {base}/chat/completions`.
    #[must_use]
    pub fn body(&self) -> String {
        #[derive(Serialize)]
        struct Options {
            include_usage: bool,
        }
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            messages: Vec<Value>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            tools: Vec<Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            tool_choice: Option<&'a str>,
            stream: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            stream_options: Option<Options>,
            #[serde(skip_serializing_if = "Option::is_none")]
            temperature: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_tokens: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_completion_tokens: Option<u32>,
        }
        let (max_tokens, max_completion_tokens) = match self.token_limit {
            None => (None, None),
            Some(TokenLimit::MaxTokens(n)) => (Some(n), None),
            Some(TokenLimit::MaxCompletionTokens(n)) => (None, Some(n)),
        };
        let system = (!self.system.is_empty()).then(|| json!({"role": "system", "content": self.system}));
        let body = Body {
            model: self.model,
            messages: system.into_iter().chain(in_order(&self.turns).iter().map(message)).collect(),
            tools: self.tools.iter().map(tool).collect(),
            tool_choice: (!self.tools.is_empty()).then_some("auto"),
            stream: true,
            stream_options: self.include_usage.then_some(Options { include_usage: true }),
            // JSON has no infinity: a temperature that is no number is left out rather than sent as null.
            temperature: self.temperature.filter(|t| t.is_finite()),
            max_tokens,
            max_completion_tokens,
        };
        serde_json::to_string(&body).expect("strings, numbers and booleans always serialize")
    }
}

fn message(turn: &Turn<'_>) -> Value {
    match turn {
        Turn::User(text) => json!({"role": "user", "content": text}),
        Turn::Assistant { text, tool_calls } if tool_calls.is_empty() => json!({"role": "assistant", "content": text}),
        Turn::Assistant { text, tool_calls } => {
            let calls: Vec<Value> = tool_calls
                .iter()
                .map(|call| {
                    let function = json!({"name": call.name, "arguments": call.arguments});
                    json!({"id": call.id, "type": "function", "function": function})
                })
                .collect();
            let content = (!text.is_empty()).then_some(*text);
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
        Turn::ToolResult { id, text } => json!({"role": "tool", "tool_call_id": id, "content": text}),
    }
}

fn tool(tool: &Tool<'_>) -> Value {
    let function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
    json!({"type": "function", "function": function})
}

/// Reads the body of a streamed chat answer, in pieces of any size.
#[derive(Debug)]
pub struct ChatStream {
    events: EventStream,
    chunks: Chunks,
}

impl ChatStream {
    /// A fresh reader.
    #[must_use]
    pub fn new(limits: ToolCallLimits) -> Self {
        Self { events: EventStream::new(), chunks: Chunks { calls: ToolCalls::new(limits) } }
    }
}

impl AnswerReader for ChatStream {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<AnswerEvent>) {
        let Self { events, chunks } = self;
        events.push(bytes, &mut |data| chunks.read(data, out));
    }

    fn finish(&mut self, out: &mut Vec<AnswerEvent>) {
        let Self { events, chunks } = self;
        events.finish(&mut |data| chunks.read(data, out));
    }

    fn tool_bytes(&self) -> usize {
        self.chunks.calls.bytes()
    }
}

#[derive(Debug)]
struct Chunks {
    calls: ToolCalls,
}

impl Chunks {
    fn read(&mut self, data: Option<&str>, out: &mut Vec<AnswerEvent>) {
        let Some(data) = data else { return out.push(AnswerEvent::Malformed) };
        let data = data.trim();
        if data.is_empty() {
            return;
        }
        if data == "[DONE]" {
            self.calls.complete(FinishReason::Other, out);
            return out.push(AnswerEvent::Done);
        }
        let Ok(chunk) = serde_json::from_str::<Chunk>(data) else { return out.push(AnswerEvent::Malformed) };
        if let Some(error) = chunk.error.as_ref().filter(|e| !e.is_null()) {
            return out.push(AnswerEvent::Error(ApiError::from_value(error)));
        }
        // Before the end, so that counts in the same event are in time.
        if let Some(usage) = chunk.usage() {
            out.push(AnswerEvent::Usage(usage));
        }
        // `n` is never asked for, so there is one choice; a server that sends more is read as if it had sent the first.
        let choice = chunk.choices.into_iter().flatten().find(|c| c.index.as_ref().is_none_or(|n| *n == 0));
        if let Some(choice) = choice {
            self.choice(choice, out);
        }
    }

    fn choice(&mut self, choice: Choice, out: &mut Vec<AnswerEvent>) {
        let delta = choice.delta.unwrap_or_default();
        // A refusal stands in its own field; the caller hears it like any answer.
        for text in [delta.content, delta.refusal].into_iter().flatten().map(text_of).filter(|t| !t.is_empty()) {
            out.push(AnswerEvent::Text(text));
        }
        for piece in delta.tool_calls.iter().flat_map(Value::as_array).flatten() {
            self.tool_piece(piece, out);
        }
        let Some(Value::String(reason)) = choice.finish_reason else { return };
        let reason = match reason.as_str() {
            "" => return,
            "stop" | "eos" | "end_turn" => FinishReason::Stop,
            "length" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            "tool_calls" | "function_call" => FinishReason::ToolCalls,
            _ => FinishReason::Other,
        };
        self.calls.complete(reason, out);
        out.push(AnswerEvent::Finished(reason));
    }

    fn tool_piece(&mut self, piece: &Value, out: &mut Vec<AnswerEvent>) {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let none = Value::Null;
        let function = piece.get("function").unwrap_or(&none);
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => text.clone(),
            Some(whole @ Value::Object(_)) => whole.to_string(),
            _ => String::new(),
        };
        let (id, name) = (text(piece, "id"), text(function, "name"));
        let index = piece.get("index").and_then(Value::as_u64);
        self.calls.push(Piece { index, id: &id, name: &name, arguments: &arguments }, out);
    }
}

/// Text, or the text in parts.
fn text_of(content: Value) -> String {
    match content {
        Value::String(text) => text,
        Value::Array(parts) => {
            let is_text = |part: &&Value| part.get("type").and_then(Value::as_str).is_none_or(|kind| kind == "text");
            parts.iter().filter(is_text).filter_map(|part| part.get("text")?.as_str()).collect()
        }
        _ => String::new(),
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    x_groq: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

impl Chunk {
    fn usage(&self) -> Option<Usage> {
        let in_groq = || self.x_groq.as_ref().and_then(|x| x.get("usage"));
        let usage = self.usage.as_ref().filter(|u| u.is_object()).or_else(in_groq).filter(|u| u.is_object())?;
        let count = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64);
        let cached = usage
            .get("prompt_tokens_details")
            .and_then(|details| count(details, "cached_tokens"))
            .or_else(|| count(usage, "prompt_cache_hit_tokens"));
        Some(Usage {
            prompt_tokens: count(usage, "prompt_tokens").unwrap_or(0),
            cached_tokens: cached.unwrap_or(0),
            completion_tokens: count(usage, "completion_tokens").unwrap_or(0),
        })
    }
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<Value>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    refusal: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Value>,
}
