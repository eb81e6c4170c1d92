//! One message to a server of tools and what comes back: JSON, or a stream of events that may hold more than the answer.

use super::super::answer::{self, BODY_BYTES_MAX, Kind};
use super::super::clients::{Asked, ToolClients, Trouble};
use crate::egress::why;
use model::TenantId;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Map, Value};
use url::Url;
use wire::mcp::{self, Era, Message, RpcError};
use wire::sse::EventStream;

/// Most read of one stream of events.
const STREAM_BYTES_MAX: usize = 1024 * 1_024;
/// Requests of a server that are answered in one stream; more is a server that asks in a circle.
const REQUESTS_ANSWERED_MAX: usize = 8;
/// Most of an error's body that is read.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1_024;

/// How the server is spoken with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Each request stands for itself.
    Stateless,
    /// In a session.
    Session {
        /// The revision.
        version: &'static str,
        /// The session's id, when the server gave one. Who has it is in the session: it is not printed.
        id: Option<String>,
    },
}

impl Link {
    pub(super) const fn era(&self) -> Era {
        match self {
            Self::Stateless => Era::Stateless,
            Self::Session { .. } => Era::WithSession,
        }
    }

    /// It has a session with an id.
    pub(super) const fn has_session(&self) -> bool {
        matches!(self, Self::Session { id: Some(_), .. })
    }
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    Trouble(Trouble),
    /// Another status than one of success, and what JSON-RPC said with it.
    Status(u16, Option<RpcError>),
    /// An error by JSON-RPC.
    Rpc(RpcError),
    /// The session is over.
    Lost,
    /// It answered what the protocol does not allow.
    Protocol(&'static str),
    TooLarge,
}

/// A request to send.
pub(super) struct Posted {
    id: u64,
    method: &'static str,
    body: String,
    /// Name of the tool, as a header's value.
    pub(super) name: Option<String>,
    /// Arguments that are repeated in headers.
    pub(super) mirrored: Vec<(String, String)>,
}

impl Posted {
    pub(super) const fn new(id: u64, method: &'static str, body: String) -> Self {
        Self { id, method, body, name: None, mirrored: Vec::new() }
    }
}

/// The answer to a request.
pub(super) struct Answered {
    pub(super) result: Map<String, Value>,
    /// The session that began with it.
    pub(super) session: Option<String>,
}

/// The way to a server.
#[derive(Clone)]
pub(super) struct Exchange {
    clients: ToolClients,
    tenant: TenantId,
    url: Url,
    key: String,
}

impl Exchange {
    pub(super) const fn new(clients: ToolClients, tenant: TenantId, url: Url, key: String) -> Self {
        Self { clients, tenant, url, key }
    }

    pub(super) fn era(&self) -> Option<Era> {
        self.clients.era(self.tenant, &self.url)
    }

    pub(super) fn found_era(&self, era: Option<Era>) {
        self.clients.found_era(self.tenant, &self.url, era);
    }

    /// Sends a request and waits for its answer. No link yet: it begins a session.
    pub(super) async fn request(&self, link: Option<&Link>, posted: Posted) -> Result<Answered, Fault> {
        let mut headers = headers(link)?;
        if link == Some(&Link::Stateless) {
            headers.insert(HeaderName::from_static(mcp::METHOD_HEADER), HeaderValue::from_static(posted.method));
            if let Some(name) = &posted.name {
                headers.insert(HeaderName::from_static(mcp::NAME_HEADER), value(name)?);
            }
            for (name, text) in &posted.mirrored {
                let name =
                    HeaderName::from_bytes(name.as_bytes()).map_err(|_| Fault::Protocol("it wants an odd header"))?;
                headers.insert(name, value(text)?);
            }
        }
        let response = self.send(Method::POST, headers, Some(posted.body)).await?;
        if !response.status().is_success() {
            return Err(refused(response, link).await);
        }
        let session = session(&response)?;
        let result = match answer::kind(&response) {
            Kind::Events => Box::pin(self.events(response, link, posted.id)).await?,
            Kind::Json => json(response, posted.id).await?,
            Kind::Text | Kind::Unsaid | Kind::Other => {
                return Err(Fault::Protocol("it answered with neither JSON nor events"));
            }
        };
        Ok(Answered { result, session })
    }

    /// Sends what has no answer.
    pub(super) async fn notify(&self, link: &Link, body: String) -> Result<(), Fault> {
        let response = self.send(Method::POST, headers(Some(link))?, Some(body)).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused(response, Some(link)).await) }
    }

    /// Ends a session.
    pub(super) async fn delete(&self, link: &Link) -> Result<(), Fault> {
        self.send(Method::DELETE, headers(Some(link))?, None).await.map(drop)
    }

    async fn send(&self, method: Method, headers: HeaderMap, body: Option<String>) -> Result<Response, Fault> {
        let (tenant, url, key) = (self.tenant, self.url.clone(), self.key.as_str());
        Ok(self.clients.send(Asked { tenant, method, url, headers, body, key }).await?)
    }

    /// Reads events up to the answer; what the server asks meanwhile is answered.
    async fn events(&self, mut response: Response, link: Option<&Link>, id: u64) -> Result<Map<String, Value>, Fault> {
        let mut stream = EventStream::new();
        let (mut read, mut asked, mut over) = (0, 0, false);
        while !over {
            let mut events: Vec<Option<String>> = Vec::new();
            let mut take = |event: Option<&str>| events.push(event.map(str::to_owned));
            match response.chunk().await.map_err(|error| Trouble::Broken(why(&error)))? {
                Some(piece) => {
                    read += piece.len();
                    if read > STREAM_BYTES_MAX {
                        return Err(Fault::TooLarge);
                    }
                    stream.push(&piece, &mut take);
                }
                None => {
                    stream.finish(&mut take);
                    over = true;
                }
            }
            for event in events {
                let event = event.ok_or(Fault::TooLarge)?;
                // An event without data makes a stream that can be taken up again.
                if event.trim().is_empty() {
                    continue;
                }
                for message in mcp::read(&event).ok_or(Fault::Protocol("it sent an event that is no message"))? {
                    if let Some(outcome) = ours(&message, id) {
                        return outcome;
                    }
                    if let Message::Request { id, method } = message
                        && let Some(link @ Link::Session { .. }) = link
                        && asked < REQUESTS_ANSWERED_MAX
                    {
                        asked += 1;
                        // What becomes of it shows in what comes next.
                        let _ = self.notify(link, mcp::answer(&id, &method)).await;
                    }
                }
            }
        }
        Err(Fault::Protocol("its stream ended without an answer"))
    }
}

/// The outcome, if this message is the answer to the request.
fn ours(message: &Message, id: u64) -> Option<Result<Map<String, Value>, Fault>> {
    match message {
        Message::Result { id: of, result } if *of == id => Some(Ok(result.clone())),
        Message::Error { id: of, error } if of.is_none_or(|of| of == id) => Some(Err(Fault::Rpc(error.clone()))),
        Message::Result { .. } | Message::Error { .. } | Message::Request { .. } | Message::Notification => None,
    }
}

async fn json(mut response: Response, id: u64) -> Result<Map<String, Value>, Fault> {
    let body = answer::read(&mut response, BODY_BYTES_MAX).await?;
    if body.cut {
        return Err(Fault::TooLarge);
    }
    let text = std::str::from_utf8(&body.bytes).map_err(|_| Fault::Protocol("its answer is no text"))?;
    let messages = mcp::read(text).ok_or(Fault::Protocol("its answer is no message"))?;
    let answer = messages.iter().find_map(|message| ours(message, id));
    answer.unwrap_or(Err(Fault::Protocol("it answered another request")))
}

/// What an answer without success means.
async fn refused(mut response: Response, link: Option<&Link>) -> Fault {
    let status = response.status();
    if status == StatusCode::NOT_FOUND && link.is_some_and(Link::has_session) {
        return Fault::Lost;
    }
    let body = answer::read(&mut response, ERROR_BODY_BYTES_MAX).await.ok();
    let text = body.as_ref().and_then(|body| std::str::from_utf8(&body.bytes).ok());
    let error = text.and_then(mcp::read).into_iter().flatten().find_map(|message| match message {
        Message::Error { error, .. } => Some(error),
        Message::Result { .. } | Message::Request { .. } | Message::Notification => None,
    });
    Fault::Status(status.as_u16(), error)
}

fn headers(link: Option<&Link>) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (ACCEPT, HeaderValue::from_static(mcp::ACCEPT)),
    ]);
    let version = HeaderName::from_static(mcp::VERSION_HEADER);
    match link {
        Some(Link::Stateless) => drop(headers.insert(version, HeaderValue::from_static(mcp::STATELESS))),
        Some(Link::Session { version: spoken, id }) => {
            headers.insert(version, HeaderValue::from_static(spoken));
            if let Some(id) = id {
                let mut id = value(id)?;
                id.set_sensitive(true);
                headers.insert(HeaderName::from_static(mcp::SESSION_HEADER), id);
            }
        }
        None => {}
    }
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(|_| Fault::Protocol("it wants an odd header"))
}

/// The session that an answer begins; one that cannot be repeated is none.
fn session(response: &Response) -> Result<Option<String>, Fault> {
    let Some(id) = response.headers().get(mcp::SESSION_HEADER) else { return Ok(None) };
    let id = id.to_str().ok().filter(|id| mcp::is_session_id(id));
    id.map(|id| Some(id.to_owned())).ok_or(Fault::Protocol("its session has an id that is not allowed"))
}
