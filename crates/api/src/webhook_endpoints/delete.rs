//! `DELETE /api/webhook-endpoints/{id}`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::WebhookEndpointsWrite;
use crate::{Caller, Problem};
use axum::http::StatusCode;
use model::{AuditKind, WebhookEndpointId};
use serde_json::Map;
use store::webhook_endpoints;

/// Removes an address that events are sent to, with everything that was sent there.
#[utoipa::path(
    delete,
    path = "/api/webhook-endpoints/{id}",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:write"])),
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete_webhook_endpoint(
    caller: Caller<WebhookEndpointsWrite>,
    PathId(id): PathId<WebhookEndpointId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("webhook_endpoints.delete", async |tx| {
            webhook_endpoints::delete(tx, id).await?;
            let object = Some(("webhook_endpoint", id.to_string()));
            caller.audit(tx, AuditKind::WebhookEndpointDeleted, object, Map::new()).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
