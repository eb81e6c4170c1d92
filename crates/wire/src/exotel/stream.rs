//! The Voicebot media socket: JSON text frames, audio in base64 (support article 3000108630; lenient where the
//! provider's pages, samples and captured traffic differ).

use crate::WireError;
use crate::carrier::{AudioFrame, CarrierMessage, FrameRule, StreamStart};
use crate::fields::Loose;
use crate::pcm;
use model::E164;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub use crate::carrier::StopReason;
pub use crate::pcm::Encoding;

/// Outgoing frames: a multiple of 320 bytes (otherwise Exotel waits 20 ms: an audible gap), at most 100 000 (support
/// article 3000108630). Its minimum of "3.2k [100 ms]" is 100 ms at 16 kHz only; its own samples send 100 ms at every
/// rate: 1600, 3200, 4800 bytes.
pub const FRAME_RULE: FrameRule = FrameRule { multiple_of_bytes: 320, frame_bytes_max: 100_000, frame_ms: 100 };
/// The rates a stream can have, chosen with `?sample-rate=` in the socket's URL.
pub const SAMPLE_RATES_HZ: [u32; 3] = [8_000, 16_000, 24_000];
/// The rate when nothing says otherwise.
pub const SAMPLE_RATE_DEFAULT_HZ: u32 = 8_000;
/// Longest message read: the largest frame in base64 (133 336 characters) and an envelope.
pub const MESSAGE_BYTES_MAX: usize = 144 * 1024;
/// Longest id read, in bytes; Exotel's have 32.
pub const ID_BYTES_MAX: usize = 128;
/// Longest mark name read, in bytes; ours have about 20.
pub const MARK_BYTES_MAX: usize = 256;
/// Custom parameters read; Exotel passes on 3.
pub const CUSTOM_PARAMETERS_MAX: usize = 16;
/// Longest custom parameter, name or value, in bytes; Exotel allows 256 characters for all of them.
pub const CUSTOM_PARAMETER_BYTES_MAX: usize = 1024;

/// A message from Exotel.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound<'a> {
    /// First message, empty.
    Connected,
    /// Second message.
    Start(Start),
    /// A piece of the caller's speech.
    Media(Media<'a>),
    /// A key was pressed.
    Dtmf {
        /// The key.
        digit: char,
        /// How long.
        duration_ms: Option<u32>,
    },
    /// A mark of ours has been reached in playback.
    Mark {
        /// Its name.
        name: Cow<'a, str>,
    },
    /// The stream is over.
    Stop {
        /// Why.
        reason: StopReason,
    },
    /// "Reset the bot's context": drop what has not been played.
    Clear,
    /// An event we do not know.
    Ignored {
        /// Its name.
        event: Cow<'a, str>,
    },
}

/// The start message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The stream.
    pub stream_id: String,
    /// The call, opaque: 32 characters, not always hexadecimal.
    pub call_id: Option<String>,
    /// The account's name.
    pub account_id: Option<String>,
    /// The caller.
    pub from: Option<E164>,
    /// The number called.
    pub to: Option<E164>,
    /// Parameters of the socket's URL, as far as they survived.
    pub custom_parameters: BTreeMap<String, String>,
    /// A rate of [`SAMPLE_RATES_HZ`], when one is said.
    pub sample_rate_hz: Option<u32>,
    /// PCM unless μ-law is named: the applet's own labels are `raw`, `audio/x-raw`, `base64`.
    pub encoding: Encoding,
    /// Number of the message.
    pub sequence: Option<u64>,
}

/// A media message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// The audio.
    pub payload_base64: Cow<'a, str>,
    /// Time since the stream began.
    pub timestamp_ms: Option<u64>,
    /// Number of the frame.
    pub chunk: Option<u64>,
    /// Number of the message.
    pub sequence: Option<u64>,
}

impl<'a> From<Inbound<'a>> for CarrierMessage<'a> {
    fn from(message: Inbound<'a>) -> Self {
        match message {
            Inbound::Connected => Self::Connected,
            Inbound::Start(start) => Self::Start(StreamStart {
                stream_id: start.stream_id,
                call_id: start.call_id,
                account_id: start.account_id,
                from: start.from,
                to: start.to,
                custom_parameters: start.custom_parameters,
                sample_rate_hz: start.sample_rate_hz,
                encoding: start.encoding,
            }),
            Inbound::Media(media) => Self::Audio(AudioFrame {
                payload_base64: media.payload_base64,
                timestamp_ms: media.timestamp_ms,
                chunk: media.chunk,
            }),
            Inbound::Dtmf { digit, duration_ms } => Self::Dtmf { digit, duration_ms },
            Inbound::Mark { name } => Self::Played { mark: name },
            Inbound::Stop { reason } => Self::Stopped { reason },
            Inbound::Clear => Self::Flush,
            Inbound::Ignored { .. } => Self::Ignored,
        }
    }
}

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
}

/// Reads one text frame.
///
/// # Errors
/// [`WireError`]; the text is never quoted in it.
pub fn decode(text: &str) -> Result<Inbound<'_>, WireError> {
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLarge { bytes: text.len(), limit: MESSAGE_BYTES_MAX });
    }
    let event = peek_event(text)?;
    match event.as_ref() {
        "media" => decode_media(text),
        "connected" => Ok(Inbound::Connected),
        "clear" => Ok(Inbound::Clear),
        "start" => decode_start(&object(text)?),
        "dtmf" => decode_dtmf(&object(text)?),
        "mark" => decode_mark(&object(text)?),
        "stop" => Ok(decode_stop(&object(text)?)),
        _ => Ok(Inbound::Ignored { event }),
    }
}

/// The event's name: at the front where everybody writes it, otherwise wherever it stands.
fn peek_event(text: &str) -> Result<Cow<'_, str>, WireError> {
    const MEDIA_FIRST: &str = "{\"event\":\"media\",";
    const MEDIA_FIRST_SPACED: &str = "{\"event\": \"media\",";
    if text.starts_with(MEDIA_FIRST) || text.starts_with(MEDIA_FIRST_SPACED) {
        return Ok(Cow::Borrowed("media"));
    }
    Ok(serde_json::from_str::<EventOnly<'_>>(text)?.event)
}

fn object(text: &str) -> Result<Map<String, Value>, WireError> {
    Ok(serde_json::from_str(text)?)
}

fn decode_media(text: &str) -> Result<Inbound<'_>, WireError> {
    let message: MediaMessage<'_> = serde_json::from_str(text)?;
    let body = message.media.ok_or(WireError::MissingField("media"))?;
    let payload_base64 = match body.payload {
        Some(Loose::Text(text)) => text,
        Some(Loose::Number(_) | Loose::Unusable) => return Err(WireError::BadField("media.payload")),
        None => return Err(WireError::MissingField("media.payload")),
    };
    Ok(Inbound::Media(Media {
        payload_base64,
        timestamp_ms: body.timestamp.and_then(|value| value.to_u64()),
        chunk: body.chunk.and_then(|value| value.to_u64()),
        sequence: message.sequence_number.or(message.sequence_number_camel).and_then(|value| value.to_u64()),
    }))
}

fn decode_start(message: &Map<String, Value>) -> Result<Inbound<'static>, WireError> {
    let empty = Map::new();
    let body = message.get("start").and_then(Value::as_object).unwrap_or(&empty);
    let stream_id = id(&[body, message], &["stream_sid", "streamSid", "stream_id", "streamId"], "stream_sid")?
        .ok_or(WireError::MissingField("stream_sid"))?;
    let format = ["media_format", "mediaFormat"].iter().find_map(|key| body.get(*key)).and_then(Value::as_object);
    let format_field = |keys: &[&str]| format.and_then(|format| text_of(&[format], keys));
    let encoding = format_field(&["encoding"]).unwrap_or_default().to_ascii_lowercase();
    Ok(Inbound::Start(Start {
        stream_id,
        call_id: id(&[body, message], &["call_sid", "callSid", "call_id", "callId"], "call_sid")?,
        account_id: id(&[body, message], &["account_sid", "accountSid", "account_id", "accountId"], "account_sid")?,
        from: text_of(&[body], &["from", "From"]).and_then(|number| E164::parse(&number).ok()),
        to: text_of(&[body], &["to", "To"]).and_then(|number| E164::parse(&number).ok()),
        custom_parameters: custom_parameters(
            ["custom_parameters", "customParameters"].iter().find_map(|key| body.get(*key)),
        ),
        sample_rate_hz: format_field(&["sample_rate", "sampleRate"]).and_then(|rate| sample_rate_hz(&rate)),
        encoding: if ["mulaw", "ulaw", "pcmu"].iter().any(|name| encoding.contains(name)) {
            Encoding::Mulaw
        } else {
            Encoding::Pcm16
        },
        sequence: sequence(message),
    }))
}

/// A rate we know, from `8000`, `"8000"`, `"8000Hz"`, `"16 kHz"`; nothing else.
#[must_use]
pub fn sample_rate_hz(text: &str) -> Option<u32> {
    let digits: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).take(9).collect();
    let number: u32 = digits.parse().ok()?;
    let number = if number < 100 { number * 1000 } else { number };
    SAMPLE_RATES_HZ.contains(&number).then_some(number)
}

fn custom_parameters(value: Option<&Value>) -> BTreeMap<String, String> {
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

fn decode_dtmf(message: &Map<String, Value>) -> Result<Inbound<'static>, WireError> {
    let body = message.get("dtmf").and_then(Value::as_object).ok_or(WireError::MissingField("dtmf"))?;
    let digits = text_of(&[body], &["digit", "digits"]).ok_or(WireError::MissingField("dtmf.digit"))?;
    let mut characters = digits.trim_matches('"').chars();
    let digit = match (characters.next(), characters.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => digit,
        (Some(digit @ 'a'..='d'), None) => digit.to_ascii_uppercase(),
        _ => return Err(WireError::BadField("dtmf.digit")),
    };
    let duration_ms = text_of(&[body], &["duration", "duration_ms"]).and_then(|text| leading_number(&text));
    Ok(Inbound::Dtmf { digit, duration_ms: duration_ms.and_then(|ms| u32::try_from(ms).ok()) })
}

fn decode_mark(message: &Map<String, Value>) -> Result<Inbound<'static>, WireError> {
    let name = match message.get("mark") {
        Some(Value::Object(body)) => text_of(&[body], &["name"]),
        Some(other) => scalar(other),
        None => text_of(&[message], &["name"]),
    }
    .ok_or(WireError::MissingField("mark.name"))?;
    if name.len() > MARK_BYTES_MAX {
        return Err(WireError::BadField("mark.name"));
    }
    Ok(Inbound::Mark { name: Cow::Owned(name) })
}

fn decode_stop(message: &Map<String, Value>) -> Inbound<'static> {
    let body = message.get("stop").and_then(Value::as_object);
    let reason =
        body.and_then(|body| text_of(&[body, message], &["reason"])).or_else(|| text_of(&[message], &["reason"]));
    let word: String =
        reason.unwrap_or_default().chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    let reason = match word.as_str() {
        "callended" => StopReason::CallEnded,
        "stopped" => StopReason::Stopped,
        _ => StopReason::Unknown,
    };
    Inbound::Stop { reason }
}

fn sequence(message: &Map<String, Value>) -> Option<u64> {
    text_of(&[message], &["sequence_number", "sequenceNumber"]).and_then(|text| leading_number(&text))
}

fn leading_number(text: &str) -> Option<u64> {
    let trimmed = text.trim();
    trimmed[..trimmed.bytes().take_while(u8::is_ascii_digit).count()].parse().ok()
}

/// The first of `keys` that one of `objects` has with a usable value.
fn text_of(objects: &[&Map<String, Value>], keys: &[&str]) -> Option<String> {
    objects.iter().find_map(|object| keys.iter().find_map(|key| object.get(*key).and_then(scalar)))
}

fn id(objects: &[&Map<String, Value>], keys: &[&str], name: &'static str) -> Result<Option<String>, WireError> {
    match text_of(objects, keys) {
        Some(text) if text.len() > ID_BYTES_MAX || text.chars().any(char::is_control) => Err(WireError::BadField(name)),
        other => Ok(other),
    }
}

fn scalar(value: &Value) -> Option<String> {
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

/// Reads 16-bit audio; `pcm` is emptied first.
///
/// # Errors
/// See [`pcm::decode`].
pub fn decode_pcm(payload_base64: &str, pcm: &mut Vec<i16>) -> Result<(), WireError> {
    pcm::decode(payload_base64, Encoding::Pcm16, pcm)
}

/// Writes a media message. Filled with silence to the frame rule's grid; `out` is emptied first. Sequence, chunk and
/// timestamp are optional for Exotel, but some of its streams are said to end early without them.
///
/// # Errors
/// [`WireError::FrameTooLarge`]; `out` is then empty.
pub fn encode_media(
    stream_id: &str,
    sequence: u64,
    chunk: u64,
    timestamp_ms: u64,
    pcm: &[i16],
    out: &mut String,
) -> Result<(), WireError> {
    out.clear();
    let bytes = pcm.len() * 2;
    let padded = FRAME_RULE.padded_bytes(bytes);
    if padded > FRAME_RULE.frame_bytes_max {
        return Err(WireError::FrameTooLarge { bytes: padded, limit: FRAME_RULE.frame_bytes_max });
    }
    begin("media", Some(sequence), stream_id, out);
    write!(out, ",\"media\":{{\"chunk\":\"{chunk}\",\"timestamp\":\"{timestamp_ms}\",\"payload\":\"")
        .expect("writing to a String does not fail");
    pcm::encode_into(pcm, padded - bytes, out);
    out.push_str("\"}}");
    Ok(())
}

/// Writes a mark; `out` is emptied first.
pub fn encode_mark(stream_id: &str, sequence: u64, name: &str, out: &mut String) {
    out.clear();
    begin("mark", Some(sequence), stream_id, out);
    out.push_str(",\"mark\":{\"name\":");
    push_json_string(name, out);
    out.push_str("}}");
}

/// Writes a clear; `out` is emptied first. Drops what Exotel has not played yet.
pub fn encode_clear(stream_id: &str, out: &mut String) {
    out.clear();
    begin("clear", None, stream_id, out);
    out.push('}');
}

/// The key is `stream_sid`; `streamSid` is another carrier's.
fn begin(event: &str, sequence: Option<u64>, stream_id: &str, out: &mut String) {
    out.push_str("{\"event\":\"");
    out.push_str(event);
    out.push('"');
    if let Some(sequence) = sequence {
        write!(out, ",\"sequence_number\":\"{sequence}\"").expect("writing to a String does not fail");
    }
    out.push_str(",\"stream_sid\":");
    push_json_string(stream_id, out);
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
