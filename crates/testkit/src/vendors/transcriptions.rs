//! `POST /v1/audio/transcriptions` as platform.openai.com/docs/api-reference/audio/createTranscription describes it,
//! WAV and `json` only.

mod form;

use super::answer::page;
use super::chat::refuse;
use super::faults::TranscriptionFault;
use super::{AbortWatch, Shared, Transcripts, authorized, flushed};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use form::Part;
use http::{HeaderMap, header};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Largest request: 25 MB of file and its fields.
pub(super) const BODY_BYTES_MAX: usize = 25 * 1024 * 1024 + 64 * 1024;
/// Fields that the reference knows.
const FIELDS: [&str; 10] = [
    "file",
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "stream",
    "include[]",
    "timestamp_granularities[]",
    "chunking_strategy",
];
/// Shortest audio, in milliseconds.
const AUDIO_MS_MIN: usize = 100;

/// What a request asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranscriptionAsked {
    /// The model.
    pub model: String,
    /// The language; empty = not said.
    pub language: String,
    /// The prompt; empty = none.
    pub prompt: String,
    /// Rate of the audio.
    pub sample_rate_hz: u32,
    /// The audio.
    pub pcm: Vec<i16>,
}

pub(super) async fn transcriptions(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !authorized(&shared, &headers, "Bearer") {
        return refuse(&shared, 401, "invalid_api_key", "Incorrect API key provided.");
    }
    let asked = match read(&headers, &body) {
        Ok(asked) => asked,
        Err(message) => return refuse(&shared, 400, "invalid_value", &message),
    };
    let fault = shared.faults.transcription.take();
    if let Some(TranscriptionFault::Status(status)) = fault {
        return refuse(&shared, status, "fault", "This was asked for.");
    }
    let number = shared.counters.transcription_requests.fetch_add(1, Ordering::Relaxed);
    let text = match &shared.settings.transcripts {
        Transcripts::Numbered => format!("I would like to check my order please this is turn {}", number + 1),
        Transcripts::Script(texts) => texts.get(number as usize).or(texts.last()).cloned().unwrap_or_default(),
    };
    *shared.last_transcription.lock().expect("no holder panics") = asked;
    let mut watch = AbortWatch::new(Arc::clone(&shared), |c| &c.transcription_aborted);
    if fault == Some(TranscriptionFault::Hang) {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(shared.settings.listen_final_ms)).await;
    match fault {
        Some(fault) => broken(fault, watch, &text),
        None => {
            watch.complete();
            Json(json!({"text":text,"usage":{"type":"duration","seconds":1}})).into_response()
        }
    }
}

/// An answer that goes wrong.
fn broken(fault: TranscriptionFault, mut watch: AbortWatch, text: &str) -> Response {
    let whole = json!({"text":text}).to_string();
    let half = Bytes::from(whole[..whole.floor_char_boundary(whole.len() / 2)].to_owned());
    let kind = [(header::CONTENT_TYPE, "application/json")];
    if matches!(fault, TranscriptionFault::Malformed | TranscriptionFault::Html | TranscriptionFault::NoText) {
        watch.complete();
    }
    match fault {
        TranscriptionFault::Html => page(),
        TranscriptionFault::NoText => (kind, "{\"segments\":[]}").into_response(),
        TranscriptionFault::Malformed => (kind, half).into_response(),
        TranscriptionFault::Status(_)
        | TranscriptionFault::Hang
        | TranscriptionFault::Stall
        | TranscriptionFault::Cut
        | TranscriptionFault::Drip
        | TranscriptionFault::Endless => {
            let pieces = futures_util::stream::unfold((0_usize, watch), move |(n, mut watch)| {
                let (whole, half) = (whole.clone(), half.clone());
                async move {
                    let piece = match (fault, n) {
                        (TranscriptionFault::Drip, n) if n < whole.len() => {
                            Ok(Bytes::copy_from_slice(&whole.as_bytes()[n..=n]))
                        }
                        (TranscriptionFault::Drip, _) => {
                            watch.complete();
                            return None;
                        }
                        (TranscriptionFault::Endless, _) => Ok(Bytes::from(vec![b' '; 8_192])),
                        (_, 0) => Ok(half),
                        (TranscriptionFault::Cut, _) => {
                            flushed().await;
                            Err(std::io::Error::other("cut"))
                        }
                        (_, _) => std::future::pending().await,
                    };
                    Some((piece, (n + 1, watch)))
                }
            });
            (kind, Body::from_stream(pieces)).into_response()
        }
    }
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<TranscriptionAsked, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let parts = form::parts(kind, body)?;
    if let Some(part) = parts.iter().find(|part| !FIELDS.contains(&part.name.as_str())) {
        return Err(format!("Unrecognized request argument supplied: {}", part.name));
    }
    let field = |name: &str| {
        let part = parts.iter().find(|part| part.name == name);
        part.map(|part| String::from_utf8_lossy(part.content).into_owned()).unwrap_or_default()
    };
    let model = field("model");
    if model.is_empty() {
        return Err("you must provide a model parameter".into());
    }
    let language = field("language");
    let is_code = language.len() == 2 && language.bytes().all(|b| b.is_ascii_lowercase());
    if !(language.is_empty() || is_code) {
        return Err(format!(
            "Invalid language '{language}'. Language parameter must be specified in ISO-639-1 format."
        ));
    }
    if !matches!(field("response_format").as_str(), "" | "json") {
        return Err("only 'json' here".into());
    }
    let temperature = field("temperature");
    if !temperature.is_empty() && !temperature.parse::<f64>().is_ok_and(|t| (0.0..=1.0).contains(&t)) {
        return Err("Invalid 'temperature': must be from 0 to 1".into());
    }
    let file = parts.iter().find(|part| part.name == "file").ok_or("Missing required parameter: 'file'")?;
    let wav = read_file(file)?;
    Ok(TranscriptionAsked { model, language, prompt: field("prompt"), sample_rate_hz: wav.rate, pcm: wav.samples })
}

fn read_file(file: &Part<'_>) -> Result<audio::wav::Wav, String> {
    let named = file.file_name.as_deref().unwrap_or("");
    if !named.to_ascii_lowercase().ends_with(".wav") {
        return Err("Unrecognized file format. Supported formats: ['wav']".into());
    }
    let wav = audio::wav::read(file.content)
        .map_err(|_| "Audio file might be corrupted or unsupported".to_owned())
        .and_then(|wav| if wav.channels == 1 { Ok(wav) } else { Err("only mono here".to_owned()) })?;
    if wav.samples.len() * 1_000 < AUDIO_MS_MIN * wav.rate as usize {
        return Err("Audio file is too short. Minimum audio length is 0.1 seconds.".into());
    }
    Ok(wav)
}
