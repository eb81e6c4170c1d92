//! `GET /api/calls`.

use super::CallView;
use crate::caller::scopes::CallsRead;
use crate::listing::{ListBody, page_request};
use crate::{Caller, Problem, ValidQuery};
use axum::Json;
use chrono::{DateTime, Utc};
use model::{AgentId, CallDirection, CallStatus, E164, PhoneNumberId};
use serde::Deserialize;
use store::calls::{self, CallFilter};
use utoipa::{IntoParams, ToSchema};

/// Which calls.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallsQuery {
    /// Only of this status.
    status: Option<CallStatus>,
    /// Only of this agent.
    agent_id: Option<AgentId>,
    /// Only placed by this side.
    direction: Option<CallDirection>,
    /// Only from this number. In an address `+` is written `%2B`.
    from: Option<E164>,
    /// Only to this number. In an address `+` is written `%2B`.
    to: Option<E164>,
    /// Only of this connected number.
    phone_number_id: Option<PhoneNumberId>,
    /// Only those that turned out so: a word of an agent's list.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$", max_length = 60)]
    #[param(pattern = "^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$", max_length = 60)]
    disposition: Option<String>,
    /// Only those that met all criteria of their agent, or did not.
    succeeded: Option<bool>,
    /// Only announced at or after this time.
    created_from: Option<DateTime<Utc>>,
    /// Only announced before this time.
    created_before: Option<DateTime<Utc>>,
    /// Where to go on: `next_cursor` of the page before.
    #[schema(max_length = 64)]
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// Rows wanted.
    #[schema(minimum = 1, maximum = 200)]
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists calls.
///
/// What was said and collected is not in the list: see the single call.
#[utoipa::path(
    get,
    path = "/api/calls",
    tag = "calls",
    security(("bearer" = ["calls:read"])),
    params(CallsQuery),
    responses((status = 200, description = "A page of calls", body = ListBody<CallView>)),
)]
pub(crate) async fn list_calls(
    caller: Caller<CallsRead>,
    ValidQuery(query): ValidQuery<CallsQuery>,
) -> Result<Json<ListBody<CallView>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let filter = CallFilter {
        status: query.status,
        agent: query.agent_id,
        direction: query.direction,
        from: query.from,
        to: query.to,
        phone_number: query.phone_number_id,
        disposition: query.disposition,
        succeeded: query.succeeded,
        created_from: query.created_from,
        created_before: query.created_before,
    };
    let page = caller.read("calls.list", async |tx| Ok(calls::list(tx, &filter, page).await?)).await?;
    Ok(Json(ListBody::from_page(page, |call| CallView::of(&call))))
}
