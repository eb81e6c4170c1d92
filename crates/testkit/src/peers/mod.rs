//! Fakes of the carriers besides Exotel: Twilio, Plivo, Vobiz and Tata Smartflo. Each asks the answer address as the real
//! one does, signed by its own rule, reads the document strictly, opens the media socket, streams the caller in real time
//! in μ-law, plays what the agent sends as a telephone would, asks what comes when the socket has closed, and reports
//! the end. What both sides did is measured and handed back.
//!
//! Beside them, the services that an agent uses as tools: [`tool_server`] and [`mcp`].
//!
//! Written from the carriers' documentation, not from `wire`: no code is shared with the crates under test, not even the
//! μ-law table.

mod ask;
mod document;
pub mod mcp;
mod messages;
mod mulaw;
mod observation;
mod reading;
mod reports;
mod session;
mod sign;
pub mod tool_server;
mod xml;

pub use observation::{After, PeerObservation};

use crate::carrier::{CallerSide, Closed, MarksAfterClear};
use secrecy::SecretString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A webhook is answered within this or not at all. Twilio's own limit is 15 s.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server has for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Which carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// Twilio Media Streams.
    Twilio,
    /// Plivo Audio Streams.
    Plivo,
    /// Vobiz: Plivo's messages, a signature of its own.
    Vobiz,
    /// Tata Smartflo's Voice Bot.
    Smartflo,
}

impl PeerKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Twilio, Self::Plivo, Self::Vobiz, Self::Smartflo];

    /// Its name in addresses: `twilio`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Plivo => "plivo",
            Self::Vobiz => "vobiz",
            Self::Smartflo => "smartflo",
        }
    }

    /// Whether it signs its requests.
    #[must_use]
    pub const fn signs(self) -> bool {
        match self {
            Self::Twilio | Self::Plivo | Self::Vobiz => true,
            Self::Smartflo => false,
        }
    }

    /// Whether it asks what comes when the socket has closed.
    #[must_use]
    pub const fn asks_afterwards(self) -> bool {
        match self {
            Self::Twilio | Self::Plivo | Self::Vobiz => true,
            Self::Smartflo => false,
        }
    }

    /// Length of the caller's frames.
    const fn frame_ms(self) -> u64 {
        match self {
            Self::Twilio | Self::Plivo | Self::Vobiz => 20,
            Self::Smartflo => 100,
        }
    }

    /// What a clear does to pending marks. Smartflo does not say; the harder of both is assumed.
    const fn marks_after_clear(self) -> MarksAfterClear {
        match self {
            Self::Twilio => MarksAfterClear::Echo,
            Self::Plivo | Self::Vobiz | Self::Smartflo => MarksAfterClear::Drop,
        }
    }
}

/// How requests are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    /// As the carrier does.
    #[default]
    Right,
    /// With another token.
    Wrong,
    /// Not at all.
    Missing,
    /// Vobiz in its older version; the others as usual.
    Older,
}

/// How this carrier behaves.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// The address configured at the number.
    pub answer_url: String,
    /// Where it reports; none = it does not.
    pub status_url: Option<String>,
    /// The account's token.
    pub auth_token: SecretString,
    /// How requests are signed.
    pub signing: Signing,
    /// Smartflo's Dynamic endpoint asks with a POST.
    pub asks_by_post: bool,
    /// Who calls, with country and plus.
    pub caller_number: String,
    /// The number called, with country and plus.
    pub called_number: String,
    /// Playback starts this long after the first audio of a reply arrived.
    pub prebuffer_ms: u64,
    /// The caller hangs up after this, whatever happens.
    pub call_max: Duration,
}

impl PeerOptions {
    /// A well-behaved carrier.
    #[must_use]
    pub fn new(answer_url: impl Into<String>, auth_token: SecretString) -> Self {
        Self {
            answer_url: answer_url.into(),
            status_url: None,
            auth_token,
            signing: Signing::Right,
            asks_by_post: false,
            caller_number: "+919876543210".to_owned(),
            called_number: "+918047491899".to_owned(),
            prebuffer_ms: 100,
            call_max: Duration::from_secs(120),
        }
    }
}

/// Why there was no call.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The server does not answer.
    #[error("the server does not answer the webhook: {0}")]
    Unreachable(String),
    /// The server refused the call.
    #[error("the server refused the call: {status} {answer}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        answer: String,
    },
    /// The carrier cannot read the answer, and would end the call.
    #[error("an answer that the carrier cannot read: {0}")]
    Unreadable(String),
    /// The media socket did not open.
    #[error("the media socket does not open: {0}")]
    NoSocket(String),
}

/// The names of one call.
#[derive(Clone, Debug)]
struct Ids {
    call_id: String,
    stream_id: String,
    account_id: String,
}

impl Ids {
    fn fresh(kind: PeerKind) -> Self {
        let random = || RandomState::new().build_hasher().finish();
        let hex = || format!("{:016x}{:016x}", random(), random());
        let uuid = || {
            let hex = hex();
            [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
        };
        match kind {
            PeerKind::Twilio => Self {
                call_id: format!("CA{}", hex()),
                stream_id: format!("MZ{}", hex()),
                account_id: "AC4d1d5c8c8a8e4f0b8a2d5e6f7a8b9c0d".to_owned(),
            },
            PeerKind::Plivo | PeerKind::Vobiz => {
                Self { call_id: uuid(), stream_id: uuid(), account_id: "MAXXXXXXXXXXXXXXXXXX".to_owned() }
            }
            PeerKind::Smartflo => Self {
                call_id: format!("{}.{}", unix_ms() / 1_000, random() % 1_000_000),
                stream_id: hex(),
                account_id: "smartflo-account".to_owned(),
            },
        }
    }
}

/// A carrier's clock is its own: nothing under test hands it in.
#[expect(clippy::disallowed_methods, reason = "the one place where these carriers read the clock")]
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// One carrier.
#[derive(Clone, Debug)]
pub struct FakePeer {
    http: reqwest::Client,
    /// Which.
    pub kind: PeerKind,
    /// Its behaviour.
    pub options: PeerOptions,
}

impl FakePeer {
    /// A carrier with these options.
    #[must_use]
    pub fn new(kind: PeerKind, options: PeerOptions) -> Self {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(HTTP_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without files or environment builds");
        Self { http, kind, options }
    }

    /// Places one call and stays until it is over and reported. Faults of the server are in the observation, not errors.
    ///
    /// # Errors
    /// [`PeerError`] when there was no call.
    pub async fn place_call(&self, caller: &mut dyn CallerSide) -> Result<PeerObservation, PeerError> {
        let ids = Ids::fresh(self.kind);
        let asked = Instant::now();
        let instructions = self.ask(&ids).await?;
        let mut seen = PeerObservation::new(&ids, instructions.stream_url.clone());
        seen.announce_ms = asked.elapsed().as_millis() as u64;
        let socket = session::open(&instructions.stream_url).await?;
        let mut seen = Box::pin(session::run(self, &ids, &instructions.parameters, socket, seen, caller)).await;
        // Only of a call that is still there the carrier asks what comes next.
        if let (Closed::ByServer { .. }, Some(url)) = (&seen.closed, &instructions.after_url) {
            seen.after = Some(self.ask_after(url, &ids).await);
        }
        if self.options.status_url.is_some() {
            seen.end_report = Some(self.report_end(&ids.call_id, seen.duration_ms.div_ceil(1_000)).await);
        }
        Ok(seen)
    }

    /// Only asks what to do with a call; nothing is opened. Its media address.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn announce(&self, call_id: &str) -> Result<String, PeerError> {
        let ids = Ids { call_id: call_id.to_owned(), ..Ids::fresh(self.kind) };
        self.ask(&ids).await.map(|instructions| instructions.stream_url)
    }
}
