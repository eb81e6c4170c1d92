//! The API asked without a socket: a request says itself from whom it comes.

use crate::app::TestApp;
use api::server::Peer;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tower::ServiceExt;

/// Neither a proxy nor ours.
pub(crate) const STRANGER: &str = "203.0.113.9:4711";
/// A proxy of ours.
pub(crate) const PROXY: &str = "127.0.0.1:4711";
/// What happens beside a request has happened within this time.
const A_MOMENT: Duration = Duration::from_secs(10);

/// Waits until there is something to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(A_MOMENT, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// The API, with routes of the test's own inside its layers.
pub(crate) struct Direct {
    pub(crate) test: TestApp,
    pub(crate) router: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The JSON, or the text as a JSON string.
    pub(crate) body: Value,
}

impl Told {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Direct {
    pub(crate) async fn new(others: Router, change: impl FnOnce(&mut api::App)) -> Self {
        let test = TestApp::start_with(change).await;
        let router = api::router(test.app.clone(), others);
        Self { test, router }
    }

    pub(crate) async fn ask(&self, peer: &str, request: Builder, body: Body) -> Told {
        let mut request = request.body(body).expect("a request");
        let peer: SocketAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(Peer(peer));
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Told { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, peer: &str, path: &str, headers: &[(&str, &str)]) -> Told {
        self.ask(peer, with(Request::get(path), headers), Body::empty()).await
    }

    pub(crate) async fn post(&self, peer: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Told {
        let request = with(Request::post(path), headers).header("content-type", "application/json");
        self.ask(peer, request, Body::from(body.to_string())).await
    }
}

fn with(request: Builder, headers: &[(&str, &str)]) -> Builder {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}
