//! What carriers tell us over HTTP.

mod exotel;

use crate::App;
use axum::extract::DefaultBodyLimit;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// A webhook is a few fields: its body is shorter than that of other routes.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    exotel::routes().layer(DefaultBodyLimit::max(wire::fields::BODY_BYTES_MAX))
}
