//! ElevenLabs: speech to text over one WebSocket for each call ([`ElevenLabsTranscriber`]), and text to speech, whose
//! sentences share a WebSocket, each in a context of its own ([`ElevenLabsSpeaker`]).
//!
//! A context is closed as soon as its text is sent: only then they say when its speech is complete. So a sentence that
//! is not wanted any more is made to its end, a second or so of their work, while nobody listens; there is no message
//! that stops it but closing the connection, which others are on.
//!
//! Sources: see `wire::elevenlabs`; for the check elevenlabs.io/docs/api-reference/models/list.

mod listen;
mod talk;
mod utterance;

pub use listen::{ElevenLabsTranscriber, FINALIZE_TIMEOUT, KEEP_ALIVE_EVERY, LISTEN_MODEL, ListenSettings};

use crate::http::{Http, join_url};
use crate::live::{Address, Vendor};
use crate::speaker::{SpeakRequest, Speaker, SpeechChunk};
use crate::speech_socket::{CONNECTIONS_MAX, Limits, Protocol, SpeechDeadlines, SpeechSocket, Talk, ask};
use crate::{Error, ErrorKind};
use http::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use talk::{Contexts, VENDOR};
use tokio::sync::mpsc;
use wire::elevenlabs::{
    CONTEXTS_MAX, INACTIVITY_TIMEOUT_S_MAX, ServerError, StreamOptions, VoiceSettings, is_voice_id, language_code,
};

/// Name of this provider.
const NAME: &str = "elevenlabs";
/// ElevenLabs' own address.
pub const BASE_URL: &str = "wss://api.elevenlabs.io";
/// The fastest model that speaks Hindi and English.
pub const MODEL: &str = "eleven_flash_v2_5";
/// A voice that every account has.
pub const VOICE: &str = "JBFqnCBsd6RMkjVDRZzb";
/// A connection without sentences is closed after so long. They close it after [`INACTIVITY_TIMEOUT_S_MAX`].
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Sentences on one connection. They allow [`CONTEXTS_MAX`] and end the connection at one more; one place is left for
/// what they still count although they said it was final.
const SENTENCES_PER_CONNECTION: usize = CONTEXTS_MAX - 1;
/// Longest message that is read: some seconds of speech in base64, made in one piece.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How to reach ElevenLabs and what to ask of it.
#[derive(Clone, Debug)]
pub struct ElevenLabsSettings {
    /// Address without path, `wss://` or `https://` (`ws://` for tests).
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// Model name. `eleven_v3` cannot be spoken to in this way.
    pub model: String,
    /// Voice when the request names none.
    pub voice: String,
    /// How the voice speaks: stability, speed; `None` = as it was made to.
    pub voice_settings: Option<VoiceSettings>,
    /// False = they keep nothing, for accounts that may ask for it.
    pub enable_logging: bool,
    /// Connections at a time.
    pub connections_max: usize,
    /// A connection without sentences is closed after so long.
    pub idle_timeout: Duration,
    /// How long speech may take.
    pub deadlines: SpeechDeadlines,
}

impl ElevenLabsSettings {
    /// ElevenLabs' own service with its usual settings.
    #[must_use]
    pub fn new(key: SecretString) -> Self {
        Self {
            base_url: BASE_URL.to_owned(),
            key,
            model: MODEL.to_owned(),
            voice: VOICE.to_owned(),
            voice_settings: None,
            enable_logging: true,
            connections_max: CONNECTIONS_MAX,
            idle_timeout: IDLE_TIMEOUT,
            deadlines: SpeechDeadlines::default(),
        }
    }
}

/// ElevenLabs.
#[derive(Clone, Debug)]
pub struct ElevenLabsSpeaker {
    http: Http,
    settings: ElevenLabsSettings,
    socket: SpeechSocket,
}

impl ElevenLabsSpeaker {
    /// A speaker; nothing is sent yet.
    #[must_use]
    pub fn new(http: Http, settings: ElevenLabsSettings) -> Self {
        let limits = Limits {
            connections: settings.connections_max,
            sentences: SENTENCES_PER_CONNECTION,
            pace: None,
            idle_timeout: settings.idle_timeout,
            deadlines: settings.deadlines,
        };
        let socket = SpeechSocket::new(ElevenLabs { http: http.clone(), settings: settings.clone() }, limits);
        Self { http, settings, socket }
    }

    /// Whether service and key work. Speaks nothing.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let url = join_url(&self.settings.base_url, "v1/models");
        let answered = ask(&VENDOR, &self.http, &url, key_header(&self.settings.key), None).await?;
        // A key that may speak and nothing else is known to them, and is good for us.
        let known = answered.status == 401 && ServerError::parse(&answered.body).code == "missing_permissions";
        if known { Ok(()) } else { answered.fine(&VENDOR) }
    }

    /// Opens the connection that a sentence like this will want; its text does not matter.
    ///
    /// # Errors
    /// What stands in the way. The sentence will meet it again.
    pub async fn warm(&self, like: &SpeakRequest) -> Result<(), Error> {
        self.socket.warm(like).await
    }
}

impl Speaker for ElevenLabsSpeaker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        self.socket.speak(request)
    }
}

fn key_header(key: &SecretString) -> (HeaderName, String) {
    (HeaderName::from_static("xi-api-key"), key.expose_secret().trim().to_owned())
}

struct ElevenLabs {
    http: Http,
    settings: ElevenLabsSettings,
}

impl Protocol for ElevenLabs {
    fn vendor(&self) -> &'static Vendor {
        &VENDOR
    }

    fn address(&self, request: &SpeakRequest) -> Result<Address, Error> {
        let settings = &self.settings;
        let voice = if request.voice.is_empty() { &settings.voice } else { &request.voice };
        if !is_voice_id(voice) {
            return Err(VENDOR.error(ErrorKind::Rejected, "the voice is not the id of one"));
        }
        let query = StreamOptions {
            model: &settings.model,
            language: language_code(&settings.model, &request.language),
            sample_rate_hz: request.sample_rate_hz,
            inactivity_timeout_s: INACTIVITY_TIMEOUT_S_MAX,
            enable_logging: settings.enable_logging,
        };
        let base = join_url(&settings.base_url, &format!("v1/text-to-speech/{voice}/multi-stream-input"));
        let address = Address::new(&VENDOR, &self.http, &base, &query.query(), key_header(&settings.key))?;
        Ok(address.with_message_bytes_max(MESSAGE_BYTES_MAX))
    }

    fn talk(&self) -> Box<dyn Talk> {
        Box::new(Contexts::new(self.settings.voice_settings))
    }
}
