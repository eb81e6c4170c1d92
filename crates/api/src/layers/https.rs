//! In production, no plain http. Pages are sent on to https. The API refuses: a program that was sent on would go on
//! sending its credentials in the clear, and nobody would notice.

use super::Edge;
use crate::origin::Client;
use crate::{Code, Problem};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// Served over plain http, too. Probes come from inside, past the proxy. Carriers are let in by signatures and one-time
/// tokens, they come by the address that they were given, and a call that is refused here is a caller who hears nothing.
const EXEMPT: [&str; 3] = ["/health", "/webhooks", "/media"];

/// What is answered instead, if the request is not to go on.
pub(super) fn instead_of(edge: &Edge, request: &Request, client: Option<Client>) -> Option<Response> {
    let settings = &edge.app.edge;
    if !settings.production || client.is_some_and(|client| client.secure) {
        return None;
    }
    match instead(request.method(), request.uri(), settings.public_url.as_deref()) {
        Instead::Nothing => None,
        Instead::Redirect(to) => Some((StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response()),
        Instead::Refuse => Some(Problem::new(Code::HttpsRequired, "use https").into_response()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Instead {
    Nothing,
    Redirect(HeaderValue),
    Refuse,
}

fn instead(method: &Method, uri: &Uri, public_url: Option<&str>) -> Instead {
    let within =
        |base: &str| uri.path().strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if EXEMPT.iter().any(|base| within(base)) {
        return Instead::Nothing;
    }
    let page = !within("/api") && (method == Method::GET || method == Method::HEAD);
    // Never to the host that was asked for: the client chooses that name.
    let base = public_url.filter(|url| page && url.starts_with("https://"));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    base.and_then(|base| HeaderValue::try_from(format!("{}{path}", base.trim_end_matches('/'))).ok())
        .map_or(Instead::Refuse, Instead::Redirect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_to_https_and_the_api_refuses() {
        let ours = Some("https://caly.example.in/");
        let to = |path: &str| Instead::Redirect(HeaderValue::try_from(path).expect("a value"));
        for (method, uri, public_url, expected) in [
            (Method::GET, "/", ours, to("https://caly.example.in/")),
            (Method::GET, "/docs/index.html?a=b", ours, to("https://caly.example.in/docs/index.html?a=b")),
            (Method::HEAD, "/openapi.json", ours, to("https://caly.example.in/openapi.json")),
            (Method::GET, "//evil.example/x", ours, to("https://caly.example.in//evil.example/x")),
            (Method::GET, "/apis", ours, to("https://caly.example.in/apis")),
            (Method::GET, "/healthy", ours, to("https://caly.example.in/healthy")),
            (Method::POST, "/docs", ours, Instead::Refuse),
            (Method::GET, "/api", ours, Instead::Refuse),
            (Method::GET, "/api/agents", ours, Instead::Refuse),
            (Method::POST, "/api/auth/login", ours, Instead::Refuse),
            (Method::GET, "/docs", None, Instead::Refuse),
            (Method::GET, "/docs", Some("http://caly.example.in"), Instead::Refuse),
            (Method::GET, "/health", ours, Instead::Nothing),
            (Method::GET, "/health/live", ours, Instead::Nothing),
            (Method::POST, "/webhooks/exotel/call-start", ours, Instead::Nothing),
            (Method::GET, "/media/exotel/token", ours, Instead::Nothing),
        ] {
            let uri: Uri = uri.parse().expect("an address");
            assert_eq!(instead(&method, &uri, public_url), expected, "{method} {uri}");
        }
    }
}
