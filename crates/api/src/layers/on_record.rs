//! What the edge itself puts into the audit log: refusals and anomalies. An attacker decides how many there are, so that
//! each thing is told once in a while only, and never waits with the request: it need not be answered later because it
//! looked odd, and a database that is away must not refuse it.

use crate::App;
use crate::origin::Origin;
use model::{AuditKind, Severity, TenantId};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{SystemTx, Tx, audit};
use tokio::sync::Semaphore;

/// Events being written at once; the next one is left out. Each waits for the database's turn, as a request does.
const WRITES_MAX: usize = 32;
/// Things that were told a while ago and are not to be told again yet: about 200 kB.
const TOLD_MAX: usize = 8_192;

/// An event of the edge.
pub(super) struct Event {
    /// Whose log; none when no tenant is known.
    pub(super) tenant: Option<TenantId>,
    pub(super) kind: AuditKind,
    pub(super) actor: String,
    pub(super) origin: Origin,
    pub(super) data: Map<String, Value>,
}

/// Writes events.
pub(super) struct OnRecord {
    app: Arc<App>,
    room: Arc<Semaphore>,
}

impl OnRecord {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, room: Arc::new(Semaphore::new(WRITES_MAX)) }
    }

    /// Soon, while the request goes on.
    pub(super) fn put(&self, event: Event) {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            tracing::warn!(kind = event.kind.as_str(), "too many events at once: one is not in the audit log");
            return;
        };
        let app = self.app.clone();
        tokio::spawn(async move {
            if let Err(error) = write(&app, &event).await {
                tracing::error!(error = %error, kind = event.kind.as_str(), "an event could not be audited");
            }
            drop(place);
        });
    }
}

async fn write(app: &App, event: &Event) -> Result<(), store::Error> {
    let Event { tenant, kind, actor, origin, data } = event;
    let new = origin.event(*kind, Severity::Warning, actor, None, data.clone());
    let now = app.now();
    match tenant {
        Some(tenant) => {
            let work = async |tx: &mut Tx| audit::record(tx, &new, now).await;
            app.store.write(*tenant, "audit.edge", work).await?;
        }
        None => {
            let work = async |tx: &mut SystemTx| audit::record(tx, &new, now).await;
            app.store.system("audit.edge", work).await?;
        }
    }
    Ok(())
}

/// Lets a thing through once in a while. Keeps hashes only: the things may be addresses.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    hashing: RandomState,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    until: HashMap<u64, Instant>,
    /// There is no room before this, so that nobody looks for it at every request of a flood.
    full_until: Option<Instant>,
}

impl Seldom {
    /// Whether it is the first time in this while.
    pub(super) fn is_first(&self, thing: impl Hash, pause: Duration, now: Instant) -> bool {
        let key = self.hashing.hash_one(thing);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.until.get(&key).copied() {
            Some(until) if now < until => return false,
            // So many at once are one attack, and it is on record.
            None if !told.has_room(now) => return false,
            Some(_) | None => {}
        }
        told.until.insert(key, now + pause);
        true
    }
}

impl Told {
    fn has_room(&mut self, now: Instant) -> bool {
        if self.until.len() < TOLD_MAX {
            return true;
        }
        if self.full_until.is_some_and(|until| now < until) {
            return false;
        }
        self.until.retain(|_, until| now < *until);
        self.full_until = self.until.values().min().copied().filter(|_| self.until.len() >= TOLD_MAX);
        self.full_until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    #[test]
    fn each_thing_is_let_through_once_in_a_while() {
        let seldom = Seldom::default();
        let start = Instant::now();
        assert!(seldom.is_first(("login", "a"), PAUSE, start));
        assert!(!seldom.is_first(("login", "a"), PAUSE, start));
        assert!(seldom.is_first(("login", "b"), PAUSE, start));
        assert!(!seldom.is_first(("login", "a"), PAUSE, start + PAUSE - Duration::from_millis(1)));
        assert!(seldom.is_first(("login", "a"), PAUSE, start + PAUSE));
        assert!(!seldom.is_first(("login", "a"), PAUSE, start + PAUSE));
    }

    #[test]
    fn its_memory_is_bounded_and_comes_back() {
        let seldom = Seldom::default();
        let start = Instant::now();
        let let_through = (0..TOLD_MAX * 2).filter(|thing| seldom.is_first(thing, PAUSE, start)).count();
        assert_eq!(let_through, TOLD_MAX);
        assert_eq!(seldom.told.lock().expect("free").until.len(), TOLD_MAX);
        assert!(seldom.is_first("another", PAUSE, start + PAUSE));
        assert_eq!(seldom.told.lock().expect("free").until.len(), 1);
    }
}
