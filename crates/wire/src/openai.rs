//! The OpenAI HTTP protocol as far as a phone call needs it: streamed chat completions and speech.
//!
//! Spoken by OpenAI itself and by most self-hosted servers, so reading is lenient: what is unknown is skipped, what is
//! missing gets a default, nothing panics. Sources: platform.openai.com/docs/api-reference/chat/create,
//! …/chat/streaming, …/audio/createSpeech, platform.openai.com/docs/guides/error-codes; for the event stream the HTML
//! standard, "Server-sent events" (html.spec.whatwg.org/multipage/server-sent-events.html).

mod sse;

pub use sse::{EVENT_BYTES_MAX, EventStream};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rate of `response_format: pcm`: 24 kHz, 16 bit signed little-endian, mono, no header.
pub const SPEECH_SAMPLE_RATE_HZ: u32 = 24_000;
/// Longest `input` of a speech request, in characters (createSpeech).
pub const SPEECH_INPUT_CHARS_MAX: usize = 4_096;
/// Longest piece of a vendor's error message that is kept, in bytes: enough to read, too little to carry a prompt.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 300;

/// Who a chat message is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a chat request.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ChatMessage<'a> {
    /// From whom.
    pub role: ChatRole,
    /// The text.
    pub content: &'a str,
}

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
    /// The conversation, instructions first.
    pub messages: Vec<ChatMessage<'a>>,
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
            messages: &'a [ChatMessage<'a>],
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
        let body = Body {
            model: self.model,
            messages: &self.messages,
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

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It was finished.
    Stop,
    /// The longest answer was reached.
    Length,
    /// The vendor's filter cut it.
    ContentFilter,
    /// It wants a tool.
    ToolCalls,
    /// Something newer.
    Other,
}

/// Token counts of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

/// What one event of the stream means.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatEvent {
    /// More of the answer.
    Text(String),
    /// The answer is complete.
    Finished(FinishReason),
    /// Token counts.
    Usage(Usage),
    /// `[DONE]`: nothing follows.
    Done,
    /// The vendor failed in the middle.
    Error(ApiError),
    /// An event that is not JSON or was too long. One may be skipped; a server that sends many is broken.
    Malformed,
}

/// Reads the body of a streamed chat answer, in pieces of any size.
#[derive(Debug, Default)]
pub struct ChatStream {
    events: EventStream,
}

impl ChatStream {
    /// A fresh reader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the body and adds what they complete.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<ChatEvent>) {
        self.events.push(bytes, &mut |data| read_event(data, out));
    }

    /// The body is over: an event without its closing empty line still counts (some servers leave it out).
    pub fn finish(&mut self, out: &mut Vec<ChatEvent>) {
        self.events.finish(&mut |data| read_event(data, out));
    }
}

fn read_event(data: Option<&str>, out: &mut Vec<ChatEvent>) {
    let Some(data) = data else { return out.push(ChatEvent::Malformed) };
    let data = data.trim();
    if data.is_empty() {
        return;
    }
    if data == "[DONE]" {
        return out.push(ChatEvent::Done);
    }
    let Ok(chunk) = serde_json::from_str::<Chunk>(data) else { return out.push(ChatEvent::Malformed) };
    if let Some(error) = chunk.error.as_ref().filter(|e| !e.is_null()) {
        return out.push(ChatEvent::Error(ApiError::from_value(error)));
    }
    // `n` is never asked for, so there is one choice; a server that sends more is read as if it had sent the first.
    if let Some(choice) = chunk.choices.into_iter().flatten().find(|c| c.index == 0) {
        let delta = choice.delta.unwrap_or_default();
        // A refusal stands in its own field; the caller hears it like any answer.
        for text in [delta.content, delta.refusal].into_iter().flatten().filter(|t| !t.is_empty()) {
            out.push(ChatEvent::Text(text));
        }
        if let Some(reason) = choice.finish_reason {
            out.push(ChatEvent::Finished(match reason.as_str() {
                "stop" | "eos" | "end_turn" => FinishReason::Stop,
                "length" => FinishReason::Length,
                "content_filter" => FinishReason::ContentFilter,
                "tool_calls" | "function_call" => FinishReason::ToolCalls,
                _ => FinishReason::Other,
            }));
        }
    }
    if let Some(usage) = chunk.usage {
        out.push(ChatEvent::Usage(Usage {
            prompt_tokens: usage.prompt_tokens.unwrap_or(0),
            completion_tokens: usage.completion_tokens.unwrap_or(0),
        }));
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<UsageBody>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct UsageBody {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

/// What an error body says. The words are the vendor's: they may quote the request, so they are not for logs as they
/// are; `kind` and `code` are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// `type`, as `invalid_request_error`; empty = not said.
    pub kind: String,
    /// `code`, as `model_not_found`; empty = not said.
    pub code: String,
    /// `message`, at most [`ERROR_MESSAGE_BYTES_MAX`].
    pub message: String,
}

impl ApiError {
    /// Reads an error body: OpenAI's `{"error":{…}}`, and what others send (`{"error":"…"}`, `{"message":"…"}`,
    /// `{"detail":"…"}`, plain text).
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => {
                let inner = value.get("error").filter(|e| !e.is_null()).unwrap_or(&value);
                Self::from_value(inner)
            }
            Err(_) => Self { message: clip(&String::from_utf8_lossy(body)), ..Self::default() },
        }
    }

    fn from_value(value: &Value) -> Self {
        let text = |name: &str| match value.get(name) {
            Some(Value::String(s)) => clip(s),
            Some(Value::Number(n)) => n.to_string(),
            _ => String::new(),
        };
        if let Value::String(message) = value {
            return Self { message: clip(message), ..Self::default() };
        }
        let message = text("message");
        Self {
            kind: text("type"),
            code: text("code"),
            message: if message.is_empty() { text("detail") } else { message },
        }
    }
}

fn clip(text: &str) -> String {
    let mut end = text.len().min(ERROR_MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// A speech request, answered with raw PCM at [`SPEECH_SAMPLE_RATE_HZ`].
#[derive(Clone, Copy, Debug)]
pub struct SpeechRequest<'a> {
    /// Model name.
    pub model: &'a str,
    /// What to say, at most [`SPEECH_INPUT_CHARS_MAX`] characters.
    pub input: &'a str,
    /// Voice name.
    pub voice: &'a str,
    /// How to say it; only newer models know it. Empty = not sent.
    pub instructions: &'a str,
}

impl SpeechRequest<'_> {
    /// The JSON body of `POST {base}/audio/speech`.
    #[must_use]
    pub fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            input: &'a str,
            voice: &'a str,
            response_format: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            instructions: &'a str,
        }
        let body = Body {
            model: self.model,
            input: self.input,
            voice: self.voice,
            response_format: "pcm",
            instructions: self.instructions,
        };
        serde_json::to_string(&body).expect("strings always serialize")
    }
}

/// Puts samples together from bytes that were cut anywhere, also in the middle of a sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct PcmBytes {
    half: Option<u8>,
}

impl PcmBytes {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the samples that `bytes` completes (16 bit little-endian).
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<i16>) {
        let mut rest = bytes;
        if let (Some(low), Some((&high, tail))) = (self.half, rest.split_first()) {
            out.push(i16::from_le_bytes([low, high]));
            self.half = None;
            rest = tail;
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        out.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
        if let Some(&last) = odd.first() {
            self.half = Some(last);
        }
    }
}

/// What container the first bytes of an answer betray, when raw PCM was asked for. A server that ignores
/// `response_format` would otherwise be heard as noise.
#[must_use]
pub fn foreign_audio(first: &[u8]) -> Option<&'static str> {
    const SIGNS: [(&[u8], &str); 4] = [(b"RIFF", "WAV"), (b"OggS", "Ogg"), (b"fLaC", "FLAC"), (b"ID3", "MP3")];
    SIGNS.iter().find(|(sign, _)| first.starts_with(sign)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests;
