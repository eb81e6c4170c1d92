//! Deepgram text to speech (Aura): a WebSocket for each sentence at a time, used again for the next.
//!
//! The voice is the model, and speaks one language. There are no word times. A cancelled sentence is cleared and the
//! connection kept. A connection takes 20 sentences a minute; one more takes another connection.
//!
//! Sources: see `wire::aura`.

mod talk;

use crate::http::{Http, join_url};
use crate::live::{Address, Vendor};
use crate::speaker::{SpeakRequest, Speaker, SpeechChunk};
use crate::speech_socket::{CONNECTIONS_MAX, Limits, Protocol, SpeechDeadlines, SpeechSocket, Talk};
use crate::{Error, ErrorKind};
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use talk::{OneByOne, VENDOR};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use wire::aura::{CLOSE, FLUSH_WINDOW_S, FLUSHES_MAX, SpeakOptions, TEXT_CHARS_MAX, voice_for};

/// Name of this provider, as of Deepgram's transcriber.
const NAME: &str = "deepgram";
/// Deepgram's own address.
pub const BASE_URL: &str = "wss://api.deepgram.com";
/// The voice they list first.
pub const VOICE: &str = "aura-2-thalia-en";
/// A connection without sentences is closed after so long. They count open connections, used or not.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How to reach Deepgram and what to ask of it.
#[derive(Clone, Debug)]
pub struct AuraSettings {
    /// Address without path, `wss://` or `https://` (`ws://` for tests).
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// Voice when the request names none, and its language is the voice's. Another language is spoken by the voice that
    /// they list first for it.
    pub voice: String,
    /// 0.7 to 1.5; `None` = as the voice speaks.
    pub speed: Option<f64>,
    /// True = they may not learn from what is said; costs more.
    pub mip_opt_out: bool,
    /// Connections at a time, which is sentences at a time.
    pub connections_max: usize,
    /// A connection without sentences is closed after so long.
    pub idle_timeout: Duration,
    /// How long speech may take.
    pub deadlines: SpeechDeadlines,
}

impl AuraSettings {
    /// Deepgram's own service with its usual settings.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            voice: VOICE.to_owned(),
            speed: None,
            mip_opt_out: false,
            connections_max: CONNECTIONS_MAX,
            idle_timeout: IDLE_TIMEOUT,
            deadlines: SpeechDeadlines::default(),
        }
    }
}

/// Deepgram's voices.
#[derive(Clone, Debug)]
pub struct AuraSpeaker {
    aura: Aura,
    socket: SpeechSocket,
}

impl AuraSpeaker {
    /// A speaker; nothing is sent yet. Of `http` the trusted roots and the connect timeout are used.
    #[must_use]
    pub fn new(http: Http, settings: AuraSettings) -> Self {
        let limits = Limits {
            connections: settings.connections_max,
            sentences: 1,
            pace: Some((FLUSHES_MAX, Duration::from_secs(FLUSH_WINDOW_S))),
            idle_timeout: settings.idle_timeout,
            deadlines: settings.deadlines,
        };
        let aura = Aura { http, settings };
        Self { socket: SpeechSocket::new(aura.clone(), limits), aura }
    }

    /// Whether service and key work: opens a connection and closes it. Speaks nothing.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let socket = self.aura.connection(&self.aura.settings.voice, 8_000)?.connect().await?;
        socket.close(Some(Message::text(CLOSE))).await;
        Ok(())
    }

    /// Opens the connection that a sentence like this will want; its text does not matter.
    ///
    /// # Errors
    /// What stands in the way. The sentence will meet it again.
    pub async fn warm(&self, like: &SpeakRequest) -> Result<(), Error> {
        self.socket.warm(like).await
    }
}

impl Speaker for AuraSpeaker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        self.socket.speak(request)
    }
}

#[derive(Clone, Debug)]
struct Aura {
    http: Http,
    settings: AuraSettings,
}

impl Aura {
    fn connection(&self, voice: &str, sample_rate_hz: u32) -> Result<Address, Error> {
        let AuraSettings { base_url, key, speed, mip_opt_out, .. } = &self.settings;
        let options = SpeakOptions { voice, sample_rate_hz, speed: *speed, mip_opt_out: *mip_opt_out };
        let key = (AUTHORIZATION, format!("Token {}", key.expose_secret().trim()));
        Address::new(&VENDOR, &self.http, &join_url(base_url, "v1/speak"), &options.query(), key)
    }
}

impl Protocol for Aura {
    fn vendor(&self) -> &'static Vendor {
        &VENDOR
    }

    fn address(&self, request: &SpeakRequest) -> Result<Address, Error> {
        if request.text.chars().count() > TEXT_CHARS_MAX {
            return Err(VENDOR.error(ErrorKind::Rejected, "the text is too long for one request"));
        }
        let voice = if request.voice.is_empty() {
            voice_for(&self.settings.voice, &request.language)
                .ok_or_else(|| VENDOR.error(ErrorKind::Rejected, "no voice of theirs speaks this language"))?
        } else {
            // Whoever names a voice knows what it speaks.
            &request.voice
        };
        self.connection(voice, request.sample_rate_hz)
    }

    fn talk(&self) -> Box<dyn Talk> {
        Box::new(OneByOne::default())
    }
}
