//! One shape for all carriers: what the switchboard sees of a media stream. One file per carrier maps into it, so a
//! new carrier is a new file and one line in each `match` here.

use crate::pcm::{self, Encoding};
use crate::{WireError, exotel, plivo, smartflo, twilio};
use model::{CarrierKind, E164};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A message of the carrier's media stream.
#[derive(Clone, Debug, PartialEq)]
pub enum CarrierMessage<'a> {
    /// The socket is up; nothing is known of the call yet.
    Connected,
    /// The stream of a call begins.
    Start(StreamStart),
    /// A piece of the caller's speech.
    Audio(AudioFrame<'a>),
    /// The caller pressed a key.
    Dtmf {
        /// `0`–`9`, `*`, `#`, `A`–`D`.
        digit: char,
        /// How long, when the carrier says so.
        duration_ms: Option<u32>,
    },
    /// All audio sent before this mark has been played to the caller.
    Played {
        /// The name we gave it.
        mark: Cow<'a, str>,
    },
    /// The stream is over.
    Stopped {
        /// Why.
        reason: StopReason,
    },
    /// The carrier forgot the audio it had not played; so should we.
    Flush,
    /// Something we do not use. Never an error: carriers add events.
    Ignored,
}

/// How a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStart {
    /// The carrier's name of the stream; our messages repeat it.
    pub stream_id: String,
    /// The carrier's name of the call, opaque.
    pub call_id: Option<String>,
    /// The carrier's name of the customer.
    pub account_id: Option<String>,
    /// Who calls, unless withheld or unreadable.
    pub from: Option<E164>,
    /// The number called, unless unreadable.
    pub to: Option<E164>,
    /// What our own URL or markup asked to be passed on.
    pub custom_parameters: BTreeMap<String, String>,
    /// Samples per second, when the message says one that the carrier has.
    pub sample_rate_hz: Option<u32>,
    /// How audio is coded.
    pub encoding: Encoding,
}

/// A piece of audio, still coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame<'a> {
    /// The audio in base64.
    pub payload_base64: Cow<'a, str>,
    /// Time since the stream began, as the carrier counts.
    pub timestamp_ms: Option<u64>,
    /// Number of the frame, as the carrier counts; a jump is a loss.
    pub chunk: Option<u64>,
}

impl AudioFrame<'_> {
    /// Decodes into `pcm`, which is emptied first.
    ///
    /// # Errors
    /// See [`pcm::decode`].
    pub fn decode(&self, encoding: Encoding, pcm: &mut Vec<i16>) -> Result<(), WireError> {
        pcm::decode(&self.payload_base64, encoding, pcm)
    }
}

/// Why a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The caller hung up.
    CallEnded,
    /// The carrier ended the stream; the call may go on elsewhere.
    Stopped,
    /// Not said, or a word we do not know.
    Unknown,
}

/// What a carrier accepts as one frame of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRule {
    /// How the audio that we send is coded. All bytes here are bytes of this, before base64.
    pub encoding: Encoding,
    /// A frame's bytes must be a multiple of this; shorter frames are filled with silence.
    pub multiple_of_bytes: usize,
    /// Larger frames are refused.
    pub frame_bytes_max: usize,
    /// The length we send.
    pub frame_ms: u32,
}

impl FrameRule {
    /// Bytes of one frame of mono audio of our usual length, on the rule's grid.
    #[must_use]
    pub const fn frame_bytes(self, sample_rate_hz: u32) -> usize {
        let samples = (sample_rate_hz as u64 * self.frame_ms as u64 / 1000) as usize;
        self.padded_bytes(samples * self.encoding.sample_bytes())
    }

    /// Samples of one such frame.
    #[must_use]
    pub const fn frame_samples(self, sample_rate_hz: u32) -> usize {
        self.frame_bytes(sample_rate_hz) / self.encoding.sample_bytes()
    }

    /// The grid in samples: a frame has a multiple of as many.
    #[must_use]
    pub const fn multiple_samples(self) -> usize {
        self.multiple_of_bytes / self.encoding.sample_bytes()
    }

    /// The silence that a frame of `samples` needs at its end, in bytes.
    ///
    /// # Errors
    /// [`WireError::FrameTooLarge`] when the frame is larger than the carrier takes.
    pub const fn padding_bytes(self, samples: usize) -> Result<usize, WireError> {
        let bytes = samples * self.encoding.sample_bytes();
        let padded = self.padded_bytes(bytes);
        if padded > self.frame_bytes_max {
            return Err(WireError::FrameTooLarge { bytes: padded, limit: self.frame_bytes_max });
        }
        Ok(padded - bytes)
    }

    /// `bytes` rounded up to the grid.
    #[must_use]
    pub const fn padded_bytes(self, bytes: usize) -> usize {
        bytes.div_ceil(self.multiple_of_bytes) * self.multiple_of_bytes
    }
}

/// The frame rule of a carrier.
#[must_use]
pub const fn frame_rule(carrier: CarrierKind) -> FrameRule {
    match carrier {
        CarrierKind::Exotel => exotel::stream::FRAME_RULE,
        CarrierKind::Twilio => twilio::stream::FRAME_RULE,
        CarrierKind::Plivo | CarrierKind::Vobiz => plivo::stream::FRAME_RULE,
        CarrierKind::Smartflo => smartflo::stream::FRAME_RULE,
    }
}

/// Reads one text frame of a carrier's media socket.
///
/// # Errors
/// [`WireError`] when it is not a message of this carrier.
pub fn decode(carrier: CarrierKind, text: &str) -> Result<CarrierMessage<'_>, WireError> {
    match carrier {
        CarrierKind::Exotel => exotel::stream::decode(text).map(CarrierMessage::from),
        CarrierKind::Twilio => twilio::stream::decode(text).map(CarrierMessage::from),
        CarrierKind::Plivo | CarrierKind::Vobiz => plivo::stream::decode(text).map(CarrierMessage::from),
        CarrierKind::Smartflo => smartflo::stream::decode(text).map(CarrierMessage::from),
    }
}

/// Writes our messages for one stream, and counts them. The text buffer is the caller's, emptied and reused.
#[derive(Clone, Debug)]
pub struct Encoder {
    carrier: CarrierKind,
    stream_id: String,
    sample_rate_hz: u32,
    sequence: u64,
    chunk: u64,
    samples_sent: u64,
}

impl Encoder {
    /// For the stream that the start message named.
    #[must_use]
    pub fn new(carrier: CarrierKind, stream_id: &str, sample_rate_hz: u32) -> Self {
        Self { carrier, stream_id: stream_id.to_owned(), sample_rate_hz, sequence: 0, chunk: 0, samples_sent: 0 }
    }

    /// A frame of audio at the stream's rate, coded and filled with silence as the carrier's [`frame_rule`] says.
    ///
    /// # Errors
    /// [`WireError::FrameTooLarge`].
    pub fn audio(&mut self, pcm: &[i16], out: &mut String) -> Result<(), WireError> {
        let timestamp_ms = self.samples_sent * 1000 / u64::from(self.sample_rate_hz.max(1));
        let (sequence, chunk) = (self.sequence + 1, self.chunk + 1);
        match self.carrier {
            CarrierKind::Exotel => {
                exotel::stream::encode_media(&self.stream_id, sequence, chunk, timestamp_ms, pcm, out)?;
            }
            CarrierKind::Twilio => twilio::stream::encode_media(&self.stream_id, pcm, out)?,
            CarrierKind::Plivo | CarrierKind::Vobiz => plivo::stream::encode_media(&self.stream_id, pcm, out)?,
            CarrierKind::Smartflo => smartflo::stream::encode_media(&self.stream_id, chunk, pcm, out)?,
        }
        (self.sequence, self.chunk) = (sequence, chunk);
        self.samples_sent += pcm.len() as u64;
        Ok(())
    }

    /// A mark: the carrier gives the name back when all audio before it has been played.
    pub fn mark(&mut self, name: &str, out: &mut String) {
        self.sequence += 1;
        match self.carrier {
            CarrierKind::Exotel => exotel::stream::encode_mark(&self.stream_id, self.sequence, name, out),
            CarrierKind::Twilio => twilio::stream::encode_mark(&self.stream_id, name, out),
            CarrierKind::Plivo | CarrierKind::Vobiz => plivo::stream::encode_checkpoint(&self.stream_id, name, out),
            CarrierKind::Smartflo => smartflo::stream::encode_mark(&self.stream_id, name, out),
        }
    }

    /// Forget what has not been played yet. The carrier may or may not give back the marks in it.
    pub fn clear(&mut self, out: &mut String) {
        self.sequence += 1;
        match self.carrier {
            CarrierKind::Exotel => exotel::stream::encode_clear(&self.stream_id, out),
            CarrierKind::Twilio => twilio::stream::encode_clear(&self.stream_id, out),
            CarrierKind::Plivo | CarrierKind::Vobiz => plivo::stream::encode_clear(&self.stream_id, out),
            CarrierKind::Smartflo => smartflo::stream::encode_clear(&self.stream_id, out),
        }
    }
}
