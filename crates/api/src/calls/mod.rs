//! Calls and their transcripts.

mod analyze;
mod cancel;
mod create;
mod get;
mod hang_up;
mod list;
mod recordings;
mod records;
mod turns;

use crate::App;
use chrono::{DateTime, Utc};
use model::{AgentId, CallDirection, CallId, CallStatus, CarrierKind, E164, EndedReason, PhoneNumberId};
use records::{AnalysisStateName, CostView};
use serde::Serialize;
use std::sync::Arc;
use store::calls::Call;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
pub(crate) struct CallView {
    /// Its id.
    id: CallId,
    /// Who answers.
    agent_id: AgentId,
    /// Our number, if it is connected here.
    phone_number_id: Option<PhoneNumberId>,
    /// Who carries it.
    carrier: CarrierKind,
    /// The carrier's name for it.
    #[schema(example = "b6f3b1b7a1d94e1c8f2d3a4b5c6d7e8f")]
    carrier_call_id: Option<String>,
    /// Who placed it.
    direction: CallDirection,
    /// The caller; null when withheld. Ours, of a call that we placed.
    from: Option<E164>,
    /// The called number.
    to: Option<E164>,
    /// Where it stands.
    status: CallStatus,
    /// Why it ended; null while it has not.
    ended_reason: Option<EndedReason>,
    /// When it was announced, or asked for.
    created_at: DateTime<Utc>,
    /// When the carrier was asked to place it; null for calls that came in.
    dialed_at: Option<DateTime<Utc>>,
    /// When media began.
    started_at: Option<DateTime<Utc>>,
    /// When it ended.
    ended_at: Option<DateTime<Utc>>,
    /// Length of the media, ms.
    #[schema(example = 73_420)]
    duration_ms: Option<u64>,
    /// Length by the carrier's count, s: what it bills.
    #[schema(example = 74)]
    carrier_duration_s: Option<u64>,
    /// The number of the person it was handed to.
    transferred_to: Option<E164>,
    /// When it was handed over.
    transferred_at: Option<DateTime<Utc>>,
    /// Where its analysis stands.
    analysis_state: AnalysisStateName,
    /// How it turned out: a word of the agent's list.
    #[schema(example = "callback-asked")]
    disposition: Option<String>,
    /// Whether all criteria of the agent were met.
    succeeded: Option<bool>,
    /// What it cost by list prices; null when no price is known.
    cost: Option<CostView>,
}

impl CallView {
    fn of(call: &Call) -> Self {
        Self {
            id: call.id,
            agent_id: call.agent,
            phone_number_id: call.phone_number,
            carrier: call.carrier,
            carrier_call_id: call.carrier_call_id.clone(),
            direction: call.direction,
            from: call.from.clone(),
            to: call.to.clone(),
            status: call.status,
            ended_reason: call.ended_reason,
            created_at: call.created_at,
            dialed_at: call.dialed_at,
            started_at: call.started_at,
            ended_at: call.ended_at,
            duration_ms: call.duration_ms,
            carrier_duration_s: call.carrier_duration_s,
            transferred_to: call.transfer_to.clone(),
            transferred_at: call.transferred_at,
            analysis_state: call.outcome.state.into(),
            disposition: call.outcome.disposition.clone(),
            succeeded: call.outcome.succeeded,
            cost: call.outcome.cost.map(CostView::from),
        }
    }
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_calls, create::create_call))
        .routes(routes!(get::get_call))
        .routes(routes!(cancel::cancel_call))
        .routes(routes!(hang_up::hang_up_call))
        .routes(routes!(analyze::analyze_call))
        .routes(routes!(turns::list_turns))
        .routes(routes!(recordings::list_call_recordings))
}
