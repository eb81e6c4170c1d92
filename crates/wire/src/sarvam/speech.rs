//! Speech: config, then text, then a flush; sound, then the event `final`. Many sentences one after the other go over
//! one connection, each with its own flush and `final`.

use super::{NotAMessage, ServerError, object};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Value, json};

/// Asks for the sound of all text sent so far.
pub const SPEECH_FLUSH: &str = r#"{"type":"flush"}"#;
/// Longest text of one message, in characters.
pub const SPEECH_TEXT_CHARS_MAX: usize = 2_500;

/// How something is to be said; the first message, and again whenever it changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SpeechConfig<'a> {
    /// Model name, `bulbul:v3`. It also stands in the address.
    pub model: &'a str,
    /// Language as Sarvam names it; see [`super::speech_language`].
    pub language_code: &'a str,
    /// Voice name, in lower case; it must be one of the model's.
    pub speaker: &'a str,
    /// Speed, 0.5 to 2.
    #[serde(skip_serializing_if = "is_unset")]
    pub pace: Option<f64>,
    /// -0.75 to 0.75; models from `bulbul:v3` on do not take it.
    #[serde(skip_serializing_if = "is_unset")]
    pub pitch: Option<f64>,
    /// 0.3 to 3; models from `bulbul:v3` on do not take it.
    #[serde(skip_serializing_if = "is_unset")]
    pub loudness: Option<f64>,
    /// 0.01 to 1: how lively; only models from `bulbul:v3` on take it.
    #[serde(skip_serializing_if = "is_unset")]
    pub temperature: Option<f64>,
    /// Rate of the sound: 8000, 16000, 22050 or 24000.
    #[serde(rename = "speech_sample_rate")]
    pub sample_rate_hz: u32,
}

/// JSON has no infinity: what is no number is left out.
fn is_unset(number: &Option<f64>) -> bool {
    !number.is_some_and(f64::is_finite)
}

impl SpeechConfig<'_> {
    /// The query of `wss://…/text-to-speech/ws` for a model, without the question mark.
    #[must_use]
    pub fn query(model: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("model", model).append_pair("send_completion_event", "true").finish()
    }

    /// The message: raw samples (16 bit little-endian, mono, no header) are asked for.
    #[must_use]
    pub fn message(&self) -> String {
        #[derive(Serialize)]
        struct Data<'a> {
            #[serde(flatten)]
            config: &'a SpeechConfig<'a>,
            output_audio_codec: &'static str,
        }
        let data = Data { config: self, output_audio_codec: "linear16" };
        json!({ "type": "config", "data": data }).to_string()
    }
}

/// Text to say as a message; at most [`SPEECH_TEXT_CHARS_MAX`].
#[must_use]
pub fn text_message(text: &str) -> String {
    json!({ "type": "text", "data": { "text": text } }).to_string()
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeechMessage {
    /// Sound.
    Audio {
        /// Its type, `audio/pcm`.
        content_type: String,
        /// The bytes, cut anywhere.
        bytes: Vec<u8>,
    },
    /// Sound that is no base64.
    BadAudio,
    /// All text up to the last flush has been said.
    Final,
    /// Something is wrong.
    Error(ServerError),
    /// A message this version does not know.
    Unknown,
}

impl SpeechMessage {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is not a JSON object. An object of an unknown kind is [`SpeechMessage::Unknown`].
    pub fn parse(text: &str) -> Result<Self, NotAMessage> {
        let value = object(text)?;
        let data = |name: &str| value.get("data").and_then(|data| data.get(name)).and_then(Value::as_str);
        Ok(match value.get("type").and_then(Value::as_str) {
            Some("audio") => match data("audio").map(|audio| BASE64.decode(audio)) {
                Some(Ok(bytes)) => {
                    Self::Audio { content_type: super::clip(data("content_type").unwrap_or_default()), bytes }
                }
                Some(Err(_)) | None => Self::BadAudio,
            },
            Some("event") if data("event_type") == Some("final") => Self::Final,
            Some("error") => Self::Error(ServerError::from_value(&value)),
            None if value.get("error").is_some() => {
                Self::Error(ServerError { is_fatal: true, ..ServerError::from_value(&value) })
            }
            Some(_) | None => Self::Unknown,
        })
    }
}
