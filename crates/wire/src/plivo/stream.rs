//! The Audio Streams socket of a bidirectional `<Stream>`: JSON text frames, μ-law at 8000 Hz in base64, as our answer
//! asks (plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference). There is no `connected`, and
//! no `stop` is documented: the socket closes.

use crate::WireError;
use crate::carrier::{AudioFrame, CarrierMessage, FrameRule, StopReason, StreamStart};
use crate::frame::{
    self, CUSTOM_PARAMETER_BYTES_MAX, CUSTOM_PARAMETERS_MAX, custom_parameters, id, leading_number, push_json_string,
    text_of,
};
use crate::pcm::{self, Encoding};
use model::E164;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Outgoing frames: 20 ms of μ-law, as Plivo's own. No grid is documented; the largest is our own limit, 2 s.
pub const FRAME_RULE: FrameRule =
    FrameRule { encoding: Encoding::Mulaw, multiple_of_bytes: 160, frame_bytes_max: 16_000, frame_ms: 20 };

/// A message from Plivo or Vobiz.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound<'a> {
    /// First message.
    Start(Start),
    /// A piece of the caller's speech.
    Media(Media<'a>),
    /// A key was pressed.
    Dtmf {
        /// The key.
        digit: char,
    },
    /// `playedStream`: a checkpoint of ours was reached in playback. Those that we cleared do not come back.
    Played {
        /// Its name.
        name: Cow<'a, str>,
    },
    /// `clearedAudio`: our clear was carried out. What we have sent since then is not meant.
    Cleared,
    /// The stream is over. Not documented, and seen.
    Stop,
    /// An event we do not know, or the track of what the caller hears.
    Ignored {
        /// Its name.
        event: Cow<'a, str>,
    },
}

/// The start message. It names no numbers; those are in the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The stream, a UUID.
    pub stream_id: String,
    /// The call, the webhooks' `CallUUID`.
    pub call_id: Option<String>,
    /// The account, `MA…`.
    pub account_id: Option<String>,
    /// `extra_headers`: what the answer's `extraHeaders` said.
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
    /// Unix time in milliseconds, unlike the other carriers'.
    pub sent_at_ms: Option<u64>,
    /// Number of the frame.
    pub chunk: Option<u64>,
    /// Number of the message.
    pub sequence: Option<u64>,
}

impl<'a> From<Inbound<'a>> for CarrierMessage<'a> {
    fn from(message: Inbound<'a>) -> Self {
        match message {
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
            // The time of day says nothing about when the stream began.
            Inbound::Media(media) => {
                Self::Audio(AudioFrame { payload_base64: media.payload_base64, timestamp_ms: None, chunk: media.chunk })
            }
            Inbound::Dtmf { digit } => Self::Dtmf { digit, duration_ms: None },
            Inbound::Played { name } => Self::Played { mark: name },
            Inbound::Stop => Self::Stopped { reason: StopReason::Unknown },
            Inbound::Cleared | Inbound::Ignored { .. } => Self::Ignored,
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
        "start" => decode_start(&frame::object(text)?),
        "dtmf" => frame::dtmf(&frame::object(text)?).map(|(digit, _)| Inbound::Dtmf { digit }),
        "playedStream" => {
            frame::mark_name(&frame::object(text)?).map(|name| Inbound::Played { name: Cow::Owned(name) })
        }
        "clearedAudio" => Ok(Inbound::Cleared),
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
    Ok(Inbound::Media(Media { payload_base64, sent_at_ms: timestamp_ms, chunk, sequence }))
}

fn decode_start(message: &Map<String, Value>) -> Result<Inbound<'static>, WireError> {
    let empty = Map::new();
    let body = message.get("start").and_then(Value::as_object).unwrap_or(&empty);
    let (sample_rate_hz, _) = frame::mulaw_only(body)?;
    Ok(Inbound::Start(Start {
        stream_id: id(&[body, message], &["streamId"], "streamId")?.ok_or(WireError::MissingField("streamId"))?,
        call_id: id(&[body], &["callId"], "callId")?,
        account_id: id(&[body], &["accountId"], "accountId")?,
        custom_parameters: ["extra_headers", "extraHeaders"]
            .iter()
            .find_map(|key| message.get(*key).or_else(|| body.get(*key)))
            .map_or_else(BTreeMap::new, extra_headers),
        sample_rate_hz,
        sequence: text_of(&[message], &["sequenceNumber"]).and_then(|text| leading_number(&text)),
    }))
}

/// `a=1;b=2` in the reference, `a=1,b=2` in the answer that asked for it; an object, or the text of one, in samples.
fn extra_headers(value: &Value) -> BTreeMap<String, String> {
    let Value::String(text) = value else { return custom_parameters(Some(value)) };
    if let Ok(object @ Value::Object(_)) = serde_json::from_str(text) {
        return custom_parameters(Some(&object));
    }
    text.split([';', ','])
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .filter(|(name, value)| !name.is_empty() && name.len().max(value.len()) <= CUSTOM_PARAMETER_BYTES_MAX)
        .take(CUSTOM_PARAMETERS_MAX)
        .collect()
}

/// Writes a `playAudio`: μ-law, filled with silence to the frame rule's grid. `out` is emptied first.
///
/// # Errors
/// [`WireError::FrameTooLarge`]; `out` is then empty.
pub fn encode_media(stream_id: &str, pcm: &[i16], out: &mut String) -> Result<(), WireError> {
    out.clear();
    let padding_bytes = FRAME_RULE.padding_bytes(pcm.len())?;
    begin("playAudio", stream_id, out);
    out.push_str(",\"media\":{\"contentType\":\"audio/x-mulaw\",\"sampleRate\":8000,\"payload\":\"");
    pcm::encode_into(pcm, FRAME_RULE.encoding, padding_bytes, out);
    out.push_str("\"}}");
    Ok(())
}

/// Writes a `checkpoint`, which is what others call a mark; `out` is emptied first.
pub fn encode_checkpoint(stream_id: &str, name: &str, out: &mut String) {
    out.clear();
    begin("checkpoint", stream_id, out);
    out.push_str(",\"name\":");
    push_json_string(name, out);
    out.push('}');
}

/// Writes a `clearAudio`; `out` is emptied first. Drops what Plivo has not played yet, and its checkpoints with it.
pub fn encode_clear(stream_id: &str, out: &mut String) {
    out.clear();
    begin("clearAudio", stream_id, out);
    out.push('}');
}

fn begin(event: &str, stream_id: &str, out: &mut String) {
    out.push_str("{\"event\":\"");
    out.push_str(event);
    out.push_str("\",\"streamId\":");
    push_json_string(stream_id, out);
}
