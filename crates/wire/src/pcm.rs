//! Audio inside JSON: base64 of 16-bit little-endian PCM or of μ-law, mono. Nothing is allocated on the way but the
//! buffer that the caller keeps.

use crate::WireError;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

/// How audio is coded on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 16-bit signed little-endian linear PCM.
    #[default]
    Pcm16,
    /// G.711 μ-law, one byte a sample.
    Mulaw,
}

impl Encoding {
    /// Bytes of one sample on the wire.
    #[must_use]
    pub const fn sample_bytes(self) -> usize {
        match self {
            Self::Pcm16 => 2,
            Self::Mulaw => 1,
        }
    }

    /// The byte that silence is made of: zero in PCM; in μ-law all bits of a zero are set (G.711 table 2a).
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Self::Pcm16 => 0,
            Self::Mulaw => 0xFF,
        }
    }
}

/// Bytes decoded at a time, on the stack: a multiple of 3 (base64 groups stay whole) and of 2 (samples stay whole).
const BLOCK_BYTES: usize = 3 * 512;
/// Base64 characters of one block.
const BLOCK_CHARS: usize = BLOCK_BYTES / 3 * 4;

/// Padding may be missing: some stacks strip it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes a base64 payload into samples. `pcm` is emptied first and stays empty on an error, so it can be kept for the
/// whole call.
///
/// # Errors
/// [`WireError::AudioNotBase64`], [`WireError::OddAudio`].
pub fn decode(payload_base64: &str, encoding: Encoding, pcm: &mut Vec<i16>) -> Result<(), WireError> {
    pcm.clear();
    let mut block = [0_u8; BLOCK_BYTES];
    let mut total_bytes = 0;
    for chars in payload_base64.as_bytes().chunks(BLOCK_CHARS) {
        let Ok(bytes) = LENIENT.decode_slice(chars, &mut block) else {
            pcm.clear();
            return Err(WireError::AudioNotBase64);
        };
        total_bytes += bytes;
        let decoded = &block[..bytes];
        match encoding {
            Encoding::Pcm16 => pcm.extend(decoded.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair))),
            Encoding::Mulaw => pcm.extend(decoded.iter().map(|byte| audio::g711::mulaw_decode(*byte))),
        }
    }
    // Only the last block can be odd: the others are full.
    if encoding == Encoding::Pcm16 && !total_bytes.is_multiple_of(2) {
        pcm.clear();
        return Err(WireError::OddAudio(total_bytes));
    }
    Ok(())
}

/// Appends the base64 of `pcm`, coded as `encoding` says and followed by `padding_bytes` of silence, to `out`.
pub fn encode_into(pcm: &[i16], encoding: Encoding, padding_bytes: usize, out: &mut String) {
    // Block by block, each a multiple of 3 bytes: only the last one is padded in base64.
    let mut block = [0_u8; BLOCK_BYTES];
    let mut filled = 0;
    for samples in pcm.chunks(BLOCK_BYTES / encoding.sample_bytes()) {
        match encoding {
            Encoding::Pcm16 => {
                for (pair, sample) in block.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
                    *pair = sample.to_le_bytes();
                }
            }
            Encoding::Mulaw => {
                for (byte, sample) in block.iter_mut().zip(samples) {
                    *byte = audio::g711::mulaw_encode(*sample);
                }
            }
        }
        filled = push_full(&block, samples.len() * encoding.sample_bytes(), out);
    }
    let mut silence = padding_bytes;
    while silence > 0 {
        let more = silence.min(BLOCK_BYTES - filled);
        block[filled..filled + more].fill(encoding.silence());
        filled = push_full(&block, filled + more, out);
        silence -= more;
    }
    STANDARD.encode_string(&block[..filled], out);
}

/// Appends a block that is full; gives how much of one that is not is still to be appended.
fn push_full(block: &[u8; BLOCK_BYTES], filled: usize, out: &mut String) -> usize {
    if filled < BLOCK_BYTES {
        return filled;
    }
    STANDARD.encode_string(block, out);
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_survive_the_way_there_and_back() {
        for samples in [0, 1, 2, 3, 160, 511, 767, 768, 769, 800, 1536, 2400, 50_000] {
            let pcm: Vec<i16> = (0..samples).map(|i: i32| (i * 7919 % 65_536 - 32_768) as i16).collect();
            let mut text = String::new();
            encode_into(&pcm, Encoding::Pcm16, 0, &mut text);
            let mut back = vec![1, 2, 3];
            assert_eq!(decode(&text, Encoding::Pcm16, &mut back), Ok(()), "{samples}");
            assert_eq!(back, pcm, "{samples}");
        }
    }

    #[test]
    fn known_bytes() {
        let mut text = String::from("x");
        encode_into(&[0x0102, -1], Encoding::Pcm16, 2, &mut text);
        assert_eq!(text, "xAgH//wAA");
    }

    #[test]
    fn known_bytes_of_mulaw() {
        let mut text = String::from("x");
        // Zero, the loudest both ways, and two samples of silence behind.
        encode_into(&[0, 32_767, -32_768], Encoding::Mulaw, 2, &mut text);
        assert_eq!(text, format!("x{}", STANDARD.encode([0xFF, 0x80, 0x00, 0xFF, 0xFF])));
    }

    #[test]
    fn every_mulaw_byte_comes_back_whatever_the_length() {
        for length in [0, 1, 2, 3, 160, 255, 256, 800, 1535, 1536, 1537, 5000] {
            let sent: Vec<u8> = (0..length).map(|i| (i % 256) as u8).collect();
            let (mut pcm, mut text, mut back) = (Vec::new(), String::new(), Vec::new());
            assert_eq!(decode(&STANDARD.encode(&sent), Encoding::Mulaw, &mut pcm), Ok(()));
            encode_into(&pcm, Encoding::Mulaw, 0, &mut text);
            assert_eq!(decode(&text, Encoding::Mulaw, &mut back), Ok(()));
            assert_eq!(back, pcm, "{length}");
        }
    }

    #[test]
    fn padding_may_be_missing() {
        let mut pcm = Vec::new();
        for given in ["AgH//w==", "AgH//w"] {
            assert_eq!(decode(given, Encoding::Pcm16, &mut pcm), Ok(()), "{given}");
            assert_eq!(pcm, [0x0102, -1], "{given}");
        }
    }

    #[test]
    fn what_is_no_audio_is_refused_and_leaves_nothing_behind() {
        let mut pcm = vec![7];
        for (given, want) in [
            ("AAA=", None),
            ("AAAA", Some(WireError::OddAudio(3))),
            ("AA==", Some(WireError::OddAudio(1))),
            ("A", Some(WireError::AudioNotBase64)),
            ("AA AA", Some(WireError::AudioNotBase64)),
            ("AA==AAAA", Some(WireError::AudioNotBase64)),
            ("-_-_", Some(WireError::AudioNotBase64)),
            ("ääää", Some(WireError::AudioNotBase64)),
        ] {
            let got = decode(given, Encoding::Pcm16, &mut pcm);
            assert_eq!(got.as_ref().err(), want.as_ref(), "{given}");
            assert!(want.is_none() || pcm.is_empty(), "{given}");
        }
    }

    #[test]
    fn an_odd_byte_after_whole_blocks_is_found() {
        let text = STANDARD.encode(vec![0_u8; BLOCK_BYTES * 2 + 5]);
        assert_eq!(decode(&text, Encoding::Pcm16, &mut Vec::new()), Err(WireError::OddAudio(BLOCK_BYTES * 2 + 5)));
    }

    #[test]
    fn mulaw_has_one_byte_a_sample() {
        let mut pcm = Vec::new();
        assert_eq!(decode(&STANDARD.encode([0xFF, 0x7F, 0x00, 0x80, 0xFE]), Encoding::Mulaw, &mut pcm), Ok(()));
        assert_eq!(pcm.len(), 5);
        assert_eq!((pcm[0], pcm[1]), (0, 0));
        assert!(pcm[2] < -30_000 && pcm[3] > 30_000, "{pcm:?}");
    }
}
