//! `POST /api/calls/{id}/cancel`.

use super::CallView;
use crate::auth::path_id::PathId;
use crate::caller::scopes::CallsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Code, Problem};
use axum::Json;
use model::{AuditKind, CallId, EndedReason, Severity};
use serde_json::Map;
use store::call_ends::{self, Teller};
use store::calls;

/// Takes a call back that has not been ordered at the carrier yet.
#[utoipa::path(
    post,
    path = "/api/calls/{id}/cancel",
    tag = "calls",
    security(("bearer" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 200, description = "The call; it will not be placed", body = CallView),
        (status = 409, description = "The carrier has been asked to place it, or it is over, or it came in",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn cancel_call(
    caller: Caller<CallsWrite>,
    PathId(id): PathId<CallId>,
) -> Result<Json<CallView>, Problem> {
    let call = caller
        .write("calls.cancel", async |tx| {
            if !calls::cancel(tx, id, caller.now).await? {
                return Err(Problem::new(Code::Conflict, "only a call that waits to be placed can be taken back"));
            }
            caller.audit(tx, AuditKind::CallCanceled, Some(("call", id.to_string())), Map::new()).await?;
            let teller = Teller::system(Severity::Info);
            call_ends::tell(tx, id, EndedReason::OperatorCanceled, 0, teller, caller.now).await?;
            Ok(calls::get(tx, id).await?)
        })
        .await?;
    Ok(Json(CallView::of(&call)))
}
