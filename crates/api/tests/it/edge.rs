//! What every request passes: headers on every kind of answer, request ids, proxies, https, time, sockets, logs.

use crate::app::{DEV_TEST_TOKEN, OPERATOR_TOKEN};
use crate::direct::{Direct, PROXY, STRANGER, Told, eventually};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::http::{Method, Request, StatusCode};
use axum::routing::{any, get, post};
use limiter::Policies;
use model::EmailAddress;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

const OPENING: &str = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Routes of the tests' own, as the switchboard's are: inside the layers.
fn others() -> Router {
    let echo = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
        })
    };
    Router::new()
        .route("/media/{carrier}/{token}", any(echo))
        .route("/over/{token}", get(|| async { (StatusCode::GONE, "the token 4f1Qd0kZ was used") }))
        .route("/full", get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "full") }))
        .route("/panics", get(panics))
        .route("/hangs", get(std::future::pending::<()>))
        .route("/takes", post(|body: Bytes| async move { body.len().to_string() }))
}

async fn panics() -> &'static str {
    panic!("a panic of the tests")
}

async fn edge_with(change: impl FnOnce(&mut api::App)) -> Direct {
    Direct::new(others(), change).await
}

async fn edge() -> Direct {
    edge_with(|_| {}).await
}

async fn production() -> Direct {
    edge_with(|app| app.edge.production = true).await
}

#[track_caller]
fn has_security_headers(answer: &Told) {
    for (name, value) in [
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("x-xss-protection", "0"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), value, "{name} on {} {}", answer.status, answer.body);
    }
    assert!(answer.header("permissions-policy").contains("microphone=()"));
    assert_eq!(answer.header("x-request-id").len(), 32, "{}", answer.status);
}

#[track_caller]
fn is_problem(answer: &Told, status: u16, code: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["request_id"], answer.header("x-request-id"));
    has_security_headers(answer);
}

#[tokio::test]
async fn every_kind_of_answer_has_the_headers_and_every_error_one_shape() {
    let edge = edge_with(|app| {
        app.policies.set("webhooks", 1, std::time::Duration::from_secs(60)).expect("a policy");
    })
    .await;
    let healthy = edge.get(STRANGER, "/health", &[]).await;
    assert_eq!(healthy.status, 200);
    has_security_headers(&healthy);
    assert_eq!(healthy.body, json!({ "status": "ok", "version": "test" }), "no detail for strangers");
    is_problem(&edge.get(STRANGER, "/nothing", &[]).await, 404, "not_found");
    is_problem(&edge.get(STRANGER, "/api/nothing", &[]).await, 404, "not_found");
    is_problem(&edge.get(STRANGER, "/api/agents", &[]).await, 401, "unauthenticated");
    let wrong_method = edge.get(STRANGER, "/api/auth/login", &[]).await;
    is_problem(&wrong_method, 405, "method_not_allowed");
    assert_eq!(wrong_method.header("allow"), "POST");
    let preflight = edge.ask(STRANGER, Request::options("/api/auth/login"), Body::empty()).await;
    is_problem(&preflight, 405, "method_not_allowed");
    assert!(!preflight.headers.contains_key("access-control-allow-origin"));
    let text = edge.ask(STRANGER, Request::post("/api/auth/login"), Body::from("{}")).await;
    is_problem(&text, 415, "unsupported_media_type");
    let large = json!({ "email": "x".repeat(1024 * 1024) });
    is_problem(&edge.post(STRANGER, "/api/auth/login", &[], &large).await, 413, "body_too_large");
    let plain = edge.ask(STRANGER, Request::post("/takes"), Body::from(vec![b'x'; 1024 * 1024 + 1])).await;
    is_problem(&plain, 413, "body_too_large");
    let fits = edge.ask(STRANGER, Request::post("/takes"), Body::from(vec![b'x'; 1024 * 1024])).await;
    assert_eq!((fits.status, &fits.body), (200, &json!(1024 * 1024)));
    is_problem(&edge.get(STRANGER, "/panics", &[]).await, 500, "internal");
    let full = edge.get(STRANGER, "/full", &[]).await;
    is_problem(&full, 503, "overloaded");
    assert_eq!(full.header("retry-after"), "2");
    let over = edge.get(STRANGER, "/over/4f1Qd0kZ", &[]).await;
    is_problem(&over, 410, "invalid_token");
    assert!(!over.body.to_string().contains("4f1Qd0kZ"), "the text of others is not taken over");
    is_problem(&edge.get(STRANGER, "/media/exotel/token", &[]).await, 400, "malformed_body");
    is_problem(&edge.post(STRANGER, "/webhooks/exotel/call-end", &[], &json!({})).await, 401, "signature_missing");
    let limited = edge.post(STRANGER, "/webhooks/exotel/call-end", &[], &json!({})).await;
    is_problem(&limited, 429, "rate_limited");
    assert_eq!(limited.header("retry-after"), "60");
    assert_eq!(limited.header("ratelimit"), "\"webhooks\";r=0;t=60");
}

#[tokio::test]
async fn a_webhook_has_a_smaller_body() {
    let edge = edge().await;
    let large = json!({ "CallSid": "x".repeat(64 * 1024) });
    is_problem(&edge.post(STRANGER, "/webhooks/exotel/call-start", &[], &large).await, 413, "body_too_large");
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    let edge = edge().await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    is_problem(&edge.get(STRANGER, "/hangs", &[]).await, 503, "request_timeout");
    assert_eq!(began.elapsed().as_secs(), 8);
    // The body counts.
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    is_problem(&edge.ask(STRANGER, Request::post("/takes"), never).await, 503, "request_timeout");
    // So it does when the watch reads it.
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let request = Request::post("/takes").header("content-type", "application/json");
    let answer = edge.ask(STRANGER, request, never).await;
    is_problem(&answer, 503, "request_timeout");
    assert_eq!(answer.header("retry-after"), "2");
}

#[tokio::test]
async fn too_many_at_once_are_turned_away_and_carriers_and_probes_are_not() {
    let edge = Arc::new(edge().await);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..512 {
        let edge = edge.clone();
        waiting.spawn(async move { edge.get(STRANGER, "/hangs", &[]).await.status });
    }
    tokio::task::yield_now().await;
    let refused = eventually("the room is full", async || {
        let answer = edge.get(STRANGER, "/nothing", &[]).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    is_problem(&refused, 503, "overloaded");
    assert_eq!(refused.header("retry-after"), "2");
    assert_eq!(edge.get(STRANGER, "/health/live", &[]).await.status, 200);
    assert_eq!(edge.post(STRANGER, "/webhooks/exotel/call-end", &[], &json!({})).await.status, 401);
    assert_eq!(edge.get(STRANGER, "/media/exotel/token", &[]).await.status, 400);
    waiting.abort_all();
    while waiting.join_next().await.is_some() {}
    assert_eq!(edge.get(STRANGER, "/nothing", &[]).await.status, 404);
}

#[tokio::test]
async fn pages_may_run_their_own_scripts_only() {
    let edge = edge().await;
    let page = edge.get(STRANGER, "/docs/", &[]).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe-eval"));
    let html = page.body.as_str().expect("a page");
    for script in html.split("<script").skip(1) {
        assert!(script.trim_start().starts_with("src=") || script.contains(" src="), "an inline script: {script}");
    }
    assert!(!html.contains("onload=") && !html.contains("<style"));
    assert_eq!(page.header("x-frame-options"), "DENY");
    is_problem_of_pages(&edge.get(STRANGER, "/docs/nothing.js", &[]).await);
    let description = edge.get(STRANGER, "/openapi.json", &[]).await;
    assert_eq!(description.status, 200);
    assert_eq!(description.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
}

#[track_caller]
fn is_problem_of_pages(answer: &Told) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (404, Some("not_found")));
}

#[tokio::test]
async fn a_request_id_is_believed_from_a_proxy_only() {
    let edge = edge().await;
    let given = [("x-request-id", "abc-1.2_Z")];
    let answer = edge.get(PROXY, "/api/agents", &given).await;
    assert_eq!(answer.header("x-request-id"), "abc-1.2_Z");
    assert_eq!(answer.body["request_id"], "abc-1.2_Z");
    assert_eq!(edge.get(STRANGER, "/health", &given).await.header("x-request-id").len(), 32);
    let long = "x".repeat(65);
    for id in ["", "a b", "a\tb", "<b>", &long] {
        assert_eq!(edge.get(PROXY, "/health", &[("x-request-id", id)]).await.header("x-request-id").len(), 32, "{id}");
    }
    let (one, other) = (edge.get(PROXY, "/health", &[]).await, edge.get(PROXY, "/health", &[]).await);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

/// Shown by whom a limit counts: another client has its own.
#[tokio::test]
async fn forwarded_addresses_are_believed_from_a_proxy_only() {
    let edge = edge_with(|app| app.policies = Policies::default()).await;
    let left = |answer: &Told| answer.header("x-ratelimit-remaining").parse::<u32>().expect("a number");
    let from = |address: &'static str| [("x-forwarded-for", address)];
    assert_eq!(left(&edge.get(PROXY, "/api/agents", &from("198.51.100.1")).await), 99);
    assert_eq!(left(&edge.get(PROXY, "/api/agents", &from("198.51.100.1")).await), 98);
    assert_eq!(left(&edge.get(PROXY, "/api/agents", &from("198.51.100.2")).await), 99);
    // What the client itself puts at the left changes nothing.
    assert_eq!(left(&edge.get(PROXY, "/api/agents", &from("10.9.9.9, 198.51.100.1")).await), 97);
    // A stranger is himself, whatever he says.
    assert_eq!(left(&edge.get(STRANGER, "/api/agents", &from("198.51.100.1")).await), 99);
    assert_eq!(left(&edge.get(STRANGER, "/api/agents", &from("198.51.100.3")).await), 98);
}

#[tokio::test]
async fn in_production_plain_http_is_for_probes_and_carriers_only() {
    let edge = production().await;
    let secure = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")];
    is_problem(&edge.get(PROXY, "/api/agents", &[]).await, 403, "https_required");
    is_problem(&edge.get(PROXY, "/api/agents", &secure).await, 401, "unauthenticated");
    is_problem(&edge.get(STRANGER, "/api/agents", &secure).await, 403, "https_required");
    let page = edge.get(PROXY, "/docs/index.html?a=b", &[("host", "evil.example")]).await;
    assert_eq!((page.status, page.header("location")), (301, "https://caly.example.org/docs/index.html?a=b"));
    assert_eq!(edge.get(PROXY, "/docs/", &secure).await.status, 200);
    assert_eq!(edge.get(PROXY, "/health/live", &[]).await.status, 200);
    assert_eq!(edge.post(PROXY, "/webhooks/exotel/call-end", &[], &json!({})).await.status, 401);
    assert_eq!(edge.get(PROXY, "/media/exotel/token", &[]).await.status, 400);
    // Whoever came by plain http is told, too, to come by https from now on.
    for answer in [page, edge.get(PROXY, "/api/agents", &[]).await, edge.get(PROXY, "/health", &[]).await] {
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000; includeSubDomains");
    }
}

#[tokio::test]
async fn in_development_plain_http_is_fine_and_https_is_remembered() {
    let edge = edge().await;
    let plain = edge.get(PROXY, "/health", &[]).await;
    assert_eq!((plain.status, plain.header("strict-transport-security")), (200, ""));
    let secure = edge.get(PROXY, "/health", &[("x-forwarded-proto", "https")]).await;
    assert_eq!(secure.header("strict-transport-security"), "max-age=31536000; includeSubDomains");
}

#[tokio::test]
async fn a_stale_token_does_not_keep_anybody_from_logging_in() {
    let edge = edge().await;
    let stale = [("authorization", "Bearer stale")];
    let credentials = json!({ "email": "nobody@example.org", "password": "a password of nobody at all" });
    is_problem(&edge.post(STRANGER, "/api/auth/login", &stale, &credentials).await, 401, "invalid_credentials");
    is_problem(&edge.get(STRANGER, "/api/agents", &stale).await, 401, "unauthenticated");
    is_problem(&edge.get(STRANGER, "/api/nothing", &stale).await, 401, "unauthenticated");
    is_problem(&edge.get(STRANGER, "/api/agents", &[("authorization", "Basic eDp5")]).await, 401, "unauthenticated");
    assert_eq!(edge.get(STRANGER, "/api/agents", &stale).await.header("www-authenticate"), "Bearer");
}

/// The socket of a call passes all layers; see also the tests of calls.
#[tokio::test]
async fn a_socket_is_opened_through_all_layers() {
    let edge = production().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    tokio::spawn(api::server::serve(listener, edge.router.clone(), stop.clone()));
    let mut client = TcpStream::connect(address).await.expect("connects");
    client.set_nodelay(true).expect("a socket");
    let opening = format!("GET /media/exotel/token HTTP/1.1\r\nHost: caly\r\n{OPENING}");
    client.write_all(opening.as_bytes()).await.expect("open");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("open"));
    }
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    assert!(head.contains("x-request-id") && !head.contains("content-security-policy"), "{head}");
    // More than any body may have.
    let frame = vec![b'a'; 60_000];
    for _ in 0..30 {
        client.write_all(&[0x82, 0xfe, 0xea, 0x60, 0, 0, 0, 0]).await.expect("open");
        client.write_all(&frame).await.expect("open");
        let mut echo = vec![0; frame.len() + 4];
        client.read_exact(&mut echo).await.expect("open");
        assert!(echo.starts_with(&[0x82, 126, 0xea, 0x60]) && echo.ends_with(b"aaa"));
    }
    stop.cancel();
}

#[tokio::test]
async fn a_test_mail_is_for_developers() {
    const PATH: &str = "/api/test/email-connection";
    let edge = edge().await;
    let to = json!({ "to": "asha@example.org" });
    let bearer = |token: &str| format!("Bearer {token}");
    is_problem(&edge.post(STRANGER, PATH, &[], &to).await, 401, "unauthenticated");
    for wrong in ["wrong", OPERATOR_TOKEN, ""] {
        let status = if wrong.is_empty() { 401 } else { 403 };
        let answer = edge.post(STRANGER, PATH, &[("authorization", &bearer(wrong))], &to).await;
        assert_eq!(answer.status, status, "{wrong}");
    }
    let right = bearer(DEV_TEST_TOKEN);
    let right = [("authorization", right.as_str())];
    let sent = edge.post(STRANGER, PATH, &right, &to).await;
    assert_eq!((sent.status, &sent.body), (200, &json!({ "status": "sent" })));
    let address = EmailAddress::parse("asha@example.org").expect("an address");
    assert_eq!(*edge.test.mail.sent.lock().expect("nobody panicked"), [address]);
    is_problem(&edge.post(STRANGER, PATH, &right, &json!({ "to": "nobody" })).await, 400, "invalid_fields");
    *edge.test.mail.refuses.lock().expect("nobody panicked") = Some("the mail server is away".to_owned());
    let failed = edge.post(STRANGER, PATH, &right, &to).await;
    is_problem(&failed, 502, "external_service_failed");
    assert_eq!(failed.body["detail"], "the mail server is away");
    let without = edge_with(|app| app.edge.dev_test_token = None).await;
    is_problem(&without.post(STRANGER, PATH, &right, &to).await, 403, "forbidden");
}

#[tokio::test]
async fn in_production_there_is_nothing_for_developers() {
    let edge = production().await;
    let right = format!("Bearer {DEV_TEST_TOKEN}");
    for token in [None, Some("Bearer wrong"), Some(&*right)] {
        for method in [Method::POST, Method::GET, Method::OPTIONS] {
            let mut answers = Vec::new();
            for path in ["/api/test/email-connection", "/api/test/nothing"] {
                let mut request =
                    Request::builder().method(method.clone()).uri(path).header("x-forwarded-proto", "https");
                if let Some(token) = token {
                    request = request.header("authorization", token);
                }
                let mut answer = edge.ask(PROXY, request, Body::empty()).await;
                answer.body["request_id"] = Value::Null;
                let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
                answers.push((answer.status, answer.body, names));
            }
            assert_eq!(answers[0], answers[1], "as if there were no such route: {method} {token:?}");
            assert_eq!(answers[0].0, if token.is_some() { 401 } else { 404 });
        }
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Logged {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().expect("nobody panicked").clone()).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn requests(&self) -> Vec<Value> {
        let lines = self.lines().into_iter();
        lines.filter(|line| line["fields"]["message"] == "request").map(|line| line["fields"].clone()).collect()
    }
}

#[tokio::test]
async fn the_log_says_what_was_asked_and_nothing_that_was_sent() {
    const CANARY: &str = "canary4f1Qd0kZr0mYw2b6cJ3sT8vXnA5gHhLpEoUiRtWqBz";
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(logged.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let edge = edge().await;
    let asha = edge.test.signed_up("Asha").await;
    let bearer = format!("Bearer {}", asha.access_token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("cookie", CANARY),
        ("user-agent", CANARY),
        ("x-forwarded-for", CANARY),
        ("referer", "https://example.org/?canary4f1Qd0kZr0mYw2b6cJ3sT8vXnA5gHhLpEoUiRtWqBz"),
    ];
    edge.get(STRANGER, "/api/agents", &headers).await;
    edge.get(STRANGER, &format!("/api/agents/{CANARY}?q={CANARY}"), &headers).await;
    edge.get(STRANGER, &format!("/{CANARY}"), &headers).await;
    edge.get(STRANGER, &format!("/media/exotel/{CANARY}"), &[("connection", CANARY)]).await;
    edge.get(STRANGER, &format!("/over/{CANARY}"), &[]).await;
    edge.get(STRANGER, &format!("/webhooks/exotel/voicebot/{CANARY}?CallTo={CANARY}"), &[]).await;
    edge.get(STRANGER, "/api/agents", &[("authorization", &format!("Bearer {CANARY}"))]).await;
    let body = json!({ "email": format!("{CANARY}@example.org"), "password": CANARY });
    edge.post(STRANGER, "/api/auth/login", &[], &body).await;
    edge.post(STRANGER, "/api/auth/login", &[], &json!({ "email": CANARY, CANARY: "' or 1=1--" })).await;
    edge.post(STRANGER, "/webhooks/exotel/call-start", &[("x-exotel-signature", CANARY)], &body).await;
    edge.ask(STRANGER, Request::builder().method(CANARY).uri("/health"), Body::empty()).await;
    let all = logged.lines();
    for line in &all {
        let text = line.to_string();
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains(&asha.access_token), "{text}");
    }
    let requests = logged.requests();
    assert_eq!(requests.len(), 11);
    let first = &requests[0];
    assert_eq!(first["http.method"], "GET");
    assert_eq!(first["http.route"], "/api/agents");
    assert_eq!(first["http.status"], 200);
    assert_eq!(first["tenant"], asha.tenant.to_string());
    assert_eq!(first["slow"], false);
    assert_eq!(first["request.id"].as_str().map(str::len), Some(32));
    assert!(first["duration_ms"].is_u64() && first["http.response_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let routes: Vec<&str> = requests.iter().filter_map(|line| line["http.route"].as_str()).collect();
    assert_eq!(
        routes[1..6],
        ["/api/agents/{id}", "-", "/media/{carrier}/{token}", "/over/{token}", "/webhooks/exotel/voicebot/{token}",]
    );
    assert_eq!(requests[10]["http.method"], "OTHER");
}

#[tokio::test]
async fn a_slow_request_is_flagged() {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(logged.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let slow = || async { tokio::time::sleep(std::time::Duration::from_millis(1_001)).await };
    let edge = Direct::new(Router::new().route("/slow", get(slow)), |_| {}).await;
    tokio::time::pause();
    edge.get(STRANGER, "/slow", &[]).await;
    let lines = logged.lines();
    let line = lines.iter().find(|line| line["fields"]["message"] == "request").expect("a line");
    assert_eq!((&line["fields"]["slow"], &line["level"]), (&json!(true), &json!("WARN")));
}

#[tokio::test]
async fn figures_are_for_the_operator() {
    let edge = edge().await;
    let path = "/api/monitoring/requests";
    let asha = edge.test.signed_up("Asha").await;
    is_problem(&edge.get(STRANGER, path, &[]).await, 401, "unauthenticated");
    let bearer = format!("Bearer {}", asha.access_token);
    is_problem(&edge.get(STRANGER, path, &[("authorization", &bearer)]).await, 403, "forbidden");
    for _ in 0..3 {
        edge.get(STRANGER, "/api/agents", &[]).await;
    }
    let operator = format!("Bearer {OPERATOR_TOKEN}");
    let figures = edge.get(STRANGER, path, &[("authorization", &operator)]).await;
    assert_eq!(figures.status, 200, "{}", figures.body);
    let routes = figures.body["latency"].as_array().expect("a list");
    let agents = routes.iter().find(|route| route["route"] == "/api/agents").expect("the route");
    assert_eq!((&agents["method"], &agents["count"]), (&json!("GET"), &json!(3)));
    let time = |name: &str| agents[name].as_f64().expect("a number");
    assert!(time("p50_ms") <= time("p95_ms") && time("p95_ms") <= time("p99_ms") && time("p99_ms") <= time("max_ms"));
    assert_eq!(figures.body["limiter"], json!({ "state": "local", "degraded_decisions": 0 }));
    assert_eq!(figures.body["anomalies"]["sql_injection"], 0);
    assert_eq!(figures.body["anomalies"]["missing_user_agent"], 6, "all of these said nothing of themselves");
}
