//! Who has lately begun to hear what. A player asks for a recording in many parts; that is on record once, not for every
//! part. In this process only: another one has it on record once more.

use chrono::{DateTime, Duration, Utc};
use model::RecordingId;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

/// Parts that are asked for within this time of the first belong to one hearing.
const HEARING_S: i64 = 900;
/// Hearings remembered: about 200 kB. Beyond them every part is on record.
const HEARINGS_MAX: usize = 8_192;

/// Hearings that are on record already. Keeps hashes only.
#[derive(Debug, Default)]
pub struct Hearings {
    hashing: RandomState,
    until: Mutex<HashMap<u64, DateTime<Utc>>>,
}

impl Hearings {
    /// Whether this request belongs to a hearing that is on record. One for the beginning of the sound never does: it
    /// begins another.
    pub(super) fn goes_on(&self, actor: &str, recording: RecordingId, first_byte: u64, now: DateTime<Utc>) -> bool {
        let key = self.hashing.hash_one((actor, recording));
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        first_byte > 0 && until.get(&key).is_some_and(|until| now < *until)
    }

    /// It is on record now.
    pub(super) fn began(&self, actor: &str, recording: RecordingId, now: DateTime<Utc>) {
        let key = self.hashing.hash_one((actor, recording));
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= HEARINGS_MAX {
            until.retain(|_, until| now < *until);
        }
        if until.len() < HEARINGS_MAX {
            until.insert(key, now + Duration::seconds(HEARING_S));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn parts_of_one_hearing_go_on_and_a_beginning_begins() {
        let hearings = Hearings::default();
        let (one, other) = (Uuid::from_u128(1).into(), Uuid::from_u128(2).into());
        let now = DateTime::from_timestamp(1_795_000_000, 0).expect("a time");
        assert!(!hearings.goes_on("user:a", one, 5, now), "nobody gets out of it by leaving out the beginning");
        hearings.began("user:a", one, now);
        for (actor, recording, first_byte, after_s, goes_on) in [
            ("user:a", one, 5, 0, true),
            ("user:a", one, 5, HEARING_S - 1, true),
            ("user:a", one, 0, 0, false),
            ("user:a", one, 5, HEARING_S, false),
            ("user:b", one, 5, 0, false),
            ("user:a", other, 5, 0, false),
        ] {
            let at = now + Duration::seconds(after_s);
            assert_eq!(hearings.goes_on(actor, recording, first_byte, at), goes_on, "{actor} {first_byte} {after_s}");
        }
    }

    #[test]
    fn its_memory_is_bounded_and_comes_back() {
        let hearings = Hearings::default();
        let now = DateTime::from_timestamp(1_795_000_000, 0).expect("a time");
        let recording = |n: usize| Uuid::from_u128(n as u128).into();
        for n in 0..HEARINGS_MAX {
            hearings.began("user:a", recording(n), now);
        }
        hearings.began("user:a", recording(HEARINGS_MAX), now);
        assert!(!hearings.goes_on("user:a", recording(HEARINGS_MAX), 1, now), "no room: every part is on record");
        assert!(hearings.goes_on("user:a", recording(0), 1, now));
        let later = now + Duration::seconds(HEARING_S);
        hearings.began("user:a", recording(HEARINGS_MAX), later);
        assert!(hearings.goes_on("user:a", recording(HEARINGS_MAX), 1, later));
    }
}
