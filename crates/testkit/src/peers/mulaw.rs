//! G.711 μ-law, written from the recommendation.

const BIAS: i32 = 0x84;
const CLIP: i32 = 32_635;

/// One code as a sample.
pub(super) fn decode(code: u8) -> i16 {
    let code = !code;
    let magnitude = ((i32::from(code & 0x0f) << 3) + BIAS) << ((code & 0x70) >> 4);
    let sample = magnitude - BIAS;
    (if code & 0x80 == 0 { sample } else { -sample }) as i16
}

/// One sample as a code.
pub(super) fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The bias puts the highest bit at 7 or above.
    let segment = 24 - magnitude.leading_zeros();
    let mantissa = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) as u8 | mantissa as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_and_the_middle_are_where_they_belong() {
        for (code, sample) in
            [(0xff, 0), (0x7f, 0), (0x80, 32_124), (0x00, -32_124), (0xfe, 8), (0x7e, -8), (0xf0, 120)]
        {
            assert_eq!(decode(code), sample, "{code:#x}");
        }
    }

    #[test]
    fn a_code_is_its_own_again_and_a_sample_is_near() {
        for code in 0..=u8::MAX {
            let sample = decode(code);
            assert_eq!(decode(encode(sample)), sample, "{code:#x}");
        }
        for sample in (i16::MIN..=i16::MAX).step_by(37) {
            let error = (i32::from(decode(encode(sample))) - i32::from(sample)).abs();
            assert!(error <= i32::from(sample).abs() / 16 + 8, "{sample}: {error}");
        }
    }
}
