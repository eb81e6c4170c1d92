//! `POST /api/calls`.

use super::CallView;
use crate::caller::scopes::CallsWrite;
use crate::once::{Answer, IdempotencyHeader, IdempotencyKey};
use crate::problem::ProblemBody;
use crate::{App, Caller, Code, Problem, Valid};
use model::{AgentId, AuditKind, CallDirection, CallStatus, CarrierKind, E164, PhoneNumberId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::calls::{self, NewCall};
use store::phone_numbers::{self, PhoneNumber};
use store::{PageRequest, Tx, agents, carrier_accounts};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, Object, ObjectBuilder, OneOfBuilder, Schema, Type};

const ROUTE: &str = "calls.create";
/// Most variables of a call: an agent's text that names more is a form, not a conversation.
const VARIABLES_MAX: usize = 64;
/// Names of variables, as texts of agents mention them.
const VARIABLE_NAME: &str = "^[a-z][a-z0-9_]{0,63}$";
/// Longest text of a variable, in characters: it is to be spoken, and nobody listens to a page.
const VARIABLE_CHARS_MAX: usize = 1_000;
/// Carrier accounts looked through: an organisation has one per carrier.
const ACCOUNTS_MAX: u32 = 200;

/// A call to place.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCall, example = json!({
    "agent_id": "01940b6e-0000-7000-8000-000000000001",
    "to": "+919812345678",
    "from": "01940b6e-0000-7000-8000-000000000002",
    "variables": { "name": "Asha", "visit_on": "2026-11-25" },
}))]
pub(crate) struct NewCallBody {
    /// Who speaks.
    agent_id: AgentId,
    /// Who is called.
    to: E164,
    /// The connected number that the called person sees. Its carrier places the call.
    from: PhoneNumberId,
    /// What the agent knows of this call.
    #[serde(default)]
    #[schema(schema_with = variables_schema)]
    variables: Map<String, Value>,
}

/// Values by name.
fn variables_schema() -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some(VARIABLE_NAME)).build();
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(VARIABLE_CHARS_MAX));
    let value = OneOfBuilder::new()
        .item(text)
        .item(ObjectBuilder::new().schema_type(Type::Number))
        .item(ObjectBuilder::new().schema_type(Type::Boolean))
        .build();
    ObjectBuilder::new()
        .description(Some("What the agent knows of this call: texts, numbers and truths by name."))
        .property_names(Some(Schema::Object(name)))
        .max_properties(Some(VARIABLES_MAX))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::OneOf(value)))))
        .build()
}

/// Places a call: the agent rings somebody up.
///
/// The answer comes at once, with the status `queued`; what becomes of the call, the call itself and the events tell.
/// The order goes to the carrier once and is never repeated; a call that could not be ordered within ten minutes is
/// over, as `carrier/failed` or `caly/error`.
#[utoipa::path(
    post,
    path = "/api/calls",
    tag = "calls",
    security(("bearer" = ["calls:write"])),
    params(IdempotencyHeader),
    request_body = NewCallBody,
    responses(
        (status = 201, description = "The call, to be placed", body = CallView),
        (status = 409, description = "There is no account at the number's carrier, or it cannot place calls yet",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another body before",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_call(
    caller: Caller<CallsWrite>,
    key: IdempotencyKey,
    Valid(body): Valid<NewCallBody>,
) -> Result<Answer, Problem> {
    let answer = caller
        .write(ROUTE, async |tx| {
            if let Some(answer) = key.replay(&caller, tx, ROUTE, &body).await? {
                return Ok(answer);
            }
            runnable(&caller.app, tx, body.agent_id).await?;
            let number = number_to_call_from(tx, &body).await?;
            let made = place(&caller, tx, &body, &number).await?;
            key.created(tx, ROUTE, &made).await
        })
        .await?;
    caller.app.jobs_wake.notify_one();
    Ok(answer)
}

async fn place(
    caller: &Caller<CallsWrite>,
    tx: &mut Tx,
    body: &NewCallBody,
    number: &PhoneNumber,
) -> Result<CallView, Problem> {
    let new = NewCall {
        agent: body.agent_id,
        phone_number: Some(number.id),
        carrier: number.carrier,
        carrier_call_id: None,
        direction: CallDirection::Outgoing,
        from: Some(number.number.clone()),
        to: Some(body.to.clone()),
        status: CallStatus::Queued,
        variables: body.variables.clone(),
    };
    let call = calls::create(tx, &new, caller.now).await?.into_call();
    calls::enqueue_placing(tx, call.id, caller.now).await?;
    let data = Map::from_iter([
        ("agent_id".to_owned(), body.agent_id.to_string().into()),
        ("phone_number_id".to_owned(), number.id.to_string().into()),
    ]);
    caller.audit(tx, AuditKind::CallPlaced, Some(("call", call.id.to_string())), data).await?;
    Ok(CallView::of(&call))
}

/// The agent must be the caller's own, and such that it can speak here.
async fn runnable(app: &App, tx: &mut Tx, id: AgentId) -> Result<(), Problem> {
    let config = match agents::get(tx, id).await {
        Ok(stored) => stored.agent.config,
        Err(store::Error::NotFound) => return Err(Problem::field("agent_id", "names no agent")),
        Err(error) => return Err(error.into()),
    };
    (app.check_agent)(&config).map_err(|faults| {
        let faults: Vec<String> =
            faults.into_iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect();
        Problem::field("agent_id", format!("names an agent that cannot speak here: {}", faults.join("; ")))
    })
}

/// The number must be the caller's own, and its carrier one that places calls for this organisation.
async fn number_to_call_from(tx: &mut Tx, body: &NewCallBody) -> Result<PhoneNumber, Problem> {
    let number = match phone_numbers::get(tx, body.from).await {
        Ok(number) => number,
        Err(store::Error::NotFound) => return Err(Problem::field("from", "names no phone number")),
        Err(error) => return Err(error.into()),
    };
    if number.number == body.to {
        return Err(Problem::field("to", "is the number that is called from"));
    }
    if !places_calls(number.carrier) {
        let detail = format!("calls cannot be placed through {} yet", number.carrier);
        return Err(Problem::new(Code::Conflict, detail));
    }
    let accounts = carrier_accounts::list(tx, PageRequest { after: None, limit: ACCOUNTS_MAX }).await?;
    if accounts.items.iter().any(|account| account.carrier == number.carrier) {
        return Ok(number);
    }
    let detail = format!("there is no account at {}: add one with POST /api/carrier-accounts", number.carrier);
    Err(Problem::new(Code::Conflict, detail))
}

/// Whether Caly can order calls there.
const fn places_calls(carrier: CarrierKind) -> bool {
    match carrier {
        CarrierKind::Exotel => true,
        CarrierKind::Twilio | CarrierKind::Plivo | CarrierKind::Vobiz | CarrierKind::Smartflo => false,
    }
}
