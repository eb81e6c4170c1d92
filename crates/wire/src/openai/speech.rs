//! Speech as raw samples: `POST {base}/audio/speech`.
//!
//! Source: platform.openai.com/docs/api-reference/audio/createSpeech.

use serde::Serialize;

/// Rate of `response_format: pcm`: 24 kHz, 16 bit signed little-endian, mono, no header.
pub const SPEECH_SAMPLE_RATE_HZ: u32 = 24_000;
/// Longest `input` of a speech request, in characters (createSpeech).
pub const SPEECH_INPUT_CHARS_MAX: usize = 4_096;

/// A speech request, answered with raw PCM at [`SPEECH_SAMPLE_RATE_HZ`].
#[derive(Clone, Copy, Debug)]
pub struct SpeechRequest<'a> {
    /// Model name.
    pub model: &'a str,
    /// What to say, at most [`SPEECH_INPUT_CHARS_MAX`] characters.
    pub input: &'a str,
    /// Voice name.
    pub voice: &'a str,
    /// How to say it; only newer models know it. Empty = not sent.
    pub instructions: &'a str,
}

impl SpeechRequest<'_> {
    /// The JSON body of `POST {base}/audio/speech`.
    #[must_use]
    pub fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            input: &'a str,
            voice: &'a str,
            response_format: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            instructions: &'a str,
        }
        let body = Body {
            model: self.model,
            input: self.input,
            voice: self.voice,
            response_format: "pcm",
            instructions: self.instructions,
        };
        serde_json::to_string(&body).expect("strings always serialize")
    }
}

/// Puts samples together from bytes that were cut anywhere, also in the middle of a sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct PcmBytes {
    half: Option<u8>,
}

impl PcmBytes {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the samples that `bytes` completes (16 bit little-endian).
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<i16>) {
        let mut rest = bytes;
        if let (Some(low), Some((&high, tail))) = (self.half, rest.split_first()) {
            out.push(i16::from_le_bytes([low, high]));
            self.half = None;
            rest = tail;
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        out.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
        if let Some(&last) = odd.first() {
            self.half = Some(last);
        }
    }
}

/// What container the first bytes of an answer betray, when raw PCM was asked for. A server that ignores
/// `response_format` would otherwise be heard as noise.
#[must_use]
pub fn foreign_audio(first: &[u8]) -> Option<&'static str> {
    const SIGNS: [(&[u8], &str); 4] = [(b"RIFF", "WAV"), (b"OggS", "Ogg"), (b"fLaC", "FLAC"), (b"ID3", "MP3")];
    SIGNS.iter().find(|(sign, _)| first.starts_with(sign)).map(|(_, name)| *name)
}
