//! `GET /v1/realtime` as OpenAI describes it (generally available protocol). Sources: see `wire::openai_realtime`.
//!
//! As strict as the real one: unknown events and fields are refused with an `error` event; a commit needs 100 ms of audio;
//! the conversation has one answer at a time; items must exist to be deleted or cut, and are cut within their sound.

mod session;

use super::faults::FaultLine;
use super::serve;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use session::Session;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How a connection (or, where it says so, an answer) goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealtimeFault {
    /// The handshake is refused with this status.
    Status(u16),
    /// The upgrade is answered, and nothing more.
    Mute,
    /// The session is refused with this code.
    NoSession(&'static str),
    /// An answer is not begun.
    Silent,
    /// An answer stops after so many words.
    StallAfter(usize),
    /// The connection is cut after so many words of an answer.
    CutAfter(usize),
    /// An answer fails with this code after so many words.
    FailAfter(usize, &'static str),
    /// One word comes after so many milliseconds more.
    Drip(u64),
    /// What is no event, and events nobody knows, before each event.
    Garbage,
    /// The caller's words are never written down.
    NoTranscript,
    /// An answer without end.
    Endless,
}

impl RealtimeFault {
    const fn is_of_answer(&self) -> bool {
        matches!(
            self,
            Self::Silent
                | Self::StallAfter(_)
                | Self::CutAfter(_)
                | Self::FailAfter(..)
                | Self::Drip(_)
                | Self::Endless
        )
    }
}

/// What the model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Words, spoken.
    Words(String),
    /// It asks for this function with these arguments.
    Function(String, String),
}

/// What it has seen since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RealtimeStats {
    /// Handshakes and events that are refused.
    pub refused: u64,
    /// What the last refused event was refused for.
    pub last_refusal: String,
    /// Connections opened.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Commits.
    pub commits: u64,
    /// Answers begun, those beside the conversation not counted.
    pub answers: u64,
    /// Answers beside the conversation.
    pub said: u64,
    /// Answers ended by the client.
    pub cancelled: u64,
    /// Audio received, in bytes.
    pub bytes: u64,
}

struct Shared {
    key: String,
    transcripts: Vec<String>,
    replies: Vec<Reply>,
    stats: Mutex<RealtimeStats>,
    faults: FaultLine<RealtimeFault>,
    conversation: Mutex<Vec<String>>,
    session: Mutex<Value>,
    stop: CancellationToken,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut RealtimeStats)) {
        change(&mut self.stats.lock().expect("no holder panics"));
    }
}

/// A running fake; dropping ends it.
pub struct OpenAiRealtime {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl OpenAiRealtime {
    /// Starts it on a free port of this machine: what the caller is taken to say, and what the model answers, one after
    /// the other on each connection, the last one again and again.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(key: &str, transcripts: Vec<String>, replies: Vec<Reply>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            key: key.to_owned(),
            transcripts,
            replies,
            stats: Mutex::default(),
            faults: FaultLine::default(),
            conversation: Mutex::default(),
            session: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let router = Router::new().route("/v1/realtime", get(realtime)).with_state(Arc::clone(&shared));
        serve(listener, router, shared.stop.clone());
        Ok(Self { address, shared })
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}/v1", self.address)
    }

    /// What it has seen.
    #[must_use]
    pub fn stats(&self) -> RealtimeStats {
        self.shared.stats.lock().expect("no holder panics").clone()
    }

    /// The conversation as the model knew it when it was last asked: `caller: …` (`caller audio: …` when it heard the
    /// sound), `agent: …`, `agent heard 400 ms`, `call …`, `result …`.
    #[must_use]
    pub fn conversation(&self) -> Vec<String> {
        self.shared.conversation.lock().expect("no holder panics").clone()
    }

    /// The session as it was last asked for.
    #[must_use]
    pub fn session(&self) -> Value {
        self.shared.session.lock().expect("no holder panics").clone()
    }

    /// The next `times` connections (or answers) go wrong.
    pub fn break_next(&self, fault: RealtimeFault, times: u32) {
        self.shared.faults.set(fault, times);
    }
}

impl Drop for OpenAiRealtime {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn realtime(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refuse = |status: u16, code: &str| {
        shared.count(|stats| stats.refused += 1);
        let status = StatusCode::from_u16(status).expect("tests name real statuses");
        let body = json!({"error": {"message": "secret words", "type": "invalid_request_error", "code": code}});
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        }
        response
    };
    let wanted = format!("Bearer {}", shared.key);
    if headers.get(header::AUTHORIZATION).is_none_or(|value| value.as_bytes() != wanted.as_bytes()) {
        return refuse(401, "invalid_api_key");
    }
    if query.keys().any(|name| name != "model") || query.get("model").is_none_or(String::is_empty) {
        return refuse(400, "missing_model");
    }
    let fault = shared.faults.take_if(|fault| !fault.is_of_answer());
    if let Some(RealtimeFault::Status(status)) = fault {
        return refuse(status, "asked_for");
    }
    upgrade.on_upgrade(move |socket| async move {
        shared.count(|stats| {
            stats.open += 1;
            stats.connections += 1;
        });
        let stop = shared.stop.clone();
        let session = Session::new(Arc::clone(&shared), fault);
        tokio::select! {
            () = session.run(socket) => {}
            () = stop.cancelled() => {}
        }
        shared.count(|stats| stats.open -= 1);
    })
}
