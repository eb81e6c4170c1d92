//! What keeps one request, or many, from harming the others.

use crate::origin::Client;
use crate::{Code, Problem};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use limiter::client_key;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest a request may take. Carriers give us 10 s at most, their own way to us included, and hang up on slower
/// answers.
const REQUEST_DEADLINE: Duration = Duration::from_secs(8);
/// Requests at once, of carriers and of everybody else. Each holds at most a body and a database connection's turn; more
/// would only wait.
const REQUESTS_MAX: usize = 512;
/// Of these, one client's: an office behind one address has fewer people who ask in the same moment, and nobody alone
/// keeps everybody out. Carriers ask from few addresses.
const REQUESTS_OF_CLIENT_MAX: usize = 64;
const REQUESTS_OF_CARRIER_MAX: usize = 256;

/// Places for requests.
pub(super) struct Room {
    /// Carriers have their own: however many people ask at once, a call is still answered.
    carriers: Semaphore,
    others: Semaphore,
    /// Requests at once by client; as many entries as requests.
    clients: Mutex<HashMap<String, usize>>,
}

/// A client's place, given back when the request ends however it ends.
struct Place<'a> {
    room: &'a Room,
    client: String,
}

impl Room {
    fn clients(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, client: String, max: usize) -> Option<Place<'_>> {
        let mut clients = self.clients();
        let count = clients.entry(client.clone()).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { room: self, client })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut clients = self.room.clients();
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self { carriers: Semaphore::new(REQUESTS_MAX), others: Semaphore::new(REQUESTS_MAX), clients: Mutex::default() }
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
    let (places, max) =
        if carrier { (&room.carriers, REQUESTS_OF_CARRIER_MAX) } else { (&room.others, REQUESTS_OF_CLIENT_MAX) };
    let client = request.extensions().get::<Client>().map_or_else(String::new, |client| client_key(client.ip));
    // The kind is part of the key: a carrier's places are apart from those of people at the same address.
    let of_client = room.enter(format!("{carrier} {client}"), max);
    match (of_client, places.try_acquire()) {
        (Some(_place), Ok(_permit)) => next.run(request).await,
        _ => Problem::new(Code::Overloaded, "too many requests at once").into_response(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_places_and_gives_them_back() {
        let room = Room::default();
        let mut held: Vec<_> = (0..3).filter_map(|_| room.enter("a".to_owned(), 2)).collect();
        assert_eq!(held.len(), 2);
        assert!(room.enter("b".to_owned(), 2).is_some(), "another client is not concerned");
        held.pop();
        assert!(room.enter("a".to_owned(), 2).is_some());
        drop(held);
        assert!(room.clients().is_empty(), "nothing is kept of who has left");
    }
}
