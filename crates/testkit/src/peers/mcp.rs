//! A server of tools that speaks the Model Context Protocol over streamable HTTP, as strictly as the specification lets it:
//! what a client does wrong is refused and remembered. Of the stateless revision (2026-07-28), of those with a session
//! (2025-11-25), or both; it can lose its session, hang, talk nonsense, and have more tools than anybody wants.
//!
//! Written from the specification, not from `wire`: no code is shared with what is under test.

mod rules;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The stateless revision.
pub(super) const STATELESS: &str = "2026-07-28";

/// Which revisions it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpEra {
    /// 2026-07-28 only.
    Stateless,
    /// The revision named, with sessions; whatever else is offered is answered with it.
    Session(&'static str),
    /// With sessions, and ids for none.
    SessionWithoutId(&'static str),
    /// The new way is known but not spoken: it names this revision in its error.
    Names(&'static str),
}

/// How answers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpMode {
    /// As JSON.
    Json,
    /// As events, with comments, an event without data and a notification before.
    Events,
    /// As events, and the server asks a ping and for sampling before it answers (revisions with a session).
    Asking,
}

/// How it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpFault {
    /// This method is never answered.
    Hang(&'static str),
    /// This method is answered with a page for people, status 200.
    Html(&'static str),
    /// This method is answered with JSON that is no message.
    Garbage(&'static str),
    /// This method is answered for another request.
    WrongId(&'static str),
    /// This method is answered with this status and no body.
    Status(&'static str, u16),
    /// This method is answered with a JSON-RPC error.
    Error(&'static str),
    /// This method's answer is larger than anybody reads.
    Huge(&'static str),
    /// This method's stream ends before the answer.
    EndsEarly(&'static str),
    /// The list never ends: each page names another.
    Circle,
    /// The session is lost before each of the next so many calls.
    LosesSession(u32),
}

/// What it is like.
#[derive(Clone, Debug)]
pub struct McpOptions {
    /// Which revisions it speaks.
    pub era: McpEra,
    /// How answers come.
    pub mode: McpMode,
    /// Its tools, as `tools/list` has them.
    pub tools: Vec<Value>,
    /// Tools on one page.
    pub page: usize,
    /// The key that it wants.
    pub key: Option<&'static str>,
    /// How it goes wrong.
    pub fault: Option<McpFault>,
}

impl McpOptions {
    /// A server with two tools, without faults.
    #[must_use]
    pub fn new(era: McpEra, mode: McpMode) -> Self {
        let find = json!({"name": "find", "description": "Finds a customer.", "annotations": {"readOnlyHint": true},
            "inputSchema": {"type": "object", "properties": {"phone": {"type": "string"}}, "required": ["phone"]}});
        let save = json!({"name": "save.note", "description": "Keeps a note.", "inputSchema": {"type": "object",
            "properties": {"text": {"type": "string"}, "region": {"type": "string", "x-mcp-header": "Region"}},
            "required": ["text"]}});
        Self { era, mode, tools: vec![find, save], page: 1, key: None, fault: None }
    }
}

/// A call that was let through.
#[derive(Clone, Debug, PartialEq)]
pub struct McpCall {
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
}

pub(super) struct Shared {
    pub(super) options: McpOptions,
    pub(super) session: Option<String>,
    pub(super) sessions: u32,
    pub(super) initialized: bool,
    pub(super) ids: Vec<Value>,
    pub(super) calls: Vec<McpCall>,
    pub(super) methods: Vec<String>,
    pub(super) answers: Vec<Value>,
    pub(super) violations: Vec<String>,
    pub(super) ended: u32,
    result: Value,
}

pub(super) type Kept = Arc<Mutex<Shared>>;

/// See the module. It ends when it is dropped.
pub struct FakeMcp {
    address: SocketAddr,
    shared: Kept,
    _stop: DropGuard,
}

impl FakeMcp {
    /// Starts on a free port of this machine.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(options: McpOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Mutex::new(Shared {
            options,
            session: None,
            sessions: 0,
            initialized: false,
            ids: Vec::new(),
            calls: Vec::new(),
            methods: Vec::new(),
            answers: Vec::new(),
            violations: Vec::new(),
            ended: 0,
            result: json!({"content": [{"type": "text", "text": "fine"}], "isError": false}),
        }));
        let router = Router::new().route("/mcp", axum::routing::any(serve)).with_state(shared.clone());
        let stop = CancellationToken::new();
        crate::vendors::serve(listener, router, stop.clone());
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// From now on it goes wrong so, or not.
    pub fn set_fault(&self, fault: Option<McpFault>) {
        lock(&self.shared).options.fault = fault;
    }

    /// From now on calls have this result.
    pub fn set_result(&self, result: Value) {
        lock(&self.shared).result = result;
    }

    /// The calls that were let through.
    #[must_use]
    pub fn calls(&self) -> Vec<McpCall> {
        lock(&self.shared).calls.clone()
    }

    /// The methods that came, refused ones among them.
    #[must_use]
    pub fn methods(&self) -> Vec<String> {
        lock(&self.shared).methods.clone()
    }

    /// What the client answered to the server's own requests.
    #[must_use]
    pub fn answers(&self) -> Vec<Value> {
        lock(&self.shared).answers.clone()
    }

    /// What the client did against the specification.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared).violations.clone()
    }

    /// Sessions that began, and that the client ended.
    #[must_use]
    pub fn sessions(&self) -> (u32, u32) {
        let shared = lock(&self.shared);
        (shared.sessions, shared.ended)
    }
}

pub(super) fn lock(shared: &Kept) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is sent back.
pub(super) enum Reply {
    Status(u16),
    Error(u16, Value),
    Result { id: Value, method: String, result: Value, session: Option<String> },
}

async fn serve(State(shared): State<Kept>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let (reply, fault, mode, era) = {
        let mut shared = lock(&shared);
        let reply = rules::judge(&mut shared, &method, &headers, &body);
        (reply, shared.options.fault, shared.options.mode, shared.options.era)
    };
    match reply {
        Reply::Status(status) => plain(status, "", Body::empty()),
        Reply::Error(status, error) => plain(status, "application/json", Body::from(error.to_string())),
        Reply::Result { id, method, result, session } => {
            let mut response = result_of(id, &method, result, fault, mode, era).await;
            if let Some(session) = session {
                let session = session.parse().expect("ids are visible ASCII");
                response.headers_mut().insert("mcp-session-id", session);
            }
            response
        }
    }
}

async fn result_of(
    id: Value,
    method: &str,
    result: Value,
    fault: Option<McpFault>,
    mode: McpMode,
    era: McpEra,
) -> Response {
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
    match fault {
        Some(McpFault::Hang(of)) if of == method => std::future::pending().await,
        Some(McpFault::Html(of)) if of == method => return plain(200, "text/html", Body::from("<html>Sign in</html>")),
        Some(McpFault::Garbage(of)) if of == method => return json_body(&json!({"hello": "world"})),
        Some(McpFault::WrongId(of)) if of == method => {
            return json_body(&json!({"jsonrpc": "2.0", "id": 999_999, "result": {}}));
        }
        Some(McpFault::Status(of, status)) if of == method => return plain(status, "", Body::empty()),
        Some(McpFault::Error(of)) if of == method => {
            let error = json!({"code": -32_602, "message": "Unknown tool: nothing"});
            return json_body(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
        Some(McpFault::Huge(of)) if of == method => {
            let mut huge = answer;
            huge["result"]["padding"] = json!("x".repeat(4 * 1024 * 1024));
            return if mode == McpMode::Json { json_body(&huge) } else { events(vec![huge]) };
        }
        Some(McpFault::EndsEarly(of)) if of == method => return events(Vec::new()),
        Some(_) | None => {}
    }
    let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}});
    let asks = !matches!(era, McpEra::Stateless);
    match mode {
        McpMode::Json => json_body(&answer),
        McpMode::Asking if asks => {
            let ping = json!({"jsonrpc": "2.0", "id": "ask-1", "method": "ping"});
            let sample = json!({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}});
            events(vec![ping, sample, note, answer])
        }
        McpMode::Events | McpMode::Asking => events(vec![note, answer]),
    }
}

impl Shared {
    /// The result of a call.
    pub(super) fn result(&self) -> Value {
        self.result.clone()
    }
}

fn plain(status: u16, kind: &str, body: Body) -> Response {
    let mut response = Response::builder().status(status);
    if !kind.is_empty() {
        response = response.header("content-type", kind);
    }
    response.body(body).expect("these headers are headers")
}

fn json_body(value: &Value) -> Response {
    plain(200, "application/json", Body::from(value.to_string()))
}

/// Events, cut where it hurts.
fn events(messages: Vec<Value>) -> Response {
    let mut text = ": welcome\n\nid: 0\ndata:\n\n".to_owned();
    for (at, message) in messages.iter().enumerate() {
        text.push_str(&format!("event: message\r\nid: {}\r\ndata: {message}\r\n\r\n", at + 1));
    }
    let pieces: Vec<Bytes> = text.as_bytes().chunks(7_919).map(Bytes::copy_from_slice).collect();
    let body = Body::from_stream(stream::iter(pieces).map(Ok::<_, Infallible>));
    plain(200, "text/event-stream", body)
}
