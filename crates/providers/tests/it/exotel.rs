//! The client of Exotel's REST API, against a server that plays it by its documentation, over real sockets.

#![expect(clippy::unwrap_used, reason = "tests")]

mod asking;
mod dialing;

use model::E164;
use providers::exotel::{Connect, ExotelAccount, ExotelClient, Region, Target};
use providers::http::{Http, HttpSettings};
use secrecy::SecretString;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// Nothing here takes as long; a test that hangs ends.
const PATIENCE: Duration = Duration::from_secs(20);
/// `k3y:t0k3n-s3cret` in base64.
const BASIC: &str = "Basic azN5OnQwazNuLXMzY3JldA==";
/// What must show nowhere.
const HIDDEN: [&str; 5] = ["t0k3n-s3cret", "azN5OnQw", "9876543210", "8047491899", "str3am"];

/// A request as the server saw it.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    head: String,
    form: Vec<(String, String)>,
    at: Instant,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (sent, value) = line.split_once(':')?;
            sent.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
enum Act {
    /// Status, further headers, body.
    Answer(u16, &'static str, String),
    /// Takes it and closes.
    Close,
    /// Begins an answer and closes.
    Cut,
    /// Takes it and says nothing more.
    Hang,
    /// A byte each second, for ever.
    Drip,
}

fn json(body: &str) -> Act {
    Act::Answer(200, "content-type: application/json\r\n", body.to_owned())
}

fn status(status: u16, body: &str) -> Act {
    Act::Answer(status, "", body.to_owned())
}

/// Exotel: acts as scripted, the last for ever, after it looked at who asks.
#[derive(Clone)]
struct Fake {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connected: Arc<Mutex<usize>>,
}

impl Fake {
    async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<Act>>()));
        Self::deciding(move |_| {
            let mut script = script.lock().unwrap();
            let act = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
            act.unwrap_or(Act::Hang)
        })
        .await
    }

    async fn deciding(decide: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Self { port, seen: Arc::default(), connected: Arc::default() };
        let (kept, decide) = (fake.clone(), Arc::new(decide));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *kept.connected.lock().unwrap() += 1;
                let (kept, decide) = (kept.clone(), decide.clone());
                tokio::spawn(async move { kept.serve(socket, &*decide).await });
            }
        });
        fake
    }

    async fn serve(&self, mut socket: TcpStream, decide: &(dyn Fn(&Seen) -> Act + Send + Sync)) {
        let Some(seen) = read_request(&mut socket).await else {
            // Not HTTP: somebody who wants TLS. Kept open.
            return sleep(Duration::from_secs(3_600)).await;
        };
        let act = if seen.header("authorization") == Some(BASIC) {
            decide(&seen)
        } else {
            status(401, r#"{"RestException":{"Status":401,"Message":"Authentication is required"}}"#)
        };
        self.seen.lock().unwrap().push(seen);
        match act {
            Act::Answer(status, headers, body) => {
                let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
                let _ = socket.write_all((head + &body).as_bytes()).await;
                let _ = socket.shutdown().await;
            }
            Act::Close => {}
            Act::Cut => drop(socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{\"Call\":").await),
            Act::Hang => sleep(Duration::from_secs(3_600)).await,
            Act::Drip => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
                while socket.write_all(b" ").await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn client(&self) -> ExotelClient {
        client(&format!("http://127.0.0.1:{}", self.port))
    }

    fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits until somebody connected or asked, without moving the clock.
    async fn busy(&self, requests: usize, connections: usize) {
        let waiting = async {
            while self.count() < requests || *self.connected.lock().unwrap() < connections {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("somebody comes");
    }
}

/// A whole request; none when it is no HTTP.
async fn read_request(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = socket.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = std::str::from_utf8(&bytes).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let (method, rest) = head.split_once(' ')?;
        let target = rest.split(' ').next()?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let seen = Seen {
            method: method.to_owned(),
            path: path.to_owned(),
            query: pairs(query),
            head: head.to_owned(),
            form: pairs(body),
            at: Instant::now(),
        };
        let length = seen.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return Some(seen);
        }
    }
}

fn client(base_url: &str) -> ExotelClient {
    let http = Http::new(&HttpSettings::default()).unwrap();
    ExotelClient::new(&http, Some(base_url.to_owned())).unwrap()
}

fn account() -> ExotelAccount {
    ExotelAccount {
        account_id: "acme1".to_owned(),
        api_key: "k3y".to_owned(),
        token: SecretString::from("t0k3n-s3cret".to_owned()),
        region: Region::Mumbai,
    }
}

fn number(text: &str) -> E164 {
    E164::parse(text).unwrap()
}

/// An order with nothing but what must be.
fn order<'a>(from: &'a E164, caller_id: &'a E164, to: Target<'a>) -> Connect<'a> {
    let (custom_field, status_callback) = (None, None);
    Connect { from, caller_id, to, time_limit_s: 3_600, ring_s: 45, record: false, custom_field, status_callback }
}

/// No secret and no number shows, in whichever way it is printed.
fn shows_nothing(error: &(impl std::error::Error + ?Sized)) {
    let mut shown = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        shown += &format!(" {inner} {inner:?}");
        cause = inner.source();
    }
    for hidden in HIDDEN {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}

#[test]
fn an_account_shows_no_token() {
    let shown = format!("{:?} {:?}", account(), client("http://127.0.0.1:1"));
    assert!(shown.contains("acme1") && !shown.contains("s3cret") && !shown.contains("k3y"), "{shown}");
}

#[test]
fn a_base_url_has_no_credentials() {
    let http = Http::new(&HttpSettings::default()).unwrap();
    for bad in
        ["", "api.exotel.com", "ftp://x.example", "http://a:b@x.example", "http://x.example?a=b", "https://x.example#a"]
    {
        let error = ExotelClient::new(&http, Some(bad.to_owned())).expect_err(bad);
        assert_eq!(error.kind, providers::ErrorKind::Rejected, "{bad}");
    }
    for good in [None, Some("http://127.0.0.1:8090"), Some("https://x.example/exotel/")] {
        assert!(ExotelClient::new(&http, good.map(str::to_owned)).is_ok(), "{good:?}");
    }
}
