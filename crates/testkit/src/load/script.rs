//! What callers say, coded once for all calls: only the running numbers differ.

use super::frame::{Kind, Side, head};
use super::line::{Lengths, Piece};
use super::sound::Coding;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Rate of the line.
pub const SAMPLE_RATE_HZ: u32 = 8_000;
/// Frames of the line's own noise.
const QUIET_FRAMES: usize = 16;
/// Its largest sample: never digital silence, far below any speech.
const NOISE_PEAK: i16 = 6;
/// The noise is the same in every run.
const SEED: u64 = 7;

/// The form of the carrier's media messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Exotel: 16-bit samples, `sequence_number`.
    Exotel,
    /// Twilio: μ-law, `sequenceNumber`.
    Twilio,
}

impl Format {
    /// How its sound is coded.
    #[must_use]
    pub const fn coding(self) -> Coding {
        match self {
            Self::Exotel => Coding::Pcm16,
            Self::Twilio => Coding::Mulaw,
        }
    }
}

/// See the module. The payloads are in base64.
#[derive(Debug)]
pub struct Script {
    pub(super) format: Format,
    pub(super) frame_ms: u64,
    turn: Vec<Vec<u8>>,
    barge_in: Vec<Vec<u8>>,
    quiet: Vec<Vec<u8>>,
}

/// Appends a number in decimal.
pub(super) fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Digits of a number.
const fn digits(number: u64) -> usize {
    if number == 0 { 1 } else { number.ilog10() as usize + 1 }
}

impl Script {
    /// Of speech at 8 kHz: whole frames of it are said.
    #[must_use]
    pub fn new(format: Format, frame_ms: u64, turn: &[i16], barge_in: &[i16]) -> Self {
        let samples = (frame_ms * u64::from(SAMPLE_RATE_HZ) / 1_000) as usize;
        let encode = |pcm: &[i16]| -> Vec<Vec<u8>> {
            let coded = pcm.chunks_exact(samples).map(|frame| STANDARD.encode(format.coding().encode(frame)));
            coded.map(String::into_bytes).collect()
        };
        let mut state = SEED;
        let noise: Vec<i16> = (0..QUIET_FRAMES * samples)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % (2 * NOISE_PEAK as u64 + 1)) as i16 - NOISE_PEAK
            })
            .collect();
        Self { format, frame_ms, turn: encode(turn), barge_in: encode(barge_in), quiet: encode(&noise) }
    }

    pub(super) const fn lengths(&self) -> Lengths {
        Lengths { turn: self.turn.len(), barge_in: self.barge_in.len() }
    }

    /// Appends the message of the call's `n`th frame, counted from 0, as a whole WebSocket frame.
    pub(super) fn media(&self, piece: Piece, n: u64, stream_id: &str, out: &mut Vec<u8>) {
        let payload = match piece {
            Piece::Quiet(k) => &self.quiet[k as usize % self.quiet.len()],
            Piece::Turn(k) => &self.turn[k],
            Piece::BargeIn(k) => &self.barge_in[k],
        };
        // `connected` has no number, `start` has the first.
        let (sequence, chunk, at_ms) = (n + 2, n + 1, n * self.frame_ms);
        let parts: [&str; 6] = match self.format {
            Format::Exotel => [
                r#"{"event":"media","sequence_number":""#,
                r#"","media":{"chunk":""#,
                r#"","timestamp":""#,
                r#"","payload":""#,
                r#""},"stream_sid":""#,
                r#""}"#,
            ],
            Format::Twilio => [
                r#"{"event":"media","sequenceNumber":""#,
                r#"","media":{"track":"inbound","chunk":""#,
                r#"","timestamp":""#,
                r#"","payload":""#,
                r#""},"streamSid":""#,
                r#""}"#,
            ],
        };
        let fixed: usize = parts.iter().map(|part| part.len()).sum();
        let length = fixed + digits(sequence) + digits(chunk) + digits(at_ms) + payload.len() + stream_id.len();
        head(Side::Client, Kind::Text, length, out);
        out.extend_from_slice(parts[0].as_bytes());
        push_number(sequence, out);
        out.extend_from_slice(parts[1].as_bytes());
        push_number(chunk, out);
        out.extend_from_slice(parts[2].as_bytes());
        push_number(at_ms, out);
        out.extend_from_slice(parts[3].as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(parts[4].as_bytes());
        out.extend_from_slice(stream_id.as_bytes());
        out.extend_from_slice(parts[5].as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Reader;
    use super::*;
    use serde_json::Value;

    fn script(format: Format, frame_ms: u64) -> Script {
        let speech = |ms: usize, size: i16| vec![size; ms * 8];
        Script::new(format, frame_ms, &speech(1_600, 4_000), &speech(1_000, 3_000))
    }

    fn message(script: &Script, piece: Piece, n: u64) -> Value {
        let mut bytes = Vec::new();
        script.media(piece, n, "stream", &mut bytes);
        let mut messages = Vec::new();
        let read = Reader::default().feed(&bytes, |frame| {
            messages.push(serde_json::from_slice(frame.plain(&mut Vec::new())).expect("JSON"));
        });
        read.expect("a frame");
        assert_eq!(messages.len(), 1, "the length is right");
        messages.remove(0)
    }

    #[test]
    fn the_running_numbers_are_patched_into_the_shared_frames() {
        for (format, frame_ms) in [(Format::Exotel, 100), (Format::Exotel, 20), (Format::Twilio, 20)] {
            let script = script(format, frame_ms);
            assert_eq!(script.lengths().turn as u64, 1_600 / frame_ms);
            assert_eq!(script.lengths().barge_in as u64, 1_000 / frame_ms);
            for n in [0, 7, 8, 9, 98, 99, 12_345] {
                let message = message(&script, Piece::Turn(3), n);
                let (sequence, stream) = match format {
                    Format::Exotel => ("sequence_number", "stream_sid"),
                    Format::Twilio => ("sequenceNumber", "streamSid"),
                };
                assert_eq!((&message["event"], &message[stream]), (&"media".into(), &"stream".into()));
                assert_eq!(message[sequence], (n + 2).to_string());
                assert_eq!(message["media"]["chunk"], (n + 1).to_string());
                assert_eq!(message["media"]["timestamp"], (n * frame_ms).to_string());
                let payload = STANDARD.decode(message["media"]["payload"].as_str().expect("text")).expect("base64");
                assert_eq!(payload.len() as u64, format.coding().bytes_a_ms() as u64 * frame_ms);
            }
        }
    }

    #[test]
    fn the_three_kinds_of_sound_differ() {
        let script = script(Format::Exotel, 100);
        let sample = |piece| {
            let message = message(&script, piece, 1);
            let payload = STANDARD.decode(message["media"]["payload"].as_str().expect("text")).expect("base64");
            i16::from_le_bytes([payload[0], payload[1]])
        };
        assert_eq!((sample(Piece::Turn(15)), sample(Piece::BargeIn(9))), (4_000, 3_000));
        assert!((0..40).all(|n| sample(Piece::Quiet(n)).abs() <= NOISE_PEAK));
        assert!((0..16).any(|n| sample(Piece::Quiet(n)) != 0));
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 1, 9, 10, 99, 100, 65_535, u64::MAX] {
            let mut out = Vec::new();
            push_number(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
            assert_eq!(out.len(), digits(number));
        }
    }
}
