//! ElevenLabs' live transcription (Scribe realtime): the address, what is sent, what is read.
//!
//! Text becomes final when it is asked for (`commit`), and after about 36 s of audio without being asked. A commit with
//! less than 0.3 s of new audio is refused with `commit_throttled` and ends the connection.
//!
//! Sources: elevenlabs.io/docs/api-reference/speech-to-text/v-1-speech-to-text-realtime,
//! elevenlabs.io/docs/eleven-api/guides/how-to/speech-to-text/realtime/transcripts-and-commit-strategies and
//! …/event-reference; github.com/elevenlabs/elevenlabs-python src/elevenlabs/realtime/{scribe,connection}.py (parameters and
//! the messages sent) and github.com/elevenlabs/packages packages/client/src/scribe (kinds of messages); seen November 2026.
//! What a refused commit and a refused key look like after the upgrade was observed by others.

use super::ERROR_CODE_BYTES_MAX;
use crate::WireError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// New audio that a commit needs, in milliseconds.
pub const COMMIT_MS_MIN: u64 = 300;
/// Most words to listen for.
pub const KEYTERMS_MAX: usize = 50;
/// Longest word to listen for, in characters.
pub const KEYTERM_CHARS_MAX: usize = 20;
/// Longest name of a language that is kept, in bytes.
const LANGUAGE_BYTES_MAX: usize = 16;

/// How a stream is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Model name, `scribe_v2_realtime`.
    pub model: String,
    /// Language, ISO 639-1 or 639-3; `None` = it is to be found out, and told with final text.
    pub language: Option<String>,
    /// Rate of the 16 bit mono samples that will be sent; see [`takes_rate`].
    pub sample_rate_hz: u32,
    /// Words to listen for, at most [`KEYTERMS_MAX`] of [`KEYTERM_CHARS_MAX`]; longer ones are left out.
    pub keyterms: Vec<String>,
    /// False = they keep nothing (for accounts that may ask for it).
    pub enable_logging: bool,
}

impl ListenOptions {
    /// The query of `wss://…/v1/speech-to-text/realtime`, without the question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("model_id", &self.model)
            .append_pair("audio_format", &format!("pcm_{}", self.sample_rate_hz))
            // When the caller is finished is our judgement.
            .append_pair("commit_strategy", "manual");
        match &self.language {
            Some(language) => query.append_pair("language_code", language),
            // The language stands only in the message with timestamps.
            None => query.append_pair("include_timestamps", "true").append_pair("include_language_detection", "true"),
        };
        let fits = |term: &&String| (1..=KEYTERM_CHARS_MAX).contains(&term.chars().count());
        for term in self.keyterms.iter().filter(fits).take(KEYTERMS_MAX) {
            query.append_pair("keyterms", term);
        }
        if !self.enable_logging {
            query.append_pair("enable_logging", "false");
        }
        query.finish()
    }
}

/// Rates they take as they are.
#[must_use]
pub const fn takes_rate(sample_rate_hz: u32) -> bool {
    matches!(sample_rate_hz, 8_000 | 16_000 | 22_050 | 24_000 | 44_100 | 48_000)
}

/// The name they have for a BCP 47 tag; `None` when it is to be found out.
#[must_use]
pub fn listen_language(tag: &str) -> Option<String> {
    let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    match primary.as_str() {
        "" | "mul" | "und" => None,
        "tl" => Some("fil".to_owned()),
        _ => Some(primary),
    }
}

/// Samples (16 bit little-endian) as a message; with `commit` the text of all so far is wanted.
#[must_use]
pub fn audio_chunk(pcm: &[u8], sample_rate_hz: u32, commit: bool) -> String {
    let audio = STANDARD.encode(pcm);
    // Base64 needs no escaping.
    format!(
        r#"{{"message_type":"input_audio_chunk","audio_base_64":"{audio}","commit":{commit},"sample_rate":{sample_rate_hz}}}"#
    )
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenMessage {
    /// The session is set up.
    Started,
    /// Text since the last final one; will be replaced.
    Partial {
        /// The text.
        text: String,
    },
    /// Final text since the last final one; the answer to a commit, or unasked.
    Committed {
        /// The text; empty = no words.
        text: String,
    },
    /// The same text once more, with what else is known of it.
    CommittedWithTimes {
        /// The language that was noticed, as they name it.
        language: Option<String>,
    },
    /// Nothing that a commit could be about.
    Nothing,
    /// Something is wrong.
    Error {
        /// Its kind, `rate_limited`; at most [`ERROR_CODE_BYTES_MAX`].
        code: String,
    },
    /// A message this version does not know.
    Unknown,
}

impl ListenMessage {
    /// Reads a text message.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let value: Value = serde_json::from_str(text)?;
        if !value.is_object() {
            return Err(WireError::Malformed { column: 0 });
        }
        let word = |name: &str| value.get(name).and_then(Value::as_str);
        let Some(kind) = word("message_type") else {
            // What refuses a handshake can also come as a message.
            return Ok(if value.get("error").or(value.get("detail")).is_some_and(|e| !e.is_null()) {
                Self::Error { code: super::ServerError::from_value(&value).code }
            } else {
                Self::Unknown
            });
        };
        let text = || word("text").map(|text| text.trim().to_owned());
        Ok(match kind {
            "session_started" => Self::Started,
            "partial_transcript" => text().map_or(Self::Unknown, |text| Self::Partial { text }),
            "committed_transcript" => text().map_or(Self::Unknown, |text| Self::Committed { text }),
            "committed_transcript_with_timestamps" => {
                let named = |code: &&str| (2..=LANGUAGE_BYTES_MAX).contains(&code.len());
                Self::CommittedWithTimes { language: word("language_code").filter(named).map(str::to_owned) }
            }
            "insufficient_audio_activity" => Self::Nothing,
            _ if word("error").is_some() || kind.ends_with("error") => {
                Self::Error { code: kind[..kind.floor_char_boundary(ERROR_CODE_BYTES_MAX)].to_owned() }
            }
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_query_says_what_is_wanted() {
        let options = ListenOptions {
            model: "scribe_v2_realtime".into(),
            language: Some("hi".into()),
            sample_rate_hz: 8_000,
            keyterms: vec!["Sunrise Clinic".into(), "x".repeat(21), String::new()],
            enable_logging: true,
        };
        assert_eq!(
            options.query(),
            "model_id=scribe_v2_realtime&audio_format=pcm_8000&commit_strategy=manual&language_code=hi&\
             keyterms=Sunrise+Clinic"
        );
        let open = ListenOptions { language: None, keyterms: Vec::new(), enable_logging: false, ..options };
        assert_eq!(
            open.query(),
            "model_id=scribe_v2_realtime&audio_format=pcm_8000&commit_strategy=manual&include_timestamps=true&\
             include_language_detection=true&enable_logging=false"
        );
    }

    #[test]
    fn languages_have_their_names() {
        for (tag, want) in [
            ("hi-IN", Some("hi")),
            ("en_US", Some("en")),
            ("EN", Some("en")),
            ("tl", Some("fil")),
            ("", None),
            ("und", None),
            ("mul", None),
        ] {
            assert_eq!(listen_language(tag).as_deref(), want, "{tag}");
        }
    }

    #[test]
    fn audio_is_sent_as_they_want_it() {
        assert_eq!(
            audio_chunk(&[1, 0, 2, 0], 16_000, false),
            r#"{"message_type":"input_audio_chunk","audio_base_64":"AQACAA==","commit":false,"sample_rate":16000}"#
        );
        let commit: Value = serde_json::from_str(&audio_chunk(&[], 8_000, true)).expect("JSON");
        assert_eq!((commit["commit"].as_bool(), commit["audio_base_64"].as_str()), (Some(true), Some("")));
    }

    #[test]
    fn messages_are_read() {
        let text = |text: &str| text.to_owned();
        for (given, want) in [
            (r#"{"message_type":"session_started","session_id":"x","config":{}}"#, ListenMessage::Started),
            (
                r#"{"message_type":"partial_transcript","text":" where is"}"#,
                ListenMessage::Partial { text: text("where is") },
            ),
            (
                r#"{"message_type":"committed_transcript","text":"Where is it?"}"#,
                ListenMessage::Committed { text: text("Where is it?") },
            ),
            (r#"{"message_type":"committed_transcript","text":""}"#, ListenMessage::Committed { text: text("") }),
            (
                r#"{"message_type":"committed_transcript_with_timestamps","text":"नमस्ते","language_code":"hi","words":[]}"#,
                ListenMessage::CommittedWithTimes { language: Some(text("hi")) },
            ),
            (
                r#"{"message_type":"committed_transcript_with_timestamps","text":"x","language_code":null}"#,
                ListenMessage::CommittedWithTimes { language: None },
            ),
            (r#"{"message_type":"insufficient_audio_activity","error":"quiet"}"#, ListenMessage::Nothing),
            (
                r#"{"message_type":"commit_throttled","error":"Commit request ignored: only 0.20s of uncommitted audio."}"#,
                ListenMessage::Error { code: text("commit_throttled") },
            ),
            (
                r#"{"message_type":"auth_error","error":"You must be authenticated to use this endpoint."}"#,
                ListenMessage::Error { code: text("auth_error") },
            ),
            (
                r#"{"detail":{"status":"invalid_api_key","message":"x"}}"#,
                ListenMessage::Error { code: text("invalid_api_key") },
            ),
            (r#"{"message_type":"edited_transcript","text":"x"}"#, ListenMessage::Unknown),
            (r#"{"message_type":"partial_transcript"}"#, ListenMessage::Unknown),
            (r#"{"message_type":7}"#, ListenMessage::Unknown),
            ("{}", ListenMessage::Unknown),
        ] {
            assert_eq!(ListenMessage::parse(given), Ok(want), "{given}");
        }
        for bad in ["", "{oops", "[]", "7"] {
            assert!(ListenMessage::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in ".{0,200}", kind in "[a-z_é]{0,80}") {
            let _ = ListenMessage::parse(&text);
            let _ = ListenMessage::parse(&format!(r#"{{"message_type":"{kind}","error":"x","text":7}}"#));
        }
    }
}
