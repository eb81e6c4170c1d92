//! The OpenAI HTTP protocol as far as a phone call needs it: streamed chat completions, speech, transcriptions.
//!
//! Spoken by OpenAI itself and by most self-hosted servers, so reading is lenient: what is unknown is skipped, what is
//! missing gets a default, nothing panics. Each file names its sources.

mod chat;
mod speech;
mod transcription;

pub use crate::api_error::ApiError;
pub use chat::{ChatRequest, ChatStream, TokenLimit};
pub use speech::{PcmBytes, SPEECH_INPUT_CHARS_MAX, SPEECH_SAMPLE_RATE_HZ, SpeechRequest, foreign_audio};
pub use transcription::{
    MultipartBody, TRANSCRIPTION_FILE_BYTES_MAX, TRANSCRIPTION_MS_MIN, TranscriptionRequest, language_code, transcript,
};

#[cfg(test)]
mod tests;
