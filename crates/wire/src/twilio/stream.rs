//! The Media Streams socket of `<Connect><Stream>`: JSON text frames, μ-law at 8000 Hz in base64
//! (twilio.com/docs/voice/media-streams/websocket-messages).

use crate::WireError;
use crate::carrier::{AudioFrame, CarrierMessage, FrameRule, StopReason, StreamStart};
use crate::frame::{self, custom_parameters, id, leading_number, push_json_string, text_of};
use crate::pcm::{self, Encoding};
use model::E164;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Outgoing frames: 20 ms, 160 bytes of μ-law, as Twilio's own. It documents no largest one; this is our own limit, 2 s.
pub const FRAME_RULE: FrameRule =
    FrameRule { encoding: Encoding::Mulaw, multiple_of_bytes: 160, frame_bytes_max: 16_000, frame_ms: 20 };

/// A message from Twilio.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound<'a> {
    /// First message: names the protocol.
    Connected,
    /// Second message.
    Start(Start),
    /// A piece of the caller's speech.
    Media(Media<'a>),
    /// A key was pressed. Only in streams of `<Connect>`.
    Dtmf {
        /// The key.
        digit: char,
    },
    /// A mark of ours was reached in playback, or was pending when we cleared: Twilio gives those back at once.
    Mark {
        /// Its name.
        name: Cow<'a, str>,
    },
    /// The stream is over. Twilio says no reason: the caller hung up, or the call went on elsewhere.
    Stop,
    /// An event we do not know, or the track of what the caller hears.
    Ignored {
        /// Its name.
        event: Cow<'a, str>,
    },
}

/// The start message. It names no numbers; those are in the webhook, or in our own parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The stream, `MZ…`.
    pub stream_id: String,
    /// The call, `CA…`.
    pub call_id: Option<String>,
    /// The account, `AC…`.
    pub account_id: Option<String>,
    /// What the answer's `<Parameter>`s said.
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
            Inbound::Start(start) => {
                let number = |name: &str| start.custom_parameters.get(name).and_then(|text| E164::parse(text).ok());
                Self::Start(StreamStart {
                    from: number("from"),
                    to: number("to"),
                    stream_id: start.stream_id,
                    call_id: start.call_id,
                    account_id: start.account_id,
                    custom_parameters: start.custom_parameters,
                    sample_rate_hz: start.sample_rate_hz,
                    encoding: Encoding::Mulaw,
                })
            }
            Inbound::Media(media) => Self::Audio(AudioFrame {
                payload_base64: media.payload_base64,
                timestamp_ms: media.timestamp_ms,
                chunk: media.chunk,
            }),
            Inbound::Dtmf { digit } => Self::Dtmf { digit, duration_ms: None },
            Inbound::Mark { name } => Self::Played { mark: name },
            Inbound::Stop => Self::Stopped { reason: StopReason::Unknown },
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
        "stop" => Ok(Inbound::Stop),
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
    Ok(Inbound::Start(Start {
        stream_id: id(&[body, message], &["streamSid"], "streamSid")?.ok_or(WireError::MissingField("streamSid"))?,
        call_id: id(&[body], &["callSid"], "callSid")?,
        account_id: id(&[body], &["accountSid"], "accountSid")?,
        custom_parameters: custom_parameters(body.get("customParameters")),
        sample_rate_hz,
        sequence: text_of(&[message], &["sequenceNumber"]).and_then(|text| leading_number(&text)),
    }))
}

/// Writes a media message: μ-law, filled with silence to the frame rule's grid. `out` is emptied first.
///
/// # Errors
/// [`WireError::FrameTooLarge`]; `out` is then empty.
pub fn encode_media(stream_id: &str, pcm: &[i16], out: &mut String) -> Result<(), WireError> {
    out.clear();
    let padding_bytes = FRAME_RULE.padding_bytes(pcm.len())?;
    begin("media", stream_id, out);
    out.push_str(",\"media\":{\"payload\":\"");
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

/// Writes a clear; `out` is emptied first. Drops what Twilio has not played yet; the marks in it come back at once.
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
