//! What every handler can reach.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use std::sync::Arc;
use store::Store;
use tokio_util::sync::CancellationToken;

/// The edge's clock.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Exotel's settings of this installation.
#[derive(Clone, Debug, Default)]
pub struct ExotelSettings {
    /// `EXOTEL_WEBHOOK_SECRET`: what signs the webhooks. Without it every signed webhook is refused.
    pub webhook_secret: Option<SecretString>,
}

/// The state of this room.
pub struct App {
    /// The database.
    pub store: Store,
    /// The edge's clock.
    pub clock: Clock,
    /// Exotel.
    pub exotel: ExotelSettings,
    /// Where carriers reach this installation, `https://host`; none = whatever host they asked for (development).
    pub public_url: Option<String>,
    /// Cancelled when the node stops taking calls.
    pub stopping: CancellationToken,
    /// Shown by `/health`.
    pub version: &'static str,
}

impl App {
    /// Now, at the edge.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }
}
