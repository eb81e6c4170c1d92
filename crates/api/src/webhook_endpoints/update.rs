//! `PATCH /api/webhook-endpoints/{id}`.

use super::{WebhookEndpointView, checked_url};
use crate::auth::path_id::PathId;
use crate::caller::scopes::WebhookEndpointsWrite;
use crate::{Caller, Problem, Valid};
use axum::Json;
use model::{AuditKind, EventKind, WebhookEndpointId};
use serde::Deserialize;
use serde_json::Map;
use store::webhook_endpoints::{self, DisabledReason, EndpointSettings};
use utoipa::ToSchema;

/// What is to be otherwise. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateWebhookEndpoint, example = json!({ "events": ["call.ended"], "enabled": true }))]
pub(crate) struct UpdateWebhookEndpointBody {
    /// Where events are sent: https, port 443 or 8443, a public address.
    #[schema(format = "uri", min_length = 1, max_length = 2048)]
    url: Option<String>,
    /// What you call it.
    #[schema(max_length = 120, format = "no-special-characters")]
    description: Option<String>,
    /// Which kinds are sent; empty = every kind, also those that come to be later.
    #[schema(max_items = 32)]
    events: Option<Vec<EventKind>>,
    /// Whether events are sent. Switched off, what waits is given up; it can be replayed later.
    enabled: Option<bool>,
}

/// Changes an address that events are sent to.
///
/// Events that wait go to the new address, too.
#[utoipa::path(
    patch,
    path = "/api/webhook-endpoints/{id}",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:write"])),
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    request_body = UpdateWebhookEndpointBody,
    responses((status = 200, description = "The endpoint as it is now", body = WebhookEndpointView)),
)]
pub(crate) async fn update_webhook_endpoint(
    caller: Caller<WebhookEndpointsWrite>,
    PathId(id): PathId<WebhookEndpointId>,
    Valid(mut body): Valid<UpdateWebhookEndpointBody>,
) -> Result<Json<WebhookEndpointView>, Problem> {
    if let Some(url) = &body.url {
        checked_url(&caller.app, url)?;
    }
    if let Some(events) = &mut body.events {
        events.sort_unstable();
        events.dedup();
    }
    let endpoint = caller
        .write("webhook_endpoints.update", async |tx| {
            let before = webhook_endpoints::get(tx, id).await?;
            let new = EndpointSettings {
                url: body.url.as_deref().unwrap_or(&before.url),
                description: body.description.as_deref().unwrap_or(&before.description),
                events: body.events.as_deref().unwrap_or(&before.events),
            };
            webhook_endpoints::update(tx, id, &new, caller.now).await?;
            match body.enabled {
                Some(true) => {
                    webhook_endpoints::enable(tx, id, caller.now).await?;
                }
                Some(false) => {
                    webhook_endpoints::disable(tx, id, DisabledReason::ByHand, caller.now).await?;
                }
                None => {}
            }
            let mut data = Map::new();
            if let Some(enabled) = body.enabled {
                data.insert("enabled".to_owned(), enabled.into());
            }
            let object = Some(("webhook_endpoint", id.to_string()));
            caller.audit(tx, AuditKind::WebhookEndpointUpdated, object, data).await?;
            Ok(webhook_endpoints::get(tx, id).await?)
        })
        .await?;
    Ok(Json(endpoint.into()))
}
