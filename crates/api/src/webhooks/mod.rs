//! What carriers tell us over HTTP.

mod exotel;
mod gather;
mod peers;
mod plivo;
mod proof;
mod report;
mod smartflo;
mod twilio;
mod vobiz;

pub(crate) use exotel::Reports;

use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderMap;
use model::{AuditKind, CarrierKind, Severity};
use serde_json::{Map, Value};
use std::sync::Arc;
use store::phone_numbers::{self, PhoneNumber};
use store::{audit, token_hash};
use utoipa_axum::router::OpenApiRouter;

/// A webhook is a few fields: its body is shorter than that of other routes.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    exotel::routes()
        .merge(twilio::routes())
        .merge(plivo::routes())
        .merge(vobiz::routes())
        .merge(smartflo::routes())
        .layer(DefaultBodyLimit::max(wire::fields::BODY_BYTES_MAX))
}

/// The number of this carrier that an address with a token belongs to. An address of one carrier says nothing at
/// another's: what proves authenticity differs.
async fn number_at(app: &App, carrier: CarrierKind, token: &str) -> Result<PhoneNumber, Problem> {
    let hash = token_hash(token);
    let found = app
        .store
        .system_read("phone_numbers.find_by_path_token", async |tx| phone_numbers::find_by_path_token(tx, hash).await)
        .await?;
    found
        .filter(|number| number.carrier == carrier)
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such address"))
}

/// Not authentic.
fn is_refusal(code: Code) -> bool {
    [Code::SignatureMissing, Code::SignatureWrong, Code::SignatureExpired, Code::SignatureReplayed].contains(&code)
}

/// A webhook that was not authentic is on record, with its address.
async fn rejected(app: &App, actor: &str, origin: &Origin, code: Code) {
    let ip = origin.ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    tracing::warn!(client.ip = %ip, reason = code.as_str(), "webhook rejected");
    let now = app.now();
    let data = Map::from_iter([("reason".to_owned(), Value::from(code.as_str()))]);
    let event = origin.event(AuditKind::WebhookRejected, Severity::Warning, actor, None, data);
    let recorded = app.store.system("audit.webhook_rejected", async |tx| audit::record(tx, &event, now).await).await;
    if let Err(error) = recorded {
        tracing::error!(error = %error, "a rejected webhook could not be audited");
    }
}

/// `wss://host`, from the configured address or, in development, from the host that was asked.
fn media_base(app: &App, headers: &HeaderMap) -> Result<String, Problem> {
    let url = app.base_url(headers)?;
    Ok(match url.strip_prefix("https://") {
        Some(rest) => format!("wss://{rest}"),
        None => format!("ws://{}", url.strip_prefix("http://").unwrap_or(&url)),
    })
}
