//! `POST /api/calls/{id}/analyze`.

use super::CallView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::CallsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Code, Problem};
use axum::Json;
use axum::http::StatusCode;
use model::{AuditKind, CallId};
use serde_json::Map;
use store::call_records::{self, ANALYSES_PER_CALL_MAX, Analyst, Asked};
use store::{agents, calls};

/// Has a call analysed again, by what its agent wants now.
///
/// The answer comes at once; what was made of the call shows in the call, and the event `call.analyzed` tells when. The
/// analysis before stays until there is a new one. Each costs tokens: 20 of one call at most.
#[utoipa::path(
    post,
    path = "/api/calls/{id}/analyze",
    tag = "calls",
    security(("bearer" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 202, description = "It will be analysed", body = CallView),
        (status = 409, description = "It is not over, or is being analysed, or was analysed often enough, or its agent \
            wants no analysis by a language model", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn analyze_call(
    caller: Caller<CallsWrite>,
    PathId(id): PathId<CallId>,
) -> Result<(StatusCode, Json<CallView>), Problem> {
    let conflict = |detail: String| Err(Problem::new(Code::Conflict, detail));
    let call = caller
        .write("calls.analyze", async |tx| {
            let agent = calls::get(tx, id).await?.agent;
            match call_records::analyst(&agents::get(tx, agent).await?.agent.config) {
                Analyst::Model(_) => {}
                Analyst::Missing => return conflict(call_records::NO_MODEL.to_owned()),
                Analyst::NotWanted => {
                    return conflict("its agent wants no analysis by a language model: set analysis".to_owned());
                }
            }
            if call_records::ask(tx, id, caller.now).await? == Asked::Refused {
                return conflict(format!(
                    "only a call that is over, is not being analysed and was analysed fewer than \
                     {ANALYSES_PER_CALL_MAX} times can be analysed"
                ));
            }
            caller.audit(tx, AuditKind::CallAnalysisAsked, Some(("call", id.to_string())), Map::new()).await?;
            Ok(calls::get(tx, id).await?)
        })
        .await?;
    caller.app.jobs_wake.notify_one();
    Ok((StatusCode::ACCEPTED, Json(CallView::of(&call))))
}
