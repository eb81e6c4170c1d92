//! The Model Context Protocol, as a client that only uses tools, over streamable HTTP.
//!
//! Sources: modelcontextprotocol.io/specification/2026-07-28 (basic, basic/versioning, basic/transports/streamable-http,
//! server/tools), where every request stands for itself, and /specification/2025-11-25 (basic/lifecycle,
//! basic/transports), where a session begins with `initialize`; www.jsonrpc.org/specification.

mod headers;
mod tools;

pub use headers::{HeaderFault, MIRRORED_MAX, Mirrored, header_value, mirrored};
pub use tools::{
    CONTENT_ITEMS_MAX, CURSOR_BYTES_MAX, DESCRIPTION_BYTES_MAX, PAGE_TOOLS_MAX, TOOL_NAME_BYTES_MAX, ToolDefinition,
    ToolPage, ToolResult,
};

use serde_json::{Map, Value, json};

/// The newest revision: no sessions, everything in each request.
pub const STATELESS: &str = "2026-07-28";
/// The revisions that begin with `initialize`, newest first. (2024-11-05 had another transport, but servers of streamable
/// HTTP still answer with it.)
pub const WITH_SESSION: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Header with the revision that is spoken.
pub const VERSION_HEADER: &str = "mcp-protocol-version";
/// Header with the session, in revisions that have one.
pub const SESSION_HEADER: &str = "mcp-session-id";
/// Header that repeats the method (stateless revision).
pub const METHOD_HEADER: &str = "mcp-method";
/// Header that repeats the name of the tool (stateless revision).
pub const NAME_HEADER: &str = "mcp-name";
/// What a client takes; both must be named.
pub const ACCEPT: &str = "application/json, text/event-stream";

/// Asks for the tools of a server.
pub const LIST: &str = "tools/list";
/// Runs one.
pub const CALL: &str = "tools/call";

/// The server does not speak the revision; it says which it does.
pub const UNSUPPORTED_VERSION: i64 = -32_022;
/// Header and body did not say the same.
pub const HEADER_MISMATCH: i64 = -32_020;
/// The server needs something of the client that it has not.
pub const MISSING_CAPABILITY: i64 = -32_021;

/// Longest session id that is taken; the specification has no limit.
const SESSION_BYTES_MAX: usize = 512;
/// Messages read of one batch (revision 2025-03-26 has batches).
const BATCH_MAX: usize = 20;
/// Longest text of an error that is kept.
const ERROR_BYTES_MAX: usize = 300;

/// A message to send, of either era.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// [`STATELESS`].
    Stateless,
    /// One of [`WITH_SESSION`].
    WithSession,
}

fn client() -> Value {
    json!({"name": "caly", "version": env!("CARGO_PKG_VERSION")})
}

fn request(id: u64, method: &str, mut params: Map<String, Value>, era: Era) -> String {
    match era {
        Era::Stateless => {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientInfo": client(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            params.insert("_meta".to_owned(), meta);
        }
        Era::WithSession => {}
    }
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// Begins a session. No capability of a client is offered: nobody can be asked, and nothing sampled, on a call.
#[must_use]
pub fn initialize(id: u64, version: &str) -> String {
    let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client()});
    json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": params}).to_string()
}

/// Says that the session has begun.
#[must_use]
pub fn initialized() -> String {
    json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()
}

/// Says that the answer to a request is not waited for any more (revisions with a session).
#[must_use]
pub fn cancelled(id: u64) -> String {
    let params = json!({"requestId": id, "reason": "timed out"});
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).to_string()
}

/// Asks for tools, from the cursor on.
#[must_use]
pub fn list(id: u64, cursor: Option<&str>, era: Era) -> String {
    let params = cursor.map(|cursor| ("cursor".to_owned(), Value::from(cursor))).into_iter().collect();
    request(id, LIST, params, era)
}

/// Runs a tool.
#[must_use]
pub fn call(id: u64, name: &str, arguments: &Map<String, Value>, era: Era) -> String {
    let params = Map::from_iter([
        ("name".to_owned(), Value::from(name)),
        ("arguments".to_owned(), Value::Object(arguments.clone())),
    ]);
    request(id, CALL, params, era)
}

/// The answer to a request of the server: a ping is answered, all else is a method that this client does not have.
#[must_use]
pub fn answer(id: &Value, method: &str) -> String {
    if method == "ping" {
        return json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string();
    }
    let error = json!({"code": -32_601, "message": "this client has no such method"});
    json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string()
}

/// An error, as JSON-RPC tells it. The words are the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// What kind.
    pub code: i64,
    /// In words, cut.
    pub message: String,
    /// The revisions that the server speaks, when that was the trouble.
    pub supported: Vec<String>,
}

impl RpcError {
    fn read(error: &Value) -> Option<Self> {
        let code = error.get("code")?.as_i64()?;
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let supported = error.pointer("/data/supported").and_then(Value::as_array).into_iter().flatten();
        let supported = supported.filter_map(Value::as_str).filter(|text| text.len() <= 32).take(BATCH_MAX);
        Some(Self { code, message: cut(message, ERROR_BYTES_MAX), supported: supported.map(str::to_owned).collect() })
    }

    /// One that only servers of the stateless revision know.
    #[must_use]
    pub const fn is_stateless(&self) -> bool {
        matches!(self.code, UNSUPPORTED_VERSION | HEADER_MISMATCH | MISSING_CAPABILITY)
    }
}

/// What a server sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A request was done.
    Result {
        /// Which.
        id: u64,
        /// With this.
        result: Map<String, Value>,
    },
    /// A request was not.
    Error {
        /// Which, if the server could tell.
        id: Option<u64>,
        /// Why.
        error: RpcError,
    },
    /// The server wants something.
    Request {
        /// To be repeated in the answer.
        id: Value,
        /// What.
        method: String,
    },
    /// The server tells something.
    Notification,
}

/// The messages in a body or an event: one, or a batch. `None`: no JSON-RPC.
#[must_use]
pub fn read(text: &str) -> Option<Vec<Message>> {
    match serde_json::from_str(text).ok()? {
        Value::Array(batch) => batch.into_iter().take(BATCH_MAX).map(read_one).collect(),
        one => Some(vec![read_one(one)?]),
    }
}

fn read_one(value: Value) -> Option<Message> {
    let Value::Object(mut message) = value else { return None };
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return None;
    }
    let id = message.remove("id").filter(|id| !id.is_null());
    if let Some(Value::String(method)) = message.remove("method") {
        return match id {
            Some(id) if id.is_string() || id.is_number() => {
                let short = id.as_str().is_none_or(|text| text.len() <= SESSION_BYTES_MAX);
                (short && method.len() <= ERROR_BYTES_MAX).then_some(Message::Request { id, method })
            }
            Some(_) => None,
            None => Some(Message::Notification),
        };
    }
    let ours = id.as_ref().and_then(Value::as_u64);
    match (message.remove("result"), message.remove("error")) {
        (Some(Value::Object(result)), None) => Some(Message::Result { id: ours?, result }),
        (None, Some(error)) => Some(Message::Error { id: ours, error: RpcError::read(&error)? }),
        (_, _) => None,
    }
}

/// What the answer to `initialize` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    /// The revision to go on with, one of [`WITH_SESSION`].
    pub version: &'static str,
    /// The server has tools.
    pub has_tools: bool,
}

impl Initialized {
    /// `None`: no such answer, or of a revision that is not spoken here.
    #[must_use]
    pub fn read(result: &Map<String, Value>) -> Option<Self> {
        let version = session_version(result.get("protocolVersion")?.as_str()?)?;
        let has_tools = result.get("capabilities")?.get("tools").is_some_and(Value::is_object);
        Some(Self { version, has_tools })
    }
}

/// The revision with a session that this is, if any.
#[must_use]
pub fn session_version(text: &str) -> Option<&'static str> {
    WITH_SESSION.into_iter().find(|known| *known == text)
}

/// Whether it can be a session's id: visible ASCII only, and not endless.
#[must_use]
pub fn is_session_id(text: &str) -> bool {
    (1..=SESSION_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

/// `text`, at most so many bytes, without control characters.
fn cut(text: &str, bytes_max: usize) -> String {
    let text = &text[..text.floor_char_boundary(bytes_max)];
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests;
