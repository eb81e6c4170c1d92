//! Several providers behind one another: every fault at every position, over real sockets against the fakes; and what
//! depends on time alone, with scripted providers and a clock that is moved.

mod models;
mod scripted;
mod speakers;
mod timing;
mod transcribers;

use crate::vendors::http;
use model::{Stage, TenantId};
use providers::chain::{Guard, Link, Meter};
use providers::resilience::{Target, Targets};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use testkit::vendors::{FakeVendors, VendorSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Slack of a machine under load on top of a promised deadline.
const SLACK: Duration = Duration::from_millis(1_500);

fn tenant(n: u128) -> TenantId {
    TenantId::from(uuid::Uuid::from_u128(n))
}

/// The breakers of one test.
struct Bench {
    targets: Targets,
    began: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { targets: Targets::new(), began: Instant::now() }
    }

    fn guard(&self, n: u128) -> Guard {
        Guard::new(self.targets.clone(), tenant(n), self.began)
    }
}

/// A link of this name, with a breaker of its own.
fn link<T: ?Sized>(name: &'static str, provider: Arc<T>) -> Link<T> {
    Link { target: Some(Target::at("test", &[name])), ..Link::new(provider, name) }
}

/// The first, and the others.
fn split<T: ?Sized>(links: Vec<Link<T>>) -> (Link<T>, Vec<Link<T>>) {
    let mut links = links.into_iter();
    (links.next().expect("one at least"), links.collect())
}

fn requests(meter: &Meter, stage: Stage, name: &str) -> u64 {
    let usage = meter.usage();
    usage.lines.iter().filter(|line| line.stage == stage && line.provider == name).map(|line| line.requests).sum()
}

/// Fakes whose language model says their name.
async fn named(name: &str) -> FakeVendors {
    let answers = testkit::vendors::Answers::Script(vec![format!("this is {name}")]);
    let transcripts = testkit::vendors::Transcripts::Script(vec![format!("heard by {name}")]);
    let settings = VendorSettings { answers, transcripts, ..VendorSettings::instant() };
    FakeVendors::start(settings).await.expect("a free port")
}

/// A server that takes every request and answers with one drop after the other, none of which is worth anything.
async fn dripping(content_type: &'static str, drop: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = vec![0; 64 * 1024];
                let _ = stream.read(&mut asked).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n");
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    sent = stream.write_all(drop).await;
                }
            });
        }
    });
    address
}

/// A server that accepts connections and never says a word.
async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    address
}
