//! The one HTTP client that all vendors share: one pool of connections, one set of trusted roots (TLS by rustls with
//! ring, roots by webpki-roots plus the operator's own).

use crate::egress::{Allowed, Checked, Lookup, refusal};
use crate::{Error, ErrorKind};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Name used in errors of this file.
const NAME: &str = "http";
/// Longest wait for a connection (DNS, TCP, TLS). A vendor that needs more is no use to a live call.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle connections are kept this long. Between two turns of a call are seconds; a TLS handshake costs 50 to 200 ms of
/// the caller's waiting.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Idle connections kept for each vendor. HTTP/2 needs one; a plain server behind HTTP/1.1 one per call at work.
pub const POOL_IDLE_PER_HOST: usize = 64;
/// A ping on quiet HTTP/2 connections, so that a dead one is noticed before a caller needs it.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// Without an answer to the ping for this long the connection is dead.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest error body that is read.
pub const ERROR_BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest wait for an error body.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// How the client is built.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// Certificates (PEM) trusted besides the public ones, for self-hosted services.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Longest wait for a connection; `None` = [`CONNECT_TIMEOUT`].
    pub connect_timeout: Option<Duration>,
}

/// A shared HTTP client; cloning is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    tls: Arc<ClientConfig>,
    connect_timeout: Duration,
    fence: Option<Fence>,
}

/// Where connections may lead.
#[derive(Clone)]
struct Fence {
    allowed: Allowed,
    lookup: Arc<dyn Lookup>,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Http {
    /// Builds the client. Needs no network.
    ///
    /// # Errors
    /// `Rejected` when the extra roots are no certificates.
    pub fn new(settings: &HttpSettings) -> Result<Self, Error> {
        let tls = tls_config(settings.extra_roots_pem.as_deref())?;
        let connect_timeout = settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        Self::build(Arc::new(tls), connect_timeout, None)
    }

    /// The same trust, with connections of its own: no connection is shared between the two.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn apart(&self) -> Result<Self, Error> {
        Self::build(Arc::clone(&self.tls), self.connect_timeout, self.fence.clone())
    }

    /// For addresses that tenants choose: with connections of its own, and only to where it is allowed. A name is resolved
    /// once, every address it has is checked, and the connection goes to a checked one; no proxy of the environment stands
    /// between. An address that is written out in a URL is checked for WebSockets; for requests
    /// [`wire::destination::parse`] must have accepted the URL.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn fenced(&self, allowed: Allowed, lookup: Arc<dyn Lookup>) -> Result<Self, Error> {
        Self::build(Arc::clone(&self.tls), self.connect_timeout, Some(Fence { allowed, lookup }))
    }

    fn build(tls: Arc<ClientConfig>, connect_timeout: Duration, fence: Option<Fence>) -> Result<Self, Error> {
        let mut with_alpn = ClientConfig::clone(&tls);
        with_alpn.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(with_alpn)
            .user_agent(concat!("caly/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            // A vendor's API does not redirect; following one would carry the key to wherever it points.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(Fence { allowed, lookup }) = fence.clone() {
            builder = builder.no_proxy().dns_resolver(Checked { lookup, allowed });
        }
        let client = builder
            .build()
            .map_err(|e| Error::new(ErrorKind::Rejected, NAME, "the HTTP client cannot be built").caused_by(e))?;
        Ok(Self { client, tls, connect_timeout, fence })
    }

    /// A connection for a WebSocket, to where it may lead.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> std::io::Result<TcpStream> {
        let stream = match &self.fence {
            None => TcpStream::connect((host, port)).await?,
            Some(Fence { allowed, lookup }) => {
                let checked = Checked { lookup: Arc::clone(lookup), allowed: *allowed };
                let addresses = checked.addresses(host).await?;
                let places: Vec<_> = addresses.into_iter().map(|address| (address, port).into()).collect();
                TcpStream::connect(&places[..]).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The trusted roots, for WebSockets (no ALPN).
    #[must_use]
    pub const fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// Longest wait for a connection.
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }
}

fn tls_config(extra_roots_pem: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let refused = |detail: &str| Error::new(ErrorKind::Rejected, NAME, detail);
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_roots_pem {
        let mut added = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| refused("an extra root is not PEM").caused_by(e))?;
            roots.add(certificate).map_err(|e| refused("an extra root is no certificate").caused_by(e))?;
            added += 1;
        }
        if added == 0 {
            return Err(refused("the extra roots hold no certificate"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refused("TLS 1.2 and 1.3 are not available").caused_by(e))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// `base` and `path` as one address; both may or may not have the slash between them.
#[must_use]
pub fn join_url(base: &str, path: &str) -> String {
    format!("{}/{}", base.trim().trim_end_matches('/'), path.trim_start_matches('/'))
}

/// The kind of failure an HTTP status means.
#[must_use]
pub const fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Unauthorized,
        // 529 is what some vendors say for "overloaded".
        429 | 503 | 529 => ErrorKind::Overloaded,
        408 | 504 => ErrorKind::TimedOut,
        500..=599 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Rejected,
        _ => ErrorKind::Protocol,
    }
}

/// What went wrong before an answer came. The address is left out: some carry keys in it.
pub(crate) fn transport_error(provider: &'static str, error: reqwest::Error) -> Error {
    if let Some(refused) = refusal(&error) {
        return Error::new(ErrorKind::Rejected, provider, format!("the address {refused}"));
    }
    let (kind, detail) = if error.is_connect() {
        (ErrorKind::Unavailable, "cannot connect")
    } else if error.is_timeout() {
        (ErrorKind::TimedOut, "no answer in time")
    } else if error.is_builder() {
        (ErrorKind::Rejected, "the request cannot be built: check the base URL and the key")
    } else if error.is_body() || error.is_request() || error.is_decode() {
        (ErrorKind::Unavailable, "the connection broke")
    } else {
        (ErrorKind::Protocol, "the answer is not HTTP as expected")
    };
    Error::new(kind, provider, detail).caused_by(error.without_url())
}

/// The beginning of an error body, bounded in size and time; empty when it cannot be read.
pub(crate) async fn error_body(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = ERROR_BODY_BYTES_MAX - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if body.len() == ERROR_BODY_BYTES_MAX {
                break;
            }
        }
    };
    // What came before the time was up is still worth reading.
    let _ = tokio::time::timeout(ERROR_BODY_TIMEOUT, read).await;
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_between_base_and_path_do_not_matter() {
        for base in ["https://x/v1", "https://x/v1/", "https://x/v1//", " https://x/v1/ "] {
            for path in ["chat/completions", "/chat/completions"] {
                assert_eq!(join_url(base, path), "https://x/v1/chat/completions");
            }
        }
    }

    #[test]
    fn every_status_has_its_kind() {
        for (status, kind) in [
            (400, ErrorKind::Rejected),
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (404, ErrorKind::Rejected),
            (408, ErrorKind::TimedOut),
            (422, ErrorKind::Rejected),
            (429, ErrorKind::Overloaded),
            (500, ErrorKind::Unavailable),
            (502, ErrorKind::Unavailable),
            (503, ErrorKind::Overloaded),
            (504, ErrorKind::TimedOut),
            (529, ErrorKind::Overloaded),
            (302, ErrorKind::Protocol),
            (204, ErrorKind::Protocol),
        ] {
            assert_eq!(kind_of_status(status), kind, "{status}");
        }
    }

    #[test]
    fn extra_roots_must_be_certificates() {
        assert!(Http::new(&HttpSettings::default()).is_ok());
        for pem in [&b""[..], b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let settings = HttpSettings { extra_roots_pem: Some(pem.to_vec()), ..HttpSettings::default() };
            assert_eq!(Http::new(&settings).expect_err("refused").kind, ErrorKind::Rejected);
        }
    }
}
