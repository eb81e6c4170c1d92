//! A web service that agents use as a tool: keeps what it is asked, answers path by path as a test says, and goes wrong in
//! the ways that web services do.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Requests kept; later ones are answered and forgotten.
const REQUESTS_MAX: usize = 10_000;
/// A piece of a body that does not end.
const PIECE: &[u8] = &[b'x'; 4_096];
/// Between the bytes of a slow body.
const DRIP_EVERY: Duration = Duration::from_millis(40);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct ToolRequest {
    /// Its method.
    pub method: String,
    /// Path and query, as they stood in the request line.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as JSON; null when it is none.
    pub json: Value,
}

impl ToolRequest {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum ToolReply {
    /// 200 and this JSON.
    Json(Value),
    /// 200 and this text, under this type; empty = no type.
    Typed(&'static str, String),
    /// This status, these headers, and this JSON.
    Status(u16, Vec<(&'static str, String)>, Value),
    /// The same later.
    After(Duration, Box<ToolReply>),
    /// Never.
    Hang,
    /// 200 and text that does not end.
    Endless,
    /// 200 and a text one byte at a time, without end.
    Drip,
    /// 200 and JSON that breaks off with the connection.
    Cut,
    /// 200 and JSON that ends in the middle.
    Malformed,
}

impl ToolReply {
    /// A status with a JSON error.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), serde_json::json!({"error": {"message": "no such thing"}}))
    }

    /// A redirect to this address.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self::Status(302, vec![("location", to.to_owned())], Value::Null)
    }
}

struct Shared {
    requests: Vec<ToolRequest>,
    replies: HashMap<String, VecDeque<ToolReply>>,
}

type Kept = Arc<Mutex<Shared>>;

/// See the module. It ends when it is dropped.
pub struct FakeToolServer {
    address: SocketAddr,
    shared: Kept,
    _stop: DropGuard,
}

impl FakeToolServer {
    /// Starts on a free port of this machine. Where nothing else is said it answers `{"ok": true}`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Mutex::new(Shared { requests: Vec::new(), replies: HashMap::new() }));
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let stop = CancellationToken::new();
        crate::vendors::serve(listener, router, stop.clone());
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// Its address with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on requests with this path are answered so, one after the other; the last stays.
    pub fn answer(&self, path: &str, replies: impl IntoIterator<Item = ToolReply>) {
        lock(&self.shared).replies.insert(path.to_owned(), replies.into_iter().collect());
    }

    /// What came, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<ToolRequest> {
        lock(&self.shared).requests.clone()
    }

    /// What came last.
    ///
    /// # Panics
    /// When nothing came.
    #[must_use]
    pub fn last(&self) -> ToolRequest {
        lock(&self.shared).requests.last().cloned().expect("a request")
    }
}

fn lock(shared: &Kept) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(shared): State<Kept>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut reply = {
        let mut shared = lock(&shared);
        let json = serde_json::from_slice(&body).unwrap_or_default();
        if shared.requests.len() < REQUESTS_MAX {
            let target = uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
            shared.requests.push(ToolRequest { method: method.to_string(), target, headers, json });
        }
        let usual = || ToolReply::Json(serde_json::json!({"ok": true}));
        match shared.replies.get_mut(uri.path()) {
            Some(replies) if replies.len() > 1 => replies.pop_front().unwrap_or_else(usual),
            Some(replies) => replies.front().cloned().unwrap_or_else(usual),
            None => usual(),
        }
    };
    while let ToolReply::After(wait, inner) = reply {
        tokio::time::sleep(wait).await;
        reply = *inner;
    }
    const JSON: &str = "application/json";
    match reply {
        ToolReply::Json(value) => response(200, JSON, Vec::new(), Body::from(value.to_string())),
        ToolReply::Typed(kind, text) => response(200, kind, Vec::new(), Body::from(text)),
        ToolReply::Status(status, headers, value) => {
            response(status, JSON, headers, Body::from(if value.is_null() { String::new() } else { value.to_string() }))
        }
        ToolReply::Hang | ToolReply::After(..) => std::future::pending().await,
        ToolReply::Endless => {
            let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(PIECE)));
            response(200, "text/plain", Vec::new(), Body::from_stream(endless))
        }
        ToolReply::Drip => {
            let drip = stream::repeat(()).then(|()| async {
                tokio::time::sleep(DRIP_EVERY).await;
                Ok::<_, Infallible>(Bytes::from_static(b"x"))
            });
            response(200, "text/plain", Vec::new(), Body::from_stream(drip))
        }
        ToolReply::Cut => {
            let cut = stream::iter([true, false]).then(|first| async move {
                if first {
                    return Ok(Bytes::from_static(b"{\"a\": "));
                }
                crate::vendors::flushed().await;
                Err(std::io::Error::other("cut"))
            });
            response(200, JSON, Vec::new(), Body::from_stream(cut))
        }
        ToolReply::Malformed => response(200, JSON, Vec::new(), Body::from("{\"a\": ")),
    }
}

fn response(status: u16, kind: &str, headers: Vec<(&'static str, String)>, body: Body) -> Response {
    let mut response = Response::builder().status(status);
    if !kind.is_empty() {
        response = response.header("content-type", kind);
    }
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).expect("a test's headers are headers")
}
