//! What a job is.

use crate::prices::Prices;
use chrono::{DateTime, Duration, Utc};
use identity::Passwords;
use providers::carrier_file::CarrierFiles;
use providers::egress::Egress;
use providers::exotel::ExotelClient;
use providers::mail::Mailer;
use providers::models::Models;
use providers::objects::Objects;
use providers::recall::Embedder;
use providers::resilience::Targets;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use store::Store;
use tokio::sync::Notify;

/// The edge's clock.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What every job can reach.
#[derive(Clone)]
pub struct Context {
    /// The database.
    pub store: Store,
    /// Where recordings are kept.
    pub objects: Objects,
    /// The edge's clock.
    pub clock: Clock,
    /// How mail leaves.
    pub mailer: Mailer,
    /// How events reach addresses that tenants chose.
    pub egress: Egress,
    /// How carriers' recordings are fetched.
    pub carrier_files: CarrierFiles,
    /// How Exotel is asked and told.
    pub exotel: ExotelClient,
    /// Who is asked about calls that are over; none = nobody, and they wait.
    pub models: Option<Arc<dyn Models>>,
    /// What that costs.
    pub prices: Arc<Prices>,
    /// Which of the tenants' dependencies fail, and what retries have come to.
    pub targets: Targets,
    /// Makes vectors of documents, where one is set up.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// Where carriers open media sockets, `wss://host` without a slash at the end.
    pub media_url: Arc<str>,
    /// Hashes codes.
    pub passwords: Passwords,
    /// Where people reach this installation, without a slash at the end: links in mails begin with it.
    pub public_url: Arc<str>,
    /// Audit events are kept this long; none = for ever.
    pub audit_keep_days: Option<u32>,
    /// Wakes the runner: something was enqueued on this node.
    pub wake: Arc<Notify>,
}

impl Context {
    /// Now, at the edge.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// The same in milliseconds, for breakers.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now().timestamp_millis()).unwrap_or(0)
    }
}

/// Why a job did not do its work.
#[derive(Debug)]
pub enum JobError {
    /// Not ready yet: again after this. It costs no attempt; the job itself decides when to stop.
    Wait(Duration, String),
    /// Another try may succeed.
    Retry(String),
    /// No try will.
    Fail(String),
}

impl JobError {
    /// For operators; no secrets.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Wait(_, text) | Self::Retry(text) | Self::Fail(text) => text,
        }
    }
}

impl From<store::Error> for JobError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound => Self::Fail("what the job is about is gone".to_owned()),
            other if other.is_transient() => Self::Retry(other.to_string()),
            other => Self::Fail(other.to_string()),
        }
    }
}

/// A kind of job. The value is its payload.
pub trait Job: DeserializeOwned + Send {
    /// Its stable name, in rows and logs.
    const NAME: &'static str;

    /// Does the work.
    fn run(self, context: &Context) -> impl Future<Output = Result<(), JobError>> + Send;
}
