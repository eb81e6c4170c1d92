//! `POST /api/calls/{id}/hang-up`.

use crate::auth::path_id::PathId;
use crate::caller::scopes::CallsWrite;
use crate::problem::ProblemBody;
use crate::{Caller, Code, Problem};
use axum::http::StatusCode;
use model::{AuditKind, CallId};
use serde_json::Map;
use store::calls;

/// Ends a live call: within two seconds, wherever its media is.
#[utoipa::path(
    post,
    path = "/api/calls/{id}/hang-up",
    tag = "calls",
    security(("bearer" = ["calls:write"])),
    params(("id" = CallId, Path, description = "The call")),
    responses(
        (status = 202, description = "It will end; its reason is then `operator/hung-up`"),
        (status = 409, description = "It is not live: to take back one that waits, cancel it",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn hang_up_call(
    caller: Caller<CallsWrite>,
    PathId(id): PathId<CallId>,
) -> Result<StatusCode, Problem> {
    caller
        .write("calls.ask_hang_up", async |tx| {
            if !calls::ask_hang_up(tx, id, caller.now).await? {
                return Err(Problem::new(Code::Conflict, "only a live call can be ended"));
            }
            // One that is taken back before it was placed is on record under the same kind, without this.
            let data = Map::from_iter([("live".to_owned(), true.into())]);
            caller.audit(tx, AuditKind::CallCanceled, Some(("call", id.to_string())), data).await?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}
