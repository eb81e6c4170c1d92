//! Keys at providers over HTTP: they go in and do not come out.

use crate::app::TestApp;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::provider_keys;

const KEY: &str = "sk-0123456789-of-the-test-x7Qf";

fn body(provider: &str) -> Value {
    json!({ "provider": provider, "label": "Account of the clinic", "key": KEY })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_replaced_and_forgotten_and_never_shown() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let made = app.post("/api/provider-keys", token, &body("deepgram")).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    let path = format!("/api/provider-keys/{id}");
    assert_eq!((&made["provider"], &made["last4"]), (&json!("deepgram"), &json!("x7Qf")));
    app.clock.advance(chrono::Duration::seconds(1));
    let other = "another-key-of-the-test-9z8y";
    let replaced = app.put(&path, token, &json!({ "key": other })).await.expect(200);
    assert_eq!((&replaced["last4"], &replaced["created_at"]), (&json!("9z8y"), &made["created_at"]));
    assert_ne!(replaced["updated_at"], made["updated_at"]);
    let listed = app.get("/api/provider-keys", token).await.expect(200);
    assert_eq!(listed["items"], json!([replaced]));
    let used = app
        .store()
        .read(asha.tenant, "test.reveal", async |tx| provider_keys::reveal(tx, "deepgram").await)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(used.expose_secret(), other, "what is used is the new one");
    let log = app.get("/api/audit-logs", token).await.expect(200);
    for shown in [&made, &replaced, &listed, &log] {
        let shown = shown.to_string();
        assert!(!shown.contains(KEY) && !shown.contains(other) && !shown.contains("of-the-test"), "{shown}");
    }
    app.delete(&path, token).await.expect(204);
    app.delete(&path, token).await.expect_problem(404, "not_found");
    app.put(&path, token, &json!({ "key": other })).await.expect_problem(404, "not_found");
    for kind in ["provider_key.created", "provider_key.updated", "provider_key.deleted"] {
        assert_eq!(app.audited_times(asha.tenant, kind, id).await, 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_key_for_each_provider() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    for provider in ["deepgram", "openai", "sarvam", "elevenlabs", "cartesia", "anthropic", "google"] {
        app.post("/api/provider-keys", &asha.access_token, &body(provider)).await.expect(201);
    }
    app.post("/api/provider-keys", &asha.access_token, &body("openai")).await.expect_problem(409, "conflict");
    app.post("/api/provider-keys", &ravi.access_token, &body("openai")).await.expect(201);
    let again = body("google");
    let posts = (0..10).map(|_| app.post("/api/provider-keys", &ravi.access_token, &again));
    let made = futures_util::future::join_all(posts).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(made.iter().all(|answer| matches!(answer.status, 201 | 409)));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_without_the_key() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let all = json!({ "provider": "Acme", "label": "", "key": "short", "last4": "abcd" });
    app.post("/api/provider-keys", token, &all).await.expect_problem_fields(&["provider", "label", "key", "last4"]);
    app.post("/api/provider-keys", token, &json!({})).await.expect_problem_fields(&["provider", "label", "key"]);
    let made = app.post("/api/provider-keys", token, &body("openai")).await.expect(201);
    let path = format!("/api/provider-keys/{}", made["id"].as_str().expect("an id"));
    for key in [
        " with-spaces-around ",
        "in the middle of it",
        "new\nline-in-it",
        "ключ-ключ-ключ",
        &"k".repeat(513),
        "1234567",
    ] {
        let mut one = body("google");
        one["key"] = key.into();
        for answer in
            [app.post("/api/provider-keys", token, &one).await, app.put(&path, token, &json!({ "key": key })).await]
        {
            assert_eq!((answer.status, answer.fields()), (400, vec!["key"]), "{}", answer.body);
            assert!(!answer.body.to_string().contains(key), "{}", answer.body);
        }
    }
    // A key in the wrong place is not repeated either.
    let wrong = json!({ "provider": KEY, "label": "x", "key": KEY, KEY: 1 });
    let answer = app.post("/api/provider-keys", token, &wrong).await;
    assert_eq!(answer.status, 400);
    let messages = answer.body["errors"].as_array().expect("faults").iter().map(|fault| fault["message"].to_string());
    assert!(messages.into_iter().all(|message| !message.contains(KEY)), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_ones_own_have_keys() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let longest = format!("{}.example:65535", "a".repeat(245));
    for name in
        ["crm", "api.groq.com", "llm.example.org:8443", "10.0.0.7:8000", "localhost:1", "x", "xn--p1ai", &longest]
    {
        let made = app.post("/api/provider-keys", token, &body(name)).await.expect(201);
        assert_eq!(made["provider"], name);
        let kept = app.store().read(asha.tenant, "test.reveal", async |tx| provider_keys::reveal(tx, name).await).await;
        assert_eq!(kept.expect("a key").expect("one").expose_secret(), KEY, "{name}");
    }
    for name in [
        "",
        "API.groq.com",
        "https://api.groq.com",
        "api.groq.com/v1",
        "api.groq.com:",
        "api.groq.com:443443",
        "api.groq.com:0",
        "a:1:2",
        ".groq.com",
        "groq.com.",
        "-a",
        "a b",
        "a_b",
        "[::1]",
        "grüße.example",
        "a\nb",
        &format!("a{longest}"),
    ] {
        app.post("/api/provider-keys", token, &body(name)).await.expect_problem_fields(&["provider"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_key_is_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let made = app.post("/api/provider-keys", &asha.access_token, &body("openai")).await.expect(201);
    for id in [made["id"].as_str().expect("an id"), "01940b6e-0000-7000-8000-000000000001", "x"] {
        let path = format!("/api/provider-keys/{id}");
        app.put(&path, &ravi.access_token, &json!({ "key": KEY })).await.expect_problem(404, "not_found");
        app.delete(&path, &ravi.access_token).await.expect_problem(404, "not_found");
        // There is no way to ask for one.
        let answer = app.request(Method::GET, &path).token(&asha.access_token).send().await;
        answer.expect_problem(405, "method_not_allowed");
    }
    assert_eq!(app.get("/api/provider-keys", &ravi.access_token).await.expect(200)["items"], json!([]));
}
