//! Redis servers for tests.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;

/// For a server to start, on a machine busy with other tests.
const START_TRIES: u32 = 500;
const START_PAUSE: Duration = Duration::from_millis(20);

/// A key that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("random bytes");
    format!("{name} {}", u64::from_ne_bytes(bytes))
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen in the output of the tests")]
#[expect(clippy::disallowed_methods, reason = "set by whoever runs the tests without Redis")]
fn skipped() -> bool {
    let skipped = std::env::var("CALY_TEST_REDIS").as_deref() == Ok("skip");
    if skipped {
        eprintln!("skipped: no Redis (CALY_TEST_REDIS=skip)");
    }
    skipped
}

/// The server that all tests share, or nothing when they are to do without.
#[expect(clippy::disallowed_methods, reason = "the test server's address comes from `scripts/with-redis`")]
pub(crate) fn shared_url() -> Option<SecretString> {
    match std::env::var("CALY_TEST_REDIS_URL") {
        Ok(url) => Some(url.into()),
        Err(_) if skipped() => None,
        Err(_) => panic!(
            "CALY_TEST_REDIS_URL is not set: run `scripts/with-redis cargo test -p limiter`, or set \
             CALY_TEST_REDIS=skip to leave Redis out"
        ),
    }
}

pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    client.get_multiplexed_async_connection().await.expect("the test server answers")
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A server of the test's own, gone with it.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Server {
    /// On some free port, or nothing when the tests are to do without Redis.
    pub(crate) async fn start() -> Option<Self> {
        if skipped() {
            return None;
        }
        for _ in 0..5 {
            if let Some(server) = Self::try_start(free_port()).await {
                return Some(server);
            }
        }
        panic!("no Redis server starts");
    }

    /// On a port where one was before.
    pub(crate) async fn start_on(port: u16) -> Self {
        Self::try_start(port).await.expect("the server starts again")
    }

    async fn try_start(port: u16) -> Option<Self> {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is on the PATH: run this in `scripts/with-redis`, or set CALY_TEST_REDIS=skip");
        let mut server = Self { process, port };
        let client = redis::Client::open(server.address()).expect("an address");
        for _ in 0..START_TRIES {
            if server.process.try_wait().expect("a child").is_some() {
                return None;
            }
            if client.get_multiplexed_async_connection().await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(START_PAUSE).await;
        }
        None
    }

    pub(crate) fn address(&self) -> String {
        address(self.port)
    }

    pub(crate) fn url(&self) -> SecretString {
        self.address().into()
    }

    /// Alive, connected, and silent.
    pub(crate) fn hang(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("signalled");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

pub(crate) fn address(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}
