//! Fake vendors over real sockets: a chat model, speech and transcription as OpenAI offers them, a model as Anthropic
//! does, live transcription as Deepgram does, and a bucket as Amazon does ([`bucket`]).
//!
//! As strict as the real ones: a request that they would refuse is refused, with their words. Latencies are fixed, so
//! that what is measured is the server between them. Cheap for each stream: they share the machine with that server.

mod answer;
mod aura;
pub mod bucket;
mod cartesia;
mod chat;
mod ear;
mod elevenlabs;
pub mod embeddings;
mod faults;
mod gemini_live;
mod listen;
mod messages;
mod openai_realtime;
mod sarvam;
mod scribe;
mod speech;
mod transcriptions;
mod voices;
mod way;

pub use answer::{Answers, ToolStyle};
pub use faults::{ChatFault, ListenFault, SpeechFault, TranscriptionFault, WayFault};
pub use gemini_live::{GeminiFault, GeminiLive, GeminiStats};
pub use listen::Transcripts;
pub use openai_realtime::{OpenAiRealtime, RealtimeFault, RealtimeStats, Reply};
pub use sarvam::{Sarvam, SarvamListenFault, SarvamSpeechFault, SarvamStats};
pub use scribe::{Scribe, ScribeFault, ScribeStats};
pub use transcriptions::TranscriptionAsked;
pub use voices::{VoiceFault, Voices, VoicesSettings, VoicesStats};
pub use way::Way;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use faults::Faults;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How the fakes behave. The defaults are the fixed latencies of our comparisons between voice servers, so that figures
/// can be set side by side.
#[derive(Clone, Debug)]
pub struct VendorSettings {
    /// The key that is accepted; `None` = any that is not empty.
    pub key: Option<String>,
    /// What the model answers.
    pub answers: Answers,
    /// From a chat request to its first token, in milliseconds.
    pub chat_first_ms: u64,
    /// From token to token, in milliseconds.
    pub chat_token_ms: u64,
    /// What the caller is taken to have said.
    pub transcripts: Transcripts,
    /// From the end of an utterance (or `Finalize`) to its final text, in milliseconds.
    pub listen_final_ms: u64,
    /// Between interim results, in milliseconds of speech.
    pub listen_interim_ms: u64,
    /// Without audio or `KeepAlive` for so long a stream is closed, in milliseconds.
    pub listen_idle_ms: u64,
    /// From a speech request to its first chunk, in milliseconds.
    pub speech_first_ms: u64,
    /// How many times faster than it is spoken speech is made.
    pub speech_speed: f64,
    /// How long a word is, in milliseconds.
    pub speech_word_ms: u64,
}

impl Default for VendorSettings {
    fn default() -> Self {
        Self {
            key: None,
            answers: Answers::Order,
            chat_first_ms: 100,
            chat_token_ms: 10,
            transcripts: Transcripts::Numbered,
            listen_final_ms: 50,
            listen_interim_ms: 300,
            listen_idle_ms: 10_000,
            speech_first_ms: 80,
            speech_speed: 10.0,
            speech_word_ms: 330,
        }
    }
}

impl VendorSettings {
    /// No waiting at all: for tests of behaviour.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            chat_first_ms: 0,
            chat_token_ms: 0,
            listen_final_ms: 0,
            speech_first_ms: 0,
            speech_speed: 10_000.0,
            ..Self::default()
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What the fakes have seen since they were started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct VendorStats { $($(#[$doc])* pub $name: u64),* }

        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64),* }

        impl Counters {
            fn snapshot(&self) -> VendorStats {
                VendorStats { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }
    };
}

counters! {
    /// Requests that a strict vendor refuses (also for their key).
    refused,
    /// Chat requests accepted.
    chat_requests,
    /// Chat answers that the client did not wait for.
    chat_aborted,
    /// Tokens sent, of chats and messages.
    chat_tokens,
    /// Messages requests accepted.
    messages_requests,
    /// Messages that the client did not wait for.
    messages_aborted,
    /// Transcription requests accepted.
    transcription_requests,
    /// Transcriptions that the client did not wait for.
    transcription_aborted,
    /// Speech requests accepted.
    speech_requests,
    /// Speech that the client did not wait for.
    speech_aborted,
    /// Speech sent, in bytes.
    speech_bytes,
    /// Transcription streams opened.
    listen_streams,
    /// Transcription streams open now.
    listen_open,
    /// Audio messages received.
    listen_messages,
    /// Audio received, in bytes.
    listen_bytes,
    /// Final texts sent, empty ones not counted.
    listen_finals,
    /// `Finalize` received.
    listen_finalizes,
    /// `KeepAlive` received.
    listen_keep_alives,
    /// `CloseStream` received.
    listen_farewells,
}

/// What all handlers share.
pub(crate) struct Shared {
    pub(crate) settings: VendorSettings,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
    /// What is said in live transcription from a moment of a stream's audio on; see [`FakeVendors::speak_at`].
    pub(crate) spoken_at: Mutex<Vec<(u64, String)>>,
    pub(crate) last_chat: Mutex<String>,
    pub(crate) last_messages: Mutex<String>,
    /// Instructions that were to be cached.
    pub(crate) cached_systems: Mutex<BTreeSet<String>>,
    pub(crate) last_transcription: Mutex<TranscriptionAsked>,
    pub(crate) last_speech: Mutex<String>,
    pub(crate) sarvam: Sarvam,
    pub(crate) stop: CancellationToken,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Running fakes; dropping ends them.
pub struct FakeVendors {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl FakeVendors {
    /// Starts them on a free port of this machine.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn start(settings: VendorSettings) -> std::io::Result<Self> {
        Self::start_on(settings, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts them on a given address.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub async fn start_on(settings: VendorSettings, address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            settings,
            counters: Counters::default(),
            faults: Faults::default(),
            spoken_at: Mutex::default(),
            last_chat: Mutex::default(),
            last_messages: Mutex::default(),
            cached_systems: Mutex::default(),
            last_transcription: Mutex::default(),
            last_speech: Mutex::default(),
            sarvam: Sarvam::default(),
            stop: CancellationToken::new(),
        });
        let router = Router::new()
            .route("/v1/models", get(chat::models))
            .route("/v1/chat/completions", post(chat::completions))
            .route("/v1/audio/speech", post(speech::speech))
            .route(
                "/v1/audio/transcriptions",
                post(transcriptions::transcriptions).layer(DefaultBodyLimit::max(transcriptions::BODY_BYTES_MAX)),
            )
            .route("/anthropic/v1/models", get(messages::models))
            .route("/anthropic/v1/messages", post(messages::messages))
            .route("/v1/listen", get(listen::listen))
            .merge(sarvam::routes())
            .with_state(Arc::clone(&shared));
        serve(listener, router, shared.stop.clone());
        Ok(Self { address, shared })
    }

    /// Where they listen.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL for the OpenAI protocol.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Base URL for the Messages API.
    #[must_use]
    pub fn anthropic_url(&self) -> String {
        format!("http://{}/anthropic/v1", self.address)
    }

    /// Address of the Deepgram endpoint.
    #[must_use]
    pub fn listen_url(&self) -> String {
        format!("ws://{}/v1/listen", self.address)
    }

    /// Base address of Sarvam's sockets.
    #[must_use]
    pub fn sarvam_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Sarvam's own state.
    #[must_use]
    pub fn sarvam(&self) -> &Sarvam {
        &self.shared.sarvam
    }

    /// What they have seen.
    #[must_use]
    pub fn stats(&self) -> VendorStats {
        self.shared.counters.snapshot()
    }

    /// The body of the last chat request that was accepted.
    #[must_use]
    pub fn last_chat(&self) -> String {
        self.shared.last_chat.lock().expect("no holder panics").clone()
    }

    /// The body of the last messages request that was accepted.
    #[must_use]
    pub fn last_messages(&self) -> String {
        self.shared.last_messages.lock().expect("no holder panics").clone()
    }

    /// What the last transcription request that was accepted asked for.
    #[must_use]
    pub fn last_transcription(&self) -> TranscriptionAsked {
        self.shared.last_transcription.lock().expect("no holder panics").clone()
    }

    /// The body of the last speech request that was accepted.
    #[must_use]
    pub fn last_speech(&self) -> String {
        self.shared.last_speech.lock().expect("no holder panics").clone()
    }

    /// Live transcription takes the sound that begins after such a moment of a stream's audio, in milliseconds, for this
    /// text, however often it is asked about it. Before the first moment the settings say what is heard.
    pub fn speak_at(&self, moments: &[(u64, &str)]) {
        let moments = moments.iter().map(|(at_ms, text)| (*at_ms, (*text).to_owned())).collect();
        *self.shared.spoken_at.lock().expect("no holder panics") = moments;
    }

    /// The next `times` chat requests go wrong.
    pub fn break_chat(&self, fault: ChatFault, times: u32) {
        self.shared.faults.chat.set(fault, times);
    }

    /// The next `times` messages requests go wrong.
    pub fn break_messages(&self, fault: ChatFault, times: u32) {
        self.shared.faults.messages.set(fault, times);
    }

    /// The next `times` requests for a transcription go wrong.
    pub fn break_transcription(&self, fault: TranscriptionFault, times: u32) {
        self.shared.faults.transcription.set(fault, times);
    }

    /// The next `times` speech requests go wrong.
    pub fn break_speech(&self, fault: SpeechFault, times: u32) {
        self.shared.faults.speech.set(fault, times);
    }

    /// The next `times` transcription streams go wrong.
    pub fn break_listen(&self, fault: ListenFault, times: u32) {
        self.shared.faults.listen.set(fault, times);
    }

    /// The next `times` transcription streams that are open and hear something go wrong from then on.
    pub fn break_open_listen(&self, fault: ListenFault, times: u32) {
        self.shared.faults.open_listen.set(fault, times);
    }
}

impl Drop for FakeVendors {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// Serves until told to stop.
pub(crate) fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    use axum::serve::ListenerExt;
    // Small messages must leave at once.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move {
        tokio::select! {
            result = async { axum::serve(listener, router).await } => {
                if let Err(error) = result { tracing::error!(%error, "fake vendors stopped"); }
            }
            () = stop.cancelled() => {}
        }
    });
}

/// What follows `scheme` in the `Authorization` header, when it is a key that is accepted.
pub(crate) fn authorized(shared: &Shared, headers: &http::HeaderMap, scheme: &str) -> bool {
    let value = headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or("");
    let Some(key) = value.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(' ')) else { return false };
    match &shared.settings.key {
        Some(wanted) => key == wanted,
        None => !key.trim().is_empty(),
    }
}

/// Waits until what was sent has surely left: an error of a body takes what is still buffered with it.
pub(crate) async fn flushed() {
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
}

/// Counts an answer as aborted when it is dropped before its end.
pub(crate) struct AbortWatch {
    shared: Arc<Shared>,
    counter: fn(&Counters) -> &AtomicU64,
    complete: bool,
}

impl AbortWatch {
    pub(crate) const fn new(shared: Arc<Shared>, counter: fn(&Counters) -> &AtomicU64) -> Self {
        Self { shared, counter, complete: false }
    }

    pub(crate) const fn complete(&mut self) {
        self.complete = true;
    }
}

impl Drop for AbortWatch {
    fn drop(&mut self) {
        if !self.complete {
            add((self.counter)(&self.shared.counters), 1);
        }
    }
}
