//! ElevenLabs' text to speech over a WebSocket that carries several sentences, each in a *context* of its own.
//!
//! Reading is lenient: unknown messages and fields are skipped, both spellings of a field are taken, nothing panics.
//! Sources: elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-multi-stream-input (fields; five
//! contexts at most), github.com/elevenlabs/elevenlabs-docs fern/apis/api/asyncapi.yml (times are relative to the piece
//! that the model made), github.com/bolna-ai/bolna/pull/790 and github.com/pipecat-ai/pipecat/pull/4433 (only a closed
//! context is told to be final, and its speech is complete then), github.com/livekit/agents/pull/5813 (`context_id` in
//! answers), github.com/livekit/agents-js/issues/1985 (the shape of errors).

pub mod listen;

use crate::WireError;
use crate::word_times::{CharacterWords, TimedWord};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Contexts that one connection carries at a time; one more closes it with 1008.
pub const CONTEXTS_MAX: usize = 5;
/// Longest time that a context may be told to wait for text, in seconds.
pub const INACTIVITY_TIMEOUT_S_MAX: u32 = 180;
/// Ends the connection.
pub const CLOSE_SOCKET: &str = r#"{"close_socket":true}"#;
/// Longest code of an error that is kept, in bytes.
pub const ERROR_CODE_BYTES_MAX: usize = 60;
/// A piece whose times begin this much before the end of the last one counts from its own beginning, in milliseconds.
const OVERLAP_MS: f64 = 20.0;
/// After a piece shorter than this nothing follows from where the next one begins, in milliseconds.
const PIECE_MS_MIN: f64 = 150.0;

/// How a connection is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions<'a> {
    /// Model name, `eleven_flash_v2_5`.
    pub model: &'a str,
    /// Language as ElevenLabs names it; see [`language_code`].
    pub language: Option<String>,
    /// 8000, 16000 or 24000.
    pub sample_rate_hz: u32,
    /// A context without text for so long is ended by the server, in seconds.
    pub inactivity_timeout_s: u32,
    /// False = they keep nothing (for accounts that may ask for it).
    pub enable_logging: bool,
}

impl StreamOptions<'_> {
    /// The query of `wss://…/v1/text-to-speech/{voice_id}/multi-stream-input`, without the question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("model_id", self.model)
            .append_pair("output_format", &format!("pcm_{}", self.sample_rate_hz))
            // Whole sentences are sent: no waiting for more text, and times with every piece of sound.
            .append_pair("auto_mode", "true")
            .append_pair("sync_alignment", "true")
            .append_pair("inactivity_timeout", &self.inactivity_timeout_s.to_string());
        if let Some(language) = &self.language {
            query.append_pair("language_code", language);
        }
        if !self.enable_logging {
            query.append_pair("enable_logging", "false");
        }
        query.finish()
    }
}

/// Can this be in the path of the address? Names of voices are letters and digits.
#[must_use]
pub fn is_voice_id(voice: &str) -> bool {
    (1..=64).contains(&voice.len()) && voice.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The name ElevenLabs has for a BCP 47 tag: ISO 639-1. `None` when there is none to send, also because the model finds
/// the language itself and refuses to be told (all before v2.5).
#[must_use]
pub fn language_code(model: &str, tag: &str) -> Option<String> {
    if !(model.ends_with("_v2_5") || model.contains("_v3")) {
        return None;
    }
    let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    match primary.as_str() {
        "" | "mul" | "und" => None,
        "nb" | "nn" => Some("no".to_owned()),
        "tl" => Some("fil".to_owned()),
        _ => Some(primary),
    }
}

/// How the voice speaks, instead of how it was made to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VoiceSettings {
    /// 0 to 1: high is even, low is lively.
    pub stability: f64,
    /// 0 to 1: how close to the original voice.
    pub similarity_boost: f64,
    /// 0 to 1: exaggeration; costs time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub style: Option<f64>,
    /// Closer to the original; costs time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_speaker_boost: Option<bool>,
    /// 0.7 to 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
}

#[derive(Serialize)]
struct Begin<'a> {
    text: &'static str,
    context_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice_settings: Option<&'a VoiceSettings>,
}

#[derive(Serialize)]
struct Send<'a> {
    text: &'a str,
    context_id: &'a str,
    flush: bool,
}

#[derive(Serialize)]
struct Close<'a> {
    context_id: &'a str,
    close_context: bool,
}

fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("texts and finite numbers are always JSON")
}

/// What opens a context: a single space.
#[must_use]
pub fn begin_context(context: &str, settings: Option<&VoiceSettings>) -> String {
    json(&Begin { text: " ", context_id: context, voice_settings: settings })
}

/// All of a sentence's text, to be spoken at once. It ends with a space, as they want it.
#[must_use]
pub fn send_text(context: &str, text: &str) -> String {
    json(&Send { text: &format!("{} ", text.trim()), context_id: context, flush: true })
}

/// Nothing more will come: what was sent is spoken to its end, and then the context is told to be final.
#[must_use]
pub fn close_context(context: &str) -> String {
    json(&Close { context_id: context, close_context: true })
}

/// Characters with times, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Alignment {
    /// Characters, sometimes clusters of them.
    #[serde(default)]
    pub chars: Vec<String>,
    /// When each begins.
    #[serde(default, alias = "charsStartTimesMs", alias = "char_start_times_ms", rename = "charStartTimesMs")]
    pub starts_ms: Vec<f64>,
    /// How long each is.
    #[serde(
        default,
        alias = "charDurationsMs",
        alias = "chars_durations_ms",
        alias = "char_durations_ms",
        rename = "charsDurationsMs"
    )]
    pub durations_ms: Vec<f64>,
}

/// A piece of speech.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// Whose; `None` = the context without a name, which is never opened here.
    pub context: Option<String>,
    /// Samples, 16 bit little-endian; may be empty.
    pub audio: Vec<u8>,
    /// When the characters of the text are said.
    pub alignment: Option<Alignment>,
    /// Nothing more will come for this context.
    pub is_final: bool,
}

/// What an error says, in a message or in the body of a refused handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `invalid_api_key`, `max_active_conversations`; at most [`ERROR_CODE_BYTES_MAX`], empty = not said.
    pub code: String,
    /// Whose fault; `None` = the whole connection.
    pub context: Option<String>,
}

impl ServerError {
    /// Reads the body of a refused request. Their sentences are left out: some quote the request.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice::<Value>(body).map_or_else(|_| Self::default(), |value| Self::from_value(&value))
    }

    fn from_value(value: &Value) -> Self {
        let text = |value: &Value, names: &[&str]| {
            names.iter().find_map(|name| value.get(*name).and_then(Value::as_str)).map(str::to_owned)
        };
        let code = [value.get("detail"), value.get("error"), Some(value)].into_iter().flatten().find_map(|part| {
            part.as_str().map(str::to_owned).or_else(|| text(part, &["status", "code", "error", "type"]))
        });
        // A sentence is no code.
        let code = code.filter(|code| code.len() <= ERROR_CODE_BYTES_MAX && !code.contains(' ')).unwrap_or_default();
        Self { code, context: text(value, &["contextId", "context_id"]) }
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMessage {
    /// Speech, or its end.
    Output(Output),
    /// Something is wrong.
    Error(ServerError),
    /// A message this version does not know.
    Unknown,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, rename = "contextId", alias = "context_id")]
    context: Option<String>,
    #[serde(default)]
    audio: Option<String>,
    #[serde(default)]
    alignment: Option<Alignment>,
    #[serde(default, rename = "normalizedAlignment", alias = "normalized_alignment")]
    normalized: Option<Alignment>,
    #[serde(default, rename = "isFinal", alias = "is_final")]
    is_final: Option<bool>,
}

impl ServerMessage {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is not a JSON object, or its audio is not base64.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let value: Value = serde_json::from_str(text)?;
        if !value.is_object() {
            return Err(WireError::Malformed { column: 0 });
        }
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Ok(Self::Error(ServerError::from_value(&value)));
        }
        let Ok(body) = Body::deserialize(&value) else { return Ok(Self::Unknown) };
        if body.audio.is_none() && body.is_final != Some(true) {
            return Ok(Self::Unknown);
        }
        let audio = STANDARD.decode(body.audio.unwrap_or_default()).map_err(|_| WireError::AudioNotBase64)?;
        // The text as it was written: what was heard of it is found again there.
        let alignment = body.alignment.or(body.normalized).filter(|alignment| !alignment.chars.is_empty());
        Ok(Self::Output(Output { context: body.context, audio, alignment, is_final: body.is_final == Some(true) }))
    }
}

/// The words of one context. The times of a piece count from the beginning of that piece; where a server counts on from
/// the beginning of the context instead, they are taken so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContextWords {
    words: CharacterWords,
    /// Where the piece at hand begins.
    base_ms: f64,
    /// The end of the last piece, by its own count.
    end_ms: f64,
    /// A piece has begun before the end of the last one: every piece counts for itself.
    apart: bool,
}

impl ContextWords {
    /// The times of the next piece. `audio_before_ms` is how much sound of this context came before it; `None` when the
    /// message brings times and no sound.
    pub fn push(&mut self, alignment: &Alignment, audio_before_ms: Option<f64>, out: &mut Vec<TimedWord>) {
        let Some(first) = alignment.starts_ms.first() else { return };
        if self.end_ms > 0.0 {
            self.apart = self.apart || *first + OVERLAP_MS < self.end_ms;
            let counts_on = !self.apart && self.end_ms >= PIECE_MS_MIN;
            self.base_ms = if counts_on { 0.0 } else { audio_before_ms.unwrap_or(self.base_ms + self.end_ms) };
        }
        let durations = alignment.durations_ms.iter().copied().chain(std::iter::repeat(0.0));
        for ((character, start), duration) in alignment.chars.iter().zip(&alignment.starts_ms).zip(durations) {
            let (from, to) = (self.base_ms + start, self.base_ms + start + duration);
            self.words.push(character, from, to, out);
            self.end_ms = start + duration;
        }
    }

    /// The last word.
    pub fn finish(&mut self) -> Option<TimedWord> {
        self.words.finish()
    }
}

#[cfg(test)]
mod tests;
