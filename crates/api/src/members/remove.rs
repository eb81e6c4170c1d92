//! `DELETE /api/members/{user_id}`.

use super::{may_grant, person};
use crate::auth::path_id::PathId;
use crate::{Caller, Problem, scopes};
use axum::http::StatusCode;
use model::{AuditKind, UserId};
use serde_json::{Map, json};
use store::{invitations, memberships, organisations};

/// Removes a member. His sessions in this organisation end at once; his account stays. An organisation keeps an owner.
#[utoipa::path(
    delete, path = "/api/members/{user_id}", tag = "organisation", operation_id = "remove_member",
    params(("user_id" = UserId, Path, description = "The member")),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "The organisation needs an owner", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["members:write"])),
)]
pub(crate) async fn remove_member(
    caller: Caller<scopes::MembersWrite>,
    PathId(user): PathId<UserId>,
) -> Result<StatusCode, Problem> {
    let (_, own) = person(&caller.identity)?;
    caller
        .write("members.remove", async |tx| {
            // Nobody makes the member an owner between the look and the removal.
            organisations::lock(tx).await?;
            caller.still_is(tx).await?;
            let before = memberships::get(tx, user).await?;
            may_grant(own, before.role)?;
            // Whom he invited would come in with his word.
            invitations::revoke_of(tx, user, caller.now).await?;
            memberships::remove(tx, user).await?;
            let data = Map::from_iter([("role".to_owned(), json!(before.role))]);
            caller.audit(tx, AuditKind::MemberRemoved, Some(("user", user.to_string())), data).await?;
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}
