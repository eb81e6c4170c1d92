//! Where an organisation's events are sent, and what became of them. The sending itself is a job's.

mod create;
mod delete;
mod deliveries;
mod get;
mod list;
mod replay;
mod rotate_secret;
mod test;
mod update;

use crate::{App, Code, Problem};
use chrono::{DateTime, Utc};
use model::{CallId, DeliveryId, DeliveryState, EventKind, WebhookEndpointId};
use secrecy::SecretString;
use serde::Serialize;
use std::sync::Arc;
use store::deliveries::Delivery;
use store::webhook_endpoints::{DisabledReason, WebhookEndpoint};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::destination::{self, Allowed};
use wire::standard_webhooks::Secret;

/// Bytes of a new secret.
const SECRET_BYTES: usize = 32;

/// Why an endpoint gets nothing.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DisabledReasonName {
    /// Somebody switched it off.
    ByHand,
    /// It failed for five days.
    Failing,
    /// It answered 410.
    Gone,
}

/// An address that events are sent to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(crate) struct WebhookEndpointView {
    /// Its id.
    id: WebhookEndpointId,
    /// Where events are sent.
    #[schema(example = "https://crm.example.org/hooks/caly")]
    url: String,
    /// What you call it.
    description: String,
    /// Which kinds are sent; empty = every kind, also those that come to be later.
    events: Vec<EventKind>,
    /// The last four characters of the secret.
    #[schema(example = "x7Q=")]
    secret_last4: String,
    /// Until when events are signed with the secret before this one, too.
    previous_secret_until: Option<DateTime<Utc>>,
    /// Whether events are sent.
    enabled: bool,
    /// Since when they are not.
    disabled_at: Option<DateTime<Utc>>,
    /// Why not.
    disabled_reason: Option<DisabledReasonName>,
    /// Since when every attempt has failed.
    failing_since: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<WebhookEndpoint> for WebhookEndpointView {
    fn from(endpoint: WebhookEndpoint) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            description: endpoint.description,
            events: endpoint.events,
            secret_last4: endpoint.secret_last4,
            previous_secret_until: endpoint.previous_until,
            enabled: endpoint.disabled_at.is_none(),
            disabled_at: endpoint.disabled_at,
            disabled_reason: endpoint.disabled_reason.map(|reason| match reason {
                DisabledReason::ByHand => DisabledReasonName::ByHand,
                DisabledReason::Failing => DisabledReasonName::Failing,
                DisabledReason::Gone => DisabledReasonName::Gone,
            }),
            failing_since: endpoint.failing_since,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint with its new secret. It is shown this one time.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookEndpointWithSecret {
    /// What signs the events from now on: give it to the receiver.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
    /// The rest.
    #[serde(flatten)]
    endpoint: WebhookEndpointView,
}

/// An event on its way to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    /// Its id.
    id: DeliveryId,
    /// To which endpoint.
    endpoint_id: WebhookEndpointId,
    /// The header `webhook-id`, the same in every attempt.
    #[schema(example = "msg_01940b6e000070008000000000000001")]
    webhook_id: String,
    /// What happened; `test` for a test.
    #[schema(example = "call.ended")]
    kind: String,
    /// About which call.
    call_id: Option<CallId>,
    /// When it happened.
    occurred_at: DateTime<Utc>,
    /// What is sent: `type`, `timestamp`, `data`.
    #[schema(value_type = Object)]
    payload: serde_json::Value,
    /// Where it stands.
    state: DeliveryState,
    /// How often it was tried.
    attempts: u32,
    /// When it is tried next; null when it is over.
    next_attempt_at: Option<DateTime<Utc>>,
    /// When it was last tried.
    last_attempt_at: Option<DateTime<Utc>>,
    /// The status of the last answer; null when there was none.
    #[schema(example = 200)]
    last_status: Option<u16>,
    /// Why the last attempt failed.
    last_error: Option<String>,
    /// How the last answer began: at most 1024 bytes of it.
    last_response: Option<String>,
    /// How long the last attempt took, ms.
    #[schema(example = 184)]
    last_duration_ms: Option<u64>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            endpoint_id: delivery.endpoint,
            webhook_id: format!("msg_{}", delivery.event.simple()),
            kind: delivery.kind,
            call_id: delivery.call,
            occurred_at: delivery.occurred_at,
            payload: serde_json::from_str(&delivery.body).unwrap_or_default(),
            state: delivery.state,
            attempts: delivery.attempts,
            next_attempt_at: (delivery.state == DeliveryState::Pending).then_some(delivery.next_at),
            last_attempt_at: delivery.last_attempt_at,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            last_response: delivery.last_response,
            last_duration_ms: delivery.last_duration_ms,
            created_at: delivery.created_at,
        }
    }
}

/// The address, if events may be sent there. Its name is looked up when they are.
fn checked_url(app: &App, url: &str) -> Result<(), Problem> {
    let allowed = if app.edge.production { Allowed::PublicOnly } else { Allowed::LoopbackToo };
    match destination::parse(url, allowed) {
        Ok(_) => Ok(()),
        Err(refused) => Err(Problem::field("url", refused.to_string())),
    }
}

/// A new secret's text.
fn new_secret() -> Result<SecretString, Problem> {
    let ours = || Problem::new(Code::Internal, "something went wrong on our side");
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(error = %error, "the operating system gives no randomness");
        ours()
    })?;
    Secret::new(&bytes).map(|secret| secret.text()).map_err(|_| ours())
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_webhook_endpoints, create::create_webhook_endpoint))
        .routes(routes!(get::get_webhook_endpoint, update::update_webhook_endpoint, delete::delete_webhook_endpoint))
        .routes(routes!(rotate_secret::rotate_webhook_secret))
        .routes(routes!(test::test_webhook_endpoint))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(replay::replay_delivery))
}
