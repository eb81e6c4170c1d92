//! Whether sound is loud, from a few of its samples, wherever it lies: in base64, behind a mask. A load generator has no
//! time to decode what nobody hears.

use audio::g711::mulaw_decode;

/// How sound is coded on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// 16 bit, little-endian.
    Pcm16,
    /// G.711 μ-law.
    Mulaw,
}

impl Coding {
    /// Bytes of a millisecond at 8 kHz.
    pub(super) const fn bytes_a_ms(self) -> usize {
        match self {
            Self::Pcm16 => 16,
            Self::Mulaw => 8,
        }
    }

    /// The samples as bytes.
    pub(super) fn encode(self, pcm: &[i16]) -> Vec<u8> {
        match self {
            Self::Pcm16 => pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
            Self::Mulaw => pcm.iter().map(|sample| audio::g711::mulaw_encode(*sample)).collect(),
        }
    }
}

/// Places of a frame that are looked at.
const PLACES: usize = 16;
/// Characters of base64 at each: six bytes, which are three samples of 16 bits.
const GROUP: usize = 8;
/// Samples of ten milliseconds that are looked at.
const OF_TEN_MS: usize = 8;

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [0; 256];
    let mut n = 0;
    while n < alphabet.len() {
        values[alphabet[n] as usize] = n as u8;
        n += 1;
    }
    values
}

/// The six bits of each character; none of others, which are padding.
static VALUES: [u8; 256] = values();

/// Bytes that a text in base64 stands for.
pub(super) fn decoded_bytes(base64: &[u8]) -> usize {
    let padding = base64.iter().rev().take(2).filter(|byte| **byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}

fn three(base64: &[u8]) -> [u8; 3] {
    let bits = base64.iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(VALUES[usize::from(*byte)]));
    let [_, a, b, c] = bits.to_be_bytes();
    [a, b, c]
}

/// The mean size of some samples.
pub(super) fn level_of_base64(base64: &[u8], coding: Coding) -> u32 {
    let groups = base64.len() / GROUP;
    let (mut sum, mut count) = (0, 0);
    for place in 0..PLACES.min(groups) {
        let at = place * groups / PLACES.min(groups) * GROUP;
        let ([a, b, c], [d, e, f]) = (three(&base64[at..at + 4]), three(&base64[at + 4..at + 8]));
        let samples: &[i16] = match coding {
            Coding::Pcm16 => &[[a, b], [c, d], [e, f]].map(i16::from_le_bytes),
            Coding::Mulaw => &[a, b, c, d, e, f].map(mulaw_decode),
        };
        sum += samples.iter().map(|sample| u32::from(sample.unsigned_abs())).sum::<u32>();
        count += samples.len() as u32;
    }
    sum / count.max(1)
}

/// The mean size of some samples of ten milliseconds of 16-bit sound behind a mask; `from` is where they begin in the
/// frame, in bytes.
pub(super) fn level_of_masked(payload: &[u8], key: [u8; 4], from: usize, samples: usize) -> u32 {
    let step = (samples / OF_TEN_MS).max(1);
    let mut sum = 0;
    for n in 0..OF_TEN_MS {
        let at = from + n * step * 2;
        let (Some(low), Some(high)) = (payload.get(at), payload.get(at + 1)) else { break };
        let sample = i16::from_le_bytes([low ^ key[at % 4], high ^ key[(at + 1) % 4]]);
        sum += u32::from(sample.unsigned_abs());
    }
    sum / OF_TEN_MS as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn tone(size: i16, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| if n % 7 < 4 { size } else { -size }).collect()
    }

    #[test]
    fn the_level_is_that_of_the_samples_in_both_codings() {
        for coding in [Coding::Pcm16, Coding::Mulaw] {
            for (size, samples) in [(0, 160), (6, 800), (1_000, 160), (20_000, 800), (1_000, 3)] {
                let base64 = STANDARD.encode(coding.encode(&tone(size, samples)));
                let level = level_of_base64(base64.as_bytes(), coding) as i32;
                let (size, groups) = (i32::from(size), base64.len() / GROUP);
                let near = (level - size).abs() <= size / 16 + 8;
                assert!(near || groups == 0, "{coding:?} {size} {samples}: {level}");
                assert_eq!(decoded_bytes(base64.as_bytes()), coding.encode(&tone(1, samples)).len());
            }
        }
        assert_eq!((level_of_base64(b"", Coding::Mulaw), decoded_bytes(b"")), (0, 0));
    }

    #[test]
    fn a_mask_does_not_hide_a_level() {
        let key = [0x12, 0xfe, 0x77, 0x01];
        let mut bytes = Coding::Pcm16.encode(&[tone(3, 80), tone(2_000, 80)].concat());
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte ^= key[n % 4];
        }
        assert_eq!(level_of_masked(&bytes, key, 0, 80), 3);
        assert_eq!(level_of_masked(&bytes, key, 160, 80), 2_000);
    }
}
