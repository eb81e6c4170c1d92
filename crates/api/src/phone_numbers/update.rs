//! `PATCH /api/phone-numbers/{id}`.

use super::webhook_proofs::NewWebhookProofs;
use super::{PhoneNumberView, own_agent};
use crate::auth::path_id::PathId;
use crate::caller::scopes::PhoneNumbersWrite;
use crate::{Caller, Problem, Valid};
use axum::Json;
use model::{AgentId, AuditKind, PhoneNumberId};
use serde::Deserialize;
use serde_json::Map;
use store::phone_numbers::{self, WebhookProofs};
use utoipa::ToSchema;

/// What is to be otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PhoneNumberChange, example = json!({ "agent_id": "01940b6e-0000-7000-8000-000000000001" }))]
pub(crate) struct PhoneNumberChange {
    /// Who answers from now on.
    agent_id: Option<AgentId>,
    /// What makes a webhook about it authentic from now on; there is always at least one proof.
    webhook_proofs: Option<NewWebhookProofs>,
}

/// Changes a phone number: who answers it, or what makes its webhooks authentic.
#[utoipa::path(
    patch,
    path = "/api/phone-numbers/{id}",
    tag = "phone-numbers",
    security(("bearer" = ["phone-numbers:write"])),
    params(("id" = PhoneNumberId, Path, description = "The phone number")),
    request_body = PhoneNumberChange,
    responses((status = 200, description = "The phone number as it is now", body = PhoneNumberView)),
)]
pub(crate) async fn update_phone_number(
    caller: Caller<PhoneNumbersWrite>,
    PathId(id): PathId<PhoneNumberId>,
    Valid(body): Valid<PhoneNumberChange>,
) -> Result<Json<PhoneNumberView>, Problem> {
    let proofs = body.webhook_proofs.as_ref().map(NewWebhookProofs::read).transpose()?;
    let number = caller
        .write("phone_numbers.update", async |tx| {
            let mut number = phone_numbers::get(tx, id).await?;
            let mut data = Map::new();
            if let Some(agent) = body.agent_id {
                own_agent(tx, agent).await?;
                number = phone_numbers::assign(tx, id, agent).await?;
                data.insert("agent_id".to_owned(), agent.to_string().into());
            }
            if let Some(proofs) = &proofs {
                number = phone_numbers::set_webhook_proofs(tx, id, proofs).await?;
                data.insert("webhook_proofs".to_owned(), names(proofs).into());
            }
            if data.is_empty() {
                return Ok(number);
            }
            let object = Some(("phone_number", id.to_string()));
            caller.audit(tx, AuditKind::PhoneNumberUpdated, object, data).await?;
            Ok(number)
        })
        .await?;
    Ok(Json(number.into()))
}

/// Which proofs count, for the audit log.
fn names(proofs: &WebhookProofs) -> Vec<&'static str> {
    let all = [
        ("signature", proofs.signature),
        ("path_token", proofs.path_token),
        ("basic", proofs.basic.is_some()),
        ("addresses", !proofs.addresses.is_empty()),
    ];
    all.into_iter().filter(|(_, counts)| *counts).map(|(name, _)| name).collect()
}
