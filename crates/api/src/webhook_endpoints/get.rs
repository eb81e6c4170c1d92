//! `GET /api/webhook-endpoints/{id}`.

use super::WebhookEndpointView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::WebhookEndpointsRead;
use crate::{Caller, Problem};
use axum::Json;
use model::WebhookEndpointId;
use store::webhook_endpoints;

/// Shows an address that events are sent to.
#[utoipa::path(
    get,
    path = "/api/webhook-endpoints/{id}",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:read"])),
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    responses((status = 200, description = "The endpoint, without its secret", body = WebhookEndpointView)),
)]
pub(crate) async fn get_webhook_endpoint(
    caller: Caller<WebhookEndpointsRead>,
    PathId(id): PathId<WebhookEndpointId>,
) -> Result<Json<WebhookEndpointView>, Problem> {
    let endpoint = caller.read("webhook_endpoints.get", async |tx| Ok(webhook_endpoints::get(tx, id).await?)).await?;
    Ok(Json(endpoint.into()))
}
