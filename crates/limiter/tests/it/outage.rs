//! Redis away, hung, talking nonsense, and back again. The clock handed in is the test's, so no pause is waited for.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use limiter::{Limiter, PROBE_PAUSE, Policies, Policy, State};
use tokio::task::JoinSet;

use crate::server::{Server, address, free_port};

/// What nobody may wait for, whatever Redis does.
const BOUND: Duration = Duration::from_secs(1);

fn machine(url: &str) -> Limiter {
    Limiter::shared(&url.to_owned().into(), Policies::default()).expect("an address")
}

/// Slow enough that nothing comes back while a test runs, fast or slow.
fn quota_of(quota: u32) -> Policy {
    Policy::new("login", quota, Duration::from_secs(720_000)).expect("a policy")
}

/// Uses `key` until it is refused, each time within the bound, and counts what was allowed.
async fn allowed(machine: &Limiter, policy: &Policy, key: &str, now: Instant) -> u32 {
    let mut allowed = 0;
    loop {
        let asked = Instant::now();
        let decision = machine.check(policy, key, now).await;
        assert!(asked.elapsed() < BOUND, "waited {:?}", asked.elapsed());
        if !decision.allowed {
            assert!(decision.retry_after > Duration::ZERO);
            return allowed;
        }
        allowed += 1;
    }
}

fn is_degraded(machine: &Limiter) -> bool {
    matches!(machine.state(), State::Degraded { .. })
}

/// Lets the probe come due again and again until Redis is found. Returns the clock then.
async fn until_shared(machine: &Limiter, mut now: Instant) -> Instant {
    for _ in 0..100 {
        now += PROBE_PAUSE;
        machine.probe_when_due(now);
        for _ in 0..10 {
            if machine.state() == State::Shared {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    panic!("Redis is back and not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn away_at_the_start_and_there_later() {
    let Some(server) = Server::start().await else { return };
    let port = server.port;
    drop(server);
    let machine = machine(&address(port));
    assert_eq!(machine.state(), State::Shared, "not missed yet");
    let (policy, now) = (quota_of(6), Instant::now());
    assert_eq!(allowed(&machine, &policy, "a", now).await, 6);
    assert_eq!(machine.state(), State::Degraded { since: now });
    assert_eq!(machine.degraded_decisions(), 7);

    let server = Server::start_on(port).await;
    let now = until_shared(&machine, now).await;
    assert_eq!(allowed(&machine, &policy, "a", now).await, 0, "the quota was used while Redis was away");
    assert_eq!(allowed(&machine, &policy, "b", now).await, 6);
    let other = self::machine(&server.address());
    assert_eq!(allowed(&other, &policy, "b", now).await, 0, "counted together again");
    assert_eq!(machine.degraded_decisions(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_and_started_again_empty() {
    let Some(server) = Server::start().await else { return };
    let (machine, other) = (machine(&server.address()), machine(&server.address()));
    let (policy, now) = (quota_of(6), Instant::now());
    for used in 1..=4 {
        assert_eq!(machine.check(&policy, "a", now).await.remaining, 6 - used);
    }
    assert_eq!(other.check(&policy, "a", now).await.remaining, 1);
    assert_eq!(allowed(&other, &policy, "elsewhere", now).await, 6);
    assert_eq!(machine.check(&policy, "b", now).await.remaining, 5);
    assert_eq!(machine.check(&policy, "b", now).await.remaining, 4);
    let port = server.port;
    drop(server);

    assert_eq!(allowed(&machine, &policy, "a", now).await, 2, "four of six were used here");
    assert_eq!(allowed(&other, &policy, "a", now).await, 1, "it has seen the four that were used elsewhere");
    assert_eq!(allowed(&other, &policy, "elsewhere", now).await, 0);
    assert!(is_degraded(&machine) && is_degraded(&other));

    let server = Server::start_on(port).await;
    let now = until_shared(&machine, now).await;
    assert_eq!(allowed(&machine, &policy, "a", now).await, 0, "Redis has lost the count, this machine has not");
    assert_eq!(machine.check(&policy, "b", now).await.remaining, 3, "nor does it tell of more than it would allow");
    assert_eq!(machine.state(), State::Shared);
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn hung_and_going_on() {
    let Some(server) = Server::start().await else { return };
    let machine = machine(&server.address());
    let (policy, now) = (quota_of(6), Instant::now());
    for _ in 0..3 {
        assert!(machine.check(&policy, "a", now).await.allowed);
    }
    server.hang();
    assert_eq!(allowed(&machine, &policy, "a", now).await, 3);
    assert_eq!(machine.state(), State::Degraded { since: now });
    assert_eq!(machine.degraded_decisions(), 4);

    // It is left alone: a hundred requests together wait less than one might for Redis. So too when a probe is due.
    for now in [now, now + PROBE_PAUSE, now + 2 * PROBE_PAUSE] {
        let asked = Instant::now();
        for key in 0..100 {
            assert!(machine.check(&policy, &format!("{now:?} {key}"), now).await.allowed);
        }
        assert!(asked.elapsed() < Duration::from_secs(5), "waited {:?}", asked.elapsed());
        assert!(is_degraded(&machine));
    }

    server.go_on();
    let now = until_shared(&machine, now + 2 * PROBE_PAUSE).await;
    assert_eq!(allowed(&machine, &policy, "a", now).await, 0);
    let other = self::machine(&server.address());
    assert_eq!(allowed(&machine, &policy, "b", now).await, 6);
    assert_eq!(allowed(&other, &policy, "b", now).await, 0, "counted together again");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_the_moment_it_hangs_get_the_quota_and_no_more() {
    let Some(server) = Server::start().await else { return };
    let machine = Arc::new(machine(&server.address()));
    let (policy, now) = (quota_of(20), Instant::now());
    assert!(machine.check(&policy, "a", now).await.allowed);
    server.hang();
    let mut uses = JoinSet::new();
    for _ in 0..200 {
        let machine = Arc::clone(&machine);
        uses.spawn(async move {
            let asked = Instant::now();
            let allowed = machine.check(&policy, "a", now).await.allowed;
            (allowed, asked.elapsed())
        });
    }
    let answers = uses.join_all().await;
    assert_eq!(answers.iter().filter(|(allowed, _)| *allowed).count(), 19);
    assert!(answers.iter().all(|(_, waited)| *waited < BOUND));
    assert!(is_degraded(&machine));
}

/// Hung from the start: the connection is made by the kernel and never answered.
#[tokio::test(flavor = "multi_thread")]
async fn hung_before_the_first_request() {
    let Some(server) = Server::start().await else { return };
    server.hang();
    let machine = machine(&server.address());
    let (policy, now) = (quota_of(6), Instant::now());
    assert_eq!(allowed(&machine, &policy, "a", now).await, 6);
    assert!(is_degraded(&machine));
    server.go_on();
    until_shared(&machine, now).await;
}

/// Requests whose clients go away while Redis hangs leave nothing behind that would keep it from being found again.
#[tokio::test(flavor = "multi_thread")]
async fn abandoned_requests_do_no_harm() {
    let Some(server) = Server::start().await else { return };
    let machine = machine(&server.address());
    let (policy, now) = (quota_of(6), Instant::now());
    server.hang();
    for _ in 0..3 {
        let request = machine.check(&policy, "a", now);
        assert!(tokio::time::timeout(Duration::from_millis(20), request).await.is_err());
    }
    assert!(allowed(&machine, &policy, "a", now).await <= 3, "abandoned is used");
    server.go_on();
    let now = until_shared(&machine, now).await;
    assert_eq!(allowed(&machine, &policy, "b", now).await, 6);
}

/// Not Redis at all, or Redis that must not be written to.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_no_answer() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    for url in [address(port), format!("rediss://127.0.0.1:{port}"), format!("rediss://127.0.0.1:{}", free_port())] {
        let machine = machine(&url);
        assert_eq!(allowed(&machine, &quota_of(6), "a", Instant::now()).await, 6, "{url}");
        assert!(is_degraded(&machine), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_cannot_write_is_away() {
    let Some(server) = Server::start().await else { return };
    let mut connection = crate::server::connect(&server.address()).await;
    let machine = machine(&server.address());
    let (policy, now) = (quota_of(6), Instant::now());
    assert!(machine.check(&policy, "a", now).await.allowed);
    let mut config = async |value: &str| {
        let set = redis::cmd("CONFIG").arg(&["SET", "maxmemory", value]).query_async::<()>(&mut connection).await;
        set.expect("configured");
    };
    config("1").await;
    assert_eq!(allowed(&machine, &policy, "a", now).await, 5);
    assert!(is_degraded(&machine));
    config("0").await;
    until_shared(&machine, now).await;
}

/// Lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One thread, for the log is that of the thread.
#[tokio::test]
async fn each_change_is_logged_once() {
    let Some(server) = Server::start().await else { return };
    let port = server.port;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let machine = machine(&format!("redis://:secret@127.0.0.1:{port}"));
    // A password that Redis does not know: away, too.
    let mut now = Instant::now();
    let slow = quota_of(1);
    tokio::join!(machine.check(&slow, "a", now), machine.check(&slow, "b", now), machine.check(&slow, "c", now));
    assert_eq!(machine.degraded_decisions(), 3);
    assert_eq!(allowed(&machine, &quota_of(6), "asha@example.in", now).await, 6);
    for _ in 0..3 {
        now += PROBE_PAUSE;
        assert!(!machine.check(&quota_of(6), "asha@example.in", now).await.allowed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_degraded(&machine));
    let mut connection = crate::server::connect(&server.address()).await;
    let set = redis::cmd("CONFIG").arg(&["SET", "requirepass", "secret"]).query_async::<()>(&mut connection).await;
    set.expect("configured");
    until_shared(&machine, now).await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("WARN") && lines[0].contains("Redis is away"), "{text}");
    assert!(lines[1].contains("INFO") && lines[1].contains("Redis is back"), "{text}");
    assert!(!text.contains("secret") && !text.contains("asha"), "{text}");
}
