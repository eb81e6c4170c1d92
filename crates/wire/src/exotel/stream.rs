//! The Voicebot media socket: JSON text frames, audio in base64 (support article 3000108630; lenient where the
//! provider's pages, samples and captured traffic differ).

use crate::WireError;
use crate::carrier::{AudioFrame, CarrierMessage, FrameRule, StreamStart};
use crate::frame::{self, custom_parameters, id, leading_number, push_json_string, text_of};
use crate::pcm;
use model::E164;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub use crate::carrier::StopReason;
pub use crate::frame::{
    CUSTOM_PARAMETER_BYTES_MAX, CUSTOM_PARAMETERS_MAX, ID_BYTES_MAX, MARK_BYTES_MAX, MESSAGE_BYTES_MAX,
};
pub use crate::pcm::Encoding;

/// Outgoing frames: a multiple of 320 bytes (otherwise Exotel waits 20 ms: an audible gap), at most 100 000 (support
/// article 3000108630). Its minimum of "3.2k [100 ms]" is 100 ms at 16 kHz only; its own samples send 100 ms at every
/// rate: 1600, 3200, 4800 bytes.
pub const FRAME_RULE: FrameRule =
    FrameRule { encoding: Encoding::Pcm16, multiple_of_bytes: 320, frame_bytes_max: 100_000, frame_ms: 100 };
/// The rates a stream can have, chosen with `?sample-rate=` in the socket's URL.
pub const SAMPLE_RATES_HZ: [u32; 3] = [8_000, 16_000, 24_000];
/// The rate when nothing says otherwise.
pub const SAMPLE_RATE_DEFAULT_HZ: u32 = 8_000;

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

/// Reads one text frame.
///
/// # Errors
/// [`WireError`]; the text is never quoted in it.
pub fn decode(text: &str) -> Result<Inbound<'_>, WireError> {
    let event = frame::event(text)?;
    match event.as_ref() {
        "media" => decode_media(text),
        "connected" => Ok(Inbound::Connected),
        "clear" => Ok(Inbound::Clear),
        "start" => decode_start(&frame::object(text)?),
        "dtmf" => frame::dtmf(&frame::object(text)?).map(|(digit, duration_ms)| Inbound::Dtmf { digit, duration_ms }),
        "mark" => frame::mark_name(&frame::object(text)?).map(|name| Inbound::Mark { name: Cow::Owned(name) }),
        "stop" => Ok(decode_stop(&frame::object(text)?)),
        _ => Ok(Inbound::Ignored { event }),
    }
}

fn decode_media(text: &str) -> Result<Inbound<'_>, WireError> {
    let frame::MediaFields { payload_base64, timestamp_ms, chunk, sequence, .. } = frame::media(text)?;
    Ok(Inbound::Media(Media { payload_base64, timestamp_ms, chunk, sequence }))
}

fn decode_start(message: &Map<String, Value>) -> Result<Inbound<'static>, WireError> {
    let empty = Map::new();
    let body = message.get("start").and_then(Value::as_object).unwrap_or(&empty);
    let stream_id = id(&[body, message], &["stream_sid", "streamSid", "stream_id", "streamId"], "stream_sid")?
        .ok_or(WireError::MissingField("stream_sid"))?;
    let format = ["media_format", "mediaFormat"].iter().find_map(|key| body.get(*key)).and_then(Value::as_object);
    let format_field = |keys: &[&str]| format.and_then(|format| text_of(&[format], keys));
    let encoding = format_field(&["encoding"]).unwrap_or_default();
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
        encoding: if frame::is_mulaw(&encoding) { Encoding::Mulaw } else { Encoding::Pcm16 },
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

fn decode_stop(message: &Map<String, Value>) -> Inbound<'static> {
    let reason = match frame::stop_word(message).as_str() {
        "callended" => StopReason::CallEnded,
        "stopped" => StopReason::Stopped,
        _ => StopReason::Unknown,
    };
    Inbound::Stop { reason }
}

fn sequence(message: &Map<String, Value>) -> Option<u64> {
    text_of(&[message], &["sequence_number", "sequenceNumber"]).and_then(|text| leading_number(&text))
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
    pcm::encode_into(pcm, Encoding::Pcm16, padded - bytes, out);
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
