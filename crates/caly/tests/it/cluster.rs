//! Several nodes count together in Redis; and when Redis is away or hangs, what protects logins goes on protecting.

use crate::account::{Person, tell};
use crate::place::{Place, eventually, variable};
use crate::post::{Answer, CALL_START, get, post};
use crate::program::Server;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Nobody waits longer for a Redis that does not answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// On a port of its own; none when tests are to run without.
    async fn start() -> Option<Self> {
        if variable("CALY_TEST_REDIS").as_deref() == Some("skip") {
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed (scripts/with-redis installs it), or set CALY_TEST_REDIS=skip");
        let redis = Self { child, port };
        eventually("redis-server answers", Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Some(redis)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs");
        kill_process(id, signal).expect("ours");
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn login(server: &Server, email: &str) -> Answer {
    tell(server, "/api/auth/login", json!({ "email": email, "password": "not the password" })).await
}

/// Asks in turn at both nodes: exactly so many pass.
async fn exactly(nodes: [&Server; 2], quota: usize, mut ask: impl AsyncFnMut(&Server) -> Answer) {
    for n in 0..quota {
        let answer = ask(nodes[n % 2]).await;
        assert_ne!(answer.status, 429, "request {} of {quota}: {answer:?}", n + 1);
        let left: usize = header(&answer, "x-ratelimit-remaining").parse().expect("a number");
        assert!(left < quota, "{answer:?}");
    }
    for node in nodes {
        let answer = ask(node).await;
        answer.is_problem(429, "rate_limited");
        let wait_s: u64 = header(&answer, "retry-after").parse().expect("seconds");
        assert!((1..=86_400).contains(&wait_s), "{answer:?}");
        assert_eq!(header(&answer, "x-ratelimit-remaining"), "0");
        assert!(header(&answer, "ratelimit").contains("r=0"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_count_together() {
    let (Some(redis), Some(place)) = (Redis::start().await, Place::postgres().await) else { return };
    let url = redis.url();
    // Windows so long that nothing comes back while this runs; the limit of strangers is tried last.
    let limits = "unauthenticated=60/24h,webhooks=20/24h,organisation=12/24h";
    let secret = ("JWT_SECRET", "one secret for all nodes of the tests");
    let settings = [("REDIS_URL", url.as_str()), ("CALY_RATE_LIMITS", limits), secret];
    let one = Server::start(&place, &[&settings[..], &[("CALY_NODE", "one")]].concat()).await;
    let other_data = place.path("other").display().to_string();
    let more = [("CALY_NODE", "two"), ("CALY_DATA_DIR", other_data.as_str())];
    let two = Server::start(&place, &[&settings[..], &more].concat()).await;
    let nodes = [&one, &two];
    let asha = Person::sign_up(&one, &place, "asha.rao").await;
    exactly(nodes, 6, async |node| login(node, "asha@clinic.example.org").await).await;
    // Another address has its own count.
    assert_eq!(login(&one, "ravi@clinic.example.org").await.status, 401);
    exactly(nodes, 5, async |node| {
        tell(node, "/api/auth/verify-email", json!({ "email": "a@clinic.example.org", "code": "123456" })).await
    })
    .await;
    exactly(nodes, 3, async |node| {
        tell(node, "/api/auth/resend-otp", json!({ "email": "a@clinic.example.org" })).await
    })
    .await;
    let register = json!({
        "organisation_name": "Clinic", "name": "Asha", "email": "new@clinic.example.org",
        "password": "seven yellow buffaloes dance",
    });
    // One of five is used: by her.
    exactly(nodes, 4, async |node| tell(node, "/api/auth/register", register.clone()).await).await;
    exactly(nodes, 20, async |node| post(node, CALL_START, &[], "{}").await).await;
    exactly(nodes, 12, async |node| asha.get(node, "/api/agents").await).await;
    let left = header(&get(&one, "/api/agents").await, "x-ratelimit-remaining").parse().expect("a number");
    assert!((1..60).contains(&left), "{left}");
    exactly(nodes, left, async |node| get(node, "/api/agents").await).await;
    one.stop().await;
    two.stop().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_logins_are_still_limited_and_nobody_waits() {
    let Some(redis) = Redis::start().await else { return };
    let (place, url) = (Place::sqlite(), redis.url());
    let server = Server::start(&place, &[("REDIS_URL", url.as_str())]).await;
    for n in 0..3 {
        assert_eq!(login(&server, "asha@clinic.example.org").await.status, 401, "{n}");
    }
    // It hangs: the connection is there, the answer is not.
    redis.signal(Signal::STOP);
    for n in 3..6 {
        let began = Instant::now();
        assert_eq!(login(&server, "asha@clinic.example.org").await.status, 401, "{n}");
        assert!(
            began.elapsed() < ANSWERED_WITHIN * 2,
            "the wait for Redis and a password's hash: {:?}",
            began.elapsed()
        );
    }
    for _ in 0..3 {
        let began = Instant::now();
        login(&server, "asha@clinic.example.org").await.is_problem(429, "rate_limited");
        assert!(began.elapsed() < ANSWERED_WITHIN, "{:?}", began.elapsed());
    }
    assert!(server.output().contains("Redis"), "it says so: {}", server.output());
    // It is gone.
    redis.signal(Signal::CONT);
    redis.signal(Signal::KILL);
    for n in 0..6 {
        assert_eq!(login(&server, "ravi@clinic.example.org").await.status, 401, "{n}");
    }
    for _ in 0..3 {
        login(&server, "ravi@clinic.example.org").await.is_problem(429, "rate_limited");
    }
    server.stop().await;
}
