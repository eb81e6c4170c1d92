//! Phone numbers: which agent answers which number.

mod create;
mod delete;
mod get;
mod list;
mod update;
mod webhook_address;

use crate::{App, Problem};
use chrono::{DateTime, Utc};
use model::{AgentId, CarrierKind, E164, PhoneNumberId};
use serde::Serialize;
use std::sync::Arc;
use store::phone_numbers::PhoneNumber;
use store::{Tx, agents};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A phone number connected to an agent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhoneNumber)]
pub(crate) struct PhoneNumberView {
    /// Its id.
    id: PhoneNumberId,
    /// The number.
    number: E164,
    /// Who carries its calls.
    carrier: CarrierKind,
    /// Who answers.
    agent_id: AgentId,
    /// Whether it has a webhook address of its own. The address itself was shown when it was made.
    has_webhook_address: bool,
    /// When it was connected.
    created_at: DateTime<Utc>,
}

impl From<PhoneNumber> for PhoneNumberView {
    fn from(number: PhoneNumber) -> Self {
        Self {
            id: number.id,
            number: number.number,
            carrier: number.carrier,
            agent_id: number.agent,
            has_webhook_address: number.path_token_hash.is_some(),
            created_at: number.created_at,
        }
    }
}

/// An agent named in a body must be the caller's own.
async fn own_agent(tx: &mut Tx, id: AgentId) -> Result<(), Problem> {
    match agents::get(tx, id).await {
        Ok(_) => Ok(()),
        Err(store::Error::NotFound) => Err(Problem::field("agent_id", "names no agent")),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_phone_numbers, create::create_phone_number))
        .routes(routes!(get::get_phone_number, update::update_phone_number, delete::delete_phone_number))
        .routes(routes!(webhook_address::create_webhook_address))
}
