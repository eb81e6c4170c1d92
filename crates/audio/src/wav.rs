//! WAV with 16-bit PCM: the header of a recording that is still being written, its repair after a crash, and reading.
//!
//! Source: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF), and
//! `WAVEFORMATEXTENSIBLE` for files that use it.

/// Bytes of the header that [`header`] writes.
pub const HEADER_BYTES: usize = 44;
/// Most channels read.
pub const CHANNELS_MAX: u16 = 8;
/// Most data a header can speak of: the RIFF size is 32 bits and counts 36 bytes of header.
pub const DATA_BYTES_MAX: u64 = u32::MAX as u64 - 36;

const FORMAT_PCM: u16 = 1;
const FORMAT_EXTENSIBLE: u16 = 0xFFFE;
const SAMPLE_BYTES: u16 = 2;

/// A file read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    /// Samples a second of each channel.
    pub rate: u32,
    /// 1..=[`CHANNELS_MAX`].
    pub channels: u16,
    /// Interleaved; always whole frames of all channels.
    pub samples: Vec<i16>,
}

/// Why a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// No RIFF/WAVE at the start.
    #[error("not a WAV file")]
    NotWav,
    /// No format before the data, or one too short.
    #[error("WAV file without a format")]
    NoFormat,
    /// The format is not 16-bit PCM.
    #[error("WAV format {format:#06x} with {bits} bits is not 16-bit PCM")]
    NotPcm16 {
        /// Format tag.
        format: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// Zero or too many channels, or a rate of zero.
    #[error("WAV file with {channels} channels at {rate} Hz")]
    Layout {
        /// Channels named.
        channels: u16,
        /// Rate named.
        rate: u32,
    },
    /// No data chunk.
    #[error("WAV file without data")]
    NoData,
}

/// The header of a 16-bit PCM file. `data_bytes` 0 while it is being written; held to [`DATA_BYTES_MAX`].
pub fn header(sample_rate: u32, channels: u16, data_bytes: u64) -> [u8; HEADER_BYTES] {
    let data_bytes = data_bytes.min(DATA_BYTES_MAX) as u32;
    let frame_bytes = channels.saturating_mul(SAMPLE_BYTES);
    let mut h = [0; HEADER_BYTES];
    h[0..4].copy_from_slice(b"RIFF");
    h[4..8].copy_from_slice(&(data_bytes + 36).to_le_bytes());
    h[8..16].copy_from_slice(b"WAVEfmt ");
    h[16..20].copy_from_slice(&16_u32.to_le_bytes());
    h[20..22].copy_from_slice(&FORMAT_PCM.to_le_bytes());
    h[22..24].copy_from_slice(&channels.to_le_bytes());
    h[24..28].copy_from_slice(&sample_rate.to_le_bytes());
    h[28..32].copy_from_slice(&sample_rate.saturating_mul(u32::from(frame_bytes)).to_le_bytes());
    h[32..34].copy_from_slice(&frame_bytes.to_le_bytes());
    h[34..36].copy_from_slice(&(SAMPLE_BYTES * 8).to_le_bytes());
    h[36..40].copy_from_slice(b"data");
    h[40..44].copy_from_slice(&data_bytes.to_le_bytes());
    h
}

/// The header a file written with [`header`] must have now that it is `file_bytes` long, header included: whole frames
/// only. Write it over the first [`HEADER_BYTES`].
///
/// # Errors
/// The bytes are no header of ours.
pub fn repair_header(old: &[u8; HEADER_BYTES], file_bytes: u64) -> Result<[u8; HEADER_BYTES], WavError> {
    let format = match next_chunk(old, 12).filter(|_| is_wave(old)) {
        Some(chunk) if chunk.id == *b"fmt " && old[36..40] == *b"data" => parse_format(chunk.body)?,
        Some(_) | None => return Err(WavError::NotWav),
    };
    let data_bytes = file_bytes.saturating_sub(HEADER_BYTES as u64).min(DATA_BYTES_MAX);
    let frame_bytes = u64::from(format.channels * SAMPLE_BYTES);
    Ok(header(format.rate, format.channels, data_bytes - data_bytes % frame_bytes))
}

/// Reads a whole file: any chunks before the data are passed over, and data whose size is wrong, as in a file that was
/// never closed, is read to the end.
///
/// # Errors
/// See [`WavError`].
pub fn read(bytes: &[u8]) -> Result<Wav, WavError> {
    if !is_wave(bytes) {
        return Err(WavError::NotWav);
    }
    let mut format = None;
    let mut at = 12;
    while let Some(chunk) = next_chunk(bytes, at) {
        match &chunk.id {
            b"fmt " => format = Some(parse_format(chunk.body)?),
            b"data" => {
                let Format { rate, channels } = format.ok_or(WavError::NoFormat)?;
                let body = if chunk.size == 0 { &bytes[at + 8..] } else { chunk.body };
                let frames = body.chunks_exact(usize::from(channels * SAMPLE_BYTES));
                let samples =
                    frames.flat_map(|f| f.chunks_exact(2)).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
                return Ok(Wav { rate, channels, samples });
            }
            _ => {}
        }
        // Chunks begin at even places.
        at = at.saturating_add(8).saturating_add(chunk.size).saturating_add(chunk.size % 2);
    }
    Err(if format.is_some() { WavError::NoData } else { WavError::NoFormat })
}

struct Chunk<'a> {
    id: [u8; 4],
    /// As the file says.
    size: usize,
    /// As much of it as there is.
    body: &'a [u8],
}

struct Format {
    rate: u32,
    channels: u16,
}

fn is_wave(bytes: &[u8]) -> bool {
    bytes.len() >= 12 && bytes.starts_with(b"RIFF") && bytes[8..12] == *b"WAVE"
}

fn next_chunk(bytes: &[u8], at: usize) -> Option<Chunk<'_>> {
    let rest = bytes.get(at..)?;
    let (id, rest) = rest.split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    Some(Chunk { id: *id, size, body: &rest[..size.min(rest.len())] })
}

fn parse_format(body: &[u8]) -> Result<Format, WavError> {
    let word = |at: usize| body.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let (Some(tag), Some(channels), Some(rate_low), Some(rate_high), Some(bits)) =
        (word(0), word(2), word(4), word(6), word(14))
    else {
        return Err(WavError::NoFormat);
    };
    // An extensible format names the real one at the start of its GUID.
    let format = if tag == FORMAT_EXTENSIBLE { word(24).unwrap_or(tag) } else { tag };
    if format != FORMAT_PCM || bits != SAMPLE_BYTES * 8 {
        return Err(WavError::NotPcm16 { format, bits });
    }
    let rate = u32::from(rate_high) << 16 | u32::from(rate_low);
    if channels == 0 || channels > CHANNELS_MAX || rate == 0 {
        return Err(WavError::Layout { channels, rate });
    }
    Ok(Format { rate, channels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = header(rate, channels, samples.len() as u64 * 2).to_vec();
        bytes.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        for (rate, channels, samples) in
            [(8_000, 1, vec![1, -2, 3]), (24_000, 2, vec![1, -2, i16::MAX, i16::MIN]), (16_000, 1, vec![])]
        {
            assert_eq!(read(&file(rate, channels, &samples)), Ok(Wav { rate, channels, samples }));
        }
    }

    #[test]
    fn another_reader_agrees() {
        let samples = [5, -6, 7, -8];
        let mut reader = hound::WavReader::new(std::io::Cursor::new(file(8_000, 2, &samples))).expect("a WAV file");
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 8_000, 16));
        assert_eq!(reader.samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), samples);
    }

    #[test]
    fn another_writer_is_understood() {
        let mut cursor = std::io::Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut cursor, spec).expect("a writer");
        [1_i16, 2, -3].into_iter().for_each(|s| writer.write_sample(s).expect("written"));
        writer.finalize().expect("closed");
        assert_eq!(read(cursor.get_ref()), Ok(Wav { rate: 16_000, channels: 1, samples: vec![1, 2, -3] }));
    }

    #[test]
    fn extra_chunks_odd_sizes_and_extensible_formats() {
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        bytes.extend(b"LIST\x03\0\0\0abc\0");
        bytes.extend(b"fmt \x28\0\0\0");
        let mut format = vec![0xFE, 0xFF, 1, 0, 0x40, 0x1F, 0, 0, 0x80, 0x3E, 0, 0, 2, 0, 16, 0, 22, 0, 16, 0, 4, 0];
        format.extend([0, 0, 1, 0]);
        format.resize(40, 0);
        bytes.extend(format);
        bytes.extend(b"fact\x04\0\0\0\x02\0\0\0data\x04\0\0\0\x01\0\xFF\xFFLIST");
        assert_eq!(read(&bytes), Ok(Wav { rate: 8_000, channels: 1, samples: vec![1, -1] }));
    }

    #[test]
    fn unclosed_files_are_read_to_the_end() {
        let mut open = header(8_000, 1, 0).to_vec();
        open.extend([1, 0, 2, 0, 3]);
        assert_eq!(read(&open).map(|w| w.samples), Ok(vec![1, 2]));
        open[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&open).map(|w| w.samples), Ok(vec![1, 2]));
    }

    #[test]
    fn refusals() {
        let good = file(8_000, 1, &[1]);
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            read(&bytes)
        };
        assert_eq!(read(b""), Err(WavError::NotWav));
        assert_eq!(read(b"ID3 an mp3 file"), Err(WavError::NotWav));
        assert_eq!(with(8, b'X'), Err(WavError::NotWav));
        assert_eq!(with(12, b'X'), Err(WavError::NoFormat));
        assert_eq!(with(16, 8), Err(WavError::NoFormat));
        assert_eq!(with(20, 7), Err(WavError::NotPcm16 { format: 7, bits: 16 }));
        assert_eq!(with(34, 8), Err(WavError::NotPcm16 { format: 1, bits: 8 }));
        assert_eq!(with(22, 0), Err(WavError::Layout { channels: 0, rate: 8_000 }));
        assert_eq!(with(22, 9), Err(WavError::Layout { channels: 9, rate: 8_000 }));
        assert_eq!(with(36, b'X'), Err(WavError::NoData));
        assert_eq!(read(&good[..12]), Err(WavError::NoFormat));
        assert_eq!(read(&good[..40]), Err(WavError::NoData));
    }

    #[test]
    fn repair_counts_whole_frames() {
        let open = header(8_000, 2, 0);
        assert_eq!(repair_header(&open, 44 + 4_003), Ok(header(8_000, 2, 4_000)));
        assert_eq!(repair_header(&open, 44), Ok(open));
        assert_eq!(repair_header(&open, 3), Ok(open));
        assert_eq!(repair_header(&header(16_000, 1, 77), 44 + 10), Ok(header(16_000, 1, 10)));
        let huge = repair_header(&open, u64::MAX).expect("ours");
        assert_eq!(u32::from_le_bytes([huge[40], huge[41], huge[42], huge[43]]) % 4, 0);
        assert_eq!(repair_header(&[0; 44], 100), Err(WavError::NotWav));
        let mut other = open;
        other[36] = b'L';
        assert_eq!(repair_header(&other, 100), Err(WavError::NotWav));
    }

    #[test]
    fn sizes_are_held_to_32_bits() {
        assert_eq!(header(8_000, 2, u64::MAX)[4..8], u32::MAX.to_le_bytes());
    }
}
