//! `GET /api/invitations`.

use super::InvitationBody;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery, scopes};
use axum::Json;
use store::invitations;

/// The invitations of your organisation, newest first: open ones and answered ones.
#[utoipa::path(
    get, path = "/api/invitations", tag = "organisation", operation_id = "list_invitations",
    params(ListQuery),
    responses((status = 200, description = "A page of them", body = ListBody<InvitationBody>)),
    security(("bearer" = ["members:read"])),
)]
pub(crate) async fn list_invitations(
    caller: Caller<scopes::MembersRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<InvitationBody>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let found = caller.read("invitations.list", async |tx| Ok(invitations::list(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(found, |invitation| InvitationBody::of(invitation, caller.now))))
}
