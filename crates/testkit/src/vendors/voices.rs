//! Fake voices over WebSockets, as strict as the real ones: ElevenLabs, Cartesia and Deepgram, each under its own path.
//!
//! Here is what they have in common: the making of speech in pieces of 100 ms, and what can go wrong with it.

use super::faults::FaultLine;
use super::{aura, cartesia, elevenlabs, serve};
use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Length of one piece, in milliseconds.
pub(super) const PIECE_MS: usize = 100;
/// Pieces that still come after a cancellation that the vendor does not take at once.
pub(super) const PIECES_AFTER_CANCEL: usize = 2;

/// How the voices behave.
#[derive(Clone, Debug)]
pub struct VoicesSettings {
    /// The key that is accepted.
    pub key: String,
    /// From a sentence to its first piece, in milliseconds.
    pub first_ms: u64,
    /// How many times faster than it is spoken speech is made.
    pub speed: f64,
    /// How long a word is, in milliseconds.
    pub word_ms: usize,
}

impl VoicesSettings {
    /// No waiting at all.
    #[must_use]
    pub fn instant(key: &str) -> Self {
        Self { key: key.to_owned(), first_ms: 0, speed: 10_000.0, word_ms: 330 }
    }
}

/// How a sentence goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoiceFault {
    /// Nothing more after so many pieces.
    StallAfter(usize),
    /// The connection breaks after so many pieces.
    CutAfter(usize),
    /// The connection is closed with this code after so many pieces.
    CloseAfter {
        /// Pieces.
        pieces: usize,
        /// Code.
        code: u16,
    },
    /// Text that is not JSON after so many pieces.
    GarbageAfter(usize),
    /// The vendor's own error of this HTTP-like status instead of speech.
    Error(u16),
    /// WAV although raw samples were asked for.
    Wav,
    /// No sound at all.
    Empty,
    /// Sound without end.
    Endless,
    /// Messages of kinds that nobody knows before each piece.
    Novelties,
    /// A cancellation is not answered.
    DeafToCancel,
}

/// What the voices have seen since they were started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoicesStats {
    /// Handshakes and messages that a strict vendor refuses.
    pub refused: u64,
    /// Small questions whether the key works, answered.
    pub checks: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Sentences begun.
    pub sentences: u64,
    /// Sentences told to be complete.
    pub completed: u64,
    /// Cancellations received.
    pub cancelled: u64,
    /// Sound sent, in bytes.
    pub bytes: u64,
    /// Farewells received.
    pub farewells: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) refused: AtomicU64,
    pub(super) checks: AtomicU64,
    connections: AtomicU64,
    open: AtomicU64,
    sentences: AtomicU64,
    completed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    bytes: AtomicU64,
    pub(super) farewells: AtomicU64,
}

pub(super) struct Shared {
    pub(super) settings: VoicesSettings,
    pub(super) counters: Counters,
    faults: FaultLine<VoiceFault>,
    refusals: FaultLine<u16>,
    last_url: Mutex<String>,
    last_messages: Mutex<Vec<Value>>,
    stop: CancellationToken,
}

/// Running voices; dropping ends them.
pub struct Voices {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Voices {
    /// Starts them on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(settings: VoicesSettings) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            settings,
            counters: Counters::default(),
            faults: FaultLine::default(),
            refusals: FaultLine::default(),
            last_url: Mutex::default(),
            last_messages: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let router = Router::new()
            .route("/elevenlabs/v1/models", get(elevenlabs::models))
            .route("/elevenlabs/v1/text-to-speech/{voice}/multi-stream-input", get(elevenlabs::stream))
            .route("/cartesia/voices/", get(cartesia::voices))
            .route("/cartesia/tts/websocket", get(cartesia::websocket))
            .route("/aura/v1/speak", get(aura::speak))
            .with_state(Arc::clone(&shared));
        serve(listener, router, shared.stop.clone());
        Ok(Self { address, shared })
    }

    /// Base address of a vendor: `elevenlabs`, `cartesia` or `aura`.
    #[must_use]
    pub fn url(&self, vendor: &str) -> String {
        format!("ws://{}/{vendor}", self.address)
    }

    /// What they have seen.
    #[must_use]
    pub fn stats(&self) -> VoicesStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        VoicesStats {
            refused: get(&counters.refused),
            checks: get(&counters.checks),
            connections: get(&counters.connections),
            open: get(&counters.open),
            sentences: get(&counters.sentences),
            completed: get(&counters.completed),
            cancelled: get(&counters.cancelled),
            bytes: get(&counters.bytes),
            farewells: get(&counters.farewells),
        }
    }

    /// Path and query of the last connection.
    #[must_use]
    pub fn last_url(&self) -> String {
        self.shared.last_url.lock().expect("no holder panics").clone()
    }

    /// All messages received on the connection opened last.
    #[must_use]
    pub fn last_messages(&self) -> Vec<Value> {
        self.shared.last_messages.lock().expect("no holder panics").clone()
    }

    /// The next `times` sentences go wrong.
    pub fn break_sentences(&self, fault: VoiceFault, times: u32) {
        self.shared.faults.set(fault, times);
    }

    /// The next `times` handshakes (and small questions) are refused with this status; 429 says to wait 7 s.
    pub fn refuse(&self, status: u16, times: u32) {
        self.shared.refusals.set(status, times);
    }
}

impl Drop for Voices {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    /// The refusal that was asked for.
    pub(super) fn refusal(&self) -> Option<u16> {
        self.refusals.take()
    }

    pub(super) fn refuse(&self, status: u16, body: &Value) -> Response {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let status = StatusCode::from_u16(status).expect("tests name real statuses");
        let mut response = (status, axum::Json(body.clone())).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("7"));
        }
        response
    }

    /// Is the key there under this name, after this scheme?
    pub(super) fn has_key(&self, headers: &HeaderMap, name: &str, scheme: &str) -> bool {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.strip_prefix(scheme).is_some_and(|key| key == self.settings.key)
    }
}

/// A vendor's side of a connection.
pub(super) trait Dialect: Send + 'static {
    /// What is said first.
    fn hello(&self) -> Option<String> {
        None
    }
    /// A message of the client.
    fn take(&mut self, message: &Value, desk: &mut Desk) -> Step;
    /// A piece of speech.
    fn piece(&mut self, making: &Making, sound: &[u8]) -> Vec<Message>;
    /// A sentence is complete.
    fn end(&mut self, making: &Making) -> Vec<Message>;
    /// The vendor's error instead of speech.
    fn error(&self, making: &Making, status: u16) -> Message;
}

/// What happens to the connection.
pub(super) enum Step {
    On,
    Close { say: Option<String>, code: u16, reason: &'static str },
    Gone,
}

/// Speech being made.
#[derive(Clone, Debug)]
pub(super) struct Making {
    pub(super) name: String,
    pub(super) text: String,
    rate: usize,
    /// Which piece is next.
    pub(super) next: usize,
    pub(super) pieces: usize,
    begun: Instant,
    pub(super) fault: Option<VoiceFault>,
    /// It will not be told to be complete.
    pub(super) cancelled: bool,
}

impl Making {
    /// Words with their times: beginning and end in milliseconds.
    pub(super) fn words(&self, word_ms: usize) -> Vec<(&str, usize, usize)> {
        let words = self.text.split_whitespace().enumerate();
        words.map(|(n, word)| (word, n * word_ms, n * word_ms + word_ms - 30)).collect()
    }
}

/// What a vendor has on its desk for one connection.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    pub(super) makings: Vec<Making>,
    pub(super) say: Vec<Message>,
}

impl Desk {
    pub(super) fn begin(&mut self, name: &str, text: &str, rate: usize) {
        self.shared.counters.sentences.fetch_add(1, Ordering::Relaxed);
        let fault = self.shared.faults.take();
        let words = text.split_whitespace().count().max(1);
        let pieces = match fault {
            Some(VoiceFault::Empty) => 0,
            Some(VoiceFault::Endless) => usize::MAX,
            _ => (words * self.shared.settings.word_ms).div_ceil(PIECE_MS),
        };
        let (name, text) = (name.to_owned(), text.to_owned());
        self.makings.push(Making { name, text, rate, next: 0, pieces, begun: Instant::now(), fault, cancelled: false });
    }

    fn due(&self) -> Option<(usize, Instant)> {
        let settings = &self.shared.settings;
        let due = |making: &Making| {
            let made_ms = (making.next * PIECE_MS) as f64 / settings.speed;
            making.begun + Duration::from_millis(settings.first_ms) + Duration::from_secs_f64(made_ms / 1_000.0)
        };
        let going = |making: &&Making| !matches!(making.fault, Some(VoiceFault::StallAfter(n)) if n == making.next);
        let all = self.makings.iter().enumerate().filter(|(_, making)| going(making));
        all.map(|(n, making)| (n, due(making))).min_by_key(|(_, at)| *at)
    }

    fn make(&mut self, n: usize, dialect: &mut impl Dialect) -> Step {
        let making = self.makings[n].clone();
        match making.fault {
            Some(VoiceFault::CutAfter(k)) if k == making.next => return Step::Gone,
            Some(VoiceFault::CloseAfter { pieces, code }) if pieces == making.next => {
                return Step::Close { say: None, code, reason: "fault" };
            }
            Some(VoiceFault::GarbageAfter(k)) if k == making.next => self.say.push(Message::text("{oops")),
            Some(VoiceFault::Error(status)) => {
                self.say.push(dialect.error(&making, status));
                self.makings.remove(n);
                return Step::On;
            }
            Some(VoiceFault::Novelties) => {
                for novelty in [r#"{"type":"novelty","x":[1]}"#, "{}", r#"{"contextId":7,"context_id":{}}"#] {
                    self.say.push(Message::text(novelty));
                }
            }
            Some(_) | None => {}
        }
        if making.next >= making.pieces {
            self.makings.remove(n);
            if !making.cancelled {
                self.shared.counters.completed.fetch_add(1, Ordering::Relaxed);
                self.say.extend(dialect.end(&making));
            }
            return Step::On;
        }
        let mut sound = sound(making.rate, making.next);
        if making.fault == Some(VoiceFault::Wav) && making.next == 0 {
            sound[..4].copy_from_slice(b"RIFF");
        }
        self.shared.counters.bytes.fetch_add(sound.len() as u64, Ordering::Relaxed);
        self.say.extend(dialect.piece(&making, &sound));
        self.makings[n].next += 1;
        Step::On
    }
}

/// A loud piece, which goes on from the one before it.
fn sound(rate: usize, piece: usize) -> Vec<u8> {
    let samples = rate * PIECE_MS / 1_000;
    let sample = |n: usize| (((piece * samples + n) % 80) as i16 - 40) * 100;
    (0..samples).flat_map(|n| sample(n).to_le_bytes()).collect()
}

/// One connection.
pub(super) async fn run(mut socket: WebSocket, shared: Arc<Shared>, url: String, mut dialect: impl Dialect) {
    shared.counters.connections.fetch_add(1, Ordering::Relaxed);
    shared.counters.open.fetch_add(1, Ordering::Relaxed);
    *shared.last_url.lock().expect("no holder panics") = url;
    shared.last_messages.lock().expect("no holder panics").clear();
    let mut desk = Desk { shared: Arc::clone(&shared), makings: Vec::new(), say: Vec::new() };
    desk.say.extend(dialect.hello().map(Message::text));
    tokio::select! {
        () = converse(&mut socket, &mut desk, &mut dialect) => {}
        () = shared.stop.cancelled() => {}
    }
    shared.counters.open.fetch_sub(1, Ordering::Relaxed);
}

async fn converse(socket: &mut WebSocket, desk: &mut Desk, dialect: &mut impl Dialect) {
    loop {
        for message in std::mem::take(&mut desk.say) {
            if socket.send(message).await.is_err() {
                return;
            }
        }
        let due = desk.due();
        let step = tokio::select! {
            biased;
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => read(&text, desk, dialect),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Step::On,
                Some(Ok(Message::Binary(_))) => Step::Close { say: None, code: 1003, reason: "text only" },
                Some(Ok(Message::Close(_)) | Err(_)) | None => Step::Gone,
            },
            n = async { match due {
                Some((n, at)) => { sleep_until(at).await; n }
                None => std::future::pending().await,
            } } => desk.make(n, dialect),
        };
        match step {
            Step::On => {}
            Step::Gone => return,
            Step::Close { say, code, reason } => {
                for message in std::mem::take(&mut desk.say).into_iter().chain(say.map(Message::text)) {
                    let _ = socket.send(message).await;
                }
                // The other side may be gone already.
                let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
                return;
            }
        }
    }
}

fn read(text: &str, desk: &mut Desk, dialect: &mut impl Dialect) -> Step {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    desk.shared.last_messages.lock().expect("no holder panics").push(value.clone());
    let step = dialect.take(&value, desk);
    if let Step::Close { code, .. } = &step
        && *code != 1000
    {
        desk.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
    }
    step
}

/// The first key of an object that is not among these; `Some` too when it is no object.
pub(super) fn foreign_key<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    match value.as_object() {
        Some(object) => object.keys().map(String::as_str).find(|key| !known.contains(key)),
        None => Some(""),
    }
}
