//! `POST /api/webhook-endpoints`.

use super::{WebhookEndpointWithSecret, checked_url, new_secret};
use crate::caller::scopes::WebhookEndpointsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};
use axum::Json;
use axum::http::StatusCode;
use model::{AuditKind, EventKind};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Map;
use store::webhook_endpoints::{self, EndpointSettings};
use utoipa::ToSchema;

/// An endpoint to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookEndpoint, example = json!({
    "url": "https://crm.example.org/hooks/caly",
    "description": "CRM of the clinic",
    "events": ["call.ended", "recording.ready"],
}))]
pub(crate) struct NewWebhookEndpointBody {
    /// Where events are sent: https, port 443 or 8443, a public address.
    #[schema(format = "uri", min_length = 1, max_length = 2048)]
    url: String,
    /// What you call it.
    #[schema(max_length = 120, format = "no-special-characters")]
    description: Option<String>,
    /// Which kinds are sent; absent or empty = every kind, also those that come to be later.
    #[schema(max_items = 32)]
    events: Option<Vec<EventKind>>,
}

/// Adds an address that events are sent to.
///
/// The answer shows the secret that signs them, once. Events that happen from now on are sent.
#[utoipa::path(
    post,
    path = "/api/webhook-endpoints",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:write"])),
    request_body = NewWebhookEndpointBody,
    responses(
        (status = 201, description = "The endpoint and its secret", body = WebhookEndpointWithSecret),
        (status = 409, description = "There are 20 endpoints already",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_webhook_endpoint(
    caller: Caller<WebhookEndpointsWrite>,
    Valid(body): Valid<NewWebhookEndpointBody>,
) -> Result<(StatusCode, Json<WebhookEndpointWithSecret>), Problem> {
    checked_url(&caller.app, &body.url)?;
    let mut events = body.events.unwrap_or_default();
    events.sort_unstable();
    events.dedup();
    let description = body.description.unwrap_or_default();
    let new = EndpointSettings { url: &body.url, description: &description, events: &events };
    let secret = new_secret()?;
    let made = caller
        .write("webhook_endpoints.create", async |tx| {
            let made = webhook_endpoints::create(tx, &new, &secret, caller.now).await?;
            let object = Some(("webhook_endpoint", made.id.to_string()));
            caller.audit(tx, AuditKind::WebhookEndpointCreated, object, Map::new()).await?;
            Ok(made)
        })
        .await?;
    let shown = WebhookEndpointWithSecret { secret: secret.expose_secret().to_owned(), endpoint: made.into() };
    Ok((StatusCode::CREATED, Json(shown)))
}
