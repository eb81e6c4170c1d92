//! Deepgram's live transcription protocol: the address, what the server says, what the client says.
//!
//! Reading is lenient: unknown messages and fields are skipped, missing ones get a default, nothing panics. Sources:
//! developers.deepgram.com/reference/speech-to-text/listen-streaming, …/docs/live-streaming-audio, …/docs/endpointing,
//! …/docs/finalize, …/docs/audio-keep-alive, …/docs/close-stream, …/docs/stt-troubleshooting-websocket-data-and-net-errors.

use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// Asks for a final result of everything sent so far; answered by `Results` with `from_finalize`.
pub const FINALIZE: &str = r#"{"type":"Finalize"}"#;
/// Keeps a silent connection open; must be a text message.
pub const KEEP_ALIVE: &str = r#"{"type":"KeepAlive"}"#;
/// Asks for what is left, then for the end of the connection.
pub const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;
/// Without audio or `KeepAlive` for this long the server closes with 1011 (NET-0001), in seconds.
pub const SILENCE_CLOSES_AFTER_S: u64 = 10;
/// Words kept of one result. A result covers some seconds of speech; nobody says hundreds of words in them.
pub const WORDS_MAX: usize = 512;
/// Longest piece of a vendor's error text that is kept, in bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 200;

/// When the server ends an utterance by itself (`speech_final`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpointing {
    /// Never.
    Off,
    /// After so much silence, in milliseconds.
    AfterMs(u32),
}

/// How a stream is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Model name, `nova-3`.
    pub model: String,
    /// Language as Deepgram names it; see [`language_code`].
    pub language: String,
    /// Rate of the 16 bit mono samples that will be sent.
    pub sample_rate_hz: u32,
    /// Send results while the caller speaks.
    pub interim_results: bool,
    /// When to end an utterance.
    pub endpointing: Endpointing,
    /// Add punctuation and capitals.
    pub punctuate: bool,
    /// Write numbers, dates and money as figures.
    pub smart_format: bool,
    /// Words to listen for (nova-3), each its own parameter.
    pub keyterms: Vec<String>,
}

impl ListenOptions {
    /// The query of `wss://…/v1/listen`, without the question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("model", &self.model)
            .append_pair("language", &self.language)
            .append_pair("encoding", "linear16")
            .append_pair("sample_rate", &self.sample_rate_hz.to_string())
            .append_pair("channels", "1")
            .append_pair("interim_results", if self.interim_results { "true" } else { "false" })
            .append_pair("punctuate", if self.punctuate { "true" } else { "false" });
        match self.endpointing {
            Endpointing::Off => query.append_pair("endpointing", "false"),
            Endpointing::AfterMs(ms) => query.append_pair("endpointing", &ms.to_string()),
        };
        if self.smart_format {
            query.append_pair("smart_format", "true");
        }
        for term in &self.keyterms {
            query.append_pair("keyterm", term);
        }
        query.finish()
    }
}

/// The name Deepgram has for a BCP 47 tag. Regions it knows are kept (`en-IN`), others dropped (`hi-IN` is `hi`), an
/// empty tag is `multi`, its language-switching mode.
#[must_use]
pub fn language_code(tag: &str) -> Cow<'_, str> {
    const WITH_REGION: [&str; 21] = [
        "da-DK", "de-CH", "en-AU", "en-GB", "en-IN", "en-NZ", "en-US", "es-419", "fr-CA", "ko-KR", "nl-BE", "pt-BR",
        "pt-PT", "sv-SE", "th-TH", "zh-CN", "zh-HK", "zh-TW", "zh-Hans", "zh-Hant", "multi",
    ];
    if tag.is_empty() {
        return Cow::Borrowed("multi");
    }
    if let Some(known) = WITH_REGION.iter().find(|known| known.eq_ignore_ascii_case(tag)) {
        return Cow::Borrowed(known);
    }
    match tag.split_once(['-', '_']) {
        Some((language, _)) => Cow::Owned(language.to_ascii_lowercase()),
        None => Cow::Owned(tag.to_ascii_lowercase()),
    }
}

/// One word of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// As to be shown: with punctuation when it was asked for.
    pub text: String,
    /// Where it begins in the stream, in seconds of audio.
    pub start_s: f64,
    /// Where it ends.
    pub end_s: f64,
}

/// A result: text for a piece of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// The text will not change any more.
    pub is_final: bool,
    /// The server takes the utterance for finished (endpointing).
    pub speech_final: bool,
    /// This is the answer to `Finalize`.
    pub from_finalize: bool,
    /// The text of the best alternative; empty = no words.
    pub transcript: String,
    /// Its words with times, at most [`WORDS_MAX`]; may be empty although there is text.
    pub words: Vec<Word>,
    /// Where the piece begins in the stream, in seconds of audio.
    pub start_s: f64,
    /// How long it is, in seconds.
    pub duration_s: f64,
}

impl Results {
    /// Where the piece ends in the stream, in seconds of audio.
    #[must_use]
    pub fn end_s(&self) -> f64 {
        self.start_s + self.duration_s
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMessage {
    /// Text.
    Results(Results),
    /// About the stream; sent at the end (and by some versions at the beginning).
    Metadata {
        /// To quote to their support.
        request_id: String,
        /// Audio received, in seconds.
        duration_s: f64,
    },
    /// Speech began (with `vad_events`).
    SpeechStarted {
        /// Where, in seconds of audio.
        at_s: f64,
    },
    /// A gap after words (with `utterance_end_ms`).
    UtteranceEnd {
        /// End of the last word, in seconds of audio.
        last_word_end_s: f64,
    },
    /// Something is wrong.
    Error(ServerError),
    /// A message this version does not know.
    Unknown,
}

/// What an error says, in a message or in the body of a refused handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `err_code`, `variant` or `code`, as `INVALID_AUTH`; empty = not said.
    pub code: String,
    /// `err_msg`, `description`, `message` or `reason`, at most [`ERROR_TEXT_BYTES_MAX`].
    pub text: String,
}

impl ServerError {
    /// Reads the body of a refused handshake (400, 401, 403, 429).
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value),
            Err(_) => Self { code: String::new(), text: clip(&String::from_utf8_lossy(body)) },
        }
    }

    fn from_value(value: &Value) -> Self {
        let first = |names: &[&str]| {
            let found = names.iter().find_map(|name| value.get(*name).and_then(Value::as_str));
            found.map(clip).unwrap_or_default()
        };
        Self {
            code: first(&["err_code", "variant", "code"]),
            text: first(&["err_msg", "description", "message", "reason"]),
        }
    }
}

/// A text message that is not JSON, or not an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Deepgram message")]
pub struct NotAMessage;

impl ServerMessage {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is not a JSON object. An object of an unknown kind is [`ServerMessage::Unknown`].
    pub fn parse(text: &str) -> Result<Self, NotAMessage> {
        let head: Head<'_> = serde_json::from_str(text).map_err(|_| NotAMessage)?;
        // The frequent one first; a field of an unexpected type makes a message unknown, never an end of the stream.
        Ok(match head.kind.as_deref() {
            Some("Results") => {
                serde_json::from_str::<ResultsBody>(text).map_or(Self::Unknown, |b| Self::Results(b.into()))
            }
            Some("Metadata") => serde_json::from_str::<MetadataBody>(text)
                .map_or(Self::Unknown, |b| Self::Metadata { request_id: clip(&b.request_id), duration_s: b.duration }),
            Some("SpeechStarted") => Self::SpeechStarted { at_s: number(text, "timestamp") },
            Some("UtteranceEnd") => Self::UtteranceEnd { last_word_end_s: number(text, "last_word_end") },
            Some("Error") => Self::Error(ServerError::parse(text.as_bytes())),
            // Errors of the handshake's shape can also arrive as a message, without a type.
            None if head.err_code.is_some() => Self::Error(ServerError::parse(text.as_bytes())),
            Some(_) | None => Self::Unknown,
        })
    }
}

/// The close code and reason that the server gave, in words: whether sending the same again can help.
#[must_use]
pub const fn close_is_transient(code: u16) -> bool {
    // 1008 is DATA-0000 (the audio cannot be decoded) or a refused payload; 1003 and 1007 are of the same sort.
    !matches!(code, 1003 | 1007 | 1008)
}

fn number(text: &str, name: &str) -> f64 {
    serde_json::from_str::<Value>(text).ok().and_then(|v| v.get(name).and_then(Value::as_f64)).unwrap_or(0.0)
}

fn clip(text: &str) -> String {
    let mut end = text.len().min(ERROR_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    err_code: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct MetadataBody {
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    duration: f64,
}

#[derive(Deserialize)]
struct ResultsBody {
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    speech_final: bool,
    #[serde(default)]
    from_finalize: bool,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    channel: ChannelBody,
}

#[derive(Default, Deserialize)]
struct ChannelBody {
    #[serde(default)]
    alternatives: Vec<AlternativeBody>,
}

#[derive(Deserialize)]
struct AlternativeBody {
    #[serde(default)]
    transcript: String,
    #[serde(default)]
    words: Vec<WordBody>,
}

#[derive(Deserialize)]
struct WordBody {
    #[serde(default)]
    word: String,
    #[serde(default)]
    punctuated_word: Option<String>,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    end: f64,
}

impl From<ResultsBody> for Results {
    fn from(body: ResultsBody) -> Self {
        let best = body.channel.alternatives.into_iter().next();
        let (transcript, words) = best.map(|a| (a.transcript, a.words)).unwrap_or_default();
        let words = words.into_iter().take(WORDS_MAX);
        Self {
            is_final: body.is_final,
            speech_final: body.speech_final,
            from_finalize: body.from_finalize,
            transcript: transcript.trim().to_owned(),
            words: words
                .map(|w| Word { text: w.punctuated_word.unwrap_or(w.word), start_s: w.start, end_s: w.end })
                .collect(),
            start_s: body.start,
            duration_s: body.duration,
        }
    }
}

#[cfg(test)]
mod tests;
