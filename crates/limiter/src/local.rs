//! The count in this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::gcra::{Decision, Rate, decide};
use crate::key::Hashed;
use crate::policy::Policy;

/// Most keys that are counted at once: about 10 MB, and many times the clients that one machine serves in a window.
pub const KEYS_MAX: usize = 100_000;

/// Parts of the map, each with a lock of its own, so that requests rarely wait for each other.
const SHARDS: usize = 16;

/// One entry in so many makes room when a shard is full: enough that the search for them is rare.
const ROOM_SHARE: usize = 16;

/// What is kept of a key.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// When all of its quota is back.
    full_at: Instant,
    /// The latest that the clock was: requests read it before they get here, and may overtake each other.
    seen_at: Instant,
}

/// A key that is not here has all of its quota.
type Shard = HashMap<Hashed, Count>;

/// Counts in this process, for at most [`KEYS_MAX`] keys. When there are more, the keys with the least used make room:
/// whoever has used up a quota stays refused, and a new key is counted like any other.
pub struct LocalLimiter {
    shards: [Mutex<Shard>; SHARDS],
    shard_max: usize,
}

impl Default for LocalLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalLimiter {
    /// Nothing used yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_keys_max(KEYS_MAX)
    }

    /// For another number of keys, at least one per shard.
    fn with_keys_max(keys_max: usize) -> Self {
        Self { shards: Default::default(), shard_max: (keys_max / SHARDS).max(1) }
    }

    /// Charges one use to `key`. `now` is the monotonic clock.
    pub fn check(&self, policy: &Policy, key: &str, now: Instant) -> Decision {
        self.charge(policy, Hashed::of(policy, key), now)
    }

    pub(crate) fn charge(&self, policy: &Policy, key: Hashed, now: Instant) -> Decision {
        let mut shard = self.shard(key);
        let count = shard.get(&key).copied().unwrap_or(Count { full_at: now, seen_at: now });
        let now = count.seen_at.max(now);
        let ahead_us = ahead_us(count.full_at, now);
        let (decision, ahead_us) = decide(Rate::of(policy), ahead_us);
        if decision.allowed {
            self.put(&mut shard, key, Count { full_at: now + Duration::from_micros(ahead_us), seen_at: now });
        }
        decision
    }

    /// After Redis has decided on a use that was allowed, and charged, here: takes the charge back if Redis refused, and
    /// takes over what other machines have used. So this count is never behind the shared one when it has to stand in,
    /// and never ahead of it because of uses that were refused.
    pub(crate) fn settle(&self, policy: &Policy, key: Hashed, now: Instant, theirs: &Decision) {
        let mut shard = self.shard(key);
        let Count { mut full_at, seen_at } = shard.get(&key).copied().unwrap_or(Count { full_at: now, seen_at: now });
        if !theirs.allowed {
            let use_of_one = Duration::from_micros(Rate::of(policy).emission_us);
            full_at = full_at.checked_sub(use_of_one).unwrap_or(now);
        }
        self.put(&mut shard, key, Count { full_at: full_at.max(now + theirs.reset), seen_at });
    }

    fn put(&self, shard: &mut Shard, key: Hashed, count: Count) {
        if shard.len() >= self.shard_max && !shard.contains_key(&key) {
            make_room(shard, self.shard_max, count.seen_at);
        }
        shard.insert(key, count);
    }

    fn shard(&self, key: Hashed) -> MutexGuard<'_, Shard> {
        // A shard whose holder panicked is still a map of instants.
        self.shards[key.part(SHARDS)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }
}

/// Drops what is full again, and if that is nothing, those that will be soonest.
fn make_room(shard: &mut Shard, shard_max: usize, now: Instant) {
    shard.retain(|_, count| count.full_at > now);
    if shard.len() < shard_max {
        return;
    }
    let room = (shard_max / ROOM_SHARE).clamp(1, shard.len());
    let mut by_instant: Vec<(Instant, Hashed)> = shard.iter().map(|(key, count)| (count.full_at, *key)).collect();
    by_instant.select_nth_unstable(room - 1);
    for (_, key) in &by_instant[..room] {
        shard.remove(key);
    }
}

/// Rounded up, so that a clock finer than a microsecond never gives anything away.
fn ahead_us(full_at: Instant, now: Instant) -> u64 {
    let ahead = full_at.saturating_duration_since(now);
    u64::try_from(ahead.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policies;

    fn policy(quota: u32, window_s: u64) -> Policy {
        Policy::new("test", quota, Duration::from_secs(window_s)).unwrap()
    }

    #[test]
    fn every_policy_counts_each_key_for_itself() {
        let limiter = LocalLimiter::new();
        let policies = Policies::default();
        let start = Instant::now();
        for policy in policies.all() {
            for key in ["a@example.in 203.0.113.1", "a@example.in 203.0.113.2"] {
                for _ in 0..policy.quota() {
                    assert!(limiter.check(policy, key, start).allowed, "{policy:?} {key}");
                }
                let refused = limiter.check(policy, key, start);
                assert!(!refused.allowed, "{policy:?} {key}");
                assert_eq!(refused.retry_after, policy.window() / policy.quota());
                let back = start + refused.retry_after;
                assert!(!limiter.check(policy, key, back - Duration::from_micros(1)).allowed, "{policy:?} {key}");
                assert!(limiter.check(policy, key, back).allowed, "{policy:?} {key}");
                assert!(!limiter.check(policy, key, back).allowed, "{policy:?} {key}");
            }
        }
    }

    #[test]
    fn parts_of_a_microsecond_give_nothing_away() {
        let limiter = LocalLimiter::new();
        let policy = policy(1000, 1);
        let start = Instant::now();
        // 1000 at once and one per millisecond: in the second after them, asked every 300 ns, no more than 999.
        assert!((0..1000).all(|_| limiter.check(&policy, "a", start).allowed));
        let second = (1..3_333_333_u64).step_by(7).map(|each| start + Duration::from_nanos(each * 300));
        assert!(second.filter(|now| limiter.check(&policy, "a", *now).allowed).count() <= 999);
    }

    #[test]
    fn a_clock_that_is_read_out_of_order_takes_nothing_away() {
        let limiter = LocalLimiter::new();
        let policy = policy(2, 10);
        let start = Instant::now() + Duration::from_secs(100);
        assert!(limiter.check(&policy, "a", start).allowed);
        assert!(limiter.check(&policy, "a", start - Duration::from_secs(1)).allowed);
        assert!(!limiter.check(&policy, "a", start).allowed);
        let refused = limiter.check(&policy, "a", start - Duration::from_secs(60));
        assert_eq!((refused.allowed, refused.retry_after), (false, Duration::from_secs(5)));
    }

    #[test]
    fn many_keys_never_grow_it_nor_open_it() {
        let limiter = LocalLimiter::with_keys_max(SHARDS * 64);
        let policy = policy(5, 60);
        let start = Instant::now();
        for key in 0..3 {
            for _ in 0..5 {
                assert!(limiter.check(&policy, &format!("used up {key}"), start).allowed);
            }
        }
        for key in 0..20_000 {
            assert_eq!(limiter.check(&policy, &format!("flood {key}"), start).remaining, 4);
            assert!(limiter.len() <= SHARDS * 64);
        }
        for key in 0..3 {
            assert!(!limiter.check(&policy, &format!("used up {key}"), start).allowed, "the flood freed {key}");
        }
        // Full of used-up quotas: a new key is still counted, from its first use on.
        let full = LocalLimiter::with_keys_max(SHARDS);
        for key in 0..2000 {
            let name = format!("full {key}");
            assert!((0..5).all(|_| full.check(&policy, &name, start).allowed));
            assert!(!full.check(&policy, &name, start).allowed);
            assert!(full.len() <= SHARDS);
        }
    }

    #[test]
    fn what_is_full_again_is_swept_first() {
        let limiter = LocalLimiter::with_keys_max(SHARDS * 8);
        let policy = policy(5, 50);
        let start = Instant::now();
        for key in 0..2000 {
            limiter.check(&policy, &format!("old {key}"), start);
        }
        let later = start + Duration::from_secs(10);
        for key in 0..2000 {
            limiter.check(&policy, &format!("new {key}"), later);
        }
        let left = limiter.shards.iter().flat_map(|shard| shard.lock().unwrap().values().copied().collect::<Vec<_>>());
        assert!(left.into_iter().all(|count| count.full_at > later));
    }

    #[test]
    fn settling_follows_the_shared_count() {
        let limiter = LocalLimiter::new();
        let policy = policy(6, 60);
        let key = Hashed::of(&policy, "a");
        let start = Instant::now();
        // Others have used four, we one: one is left.
        assert!(limiter.charge(&policy, key, start).allowed);
        let (theirs, _) = decide(Rate::of(&policy), 40_000_000);
        limiter.settle(&policy, key, start, &theirs);
        assert_eq!(limiter.charge(&policy, key, start).remaining, 0);
        assert!(!limiter.charge(&policy, key, start).allowed);
        // The shared count was lost and begins anew: what was used here still counts.
        let (theirs, _) = decide(Rate::of(&policy), 0);
        limiter.settle(&policy, key, start, &theirs);
        assert!(!limiter.charge(&policy, key, start).allowed);
    }

    #[test]
    fn a_use_that_was_refused_elsewhere_costs_nothing_here() {
        let limiter = LocalLimiter::new();
        let policy = policy(1, 60);
        let key = Hashed::of(&policy, "a");
        let start = Instant::now();
        // Half an interval out of step, asking all the time: allowed again exactly when the shared count allows it.
        let (refused, _) = decide(Rate::of(&policy), 30_000_000);
        assert!(limiter.charge(&policy, key, start).allowed);
        limiter.settle(&policy, key, start, &refused);
        assert!(!limiter.charge(&policy, key, start + Duration::from_secs(29)).allowed);
        assert!(limiter.charge(&policy, key, start + Duration::from_secs(30)).allowed);
    }

    #[test]
    fn threads_together_get_the_quota_and_no_more() {
        let limiter = LocalLimiter::new();
        let policy = policy(100, 3600);
        let start = Instant::now();
        let allowed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter(|_| limiter.check(&policy, "a", start).allowed).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(allowed, 100);
    }
}
