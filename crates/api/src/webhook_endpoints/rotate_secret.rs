//! `POST /api/webhook-endpoints/{id}/rotate-secret`.

use super::{WebhookEndpointWithSecret, new_secret};
use crate::auth::path_id::PathId;
use crate::caller::scopes::WebhookEndpointsWrite;
use crate::{Caller, Problem};
use axum::Json;
use model::{AuditKind, WebhookEndpointId};
use secrecy::ExposeSecret as _;
use serde_json::Map;
use store::webhook_endpoints;

/// Makes a new secret for an endpoint. The answer shows it, once.
///
/// For 24 hours events carry two signatures, by the new secret and by the one before it.
#[utoipa::path(
    post,
    path = "/api/webhook-endpoints/{id}/rotate-secret",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:write"])),
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    responses((status = 200, description = "The endpoint and its new secret", body = WebhookEndpointWithSecret)),
)]
pub(crate) async fn rotate_webhook_secret(
    caller: Caller<WebhookEndpointsWrite>,
    PathId(id): PathId<WebhookEndpointId>,
) -> Result<Json<WebhookEndpointWithSecret>, Problem> {
    let secret = new_secret()?;
    let endpoint = caller
        .write("webhook_endpoints.rotate_secret", async |tx| {
            let endpoint = webhook_endpoints::rotate_secret(tx, id, &secret, caller.now).await?;
            let object = Some(("webhook_endpoint", id.to_string()));
            caller.audit(tx, AuditKind::WebhookSecretRotated, object, Map::new()).await?;
            Ok(endpoint)
        })
        .await?;
    Ok(Json(WebhookEndpointWithSecret { secret: secret.expose_secret().to_owned(), endpoint: endpoint.into() }))
}
