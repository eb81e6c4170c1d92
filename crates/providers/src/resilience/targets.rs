//! One breaker for each tenant and each thing that its work depends on, and what all retries have come to.
//!
//! A tenant's dead bucket or wrong key stops that tenant's tries and nobody else's. Only a dependency that has failed is
//! remembered: one that works costs nothing.

use super::{Breaker, BreakerState};
use model::TenantId;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Carriers' recordings, as files.
pub const CARRIER_FILES: &str = "carrier-recordings";
/// Carriers' APIs.
pub const CARRIER_API: &str = "carrier-api";
/// The store of recordings.
pub const OBJECTS: &str = "objects";

/// Breakers remembered at once: those of the dependencies that have failed lately. The least recently used one goes
/// first, and goes closed: it must fail five times again.
pub const BREAKERS_MAX: usize = 10_000;

/// A thing that work depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// What kind of thing, for metrics: a vendor's name.
    pub name: &'static str,
    /// Which one of those: a number made of its address, model and key. 0 = there is one only.
    pub place: u64,
}

impl Target {
    /// One of several of a name, told apart by these words. They are not kept.
    #[must_use]
    pub fn at(name: &'static str, words: &[&str]) -> Self {
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        Self { name, place: hasher.finish() }
    }
}

impl From<&'static str> for Target {
    fn from(name: &'static str) -> Self {
        Self { name, place: 0 }
    }
}

/// Whose dependency (none: nobody's in particular), and which.
type Key = (Option<TenantId>, Target);

/// Breakers and counters of a process; clones share them. Times are milliseconds of any clock that does not run backwards.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    breakers: HashMap<Key, Kept>,
    /// Last use to breaker, so that the oldest is found without looking at all.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    stats: RetryStats,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    breaker: Breaker,
    used: u64,
}

/// What retries have come to since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryStats {
    /// Tries after a first one that failed.
    pub total_retries: u64,
    /// Those of them that went well.
    pub successful_retries: u64,
    /// Those that did not.
    pub failed_retries: u64,
    /// How often a breaker opened, after a failed trial too.
    pub circuit_breaker_triggered: u64,
}

impl RetryStats {
    /// The share of retries that went well, from 0 to 1; 1 when there was none.
    #[must_use]
    pub fn success_rate(&self) -> f64 {
        if self.total_retries == 0 {
            return 1.0;
        }
        // Far below 2^52.
        self.successful_retries as f64 / self.total_retries as f64
    }
}

/// The breakers of one kind of dependency, over all tenants: for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetState {
    /// Which dependency.
    pub target: &'static str,
    /// Breakers that have counted failures and let requests pass.
    pub closed: usize,
    /// Breakers that refuse.
    pub open: usize,
    /// Breakers whose trial is under way.
    pub half_open: usize,
}

impl Targets {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// May a request go out now? Each true is to be followed by [`Targets::succeeded`] or [`Targets::failed`]; one that
    /// is not heals after [`super::BREAKER_OPEN_MS`].
    #[must_use]
    pub fn allow(&self, tenant: Option<TenantId>, target: impl Into<Target>, now_ms: u64) -> bool {
        self.with(|inner| inner.touch((tenant, target.into())).is_none_or(|breaker| breaker.allow(now_ms)))
    }

    /// How long requests are refused from now on, ms; 0 = one may go out. Unlike [`Targets::allow`] it takes no trial.
    #[must_use]
    pub fn refused_for_ms(&self, tenant: Option<TenantId>, target: impl Into<Target>, now_ms: u64) -> u64 {
        self.with(|inner| {
            inner.breakers.get(&(tenant, target.into())).map_or(0, |kept| kept.breaker.refused_for_ms(now_ms))
        })
    }

    /// A request that was allowed went well.
    pub fn succeeded(&self, tenant: Option<TenantId>, target: impl Into<Target>) {
        self.with(|inner| inner.forget((tenant, target.into())));
    }

    /// A request that was allowed failed in a way that is the dependency's doing.
    pub fn failed(&self, tenant: Option<TenantId>, target: impl Into<Target>, now_ms: u64) {
        self.change((tenant, target.into()), |breaker| breaker.failed(now_ms));
    }

    /// A request that was allowed was refused in a way that the next one will be, too: a wrong key. No more are let
    /// through for [`super::BREAKER_OPEN_MS`].
    pub fn refused(&self, tenant: Option<TenantId>, target: impl Into<Target>, now_ms: u64) {
        self.change((tenant, target.into()), |breaker| breaker.open(now_ms));
    }

    /// A request that was allowed was given up before anything was known: if it was a trial, the next one may be another.
    pub fn abandoned(&self, tenant: Option<TenantId>, target: impl Into<Target>) {
        self.with(|inner| {
            if let Some(kept) = inner.breakers.get_mut(&(tenant, target.into())) {
                kept.breaker.abandoned();
            }
        });
    }

    fn change(&self, key: Key, change: impl FnOnce(&mut Breaker)) {
        self.with(|inner| {
            let breaker = inner.keep(key);
            let before = breaker.state();
            change(breaker);
            if breaker.state() == BreakerState::Open && before != BreakerState::Open {
                inner.stats.circuit_breaker_triggered += 1;
            }
        });
    }

    /// A try after a failed one has ended: well or not.
    pub fn retried(&self, went_well: bool) {
        self.with(|inner| {
            inner.stats.total_retries += 1;
            if went_well {
                inner.stats.successful_retries += 1;
            } else {
                inner.stats.failed_retries += 1;
            }
        });
    }

    /// What retries have come to.
    #[must_use]
    pub fn stats(&self) -> RetryStats {
        self.with(|inner| inner.stats)
    }

    /// How the breakers stand, by dependency.
    #[must_use]
    pub fn states(&self) -> Vec<TargetState> {
        self.with(|inner| {
            let mut states: BTreeMap<&'static str, TargetState> = BTreeMap::new();
            for ((_, target), kept) in &inner.breakers {
                let none = TargetState { target: target.name, closed: 0, open: 0, half_open: 0 };
                let state = states.entry(target.name).or_insert(none);
                match kept.breaker.state() {
                    BreakerState::Closed => state.closed += 1,
                    BreakerState::Open => state.open += 1,
                    BreakerState::HalfOpen => state.half_open += 1,
                }
            }
            states.into_values().collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        // Counters and breakers are whole after every step: a panic elsewhere leaves nothing half done.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn touch(&mut self, key: Key) -> Option<&mut Breaker> {
        let kept = self.breakers.get_mut(&key)?;
        self.by_use.remove(&kept.used);
        self.uses += 1;
        kept.used = self.uses;
        self.by_use.insert(self.uses, key);
        Some(&mut kept.breaker)
    }

    fn keep(&mut self, key: Key) -> &mut Breaker {
        if !self.breakers.contains_key(&key) && self.breakers.len() >= BREAKERS_MAX {
            let oldest = self.by_use.first_key_value().map(|(_, oldest)| *oldest);
            if let Some(oldest) = oldest {
                self.forget(oldest);
            }
        }
        self.uses += 1;
        let used = self.uses;
        let kept = self.breakers.entry(key).or_insert(Kept { breaker: Breaker::default(), used });
        self.by_use.remove(&kept.used);
        kept.used = used;
        self.by_use.insert(used, key);
        &mut kept.breaker
    }

    fn forget(&mut self, key: Key) {
        if let Some(kept) = self.breakers.remove(&key) {
            self.by_use.remove(&kept.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::{BREAKER_FAILURES, BREAKER_OPEN_MS, TRIAL_LOOKED_AFTER_MS};
    use proptest::prelude::*;

    fn tenant(n: u128) -> Option<TenantId> {
        Some(TenantId::from(uuid::Uuid::from_u128(n)))
    }

    fn break_it(targets: &Targets, tenant: Option<TenantId>, target: &'static str, now_ms: u64) {
        for _ in 0..BREAKER_FAILURES {
            assert!(targets.allow(tenant, target, now_ms));
            targets.failed(tenant, target, now_ms);
        }
    }

    #[test]
    fn a_tenants_broken_dependency_stops_nobody_else_and_nothing_else() {
        let (targets, a, b) = (Targets::new(), tenant(1), tenant(2));
        break_it(&targets, a, OBJECTS, 1_000);
        assert!(!targets.allow(a, OBJECTS, 1_000));
        for (tenant, target) in [(b, OBJECTS), (None, OBJECTS), (a, CARRIER_FILES), (a, CARRIER_API)] {
            assert!(targets.allow(tenant, target, 1_000), "{tenant:?} {target}");
        }
        assert_eq!(targets.refused_for_ms(a, OBJECTS, 1_000), BREAKER_OPEN_MS);
        assert_eq!(targets.refused_for_ms(a, OBJECTS, 31_000), BREAKER_OPEN_MS - 30_000);
        assert_eq!(targets.refused_for_ms(a, OBJECTS, 1_000 + BREAKER_OPEN_MS), 0);
        assert_eq!(targets.refused_for_ms(b, OBJECTS, 1_000), 0);
    }

    #[test]
    fn an_open_one_lets_one_trial_through_and_its_outcome_decides() {
        let (targets, a) = (Targets::new(), tenant(1));
        break_it(&targets, a, OBJECTS, 0);
        assert!(!targets.allow(a, OBJECTS, BREAKER_OPEN_MS - 1));
        assert!(targets.allow(a, OBJECTS, BREAKER_OPEN_MS));
        assert!(!targets.allow(a, OBJECTS, BREAKER_OPEN_MS), "one trial");
        assert_eq!(targets.refused_for_ms(a, OBJECTS, BREAKER_OPEN_MS), TRIAL_LOOKED_AFTER_MS);
        assert_eq!(targets.states(), [TargetState { target: OBJECTS, closed: 0, open: 0, half_open: 1 }]);
        targets.failed(a, OBJECTS, BREAKER_OPEN_MS);
        assert_eq!(targets.refused_for_ms(a, OBJECTS, BREAKER_OPEN_MS), BREAKER_OPEN_MS);
        assert!(targets.allow(a, OBJECTS, 2 * BREAKER_OPEN_MS));
        targets.succeeded(a, OBJECTS);
        assert!(targets.allow(a, OBJECTS, 2 * BREAKER_OPEN_MS) && targets.allow(a, OBJECTS, 2 * BREAKER_OPEN_MS));
        assert_eq!(targets.stats().circuit_breaker_triggered, 2, "the first five, and the failed trial");
        assert!(targets.states().is_empty(), "what works is not remembered");
    }

    #[test]
    fn places_of_one_name_are_apart_and_counted_together() {
        let (targets, a) = (Targets::new(), tenant(1));
        let (one, other) = (Target::at("openai", &["https://a", "m"]), Target::at("openai", &["https://b", "m"]));
        assert_ne!(one, other);
        assert_ne!(Target::at("openai", &["ab", "c"]), Target::at("openai", &["a", "bc"]));
        targets.refused(a, one, 0);
        assert!(!targets.allow(a, one, 0), "one refusal is enough");
        assert!(targets.allow(a, other, 0) && targets.allow(tenant(2), one, 0) && targets.allow(None, one, 0));
        assert_eq!(targets.stats().circuit_breaker_triggered, 1);
        targets.failed(a, other, 0);
        assert_eq!(targets.states(), [TargetState { target: "openai", closed: 1, open: 1, half_open: 0 }]);
    }

    #[test]
    fn a_trial_that_was_given_up_is_taken_by_the_next() {
        let (targets, a) = (Targets::new(), tenant(1));
        break_it(&targets, a, OBJECTS, 0);
        assert!(targets.allow(a, OBJECTS, BREAKER_OPEN_MS));
        assert!(!targets.allow(a, OBJECTS, BREAKER_OPEN_MS + 1));
        targets.abandoned(a, OBJECTS);
        assert!(targets.allow(a, OBJECTS, BREAKER_OPEN_MS + 2));
        targets.succeeded(a, OBJECTS);
        targets.abandoned(a, OBJECTS);
        assert!(targets.states().is_empty(), "what works is not remembered");
    }

    #[test]
    fn clones_count_together() {
        let targets = Targets::new();
        assert!((targets.stats().success_rate() - 1.0).abs() < f64::EPSILON);
        for went_well in [true, true, false, true] {
            targets.clone().retried(went_well);
        }
        let stats = targets.stats();
        let want =
            RetryStats { total_retries: 4, successful_retries: 3, failed_retries: 1, circuit_breaker_triggered: 0 };
        assert_eq!(stats, want);
        assert!((stats.success_rate() - 0.75).abs() < f64::EPSILON);
    }

    #[test]
    fn the_least_recently_used_one_goes() {
        let targets = Targets::new();
        let tenant = |n: usize| tenant(n as u128);
        break_it(&targets, tenant(0), OBJECTS, 0);
        for n in 1..BREAKERS_MAX {
            targets.failed(tenant(n), OBJECTS, 0);
        }
        // Asked for: no longer the oldest.
        assert!(!targets.allow(tenant(0), OBJECTS, 0));
        for n in BREAKERS_MAX..2 * BREAKERS_MAX - 1 {
            targets.failed(tenant(n), OBJECTS, 0);
        }
        assert!(!targets.allow(tenant(0), OBJECTS, 0));
        let inner = targets.0.lock().expect("no holder panics");
        assert_eq!((inner.breakers.len(), inner.by_use.len()), (BREAKERS_MAX, BREAKERS_MAX));
        assert!(!inner.breakers.contains_key(&(tenant(1), OBJECTS.into())));
    }

    proptest! {
        /// Each breaker of many behaves as one alone would.
        #[test]
        fn many_are_each_like_one(steps in prop::collection::vec((0u64..40_000, 0u8..3, 0u8..3), 1..300)) {
            let targets = Targets::new();
            let mut alone = [Breaker::default(); 3];
            let mut now = 0;
            for (wait, what, whose) in steps {
                now += wait;
                let (tenant, breaker) = (tenant(whose.into()), &mut alone[usize::from(whose)]);
                prop_assert_eq!(targets.refused_for_ms(tenant, OBJECTS, now), breaker.refused_for_ms(now));
                match what {
                    0 => prop_assert_eq!(targets.allow(tenant, OBJECTS, now), breaker.allow(now)),
                    1 => { targets.failed(tenant, OBJECTS, now); breaker.failed(now); }
                    _ => { targets.succeeded(tenant, OBJECTS); breaker.succeeded(); }
                }
                let inner = targets.0.lock().expect("no holder panics");
                prop_assert_eq!(inner.breakers.len(), inner.by_use.len());
            }
        }
    }
}
