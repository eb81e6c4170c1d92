//! `PATCH /api/phone-numbers/{id}`.

use super::{PhoneNumberView, own_agent};
use crate::auth::path_id::PathId;
use crate::caller::scopes::PhoneNumbersWrite;
use crate::{Caller, Problem, Valid};
use axum::Json;
use model::{AgentId, AuditKind, PhoneNumberId};
use serde::Deserialize;
use serde_json::Map;
use store::phone_numbers;
use utoipa::ToSchema;

/// What is to be otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PhoneNumberChange, example = json!({ "agent_id": "01940b6e-0000-7000-8000-000000000001" }))]
pub(crate) struct PhoneNumberChange {
    /// Who answers from now on.
    agent_id: AgentId,
}

/// Lets another agent answer a phone number.
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
    let number = caller
        .write("phone_numbers.update", async |tx| {
            phone_numbers::get(tx, id).await?;
            own_agent(tx, body.agent_id).await?;
            let number = phone_numbers::assign(tx, id, body.agent_id).await?;
            let data = Map::from_iter([("agent_id".to_owned(), body.agent_id.to_string().into())]);
            let object = Some(("phone_number", id.to_string()));
            caller.audit(tx, AuditKind::PhoneNumberUpdated, object, data).await?;
            Ok(number)
        })
        .await?;
    Ok(Json(number.into()))
}
