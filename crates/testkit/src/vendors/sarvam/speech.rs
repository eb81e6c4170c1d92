//! Speech: config, text, flush; sound in pieces; the event `final`. Many sentences one after the other.

use super::super::Shared;
use super::{authorized, forbid, refuse};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How a sentence goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SarvamSpeechFault {
    /// The handshake is refused with this status.
    Status(u16),
    /// Silence after so many chunks.
    StallAfter(usize),
    /// The connection breaks after so many chunks.
    CutAfter(usize),
    /// An error message with this code after so many chunks.
    ErrorAfter(usize, u16),
    /// WAV although raw samples were asked for, under a type that does not say so.
    Wav,
    /// MP3, and the type says so.
    Mp3,
    /// No sound at all.
    Empty,
    /// Sound that is no base64.
    NotBase64,
    /// Messages that are not JSON.
    NotJson,
    /// Closed in order when the sentence is complete.
    CloseAtEnd,
}

/// Length of one chunk, in milliseconds: theirs are about as long.
const CHUNK_MS: usize = 250;
/// What may stand in a configuration.
const CONFIG: [&str; 14] = [
    "model",
    "language_code",
    "target_language_code",
    "speaker",
    "pitch",
    "pace",
    "loudness",
    "temperature",
    "speech_sample_rate",
    "enable_preprocessing",
    "output_audio_codec",
    "output_audio_bitrate",
    "min_buffer_size",
    "max_chunk_length",
];
const LANGUAGES: [&str; 11] =
    ["bn-IN", "en-IN", "gu-IN", "hi-IN", "kn-IN", "ml-IN", "mr-IN", "od-IN", "pa-IN", "ta-IN", "te-IN"];
/// Some voices of `bulbul:v3`.
const SPEAKERS: [&str; 6] = ["shubh", "aditya", "ritu", "priya", "neha", "kavitha"];
/// Longest text of a message, in characters.
const TEXT_CHARS_MAX: usize = 2_500;
/// Read buffer of a stream, in bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

pub(super) async fn speech(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !authorized(&shared, &headers) {
        return forbid(&shared);
    }
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    if get("model") != Some("bulbul:v3") || query.iter().any(|(n, _)| n != "model" && n != "send_completion_event") {
        return refuse(&shared, 400, "invalid_request_error", "only bulbul:v3 here, and no other parameter");
    }
    let tells_end = get("send_completion_event") == Some("true");
    let fault = shared.sarvam.speech_fault.take_if(|fault| matches!(fault, SarvamSpeechFault::Status(_)));
    if let Some(SarvamSpeechFault::Status(status)) = fault {
        return refuse(&shared, status, "internal_server_error", "This was asked for.");
    }
    let upgrade = upgrade.read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
    upgrade.on_upgrade(move |socket| async move {
        shared.sarvam.count(|stats| {
            stats.speech_streams += 1;
            stats.speech_open += 1;
        });
        let stop = shared.stop.clone();
        let voice = Voice { shared: Arc::clone(&shared), socket, tells_end, sample_rate_hz: None, text: String::new() };
        tokio::select! {
            () = voice.run() => {}
            () = stop.cancelled() => {}
        }
        shared.sarvam.count(|stats| stats.speech_open -= 1);
    })
}

struct Voice {
    shared: Arc<Shared>,
    socket: WebSocket,
    tells_end: bool,
    /// Known once it is configured.
    sample_rate_hz: Option<usize>,
    text: String,
}

/// The client is gone, or was told to go.
struct Over;

impl Voice {
    async fn run(mut self) {
        loop {
            let text = match self.socket.recv().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return,
            };
            let message: Value = serde_json::from_str(&text).unwrap_or_default();
            let step = match message["type"].as_str() {
                Some("config") => self.configure(&message["data"]),
                Some("text") => self.add(&message["data"]),
                Some("flush") if self.sample_rate_hz.is_some() => {
                    if self.say().await.is_err() {
                        return;
                    }
                    Ok(())
                }
                Some("ping") => Ok(()),
                Some(_) | None => Err("First message must be a config".to_owned()),
            };
            if let Err(message) = step {
                self.shared.sarvam.count(|stats| stats.refused += 1);
                let _ = self.error(422, &message).await;
                return;
            }
        }
    }

    fn configure(&mut self, data: &Value) -> Result<(), String> {
        let object = data.as_object().ok_or("data : Field required")?;
        if let Some(name) = object.keys().find(|name| !CONFIG.contains(&name.as_str())) {
            return Err(format!("data.{name} : Extra inputs are not permitted"));
        }
        let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
        let language = if object.contains_key("language_code") { "language_code" } else { "target_language_code" };
        if !LANGUAGES.contains(&text(language)) {
            return Err("data.language_code : Input should be a supported language".into());
        }
        if !SPEAKERS.contains(&text("speaker")) {
            return Err(format!("Speaker '{}' is not compatible with model bulbul:v3", text("speaker")));
        }
        if text("output_audio_codec") != "linear16" {
            return Err("only linear16 here".into());
        }
        if object.get("pace").is_some_and(|pace| !pace.as_f64().is_some_and(|pace| (0.5..=2.0).contains(&pace))) {
            return Err("data.pace : Input should be 0.5 to 2.0".into());
        }
        let rate = object.get("speech_sample_rate").and_then(Value::as_u64).unwrap_or(22_050);
        if ![8_000, 16_000, 22_050, 24_000].contains(&rate) {
            return Err("data.speech_sample_rate : not supported".into());
        }
        self.sample_rate_hz = Some(rate as usize);
        *self.shared.sarvam.last_config.lock().expect("no holder panics") = data.to_string();
        Ok(())
    }

    fn add(&mut self, data: &Value) -> Result<(), String> {
        if self.sample_rate_hz.is_none() {
            return Err("First message must be a config".into());
        }
        let text = data["text"].as_str().filter(|text| !text.is_empty()).ok_or("'text' cannot be empty")?;
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err("text: String should have at most 2500 characters".into());
        }
        self.text.push_str(text);
        Ok(())
    }

    async fn error(&mut self, code: u16, message: &str) -> Result<(), Over> {
        let request_id = self.shared.sarvam.request_id();
        self.send(&json!({"type":"error","data":{"message":message,"code":code,"request_id":request_id}})).await
    }

    async fn send(&mut self, message: &Value) -> Result<(), Over> {
        self.socket.send(Message::text(message.to_string())).await.map_err(|_| Over)
    }

    async fn say(&mut self) -> Result<(), Over> {
        let fault = self.shared.sarvam.speech_fault.take_if(|fault| !matches!(fault, SarvamSpeechFault::Status(_)));
        let outcome = self.sound(fault).await;
        self.shared.sarvam.count(|stats| if outcome.is_ok() { stats.sentences += 1 } else { stats.aborted += 1 });
        outcome?;
        if self.tells_end {
            self.send(&json!({"type":"event","data":{"event_type":"final"}})).await?;
        }
        if fault == Some(SarvamSpeechFault::CloseAtEnd) {
            let _ = self.socket.send(Message::Close(None)).await;
            return Err(Over);
        }
        Ok(())
    }

    async fn sound(&mut self, fault: Option<SarvamSpeechFault>) -> Result<(), Over> {
        use SarvamSpeechFault::{CutAfter, Empty, ErrorAfter, Mp3, NotBase64, NotJson, StallAfter, Wav};
        let words = std::mem::take(&mut self.text).split_whitespace().count().max(1) as u64;
        let settings = self.shared.settings.clone();
        let chunks = (words * settings.speech_word_ms).div_ceil(CHUNK_MS as u64) as usize;
        let (begun, request_id) = (Instant::now(), self.shared.sarvam.request_id());
        for n in 0..if fault == Some(Empty) { 0 } else { chunks } {
            match fault {
                Some(StallAfter(k)) if k == n => self.until(None).await?,
                Some(CutAfter(k)) if k == n => return Err(Over),
                Some(ErrorAfter(k, code)) if k == n => {
                    self.error(code, "This was asked for.").await?;
                    return Err(Over);
                }
                Some(_) | None => {}
            }
            let made = Duration::from_secs_f64((n * CHUNK_MS) as f64 / 1_000.0 / settings.speech_speed);
            self.until(Some(begun + Duration::from_millis(settings.speech_first_ms) + made)).await?;
            let pcm = self.chunk(n);
            self.shared.sarvam.count(|stats| stats.speech_bytes += pcm.len() as u64);
            let kind = if fault == Some(Mp3) { "audio/mpeg" } else { "audio/pcm" };
            let audio = match fault {
                Some(Wav) if n == 0 => BASE64.encode(b"RIFF\xFF\xFF\xFF\xFFWAVEfmt "),
                Some(NotBase64) => "%%%".to_owned(),
                Some(_) | None => BASE64.encode(pcm),
            };
            if fault == Some(NotJson) {
                self.socket.send(Message::text("{oops")).await.map_err(|_| Over)?;
            } else {
                let data = json!({"request_id":request_id,"content_type":kind,"audio":audio});
                self.send(&json!({"type":"audio","data":data})).await?;
            }
        }
        Ok(())
    }

    /// Waits, and notices when the client goes; without an end it waits for that.
    async fn until(&mut self, at: Option<Instant>) -> Result<(), Over> {
        loop {
            let message = match at {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => return Ok(()),
                    message = self.socket.recv() => message,
                },
                None => self.socket.recv().await,
            };
            match message {
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return Err(Over),
            }
        }
    }

    /// Something like speech: a tone that swells and fades four times a second.
    fn chunk(&self, number: usize) -> Vec<u8> {
        let rate = self.sample_rate_hz.unwrap_or(8_000);
        let samples = rate * CHUNK_MS / 1_000;
        let sample = |n: usize| {
            let turn = std::f64::consts::TAU * n as f64 / rate as f64;
            // Never quite silent, so that a listener finds no gap in it.
            let swell = 0.55 - 0.45 * (turn * 4.0).cos();
            ((turn * 280.0).sin() * swell * 8_000.0) as i16
        };
        (number * samples..(number + 1) * samples).flat_map(|n| sample(n).to_le_bytes()).collect()
    }
}
