//! What every handler can reach.

use crate::FieldFault;
use crate::auth::strangers::Strangers;
use crate::documents::PassageSearch;
use crate::latency::Latencies;
use crate::recordings::Hearings;
use crate::{Code, Problem};
use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use identity::{AccessTokens, Passwords, TokenPepper};
use ipnet::IpNet;
use limiter::{Limiter, Policies};
use model::{AgentConfig, EmailAddress};
use secrecy::SecretString;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use store::Store;
use tokio_util::sync::CancellationToken;

/// The edge's clock.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;
/// An answer that is on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Exotel's settings of this installation.
#[derive(Clone, Debug, Default)]
pub struct ExotelSettings {
    /// `EXOTEL_WEBHOOK_SECRET`: what signs the webhooks. Without it every signed webhook is refused.
    pub webhook_secret: Option<SecretString>,
}

/// How this installation meets the world.
#[derive(Clone, Debug)]
pub struct EdgeSettings {
    /// Production: internals are hidden, plain http is refused, `/api/test/*` does not exist.
    pub production: bool,
    /// Where carriers and people reach this installation, `https://host`; none = whatever host they asked for
    /// (development).
    pub public_url: Option<String>,
    /// What links in mails begin with, without a slash at the end: never what a request says of itself.
    pub links_url: String,
    /// Proxies in front of us: only their `X-Forwarded-*` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Opens `/api/test/*` in development.
    pub dev_test_token: Option<SecretString>,
    /// Opens what belongs to the installation and to no organisation, such as `/api/monitoring/*`.
    pub operator_token: Option<SecretString>,
}

/// What the API wants of the mail service, to test it. All other mail goes through jobs.
pub trait MailCheck: Send + Sync {
    /// Sends a test mail. The error is one sentence for people, without secrets.
    fn send_test(&self, to: EmailAddress) -> Pending<'_, Result<(), String>>;
}

/// Where recordings lie.
pub trait RecordingFiles: Send + Sync {
    /// The file of a stored recording, or these bytes of it, in pieces. None = it is not there.
    fn open<'a>(
        &'a self,
        object_key: &'a str,
        part: Option<Range<u64>>,
    ) -> Pending<'a, Result<Option<RecordingFile>, String>>;
}

/// What became of requests to other services that were repeated, on this node since its start.
#[derive(Clone, Debug, Default)]
pub struct RetryStats {
    /// Requests that were repeated.
    pub total_retries: u64,
    /// Of them, those that then succeeded.
    pub successful_retries: u64,
    /// Of them, those that failed all the same.
    pub failed_retries: u64,
    /// How often a breaker opened.
    pub circuit_breaker_triggered: u64,
    /// Breakers that are open now, by what the requests are for: how many.
    pub open_breakers: Vec<(&'static str, u64)>,
}

/// Whether an agent can answer calls here: its flow can be read, the services it names are there. Fields are named from
/// the configuration: `brain.text`.
pub type CheckAgent = Arc<dyn Fn(&AgentConfig) -> Result<(), Vec<FieldFault>> + Send + Sync>;

/// A recording being read.
pub struct RecordingFile {
    /// Length of the whole file, bytes.
    pub bytes: u64,
    /// Its content, or the part of it that was asked for.
    pub content: Pin<Box<dyn futures_util::Stream<Item = Result<bytes::Bytes, std::io::Error>> + Send>>,
}

/// The state of this room.
pub struct App {
    /// The database.
    pub store: Store,
    /// The edge's clock.
    pub clock: Clock,
    /// Makes and reads access tokens.
    pub tokens: AccessTokens,
    /// Makes the successors of refresh tokens.
    pub pepper: TokenPepper,
    /// Hashes passwords, a few at once.
    pub passwords: Passwords,
    /// Failed logins of addresses that nobody has.
    pub strangers: Strangers,
    /// Counts requests.
    pub limiter: Limiter,
    /// What it counts to.
    pub policies: Policies,
    /// The mail service.
    pub mail: Arc<dyn MailCheck>,
    /// Recordings.
    pub recordings: Arc<dyn RecordingFiles>,
    /// Searches documents as calls do.
    pub passages: Arc<dyn PassageSearch>,
    /// Who has lately begun to hear which.
    pub hearings: Hearings,
    /// What became of requests that were repeated.
    pub retry_stats: Arc<dyn Fn() -> RetryStats + Send + Sync>,
    /// The edge.
    pub edge: EdgeSettings,
    /// Exotel.
    pub exotel: ExotelSettings,
    /// What the schema of an agent's configuration cannot say.
    pub check_agent: CheckAgent,
    /// How long requests took, by route.
    pub latencies: Latencies,
    /// Cancelled when the node stops taking calls.
    pub stopping: CancellationToken,
    /// Wakes the runner of jobs: something was enqueued.
    pub jobs_wake: Arc<tokio::sync::Notify>,
    /// Shown by `/health`.
    pub version: &'static str,
}

impl App {
    /// Now, at the edge.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// `https://host`, without a slash at the end: the configured address or, in development, the host that was asked.
    ///
    /// # Errors
    /// When neither is known.
    pub(crate) fn base_url(&self, headers: &HeaderMap) -> Result<String, Problem> {
        if let Some(url) = &self.edge.public_url {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .map(|host| format!("http://{host}"))
            .ok_or_else(|| Problem::new(Code::MalformedBody, "the request names no host"))
    }
}
