//! The limiter that requests ask: never fails, never waits long, never opens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::gcra::Decision;
use crate::key::Hashed;
use crate::local::LocalLimiter;
use crate::policy::{Policies, Policy};
use crate::shared::{InvalidAddress, RedisError, RedisLimiter};

/// The longest that a request waits for Redis, whatever Redis does, connecting included: with what a busy machine adds,
/// it stays below a second.
pub const REQUEST_DEADLINE: Duration = Duration::from_millis(600);

/// After a failure Redis is left alone for so long; then one probe asks, and no request waits for that.
pub const PROBE_PAUSE: Duration = Duration::from_secs(5);

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// This process alone, as it was set up.
    Local,
    /// All machines together, in Redis.
    Shared,
    /// This process alone, because Redis is away. Each machine allows a whole quota.
    Degraded {
        /// When Redis was first missed.
        since: Instant,
    },
}

/// Limits how often somebody may do something, in this process or together with other machines.
///
/// With Redis, each use is charged here first. What is refused here is refused; otherwise Redis decides, and its count is
/// taken over. So when Redis goes away, or comes back empty, whoever has used up a quota on this machine stays refused.
pub struct Limiter {
    policies: Policies,
    local: LocalLimiter,
    link: Option<Arc<Link>>,
}

impl Limiter {
    /// Counts in this process.
    #[must_use]
    pub fn local(policies: Policies) -> Self {
        Self { policies, local: LocalLimiter::new(), link: None }
    }

    /// Counts in the Redis at `redis_url`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// What is no address of a Redis server.
    pub fn shared(redis_url: &SecretString, policies: Policies) -> Result<Self, InvalidAddress> {
        let redis = RedisLimiter::new(redis_url)?;
        let link = Link { redis, away: Mutex::new(None), degraded_decisions: AtomicU64::new(0) };
        Ok(Self { policies, local: LocalLimiter::new(), link: Some(Arc::new(link)) })
    }

    /// What is limited, and how.
    #[must_use]
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Charges one use to `key` and decides on it. `now` is the monotonic clock. Waits [`REQUEST_DEADLINE`] at most.
    ///
    /// A future that is dropped before it is done may have been charged.
    pub async fn check(&self, policy: &Policy, key: &str, now: Instant) -> Decision {
        let key = Hashed::of(policy, key);
        let own = self.local.charge(policy, key, now);
        let Some(link) = &self.link else {
            return own;
        };
        if !link.is_up(now) {
            link.count_degraded();
            return own;
        }
        if !own.allowed {
            return own;
        }
        match Box::pin(link.charge(policy, key)).await {
            Ok(theirs) => {
                self.local.settle(policy, key, now, &theirs);
                if own.remaining < theirs.remaining { own } else { theirs }
            }
            Err(error) => {
                link.lost(now, &error);
                link.count_degraded();
                own
            }
        }
    }

    /// Who counts.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.link {
            None => State::Local,
            Some(link) => link.away().as_ref().map_or(State::Shared, |away| State::Degraded { since: away.since }),
        }
    }

    /// Asks a Redis that is away whether it is back, when that is due. Every `check` does this too; a health check calls
    /// it so that [`Limiter::state`] does not stay as it was while there are no requests. Returns at once.
    pub fn probe_when_due(&self, now: Instant) {
        if let Some(link) = &self.link {
            link.is_up(now);
        }
    }

    /// How many decisions were made without the Redis that should have made them, since the start.
    #[must_use]
    pub fn degraded_decisions(&self) -> u64 {
        self.link.as_ref().map_or(0, |link| link.degraded_decisions.load(Ordering::Relaxed))
    }
}

/// Redis is away.
struct Away {
    since: Instant,
    probe_at: Instant,
}

/// Redis, and whether it answers.
struct Link {
    redis: RedisLimiter,
    away: Mutex<Option<Away>>,
    degraded_decisions: AtomicU64,
}

impl Link {
    async fn charge(&self, policy: &Policy, key: Hashed) -> Result<Decision, RedisError> {
        timeout(REQUEST_DEADLINE, self.redis.charge(policy, key)).await.unwrap_or(Err(RedisError::Late))
    }

    /// Whether to ask Redis. Starts the probe when it is due.
    fn is_up(self: &Arc<Self>, now: Instant) -> bool {
        let mut guard = self.away();
        let Some(away) = guard.as_mut() else {
            return true;
        };
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        if now >= away.probe_at {
            // Before the probe: whatever becomes of it, the next one is due then, and there is one at a time.
            away.probe_at = now + PROBE_PAUSE;
            let link = Arc::clone(self);
            runtime.spawn(async move {
                if link.redis.probe().await.is_ok() {
                    link.found(now);
                }
            });
        }
        false
    }

    fn lost(&self, now: Instant, error: &RedisError) {
        let mut away = self.away();
        if away.is_none() {
            *away = Some(Away { since: now, probe_at: now + PROBE_PAUSE });
            tracing::warn!(reason = %error, "Redis is away: limits are counted on each machine alone");
        }
    }

    fn found(&self, now: Instant) {
        if let Some(away) = self.away().take() {
            let away_s = now.saturating_duration_since(away.since).as_secs();
            tracing::info!(away_s, "Redis is back: limits are counted together");
        }
    }

    fn count_degraded(&self) {
        self.degraded_decisions.fetch_add(1, Ordering::Relaxed);
    }

    fn away(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_machine_counts_for_itself() {
        let limiter = Limiter::local(Policies::default());
        let now = Instant::now();
        let login = limiter.policies().login;
        for _ in 0..6 {
            assert!(limiter.check(&login, "a", now).await.allowed);
        }
        assert!(!limiter.check(&login, "a", now).await.allowed);
        assert!(limiter.check(&login, "b", now).await.allowed);
        limiter.probe_when_due(now);
        assert_eq!(limiter.state(), State::Local);
        assert_eq!(limiter.degraded_decisions(), 0);
    }
}
