//! `GET /v1/speech-to-text/realtime` as ElevenLabs describes it, for 16 bit mono and manual commits. Sources: see
//! `wire::elevenlabs::listen`.
//!
//! As strict as the real one: unknown parameters and fields are refused, and a commit with too little new audio ends the
//! connection.

use super::ear::{Ear, Heard};
use super::faults::FaultLine;
use super::listen::Transcripts;
use super::serve;
use super::voices::foreign_key;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How a stream goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScribeFault {
    /// The handshake is refused with this status.
    Status(u16),
    /// The upgrade is answered, and nothing more, whatever comes.
    Mute,
    /// Closed with this code once so much audio has come, in milliseconds.
    CloseAfter {
        /// Audio received.
        audio_ms: u64,
        /// Close code.
        code: u16,
    },
    /// An error of this kind, and the end, once so much audio has come, in milliseconds.
    ErrorAfter {
        /// Audio received.
        audio_ms: u64,
        /// Its `message_type`.
        kind: &'static str,
    },
    /// Words are shown, commits are not answered.
    NoFinal,
    /// Sends text that is not JSON, and kinds of messages nobody knows, before each message.
    Garbage,
    /// Answers a commit this much later than usual, in milliseconds.
    Slow(u64),
}

/// What it has seen since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScribeStats {
    /// Handshakes and messages that are refused.
    pub refused: u64,
    /// Streams opened.
    pub streams: u64,
    /// Streams open now.
    pub open: u64,
    /// Audio received, in bytes.
    pub bytes: u64,
    /// Commits answered.
    pub commits: u64,
}

struct Shared {
    key: String,
    transcripts: Transcripts,
    idle: Duration,
    stats: Mutex<ScribeStats>,
    faults: FaultLine<ScribeFault>,
    last_query: Mutex<String>,
    stop: CancellationToken,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut ScribeStats)) {
        change(&mut self.stats.lock().expect("no holder panics"));
    }

    fn refuse(&self, status: u16, code: &str) -> Response {
        self.count(|stats| stats.refused += 1);
        let status = StatusCode::from_u16(status).expect("tests name real statuses");
        let body = json!({"detail": {"status": code, "message": "This was said by a fake."}});
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        }
        response
    }
}

/// A running fake; dropping ends it.
pub struct Scribe {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Scribe {
    /// Starts it on a free port of this machine. `idle` is how long a stream may be without audio.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(key: &str, transcripts: Transcripts, idle: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            key: key.to_owned(),
            transcripts,
            idle,
            stats: Mutex::default(),
            faults: FaultLine::default(),
            last_query: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let router = Router::new().route("/v1/speech-to-text/realtime", get(realtime)).with_state(Arc::clone(&shared));
        serve(listener, router, shared.stop.clone());
        Ok(Self { address, shared })
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// What it has seen.
    #[must_use]
    pub fn stats(&self) -> ScribeStats {
        *self.shared.stats.lock().expect("no holder panics")
    }

    /// The query of the last stream that was accepted.
    #[must_use]
    pub fn last_query(&self) -> String {
        self.shared.last_query.lock().expect("no holder panics").clone()
    }

    /// The next `times` streams go wrong.
    pub fn break_streams(&self, fault: ScribeFault, times: u32) {
        self.shared.faults.set(fault, times);
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// Parameters that the reference knows.
const PARAMETERS: [&str; 17] = [
    "model_id",
    "token",
    "include_timestamps",
    "include_language_detection",
    "audio_format",
    "language_code",
    "secondary_languages",
    "commit_strategy",
    "vad_silence_threshold_secs",
    "vad_threshold",
    "min_speech_duration_ms",
    "min_silence_duration_ms",
    "enable_logging",
    "keyterms",
    "no_verbatim",
    "previous_text",
    "filter_background_audio",
];
/// Fields of what is sent.
const FIELDS: [&str; 5] = ["message_type", "audio_base_64", "commit", "sample_rate", "previous_text"];
/// Less new audio than this cannot be committed, in milliseconds.
const COMMIT_MS_MIN: u64 = 300;
/// So much new audio is committed unasked, in milliseconds.
const COMMIT_MS_MAX: u64 = 36_000;

struct Options {
    sample_rate_hz: u64,
    detects: bool,
}

fn read(query: &[(String, String)]) -> Option<Options> {
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    if query.iter().any(|(name, _)| !PARAMETERS.contains(&name.as_str()))
        || get("model_id") != Some("scribe_v2_realtime")
    {
        return None;
    }
    let sample_rate_hz = get("audio_format")?.strip_prefix("pcm_")?.parse().ok()?;
    let rates = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000];
    let language_fits = get("language_code").is_none_or(|language| matches!(language.len(), 2 | 3));
    let terms = query.iter().filter(|(name, _)| name == "keyterms").map(|(_, term)| term.chars().count());
    let fits = rates.contains(&sample_rate_hz)
        && language_fits
        && get("commit_strategy") == Some("manual")
        && terms.clone().count() <= 50
        && terms.max().unwrap_or(1) <= 20;
    let detects = get("include_language_detection") == Some("true") && get("include_timestamps") == Some("true");
    fits.then_some(Options { sample_rate_hz, detects })
}

async fn realtime(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = shared.faults.take();
    if let Some(ScribeFault::Status(status)) = fault {
        return shared.refuse(status, "asked_for");
    }
    let Some(options) = read(&query) else { return shared.refuse(400, "invalid_parameters") };
    let key_fits = headers.get("xi-api-key").is_some_and(|key| key.as_bytes() == shared.key.as_bytes());
    let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    *shared.last_query.lock().expect("no holder panics") = pairs.join("&");
    upgrade.on_upgrade(move |mut socket| async move {
        if !key_fits {
            // A wrong key is told after the upgrade.
            shared.count(|stats| stats.refused += 1);
            let error =
                json!({"message_type": "auth_error", "error": "You must be authenticated to use this endpoint."});
            let _ = socket.send(Message::text(error.to_string())).await;
            return close(&mut socket, 1000, "").await;
        }
        let mut number = 0;
        shared.count(|stats| {
            stats.open += 1;
            stats.streams += 1;
            number = stats.streams;
        });
        let ear = Ear::new(options.sample_rate_hz as usize, None, 300);
        let last_input = Instant::now();
        let stream =
            Stream { shared: Arc::clone(&shared), options, fault, number, ear, since_ms: 0, part: 0, last_input };
        let stop = shared.stop.clone();
        tokio::select! {
            () = stream.run(socket) => {}
            () = stop.cancelled() => {}
        }
        shared.count(|stats| stats.open -= 1);
    })
}

async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    // The other side may be gone already.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

struct Stream {
    shared: Arc<Shared>,
    options: Options,
    fault: Option<ScribeFault>,
    number: u64,
    ear: Ear,
    /// Where the last commit was, in milliseconds of audio.
    since_ms: u64,
    /// Commits with words.
    part: usize,
    last_input: Instant,
}

/// Why a stream ends: something to say, then a close code and its reason.
type End = (Option<Value>, u16, &'static str);

impl Stream {
    async fn run(mut self, mut socket: WebSocket) {
        let started = json!({"message_type": "session_started", "session_id": "fake", "config": {}});
        let mut end = if self.say(&mut socket, started).await { None } else { return };
        while end.is_none() {
            tokio::select! {
                biased;
                () = sleep_until(self.last_input + self.shared.idle) => end = Some((None, 1000, "inactivity")),
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => end = self.take(&mut socket, &text).await,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Binary(_))) => end = Some(self.refuse()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
            }
        }
        if let Some((said, code, reason)) = end {
            if let Some(said) = said {
                self.say(&mut socket, said).await;
            }
            close(&mut socket, code, reason).await;
        }
    }

    fn refuse(&self) -> End {
        self.shared.count(|stats| stats.refused += 1);
        (Some(json!({"message_type": "input_error", "error": "secret words"})), 1000, "input_error")
    }

    async fn say(&self, socket: &mut WebSocket, message: Value) -> bool {
        if self.fault == Some(ScribeFault::Mute) {
            return true;
        }
        if self.fault == Some(ScribeFault::Garbage) {
            for garbage in ["{oops", r#"{"message_type":"novelty","text":"x"}"#, "[]", r#"{"message_type":7}"#] {
                if socket.send(Message::text(garbage)).await.is_err() {
                    return false;
                }
            }
        }
        socket.send(Message::text(message.to_string())).await.is_ok()
    }

    async fn take(&mut self, socket: &mut WebSocket, text: &str) -> Option<End> {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let audio = message["audio_base_64"].as_str().and_then(|audio| STANDARD.decode(audio).ok());
        let (Some(pcm), Some(commits)) = (audio, message["commit"].as_bool()) else { return Some(self.refuse()) };
        let fits = message["message_type"] == "input_audio_chunk"
            && message["sample_rate"].as_u64() == Some(self.options.sample_rate_hz)
            && foreign_key(&message, &FIELDS).is_none()
            && pcm.len().is_multiple_of(2)
            && (commits || !pcm.is_empty());
        if !fits {
            return Some(self.refuse());
        }
        self.last_input = Instant::now();
        self.shared.count(|stats| stats.bytes += pcm.len() as u64);
        let mut heard = Vec::new();
        self.ear.hear(&pcm, &mut heard);
        for heard in heard {
            if matches!(heard, Heard::More { .. }) {
                let text = self.text();
                let half: Vec<&str> =
                    text.split_whitespace().take(text.split_whitespace().count().div_ceil(2)).collect();
                self.say(socket, json!({"message_type": "partial_transcript", "text": half.join(" ")})).await;
            }
        }
        match self.fault {
            Some(ScribeFault::CloseAfter { audio_ms, code }) if self.ear.at_ms >= audio_ms => {
                return Some((None, code, "fault"));
            }
            Some(ScribeFault::ErrorAfter { audio_ms, kind }) if self.ear.at_ms >= audio_ms => {
                return Some((Some(json!({"message_type": kind, "error": "secret words"})), 1000, kind));
            }
            Some(_) | None => {}
        }
        if commits || self.ear.at_ms - self.since_ms >= COMMIT_MS_MAX { self.commit(socket).await } else { None }
    }

    async fn commit(&mut self, socket: &mut WebSocket) -> Option<End> {
        if self.ear.at_ms - self.since_ms < COMMIT_MS_MIN {
            self.shared.count(|stats| stats.refused += 1);
            let error =
                json!({"message_type": "commit_throttled", "error": "Commit request ignored: too little audio."});
            return Some((Some(error), 1000, "commit_throttled"));
        }
        self.since_ms = self.ear.at_ms;
        let text = if self.ear.end().is_some() {
            let text = self.text();
            self.part += 1;
            text
        } else {
            String::new()
        };
        match self.fault {
            Some(ScribeFault::NoFinal) => return None,
            Some(ScribeFault::Slow(ms)) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Some(_) | None => {}
        }
        self.shared.count(|stats| stats.commits += 1);
        self.say(socket, json!({"message_type": "committed_transcript", "text": text})).await;
        if self.options.detects {
            let more = json!({"message_type": "committed_transcript_with_timestamps", "text": text,
                "language_code": "hi", "words": []});
            self.say(socket, more).await;
        }
        None
    }

    fn text(&self) -> String {
        match &self.shared.transcripts {
            Transcripts::Numbered => format!("this is call {} turn {}", self.number, self.part + 1),
            Transcripts::Script(texts) => texts.get(self.part).or(texts.last()).cloned().unwrap_or_default(),
        }
    }
}
