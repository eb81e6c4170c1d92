//! `GET /api/webhook-endpoints`.

use super::WebhookEndpointView;
use crate::caller::scopes::WebhookEndpointsRead;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use store::webhook_endpoints;

/// Lists the addresses that events are sent to.
#[utoipa::path(
    get,
    path = "/api/webhook-endpoints",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:read"])),
    params(ListQuery),
    responses((status = 200, description = "A page of endpoints", body = ListBody<WebhookEndpointView>)),
)]
pub(crate) async fn list_webhook_endpoints(
    caller: Caller<WebhookEndpointsRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<WebhookEndpointView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let page = caller.read("webhook_endpoints.list", async |tx| Ok(webhook_endpoints::list(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, WebhookEndpointView::from)))
}
