//! `POST /api/webhook-endpoints/{id}/test`.

use super::DeliveryView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::WebhookEndpointsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Code, Problem};
use axum::Json;
use axum::http::StatusCode;
use chrono::SecondsFormat;
use model::{AuditKind, WebhookEndpointId};
use serde_json::{Map, json};
use store::deliveries::{self, NewDelivery};
use store::webhook_endpoints;

/// The kind of the event. Endpoints do not choose it: it is sent when somebody asks.
const KIND: &str = "test";

/// Sends an event of the kind `test` to an endpoint, whatever kinds it has chosen.
///
/// It is sent within a second; the endpoint's deliveries tell what came of it.
#[utoipa::path(
    post,
    path = "/api/webhook-endpoints/{id}/test",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:write"])),
    params(("id" = WebhookEndpointId, Path, description = "The endpoint")),
    responses(
        (status = 202, description = "It will be sent", body = DeliveryView),
        (status = 409, description = "The endpoint is disabled",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn test_webhook_endpoint(
    caller: Caller<WebhookEndpointsWrite>,
    PathId(id): PathId<WebhookEndpointId>,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let now = caller.now;
    let body = json!({
        "type": KIND,
        "timestamp": now.to_rfc3339_opts(SecondsFormat::Micros, true),
        "data": { "endpoint_id": id },
    })
    .to_string();
    let made = caller
        .write("webhook_endpoints.test", async |tx| {
            if webhook_endpoints::get(tx, id).await?.disabled_at.is_some() {
                return Err(Problem::new(Code::Conflict, "the endpoint is disabled"));
            }
            let event = deliveries::new_event_id(now)?;
            let new = NewDelivery { endpoint: id, event, kind: KIND, call: None, occurred_at: now, body: &body };
            let made = deliveries::create(tx, &new, now).await?;
            let object = Some(("webhook_endpoint", id.to_string()));
            caller.audit(tx, AuditKind::WebhookEndpointTested, object, Map::new()).await?;
            made.ok_or_else(|| Problem::new(Code::Conflict, "the event is there already"))
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(made.into())))
}
