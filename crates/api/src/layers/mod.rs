//! What every request passes, outermost first; see [`around`]. Connection limits and the time limit of headers come
//! before all of it, in [`crate::server`].

mod access;
pub(crate) mod anomalies;
mod answer;
mod arrival;
mod guards;
mod https;
mod limits;
mod log;
mod on_record;

pub(crate) use limits::Limits;

use crate::App;
use access::AccessTable;
use anomalies::Anomalies;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use limiter::{Decision, Policy};
use model::TenantId;
use on_record::{OnRecord, Seldom};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tower_http::catch_panic::CatchPanicLayer;

/// Largest body of a request, unless a route takes less. The largest known one is an agent with its flow, some 100 kB.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Charges noted of one request: a route makes three at most.
const CHARGES_MAX: usize = 8;

/// The id of the request being handled.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// What the layers share. Every request carries it, see [`arrival`].
pub(crate) struct Edge {
    pub(crate) app: Arc<App>,
    pub(crate) anomalies: Anomalies,
    access: AccessTable,
    on_record: OnRecord,
    /// Which refusals are on record already.
    refusals: Seldom,
}

/// What is found out about a request on its way in, for the layers that see its answer. It stands beside the request,
/// so that it is there even when the request ends by a panic or a time limit.
#[derive(Clone, Debug)]
pub(crate) struct Notes(Arc<Noted>);

#[derive(Debug)]
struct Noted {
    /// The peer is a proxy that we trust.
    by_proxy: bool,
    tenant: OnceLock<TenantId>,
    charges: Mutex<Vec<(Policy, Decision)>>,
}

impl Notes {
    fn new(by_proxy: bool) -> Self {
        Self(Arc::new(Noted { by_proxy, tenant: OnceLock::new(), charges: Mutex::default() }))
    }

    fn by_proxy(&self) -> bool {
        self.0.by_proxy
    }

    fn tenant(&self) -> Option<TenantId> {
        self.0.tenant.get().copied()
    }

    fn is_of(&self, tenant: TenantId) {
        // Identified once per request.
        let _ = self.0.tenant.set(tenant);
    }

    fn charged(&self, policy: &Policy, decision: Decision) {
        let mut charges = self.0.charges.lock().unwrap_or_else(PoisonError::into_inner);
        if charges.len() < CHARGES_MAX {
            charges.push((*policy, decision));
        }
    }

    fn charges(&self) -> Vec<(Policy, Decision)> {
        self.0.charges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Puts the layers around all routes. In the list a request goes from the bottom to the top, its answer from the top to
/// the bottom.
pub(crate) fn around(routes: Router, app: Arc<App>) -> Router {
    let description = crate::description();
    let edge = Arc::new(Edge {
        access: AccessTable::read(&description, app.edge.production),
        anomalies: Anomalies::default(),
        on_record: OnRecord::new(app.clone()),
        refusals: Seldom::default(),
        app,
    });
    routes
        // 13. Anomaly watch: looks, counts, tells; refuses nothing.
        .layer(from_fn_with_state(edge.clone(), anomalies::watch))
        // 12. Who asks, and how often: 401, 429.
        .layer(from_fn_with_state(edge.clone(), limits::admit))
        // 11. Body limit: 413 as soon as a handler reads too much.
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // 10. Load shed: beyond the limit of requests at once, 503 at once.
        .layer(from_fn_with_state(Arc::new(guards::Room::default()), guards::shed))
        // 9. Time limit, reading the body included: 503.
        .layer(from_fn(guards::in_time))
        // 8. A panic ends its request with 500, not the node.
        .layer(CatchPanicLayer::custom(guards::panicked))
        // 7. In production, no plain http: 301 for pages, 403 for the API.
        .layer(from_fn_with_state(edge.clone(), https::require))
        // 6. Every error becomes a problem that names the request.
        .layer(from_fn_with_state(edge.clone(), answer::problems))
        // 5. What limits are left, as counted in 12 and by handlers.
        .layer(from_fn(answer::limit_fields))
        // 4. Security headers, on whatever answer.
        .layer(from_fn_with_state(edge.clone(), answer::security_headers))
        // 3. One log line per request, and its time.
        .layer(from_fn_with_state(edge.clone(), log::line))
        // 1., 2. The request's id, and where it comes from.
        .layer(from_fn_with_state(edge, arrival::arrive))
}
