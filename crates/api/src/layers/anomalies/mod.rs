//! Requests that look like an attack: counted, logged and put on record, and never refused for it. What protects is
//! elsewhere: bound parameters, schemas, limits. This tells an operator that somebody is trying.
//!
//! What looked odd is never logged: it may be a password, or a sentence of somebody's.

mod patterns;
mod reading;

use super::limits::Area;
use super::on_record::{Event, Seldom};
use super::{BODY_BYTES_MAX, Edge, Notes, RequestId, arrival, limits};
use crate::caller::Identity;
use crate::origin::Origin;
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use model::AuditKind;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One kind by one client is put on record once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// No route takes less than this.
const SHORT_BODY_BYTES: u64 = 32 * 1024;
/// Longest value of a header that is ordinary. Access tokens have about 500 bytes.
const HEADER_BYTES_MAX: usize = 4 * 1024;

/// What a request may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Anomaly {
    /// A piece of SQL that no text has by chance.
    SqlInjection,
    /// Markup that would run in a browser.
    CrossSiteScripting,
    /// A command line behind a separator.
    CommandInjection,
    /// More body than any route takes.
    OversizedRequest,
    /// A client that does not say what it is.
    MissingUserAgent,
    /// Headers that contradict each other, or that only a proxy of ours may send.
    SuspiciousHeaders,
}

impl Anomaly {
    /// Every kind, in order.
    pub(crate) const ALL: [Self; 6] = [
        Self::SqlInjection,
        Self::CrossSiteScripting,
        Self::CommandInjection,
        Self::OversizedRequest,
        Self::MissingUserAgent,
        Self::SuspiciousHeaders,
    ];

    /// The stable word of logs and the audit log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SqlInjection => "sql_injection",
            Self::CrossSiteScripting => "cross_site_scripting",
            Self::CommandInjection => "command_injection",
            Self::OversizedRequest => "oversized_request",
            Self::MissingUserAgent => "missing_user_agent",
            Self::SuspiciousHeaders => "suspicious_headers",
        }
    }
}

/// How many there were since the start, by kind.
#[derive(Debug, Default)]
pub(crate) struct Anomalies {
    counts: [AtomicU64; Anomaly::ALL.len()],
    told: Seldom,
}

impl Anomalies {
    /// How many of this kind.
    pub(crate) fn count(&self, kind: Anomaly) -> u64 {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }
}

/// Looks at a request and lets it pass.
pub(super) async fn watch(edge: &Edge, parts: Parts, body: Body, next: Next) -> Response {
    if parts.uri.path().starts_with("/media/") {
        // A socket: nothing but a token, which is nobody's business.
        return next.run(Request::from_parts(parts, body)).await;
    }
    let mut found = BTreeSet::new();
    in_headers(&parts, &mut found);
    // A route without parameters is an address of ours, and no text of the client's.
    let route = parts.extensions.get::<MatchedPath>();
    let fixed = route.is_some_and(|route| route.as_str() == parts.uri.path());
    // Where no route takes a body, none is waited for: reading it would only keep a place.
    let taken = route.is_some() && Area::of(parts.uri.path()) != Area::Open;
    let mut look = |text: &str| patterns::of(text, &mut found);
    reading::address(&parts.uri, fixed, &mut look);
    reading::headers(&parts.headers, &mut look);
    let body = if taken { reading::body(&parts, body, &mut look).await } else { body };
    // A body of unknown length shows its size only when a handler has read too much of it.
    let may_be_long = body.size_hint().upper().is_none_or(|bytes| bytes > SHORT_BODY_BYTES);
    let about = (may_be_long || !found.is_empty()).then(|| About::of(&parts));
    for (kind, about) in found.iter().zip(about.iter().cycle()) {
        edge.tell(*kind, about);
    }
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE
        && !found.contains(&Anomaly::OversizedRequest)
        && let Some(about) = &about
    {
        edge.tell(Anomaly::OversizedRequest, about);
    }
    response
}

/// What is told of the request.
struct About {
    origin: Origin,
    route: Option<MatchedPath>,
    request_id: Option<RequestId>,
    identity: Option<Identity>,
}

impl About {
    fn of(parts: &Parts) -> Self {
        Self {
            origin: Origin::of(parts),
            route: parts.extensions.get().cloned(),
            request_id: parts.extensions.get().cloned(),
            identity: parts.extensions.get().cloned(),
        }
    }
}

impl Edge {
    fn tell(&self, kind: Anomaly, about: &About) {
        self.anomalies.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        let route = about.route.as_ref().map_or("-", MatchedPath::as_str);
        let id = about.request_id.as_ref().map_or("-", |id| &*id.0);
        tracing::warn!(anomaly = kind.as_str(), http.route = route, request.id = id, "a request looks like an attack");
        if !self.anomalies.told.is_first((kind.as_str(), about.origin.ip), TOLD_EVERY, Instant::now()) {
            return;
        }
        self.on_record.put(Event {
            tenant: about.identity.as_ref().map(|identity| identity.tenant),
            kind: AuditKind::SecurityViolation,
            actor: limits::actor(about.identity.as_ref()),
            origin: about.origin.clone(),
            data: Map::from_iter([
                ("anomaly".to_owned(), Value::from(kind.as_str())),
                ("route".to_owned(), Value::from(route)),
            ]),
        });
    }
}

fn in_headers(parts: &Parts, found: &mut BTreeSet<Anomaly>) {
    /// Of these one is enough; two are meant for two readers.
    const SINGLE: [HeaderName; 3] = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    /// Some servers take the address from these instead of from the request.
    const OVERRIDES: [&str; 2] = ["x-original-url", "x-rewrite-url"];
    const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    const OF_PROXIES: [HeaderName; 3] = [arrival::FORWARDED_FOR, arrival::FORWARDED_PROTO, FORWARDED_HOST];

    let headers = &parts.headers;
    let twice = SINGLE.iter().any(|name| headers.get_all(name).iter().nth(1).is_some());
    let overridden = OVERRIDES.iter().any(|name| headers.contains_key(*name));
    let by_proxy = parts.extensions.get::<Notes>().is_some_and(Notes::by_proxy);
    let pretended = !by_proxy && OF_PROXIES.iter().any(|name| headers.contains_key(name));
    let long = headers.values().any(|value| value.len() > HEADER_BYTES_MAX);
    if twice || overridden || pretended || long {
        found.insert(Anomaly::SuspiciousHeaders);
    }
    let said = headers.get(header::USER_AGENT).is_some_and(|value| !value.as_bytes().trim_ascii().is_empty());
    // Probes and carriers are programs that often say nothing, every second.
    let path = parts.uri.path();
    if !said && !path.starts_with("/health") && !path.starts_with("/webhooks/") {
        found.insert(Anomaly::MissingUserAgent);
    }
    if reading::declared_length(headers).is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        found.insert(Anomaly::OversizedRequest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn found(path: &str, headers: &[(&'static str, &str)], by_proxy: bool) -> Vec<Anomaly> {
        let mut request = Request::builder().uri(path).body(axum::body::Body::empty()).expect("a request");
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        request.extensions_mut().insert(Notes::new(by_proxy));
        let mut found = BTreeSet::new();
        in_headers(&request.into_parts().0, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn headers_that_are_odd() {
        let long = "x".repeat(HEADER_BYTES_MAX + 1);
        let ordinary = "x".repeat(HEADER_BYTES_MAX);
        for (headers, by_proxy, expected) in [
            (&[("user-agent", "curl/8")] as &[(&str, &str)], false, &[] as &[Anomaly]),
            (&[("user-agent", "curl/8"), ("authorization", &ordinary)], false, &[]),
            (&[], false, &[Anomaly::MissingUserAgent]),
            (&[("user-agent", " ")], false, &[Anomaly::MissingUserAgent]),
            (&[("user-agent", "x"), ("x-big", &long)], false, &[Anomaly::SuspiciousHeaders]),
            (&[("user-agent", "x"), ("host", "a"), ("host", "b")], false, &[Anomaly::SuspiciousHeaders]),
            (
                &[("user-agent", "x"), ("content-length", "1"), ("content-length", "2")],
                false,
                &[Anomaly::SuspiciousHeaders],
            ),
            (&[("user-agent", "x"), ("x-original-url", "/admin")], true, &[Anomaly::SuspiciousHeaders]),
            (&[("user-agent", "x"), ("x-rewrite-url", "/admin")], false, &[Anomaly::SuspiciousHeaders]),
            (&[("user-agent", "x"), ("x-forwarded-for", "1.1.1.1")], false, &[Anomaly::SuspiciousHeaders]),
            (&[("user-agent", "x"), ("x-forwarded-for", "1.1.1.1")], true, &[]),
            (&[("user-agent", "x"), ("content-length", "1048576")], false, &[]),
            (&[("user-agent", "x"), ("content-length", "1048577")], false, &[Anomaly::OversizedRequest]),
        ] {
            assert_eq!(self::found("/api/agents", headers, by_proxy), expected, "{headers:?} {by_proxy}");
        }
        assert!(self::found("/health/live", &[], false).is_empty());
        assert!(self::found("/webhooks/exotel/call-end", &[], false).is_empty());
    }

    #[test]
    fn kinds_have_their_own_words_and_counters() {
        let words: BTreeSet<&str> = Anomaly::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), Anomaly::ALL.len());
        for (index, kind) in Anomaly::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }
}
