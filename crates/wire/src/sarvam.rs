//! Sarvam's sockets: live transcription in its two protocols, and speech.
//!
//! Reading is lenient: unknown messages and fields are skipped, missing ones get a default, nothing panics. Sources, read
//! in November 2026: docs.sarvam.ai/api-reference/speech-to-text/transcribe/realtime/ws,
//! …/api-reference/legacy/speech-to-text/transcribe/ws, …/api-reference/text-to-speech/stream,
//! …/api-reference/authentication, …/api/api-guides-tutorials/speech-to-text/realtime-streaming and …/best-practices;
//! sarvamai 0.1.39 on PyPI (`types/realtime_*.py`, `types/configure_connection_data.py`).

mod listen;
mod speech;

pub use listen::{
    END, FLUSH, KEYTERM_CHARS_MAX, KEYTERMS_MAX, ListenMessage, ListenOptions, PING, Pace, Protocol, Transcript,
    audio_message,
};
pub use speech::{SPEECH_FLUSH, SPEECH_TEXT_CHARS_MAX, SpeechConfig, SpeechMessage, text_message};

use serde_json::Value;
use std::borrow::Cow;

/// The header that carries the key. `Authorization: Bearer` is taken as well.
pub const KEY_HEADER: &str = "api-subscription-key";
/// Without a message for this long a socket is closed, in seconds.
pub const SILENCE_CLOSES_AFTER_S: u64 = 60;
/// Longest piece of a vendor's error text that is kept, in bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 200;

/// Languages that can be spoken, as Sarvam names them.
const SPOKEN: [&str; 11] =
    ["bn-IN", "en-IN", "gu-IN", "hi-IN", "kn-IN", "ml-IN", "mr-IN", "od-IN", "pa-IN", "ta-IN", "te-IN"];
/// Languages that are understood besides.
const UNDERSTOOD: [&str; 12] =
    ["as-IN", "brx-IN", "doi-IN", "kok-IN", "ks-IN", "mai-IN", "mni-IN", "ne-IN", "sa-IN", "sat-IN", "sd-IN", "ur-IN"];

/// Odia is `or` in BCP 47; `od` is Sarvam's own.
fn own_language(tag: &str) -> &str {
    let language = tag.split(['-', '_']).next().unwrap_or_default();
    if language.eq_ignore_ascii_case("or") { "od" } else { language }
}

fn of_language(known: &[&'static str], tag: &str) -> Option<&'static str> {
    let language = own_language(tag);
    known.iter().copied().find(|code| code.split('-').next().is_some_and(|own| own.eq_ignore_ascii_case(language)))
}

/// The name Sarvam has for a BCP 47 tag of something to say. Regions are dropped: all its voices are Indian (`en-US` is
/// `en-IN`). `None` = it has no voice for it.
#[must_use]
pub fn speech_language(tag: &str) -> Option<&'static str> {
    of_language(&SPOKEN, tag)
}

/// The name Sarvam has for a BCP 47 tag of something to hear. An empty tag, `und` and `multi` ask for detection.
/// `None` = it does not understand it.
#[must_use]
pub fn listen_language(tag: &str, protocol: Protocol) -> Option<&'static str> {
    if ["", "und", "multi", "auto", "unknown"].iter().any(|any| any.eq_ignore_ascii_case(tag)) {
        return Some(protocol.detection());
    }
    match (of_language(&SPOKEN, tag).or_else(|| of_language(&UNDERSTOOD, tag))?, protocol) {
        // The newer protocol spells it as BCP 47 does.
        ("od-IN", Protocol::Realtime) => Some("or-IN"),
        (code, Protocol::Realtime | Protocol::Streaming) => Some(code),
    }
}

/// A language of theirs as a BCP 47 tag.
#[must_use]
pub fn bcp47(code: &str) -> Cow<'_, str> {
    match code.strip_prefix("od") {
        Some(region) if region.is_empty() || region.starts_with('-') => Cow::Owned(format!("or{region}")),
        Some(_) | None => Cow::Borrowed(code),
    }
}

/// What an error says, in a message or in the body of a refused handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// Their word for it, as `invalid_api_key_error`; empty = not said.
    pub code: String,
    /// Their explanation, at most [`ERROR_TEXT_BYTES_MAX`]. It may quote the request, so it is not for logs as it is.
    pub text: String,
    /// The HTTP status it stands for, when they say one.
    pub status: Option<u16>,
    /// The connection is about to be closed.
    pub is_fatal: bool,
}

impl ServerError {
    /// Reads the body of a refused handshake (400, 403, 429): `{"error":{"message":…,"code":…}}`, or plain text.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self { is_fatal: true, ..Self::from_value(&value) },
            Err(_) => Self { text: clip(&String::from_utf8_lossy(body)), is_fatal: true, ..Self::default() },
        }
    }

    /// The words stand in `data`, in `error`, or at the top.
    fn from_value(value: &Value) -> Self {
        let inner = ["data", "error"].iter().find_map(|name| value.get(*name).filter(|inner| inner.is_object()));
        let inner = inner.unwrap_or(value);
        let text = |name: &str| match inner.get(name) {
            Some(Value::String(text)) => clip(text),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) | None => String::new(),
        };
        let message = text("message");
        let code = text("code");
        let status = inner.get("status_code").and_then(Value::as_u64);
        // Speech says the status as its code.
        let status = status.or_else(|| code.parse().ok()).and_then(|status| u16::try_from(status).ok());
        Self {
            status: status.filter(|status| (400..600).contains(status)),
            code,
            text: if message.is_empty() { text("error") } else { message },
            is_fatal: inner.get("is_fatal").and_then(Value::as_bool).unwrap_or(false),
        }
    }
}

/// A text message that is not JSON, or not an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Sarvam message")]
pub struct NotAMessage;

fn object(text: &str) -> Result<Value, NotAMessage> {
    serde_json::from_str::<Value>(text).ok().filter(Value::is_object).ok_or(NotAMessage)
}

fn clip(text: &str) -> String {
    text[..text.floor_char_boundary(ERROR_TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
