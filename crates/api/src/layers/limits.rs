//! Who asks, and how often. Every use that is counted is noted, so that the answer can say what is left; every refusal
//! is logged by its policy, and on record once per key and window.

use super::access::Access;
use super::on_record::Event;
use super::{Edge, Notes};
use crate::caller::{self, Identity};
use crate::origin::Origin;
use crate::{App, Code, Problem};
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::StatusCode;
use axum::http::request::Parts;
use limiter::Policy;
use model::AuditKind;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Instant;

/// Counts what a handler does to limits of its own: logins, codes, uploads. Charge before a transaction, never in one:
/// counting may ask another machine.
pub(crate) struct Limits {
    edge: Arc<Edge>,
    notes: Notes,
    origin: Origin,
    identity: Option<Identity>,
}

impl Limits {
    /// Counts one use by this key.
    ///
    /// # Errors
    /// [`Code::RateLimited`] when there were too many.
    pub(crate) async fn charge(&self, policy: &Policy, key: &str) -> Result<(), Problem> {
        let now = Instant::now();
        let decision = self.edge.app.limiter.check(policy, key, now).await;
        self.notes.charged(policy, decision);
        if decision.allowed {
            return Ok(());
        }
        let request_id = self.origin.request_id.as_deref().unwrap_or("-");
        tracing::warn!(policy = policy.name(), request.id = request_id, "rate limited");
        if self.edge.refusals.is_first((policy.name(), key), policy.window(), now) {
            self.edge.on_record.put(Event {
                tenant: self.identity.as_ref().map(|identity| identity.tenant),
                kind: AuditKind::RateLimited,
                actor: actor(self.identity.as_ref()),
                origin: self.origin.clone(),
                data: Map::from_iter([("policy".to_owned(), Value::from(policy.name()))]),
            });
        }
        // Never too early.
        let wait_s = decision.retry_after.as_secs() + u64::from(decision.retry_after.subsec_nanos() > 0);
        let detail = format!("too many requests; try again in {wait_s} s");
        Err(Problem::new(Code::RateLimited, detail).retry_after_s(wait_s.max(1)))
    }

    fn of(edge: Arc<Edge>, parts: &Parts, identity: Option<Identity>) -> Self {
        // The outermost layer has put the notes there.
        let notes = parts.extensions.get::<Notes>().cloned().unwrap_or_else(|| Notes::new(false));
        Self { edge, notes, origin: Origin::of(parts), identity }
    }
}

impl FromRequestParts<Arc<App>> for Limits {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let Some(edge) = parts.extensions.get::<Arc<Edge>>().cloned() else {
            // Nothing goes uncounted because somebody forgot the layers.
            tracing::error!("a route stands outside the layers");
            return Err(Problem::new(Code::Internal, "something went wrong on our side"));
        };
        let identity = parts.extensions.get::<Identity>().cloned();
        Ok(Self::of(edge, parts, identity))
    }
}

/// Who did it, for the audit log.
pub(super) fn actor(identity: Option<&Identity>) -> String {
    identity.map_or_else(|| "anonymous".to_owned(), Identity::actor)
}

/// Counts the request, and lets it in as whom it is.
///
/// # Errors
/// 401 for credentials that are none; 429.
pub(super) async fn admit(edge: &Arc<Edge>, parts: &mut Parts) -> Result<(), Problem> {
    match Area::of(parts.uri.path()) {
        // Its future is large, and not everybody's: it holds a transaction.
        Area::Api => Box::pin(known(edge, parts)).await,
        Area::Webhooks => {
            let limits = Limits::of(edge.clone(), parts, None);
            limits.charge(&edge.app.policies.webhooks, &limits.origin.address()).await
        }
        Area::Open if parts.method.is_safe() => Ok(()),
        // Nothing here takes a body: whoever sends one is counted like any stranger.
        Area::Open => unknown(edge, parts).await,
    }
}

/// What is counted how.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Area {
    Api,
    Webhooks,
    /// Not counted: probes come every second and must not be refused; pages and the description are files that cost
    /// nothing; media sockets come with a one-time token, from a carrier's few addresses, a thousand at once.
    Open,
}

impl Area {
    pub(super) fn of(path: &str) -> Self {
        let within = |base: &str| path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if within("/api") {
            Self::Api
        } else if within("/webhooks") {
            Self::Webhooks
        } else {
            Self::Open
        }
    }
}

/// Whose handlers count for themselves: what is sent says itself who asks, and people who share an address are many.
const COUNT_THEMSELVES: [&str; 2] = ["/api/auth/refresh", "/api/recordings/audio/{token}"];

async fn known(edge: &Arc<Edge>, parts: &mut Parts) -> Result<(), Problem> {
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    let found = match edge.access.of(&parts.method, route) {
        Access::Caller => caller::identify(&edge.app, &parts.headers).await,
        Access::Anybody if route.is_some_and(|route| COUNT_THEMSELVES.contains(&route)) => return Ok(()),
        Access::Anybody => Ok(None),
        // Who runs the installation looks at it as often as he likes.
        Access::OwnToken if caller::has_own_token(&edge.app, &parts.headers) => return Ok(()),
        Access::OwnToken => Ok(None),
    };
    match found {
        Ok(Some(identity)) => {
            let limits = Limits::of(edge.clone(), parts, Some(identity.clone()));
            limits.notes.is_of(identity.tenant);
            limits.charge(&edge.app.policies.organisation, &identity.tenant.to_string()).await?;
            parts.extensions.insert(identity);
            Ok(())
        }
        Ok(None) => unknown(edge, parts).await,
        // Rightly signed, and over: somebody whose client is about to refresh, not a guess. It must learn that it has to.
        Err(problem) if problem.code == Code::TokenExpired => Err(problem),
        Err(problem) if problem.code.status() == StatusCode::UNAUTHORIZED => {
            // Whoever guesses too often learns no more whether a guess is right.
            unknown(edge, parts).await?;
            Err(problem)
        }
        Err(problem) => Err(problem),
    }
}

async fn unknown(edge: &Arc<Edge>, parts: &Parts) -> Result<(), Problem> {
    let limits = Limits::of(edge.clone(), parts, None);
    limits.charge(&edge.app.policies.unauthenticated, &limits.origin.address()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_how() {
        for (path, area) in [
            ("/api", Area::Api),
            ("/api/agents", Area::Api),
            ("/api/nothing/here", Area::Api),
            ("/apis", Area::Open),
            ("/webhooks/exotel/call-start", Area::Webhooks),
            ("/webhooks", Area::Webhooks),
            ("/health/ready", Area::Open),
            ("/docs/index.html", Area::Open),
            ("/openapi.json", Area::Open),
            ("/media/exotel/token", Area::Open),
            ("/", Area::Open),
        ] {
            assert_eq!(Area::of(path), area, "{path}");
        }
    }
}
