//! Live transcription: the address, what is sent, what is read.

use super::{NotAMessage, ServerError, object};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// Realtime: keeps a silent connection open, and is answered by a pong.
pub const PING: &str = r#"{"event":"ping"}"#;
/// Realtime: asks for what is left, then for the end of the connection.
pub const END: &str = r#"{"event":"end"}"#;
/// Streaming: asks for the text of everything sent so far.
pub const FLUSH: &str = r#"{"type":"flush"}"#;
/// Most words to listen for.
pub const KEYTERMS_MAX: usize = 50;
/// Longest word to listen for, in characters.
pub const KEYTERM_CHARS_MAX: usize = 64;

/// Sarvam has two protocols for live transcription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `/speech-to-text-realtime/ws`, the newer: text while the caller speaks, errors in words, pings.
    Realtime,
    /// `/speech-to-text/ws`, which they call legacy: text after each pause or flush only.
    Streaming,
}

impl Protocol {
    /// The protocol a model is usually used with. `saaras:v4` speaks both.
    #[must_use]
    pub fn of_model(model: &str) -> Self {
        if model.ends_with("-realtime") || model == "saaras:v4" { Self::Realtime } else { Self::Streaming }
    }

    /// The path of its address.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Realtime => "speech-to-text-realtime/ws",
            Self::Streaming => "speech-to-text/ws",
        }
    }

    /// The language that asks for detection.
    #[must_use]
    pub const fn detection(self) -> &'static str {
        match self {
            Self::Realtime => "auto",
            Self::Streaming => "unknown",
        }
    }
}

/// How soon words are shown while the caller speaks (realtime).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as possible.
    Fast,
    /// A little later, and better.
    Balanced,
}

/// How a stream is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenOptions {
    /// Which protocol.
    pub protocol: Protocol,
    /// Model name, `saaras:v3-realtime`.
    pub model: String,
    /// Language as Sarvam names it; see [`super::listen_language`].
    pub language: String,
    /// Rate of the 16 bit mono samples that will be sent: 8000 or 16000.
    pub sample_rate_hz: u32,
    /// How soon words are shown (realtime).
    pub pace: Pace,
    /// Silence that ends an utterance, in milliseconds; `None` = theirs (realtime).
    pub silence_ms: Option<u32>,
    /// End utterances after half a second of silence instead of one (streaming).
    pub high_vad_sensitivity: bool,
    /// Words to listen for, at most [`KEYTERMS_MAX`] of [`KEYTERM_CHARS_MAX`]; only `saaras:v4` takes them.
    pub keyterms: Vec<String>,
}

impl ListenOptions {
    /// The query of the address, without the question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let rate = self.sample_rate_hz.to_string();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        match self.protocol {
            Protocol::Realtime => {
                query
                    .append_pair("language_code", &self.language)
                    .append_pair("model", &self.model)
                    .append_pair("stream_type", if self.pace == Pace::Fast { "fast" } else { "balanced" })
                    .append_pair("mode", "transcribe")
                    .append_pair("endpointing", "vad")
                    .append_pair("encoding", "linear16")
                    .append_pair("sample_rate", &rate)
                    .append_pair("return_timestamps", "true");
                if let Some(ms) = self.silence_ms {
                    query.append_pair("silence_duration_ms", &ms.to_string());
                }
            }
            Protocol::Streaming => {
                query.append_pair("language-code", &self.language).append_pair("model", &self.model);
                // Older models know no mode.
                if self.model.starts_with("saaras:") && self.model != "saaras:v2.5" {
                    query.append_pair("mode", "transcribe");
                }
                query
                    .append_pair("sample_rate", &rate)
                    .append_pair("input_audio_codec", "pcm_s16le")
                    .append_pair("vad_signals", "true")
                    .append_pair("flush_signal", "true");
                if self.high_vad_sensitivity {
                    query.append_pair("high_vad_sensitivity", "true");
                }
            }
        }
        let fits = |term: &&String| !term.is_empty() && term.chars().count() <= KEYTERM_CHARS_MAX;
        let terms: Vec<&String> = self.keyterms.iter().filter(fits).take(KEYTERMS_MAX).collect();
        if !terms.is_empty() {
            query.append_pair("keyterms", &json!(terms).to_string());
        }
        query.finish()
    }
}

/// Samples (16 bit little-endian) as a message.
#[must_use]
pub fn audio_message(protocol: Protocol, pcm: &[u8], sample_rate_hz: u32) -> String {
    // Base64 needs no escaping.
    let audio = BASE64.encode(pcm);
    match protocol {
        Protocol::Realtime => format!(r#"{{"event":"audio_input","audio":"{audio}"}}"#),
        // The encoding is a fixed word here; what counts is the codec of the address.
        Protocol::Streaming => {
            format!(r#"{{"audio":{{"data":"{audio}","sample_rate":{sample_rate_hz},"encoding":"audio/wav"}}}}"#)
        }
    }
}

/// Text for one of their utterances: what is said between two pauses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// Which utterance of the connection, from 0; streaming does not say it.
    pub utterance: Option<u64>,
    /// Its text so far; empty = no words.
    pub text: String,
    /// The language they noticed, as they name it.
    pub language: Option<String>,
    /// Where it ends, in seconds of the connection's audio.
    pub end_s: Option<f64>,
}

/// What the server says, in either protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum ListenMessage {
    /// The session is set up.
    Begin {
        /// To quote to their support.
        request_id: String,
    },
    /// The caller began to speak.
    SpeechStart {
        /// Which utterance of the connection.
        utterance: Option<u64>,
    },
    /// The caller paused; the text follows.
    SpeechEnd {
        /// Which utterance of the connection.
        utterance: Option<u64>,
    },
    /// Text that will be replaced.
    Partial(Transcript),
    /// The text of an utterance.
    Final(Transcript),
    /// The answer to a ping.
    Pong,
    /// The session is over.
    End,
    /// Something is wrong.
    Error(ServerError),
    /// A message this version does not know.
    Unknown,
}

impl ListenMessage {
    /// Reads a text message of either protocol.
    ///
    /// # Errors
    /// When it is not a JSON object. An object of an unknown kind is [`ListenMessage::Unknown`].
    pub fn parse(text: &str) -> Result<Self, NotAMessage> {
        let value = object(text)?;
        let word = |name: &str| value.get(name).and_then(Value::as_str);
        if let Some(event) = word("event") {
            return Ok(Self::realtime(event, &value));
        }
        if let Some(kind) = word("type") {
            return Ok(Self::streaming(kind, &value));
        }
        // Errors of the handshake's shape can also arrive as a message, without a type.
        Ok(match value.get("error") {
            Some(_) => Self::Error(ServerError { is_fatal: true, ..ServerError::from_value(&value) }),
            None => Self::Unknown,
        })
    }

    fn realtime(event: &str, value: &Value) -> Self {
        let utterance = value.get("utterance_idx").and_then(Value::as_u64);
        match event {
            "transcript.partial" => transcript(value, "text", utterance).map_or(Self::Unknown, Self::Partial),
            "transcript.final" => transcript(value, "text", utterance).map_or(Self::Unknown, Self::Final),
            "vad.speech_start" => Self::SpeechStart { utterance },
            "vad.speech_end" => Self::SpeechEnd { utterance },
            "session.begin" => Self::Begin { request_id: super::clip(text(value, "request_id").unwrap_or_default()) },
            "session.end" => Self::End,
            "pong" => Self::Pong,
            "error" => Self::Error(ServerError::from_value(value)),
            _ => Self::Unknown,
        }
    }

    fn streaming(kind: &str, value: &Value) -> Self {
        let Some(data) = value.get("data") else {
            return if kind == "error" { Self::Error(ServerError::from_value(value)) } else { Self::Unknown };
        };
        match (kind, text(data, "signal_type")) {
            ("data", _) => match transcript(data, "transcript", None) {
                // Not documented, but seen: text that is said not to be final.
                Some(said) if data.get("is_final").and_then(Value::as_bool) == Some(false) => Self::Partial(said),
                Some(said) => Self::Final(said),
                None => Self::Unknown,
            },
            ("events", Some("START_SPEECH")) => Self::SpeechStart { utterance: None },
            ("events", Some("END_SPEECH")) => Self::SpeechEnd { utterance: None },
            ("error", _) => Self::Error(ServerError::from_value(value)),
            _ => Self::Unknown,
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn transcript(value: &Value, name: &str, utterance: Option<u64>) -> Option<Transcript> {
    let language = text(value, "language").or_else(|| text(value, "language_code"));
    Some(Transcript {
        utterance,
        text: text(value, name)?.trim().to_owned(),
        language: language.filter(|code| !code.is_empty()).map(super::clip),
        end_s: value.get("end_s").and_then(Value::as_f64),
    })
}
