//! One line per request: what was asked for by its route, never by its path, query, headers or body. Those carry
//! tokens, e-mail addresses and phone numbers.

use super::{Edge, Notes, RequestId};
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use std::time::Duration;
use tokio::time::Instant;

/// A request slower than this is flagged in the log.
const SLOW: Duration = Duration::from_millis(1_000);
/// What the log and the figures call a request that no route takes.
const NO_ROUTE: &str = "-";

/// The line of a request that is under way.
pub(super) struct Line {
    began: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
}

impl Line {
    /// A request has come.
    pub(super) fn begin(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { began: Instant::now(), method: name(request.method()), route }
    }

    /// Its answer's head is there: how long its body takes depends on the client.
    pub(super) fn end(self, edge: &Edge, id: &RequestId, notes: &Notes, response: &Response) {
        let ended = Instant::now();
        let elapsed = ended.duration_since(self.began);
        let (method, route) = (self.method, self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str));
        edge.app.latencies.record(method, route, elapsed, ended.into_std());
        let tenant = notes.tenant().map(tracing::field::display);
        let status = response.status().as_u16();
        // Unknown for what is streamed.
        let bytes = response.body().size_hint().exact();
        let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        macro_rules! line {
            ($level:ident, $slow:literal) => {
                tracing::$level!(
                    request.id = &*id.0,
                    http.method = method,
                    http.route = route,
                    http.status = status,
                    http.response_bytes = bytes,
                    duration_ms,
                    tenant,
                    slow = $slow,
                    "request"
                )
            };
        }
        if elapsed > SLOW {
            line!(warn, true);
        } else {
            line!(info, false);
        }
    }
}

/// A method of HTTP's own, or that it is another: a client may invent names, and long ones.
fn name(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    const NAMES: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.iter().zip(NAMES).find(|(known, _)| *known == method).map_or("OTHER", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_methods_are_named() {
        for word in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"] {
            assert_eq!(name(&Method::from_bytes(word.as_bytes()).expect("a method")), word);
        }
        assert_eq!(name(&Method::from_bytes(b"get").expect("a method")), "OTHER");
        assert_eq!(name(&Method::from_bytes(b"SECRET-9876543210").expect("a method")), "OTHER");
    }
}
