//! The HTTP edge: routes, callers, problems, limits, and the description of all of it.
//!
//! Architecture Invariant: `api` does not know the switchboard. It never calls into a live call; what a call must know
//! is a row in the store.
//!
//! One endpoint, one file: what it takes, what it answers, and why it refuses. A noun is a folder with its routes in
//! `mod.rs`.

mod agents;
mod api_keys;
pub mod app;
mod audit_logs;
mod auth;
mod caller;
mod calls;
mod carrier_accounts;
mod dev_test;
mod documents;
mod health;
mod invitations;
mod jobs;
mod latency;
mod layers;
mod listing;
mod members;
mod monitoring;
mod once;
pub mod openapi;
mod organisation;
mod origin;
mod phone_numbers;
mod problem;
mod provider_keys;
mod recordings;
pub mod server;
mod valid;
mod webhook_endpoints;
mod webhooks;

pub use agents::{change_agent, make_agent};
pub use app::{
    App, CheckAgent, EdgeSettings, ExotelSettings, MailCheck, Pending, RecordingFile, RecordingFiles, RetryStats,
};
pub use auth::strangers::Strangers;
pub use caller::{Account, Author, Caller, Needs, Operator, scopes};
pub use documents::{FoundPassage, PassageSearch};
pub use latency::Latencies;
pub use origin::Origin;
pub use phone_numbers::{connect_number, replace_webhook_address};
pub use problem::{Code, FieldFault, Problem};
pub use recordings::Hearings;
pub use valid::{Valid, ValidQuery};

use axum::Router;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Every route of every installation, with its description.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(auth::routes())
        .merge(organisation::routes())
        .merge(members::routes())
        .merge(invitations::routes())
        .merge(api_keys::routes())
        .merge(provider_keys::routes())
        .merge(carrier_accounts::routes())
        .merge(agents::routes())
        .merge(documents::routes())
        .merge(phone_numbers::routes())
        .merge(calls::routes())
        .merge(recordings::routes())
        .merge(jobs::routes())
        .merge(audit_logs::routes())
        .merge(monitoring::routes())
        .merge(webhook_endpoints::routes())
        .merge(webhooks::routes())
        .merge(health::routes())
}

/// What the API promises, as OpenAPI.
#[must_use]
pub fn description() -> utoipa::openapi::OpenApi {
    let (_, mut api) = routes().merge(dev_test::routes()).split_for_parts();
    openapi::complete(&mut api);
    api
}

/// Every route of this room and `others` (media sockets), inside the layers.
pub fn router(app: Arc<App>, others: Router) -> Router {
    // Not refused in production but absent: there is nothing to be found out about them.
    let all = if app.edge.production { routes() } else { routes().merge(dev_test::routes()) };
    let (routes, _) = all.split_for_parts();
    let routes = routes
        .merge(openapi::pages())
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .with_state(app.clone())
        .merge(others);
    layers::around(routes, app)
}
