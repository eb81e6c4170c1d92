//! Cartesia text to speech: one WebSocket for many sentences, each in a context of its own.
//!
//! A cancelled sentence may go on for a moment: they stop only what has not begun. What still comes is not listened to.
//!
//! Sources: see `wire::cartesia`; for the check docs.cartesia.ai/api-reference/voices/list.

mod talk;

use crate::Error;
use crate::http::{Http, join_url};
use crate::live::{Address, Vendor};
use crate::speaker::{SpeakRequest, Speaker, SpeechChunk};
use crate::speech_socket::{CONNECTIONS_MAX, Limits, Protocol, SpeechDeadlines, SpeechSocket, Talk, ask};
use http::header::{AUTHORIZATION, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use talk::{Contexts, VENDOR};
use tokio::sync::mpsc;
use wire::cartesia::{GenerationConfig, IDLE_CLOSES_AFTER_S, VERSION, query};

/// Name of this provider.
const NAME: &str = "cartesia";
/// Cartesia's own address.
pub const BASE_URL: &str = "wss://api.cartesia.ai";
/// Their newest model.
pub const MODEL: &str = "sonic-3.5";
/// The voice of their documentation.
pub const VOICE: &str = "a0e99841-438c-4a64-b679-ae501e7d6091";
/// A connection without sentences is closed after so long, a minute before they do it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(IDLE_CLOSES_AFTER_S - 60);
/// Sentences on one connection: they recommend dozens.
const SENTENCES_PER_CONNECTION: usize = 24;

/// How to reach Cartesia and what to ask of it.
#[derive(Clone, Debug)]
pub struct CartesiaSettings {
    /// Address without path, `wss://` or `https://` (`ws://` for tests).
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// Model name.
    pub model: String,
    /// Voice when the request names none.
    pub voice: String,
    /// 0.6 to 1.5; `None` = as the voice speaks.
    pub speed: Option<f64>,
    /// 0.5 to 2.0; `None` = as the voice speaks.
    pub volume: Option<f64>,
    /// Connections at a time.
    pub connections_max: usize,
    /// A connection without sentences is closed after so long.
    pub idle_timeout: Duration,
    /// How long speech may take.
    pub deadlines: SpeechDeadlines,
}

impl CartesiaSettings {
    /// Cartesia's own service with its usual settings.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            model: MODEL.to_owned(),
            voice: VOICE.to_owned(),
            speed: None,
            volume: None,
            connections_max: CONNECTIONS_MAX,
            idle_timeout: IDLE_TIMEOUT,
            deadlines: SpeechDeadlines::default(),
        }
    }

    const fn config(&self) -> GenerationConfig {
        GenerationConfig { speed: self.speed, volume: self.volume }
    }
}

/// Cartesia.
#[derive(Clone, Debug)]
pub struct CartesiaSpeaker {
    http: Http,
    settings: CartesiaSettings,
    socket: SpeechSocket,
}

impl CartesiaSpeaker {
    /// A speaker; nothing is sent yet.
    #[must_use]
    pub fn new(http: Http, settings: CartesiaSettings) -> Self {
        let limits = Limits {
            connections: settings.connections_max,
            sentences: SENTENCES_PER_CONNECTION,
            pace: None,
            idle_timeout: settings.idle_timeout,
            deadlines: settings.deadlines,
        };
        let socket = SpeechSocket::new(Cartesia { http: http.clone(), settings: settings.clone() }, limits);
        Self { http, settings, socket }
    }

    /// Whether service and key work. Speaks nothing.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let url = format!("{}?limit=1", join_url(&self.settings.base_url, "voices/"));
        let version = Some(("cartesia-version", VERSION));
        ask(&VENDOR, &self.http, &url, key_header(&self.settings.key), version).await?.fine(&VENDOR)
    }

    /// Opens the connection that a sentence will want.
    ///
    /// # Errors
    /// What stands in the way. The sentence will meet it again.
    pub async fn warm(&self, like: &SpeakRequest) -> Result<(), Error> {
        self.socket.warm(like).await
    }
}

impl Speaker for CartesiaSpeaker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        self.socket.speak(request)
    }
}

fn key_header(key: &SecretString) -> (HeaderName, String) {
    (AUTHORIZATION, format!("Bearer {}", key.expose_secret().trim()))
}

struct Cartesia {
    http: Http,
    settings: CartesiaSettings,
}

impl Protocol for Cartesia {
    fn vendor(&self) -> &'static Vendor {
        &VENDOR
    }

    fn address(&self, _request: &SpeakRequest) -> Result<Address, Error> {
        let base = join_url(&self.settings.base_url, "tts/websocket");
        Address::new(&VENDOR, &self.http, &base, &query(), key_header(&self.settings.key))
    }

    fn talk(&self) -> Box<dyn Talk> {
        Box::new(Contexts::new(&self.settings))
    }
}
