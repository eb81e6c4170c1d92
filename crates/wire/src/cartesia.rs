//! Cartesia's text to speech over one WebSocket for many sentences, each in a *context* of its own.
//!
//! Reading is lenient: unknown messages and fields are skipped, nothing panics. Sources:
//! docs.cartesia.ai/api-reference/tts/websocket and …/2026-03-01/api-reference/tts/websocket (messages),
//! …/use-the-api/api-errors (errors since 2026-03-01), …/use-the-api/tts-websocket/contexts and …/buffering,
//! …/use-the-api/concurrency-limits-and-timeouts (closed after 5 idle minutes; 429), …/use-the-api/api-conventions
//! (version and key), github.com/cartesia-ai/cartesia-python src/cartesia/types/{generation_request_param,
//! websocket_response}.py.

use crate::WireError;
use crate::word_times::{TimedWord, WordOrder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of their interface that this file speaks.
pub const VERSION: &str = "2026-03-01";
/// They close a connection without work after so many seconds.
pub const IDLE_CLOSES_AFTER_S: u64 = 300;
/// Longest code or title of an error that is kept, in bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 80;

/// The query of `wss://…/tts/websocket`, without the question mark.
#[must_use]
pub fn query() -> String {
    format!("cartesia_version={VERSION}")
}

/// The name Cartesia has for a BCP 47 tag: ISO 639-1. `None` for an empty one.
#[must_use]
pub fn language_code(tag: &str) -> Option<String> {
    let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    match primary.as_str() {
        "" | "mul" | "und" => None,
        "nb" | "nn" => Some("no".to_owned()),
        "fil" => Some("tl".to_owned()),
        "iw" => Some("he".to_owned()),
        _ => Some(primary),
    }
}

/// How to speak (Sonic 3 and later).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct GenerationConfig {
    /// 0.6 to 1.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// 0.5 to 2.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<f64>,
}

/// One sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Generation<'a> {
    /// Model name, `sonic-3.5`.
    pub model: &'a str,
    /// The text, whole.
    pub transcript: &'a str,
    /// Name of the voice, a UUID.
    pub voice: &'a str,
    /// Language as Cartesia names it; see [`language_code`].
    pub language: Option<&'a str>,
    /// The name under which the answers come.
    pub context: &'a str,
    /// 8000, 16000 or 24000.
    pub sample_rate_hz: u32,
    /// How to speak.
    pub config: GenerationConfig,
}

#[derive(Serialize)]
struct Request<'a> {
    model_id: &'a str,
    transcript: &'a str,
    voice: Voice<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    context_id: &'a str,
    output_format: Format,
    add_timestamps: bool,
    #[serde(rename = "continue")]
    goes_on: bool,
    max_buffer_delay_ms: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_config: Option<GenerationConfig>,
}

#[derive(Serialize)]
struct Voice<'a> {
    mode: &'static str,
    id: &'a str,
}

#[derive(Serialize)]
struct Format {
    container: &'static str,
    encoding: &'static str,
    sample_rate: u32,
}

#[derive(Serialize)]
struct Cancel<'a> {
    context_id: &'a str,
    cancel: bool,
}

fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("texts and finite numbers are always JSON")
}

impl Generation<'_> {
    /// The message that asks for it: raw 16 bit samples and the times of its words.
    #[must_use]
    pub fn message(&self) -> String {
        json(&Request {
            model_id: self.model,
            transcript: self.transcript,
            voice: Voice { mode: "id", id: self.voice },
            language: self.language,
            context_id: self.context,
            output_format: Format { container: "raw", encoding: "pcm_s16le", sample_rate: self.sample_rate_hz },
            add_timestamps: true,
            goes_on: false,
            // A whole sentence: nothing to wait for.
            max_buffer_delay_ms: 0,
            generation_config: (self.config != GenerationConfig::default()).then_some(self.config),
        })
    }
}

/// The sentence is not wanted any more. Speech that is already being made may still come.
#[must_use]
pub fn cancel(context: &str) -> String {
    json(&Cancel { context_id: context, cancel: true })
}

/// Words with times, in seconds since the beginning of the context.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct WordTimestamps {
    /// The words.
    #[serde(default)]
    pub words: Vec<String>,
    /// When each begins.
    #[serde(default)]
    pub start: Vec<f64>,
    /// When each ends.
    #[serde(default)]
    pub end: Vec<f64>,
}

impl WordTimestamps {
    /// The words in order; those without both times are left out.
    pub fn in_order(self, order: &mut WordOrder, out: &mut Vec<TimedWord>) {
        let times = self.start.into_iter().zip(self.end);
        for (word, (start, end)) in self.words.into_iter().zip(times) {
            let word = word.trim();
            if !word.is_empty() {
                out.push(order.next(word.to_owned(), start * 1_000.0, end * 1_000.0));
            }
        }
    }
}

/// What an error says, in a message or in the body of a refused handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// As in HTTP; 0 = not said.
    pub status: u16,
    /// `error_code`, else `title`; at most [`ERROR_TEXT_BYTES_MAX`], empty = not said. Their sentence is left out: it may
    /// quote the request.
    pub what: String,
}

impl ServerError {
    /// Reads the body of a refused request.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice::<Value>(body).map_or_else(|_| Self::default(), |value| Self::from_value(&value))
    }

    fn from_value(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        // Before 2026-03-01: `error` is `Title: sentence`.
        let before = text("error").and_then(|error| error.split(':').next());
        let what = text("error_code").or_else(|| text("title")).or(before).unwrap_or_default();
        let status = value.get("status_code").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        Self { status: status.unwrap_or(0), what: what.chars().take(ERROR_TEXT_BYTES_MAX / 4).collect() }
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMessage {
    /// Sound.
    Chunk {
        /// Whose.
        context: String,
        /// Samples, 16 bit little-endian.
        audio: Vec<u8>,
    },
    /// Words.
    Timestamps {
        /// Whose.
        context: String,
        /// When each is said.
        times: WordTimestamps,
    },
    /// Nothing more will come for this context.
    Done {
        /// Which.
        context: String,
    },
    /// Something is wrong.
    Error {
        /// Which context has failed; `None` = the whole connection.
        context: Option<String>,
        /// What it says.
        error: ServerError,
    },
    /// A message this version does not know.
    Unknown,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    context_id: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    word_timestamps: Option<WordTimestamps>,
}

impl ServerMessage {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is not a JSON object, or its sound is not base64.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let value: Value = serde_json::from_str(text)?;
        if !value.is_object() {
            return Err(WireError::Malformed { column: 0 });
        }
        let Ok(Body { kind, context_id, data, word_timestamps }) = Body::deserialize(&value) else {
            return Ok(Self::Unknown);
        };
        Ok(match (kind.as_deref(), context_id, data, word_timestamps) {
            (Some("chunk"), Some(context), Some(data), _) => {
                Self::Chunk { context, audio: STANDARD.decode(data).map_err(|_| WireError::AudioNotBase64)? }
            }
            (Some("timestamps"), Some(context), _, Some(times)) => Self::Timestamps { context, times },
            (Some("done"), Some(context), ..) => Self::Done { context },
            (Some("error"), context, ..) => Self::Error { context, error: ServerError::from_value(&value) },
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests;
