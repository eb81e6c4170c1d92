//! What keeps one request, or many, from harming the others.

use crate::{Code, Problem};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest a request may take. Carriers give us 10 s at most, their own way to us included, and hang up on slower
/// answers.
const REQUEST_DEADLINE: Duration = Duration::from_secs(8);
/// Requests at once, of carriers and of everybody else. Each holds at most a body and a database connection's turn; more
/// would only wait.
const REQUESTS_MAX: usize = 512;

/// Places for requests.
pub(super) struct Room {
    /// Carriers have their own: however many people ask at once, a call is still answered.
    carriers: Semaphore,
    others: Semaphore,
}

impl Default for Room {
    fn default() -> Self {
        Self { carriers: Semaphore::new(REQUESTS_MAX), others: Semaphore::new(REQUESTS_MAX) }
    }
}

/// A media socket takes a place until it is accepted, not while its call lasts: calls are counted by the switchboard.
pub(super) async fn shed(State(room): State<Arc<Room>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/health") {
        // A busy node is alive; whoever restarts it for being busy makes the others busier.
        return next.run(request).await;
    }
    let carrier = path.starts_with("/webhooks/") || path.starts_with("/media/");
    let places = if carrier { &room.carriers } else { &room.others };
    match places.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => Problem::new(Code::Overloaded, "too many requests at once").into_response(),
    }
}

/// The body of the answer, and a socket that the request has become, have no part in this time.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_DEADLINE, next.run(request))
        .await
        .unwrap_or_else(|_| Problem::new(Code::RequestTimeout, "the request took too long").into_response())
}

pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    // The panic itself is logged by the panic hook, with its place; the client learns nothing of it.
    Problem::new(Code::Internal, "something went wrong on our side").into_response()
}
