//! What a file is by its content, whatever its name and type say, and whether all of it can be decoded.
//!
//! MP3 by symphonia; a WAV of plain samples cannot fail to decode, so that its chunks are all there is to check. Sources:
//! mpgedit.org/mpgedit/mpeg_format/mpeghdr.htm (frames), id3.org/id3v2.4.0-structure (tags),
//! learn.microsoft.com/windows/win32/multimedia (RIFF chunks), RFC 2361 (codings in WAV).

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use symphonia_bundle_mp3::{MpaDecoder, MpaReader};
use symphonia_core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia_core::errors::Error;
use symphonia_core::formats::{FormatOptions, FormatReader};
use symphonia_core::io::{MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource};

/// So much of the beginning tells what it is.
pub(super) const MAGIC_BYTES: usize = 12;
/// More channels than this no telephone call has.
const CHANNELS_MAX: u32 = 8;
/// Sample rates of recordings that make sense, Hz.
const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// So many frames in a hundred may be undecodable: one damaged second in a call of some minutes is still a recording.
const BAD_FRAMES_PERCENT_MAX: u64 = 5;
/// And so many always: a file that begins in the middle of a stream lacks what its first frames refer to.
const BAD_FRAMES_FREE: u64 = 3;
/// So much in a hundred of an MP3 may be something else than frames (tags behind them, padding).
const OTHER_BYTES_PERCENT_MAX: u64 = 10;
/// And so much always: tags of a short recording.
const OTHER_BYTES_FREE: u64 = 8 * 1024;
/// A file that says how long it is may be so much shorter, in a hundred: encoders count their own delay in or not.
const SHORTER_PERCENT_MAX: u64 = 2;
/// No recording is longer, s: the longest call and ten minutes of what stands around it (ringing, menus, music). Silence
/// packs so small that a file within its limit of bytes could hold days of it.
const LONGEST_S: u64 = model::limits::CALL_DURATION_S_MAX + 600;
/// Chunks of a WAV that are looked through for its samples.
const CHUNKS_MAX: usize = 64;

/// What a recording is coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioFormat {
    /// MPEG audio, layer 3.
    Mp3,
    /// RIFF WAVE.
    Wav,
}

impl AudioFormat {
    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
        }
    }

    /// How the names of its files end.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
        }
    }
}

/// What was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Channels: 1, or 2 when the carrier records each side on its own.
    pub channels: u32,
    /// Samples a second of each channel.
    pub sample_rate_hz: u32,
    /// Length of what could be decoded, ms.
    pub duration_ms: u64,
    /// It says of itself that it is longer than this. The rest is still to come, or is lost, or it says so wrongly.
    pub is_cut_short: bool,
}

/// What a file is instead of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAudio {
    /// A page for people: often the carrier's login.
    #[error("it is a web page")]
    Html,
    /// An error in XML, or another document.
    #[error("it is an XML document")]
    Xml,
    /// An error in JSON.
    #[error("it is a JSON document")]
    Json,
    /// Something else.
    #[error("it is neither MP3 nor WAV")]
    Unknown,
    /// It begins like a recording, and most of it is none.
    #[error("it begins like a recording and cannot be decoded")]
    Undecodable,
    /// A WAV whose samples are coded in a way that is not read here.
    #[error("it is a WAV of coding {0}, which is not known here")]
    Coding(u16),
    /// It is longer than any call.
    #[error("it is longer than any call")]
    TooLong,
}

/// Why a file cannot be measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("{0}")]
    NotAudio(NotAudio),
    #[error("it is cut short")]
    Truncated,
    #[error("it cannot be read: {0}")]
    Disk(std::io::Error),
    #[error("nobody waits for it any more")]
    Dropped,
}

impl From<std::io::Error> for Unusable {
    fn from(error: std::io::Error) -> Self {
        // The file ends in the middle of what it promised.
        if error.kind() == std::io::ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Disk(error) }
    }
}

/// What a file is by its first [`MAGIC_BYTES`] (fewer when it has not more).
pub(super) fn recognise(beginning: &[u8]) -> Result<AudioFormat, NotAudio> {
    if beginning.starts_with(b"RIFF") && beginning.get(8..12) == Some(b"WAVE") {
        return Ok(AudioFormat::Wav);
    }
    if beginning.starts_with(b"ID3") || is_layer_3(beginning) {
        return Ok(AudioFormat::Mp3);
    }
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start().to_ascii_lowercase();
    Err(match text.as_slice() {
        text if text.starts_with(b"<!doctype") || text.starts_with(b"<html") || text.starts_with(b"<head") => {
            NotAudio::Html
        }
        [b'<', ..] => NotAudio::Xml,
        [b'{' | b'[', ..] => NotAudio::Json,
        _ => NotAudio::Unknown,
    })
}

/// The header of a frame: sync, a version, layer 3, a bit rate and a sample rate that exist.
fn is_layer_3(bytes: &[u8]) -> bool {
    let &[first, second, third, ..] = bytes else { return false };
    let (version, layer, bit_rate, sample_rate) = ((second >> 3) & 3, (second >> 1) & 3, third >> 4, (third >> 2) & 3);
    first == 0xff && second & 0xe0 == 0xe0 && version != 1 && layer == 1 && bit_rate != 15 && sample_rate != 3
}

/// Decodes all of it, until `is_dropped`. Computes for seconds: not for an asynchronous thread.
pub(super) fn measure(path: &Path, format: AudioFormat, is_dropped: &AtomicBool) -> Result<Measured, Unusable> {
    let mut file = BufReader::new(File::open(path)?);
    let measured = match format {
        AudioFormat::Mp3 => measure_mp3(file, is_dropped)?,
        AudioFormat::Wav => measure_wav(&mut file)?,
    };
    let sensible = (1..=CHANNELS_MAX).contains(&measured.channels) && RATES_HZ.contains(&measured.sample_rate_hz);
    match measured.duration_ms {
        _ if !sensible => Err(Unusable::NotAudio(NotAudio::Undecodable)),
        0 if measured.is_cut_short => Err(Unusable::Truncated),
        0 => Err(Unusable::NotAudio(NotAudio::Undecodable)),
        ms if ms > LONGEST_S * 1_000 => Err(Unusable::NotAudio(NotAudio::TooLong)),
        _ => Ok(measured),
    }
}

fn measure_mp3(mut file: BufReader<File>, is_dropped: &AtomicBool) -> Result<Measured, Unusable> {
    let undecodable = |_| Unusable::NotAudio(NotAudio::Undecodable);
    let all_bytes = file.get_ref().metadata()?.len();
    let frames_at = skip_id3(&mut file)?;
    let stream = MediaSourceStream::new(Box::new(ReadOnlySource::new(file)), MediaSourceStreamOptions::default());
    let mut reader = MpaReader::try_new(stream, FormatOptions::default()).map_err(undecodable)?;
    let track = reader.tracks().first().ok_or(Unusable::NotAudio(NotAudio::Undecodable))?;
    let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
    let parameters = parameters.ok_or(Unusable::NotAudio(NotAudio::Undecodable))?.clone();
    // The source cannot seek, so that this is what the file says of itself and no guess.
    let declared = track.num_frames;
    let rate = parameters.sample_rate.filter(|rate| *rate > 0).ok_or(Unusable::NotAudio(NotAudio::Undecodable))?;
    let mut decoder = MpaDecoder::try_new(&parameters, &AudioDecoderOptions::default()).map_err(undecodable)?;
    let (mut samples, mut frames, mut bad, mut frame_bytes) = (0u64, 0u64, 0u64, 0u64);
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(Error::IoError(error)) => return Err(error.into()),
            Err(_) => return Err(Unusable::NotAudio(NotAudio::Undecodable)),
        };
        if is_dropped.load(Ordering::Relaxed) {
            return Err(Unusable::Dropped);
        }
        if samples > LONGEST_S * u64::from(rate) {
            return Err(Unusable::NotAudio(NotAudio::TooLong));
        }
        frames += 1;
        frame_bytes += packet.data.len() as u64;
        match decoder.decode(&packet) {
            Ok(decoded) => samples += decoded.frames() as u64,
            Err(_) => bad += 1,
        }
    }
    let other_bytes = all_bytes.saturating_sub(frames_at + frame_bytes);
    if bad > BAD_FRAMES_FREE + frames * BAD_FRAMES_PERCENT_MAX / 100
        || other_bytes > OTHER_BYTES_FREE + all_bytes * OTHER_BYTES_PERCENT_MAX / 100
    {
        return Err(Unusable::NotAudio(NotAudio::Undecodable));
    }
    let whole_s = u64::from(rate);
    let is_cut_short =
        declared.is_some_and(|declared| samples + whole_s + declared * SHORTER_PERCENT_MAX / 100 < declared);
    let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
    Ok(Measured {
        channels: u32::try_from(channels).unwrap_or(u32::MAX),
        sample_rate_hz: rate,
        duration_ms: samples.saturating_mul(1_000) / u64::from(rate),
        is_cut_short,
    })
}

/// Goes to the first byte behind the tag at the beginning, if there is one; where that is.
fn skip_id3(file: &mut BufReader<File>) -> Result<u64, Unusable> {
    let mut header = [0u8; 10];
    file.read_exact(&mut header)?;
    let behind = if header.starts_with(b"ID3") {
        // Seven bits of each byte, so that no tag looks like a frame.
        let size = header[6..].iter().fold(0u64, |size, byte| (size << 7) | u64::from(byte & 0x7f));
        let footer = if header[5] & 0x10 == 0 { 0 } else { 10 };
        10 + size + footer
    } else {
        0
    };
    file.seek(SeekFrom::Start(behind))?;
    Ok(behind)
}

/// How the samples of a WAV are coded.
struct Coding {
    channels: u16,
    rate_hz: u32,
    /// Bytes of one moment, all channels.
    block_bytes: u64,
}

fn measure_wav(file: &mut BufReader<File>) -> Result<Measured, Unusable> {
    let all_bytes = file.get_ref().metadata()?.len();
    let mut coding = None;
    let mut at = 12;
    for _ in 0..CHUNKS_MAX {
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0u8; 8];
        file.read_exact(&mut header)?;
        let [name @ .., s0, s1, s2, s3] = header;
        let size = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        match &name {
            b"fmt " => coding = Some(read_coding(file, size)?),
            b"data" => {
                let coding = coding.ok_or(Unusable::NotAudio(NotAudio::Undecodable))?;
                return Ok(measure_samples(&coding, size, all_bytes - (at + 8)));
            }
            _ => {}
        }
        // Chunks are padded to an even length.
        at += 8 + size + (size & 1);
        if at >= all_bytes {
            return Err(Unusable::Truncated);
        }
    }
    Err(Unusable::NotAudio(NotAudio::Undecodable))
}

fn read_coding(file: &mut BufReader<File>, size: u64) -> Result<Coding, Unusable> {
    let mut fields = [0u8; 26];
    let known = usize::try_from(size).unwrap_or(usize::MAX).min(fields.len());
    file.read_exact(&mut fields[..known])?;
    let short = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    // Extensible: the coding stands at the beginning of the identifier that follows.
    let tag = if short(0) == 0xfffe { short(24) } else { short(0) };
    let (channels, block_bytes, bits) = (short(2), short(12), short(14));
    let rate_hz = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
    match (tag, bits) {
        // Whole numbers, floating point, A-law, µ-law.
        (1, 8 | 16 | 24 | 32) | (3, 32 | 64) | (6 | 7, 8) => {}
        (tag, _) => return Err(Unusable::NotAudio(NotAudio::Coding(tag))),
    }
    if u64::from(block_bytes) != u64::from(channels) * u64::from(bits / 8) || block_bytes == 0 || rate_hz == 0 {
        return Err(Unusable::NotAudio(NotAudio::Undecodable));
    }
    Ok(Coding { channels, rate_hz, block_bytes: block_bytes.into() })
}

/// `declared` is what the file says it has, `there` what follows, in bytes. Who writes while recording says 0 or the
/// largest number, and means all that follows.
fn measure_samples(coding: &Coding, declared: u64, there: u64) -> Measured {
    let open_ended = declared == 0 || declared >= u64::from(u32::MAX) - 64;
    let is_cut_short = !open_ended && there + coding.block_bytes <= declared;
    let bytes = if open_ended { there } else { declared.min(there) };
    let samples = bytes / coding.block_bytes;
    Measured {
        channels: coding.channels.into(),
        sample_rate_hz: coding.rate_hz,
        duration_ms: samples.saturating_mul(1_000) / u64::from(coding.rate_hz),
        is_cut_short,
    }
}

#[cfg(test)]
mod tests;
