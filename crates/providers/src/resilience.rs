//! What to do when a vendor fails: when to try again, when to leave it alone. Pure: time and randomness are passed in.
//!
//! Backoff with full jitter as in aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter; the breaker
//! as in martinfowler.com/bliki/CircuitBreaker.html.

mod targets;

pub use targets::{BREAKERS_MAX, CARRIER_API, CARRIER_FILES, OBJECTS, RetryStats, Target, TargetState, Targets};

use crate::Error;
use std::time::Duration;

/// Attempts in all, the first included. A third failure in a row is seldom healed by a fourth.
pub const ATTEMPTS_MAX: u32 = 3;
/// Upper end of the first wait; the next is twice as long.
pub const FIRST_WAIT: Duration = Duration::from_millis(1_000);
/// No wait is longer.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// Failures in a row that open the breaker.
pub const BREAKER_FAILURES: u32 = 5;
/// How long an open breaker refuses, in milliseconds.
pub const BREAKER_OPEN_MS: u64 = 60_000;
/// While a trial is under way others look again after this: a backlog must not stand still for another minute after the
/// dependency is well.
pub const TRIAL_LOOKED_AFTER_MS: u64 = 5_000;

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Upper end of the first wait; doubles each time.
    pub first_wait: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: ATTEMPTS_MAX, first_wait: FIRST_WAIT, wait_max: WAIT_MAX }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` (from 1) failed; `None` = give up. `random01` is from 0 to 1:
    /// the wait is that share of the upper end (full jitter), so that many callers do not come back at one moment.
    #[must_use]
    pub fn next(&self, attempt: u32, random01: f64) -> Option<Duration> {
        if attempt == 0 || attempt >= self.attempts {
            return None;
        }
        let doublings = 1u32.checked_shl(attempt - 1).unwrap_or(u32::MAX);
        let upper = self.first_wait.saturating_mul(doublings).min(self.wait_max);
        let share = if random01.is_finite() { random01.clamp(0.0, 1.0) } else { 1.0 };
        Some(upper.mul_f64(share))
    }

    /// The same, for an error: only a transient one is worth another try.
    #[must_use]
    pub fn after(&self, error: &Error, attempt: u32, random01: f64) -> Option<Duration> {
        if error.is_transient() { self.next(attempt, random01) } else { None }
    }
}

/// What a breaker is doing; for metrics and health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// One trial is under way.
    HalfOpen,
}

impl BreakerState {
    /// The word used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A circuit breaker for one named dependency. Times are milliseconds of any clock that does not run backwards.
///
/// Every `allow` that returned true must be followed by `succeeded` or `failed`. A trial that is never answered
/// (cancelled) does not lock the breaker: after [`BREAKER_OPEN_MS`] the next trial is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    failures_max: u32,
    open_ms: u64,
    failures: u32,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { since_ms: u64 },
    HalfOpen { since_ms: u64 },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new(BREAKER_FAILURES, BREAKER_OPEN_MS)
    }
}

impl Breaker {
    /// A closed breaker that opens after `failures_max` failures in a row (at least 1) for `open_ms`.
    #[must_use]
    pub const fn new(failures_max: u32, open_ms: u64) -> Self {
        let failures_max = if failures_max == 0 { 1 } else { failures_max };
        Self { failures_max, open_ms, failures: 0, phase: Phase::Closed }
    }

    /// May a request go out now? True at most once while half-open.
    pub const fn allow(&mut self, now_ms: u64) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::Open { since_ms } | Phase::HalfOpen { since_ms } => {
                if now_ms.saturating_sub(since_ms) < self.open_ms {
                    return false;
                }
                self.phase = Phase::HalfOpen { since_ms: now_ms };
                true
            }
        }
    }

    /// When to ask again, ms from now; 0 = the next [`Breaker::allow`] is true.
    #[must_use]
    pub fn refused_for_ms(&self, now_ms: u64) -> u64 {
        match self.phase {
            Phase::Closed => 0,
            Phase::Open { since_ms } => self.open_ms.saturating_sub(now_ms.saturating_sub(since_ms)),
            // The trial is soon over: what waits for its outcome need not wait as for a new one.
            Phase::HalfOpen { since_ms } => {
                self.open_ms.saturating_sub(now_ms.saturating_sub(since_ms)).min(TRIAL_LOOKED_AFTER_MS)
            }
        }
    }

    /// A request that was allowed went well.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.phase = Phase::Closed;
    }

    /// A request that was allowed failed in a way that is the dependency's doing.
    pub const fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        match self.phase {
            Phase::Closed => {
                if self.failures >= self.failures_max {
                    self.phase = Phase::Open { since_ms: now_ms };
                }
            }
            Phase::HalfOpen { .. } => self.phase = Phase::Open { since_ms: now_ms },
            // Late news of a request from before: the time of refusal is not prolonged.
            Phase::Open { .. } => {}
        }
    }

    /// No more requests for a while, however few have failed: the next would be refused as this one was.
    pub const fn open(&mut self, now_ms: u64) {
        match self.phase {
            Phase::Closed | Phase::HalfOpen { .. } => self.phase = Phase::Open { since_ms: now_ms },
            Phase::Open { .. } => {}
        }
    }

    /// A request that was allowed was given up: a trial is free again, everything else is as it was.
    pub const fn abandoned(&mut self) {
        if let Phase::HalfOpen { since_ms } = self.phase {
            self.phase = Phase::Open { since_ms: since_ms.saturating_sub(self.open_ms) };
        }
    }

    /// What it is doing.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

/// A random number from 0 to 1 from the operating system, for jitter. One half when there is none: jitter is worth no
/// failure.
#[must_use]
pub fn random01() -> f64 {
    let bits = getrandom::u64().unwrap_or(u64::MAX / 2);
    // 53 bits are what an f64 holds exactly.
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn waits_double_and_end() {
        let policy = RetryPolicy::default();
        for (attempt, random01, want_ms) in [
            (0, 1.0, None),
            (1, 1.0, Some(1_000)),
            (1, 0.0, Some(0)),
            (1, 0.25, Some(250)),
            (2, 1.0, Some(2_000)),
            (2, 0.5, Some(1_000)),
            (3, 1.0, None),
            (u32::MAX, 1.0, None),
            (1, f64::NAN, Some(1_000)),
            (1, 7.0, Some(1_000)),
            (1, -1.0, Some(0)),
        ] {
            assert_eq!(policy.next(attempt, random01), want_ms.map(Duration::from_millis), "{attempt} {random01}");
        }
    }

    #[test]
    fn waits_have_a_limit() {
        let policy = RetryPolicy { attempts: 100, ..RetryPolicy::default() };
        assert_eq!(policy.next(6, 1.0), Some(WAIT_MAX));
        assert_eq!(policy.next(99, 1.0), Some(WAIT_MAX));
    }

    #[test]
    fn only_transient_errors_are_tried_again() {
        let policy = RetryPolicy::default();
        for (kind, again) in [
            (ErrorKind::Unavailable, true),
            (ErrorKind::TimedOut, true),
            (ErrorKind::Overloaded, true),
            (ErrorKind::Rejected, false),
            (ErrorKind::Unauthorized, false),
            (ErrorKind::Protocol, false),
            (ErrorKind::NotInstalled, false),
        ] {
            let error = Error::new(kind, "x", "y");
            assert_eq!(policy.after(&error, 1, 0.5).is_some(), again, "{kind:?}");
        }
    }

    #[test]
    fn the_breaker_opens_tries_once_and_closes() {
        let mut breaker = Breaker::default();
        for n in 0..BREAKER_FAILURES {
            assert_eq!(breaker.state(), BreakerState::Closed, "{n}");
            assert!(breaker.allow(1_000));
            breaker.failed(1_000);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.allow(1_000 + BREAKER_OPEN_MS - 1));
        assert!(breaker.allow(1_000 + BREAKER_OPEN_MS), "one trial");
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(!breaker.allow(1_000 + BREAKER_OPEN_MS), "and only one");
        breaker.failed(70_000);
        assert!(!breaker.allow(70_000 + BREAKER_OPEN_MS - 1), "a failed trial opens it again");
        assert!(breaker.allow(70_000 + BREAKER_OPEN_MS));
        breaker.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.failed(140_000);
        assert!(breaker.allow(140_000), "old failures are forgotten");
    }

    #[test]
    fn late_failures_do_not_prolong_and_lost_trials_do_not_lock() {
        let mut breaker = Breaker::new(1, 100);
        breaker.failed(0);
        breaker.failed(90);
        assert!(breaker.allow(100), "counted from the first");
        assert!(!breaker.allow(199));
        assert!(breaker.allow(200), "the trial of 100 was never answered");
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds(attempt in 0u32..10, attempts in 0u32..10, random in 0.0f64..=1.0, first_ms in 0u64..100_000) {
            let policy = RetryPolicy { attempts, first_wait: Duration::from_millis(first_ms), wait_max: WAIT_MAX };
            match policy.next(attempt, random) {
                Some(wait) => prop_assert!(attempt >= 1 && attempt < attempts && wait <= WAIT_MAX),
                None => prop_assert!(attempt == 0 || attempt >= attempts),
            }
        }

        #[test]
        fn an_open_breaker_lets_one_through_per_period(steps in prop::collection::vec((0u64..50, 0u8..3), 1..200)) {
            let mut breaker = Breaker::new(3, 100);
            let (mut now, mut last_allowed_while_not_closed) = (0u64, None::<u64>);
            for (wait, what) in steps {
                now += wait;
                match what {
                    0 => {
                        let closed = breaker.state() == BreakerState::Closed;
                        if breaker.allow(now) && !closed {
                            if let Some(last) = last_allowed_while_not_closed { prop_assert!(now - last >= 100); }
                            last_allowed_while_not_closed = Some(now);
                        }
                    }
                    1 => breaker.failed(now),
                    _ => { breaker.succeeded(); last_allowed_while_not_closed = None; prop_assert!(breaker.allow(now)); }
                }
            }
        }

        #[test]
        fn random_numbers_are_in_range(_n in 0u8..50) {
            let n = random01();
            prop_assert!((0.0..1.0).contains(&n));
        }
    }
}
