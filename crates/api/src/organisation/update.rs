//! `PATCH /api/organisation`.

use super::OrganisationBody;
use crate::{Caller, Problem, Valid, scopes};
use axum::Json;
use model::AuditKind;
use serde::Deserialize;
use serde_json::Map;
use store::organisations;
use utoipa::ToSchema;

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateOrganisation, example = json!({ "name": "Sunrise Dental Clinic" }))]
pub(crate) struct UpdateOrganisationBody {
    /// Its name.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters", example = "Sunrise Dental Clinic")]
    name: String,
}

/// Renames your organisation.
#[utoipa::path(
    patch, path = "/api/organisation", tag = "organisation", operation_id = "update_organisation",
    request_body = UpdateOrganisationBody,
    responses((status = 200, description = "The organisation", body = OrganisationBody)),
    security(("bearer" = ["organisation:write"])),
)]
pub(crate) async fn update_organisation(
    caller: Caller<scopes::OrganisationWrite>,
    Valid(body): Valid<UpdateOrganisationBody>,
) -> Result<Json<OrganisationBody>, Problem> {
    caller
        .write("organisation.update", async |tx| {
            let organisation = organisations::rename(tx, &body.name).await?;
            let object = Some(("organisation", organisation.id.to_string()));
            caller.audit(tx, AuditKind::SettingsChanged, object, Map::new()).await?;
            Ok(Json(organisation.into()))
        })
        .await
}
