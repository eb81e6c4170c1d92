//! For developers, under `/api/test`: in production there are no such routes.

mod email_connection;

use crate::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(email_connection::test_email_connection))
}
