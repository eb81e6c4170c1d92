//! Sarvam's sockets: live transcription in both protocols, and speech. Sources: see `wire::sarvam`; the shapes of what
//! is refused as observed by others (403 before the upgrade, `{"error":{"message","code","request_id"}}`).

mod listen;
mod speech;

pub use listen::SarvamListenFault;
pub use speech::SarvamSpeechFault;

use super::Shared;
use super::faults::FaultLine;
use axum::Json;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What the fake has seen since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SarvamStats {
    /// Handshakes and messages that Sarvam refuses.
    pub refused: u64,
    /// Transcription streams opened.
    pub listen_streams: u64,
    /// Transcription streams open now.
    pub listen_open: u64,
    /// Audio received by them, in bytes.
    pub listen_bytes: u64,
    /// Final texts sent by them, empty ones not counted.
    pub listen_finals: u64,
    /// Flushes received by them.
    pub listen_flushes: u64,
    /// Pings received by them.
    pub listen_pings: u64,
    /// Streams ended by the client in words.
    pub listen_farewells: u64,
    /// Speech connections opened.
    pub speech_streams: u64,
    /// Speech connections open now.
    pub speech_open: u64,
    /// Sentences said to their end.
    pub sentences: u64,
    /// Sentences the client did not wait for.
    pub aborted: u64,
    /// Sound sent, in bytes.
    pub speech_bytes: u64,
}

/// The fake's own state.
#[derive(Debug, Default)]
pub struct Sarvam {
    stats: Mutex<SarvamStats>,
    listen_fault: FaultLine<SarvamListenFault>,
    speech_fault: FaultLine<SarvamSpeechFault>,
    last_query: Mutex<String>,
    last_config: Mutex<String>,
    requests: AtomicU64,
}

impl Sarvam {
    /// What it has seen.
    #[must_use]
    pub fn stats(&self) -> SarvamStats {
        *self.stats.lock().expect("no holder panics")
    }

    /// The query of the last transcription stream that was accepted.
    #[must_use]
    pub fn last_query(&self) -> String {
        self.last_query.lock().expect("no holder panics").clone()
    }

    /// The last configuration of speech.
    #[must_use]
    pub fn last_config(&self) -> String {
        self.last_config.lock().expect("no holder panics").clone()
    }

    /// The next `times` transcription streams go wrong.
    pub fn break_listen(&self, fault: SarvamListenFault, times: u32) {
        self.listen_fault.set(fault, times);
    }

    /// The next `times` sentences (for a refused handshake: connections) go wrong.
    pub fn break_speech(&self, fault: SarvamSpeechFault, times: u32) {
        self.speech_fault.set(fault, times);
    }

    fn count(&self, change: impl FnOnce(&mut SarvamStats)) {
        change(&mut self.stats.lock().expect("no holder panics"));
    }

    fn request_id(&self) -> String {
        format!("20261121_{:08}", self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/speech-to-text-realtime/ws", get(listen::realtime))
        .route("/speech-to-text/ws", get(listen::streaming))
        .route("/text-to-speech/ws", get(speech::speech))
}

/// The key stands in a header of its own, or as a Bearer token.
fn authorized(shared: &Shared, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let key = text("api-subscription-key").or(bearer).unwrap_or_default();
    match &shared.settings.key {
        Some(wanted) => key == wanted,
        None => !key.trim().is_empty(),
    }
}

fn refuse(shared: &Shared, status: u16, code: &str, message: &str) -> Response {
    shared.sarvam.count(|stats| stats.refused += 1);
    let status = StatusCode::from_u16(status).expect("tests name real statuses");
    let body = json!({"error":{"message":message,"code":code,"request_id":""}});
    let mut response = (status, Json(body)).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("7"));
    }
    response
}

fn forbid(shared: &Shared) -> Response {
    refuse(shared, 403, "invalid_api_key_error", "Invalid or missing authentication credentials")
}
