//! Requests to addresses that tenants choose. Whatever they choose, nothing is reached through Caly that is not public:
//! a name is resolved once, in the connector, every address it has is checked, and the connection goes to a checked one;
//! redirects are not followed; no proxy of the environment stands between.

use crate::http::Http;
use crate::{BoxFuture, Error, ErrorKind};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::destination::{self, is_allowed};

pub use wire::destination::{Allowed, Refused};

/// Name used in errors of this file.
const NAME: &str = "egress";
/// A request takes no longer, from the name's resolution to what is kept of the answer.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Kept of an answer's body; the rest is not read.
pub const BODY_BYTES_MAX: usize = 1_024;
/// The body of an answer whose status is known is waited for no longer: the status says it all.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Turns a name into addresses; so that tests need no DNS.
pub trait Lookup: Send + Sync {
    /// Every address of the name.
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Lookup for System {
    fn lookup(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

/// A client for addresses that tenants choose. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Egress {
    client: reqwest::Client,
    allowed: Allowed,
}

/// A POST to send.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Where to. Checked again.
    pub url: &'a str,
    /// Headers besides those of every request.
    pub headers: &'a [(&'static str, String)],
    /// JSON.
    pub body: &'a str,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status. 300 to 399 are not followed.
    pub status: u16,
    /// `Retry-After`, as it stands there.
    pub retry_after: Option<String>,
    /// How the body begins: at most [`BODY_BYTES_MAX`] bytes.
    pub body: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer. The texts are shown to the tenant: they tell nothing about the network that Caly is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The address may not be sent to.
    #[error("the address {0}")]
    Refused(Refused),
    /// No name, no connection, no TLS, or it broke.
    #[error("no connection could be made, or it broke")]
    Unreachable,
    /// No answer in time.
    #[error("there was no answer within 15 s")]
    TimedOut,
}

impl Egress {
    /// With the roots of trust that `http` has.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(http: &Http, allowed: Allowed) -> Result<Self, Error> {
        Self::with_lookup(http, allowed, Arc::new(System))
    }

    /// The same, with another way from names to addresses.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn with_lookup(http: &Http, allowed: Allowed, lookup: Arc<dyn Lookup>) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(http.tls()))
            .user_agent(concat!("caly-webhooks/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(DEADLINE)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Checked { lookup, allowed })
            // A connection kept from earlier would go to an address that was checked earlier.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| Error::new(ErrorKind::Rejected, NAME, "the HTTP client cannot be built").caused_by(e))?;
        Ok(Self { client, allowed })
    }

    /// For requests that are not webhooks. Whatever is asked must have passed [`destination::parse`] with
    /// [`Egress::allowed`]: a resolver is not asked about an address that is written out.
    pub(crate) const fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// How strict.
    pub(crate) const fn allowed(&self) -> Allowed {
        self.allowed
    }

    /// Sends a POST with JSON; also says how long it took.
    pub async fn post(&self, post: &Post<'_>) -> (Result<Answer, EgressError>, Duration) {
        let began = Instant::now();
        let answer = match tokio::time::timeout(DEADLINE, self.send(post)).await {
            Ok(answer) => answer,
            Err(_) => Err(EgressError::TimedOut),
        };
        (answer, began.elapsed())
    }

    async fn send(&self, post: &Post<'_>) -> Result<Answer, EgressError> {
        // A resolver is not asked about an address that is written out.
        let url = destination::parse(post.url, self.allowed).map_err(EgressError::Refused)?;
        let mut request = self.client.post(url).header("content-type", "application/json").body(post.body.to_owned());
        for (name, value) in post.headers {
            request = request.header(*name, value);
        }
        let mut response = request.send().await.map_err(|error| why(&error))?;
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(piece)) = response.chunk().await {
                let room = BODY_BYTES_MAX - body.len();
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                if body.len() == BODY_BYTES_MAX {
                    break;
                }
            }
        };
        // What came before the time was up is kept.
        let _ = tokio::time::timeout(BODY_TIMEOUT, read).await;
        Ok(Answer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Why a request failed, told without particulars.
pub(crate) fn why(error: &reqwest::Error) -> EgressError {
    match refusal(error) {
        Some(refused) => EgressError::Refused(refused),
        None if error.is_timeout() => EgressError::TimedOut,
        None => EgressError::Unreachable,
    }
}

/// What [`Checked`] said, if it is the reason.
pub(crate) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refused> {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return Some(*refused);
        }
        // What an I/O error is made of is not its source.
        let made_of = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(refused) = made_of.and_then(|inner| inner.downcast_ref::<Refused>()) {
            return Some(*refused);
        }
        cause = inner.source();
    }
    None
}

/// Resolves, and refuses the name when any of its addresses may not be reached: one among them would do for who waits
/// for his turn.
pub(crate) struct Checked {
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) allowed: Allowed,
}

impl Checked {
    /// Every address of the host, which may be written out, all checked.
    pub(crate) fn addresses(&self, host: &str) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        let allowed = self.allowed;
        let written_out = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let found = match written_out {
            Some(address) => Box::pin(async move { Ok(vec![address]) }),
            None => self.lookup.lookup(host.to_owned()),
        };
        Box::pin(async move {
            let addresses = found.await?;
            if addresses.is_empty() {
                return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"));
            }
            if !addresses.iter().all(|address| is_allowed(*address, allowed)) {
                return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, Refused::NotPublic));
            }
            Ok(addresses)
        })
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.addresses(name.as_str());
        Box::pin(async move {
            // The port is the URL's.
            let addresses: Addrs = Box::new(found.await?.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
