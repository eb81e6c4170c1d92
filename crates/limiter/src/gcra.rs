//! The count itself, as arithmetic: the generic cell rate algorithm over whole microseconds.
//!
//! All that is kept of a key is how far it is *ahead*: for how long from now it would have to keep still until its quota
//! is full again. A use moves it ahead by one emission interval, `window / quota`; time takes it back. A use that would
//! put it further ahead than the whole quota is refused and costs nothing. `gcra.lua` does the same inside Redis.

use std::time::Duration;

use crate::Policy;

/// The answer to one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// The policy's quota.
    pub limit: u32,
    /// How many more uses would be allowed right now.
    pub remaining: u32,
    /// Until the full quota is back, if nothing more is used.
    pub reset: Duration,
    /// Until the next use is allowed; zero when this one was.
    pub retry_after: Duration,
}

/// A policy in the units of the count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    quota: u32,
    /// One use, microseconds. Rounded up, so that no more than the quota comes back in a window.
    pub(crate) emission_us: u64,
}

impl Rate {
    pub(crate) fn of(policy: &Policy) -> Self {
        let window_us = policy.window().as_secs() * 1_000_000;
        Self { quota: policy.quota(), emission_us: window_us.div_ceil(u64::from(policy.quota())) }
    }

    /// The whole quota, microseconds: the window, or a few microseconds more where the division left a rest.
    pub(crate) const fn burst_us(&self) -> u64 {
        self.emission_us * self.quota as u64
    }
}

/// One use by a key that is `ahead_us` ahead. Returns how far ahead it is afterwards, too.
pub(crate) fn decide(rate: Rate, ahead_us: u64) -> (Decision, u64) {
    let burst_us = rate.burst_us();
    // Further ahead than the quota cannot come from this policy; believing it would lock the key out for longer.
    let before_us = ahead_us.min(burst_us);
    let after_us = before_us + rate.emission_us;
    if after_us > burst_us {
        return (refused(rate.quota, before_us, after_us - burst_us), before_us);
    }
    let remaining = (burst_us - after_us) / rate.emission_us;
    let decision = Decision {
        allowed: true,
        limit: rate.quota,
        remaining: u32::try_from(remaining).unwrap_or(rate.quota),
        reset: Duration::from_micros(after_us),
        retry_after: Duration::ZERO,
    };
    (decision, after_us)
}

const fn refused(limit: u32, ahead_us: u64, retry_us: u64) -> Decision {
    Decision {
        allowed: false,
        limit,
        remaining: 0,
        reset: Duration::from_micros(ahead_us),
        retry_after: Duration::from_micros(retry_us),
    }
}

impl Decision {
    /// Until one more than `remaining` is allowed. The same as `retry_after` when this use was refused.
    pub(crate) fn next_unit(&self, policy: &Policy) -> Duration {
        let rate = Rate::of(policy);
        let full_without_it = u64::from(self.limit.saturating_sub(self.remaining).saturating_sub(1));
        self.reset.saturating_sub(Duration::from_micros(rate.emission_us * full_without_it))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Policies;

    fn policy(quota: u32, window_s: u64) -> Policy {
        Policy::new("test", quota, Duration::from_secs(window_s)).unwrap()
    }

    /// A key, with its clock.
    struct Key {
        rate: Rate,
        full_at_us: u64,
    }

    impl Key {
        fn new(policy: &Policy) -> Self {
            Self { rate: Rate::of(policy), full_at_us: 0 }
        }

        fn use_at(&mut self, now_us: u64) -> Decision {
            let (decision, ahead_us) = decide(self.rate, self.full_at_us.saturating_sub(now_us));
            self.full_at_us = now_us + ahead_us;
            decision
        }
    }

    #[test]
    fn every_policy_allows_its_quota_at_once_and_one_more_per_interval() {
        for policy in Policies::default().all() {
            let mut key = Key::new(policy);
            let emission_us = key.rate.emission_us;
            assert_eq!(emission_us * u64::from(policy.quota()), policy.window().as_secs() * 1_000_000, "{policy:?}");
            for used in 1..=policy.quota() {
                let decision = key.use_at(0);
                assert!(decision.allowed, "{policy:?}: {used}");
                assert_eq!(decision.limit, policy.quota());
                assert_eq!(decision.remaining, policy.quota() - used);
                assert_eq!(decision.reset, Duration::from_micros(emission_us * u64::from(used)));
                assert_eq!(decision.retry_after, Duration::ZERO);
                assert_eq!(decision.next_unit(policy), Duration::from_micros(emission_us));
            }
            for _ in 0..3 {
                let decision = key.use_at(0);
                assert!(!decision.allowed && decision.remaining == 0, "{policy:?}");
                assert_eq!(decision.retry_after, Duration::from_micros(emission_us));
                assert_eq!(decision.reset, policy.window(), "a refused use costs nothing");
                assert_eq!(decision.next_unit(policy), decision.retry_after);
            }
            assert!(!key.use_at(emission_us - 1).allowed, "{policy:?}: a microsecond early");
            assert_eq!(key.use_at(emission_us - 1).retry_after, Duration::from_micros(1));
            assert!(key.use_at(emission_us).allowed, "{policy:?}: after one interval");
            assert!(!key.use_at(emission_us).allowed, "{policy:?}: only one more");
            let full_again_us = emission_us + policy.window().as_secs() * 1_000_000;
            assert_eq!(key.use_at(full_again_us).remaining, policy.quota() - 1, "{policy:?}: all of it after a window");
        }
    }

    #[test]
    fn a_rest_in_the_division_never_adds_a_use() {
        let policy = policy(7, 900);
        let mut key = Key::new(&policy);
        assert!((0..7).all(|_| key.use_at(0).allowed));
        let late = (0..900_000_000).step_by(1_000_000).filter(|now_us| key.use_at(*now_us).allowed).count();
        assert_eq!(late, 6, "the seventh comes back after the window, not within it");
    }

    #[test]
    fn an_impossible_lead_is_a_used_up_quota() {
        let policy = policy(6, 900);
        let (decision, ahead_us) = decide(Rate::of(&policy), u64::MAX);
        assert!(!decision.allowed);
        assert_eq!(decision.retry_after, Duration::from_secs(150));
        assert_eq!(ahead_us, 900_000_000);
    }

    #[test]
    fn the_largest_policy_fits() {
        let policy = Policy::new("test", crate::QUOTA_MAX, crate::WINDOW_MAX).unwrap();
        let rate = Rate::of(&policy);
        assert!(rate.burst_us() < 1 << 52, "exact as a floating-point number, with a clock of today added");
        let (decision, _) = decide(rate, rate.burst_us() - rate.emission_us);
        assert!(decision.allowed && decision.remaining == 0);
    }

    /// The definition without any state but the past: a use is allowed when, counted from each earlier allowed one, no
    /// more than the quota and what has come back since have been used.
    fn reference(allowed_us: &[u64], quota: u64, emission_us: u64, now_us: u64) -> bool {
        allowed_us.iter().enumerate().all(|(index, since_us)| {
            let used = (allowed_us.len() - index) as u64;
            (used + 1).saturating_sub(quota) * emission_us <= now_us - since_us
        })
    }

    proptest! {
        #[test]
        fn decisions_follow_from_the_past_and_keep_the_rate(
            quota in 1_u32..12,
            window_s in 1_u64..40,
            steps in prop::collection::vec(prop_oneof![Just(0_u64), 0..1000_u64, 0..8_000_000_u64], 1..150),
        ) {
            let policy = policy(quota, window_s);
            let mut key = Key::new(&policy);
            let emission_us = key.rate.emission_us;
            let mut now_us = 1_790_000_000_000_000;
            let mut allowed_us: Vec<u64> = Vec::new();
            let mut promised_us = None;
            for step in steps {
                now_us += step;
                let expected = reference(&allowed_us, u64::from(quota), emission_us, now_us);
                let decision = key.use_at(now_us);
                prop_assert_eq!(decision.allowed, expected);
                if let Some(at) = promised_us {
                    prop_assert_eq!(decision.allowed, now_us >= at, "what retry_after promised");
                }
                promised_us = None;
                if decision.allowed {
                    allowed_us.push(now_us);
                } else {
                    promised_us = Some(now_us + decision.retry_after.as_micros() as u64);
                }
            }
            for (index, from) in allowed_us.iter().enumerate() {
                for (ahead, to) in allowed_us[index..].iter().enumerate() {
                    let back = (to - from) * u64::from(quota) / (window_s * 1_000_000);
                    let uses = ahead as u64 + 1;
                    prop_assert!(uses <= u64::from(quota) + back);
                }
            }
        }
    }
}
