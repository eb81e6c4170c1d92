//! `GET /api/members`.

use super::MemberBody;
use crate::listing::{ListBody, ListQuery, page_request};
use crate::{Caller, Problem, ValidQuery, scopes};
use axum::Json;
use store::memberships;

/// The members of your organisation, newest first.
#[utoipa::path(
    get, path = "/api/members", tag = "organisation", operation_id = "list_members",
    params(ListQuery),
    responses((status = 200, description = "A page of them", body = ListBody<MemberBody>)),
    security(("bearer" = ["members:read"])),
)]
pub(crate) async fn list_members(
    caller: Caller<scopes::MembersRead>,
    ValidQuery(query): ValidQuery<ListQuery>,
) -> Result<Json<ListBody<MemberBody>>, Problem> {
    let page = page_request(query.cursor.as_deref(), query.limit)?;
    let found = caller.read("members.list", async |tx| Ok(memberships::list(tx, page).await?)).await?;
    Ok(Json(ListBody::from_page(found, MemberBody::from)))
}
