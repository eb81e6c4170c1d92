//! `DELETE /api/invitations/{id}`.

use crate::auth::path_id::PathId;
use crate::members::{may_grant, person};
use crate::{Caller, Problem, scopes};
use axum::http::StatusCode;
use model::{AuditKind, InvitationId};
use serde_json::Map;
use store::invitations;

/// Takes an invitation back. Its link is worth nothing then.
#[utoipa::path(
    delete, path = "/api/invitations/{id}", tag = "organisation", operation_id = "revoke_invitation",
    params(("id" = InvitationId, Path, description = "The invitation")),
    responses((status = 204, description = "Taken back, or answered before")),
    security(("bearer" = ["members:write"])),
)]
pub(crate) async fn revoke_invitation(
    caller: Caller<scopes::MembersWrite>,
    PathId(id): PathId<InvitationId>,
) -> Result<StatusCode, Problem> {
    let (_, own) = person(&caller.identity)?;
    caller
        .write("invitations.revoke", async |tx| {
            may_grant(own, invitations::get(tx, id).await?.role)?;
            if invitations::revoke(tx, id, caller.now).await? {
                let object = Some(("invitation", id.to_string()));
                caller.audit(tx, AuditKind::InvitationRevoked, object, Map::new()).await?;
            }
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}
