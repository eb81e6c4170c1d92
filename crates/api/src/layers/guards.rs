//! What keeps one request, or many, from harming the others.

use crate::origin::Client;
use crate::{Code, Problem};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use limiter::client_network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

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
    clients: Mutex<HashMap<Whose, usize>>,
}

/// Whose places they are. A carrier's are apart from those of people at the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Whose {
    carrier: bool,
    /// The client's network as in [`limiter::client_network`]; none where a test hands in a request without a connection.
    network: Option<IpAddr>,
}

/// A client's place, given back when the request ends however it ends.
pub(super) struct Place<'a> {
    room: &'a Room,
    whose: Whose,
    permit: Option<SemaphorePermit<'a>>,
}

impl Room {
    fn clients(&self) -> MutexGuard<'_, HashMap<Whose, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a request for `path`, or none for one that needs none.
    ///
    /// A media socket takes one until it is accepted, not while its call lasts: calls are counted by the switchboard.
    pub(super) fn enter(&self, path: &str, client: Option<Client>) -> Result<Option<Place<'_>>, Problem> {
        if path.starts_with("/health") {
            // A busy node is alive; whoever restarts it for being busy makes the others busier.
            return Ok(None);
        }
        let carrier = path.starts_with("/webhooks/") || path.starts_with("/media/");
        let (places, max) =
            if carrier { (&self.carriers, REQUESTS_OF_CARRIER_MAX) } else { (&self.others, REQUESTS_OF_CLIENT_MAX) };
        let whose = Whose { carrier, network: client.map(|client| client_network(client.ip)) };
        match (self.place(whose, max), places.try_acquire()) {
            (Some(mut place), Ok(permit)) => {
                place.permit = Some(permit);
                Ok(Some(place))
            }
            _ => Err(Problem::new(Code::Overloaded, "too many requests at once")),
        }
    }

    fn place(&self, whose: Whose, max: usize) -> Option<Place<'_>> {
        let mut clients = self.clients();
        let count = clients.entry(whose).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { room: self, whose, permit: None })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.permit.take();
        let mut clients = self.room.clients();
        if let Some(count) = clients.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.whose);
            }
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self { carriers: Semaphore::new(REQUESTS_MAX), others: Semaphore::new(REQUESTS_MAX), clients: Mutex::default() }
    }
}

/// The body of the answer, and a socket that the request has become, have no part in this time.
pub(super) async fn in_time(answer: Pin<Box<impl Future<Output = Response>>>) -> Response {
    tokio::time::timeout(REQUEST_DEADLINE, answer)
        .await
        .unwrap_or_else(|_| Problem::new(Code::RequestTimeout, "the request took too long").into_response())
}

/// A panic becomes an answer. It is logged by the panic hook, with its place; the client learns nothing of it.
pub(super) async fn unpanicked(answer: impl Future<Output = Response>) -> Response {
    // What a panic leaves half done belongs to its request; what requests share is behind locks that say so.
    AssertUnwindSafe(answer)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Problem::new(Code::Internal, "something went wrong on our side").into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(ip: &str) -> Whose {
        Whose { carrier: false, network: ip.parse().ok() }
    }

    #[test]
    fn a_client_has_so_many_places_and_gives_them_back() {
        let room = Room::default();
        let (a, b) = (client("203.0.113.9"), client("203.0.113.10"));
        let mut held: Vec<_> = (0..3).filter_map(|_| room.place(a, 2)).collect();
        assert_eq!(held.len(), 2);
        assert!(room.place(b, 2).is_some(), "another client is not concerned");
        assert!(room.place(Whose { carrier: true, ..a }, 2).is_some(), "nor a carrier at this address");
        held.pop();
        assert!(room.place(a, 2).is_some());
        drop(held);
        assert!(room.clients().is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn carriers_and_people_have_places_of_their_own_and_probes_need_none() {
        let room = Room::default();
        let at = |n: usize| {
            let ip = format!("10.0.0.{}", n / REQUESTS_OF_CLIENT_MAX).parse().expect("an address");
            Some(Client { ip, secure: true })
        };
        let people: Vec<_> = (0..REQUESTS_MAX).filter_map(|n| room.enter("/api/agents", at(n)).ok()).collect();
        assert_eq!(people.len(), REQUESTS_MAX);
        assert!(room.enter("/api/agents", at(200 * REQUESTS_OF_CLIENT_MAX)).is_err());
        assert!(room.enter("/webhooks/exotel/call-end", at(0)).is_ok());
        assert!(matches!(room.enter("/health/live", at(0)), Ok(None)));
        drop(people);
        assert!(room.enter("/api/agents", at(0)).is_ok());
        assert!(room.clients().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let answer = unpanicked(async { panic!("as asked") }).await;
        assert_eq!(answer.status(), 500);
    }
}
