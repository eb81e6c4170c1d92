//! G.711 mu-law and A-law: 8 bits a sample on the wire, 16-bit linear here.
//!
//! Source: ITU-T G.711 (11/88) tables 1a, 1b, 2a, 2b, with the 16-bit scaling of the ITU-T software tool library G.191
//! (mu-law 14 bit, A-law 13 bit, left-justified; negative input is taken as its one's complement).

/// Offset that makes every mu-law segment start at a power of two (33 in 14 bits).
const MULAW_BIAS: i32 = 33 << 2;
/// Even bits are inverted on the wire, so that silence carries bit changes (G.711 section 3.2).
const ALAW_TOGGLE: u8 = 0x55;

static MULAW_LINEAR: [i16; 256] = mulaw_table();
static ALAW_LINEAR: [i16; 256] = alaw_table();

/// One mu-law code as linear PCM, -32124..=32124.
#[inline]
pub fn mulaw_decode(code: u8) -> i16 {
    MULAW_LINEAR[usize::from(code)]
}

/// One A-law code as linear PCM, -32256..=32256.
#[inline]
pub fn alaw_decode(code: u8) -> i16 {
    ALAW_LINEAR[usize::from(code)]
}

/// Linear PCM as mu-law.
#[inline]
pub fn mulaw_encode(sample: i16) -> u8 {
    let (negative, magnitude) = sign_and_magnitude(sample);
    let biased = (magnitude + MULAW_BIAS as u32).min(0x7FFF);
    // 132..=32767: the leading one is bit 7..=14.
    let segment = 24 - biased.leading_zeros();
    let step = (biased >> (segment + 3)) & 0x0F;
    !(negative | (segment << 4) as u8 | step as u8)
}

/// Linear PCM as A-law.
#[inline]
pub fn alaw_encode(sample: i16) -> u8 {
    let (negative, magnitude) = sign_and_magnitude(sample);
    // Segments 0 and 1 have the same step, so everything below 512 is linear.
    let segment = 24_u32.saturating_sub((magnitude | 0xFF).leading_zeros());
    let step = (magnitude >> (segment.max(1) + 3)) & 0x0F;
    ((negative ^ 0x80) | (segment << 4) as u8 | step as u8) ^ ALAW_TOGGLE
}

/// Appends the linear PCM of mu-law codes.
pub fn mulaw_decode_into(codes: &[u8], pcm: &mut Vec<i16>) {
    pcm.extend(codes.iter().map(|&c| mulaw_decode(c)));
}

/// Appends the linear PCM of A-law codes.
pub fn alaw_decode_into(codes: &[u8], pcm: &mut Vec<i16>) {
    pcm.extend(codes.iter().map(|&c| alaw_decode(c)));
}

/// Appends the mu-law codes of linear PCM.
pub fn mulaw_encode_into(pcm: &[i16], codes: &mut Vec<u8>) {
    codes.extend(pcm.iter().map(|&s| mulaw_encode(s)));
}

/// Appends the A-law codes of linear PCM.
pub fn alaw_encode_into(pcm: &[i16], codes: &mut Vec<u8>) {
    codes.extend(pcm.iter().map(|&s| alaw_encode(s)));
}

/// 0x80 for negative, and the one's complement magnitude 0..=32767.
#[inline]
fn sign_and_magnitude(sample: i16) -> (u8, u32) {
    let sign = sample >> 15;
    ((sign as u8) & 0x80, u32::from((sample ^ sign) as u16))
}

const fn mulaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8) as i32;
        let magnitude = ((((bits & 0x0F) << 3) + MULAW_BIAS) << ((bits & 0x70) >> 4)) - MULAW_BIAS;
        table[code] = if bits & 0x80 == 0 { magnitude } else { -magnitude } as i16;
        code += 1;
    }
    table
}

const fn alaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = (code as u8 ^ ALAW_TOGGLE) as i32;
        let segment = (bits & 0x70) >> 4;
        let step = ((bits & 0x0F) << 4) + 8;
        let magnitude = if segment == 0 { step } else { (step + 0x100) << (segment - 1) };
        table[code] = if bits & 0x80 == 0 { -magnitude } else { magnitude } as i16;
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mulaw_code_survives_the_round_trip() {
        for code in 0..=u8::MAX {
            // 0x7F is minus zero: it decodes to 0, and 0 is 0xFF.
            let want = if code == 0x7F { 0xFF } else { code };
            assert_eq!(mulaw_encode(mulaw_decode(code)), want, "code {code:#04x}");
        }
    }

    #[test]
    fn every_alaw_code_survives_the_round_trip() {
        for code in 0..=u8::MAX {
            assert_eq!(alaw_encode(alaw_decode(code)), code, "code {code:#04x}");
        }
    }

    #[test]
    fn mulaw_codes_of_the_recommendation() {
        // G.711 table 2a/2b decoder output values y, times 4 for 16 bits.
        let table = [
            (0x80, 8031 * 4),
            (0x8F, 4191 * 4),
            (0x9F, 2079 * 4),
            (0xAF, 1023 * 4),
            (0xBF, 495 * 4),
            (0xCF, 231 * 4),
            (0xDF, 99 * 4),
            (0xEF, 33 * 4),
            (0xFE, 2 * 4),
            (0xFF, 0),
            (0x00, -8031 * 4),
            (0x0F, -4191 * 4),
            (0x7E, -2 * 4),
            (0x7F, 0),
        ];
        for (code, linear) in table {
            assert_eq!(i32::from(mulaw_decode(code)), linear, "code {code:#04x}");
        }
    }

    #[test]
    fn alaw_codes_of_the_recommendation() {
        // G.711 table 1a/1b decoder output values y, times 8 for 16 bits; codes after inversion of the even bits.
        let table = [
            (0x80 | 0x7F, 4032 * 8),
            (0x80 | 0x70, 2112 * 8),
            (0x80 | 0x60, 1056 * 8),
            (0x80 | 0x50, 528 * 8),
            (0x80 | 0x40, 264 * 8),
            (0x80 | 0x30, 132 * 8),
            (0x80 | 0x20, 66 * 8),
            (0x80 | 0x01, 3 * 8),
            (0x80, 8),
            (0x00, -8),
            (0x7F, -4032 * 8),
        ];
        for (plain, linear) in table {
            assert_eq!(i32::from(alaw_decode(plain ^ ALAW_TOGGLE)), linear, "code {plain:#04x}");
        }
    }

    #[test]
    fn extremes_and_silence() {
        assert_eq!(mulaw_encode(0), 0xFF);
        assert_eq!(mulaw_encode(-1), 0x7F);
        assert_eq!(mulaw_encode(i16::MAX), 0x80);
        assert_eq!(mulaw_encode(i16::MIN), 0x00);
        assert_eq!(alaw_encode(0), 0xD5);
        assert_eq!(alaw_encode(-1), 0x55);
        assert_eq!(alaw_encode(i16::MAX), 0xAA);
        assert_eq!(alaw_encode(i16::MIN), 0x2A);
    }

    #[test]
    fn encoding_picks_the_nearest_level_within_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let (mu, a) = (mulaw_decode(mulaw_encode(sample)), alaw_decode(alaw_encode(sample)));
            let wide = i32::from(sample);
            // The step doubles with every segment; half the step of a sample's segment is at most 1/32 of it.
            let allowed = (wide.abs() + MULAW_BIAS) / 32 + 5;
            let clipped = wide.clamp(-32_124, 32_124);
            assert!((i32::from(mu) - clipped).abs() <= allowed, "mu-law {sample} -> {mu}");
            assert!((i32::from(a) - wide).abs() <= wide.abs() / 32 + 9, "A-law {sample} -> {a}");
        }
    }

    #[test]
    fn encoders_are_monotonic() {
        for (encode, decode) in
            [(mulaw_encode as fn(i16) -> u8, mulaw_decode as fn(u8) -> i16), (alaw_encode, alaw_decode)]
        {
            let mut last = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let level = decode(encode(sample));
                assert!(level >= last, "{sample}");
                last = level;
            }
        }
    }

    #[test]
    fn slices_append() {
        let (mut pcm, mut codes) = (vec![5], vec![9]);
        mulaw_decode_into(&[0xFF, 0x80], &mut pcm);
        alaw_decode_into(&[0xD5], &mut pcm);
        assert_eq!(pcm, [5, 0, 32124, 8]);
        mulaw_encode_into(&[0], &mut codes);
        alaw_encode_into(&[0], &mut codes);
        assert_eq!(codes, [9, 0xFF, 0xD5]);
    }
}
