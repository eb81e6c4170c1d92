//! What looks like an attack is counted, logged and on record, and goes through.

use crate::app::{OPERATOR_TOKEN, Person, TestApp};
use crate::direct::{Direct, STRANGER, eventually};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use reqwest::Method;
use serde_json::{Value, json};

async fn counts(test: &TestApp) -> Value {
    test.get("/api/monitoring/requests", OPERATOR_TOKEN).await.expect(200)["anomalies"].clone()
}

/// The kinds that are on record for an organisation, sorted.
async fn on_record(test: &TestApp, person: &Person, wanted: usize) -> Vec<String> {
    eventually("the anomalies are on record", async || {
        let page = test
            .store()
            .read(person.tenant, "test.audit", async |tx| {
                let page = store::PageRequest { after: None, limit: 200 };
                store::audit::list(tx, &store::audit::AuditFilter::default(), page).await
            })
            .await
            .expect("events");
        let events = page.items.iter().filter(|event| event.kind.to_string() == "security.violation");
        let mut kinds: Vec<String> =
            events.filter_map(|event| event.data["anomaly"].as_str().map(str::to_owned)).collect();
        kinds.sort();
        (kinds.len() >= wanted).then_some(kinds)
    })
    .await
}

#[tokio::test]
async fn every_kind_is_counted_and_on_record_and_goes_through() {
    let test = TestApp::start().await;
    let asha = test.signed_up("Asha").await;
    let token = &asha.access_token;
    let path = "/api/agents?limit=10";
    assert_eq!(test.get(path, token).await.status, 200);
    // In the query: refused for not being a number, as any other text would be.
    let query = test.get("/api/agents?limit=1%20OR%201%3D1", token).await;
    query.expect_problem(400, "invalid_fields");
    // In a body that is fine otherwise: the name is taken.
    let named = test.patch("/api/organisation", token, &json!({ "name": "O'Brien' or 'a'='a" })).await;
    assert_eq!(named.status, 200, "{}", named.body);
    let script =
        test.request(Method::GET, path).token(token).header("referer", "<script>alert(1)</script>").send().await;
    assert_eq!(script.status, 200);
    let command = test.request(Method::GET, path).token(token).header("x-name", "; cat /etc/passwd").send().await;
    assert_eq!(command.status, 200);
    let nameless = test.request(Method::GET, path).token(token).header("user-agent", "").send().await;
    assert_eq!(nameless.status, 200);
    let odd = test.request(Method::GET, path).token(token).header("x-original-url", "/admin").send().await;
    assert_eq!(odd.status, 200);
    let large = json!({ "name": "x".repeat(1024 * 1024) });
    test.patch("/api/organisation", token, &large).await.expect_problem(413, "body_too_large");
    let counted = counts(&test).await;
    assert_eq!(
        counted,
        json!({
            "sql_injection": 2, "cross_site_scripting": 1, "command_injection": 1, "oversized_request": 1,
            "missing_user_agent": 1, "suspicious_headers": 1,
        })
    );
    let kinds = on_record(&test, &asha, 6).await;
    assert_eq!(
        kinds,
        [
            "command_injection",
            "cross_site_scripting",
            "missing_user_agent",
            "oversized_request",
            "sql_injection",
            "suspicious_headers",
        ],
        "each once a minute"
    );
}

#[tokio::test]
async fn bodies_reach_their_handler_as_they_were_sent() {
    let test = TestApp::start().await;
    let asha = test.signed_up("Asha").await;
    for name in ["O'Brien & Söhne", "सनराइज़ क्लिनिक", "Select one -- from many"] {
        let named = test.patch("/api/organisation", &asha.access_token, &json!({ "name": name })).await;
        assert_eq!(named.expect(200)["name"], name);
    }
    assert_eq!(counts(&test).await["sql_injection"], 0);
}

#[tokio::test]
async fn a_body_of_unknown_length_that_is_too_large_is_seen() {
    let direct = Direct::new(Router::new(), |_| {}).await;
    let asha = direct.test.signed_up("Asha").await;
    let pieces = (0..200).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10_000]));
    let request = Request::patch("/api/organisation")
        .header("authorization", format!("Bearer {}", asha.access_token))
        .header("content-type", "application/json")
        .header("user-agent", "tests");
    let answer = direct.ask(STRANGER, request, Body::from_stream(futures_util::stream::iter(pieces))).await;
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("body_too_large")));
    let request = Request::get("/api/monitoring/requests").header("authorization", format!("Bearer {OPERATOR_TOKEN}"));
    let figures = direct.ask(STRANGER, request.header("user-agent", "tests"), Body::empty()).await;
    assert_eq!(figures.body["anomalies"]["oversized_request"], 1);
}

#[tokio::test]
async fn strangers_are_on_record_of_the_system_and_forwarded_headers_of_strangers_are_odd() {
    let test = TestApp::start_with(|app| app.edge.trusted_proxies.clear()).await;
    let answer = test.request(Method::GET, "/docs/").from("198.51.100.1").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(counts(&test).await["suspicious_headers"], 1);
    let events = eventually("the anomaly is on record of the system", async || {
        let report = test.store().verify_audit().await.expect("a report");
        let system = report.chains.into_iter().find(|chain| chain.tenant.is_none());
        system.map(|chain| chain.events).filter(|events| *events > 0)
    })
    .await;
    assert_eq!(events, 1);
    // Probes and carriers say nothing of themselves, and that is fine.
    for path in ["/health/live", "/webhooks/exotel/voicebot/nobody"] {
        test.request(Method::GET, path).header("user-agent", "").send().await;
    }
    assert_eq!(counts(&test).await["missing_user_agent"], 0);
}
