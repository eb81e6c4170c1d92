//! Failed logins of addresses that nobody has. They are counted like those of users, so that having to wait does not
//! tell that an address has an account. In this process only: a restart forgets them.

use chrono::{DateTime, Utc};
use identity::login_delay::{self, Attempts, LoginGate};
use model::EmailAddress;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::token_hash;

/// Addresses remembered: under a megabyte. Each costs whoever fills this up a password hash.
const ADDRESSES_MAX: usize = 10_000;

/// Failures and the time of the last, by the address' hash.
type Counts = HashMap<[u8; 32], (u32, DateTime<Utc>)>;

/// Addresses that nobody has, and that somebody tried.
#[derive(Default)]
pub struct Strangers(Mutex<Counts>);

impl Strangers {
    /// As [`login_delay::gate`] for users.
    pub(crate) fn gate(&self, email: &EmailAddress, now: DateTime<Utc>) -> LoginGate {
        let (failures, last) = self.counts().get(&key(email)).copied().map_or((0, None), |(n, at)| (n, Some(at)));
        login_delay::gate(&Attempts { failures, last_failure_at: last, known_address: false }, now)
    }

    /// Somebody tried.
    pub(crate) fn failed(&self, email: &EmailAddress, now: DateTime<Utc>) {
        let mut counts = self.counts();
        let key = key(email);
        if counts.len() >= ADDRESSES_MAX && !counts.contains_key(&key) {
            let oldest = counts.iter().min_by_key(|(_, (_, at))| *at).map(|(key, _)| *key);
            oldest.and_then(|oldest| counts.remove(&oldest));
        }
        let count = counts.entry(key).or_insert((0, now));
        *count = (count.0.saturating_add(1), now);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Whatever a panic interrupted, it is still a map of numbers.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(email: &EmailAddress) -> [u8; 32] {
    token_hash(email.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Duration;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).expect("an address")
    }

    #[test]
    fn they_wait_like_users() {
        let (strangers, now) = (Strangers::default(), DateTime::UNIX_EPOCH);
        let email = address("nobody@example.org");
        for _ in 0..=login_delay::FREE_FAILURES {
            assert_eq!(strangers.gate(&email, now), LoginGate::Open);
            strangers.failed(&email, now);
        }
        let until = now + login_delay::FIRST_WAIT;
        assert_eq!(strangers.gate(&email, now), LoginGate::Wait { until });
        assert_eq!(strangers.gate(&email, until), LoginGate::Open);
        assert_eq!(strangers.gate(&address("else@example.org"), now), LoginGate::Open);
    }

    #[test]
    fn the_longest_unheard_of_makes_room() {
        let (strangers, begin) = (Strangers::default(), DateTime::UNIX_EPOCH);
        for n in 0..ADDRESSES_MAX {
            strangers.failed(&address(&format!("a{n}@example.org")), begin + Duration::seconds(n as i64));
        }
        strangers.failed(&address("one.more@example.org"), begin + Duration::days(1));
        let counts = strangers.counts();
        assert_eq!(counts.len(), ADDRESSES_MAX);
        assert!(!counts.contains_key(&key(&address("a0@example.org"))));
        assert!(counts.contains_key(&key(&address("a1@example.org"))));
    }
}
