//! `POST /api/phone-numbers`.

use super::{PhoneNumberView, connect_number, own_agent};
use crate::caller::scopes::PhoneNumbersWrite;
use crate::once::{Answer, IdempotencyHeader, IdempotencyKey};
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};
use model::{AgentId, CarrierKind, E164};
use serde::{Deserialize, Serialize};
use store::phone_numbers::NewPhoneNumber;
use utoipa::ToSchema;

const ROUTE: &str = "phone_numbers.create";

/// A number to connect.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPhoneNumber, example = json!({
    "number": "+918047491899",
    "carrier": "exotel",
    "agent_id": "01940b6e-0000-7000-8000-000000000001",
}))]
pub(crate) struct NewPhoneNumberBody {
    /// The number as the carrier names it when somebody calls it.
    number: E164,
    /// Who carries its calls.
    carrier: CarrierKind,
    /// Who answers.
    agent_id: AgentId,
}

/// Connects a phone number: from now on the agent answers it.
#[utoipa::path(
    post,
    path = "/api/phone-numbers",
    tag = "phone-numbers",
    security(("bearer" = ["phone-numbers:write"])),
    params(IdempotencyHeader),
    request_body = NewPhoneNumberBody,
    responses(
        (status = 201, description = "The number", body = PhoneNumberView),
        (status = 409, description = "The number is connected already, here or elsewhere",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another body before",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_phone_number(
    caller: Caller<PhoneNumbersWrite>,
    key: IdempotencyKey,
    Valid(body): Valid<NewPhoneNumberBody>,
) -> Result<Answer, Problem> {
    caller
        .write(ROUTE, async |tx| {
            if let Some(answer) = key.replay(&caller, tx, ROUTE, &body).await? {
                return Ok(answer);
            }
            own_agent(tx, body.agent_id).await?;
            let new = NewPhoneNumber {
                carrier: body.carrier,
                number: body.number.clone(),
                agent: body.agent_id,
                path_token_hash: None,
            };
            let made = PhoneNumberView::from(connect_number(tx, &caller.author(), &new, caller.now).await?);
            key.created(tx, ROUTE, &made).await
        })
        .await
}
