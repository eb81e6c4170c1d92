//! Phone numbers: which agent answers which number.

mod create;
mod delete;
mod get;
mod list;
mod update;
mod webhook_address;
mod webhook_proofs;

use crate::{App, Author, Problem};
use chrono::{DateTime, Utc};
use model::{AgentId, AuditKind, CarrierKind, E164, PhoneNumberId};
use serde::Serialize;
use serde_json::Map;
use std::sync::Arc;
use store::phone_numbers::{self, NewPhoneNumber, PhoneNumber};
use store::{Tx, agents};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use webhook_proofs::WebhookProofsView;

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
    /// What makes a webhook about it authentic.
    webhook_proofs: WebhookProofsView,
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
            webhook_proofs: number.webhook_proofs.into(),
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

/// Connects a number to an agent; who did it is on record.
///
/// # Errors
/// [`Code::Conflict`](crate::Code::Conflict) when it is connected already, here or elsewhere; when the database fails.
pub async fn connect_number(
    tx: &mut Tx,
    author: &Author,
    new: &NewPhoneNumber,
    now: DateTime<Utc>,
) -> Result<PhoneNumber, Problem> {
    let made = phone_numbers::create(tx, new, now).await?;
    author
        .audit(tx, AuditKind::PhoneNumberCreated, Some(("phone_number", made.id.to_string())), Map::new(), now)
        .await?;
    Ok(made)
}

/// Gives a number a webhook address of its own, by the hash of its token; who did it is on record.
///
/// # Errors
/// [`Code::NotFound`](crate::Code::NotFound); when the database fails.
pub async fn replace_webhook_address(
    tx: &mut Tx,
    author: &Author,
    id: PhoneNumberId,
    token_hash: [u8; 32],
    now: DateTime<Utc>,
) -> Result<PhoneNumber, Problem> {
    let number = phone_numbers::set_path_token(tx, id, Some(token_hash)).await?;
    let data = Map::from_iter([("webhook_address".to_owned(), "replaced".into())]);
    author.audit(tx, AuditKind::PhoneNumberUpdated, Some(("phone_number", id.to_string())), data, now).await?;
    Ok(number)
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_phone_numbers, create::create_phone_number))
        .routes(routes!(get::get_phone_number, update::update_phone_number, delete::delete_phone_number))
        .routes(routes!(webhook_address::create_webhook_address))
}
