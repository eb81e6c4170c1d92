//! Exotel's webhooks. Authenticity first, then the fields, then the store.

mod call_end;
mod call_start;
mod voicebot;

use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::body::Bytes;
use axum::http::HeaderMap;
use model::{AuditKind, Severity};
use serde_json::{Map, Value};
use std::sync::Arc;
use store::audit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::exotel::webhook;
use wire::fields::Fields;
use wire::signature::{SignedRequest, Verdict, verify};

/// Who does what a webhook tells, in the audit log.
const ACTOR: &str = "carrier:exotel";

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(call_start::call_start))
        .routes(routes!(call_end::call_end))
        .routes(routes!(voicebot::voicebot))
}

/// The fields of a webhook whose signature is right.
async fn signed_fields(app: &App, headers: &HeaderMap, body: &Bytes, origin: &Origin) -> Result<Fields, Problem> {
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
    rejected(app, origin, code).await;
    Err(Problem::new(code, detail))
}

/// A webhook that was not authentic is on record, with its address.
async fn rejected(app: &App, origin: &Origin, code: Code) {
    let ip = origin.ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    tracing::warn!(client.ip = %ip, reason = code.as_str(), "webhook rejected");
    let now = app.now();
    let data = Map::from_iter([("reason".to_owned(), Value::from(code.as_str()))]);
    let event = origin.event(AuditKind::WebhookRejected, Severity::Warning, ACTOR, None, data);
    let recorded = app.store.system("audit.webhook_rejected", async |tx| audit::record(tx, &event, now).await).await;
    if let Err(error) = recorded {
        tracing::error!(error = %error, "a rejected webhook could not be audited");
    }
}
