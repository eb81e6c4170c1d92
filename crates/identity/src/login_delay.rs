//! How long an account waits after failed logins: guessing becomes slow, and nobody is locked out by a stranger.
//!
//! From the sixth failure in a row on, an account waits 30 s, then twice as long each time, up to an hour. A stranger
//! who knows the e-mail address can cause that wait; three things keep it from being a lock on its owner:
//!
//! - an address (network or device) from which the owner logged in before does not wait;
//! - an attempt refused here is no failure: the caller checks no password and counts nothing, so the stranger can not
//!   push the wait further than one guess a wait;
//! - the hard cap of a hundred guesses (NIST SP 800-63B-4 §3.2.2) ends with a password reset by mail, which is never
//!   refused here. It applies to every address; a stranger needs about three and a half days to reach it.
//!
//! The count is kept with the account, in the database. A success sets it to zero, a new code or a new network address
//! does not.

use chrono::{DateTime, Duration, Utc};

/// Failures in a row without any wait.
pub const FREE_FAILURES: u32 = 5;
/// First wait.
pub const FIRST_WAIT: Duration = Duration::seconds(30);
/// Longest wait.
pub const WAIT_MAX: Duration = Duration::hours(1);
/// Failures in a row after which only a password reset helps.
pub const FAILURES_MAX: u32 = 100;

/// What is known of an account's logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// Failures since the last success or reset.
    pub failures: u32,
    /// When the last of them was.
    pub last_failure_at: Option<DateTime<Utc>>,
    /// The request comes from an address from which this user has logged in before.
    pub known_address: bool,
}

/// Whether the password may be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginGate {
    /// Check it.
    Open,
    /// Not before this time. Answer without checking, and count nothing.
    Wait {
        /// When the next attempt is looked at.
        until: DateTime<Utc>,
    },
    /// Never again with this password: it must be reset by mail.
    ResetNeeded,
}

/// Whether a login may be tried at this time.
#[must_use]
pub fn gate(attempts: &Attempts, now: DateTime<Utc>) -> LoginGate {
    if attempts.failures >= FAILURES_MAX {
        return LoginGate::ResetNeeded;
    }
    let until = attempts.last_failure_at.map(|last| last.checked_add_signed(wait(attempts.failures)).unwrap_or(last));
    match until {
        Some(until) if until > now && !attempts.known_address => LoginGate::Wait { until },
        Some(_) | None => LoginGate::Open,
    }
}

/// The wait after so many failures in a row.
#[must_use]
pub fn wait(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FREE_FAILURES + 1) else { return Duration::zero() };
    let times = 1_i32.checked_shl(doublings).filter(|times| *times > 0).unwrap_or(i32::MAX);
    FIRST_WAIT.checked_mul(times).map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
    }

    fn failed(failures: u32, seconds_ago: i64) -> Attempts {
        let last_failure_at = Some(now() - Duration::seconds(seconds_ago));
        Attempts { failures, last_failure_at, known_address: false }
    }

    #[test]
    fn the_wait_begins_with_the_sixth_failure_and_doubles() {
        for (failures, seconds) in [
            (0, 0),
            (1, 0),
            (5, 0),
            (6, 30),
            (7, 60),
            (8, 120),
            (9, 240),
            (10, 480),
            (11, 960),
            (12, 1920),
            (13, 3600),
            (14, 3600),
            (36, 3600),
            (37, 3600),
            (38, 3600),
            (99, 3600),
            (u32::MAX, 3600),
        ] {
            assert_eq!(wait(failures).num_seconds(), seconds, "{failures}");
        }
    }

    #[test]
    fn the_gate_opens_when_the_wait_is_over() {
        for (attempts, want) in [
            (Attempts { failures: 0, last_failure_at: None, known_address: false }, LoginGate::Open),
            (failed(5, 0), LoginGate::Open),
            (failed(6, 0), LoginGate::Wait { until: now() + Duration::seconds(30) }),
            (failed(6, 29), LoginGate::Wait { until: now() + Duration::seconds(1) }),
            (failed(6, 30), LoginGate::Open),
            (failed(99, 3599), LoginGate::Wait { until: now() + Duration::seconds(1) }),
            (failed(99, 3600), LoginGate::Open),
            (failed(100, 0), LoginGate::ResetNeeded),
            (failed(100, 1_000_000), LoginGate::ResetNeeded),
            (failed(u32::MAX, 0), LoginGate::ResetNeeded),
            // A count without its time: nothing to wait for.
            (Attempts { failures: 50, last_failure_at: None, known_address: false }, LoginGate::Open),
            (
                Attempts { failures: 50, last_failure_at: Some(DateTime::<Utc>::MIN_UTC), known_address: false },
                LoginGate::Open,
            ),
        ] {
            assert_eq!(gate(&attempts, now()), want, "{attempts:?}");
        }
        let end_of_time = Attempts { last_failure_at: Some(DateTime::<Utc>::MAX_UTC), ..failed(50, 0) };
        assert_eq!(gate(&end_of_time, now()), LoginGate::Wait { until: DateTime::<Utc>::MAX_UTC });
    }

    #[test]
    fn a_known_address_does_not_wait_but_is_not_above_the_cap() {
        let known = |failures| Attempts { known_address: true, ..failed(failures, 0) };
        assert_eq!(gate(&known(6), now()), LoginGate::Open);
        assert_eq!(gate(&known(99), now()), LoginGate::Open);
        assert_eq!(gate(&known(100), now()), LoginGate::ResetNeeded);
    }

    #[test]
    fn a_stranger_needs_days_for_a_hundred_guesses_and_gets_no_more() {
        let (mut failures, mut last, mut time) = (0, None, now());
        let mut guesses = 0;
        // A guess every ten seconds for thirty days.
        for _ in 0..(30 * 86_400 / 10) {
            let attempts = Attempts { failures, last_failure_at: last, known_address: false };
            if gate(&attempts, time) == LoginGate::Open {
                guesses += 1;
                failures += 1;
                last = Some(time);
                if failures == FAILURES_MAX {
                    assert!(time - now() > Duration::days(3), "after {}", time - now());
                }
            }
            time += Duration::seconds(10);
        }
        assert_eq!(guesses, FAILURES_MAX);
    }
}
