//! `POST /v1/audio/speech` as platform.openai.com/docs/api-reference/audio/createSpeech describes it, `pcm` only.

use super::faults::SpeechFault;
use super::{AbortWatch, Shared, add, authorized, flushed};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Rate of the sound made.
const SAMPLE_RATE_HZ: usize = 24_000;
/// Length of the sound that is made once and sent again and again, in seconds.
const LOOP_S: usize = 2;
/// Length of one chunk, in milliseconds.
const CHUNK_MS: usize = 100;
/// Bytes of one chunk: 16 bit samples.
const CHUNK_BYTES: usize = SAMPLE_RATE_HZ * 2 * CHUNK_MS / 1_000;
/// Parameters that the reference knows.
const PARAMETERS: [&str; 7] = ["model", "input", "voice", "instructions", "response_format", "speed", "stream_format"];
/// Longest input, in characters.
const INPUT_CHARS_MAX: usize = 4_096;

pub(super) async fn speech(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !authorized(&shared, &headers, "Bearer") {
        return refuse(&shared, 401, "Incorrect API key provided.");
    }
    let input = match read_request(&headers, &body) {
        Ok(input) => input,
        Err(message) => return refuse(&shared, 400, &message),
    };
    let fault = shared.faults.speech.take();
    if let Some(SpeechFault::Status(status)) = fault {
        return refuse(&shared, status, "This was asked for.");
    }
    add(&shared.counters.speech_requests, 1);
    *shared.last_speech.lock().expect("no holder panics") = String::from_utf8_lossy(&body).into_owned();
    let words = input.split_whitespace().count().max(1) as u64;
    let chunks = match fault {
        Some(SpeechFault::Empty) => 0,
        _ => (words * shared.settings.speech_word_ms).div_ceil(CHUNK_MS as u64) as usize,
    };
    stream(shared, chunks, fault)
}

fn read_request(headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !kind.starts_with("application/json") {
        return Err(format!("Unsupported content type '{kind}'"));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("We could not parse the JSON body: {e}"))?;
    let object = value.as_object().ok_or("The body must be an object")?;
    if let Some(name) = object.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(format!("Unrecognized request argument supplied: {name}"));
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    text("model").ok_or("Missing required parameter: 'model'")?;
    text("voice").ok_or("Missing required parameter: 'voice'")?;
    let input = text("input").ok_or("Missing required parameter: 'input'")?;
    if input.chars().count() > INPUT_CHARS_MAX {
        return Err("string too long: 'input'".into());
    }
    if text("response_format") != Some("pcm") {
        return Err("only 'pcm' here".into());
    }
    Ok(input.to_owned())
}

fn refuse(shared: &Shared, status: u16, message: &str) -> Response {
    add(&shared.counters.refused, 1);
    let status = StatusCode::from_u16(status).expect("tests name real statuses");
    let body = json!({"error":{"message":message,"type":"invalid_request_error","param":null,"code":null}});
    (status, Json(body)).into_response()
}

struct Sending {
    shared: Arc<Shared>,
    watch: AbortWatch,
    begun: Instant,
    chunk: usize,
    chunks: usize,
    fault: Option<SpeechFault>,
}

fn stream(shared: Arc<Shared>, chunks: usize, fault: Option<SpeechFault>) -> Response {
    let watch = AbortWatch::new(Arc::clone(&shared), |c| &c.speech_aborted);
    let sending = Sending { shared, watch, begun: Instant::now(), chunk: 0, chunks, fault };
    let body = Body::from_stream(futures_util::stream::unfold(sending, |mut sending| async move {
        let piece = sending.next().await?;
        Some((piece, sending))
    }));
    let kind = if fault == Some(SpeechFault::Mp3) { "audio/mpeg" } else { "audio/pcm" };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

impl Sending {
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        let n = self.chunk;
        match self.fault {
            Some(SpeechFault::StallAfter(k)) if k == n => std::future::pending().await,
            Some(SpeechFault::CutAfter(k)) if k == n => {
                flushed().await;
                return Some(Err(std::io::Error::other("cut")));
            }
            Some(_) | None => {}
        }
        if n == self.chunks {
            self.watch.complete();
            return None;
        }
        let settings = &self.shared.settings;
        let made_ms = (n * CHUNK_MS) as f64 / settings.speech_speed;
        let at = Duration::from_millis(settings.speech_first_ms) + Duration::from_secs_f64(made_ms / 1_000.0);
        sleep_until(self.begun + at).await;
        self.chunk += 1;
        add(&self.shared.counters.speech_bytes, CHUNK_BYTES as u64);
        if self.fault == Some(SpeechFault::Wav) && n == 0 {
            return Some(Ok(Bytes::from_static(b"RIFF\xFF\xFF\xFF\xFFWAVEfmt ")));
        }
        let sound = sound();
        let from = (n * CHUNK_BYTES) % sound.len();
        Some(Ok(sound.slice(from..from + CHUNK_BYTES)))
    }
}

/// Something like speech: a voiced tone with overtones that swells and fades four times a second. Made once; chunks
/// are views of it.
fn sound() -> &'static Bytes {
    static SOUND: OnceLock<Bytes> = OnceLock::new();
    SOUND.get_or_init(|| {
        let sample = |n: usize| {
            let t = n as f64 / SAMPLE_RATE_HZ as f64;
            let turn = std::f64::consts::TAU * t;
            let voice: f64 = [(140.0, 1.0), (280.0, 0.7), (560.0, 0.5), (1_120.0, 0.3)]
                .iter()
                .map(|(hz, part)| part * (turn * hz).sin())
                .sum();
            // Never quite silent, so that a listener finds no gap in it.
            let swell = 0.55 - 0.45 * (turn * 4.0).cos();
            (voice * swell * 5_000.0) as i16
        };
        (0..SAMPLE_RATE_HZ * LOOP_S).flat_map(|n| sample(n).to_le_bytes()).collect::<Vec<u8>>().into()
    })
}
