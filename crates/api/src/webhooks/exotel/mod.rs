//! Exotel's webhooks. Authenticity first, then the fields, then the store.

pub(crate) mod call_end;
pub(crate) mod call_start;
pub(crate) mod voicebot;

use crate::layers::RequestId;
use crate::server::Peer;
use crate::{App, Code, Problem};
use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use std::net::IpAddr;
use store::audit::{self, NewAuditEvent, Severity};
use wire::exotel::webhook;
use wire::fields::Fields;
use wire::signature::{SignedRequest, Verdict, verify};

/// Who sent a webhook: for the log and the audit.
pub(crate) struct Sender {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) request_id: Option<RequestId>,
}

impl Sender {
    pub(crate) fn new(peer: Option<axum::Extension<Peer>>, id: Option<axum::Extension<RequestId>>) -> Self {
        Self { ip: peer.map(|p| p.0.0.ip()), request_id: id.map(|id| id.0) }
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref().map(|id| &*id.0)
    }
}

/// The fields of a webhook whose signature is right.
pub(crate) async fn signed_fields(
    app: &App,
    headers: &HeaderMap,
    body: &Bytes,
    sender: &Sender,
) -> Result<Fields, Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let fields = Fields::parse(text("content-type"), body);
    let body_time = fields.as_ref().ok().and_then(webhook::timestamp);
    let request = SignedRequest {
        body,
        signature: text("x-exotel-signature"),
        timestamp: text("x-exotel-timestamp").or(body_time),
    };
    // Without a secret nothing can be right: never open by omission.
    let verdict = app.exotel.webhook_secret.as_ref().map_or_else(
        || if request.signature.is_some() { Verdict::Wrong } else { Verdict::Missing },
        |secret| verify(secret, request, app.now()),
    );
    let (code, detail) = match verdict {
        Verdict::Valid => return Ok(fields?),
        Verdict::Missing => (Code::SignatureMissing, "Missing webhook signature"),
        Verdict::Wrong => (Code::SignatureWrong, "Wrong webhook signature"),
        Verdict::TooOld => (Code::SignatureExpired, "The webhook was signed too long ago"),
    };
    rejected(app, sender, code).await;
    Err(Problem::new(code, detail))
}

/// A webhook that was not authentic is on record, with its address.
pub(crate) async fn rejected(app: &App, sender: &Sender, code: Code) {
    let ip = sender.ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    tracing::warn!(client.ip = %ip, reason = code.as_str(), "webhook rejected");
    let now = app.now();
    let mut data = Map::new();
    data.insert("reason".to_owned(), Value::String(code.as_str().to_owned()));
    let recorded = app
        .store
        .system("audit.webhook_rejected", async |tx| {
            let event = NewAuditEvent {
                kind: "webhook.rejected",
                severity: Severity::Warning,
                actor: "carrier:exotel",
                ip: sender.ip,
                request_id: sender.request_id(),
                object_kind: None,
                object_id: None,
                data,
            };
            audit::record(tx, &event, now).await
        })
        .await;
    if let Err(error) = recorded {
        tracing::error!(error = %error, "a rejected webhook could not be audited");
    }
}
