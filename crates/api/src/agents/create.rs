//! `POST /api/agents`.

use super::{AgentBody, AgentView, make_agent, rules};
use crate::caller::scopes::AgentsWrite;
use crate::once::{Answer, IdempotencyHeader, IdempotencyKey};
use crate::problem::ProblemBody;
use crate::{Caller, Problem, Valid};

const ROUTE: &str = "agents.create";

/// Makes an agent.
///
/// It answers nobody until a phone number is assigned to it.
#[utoipa::path(
    post,
    path = "/api/agents",
    tag = "agents",
    security(("bearer" = ["agents:write"])),
    params(IdempotencyHeader),
    request_body = AgentBody,
    responses(
        (status = 201, description = "The agent", body = AgentView),
        (status = 422, description = "The idempotency key came with another body before",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_agent(
    caller: Caller<AgentsWrite>,
    key: IdempotencyKey,
    Valid(body): Valid<AgentBody>,
) -> Result<Answer, Problem> {
    rules::check(&caller.app, &body.config)?;
    caller
        .write(ROUTE, async |tx| {
            if let Some(answer) = key.replay(&caller, tx, ROUTE, &body).await? {
                return Ok(answer);
            }
            let made = make_agent(tx, &caller.author(), &body.name, &body.config, caller.now).await?;
            let made = AgentView::from(made);
            key.created(tx, ROUTE, &made).await
        })
        .await
}
