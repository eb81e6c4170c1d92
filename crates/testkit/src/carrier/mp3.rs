//! A real MP3 of silence, made by hand: frames of MPEG-1 Layer III whose side information says that there is nothing to
//! decode. Every decoder plays them, for exactly as long as they last.

/// An ID3v2.4 tag without a frame in it, ten bytes of padding behind its header.
const ID3: [u8; 20] = *b"ID3\x04\x00\x00\x00\x00\x00\x0a\0\0\0\0\0\0\0\0\0\0";
/// Sync, MPEG-1, Layer III, no checksum; 32 kbit/s, 48 kHz, no padding. The fourth byte is the channel mode.
const HEADER: [u8; 3] = [0xFF, 0xFB, 0x14];
/// One channel; "original".
const MONO: u8 = 0xC4;
/// Two channels; "original".
const STEREO: u8 = 0x04;
/// 144 · 32 000 / 48 000.
const FRAME_BYTES: usize = 96;
/// 1152 samples at 48 kHz.
const FRAME_MS: u64 = 24;
/// No longer than a call may be: four hours.
const DURATION_MS_MAX: u64 = 14_400_000;

/// Silence of this length, rounded up to a frame (24 ms), of one or two channels, with or without an ID3 tag in front.
#[must_use]
pub fn silent_mp3(duration_ms: u64, channels: u16, tagged: bool) -> Vec<u8> {
    let frames = duration_ms.min(DURATION_MS_MAX).div_ceil(FRAME_MS) as usize;
    let mut frame = [0_u8; FRAME_BYTES];
    frame[..3].copy_from_slice(&HEADER);
    frame[3] = if channels >= 2 { STEREO } else { MONO };
    let mut bytes = Vec::with_capacity(frames * FRAME_BYTES + ID3.len());
    if tagged {
        bytes.extend_from_slice(&ID3);
    }
    for _ in 0..frames {
        bytes.extend_from_slice(&frame);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_long_as_it_says() {
        for (duration_ms, channels, tagged, frames) in [(0, 1, false, 0), (1, 1, false, 1), (24_000, 2, true, 1000)] {
            let bytes = silent_mp3(duration_ms, channels, tagged);
            let audio = &bytes[if tagged { 20 } else { 0 }..];
            assert_eq!(audio.len(), frames * FRAME_BYTES);
            assert!(audio.chunks(FRAME_BYTES).all(|frame| frame.starts_with(&HEADER)));
            assert_eq!(bytes.starts_with(b"ID3"), tagged);
        }
    }
}
