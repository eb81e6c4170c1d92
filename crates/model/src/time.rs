//! Three times, never mixed: [`CallTime`] drives a call, media time counts samples (`audio`), `DateTime<Utc>` is for
//! people and records.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};

/// Milliseconds since the call's media began. Serialisable, unlike `Instant`, so a call can be replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallTime(pub u64);

impl CallTime {
    /// The start of the media stream.
    pub const ZERO: Self = Self(0);

    /// Milliseconds since the stream began.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for CallTime {
    type Output = Self;
    fn add(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl Sub<u64> for CallTime {
    type Output = Self;
    fn sub(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}
