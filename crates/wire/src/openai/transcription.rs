//! Transcription of a whole utterance: `POST {base}/audio/transcriptions`.
//!
//! Sources: platform.openai.com/docs/api-reference/audio/createTranscription, github.com/openai/openai-python
//! src/openai/types/audio/transcription_create_params.py, console.groq.com/docs/speech-to-text, github.com/speaches-ai/
//! speaches (formerly faster-whisper-server); the body: RFC 7578 (multipart/form-data) and RFC 2046 §5.1.1 (boundaries).

use crate::WireError;
use serde_json::Value;

/// Longest file (createTranscription: 25 MB).
pub const TRANSCRIPTION_FILE_BYTES_MAX: usize = 25 * 1024 * 1024;
/// Shortest audio ("Audio file is too short. Minimum audio length is 0.1 seconds.").
pub const TRANSCRIPTION_MS_MIN: usize = 100;

/// A request for the text of an utterance, answered with JSON.
#[derive(Clone, Copy, Debug)]
pub struct TranscriptionRequest<'a> {
    /// Model name.
    pub model: &'a str,
    /// ISO 639-1, see [`language_code`]; empty = the model finds out.
    pub language: &'a str,
    /// Words and names that may come, in the audio's language; empty = none.
    pub prompt: &'a str,
    /// Mono.
    pub pcm: &'a [i16],
    /// Its rate.
    pub sample_rate_hz: u32,
}

/// A body of several parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartBody {
    /// For the `Content-Type` header.
    pub content_type: String,
    /// The body.
    pub bytes: Vec<u8>,
}

impl TranscriptionRequest<'_> {
    /// The body: the audio as a WAV file, and the fields.
    #[must_use]
    pub fn body(&self) -> MultipartBody {
        let data_bytes = self.pcm.len() * 2;
        let mut wav = Vec::with_capacity(audio::wav::HEADER_BYTES + data_bytes);
        wav.extend(audio::wav::header(self.sample_rate_hz, 1, data_bytes as u64));
        wav.extend(self.pcm.iter().flat_map(|sample| sample.to_le_bytes()));
        let fields = [
            ("model", self.model),
            ("language", self.language),
            ("prompt", self.prompt),
            ("response_format", "json"),
            ("temperature", "0"),
        ];
        let boundary = boundary(&fields, &wav);
        let mut bytes = Vec::with_capacity(wav.len() + 1_024);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"speech.wav\"\r\n\
             Content-Type: audio/wav\r\n\r\n"
        );
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend(wav);
        bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        MultipartBody { content_type: format!("multipart/form-data; boundary={boundary}"), bytes }
    }
}

/// A boundary that occurs in nothing that is sent. Nothing is drawn at random: the first free number is taken.
fn boundary(fields: &[(&str, &str)], file: &[u8]) -> String {
    let mut number = 0_u64;
    loop {
        let boundary = format!("caly-part-{number}");
        let inside = |bytes: &[u8]| bytes.windows(boundary.len()).any(|window| window == boundary.as_bytes());
        if !inside(file) && !fields.iter().any(|(_, value)| inside(value.as_bytes())) {
            return boundary;
        }
        number += 1;
    }
}

/// The ISO 639-1 code of a BCP 47 tag; empty when it has none, as `und` or `multi`.
#[must_use]
pub fn language_code(tag: &str) -> String {
    let first = tag.split(['-', '_']).next().unwrap_or("");
    let is_code = first.len() == 2 && first.bytes().all(|b| b.is_ascii_alphabetic());
    if is_code { first.to_ascii_lowercase() } else { String::new() }
}

/// The text out of an answer, without the space around it.
///
/// # Errors
/// [`WireError::Malformed`], [`WireError::MissingField`].
pub fn transcript(body: &[u8]) -> Result<String, WireError> {
    let answer: Value = serde_json::from_slice(body)?;
    let text = answer.get("text").and_then(Value::as_str).ok_or(WireError::MissingField("text"))?;
    Ok(text.trim().to_owned())
}
