//! The script counts exactly as this process does, on a clock of the test's.

use std::time::{Duration, Instant};

use limiter::{Decision, LocalLimiter, Policies, Policy};
use redis::Script;
use redis::aio::MultiplexedConnection;

use crate::server::{connect, shared_url, unique};
use secrecy::ExposeSecret as _;

const TEXT: &str = include_str!("../../src/gcra.lua");
/// Some day, microseconds since 1970.
const START_US: u64 = 1_790_000_000_123_456;

/// The script, with the clock as two more arguments.
struct Scripted {
    script: Script,
    connection: MultiplexedConnection,
}

impl Scripted {
    async fn new() -> Option<Self> {
        let connection = connect(shared_url()?.expose_secret()).await;
        let text = TEXT.replace("redis.call('TIME')", "{ARGV[3], ARGV[4]}");
        assert_ne!(text, TEXT, "the script reads the clock otherwise");
        Some(Self { script: Script::new(&text), connection })
    }

    async fn use_at(&mut self, policy: &Policy, key: &str, now_us: u64) -> Decision {
        let emission_us = (policy.window().as_secs() * 1_000_000).div_ceil(u64::from(policy.quota()));
        let mut call = self.script.key(key);
        call.arg(emission_us).arg(emission_us * u64::from(policy.quota()));
        call.arg(now_us / 1_000_000).arg(now_us % 1_000_000);
        let (allowed, remaining, reset_us, retry_us): (bool, u32, u64, u64) =
            call.invoke_async(&mut self.connection).await.expect("the script runs");
        Decision {
            allowed,
            limit: policy.quota(),
            remaining,
            reset: Duration::from_micros(reset_us),
            retry_after: Duration::from_micros(retry_us),
        }
    }

    async fn stored(&mut self, command: &str, key: &str) -> Option<u64> {
        redis::cmd(command).arg(key).query_async(&mut self.connection).await.expect("answered")
    }
}

/// A plain sequence of numbers: the test must say the same each time.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[tokio::test]
async fn every_sequence_is_decided_alike() {
    let Some(mut scripted) = Scripted::new().await else { return };
    let mut state = 7;
    // Intervals of a minute and more: Redis forgets a key by its own clock, which must not strike within the test.
    for (quota, window_s) in [(1, 60), (2, 600), (3, 600), (6, 900), (7, 1000), (13, 1001), (30, 3600), (97, 9999)] {
        let policy = Policy::new("test", quota, Duration::from_secs(window_s)).unwrap();
        let local = LocalLimiter::new();
        let key = unique("agreement");
        let start = Instant::now();
        let mut elapsed_us = 0;
        for step in 0..300 {
            let emission_us = window_s * 1_000_000 / u64::from(quota);
            elapsed_us += match next(&mut state) % 6 {
                0..3 => 0,
                3 => next(&mut state) % 3,
                4 => next(&mut state) % emission_us,
                _ => next(&mut state) % (3 * emission_us),
            };
            let ours = local.check(&policy, &key, start + Duration::from_micros(elapsed_us));
            let theirs = scripted.use_at(&policy, &key, START_US + elapsed_us).await;
            assert_eq!(ours, theirs, "{quota} in {window_s} s, step {step}, after {elapsed_us} µs");
        }
    }
}

#[tokio::test]
async fn every_policy_allows_its_quota_and_one_more_per_interval() {
    let Some(mut scripted) = Scripted::new().await else { return };
    for policy in Policies::default().all() {
        // Windows as long as the promised ones or longer, for the same reason as above.
        let policy =
            &Policy::new(policy.name(), policy.quota(), policy.window().max(Duration::from_secs(36_000))).unwrap();
        let key = unique(policy.name());
        for used in 1..=policy.quota() {
            let decision = scripted.use_at(policy, &key, START_US).await;
            assert!(decision.allowed && decision.remaining == policy.quota() - used, "{policy:?}: {decision:?}");
        }
        let refused = scripted.use_at(policy, &key, START_US).await;
        assert!(!refused.allowed && refused.remaining == 0, "{policy:?}: {refused:?}");
        assert_eq!(refused.retry_after, policy.window() / policy.quota(), "{policy:?}");
        let back_us = START_US + refused.retry_after.as_micros() as u64;
        assert!(!scripted.use_at(policy, &key, back_us - 1).await.allowed, "{policy:?}");
        assert!(scripted.use_at(policy, &key, back_us).await.allowed, "{policy:?}");
        assert!(!scripted.use_at(policy, &key, back_us).await.allowed, "{policy:?}");
    }
}

#[tokio::test]
async fn a_clock_set_back_locks_nobody_out() {
    let Some(mut scripted) = Scripted::new().await else { return };
    let policy = Policies::default().login;
    let key = unique("clock");
    assert!(scripted.use_at(&policy, &key, START_US).await.allowed);
    let back_us = START_US - 3_600_000_000;
    let decision = scripted.use_at(&policy, &key, back_us).await;
    assert!(!decision.allowed, "what was used is not given back either");
    assert_eq!(decision.retry_after, Duration::from_secs(150));
    assert!(scripted.use_at(&policy, &key, back_us + 150_000_000).await.allowed);
}

#[tokio::test]
async fn a_key_is_kept_exactly_as_long_as_it_matters() {
    let Some(mut scripted) = Scripted::new().await else { return };
    let policy = Policy::new("test", 7, Duration::from_secs(900)).unwrap();
    let key = unique("expiry");
    for used in 1..=7_u64 {
        let reset_us = scripted.use_at(&policy, &key, START_US).await.reset.as_micros() as u64;
        assert_eq!(reset_us, 128_571_429 * used);
        assert_eq!(scripted.stored("GET", &key).await, Some(START_US + reset_us), "a whole number, all digits");
        let left_ms = scripted.stored("PTTL", &key).await.expect("it expires");
        // Not before it is due; some milliseconds have gone by.
        let due_ms = reset_us.div_ceil(1000);
        assert!((due_ms - 60_000..=due_ms).contains(&left_ms), "{left_ms} of {due_ms}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_number_is_an_unused_quota() {
    let Some(mut scripted) = Scripted::new().await else { return };
    let policy = Policies::default().login;
    let key = unique("garbage");
    let _: () = redis::cmd("SET").arg(&key).arg("x").query_async(&mut scripted.connection).await.expect("set");
    assert_eq!(scripted.use_at(&policy, &key, START_US).await.remaining, 5);
}
