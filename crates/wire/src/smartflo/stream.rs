//! The Voice Bot socket: JSON text frames, μ-law at 8000 Hz in base64, every 100 ms
//! (docs.smartflo.tatatelebusiness.com/docs/bi-directional-audio-streaming-integration-document). Twilio's names, with
//! numbers in the start and a reason in the stop.

use crate::WireError;
use crate::carrier::{AudioFrame, CarrierMessage, FrameRule, StopReason, StreamStart};
use crate::frame::{self, custom_parameters, id, leading_number, push_json_string, text_of};
use crate::pcm::{self, Encoding};
use model::{CallDirection, E164};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Outgoing frames: 100 ms of μ-law, a multiple of 160 bytes (otherwise Smartflo plays gaps). The largest is our own
/// limit, 2 s.
pub const FRAME_RULE: FrameRule =
    FrameRule { encoding: Encoding::Mulaw, multiple_of_bytes: 160, frame_bytes_max: 16_000, frame_ms: 100 };

/// A message from Smartflo.
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
    },
    /// A mark of ours was reached in playback. Whether those that we cleared come back is not documented.
    Mark {
        /// Its name.
        name: Cow<'a, str>,
    },
    /// The stream is over.
    Stop {
        /// Why.
        reason: StopReason,
    },
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
    /// The call.
    pub call_id: Option<String>,
    /// The account.
    pub account_id: Option<String>,
    /// The caller.
    pub from: Option<E164>,
    /// The number called.
    pub to: Option<E164>,
    /// Who placed the call.
    pub direction: Option<CallDirection>,
    /// Passed on with the stream.
    pub custom_parameters: BTreeMap<String, String>,
    /// 8000, when said.
    pub sample_rate_hz: Option<u32>,
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
                encoding: Encoding::Mulaw,
            }),
            Inbound::Media(media) => Self::Audio(AudioFrame {
                payload_base64: media.payload_base64,
                timestamp_ms: media.timestamp_ms,
                chunk: media.chunk,
            }),
            Inbound::Dtmf { digit } => Self::Dtmf { digit, duration_ms: None },
            Inbound::Mark { name } => Self::Played { mark: name },
            Inbound::Stop { reason } => Self::Stopped { reason },
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
        "media" => decode_media(text, event),
        "connected" => Ok(Inbound::Connected),
        "start" => decode_start(&frame::object(text)?),
        "dtmf" => frame::dtmf(&frame::object(text)?).map(|(digit, _)| Inbound::Dtmf { digit }),
        "mark" => frame::mark_name(&frame::object(text)?).map(|name| Inbound::Mark { name: Cow::Owned(name) }),
        "stop" => Ok(Inbound::Stop { reason: stop_reason(&frame::stop_word(&frame::object(text)?)) }),
        _ => Ok(Inbound::Ignored { event }),
    }
}

fn decode_media<'a>(text: &'a str, event: Cow<'a, str>) -> Result<Inbound<'a>, WireError> {
    let media = frame::media(text)?;
    if media.is_outbound {
        return Ok(Inbound::Ignored { event });
    }
    let frame::MediaFields { payload_base64, timestamp_ms, chunk, sequence, .. } = media;
    Ok(Inbound::Media(Media { payload_base64, timestamp_ms, chunk, sequence }))
}

fn decode_start(message: &Map<String, Value>) -> Result<Inbound<'static>, WireError> {
    let empty = Map::new();
    let body = message.get("start").and_then(Value::as_object).unwrap_or(&empty);
    let (sample_rate_hz, _) = frame::mulaw_only(body)?;
    // The documents put the numbers in the start in one place and beside it in another.
    let number = |key| text_of(&[body, message], &[key]).and_then(|text| E164::parse(&text).ok());
    Ok(Inbound::Start(Start {
        stream_id: id(&[body, message], &["streamSid"], "streamSid")?.ok_or(WireError::MissingField("streamSid"))?,
        call_id: id(&[body], &["callSid"], "callSid")?,
        account_id: id(&[body], &["accountSid"], "accountSid")?,
        from: number("from"),
        to: number("to"),
        direction: text_of(&[body, message], &["direction"]).and_then(|word| direction(&word)),
        custom_parameters: custom_parameters(body.get("customParameters")),
        sample_rate_hz,
        sequence: text_of(&[message], &["sequenceNumber"]).and_then(|text| leading_number(&text)),
    }))
}

/// `inbound`, `outbound`, in any case.
fn direction(word: &str) -> Option<CallDirection> {
    match word.to_ascii_lowercase().as_str() {
        "inbound" | "incoming" => Some(CallDirection::Incoming),
        "outbound" | "outgoing" => Some(CallDirection::Outgoing),
        _ => None,
    }
}

/// The words are not documented; these are what its relatives say.
fn stop_reason(word: &str) -> StopReason {
    match word {
        "callended" | "callhangup" | "hangup" | "callerhangup" => StopReason::CallEnded,
        "stopped" | "streamstopped" => StopReason::Stopped,
        _ => StopReason::Unknown,
    }
}

/// Writes a media message: μ-law, filled with silence to the frame rule's grid. `out` is emptied first.
///
/// # Errors
/// [`WireError::FrameTooLarge`]; `out` is then empty.
pub fn encode_media(stream_id: &str, chunk: u64, pcm: &[i16], out: &mut String) -> Result<(), WireError> {
    out.clear();
    let padding_bytes = FRAME_RULE.padding_bytes(pcm.len())?;
    begin("media", stream_id, out);
    write!(out, ",\"media\":{{\"chunk\":\"{chunk}\",\"payload\":\"").expect("writing to a String does not fail");
    pcm::encode_into(pcm, FRAME_RULE.encoding, padding_bytes, out);
    out.push_str("\"}}");
    Ok(())
}

/// Writes a mark; `out` is emptied first.
pub fn encode_mark(stream_id: &str, name: &str, out: &mut String) {
    out.clear();
    begin("mark", stream_id, out);
    out.push_str(",\"mark\":{\"name\":");
    push_json_string(name, out);
    out.push_str("}}");
}

/// Writes a clear; `out` is emptied first. Drops what Smartflo has not played yet.
pub fn encode_clear(stream_id: &str, out: &mut String) {
    out.clear();
    begin("clear", stream_id, out);
    out.push('}');
}

fn begin(event: &str, stream_id: &str, out: &mut String) {
    out.push_str("{\"event\":\"");
    out.push_str(event);
    out.push_str("\",\"streamSid\":");
    push_json_string(stream_id, out);
}
