//! The clock of the edges. Everything inside takes the time as a parameter.

use chrono::{DateTime, Utc};
use std::sync::Arc;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "the edge's clock")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The same, to hand on.
pub(crate) fn shared() -> Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> {
    Arc::new(now)
}
