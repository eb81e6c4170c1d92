//! A receiver of webhooks: keeps what it gets, and answers as a test says, path by path.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use futures_util::stream;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Requests kept; later ones are answered and forgotten.
const REQUESTS_MAX: usize = 10_000;
/// A piece of an endless body.
const PIECE: &[u8] = &[b'x'; 4_096];

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Vec<u8>,
}

impl Received {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    Endless,
    Never,
}

impl Reply {
    /// With this status and no body.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Text(String::new()) }
    }

    /// Never.
    #[must_use]
    pub const fn never() -> Self {
        Self { status: 200, headers: Vec::new(), content: Content::Never }
    }

    /// With status 200 and a body that does not end.
    #[must_use]
    pub const fn endless() -> Self {
        Self { status: 200, headers: Vec::new(), content: Content::Endless }
    }

    /// With this body.
    #[must_use]
    pub fn body(self, text: &str) -> Self {
        Self { content: Content::Text(text.to_owned()), ..self }
    }

    /// With this header, too.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

struct Shared {
    received: Vec<Received>,
    replies: HashMap<String, Reply>,
    otherwise: Reply,
    fails: Option<String>,
}

type Kept = Arc<Mutex<Shared>>;

/// See the module. It ends when it is dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Kept,
    _stop: DropGuard,
}

impl Receiver {
    /// Starts on a free port of this machine; answers so where nothing else is said.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(otherwise: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared =
            Arc::new(Mutex::new(Shared { received: Vec::new(), replies: HashMap::new(), otherwise, fails: None }));
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                _ = axum::serve(listener, router) => {}
            }
        });
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// Its address with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, requests with this path are answered so.
    pub fn answer(&self, path: &str, reply: Reply) {
        lock(&self.shared).replies.insert(path.to_owned(), reply);
    }

    /// From now on, bodies with this text in them are answered with 500.
    pub fn fail_bodies_with(&self, text: &str) {
        lock(&self.shared).fails = Some(text.to_owned());
    }

    /// What came with this path, in the order in which it came.
    #[must_use]
    pub fn received_at(&self, path: &str) -> Vec<Received> {
        lock(&self.shared).received.iter().filter(|one| one.path == path).cloned().collect()
    }
}

fn lock(shared: &Kept) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(shared): State<Kept>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let reply = {
        let mut shared = lock(&shared);
        let failed = shared.fails.as_ref().is_some_and(|text| String::from_utf8_lossy(&body).contains(text.as_str()));
        let reply = if failed { None } else { shared.replies.get(&path).cloned() };
        let reply = reply.unwrap_or_else(|| if failed { Reply::status(500) } else { shared.otherwise.clone() });
        if shared.received.len() < REQUESTS_MAX {
            shared.received.push(Received { method: method.to_string(), path, headers, body: body.to_vec() });
        }
        reply
    };
    let body = match reply.content {
        Content::Never => std::future::pending().await,
        Content::Text(text) => Body::from(text),
        Content::Endless => Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(PIECE)))),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
