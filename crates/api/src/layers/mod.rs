//! What every request passes, outermost first; see [`pass`]. Connection limits and the time limit of headers come
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
use crate::origin::Client;
use crate::webhooks::Reports;
use access::AccessTable;
use anomalies::Anomalies;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use guards::Room;
use limiter::{Decision, Policy};
use model::TenantId;
use on_record::{OnRecord, Seldom};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
    /// Where carriers' reports gather.
    pub(crate) reports: Reports,
    access: AccessTable,
    on_record: OnRecord,
    /// Which refusals are on record already.
    refusals: Seldom,
    room: Room,
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
        std::mem::take(&mut *self.0.charges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts the layers around all routes. They are one service, and their order is the order in [`pass`] and [`guarded`]: a
/// service each would have every request clone all that are below it, once for each above.
pub(crate) fn around(routes: Router, app: Arc<App>) -> Router {
    let description = crate::description();
    let edge = Arc::new(Edge {
        access: AccessTable::read(&description, app.edge.production),
        anomalies: Anomalies::default(),
        reports: Reports::default(),
        on_record: OnRecord::new(app.clone()),
        refusals: Seldom::default(),
        room: Room::default(),
        app,
    });
    routes.layer(from_fn_with_state(edge, pass))
}

/// The outer layers: what is found out about a request, and what every answer has, whatever became of it.
async fn pass(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    // 1., 2. The request's id, and where it comes from.
    let (id, notes, client) = arrival::arrive(&edge, &mut request);
    // 3. One log line per request, and its time.
    let line = log::Line::begin(&request);
    // 4. Security headers, on whatever answer.
    let security = answer::Security::of(&edge, request.uri().path(), client);
    // 7. In production, no plain http: 301 for pages, 403 for the API.
    let mut response = match https::instead_of(&edge, &request, client) {
        Some(answer) => answer,
        None => guarded(edge.clone(), client, request, next).await,
    };
    // 6. Every error becomes a problem that names the request.
    response = answer::problems(&edge, &id, response);
    // 5. What limits are left, as counted in 12 and by handlers.
    answer::limit_fields(&notes, &mut response);
    security.put(&mut response);
    line.end(&edge, &id, &notes, &response);
    arrival::name(&id, &mut response);
    response
}

/// The inner layers: what keeps a request from harm, and others from it. Boxed once: each layer around a future moves it.
fn guarded(
    edge: Arc<Edge>,
    client: Option<Client>,
    request: Request,
    next: Next,
) -> impl Future<Output = Response> + Send {
    // 8. A panic ends its request with 500, not the node.
    guards::unpanicked(
        // 9. Time limit, reading the body included: 503.
        guards::in_time(Box::pin(counted(edge, client, request, next))),
    )
}

async fn counted(edge: Arc<Edge>, client: Option<Client>, mut request: Request, next: Next) -> Response {
    // 10. Load shed: beyond the limit of requests at once, 503 at once.
    let _place = match edge.room.enter(request.uri().path(), client) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    // 11. Body limit: 413 as soon as a handler reads too much.
    DefaultBodyLimit::max(BODY_BYTES_MAX).apply(&mut request);
    let (mut parts, body) = request.into_parts();
    // 12. Who asks, and how often: 401, 429.
    if let Err(problem) = limits::admit(&edge, &mut parts).await {
        return problem.into_response();
    }
    // 13. Anomaly watch: looks, counts, tells; refuses nothing.
    anomalies::watch(&edge, parts, body, next).await
}
