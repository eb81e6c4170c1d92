//! `POST /api/deliveries/{id}/replay`.

use super::DeliveryView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::WebhookEndpointsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Code, Problem};
use axum::Json;
use axum::http::StatusCode;
use model::{AuditKind, DeliveryId};
use serde_json::Map;
use store::{deliveries, webhook_endpoints};

/// Sends an event to its endpoint once more, with all its attempts, whatever became of it.
///
/// It has the same `webhook-id` as before: a receiver that has worked on it can tell.
#[utoipa::path(
    post,
    path = "/api/deliveries/{id}/replay",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:write"])),
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses(
        (status = 202, description = "It will be sent", body = DeliveryView),
        (status = 409, description = "The endpoint is disabled, or it is being sent at this moment",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn replay_delivery(
    caller: Caller<WebhookEndpointsWrite>,
    PathId(id): PathId<DeliveryId>,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let replayed = caller
        .write("deliveries.replay", async |tx| {
            let endpoint = deliveries::get(tx, id).await?.endpoint;
            if webhook_endpoints::get(tx, endpoint).await?.disabled_at.is_some() {
                return Err(Problem::new(Code::Conflict, "the endpoint is disabled"));
            }
            let replayed = deliveries::replay(tx, id, caller.now).await?;
            let object = Some(("delivery", id.to_string()));
            caller.audit(tx, AuditKind::DeliveryReplayed, object, Map::new()).await?;
            Ok(replayed)
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(replayed.into())))
}
