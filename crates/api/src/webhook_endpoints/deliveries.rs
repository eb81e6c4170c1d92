//! `GET /api/webhook-endpoints/{id}/deliveries`.

use super::DeliveryView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::WebhookEndpointsRead;
use crate::listing::{ListBody, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use model::{DeliveryState, WebhookEndpointId};
use serde::{Deserialize, Serialize};
use store::deliveries::{self, DeliveryFilter};
use store::webhook_endpoints;
use utoipa::{IntoParams, ToSchema};

/// Kinds of events that deliveries have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub(crate) enum DeliveryKind {
    /// A call's media began.
    #[serde(rename = "call.started")]
    CallStarted,
    /// A call is over.
    #[serde(rename = "call.ended")]
    CallEnded,
    /// What a call collected is known.
    #[serde(rename = "call.analyzed")]
    CallAnalyzed,
    /// Something was said in a call.
    #[serde(rename = "transcript.updated")]
    TranscriptUpdated,
    /// A call's recording can be fetched.
    #[serde(rename = "recording.ready")]
    RecordingReady,
    /// A call's recording is lost.
    #[serde(rename = "recording.failed")]
    RecordingFailed,
    /// Sent because somebody asked.
    #[serde(rename = "test")]
    Test,
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveriesQuery {
    /// Only of this state.
    state: Option<DeliveryState>,
    /// Only of this kind of event.
    #[param(inline)]
    kind: Option<DeliveryKind>,
    /// Where to go on: `next_cursor` of the page before.
    #[schema(max_length = 64)]
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Rows wanted.
    #[schema(minimum = 1, maximum = 200)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists what was and will be sent to an endpoint, with its last answer.
///
/// What is over is kept for 30 days.
#[utoipa::path(
    get,
    path = "/api/webhook-endpoints/{id}/deliveries",
    tag = "events",
    security(("bearer" = ["webhook-endpoints:read"])),
    params(("id" = WebhookEndpointId, Path, description = "The endpoint"), DeliveriesQuery),
    responses((status = 200, description = "A page of deliveries", body = ListBody<DeliveryView>)),
)]
pub(crate) async fn list_deliveries(
    caller: Caller<WebhookEndpointsRead>,
    PathId(id): PathId<WebhookEndpointId>,
    ValidQuery(query): ValidQuery<DeliveriesQuery>,
) -> Result<Json<ListBody<DeliveryView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let kind = query.kind.map(|kind| match kind {
        DeliveryKind::CallStarted => "call.started",
        DeliveryKind::CallEnded => "call.ended",
        DeliveryKind::CallAnalyzed => "call.analyzed",
        DeliveryKind::TranscriptUpdated => "transcript.updated",
        DeliveryKind::RecordingReady => "recording.ready",
        DeliveryKind::RecordingFailed => "recording.failed",
        DeliveryKind::Test => "test",
    });
    let filter = DeliveryFilter { state: query.state, kind: kind.map(str::to_owned) };
    let page = caller
        .read("deliveries.list", async |tx| {
            webhook_endpoints::get(tx, id).await?;
            Ok(deliveries::list(tx, id, &filter, page).await?)
        })
        .await?;
    Ok(Json(ListBody::from_page(page, DeliveryView::from)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::EventKind;

    #[test]
    fn every_kind_of_event_can_be_asked_for() {
        for word in EventKind::ALL.iter().map(|kind| kind.as_str()).chain(["test"]) {
            let kind: DeliveryKind = serde_json::from_value(word.into()).expect("a kind");
            assert_eq!(serde_json::to_value(kind).expect("a word"), word);
        }
    }
}
