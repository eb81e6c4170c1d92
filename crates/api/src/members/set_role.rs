//! `PATCH /api/members/{user_id}`.

use super::{MemberBody, may_grant, person};
use crate::auth::path_id::PathId;
use crate::{Caller, Problem, Valid, scopes};
use axum::Json;
use model::{AuditKind, Role, UserId};
use serde::Deserialize;
use serde_json::{Map, json};
use store::{invitations, memberships, organisations};
use utoipa::ToSchema;

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateMember, example = json!({ "role": "admin" }))]
pub(crate) struct SetRoleBody {
    /// The role to be.
    role: Role,
}

/// Gives a member another role. Owners give and take any, admins those below their own. An organisation keeps an owner.
#[utoipa::path(
    patch, path = "/api/members/{user_id}", tag = "organisation", operation_id = "update_member",
    params(("user_id" = UserId, Path, description = "The member")),
    request_body = SetRoleBody,
    responses(
        (status = 200, description = "The member", body = MemberBody),
        (status = 409, description = "The organisation needs an owner", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["members:write"])),
)]
pub(crate) async fn set_role(
    caller: Caller<scopes::MembersWrite>,
    PathId(user): PathId<UserId>,
    Valid(body): Valid<SetRoleBody>,
) -> Result<Json<MemberBody>, Problem> {
    let (_, own) = person(&caller.identity)?;
    caller
        .write("members.set_role", async |tx| {
            // Nobody makes the member an owner between the look and the change.
            organisations::lock(tx).await?;
            caller.still_is(tx).await?;
            let before = memberships::get(tx, user).await?;
            may_grant(own, before.role)?;
            may_grant(own, body.role)?;
            if before.role != body.role {
                if body.role < before.role {
                    // Whom he invited would come in with more than he may give now.
                    invitations::revoke_of(tx, user, caller.now).await?;
                }
                memberships::set_role(tx, user, body.role).await?;
                let data =
                    Map::from_iter([("from".to_owned(), json!(before.role)), ("to".to_owned(), json!(body.role))]);
                caller.audit(tx, AuditKind::RoleChanged, Some(("user", user.to_string())), data).await?;
            }
            Ok(Json(memberships::get(tx, user).await?.into()))
        })
        .await
}
