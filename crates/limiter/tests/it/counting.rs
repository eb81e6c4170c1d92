//! Several machines on one Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use limiter::{Limiter, Policies, Policy, RedisLimiter, State};
use tokio::task::JoinSet;

use crate::server::{Server, connect, shared_url, unique};

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_share_a_quota_exactly() {
    let Some(url) = shared_url() else { return };
    let machines = [RedisLimiter::new(&url).unwrap(), RedisLimiter::new(&url).unwrap()].map(Arc::new);
    let policy = Policy::new("test", 50, Duration::from_secs(36_000)).unwrap();
    // The deadline is not what this is about, and 200 uses at once on a new connection may be slow on a busy machine.
    for machine in &machines {
        machine.check(&policy, &unique("first")).await.expect("Redis answers");
    }
    let key = unique("shared");
    let mut uses = JoinSet::new();
    for each in 0..200 {
        let (machine, key) = (Arc::clone(&machines[each % 2]), key.clone());
        uses.spawn(async move { machine.check(&policy, &key).await.expect("Redis answers") });
    }
    let decisions = uses.join_all().await;
    let mut remaining: Vec<u32> = decisions.iter().filter(|each| each.allowed).map(|each| each.remaining).collect();
    remaining.sort_unstable();
    assert_eq!(remaining, (0..50).collect::<Vec<_>>(), "each use was counted once");
    assert!(decisions.iter().filter(|each| !each.allowed).all(|each| each.retry_after > Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_share_every_policy() {
    let Some(url) = shared_url() else { return };
    let mut policies = Policies::default();
    for name in limiter::NAMES {
        // Slow enough that nothing comes back while the test runs.
        policies.set(name, 4, Duration::from_secs(36_000)).unwrap();
    }
    let machines = [(); 2].map(|()| Limiter::shared(&url, policies.clone()).unwrap());
    for policy in policies.all() {
        let (key, other) = (unique(policy.name()), unique("other"));
        for used in 0..4 {
            let decision = machines[used % 2].check(policy, &key, Instant::now()).await;
            assert!(decision.allowed, "{policy:?}");
            assert_eq!(decision.remaining as usize, 3 - used, "{policy:?}");
        }
        for machine in &machines {
            let decision = machine.check(policy, &key, Instant::now()).await;
            assert!(!decision.allowed && decision.retry_after > Duration::from_secs(8000), "{policy:?}: {decision:?}");
            assert!(machine.check(policy, &other, Instant::now()).await.allowed, "{policy:?}");
        }
    }
    for machine in &machines {
        assert_eq!(machine.state(), State::Shared);
        assert_eq!(machine.degraded_decisions(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_machine_under_load_allows_the_quota() {
    let Some(url) = shared_url() else { return };
    let policy = Policy::new("test", 50, Duration::from_secs(36_000)).unwrap();
    let machine = Arc::new(Limiter::shared(&url, Policies::default()).unwrap());
    let (key, now) = (unique("load"), Instant::now());
    let mut uses = JoinSet::new();
    for _ in 0..200 {
        let (machine, key) = (Arc::clone(&machine), key.clone());
        uses.spawn(async move { machine.check(&policy, &key, now).await.allowed });
    }
    assert_eq!(uses.join_all().await.into_iter().filter(|allowed| *allowed).count(), 50);
}

/// A client that does not wait but asks all the time. Refused first by Redis, then by the machine that has learnt of it.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_move_nothing() {
    let Some(url) = shared_url() else { return };
    let machine = Limiter::shared(&url, Policies::default()).unwrap();
    let other = RedisLimiter::new(&url).unwrap();
    let policy = Policy::new("test", 2, Duration::from_secs(72_000)).unwrap();
    let (key, now) = (unique("refused"), Instant::now());
    for _ in 0..2 {
        assert!(other.check(&policy, &key).await.unwrap().allowed);
    }
    for _ in 0..5 {
        let decision = machine.check(&policy, &key, now).await;
        assert!(!decision.allowed && decision.remaining == 0);
        let moved = decision.retry_after.abs_diff(Duration::from_secs(36_000));
        assert!(moved < Duration::from_secs(60), "by {moved:?}");
        let moved = decision.reset.abs_diff(Duration::from_secs(72_000));
        assert!(moved < Duration::from_secs(60), "by {moved:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_lies_in_redis() {
    let Some(server) = Server::start().await else { return };
    let machine = Limiter::shared(&server.url(), Policies::default()).unwrap();
    for policy in machine.policies().all() {
        machine.check(policy, "asha@example.in 203.0.113.9", Instant::now()).await;
    }
    let mut connection = connect(&server.address()).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("listed");
    assert!(keys.iter().any(|key| key.starts_with("caly:limit:login:")), "{keys:?}");
    for key in keys {
        assert!(key.starts_with("caly:limit:"), "{key}");
        assert!(!key.contains("asha") && !key.contains("203"), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_connection_and_a_forgotten_script_are_not_noticed() {
    let Some(server) = Server::start().await else { return };
    let machine = Limiter::shared(&server.url(), Policies::default()).unwrap();
    let policy = machine.policies().login;
    let mut connection = connect(&server.address()).await;
    assert_eq!(machine.check(&policy, "a", Instant::now()).await.remaining, 5);
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut connection).await.expect("flushed");
    assert_eq!(machine.check(&policy, "a", Instant::now()).await.remaining, 4);
    let killed: u32 = redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .query_async(&mut connection)
        .await
        .expect("killed");
    assert!(killed >= 1);
    assert_eq!(machine.check(&policy, "a", Instant::now()).await.remaining, 3);
    assert_eq!(machine.state(), State::Shared);
    assert_eq!(machine.degraded_decisions(), 0);
}
