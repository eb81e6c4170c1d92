//! The HTTP edge: routes, problems, limits.
//!
//! Architecture Invariant: `api` does not know the switchboard. It never calls into a live call; what a call must know
//! is a row in the store.
//!
//! One endpoint, one file: what it takes, what it answers, and why it refuses.

pub mod app;
mod health;
mod layers;
mod problem;
pub mod server;
mod webhooks;

pub use app::{App, ExotelSettings};
pub use problem::{Code, Problem};

use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// Every route of this room, inside its layers. Other rooms' routes are merged outside of them.
pub fn router(app: Arc<App>) -> Router {
    let routes = Router::new()
        .route("/health", get(health::summary))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/webhooks/exotel/call-start", post(webhooks::exotel::call_start::signed))
        .route("/webhooks/exotel/call-end", post(webhooks::exotel::call_end::signed))
        .route("/webhooks/exotel/voicebot/{token}", get(webhooks::exotel::voicebot::dynamic_url))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .with_state(app);
    layers::around(routes)
}
