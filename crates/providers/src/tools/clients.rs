//! What all calls of a node share: the client, the keys, and how much each organisation may ask.

use super::{Failure, ToolError};
use crate::egress::{Allowed, Egress, EgressError, why};
use crate::keys::Keys;
use model::TenantId;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::mcp::Era;

/// Requests of an organisation's tools, in a minute, on one node: fifty calls that ask for something every five seconds.
pub const REQUESTS_PER_MINUTE: u32 = 600;
/// Organisations whose budget is remembered; beyond, those that have not asked for a minute are forgotten.
const TENANTS_MAX: usize = 10_000;
/// Servers whose era is remembered.
const ERAS_MAX: usize = 1_000;
/// How requests of tools name their sender.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("caly-tools/", env!("CARGO_PKG_VERSION")));

/// What all calls of a node share. Clones share it.
#[derive(Clone)]
pub struct ToolClients {
    egress: Egress,
    keys: Arc<dyn Keys>,
    per_minute: u32,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    budgets: Mutex<HashMap<TenantId, Budget>>,
    eras: Mutex<HashMap<(TenantId, String), Era>>,
}

struct Budget {
    left: f64,
    at: Instant,
}

/// A request of a tool.
pub(super) struct Asked<'a> {
    pub(super) tenant: TenantId,
    pub(super) method: Method,
    /// It has passed `destination::parse`.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    /// Name of the key to send; empty = none.
    pub(super) key: &'a str,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The organisation has asked for too much.
    Budget,
    /// The organisation has no key of this name, or it could not be read.
    Key,
    /// Refused, or nobody was reached: surely nothing was done.
    NotSent(EgressError),
    /// It broke when it was under way.
    Broken(EgressError),
}

impl Trouble {
    /// Another try may do better.
    pub(super) const fn is_transient(&self) -> bool {
        match self {
            Self::NotSent(error) | Self::Broken(error) => !matches!(error, EgressError::Refused(_)),
            Self::Budget | Self::Key => false,
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Budget => Self::before(ToolError::Refused(
                "too much was asked for in the last minute; try again later".to_owned(),
            )),
            Trouble::Key => Self::before(ToolError::Failed("its key is not set up".to_owned())),
            Trouble::NotSent(EgressError::Refused(_)) => {
                Self::before(ToolError::Refused("its address may not be asked".to_owned()))
            }
            Trouble::NotSent(EgressError::Unreachable | EgressError::TimedOut) => {
                Self::before(ToolError::Failed("the service could not be reached".to_owned()))
            }
            Trouble::Broken(EgressError::TimedOut) => Self::after(ToolError::TimedOut),
            Trouble::Broken(EgressError::Refused(_) | EgressError::Unreachable) => {
                Self::after(ToolError::Failed("the connection broke".to_owned()))
            }
        }
    }
}

impl ToolClients {
    /// With [`REQUESTS_PER_MINUTE`].
    #[must_use]
    pub fn new(egress: Egress, keys: Arc<dyn Keys>) -> Self {
        Self { egress, keys, per_minute: REQUESTS_PER_MINUTE, shared: Arc::default() }
    }

    /// The same, with another number of requests that an organisation may make in a minute; at least one.
    #[must_use]
    pub fn with_requests_per_minute(mut self, per_minute: u32) -> Self {
        self.per_minute = per_minute.max(1);
        self
    }

    /// Which addresses may be asked.
    #[must_use]
    pub const fn allowed(&self) -> Allowed {
        self.egress.allowed()
    }

    /// Sends a request once. Whoever calls it looks after the time.
    pub(super) async fn send(&self, asked: Asked<'_>) -> Result<reqwest::Response, Trouble> {
        if !self.spend(asked.tenant, Instant::now()) {
            return Err(Trouble::Budget);
        }
        let mut headers = asked.headers;
        headers.entry(USER_AGENT).or_insert(AGENT);
        if !asked.key.is_empty() {
            // Who may write an agent may not see keys: a key goes to the host that it is named after, and nowhere else.
            if asked.key != key_name(&asked.url) {
                return Err(Trouble::Key);
            }
            let key = match self.keys.key(asked.tenant, asked.key).await {
                Ok(key) => key.ok_or(Trouble::Key)?,
                Err(error) => {
                    tracing::warn!(tenant = %asked.tenant, %error, "the key of a tool cannot be read");
                    return Err(Trouble::Key);
                }
            };
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", key.expose_secret().trim())).map_err(|_| Trouble::Key)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut request = self.egress.client().request(asked.method, asked.url).headers(headers);
        if let Some(body) = asked.body {
            request = request.body(body);
        }
        request.send().await.map_err(|error| {
            let reason = why(&error);
            let unsent = error.is_connect() || error.is_builder() || matches!(reason, EgressError::Refused(_));
            if unsent { Trouble::NotSent(reason) } else { Trouble::Broken(reason) }
        })
    }

    /// Takes one request out of the organisation's budget.
    fn spend(&self, tenant: TenantId, now: Instant) -> bool {
        let per_minute = f64::from(self.per_minute);
        let mut budgets = self.shared.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if budgets.len() >= TENANTS_MAX && !budgets.contains_key(&tenant) {
            // After a minute a budget is full again.
            budgets.retain(|_, budget| now.saturating_duration_since(budget.at) < Duration::from_secs(60));
            if budgets.len() >= TENANTS_MAX {
                return false;
            }
        }
        let budget = budgets.entry(tenant).or_insert(Budget { left: per_minute, at: now });
        let passed = now.saturating_duration_since(budget.at).as_secs_f64();
        budget.left = (budget.left + passed * per_minute / 60.0).min(per_minute);
        budget.at = now;
        let enough = budget.left >= 1.0;
        if enough {
            budget.left -= 1.0;
        }
        enough
    }

    /// The era that a server was last found in.
    pub(super) fn era(&self, tenant: TenantId, url: &Url) -> Option<Era> {
        let eras = self.shared.eras.lock().unwrap_or_else(PoisonError::into_inner);
        eras.get(&(tenant, url.as_str().to_owned())).copied()
    }

    /// Remembers it: the next call saves a round trip.
    pub(super) fn found_era(&self, tenant: TenantId, url: &Url, era: Option<Era>) {
        let mut eras = self.shared.eras.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant, url.as_str().to_owned());
        match era {
            Some(era) => {
                if eras.len() >= ERAS_MAX {
                    eras.clear();
                }
                eras.insert(key, era);
            }
            None => drop(eras.remove(&key)),
        }
    }
}

impl std::fmt::Debug for ToolClients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolClients").field("per_minute", &self.per_minute).finish_non_exhaustive()
    }
}

/// The name of the key that may go to an address: its host, with the port if it is not the usual one.
#[must_use]
pub fn key_name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Http, HttpSettings};
    use crate::{BoxFuture, Error};
    use secrecy::SecretString;
    use uuid::Uuid;

    struct NoKeys;

    impl Keys for NoKeys {
        fn key<'a>(&'a self, _: TenantId, _: &'a str) -> BoxFuture<'a, Result<Option<SecretString>, Error>> {
            Box::pin(async { Ok(None) })
        }
    }

    #[test]
    fn a_budget_is_each_organisations_own_and_comes_back() {
        let http = Http::new(&HttpSettings::default()).expect("a client");
        let egress = Egress::new(&http, Allowed::PublicOnly).expect("a client");
        let clients = ToolClients::new(egress, Arc::new(NoKeys)).with_requests_per_minute(6);
        let (one, other) = (TenantId::from(Uuid::from_u128(1)), TenantId::from(Uuid::from_u128(2)));
        let start = Instant::now();
        let spent = |tenant, after_s: u64| clients.spend(tenant, start + Duration::from_secs(after_s));
        assert!((0..6).all(|_| spent(one, 0)) && !spent(one, 0) && !spent(one, 9));
        assert!(spent(other, 9));
        assert!(spent(one, 10) && !spent(one, 10), "one in ten seconds");
        assert!((0..6).all(|_| spent(one, 600)) && !spent(one, 600), "never more than a minute's worth");
        // A clone spends from the same.
        assert!(!clients.clone().spend(one, start + Duration::from_secs(600)));
    }
}
