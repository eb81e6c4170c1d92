//! Text frames of media sockets: what the JSON of all carriers has in common. Numbers come as texts, fields are
//! missing, names are `null`; it is read leniently here, once, and each carrier's file says which names it uses.

use crate::WireError;
use crate::fields::Loose;
use crate::pcm::Encoding;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Longest message read: the largest frame in base64 (133 336 characters) and an envelope.
pub const MESSAGE_BYTES_MAX: usize = 144 * 1024;
/// Longest id read, in bytes; carriers' have 32 to 36.
pub const ID_BYTES_MAX: usize = 128;
/// Longest mark name read, in bytes; ours have about 20.
pub const MARK_BYTES_MAX: usize = 256;
/// Custom parameters read; Exotel passes on 3, ours are fewer than 8 at the others.
pub const CUSTOM_PARAMETERS_MAX: usize = 16;
/// Longest custom parameter, name or value, in bytes; Twilio allows 500 characters for both, Plivo 512 bytes for all.
pub const CUSTOM_PARAMETER_BYTES_MAX: usize = 1024;
/// The rate of all telephone audio in μ-law.
pub(crate) const MULAW_RATE_HZ: u32 = 8_000;

#[derive(Deserialize)]
struct EventOnly<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
}

/// Only what the hot path needs, borrowed from the text.
#[derive(Deserialize)]
struct MediaMessage<'a> {
    #[serde(borrow)]
    sequence_number: Option<Loose<'a>>,
    #[serde(borrow, rename = "sequenceNumber")]
    sequence_number_camel: Option<Loose<'a>>,
    #[serde(borrow)]
    media: Option<MediaBody<'a>>,
}

#[derive(Deserialize)]
struct MediaBody<'a> {
    // Not `Option<Cow>`: serde copies that one.
    #[serde(borrow)]
    payload: Option<Loose<'a>>,
    #[serde(borrow)]
    timestamp: Option<Loose<'a>>,
    #[serde(borrow)]
    chunk: Option<Loose<'a>>,
    #[serde(borrow)]
    track: Option<Loose<'a>>,
}

/// A piece of audio, as every carrier sends it.
pub(crate) struct MediaFields<'a> {
    pub(crate) payload_base64: Cow<'a, str>,
    pub(crate) timestamp_ms: Option<u64>,
    pub(crate) chunk: Option<u64>,
    pub(crate) sequence: Option<u64>,
    /// The track says that this is what the caller hears, not what the caller says.
    pub(crate) is_outbound: bool,
}

/// The event's name: at the front where everybody writes it, otherwise wherever it stands.
pub(crate) fn event(text: &str) -> Result<Cow<'_, str>, WireError> {
    const MEDIA_FIRST: &str = "{\"event\":\"media\",";
    const MEDIA_FIRST_SPACED: &str = "{\"event\": \"media\",";
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: text.len(), limit: MESSAGE_BYTES_MAX });
    }
    if text.starts_with(MEDIA_FIRST) || text.starts_with(MEDIA_FIRST_SPACED) {
        return Ok(Cow::Borrowed("media"));
    }
    Ok(serde_json::from_str::<EventOnly<'_>>(text)?.event)
}

pub(crate) fn object(text: &str) -> Result<Map<String, Value>, WireError> {
    Ok(serde_json::from_str(text)?)
}

pub(crate) fn media(text: &str) -> Result<MediaFields<'_>, WireError> {
    let message: MediaMessage<'_> = serde_json::from_str(text)?;
    let body = message.media.ok_or(WireError::MissingField("media"))?;
    let payload_base64 = match body.payload {
        Some(Loose::Text(text)) => text,
        Some(Loose::Number(_) | Loose::Unusable) => return Err(WireError::BadField("media.payload")),
        None => return Err(WireError::MissingField("media.payload")),
    };
    Ok(MediaFields {
        payload_base64,
        timestamp_ms: body.timestamp.and_then(|value| value.to_u64()),
        chunk: body.chunk.and_then(|value| value.to_u64()),
        sequence: message.sequence_number.or(message.sequence_number_camel).and_then(|value| value.to_u64()),
        is_outbound: matches!(&body.track, Some(Loose::Text(track)) if track.starts_with("outbound")),
    })
}

/// The key that was pressed, and for how long when that is said.
pub(crate) fn dtmf(message: &Map<String, Value>) -> Result<(char, Option<u32>), WireError> {
    let body = message.get("dtmf").and_then(Value::as_object).ok_or(WireError::MissingField("dtmf"))?;
    let digits = text_of(&[body], &["digit", "digits"]).ok_or(WireError::MissingField("dtmf.digit"))?;
    let mut characters = digits.trim_matches('"').chars();
    let digit = match (characters.next(), characters.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => digit,
        (Some(digit @ 'a'..='d'), None) => digit.to_ascii_uppercase(),
        _ => return Err(WireError::BadField("dtmf.digit")),
    };
    let duration_ms = text_of(&[body], &["duration", "duration_ms"]).and_then(|text| leading_number(&text));
    Ok((digit, duration_ms.and_then(|ms| u32::try_from(ms).ok())))
}

/// The name of a mark: in an object `mark`, as the text `mark`, or beside it.
pub(crate) fn mark_name(message: &Map<String, Value>) -> Result<String, WireError> {
    let name = match message.get("mark") {
        Some(Value::Object(body)) => text_of(&[body], &["name"]),
        Some(other) => scalar(other),
        None => text_of(&[message], &["name"]),
    }
    .ok_or(WireError::MissingField("mark.name"))?;
    if name.len() > MARK_BYTES_MAX {
        return Err(WireError::BadField("mark.name"));
    }
    Ok(name)
}

/// The reason of a stop, its letters in lower case; empty when not said.
pub(crate) fn stop_word(message: &Map<String, Value>) -> String {
    let body = message.get("stop").and_then(Value::as_object);
    let reason =
        body.and_then(|body| text_of(&[body, message], &["reason"])).or_else(|| text_of(&[message], &["reason"]));
    reason.unwrap_or_default().chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase()
}

/// That the stream is μ-law at 8000 Hz, as far as the message says: what these carriers were asked for, and all that
/// some of them have. Anything else would be noise in somebody's ear.
pub(crate) fn mulaw_only(body: &Map<String, Value>) -> Result<(Option<u32>, Encoding), WireError> {
    let Some(format) = ["mediaFormat", "media_format"].iter().find_map(|key| body.get(*key)).and_then(Value::as_object)
    else {
        return Ok((None, Encoding::Mulaw));
    };
    if text_of(&[format], &["encoding"]).is_some_and(|encoding| !is_mulaw(&encoding)) {
        return Err(WireError::BadField("mediaFormat.encoding"));
    }
    let rate = text_of(&[format], &["sampleRate", "sample_rate"]).and_then(|text| leading_number(&text));
    match rate {
        None => Ok((None, Encoding::Mulaw)),
        Some(rate) if rate == u64::from(MULAW_RATE_HZ) => Ok((Some(MULAW_RATE_HZ), Encoding::Mulaw)),
        Some(_) => Err(WireError::BadField("mediaFormat.sampleRate")),
    }
}

/// Whether the label of an encoding means μ-law.
pub(crate) fn is_mulaw(encoding: &str) -> bool {
    let encoding = encoding.to_ascii_lowercase();
    ["mulaw", "ulaw", "pcmu"].iter().any(|name| encoding.contains(name))
}

pub(crate) fn custom_parameters(value: Option<&Value>) -> BTreeMap<String, String> {
    let fits = |text: &str| text.len() <= CUSTOM_PARAMETER_BYTES_MAX;
    let mut parameters = BTreeMap::new();
    let mut put = |key: &str, value: String| {
        if parameters.len() < CUSTOM_PARAMETERS_MAX && !key.is_empty() && fits(key) && fits(&value) {
            parameters.insert(key.to_owned(), value);
        }
    };
    match value {
        Some(Value::Object(object)) => {
            for (key, value) in object {
                put(key, scalar(value).unwrap_or_default());
            }
        }
        // Only a key, or a whole query: seen from code that reads "the first key".
        Some(Value::String(text)) => {
            for (key, value) in url::form_urlencoded::parse(text.trim_start_matches('?').as_bytes()) {
                put(&key, value.into_owned());
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | None => {}
    }
    parameters
}

pub(crate) fn leading_number(text: &str) -> Option<u64> {
    let trimmed = text.trim();
    trimmed[..trimmed.bytes().take_while(u8::is_ascii_digit).count()].parse().ok()
}

/// The first of `keys` that one of `objects` has with a usable value.
pub(crate) fn text_of(objects: &[&Map<String, Value>], keys: &[&str]) -> Option<String> {
    objects.iter().find_map(|object| keys.iter().find_map(|key| object.get(*key).and_then(scalar)))
}

pub(crate) fn id(
    objects: &[&Map<String, Value>],
    keys: &[&str],
    name: &'static str,
) -> Result<Option<String>, WireError> {
    match text_of(objects, keys) {
        Some(text) if text.len() > ID_BYTES_MAX || text.chars().any(char::is_control) => Err(WireError::BadField(name)),
        other => Ok(other),
    }
}

pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            (!text.is_empty() && text != "null").then(|| text.to_owned())
        }
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Appends `text` as a JSON string.
pub(crate) fn push_json_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("writing to a String does not fail");
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
