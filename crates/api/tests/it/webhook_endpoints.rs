//! Addresses that events are sent to, over HTTP. The sending is tested with the jobs.

use crate::app::TestApp;
use model::{Role, Scope};
use serde_json::{Value, json};

const PATH: &str = "/api/webhook-endpoints";

fn body() -> Value {
    json!({
        "url": "https://crm.example.org/hooks/caly", "description": "CRM of the clinic",
        "events": ["recording.ready", "call.ended", "call.ended"],
    })
}

async fn made(app: &TestApp, token: &str) -> (String, Value) {
    let made = app.post(PATH, token, &body()).await.expect(201);
    (format!("{PATH}/{}", made["id"].as_str().expect("an id")), made)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_changed_and_removed_and_its_secret_shown_once() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let (path, made) = made(&app, token).await;
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() == 6 + 44, "{secret}");
    assert_eq!(made["secret_last4"], secret[secret.len() - 4..]);
    assert_eq!((&made["events"], &made["enabled"]), (&json!(["call.ended", "recording.ready"]), &json!(true)));
    app.clock.advance(chrono::Duration::seconds(1));
    let changed = app.patch(&path, token, &json!({ "events": [] })).await.expect(200);
    assert_eq!((&changed["events"], &changed["url"]), (&json!([]), &made["url"]));
    let off = app.patch(&path, token, &json!({ "enabled": false, "description": "" })).await.expect(200);
    assert_eq!(
        (&off["enabled"], &off["disabled_reason"], &off["description"]),
        (&json!(false), &json!("by-hand"), &json!(""))
    );
    app.post(&format!("{path}/test"), token, &json!({})).await.expect_problem(409, "conflict");
    let on =
        app.patch(&path, token, &json!({ "enabled": true, "url": "https://other.example.org/" })).await.expect(200);
    assert_eq!(
        (&on["enabled"], &on["disabled_at"], &on["url"]),
        (&json!(true), &Value::Null, &json!("https://other.example.org/"))
    );
    let rotated = app.post(&format!("{path}/rotate-secret"), token, &json!({})).await.expect(200);
    let newer = rotated["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(newer, secret);
    assert!(rotated["previous_secret_until"].is_string());
    let (one, list) = (app.get(&path, token).await.expect(200), app.get(PATH, token).await.expect(200));
    assert_eq!(list["items"], json!([one]));
    let log = app.get("/api/audit-logs", token).await.expect(200);
    for shown in [&changed, &off, &on, &one, &list, &log] {
        assert!(!shown.to_string().contains("whsec_"), "{shown}");
    }
    app.delete(&path, token).await.expect(204);
    app.get(&path, token).await.expect_problem(404, "not_found");
    let id = made["id"].as_str().expect("an id");
    for (kind, times) in [
        ("webhook_endpoint.created", 1),
        ("webhook_endpoint.updated", 3),
        ("webhook_endpoint.secret_rotated", 1),
        ("webhook_endpoint.deleted", 1),
    ] {
        assert_eq!(app.audited_times(asha.tenant, kind, id).await, times, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_listed_and_can_be_sent_again() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let (path, made) = made(&app, token).await;
    let sent = app.post(&format!("{path}/test"), token, &json!({})).await.expect(202);
    assert_eq!((&sent["kind"], &sent["state"], &sent["attempts"]), (&json!("test"), &json!("pending"), &json!(0)));
    assert_eq!((&sent["payload"]["type"], &sent["payload"]["data"]["endpoint_id"]), (&json!("test"), &made["id"]));
    assert!(sent["webhook_id"].as_str().is_some_and(|id| id.starts_with("msg_") && !id.contains('.')));
    let list = format!("{path}/deliveries");
    assert_eq!(app.get(&list, token).await.expect(200)["items"], json!([sent]));
    for (query, count) in [
        ("?state=pending", 1),
        ("?state=failed", 0),
        ("?kind=test", 1),
        ("?kind=call.ended", 0),
        ("?kind=test&state=pending&limit=1", 1),
    ] {
        let page = app.get(&format!("{list}{query}"), token).await.expect(200);
        assert_eq!(page["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
    app.get(&format!("{list}?state=lost"), token).await.expect_problem_fields(&["state"]);
    app.get(&format!("{list}?kind=x"), token).await.expect_problem_fields(&["kind"]);
    app.patch(&path, token, &json!({ "enabled": false })).await.expect(200);
    let given_up = app.get(&list, token).await.expect(200)["items"][0].clone();
    assert_eq!((&given_up["state"], &given_up["next_attempt_at"]), (&json!("failed"), &Value::Null));
    let replay = format!("/api/deliveries/{}/replay", sent["id"].as_str().expect("an id"));
    app.post(&replay, token, &json!({})).await.expect_problem(409, "conflict");
    app.patch(&path, token, &json!({ "enabled": true })).await.expect(200);
    let again = app.post(&replay, token, &json!({})).await.expect(202);
    assert_eq!((&again["state"], &again["webhook_id"]), (&json!("pending"), &sent["webhook_id"]));
    let id = sent["id"].as_str().expect("an id");
    assert_eq!(app.audited_times(asha.tenant, "delivery.replayed", id).await, 1);
    let endpoint = made["id"].as_str().expect("an id");
    assert_eq!(app.audited_times(asha.tenant, "webhook_endpoint.tested", endpoint).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn production_takes_public_addresses_over_https_only() {
    let app = TestApp::start_with(|app| {
        app.edge.production = true;
        app.edge.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let asha = app.signed_up("Asha").await;
    let send = async |url: &str| {
        let asking = app.request(reqwest::Method::POST, PATH).token(&asha.access_token);
        asking.header("x-forwarded-proto", "https").json(&json!({ "url": url })).send().await
    };
    for url in ["https://127.0.0.1/", "https://localhost/", "http://example.org/", "https://example.org:22/"] {
        let answer = send(url).await;
        assert_eq!((answer.status, answer.fields()), (400, vec!["url"]), "{url}: {}", answer.body);
    }
    send("https://example.org:8443/hooks").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn development_takes_this_machine_too_and_no_private_address() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let (path, _) = made(&app, token).await;
    for url in [
        "https://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::ffff:10.0.0.1]/",
        "https://0xa.1/",
        "https://167772161/",
        "https://a:b@example.org/",
        "ftp://example.org/",
        "javascript:alert(1)",
        "example.org",
    ] {
        app.post(PATH, token, &json!({ "url": url })).await.expect_problem_fields(&["url"]);
        app.patch(&path, token, &json!({ "url": url })).await.expect_problem_fields(&["url"]);
    }
    app.post(PATH, token, &json!({ "url": "http://127.0.0.1:3000/hooks" })).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_at_once_and_there_is_a_limit() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    app.post(PATH, token, &json!({})).await.expect_problem_fields(&["url"]);
    let all = json!({ "url": "", "description": "x".repeat(121), "events": ["call.lost"], "secret": "mine" });
    app.post(PATH, token, &all).await.expect_problem_fields(&["url", "description", "events.0", "secret"]);
    for _ in 0..20 {
        app.post(PATH, token, &body()).await.expect(201);
    }
    app.post(PATH, token, &body()).await.expect_problem(409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_look_admins_change_and_keys_do_what_they_may() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let (path, _) = made(&app, &asha.access_token).await;
    for role in [Role::Viewer, Role::Member] {
        let person = app.member(asha.tenant, role.as_str(), role).await;
        let token = &person.access_token;
        app.get(PATH, token).await.expect(200);
        app.get(&format!("{path}/deliveries"), token).await.expect(200);
        app.post(PATH, token, &body()).await.expect_problem(403, "forbidden");
        app.patch(&path, token, &json!({ "enabled": false })).await.expect_problem(403, "forbidden");
        app.delete(&path, token).await.expect_problem(403, "forbidden");
        for verb in ["test", "rotate-secret"] {
            app.post(&format!("{path}/{verb}"), token, &json!({})).await.expect_problem(403, "forbidden");
        }
    }
    let (_, reader) = app.api_key(&asha, &[Scope::WebhookEndpointsRead]).await;
    app.get(PATH, &reader).await.expect(200);
    app.post(&format!("{path}/test"), &reader, &json!({})).await.expect_problem(403, "forbidden");
    let (_, writer) = app.api_key(&asha, &[Scope::WebhookEndpointsWrite]).await;
    app.post(&format!("{path}/test"), &writer, &json!({})).await.expect(202);
    app.get(PATH, &writer).await.expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_endpoint_is_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let (path, _) = made(&app, &asha.access_token).await;
    let sent = app.post(&format!("{path}/test"), &asha.access_token, &json!({})).await.expect(202);
    let token = &ravi.access_token;
    app.get(&path, token).await.expect_problem(404, "not_found");
    app.get(&format!("{path}/deliveries"), token).await.expect_problem(404, "not_found");
    app.patch(&path, token, &json!({ "enabled": false })).await.expect_problem(404, "not_found");
    app.delete(&path, token).await.expect_problem(404, "not_found");
    for verb in ["test", "rotate-secret"] {
        app.post(&format!("{path}/{verb}"), token, &json!({})).await.expect_problem(404, "not_found");
    }
    let replay = format!("/api/deliveries/{}/replay", sent["id"].as_str().expect("an id"));
    app.post(&replay, token, &json!({})).await.expect_problem(404, "not_found");
    app.get(&path, &asha.access_token).await.expect(200);
}
