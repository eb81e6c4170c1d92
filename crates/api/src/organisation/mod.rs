//! One's own organisation.

mod get;
mod update;

use crate::App;
use chrono::{DateTime, Utc};
use model::OrganisationId;
use serde::Serialize;
use std::sync::Arc;
use store::organisations::Organisation;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// An organisation.
#[derive(Serialize, ToSchema)]
#[schema(as = Organisation)]
pub(crate) struct OrganisationBody {
    /// Its id.
    id: OrganisationId,
    /// Shown to people.
    #[schema(example = "Sunrise Dental Clinic")]
    name: String,
    /// When it signed up.
    created_at: DateTime<Utc>,
}

impl From<Organisation> for OrganisationBody {
    fn from(organisation: Organisation) -> Self {
        Self { id: organisation.id, name: organisation.name, created_at: organisation.created_at }
    }
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(get::get_organisation, update::update_organisation))
}
