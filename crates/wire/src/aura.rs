//! Deepgram's text to speech (Aura) over a WebSocket: one sentence after the other, sound as binary messages.
//!
//! Reading is lenient: unknown messages and fields are skipped, nothing panics. Sources:
//! developers.deepgram.com/reference/text-to-speech/speak-streaming, …/docs/streaming-text-to-speech (2000 characters),
//! …/docs/tts-ws-flush (20 flushes in 60 s), …/docs/tts-ws-clear, …/docs/tts-troubleshooting-websocket-net-and-data-errors,
//! …/docs/tts-models; github.com/deepgram/deepgram-python-sdk src/deepgram/speak/v1.

use crate::WireError;
use crate::deepgram::ServerError;
use serde::Serialize;
use serde_json::Value;

/// Speak what was sent. Answered by `Flushed` after the last of its sound.
pub const FLUSH: &str = r#"{"type":"Flush"}"#;
/// Forget what was sent and make no more sound. Answered by `Cleared`.
pub const CLEAR: &str = r#"{"type":"Clear"}"#;
/// Ends the connection.
pub const CLOSE: &str = r#"{"type":"Close"}"#;
/// Flushes that one connection takes in [`FLUSH_WINDOW_S`]; more are not obeyed.
pub const FLUSHES_MAX: usize = 20;
/// See [`FLUSHES_MAX`], in seconds.
pub const FLUSH_WINDOW_S: u64 = 60;
/// Longest text of one message, in characters.
pub const TEXT_CHARS_MAX: usize = 2_000;
/// The voice that speaks a language when none is named: the first of each in their list.
const VOICES: [(&str, &str); 7] = [
    ("en", "aura-2-thalia-en"),
    ("es", "aura-2-celeste-es"),
    ("de", "aura-2-julius-de"),
    ("fr", "aura-2-agathe-fr"),
    ("it", "aura-2-livia-it"),
    ("nl", "aura-2-rhea-nl"),
    ("ja", "aura-2-fujin-ja"),
];

/// How a connection is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakOptions<'a> {
    /// The voice, which is the model: `aura-2-thalia-en`.
    pub voice: &'a str,
    /// 8000, 16000 or 24000.
    pub sample_rate_hz: u32,
    /// 0.7 to 1.5.
    pub speed: Option<f64>,
    /// True = they may not learn from it; costs more.
    pub mip_opt_out: bool,
}

impl SpeakOptions<'_> {
    /// The query of `wss://…/v1/speak`, without the question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("model", self.voice)
            .append_pair("encoding", "linear16")
            .append_pair("sample_rate", &self.sample_rate_hz.to_string());
        if let Some(speed) = self.speed {
            query.append_pair("speed", &speed.to_string());
        }
        if self.mip_opt_out {
            query.append_pair("mip_opt_out", "true");
        }
        query.finish()
    }
}

/// The language a voice speaks, the last part of its name; `None` when the name has no such part.
#[must_use]
pub fn voice_language(voice: &str) -> Option<&str> {
    let (_, language) = voice.rsplit_once('-')?;
    ((2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_lowercase())).then_some(language)
}

/// The voice for a BCP 47 tag: `wanted` when it speaks that language or does not say what it speaks, else the one they
/// list first. `None` when no voice speaks it, as with Hindi. An empty tag takes any voice.
#[must_use]
pub fn voice_for<'a>(wanted: &'a str, tag: &str) -> Option<&'a str> {
    let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    if primary.is_empty() || voice_language(wanted).is_none_or(|language| language == primary) {
        return Some(wanted);
    }
    VOICES.iter().find(|(language, _)| *language == primary).map(|(_, voice)| *voice)
}

#[derive(Serialize)]
struct Speak<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

/// Text to speak, after the next [`FLUSH`].
#[must_use]
pub fn speak(text: &str) -> String {
    serde_json::to_string(&Speak { kind: "Speak", text: text.trim() }).expect("a text is always JSON")
}

/// What the server says besides sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// About the connection; the first message.
    Metadata,
    /// All sound of what was sent before the flush has been sent.
    Flushed,
    /// What was sent is forgotten; no more sound of it.
    Cleared,
    /// Something was not done, as a flush too many.
    Warning(ServerError),
    /// Something is wrong.
    Error(ServerError),
    /// A message this version does not know.
    Unknown,
}

impl ServerMessage {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let value: Value = serde_json::from_str(text)?;
        if !value.is_object() {
            return Err(WireError::Malformed { column: 0 });
        }
        Ok(match value.get("type").and_then(Value::as_str) {
            Some("Metadata") => Self::Metadata,
            Some("Flushed") => Self::Flushed,
            Some("Cleared") => Self::Cleared,
            Some("Warning") => Self::Warning(ServerError::parse(text.as_bytes())),
            Some("Error") => Self::Error(ServerError::parse(text.as_bytes())),
            None if value.get("err_code").is_some() => Self::Error(ServerError::parse(text.as_bytes())),
            Some(_) | None => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_what_is_wanted() {
        let options =
            SpeakOptions { voice: "aura-2-thalia-en", sample_rate_hz: 8_000, speed: None, mip_opt_out: false };
        assert_eq!(options.query(), "model=aura-2-thalia-en&encoding=linear16&sample_rate=8000");
        let all = SpeakOptions { speed: Some(1.2), mip_opt_out: true, voice: "a&b", ..options };
        assert_eq!(all.query(), "model=a%26b&encoding=linear16&sample_rate=8000&speed=1.2&mip_opt_out=true");
    }

    #[test]
    fn voices_for_languages() {
        for (wanted, tag, want) in [
            ("aura-2-thalia-en", "en-IN", Some("aura-2-thalia-en")),
            ("aura-2-thalia-en", "", Some("aura-2-thalia-en")),
            ("aura-2-thalia-en", "ES_mx", Some("aura-2-celeste-es")),
            ("aura-2-nestor-es", "es", Some("aura-2-nestor-es")),
            ("aura-2-thalia-en", "hi-IN", None),
            ("custom", "hi-IN", Some("custom")),
        ] {
            assert_eq!(voice_for(wanted, tag), want, "{wanted} {tag}");
        }
        for (language, voice) in VOICES {
            assert_eq!(voice_language(voice), Some(language));
        }
    }

    #[test]
    fn messages() {
        assert_eq!(speak(" say \"hello\" "), r#"{"type":"Speak","text":"say \"hello\""}"#);
        let said = |code: &str, text: &str| ServerError { code: code.into(), text: text.into() };
        for (text, want) in [
            (r#"{"type":"Metadata","request_id":"r","model_name":"m"}"#, ServerMessage::Metadata),
            (r#"{"type":"Flushed","sequence_id":0}"#, ServerMessage::Flushed),
            (r#"{"type":"Cleared","sequence_id":0}"#, ServerMessage::Cleared),
            (
                r#"{"type":"Warning","description":"Too many flushes","code":"FLUSH_LIMIT"}"#,
                ServerMessage::Warning(said("FLUSH_LIMIT", "Too many flushes")),
            ),
            (r#"{"err_code":"X","err_msg":"y"}"#, ServerMessage::Error(said("X", "y"))),
            (r#"{"type":"Novelty"}"#, ServerMessage::Unknown),
            ("{}", ServerMessage::Unknown),
        ] {
            assert_eq!(ServerMessage::parse(text), Ok(want), "{text}");
        }
        for text in ["", "[]", "{oops", "null"] {
            assert!(ServerMessage::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in ".{0,300}") {
            let _ = ServerMessage::parse(&text);
            let _ = voice_for(&text, &text);
        }
    }
}
