//! From where a request comes: for logs, audit and limits.

use crate::layers::RequestId;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::{AuditKind, Severity};
use serde_json::{Map, Value};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use store::audit::NewAuditEvent;

/// Longest `User-Agent` that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 200;

/// The client's address as found by the outermost layers: the peer, or what a trusted proxy says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) ip: IpAddr,
    /// The client's own connection is encrypted.
    pub(crate) secure: bool,
}

/// From where a request comes.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address; none when a test hands in a request without a connection.
    pub(crate) ip: Option<IpAddr>,
    /// This request.
    pub(crate) request_id: Option<Arc<str>>,
    /// The client's program, cut.
    pub(crate) user_agent: Option<String>,
}

impl Origin {
    pub(crate) fn of(parts: &Parts) -> Self {
        Self {
            ip: parts.extensions.get::<Client>().map(|client| client.ip),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
            user_agent: parts
                .headers
                .get(axum::http::header::USER_AGENT)
                .and_then(|value| value.to_str().ok())
                .map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect()),
        }
    }

    /// The client as a key of limits: its address, or its network. Requests without a connection share one.
    pub(crate) fn address(&self) -> String {
        self.ip.map_or_else(|| "unknown".to_owned(), limiter::client_key)
    }

    /// An audit event from here.
    pub(crate) fn event<'a>(
        &'a self,
        kind: AuditKind,
        severity: Severity,
        actor: &'a str,
        object: Option<(&'a str, &'a str)>,
        data: Map<String, Value>,
    ) -> NewAuditEvent<'a> {
        NewAuditEvent {
            kind,
            severity,
            actor,
            ip: self.ip,
            request_id: self.request_id.as_deref(),
            object_kind: object.map(|(kind, _)| kind),
            object_id: object.map(|(_, id)| id),
            data,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}
