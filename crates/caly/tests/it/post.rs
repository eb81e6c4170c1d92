//! Webhooks by hand: bodies, signatures written a second time, answers.

use crate::place::now;
use crate::program::{SECRET, Server};
use crate::world::NUMBER_AS_SENT;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha1::Sha1;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub(crate) const CALL_START: &str = "/webhooks/exotel/call-start";
pub(crate) const CALL_END: &str = "/webhooks/exotel/call-end";
/// A carrier waits no longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// HMAC-SHA1 of a body.
pub(crate) fn digest(secret: &str, body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hex(secret: &str, body: &str) -> String {
    digest(secret, body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn base64(secret: &str, body: &str) -> String {
    STANDARD.encode(digest(secret, body.as_bytes()))
}

/// A call-start as the carrier sends it.
pub(crate) fn start(sid: &str) -> Value {
    json!({
        "CallSid": sid, "CallFrom": "09876543210", "CallTo": NUMBER_AS_SENT, "Direction": "incoming",
        "Created": "Tue, 25 Aug 2026 12:07:08", "From": "09876543210", "To": NUMBER_AS_SENT,
        "CurrentTime": "2026-08-25 12:07:09", "DialWhomNumber": "",
    })
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Its media address.
    #[track_caller]
    pub(crate) fn media(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.body["url"].as_str().expect("an address").to_owned()
    }

    pub(crate) fn request_id(&self) -> &str {
        self.header("x-request-id")
    }

    /// It is a problem of this kind, in the one shape that all problems have.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.body["code"], code, "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        assert_eq!(self.body["type"], "about:blank", "{self:?}");
        for text in ["title", "detail"] {
            assert!(self.body[text].as_str().is_some_and(|text| !text.is_empty()), "{text}: {self:?}");
        }
        assert_eq!(self.body["request_id"], self.request_id(), "{self:?}");
        assert_eq!(self.request_id().len(), 32, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn detail_is(&self, detail: &str) {
        assert_eq!(self.body["detail"], detail, "{self:?}");
    }

    /// Names of the fields it complains about.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.body["errors"].as_array().into_iter().flatten().filter_map(|error| error["field"].as_str()).collect()
    }
}

/// A request.
pub(crate) async fn request(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    // Whoever came first has installed the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().expect("a client");
    let mut request = http.request(method, format!("{}{path}", server.url)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("a body");
    Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

pub(crate) async fn get(server: &Server, path: &str) -> Answer {
    request(server, Method::GET, path, &[], "").await
}

/// A POST with these headers besides its content type.
pub(crate) async fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    request(server, Method::POST, path, &all, body).await
}

/// A rightly signed POST, sent anew each time, and so with another `CurrentTime` if it has one: the same with the same time
/// would be a replay.
pub(crate) async fn signed(server: &Server, path: &str, body: &Value) -> Answer {
    static SENT: AtomicI64 = AtomicI64::new(0);
    let sent = SENT.fetch_add(1, Ordering::Relaxed);
    let mut body = body.clone();
    if let Some(time) = body.get_mut("CurrentTime") {
        *time = json!((now() + TimeDelta::seconds(sent)).format("%Y-%m-%d %H:%M:%S").to_string());
    }
    let body = body.to_string();
    let time = now().timestamp_millis() + sent;
    let (signature, time) = (hex(SECRET, &body), time.to_string());
    post(server, path, &[("x-exotel-signature", &signature), ("x-exotel-timestamp", &time)], &body).await
}

/// Announces a call: its media address.
pub(crate) async fn announce(server: &Server, sid: &str) -> String {
    signed(server, CALL_START, &start(sid)).await.media()
}
