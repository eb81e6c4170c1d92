//! `GET /api/organisation`.

use super::OrganisationBody;
use crate::{Caller, Problem, scopes};
use axum::Json;
use store::organisations;

/// Your organisation.
#[utoipa::path(
    get, path = "/api/organisation", tag = "organisation", operation_id = "get_organisation",
    responses((status = 200, description = "The organisation", body = OrganisationBody)),
    security(("bearer" = ["organisation:read"])),
)]
pub(crate) async fn get_organisation(
    caller: Caller<scopes::OrganisationRead>,
) -> Result<Json<OrganisationBody>, Problem> {
    caller.read("organisation.get", async |tx| Ok(Json(organisations::get_own(tx).await?.into()))).await
}
