//! Secrets, phone numbers and words of callers, sent through every operation in every field, appear in no log line, no
//! error and no figure.

use crate::account::{NO_LIMITS, Person, ask};
use crate::place::Place;
use crate::post::{get, request, signed};
use crate::program::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// What must not appear: words that stand nowhere else.
const SECRET: &str = "canary-secret-5f1c9e";
const PHONE: &str = "+919700012345";
/// As carriers write it, and its digits alone.
const PHONE_DIGITS: &str = "9700012345";
const TRANSCRIPT: &str = "canary-transcript-77ab";
const OPERATOR: &str = "operator-token-of-the-tests-0123456789";

/// Every string of an example replaced: addresses stay addresses, everything else becomes a canary.
fn poisoned(value: &Value, with: &str) -> Value {
    match value {
        Value::String(_) => json!(with),
        Value::Array(items) => items.iter().map(|item| poisoned(item, with)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, v)| (name.clone(), poisoned(v, with))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[track_caller]
fn clean(what: &str, text: &str) {
    for canary in [SECRET, PHONE, PHONE_DIGITS, TRANSCRIPT] {
        let found = text.lines().find(|line| line.contains(canary));
        assert!(found.is_none(), "{what} shows {canary}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canaries_appear_in_no_log_line_error_or_figure() {
    let place = Place::sqlite();
    let settings = [NO_LIMITS, ("LOG_LEVEL", "debug"), ("CALY_OPERATOR_TOKEN", OPERATOR)];
    let server = Server::start(&place, &settings).await;
    let asha = Person::sign_up(&server, &place, "asha").await;
    let document = get(&server, "/openapi.json").await.body;
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, about) in item.as_object().expect("operations") {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            if path.starts_with("/api/auth/logout") {
                continue;
            }
            let example = about.pointer("/requestBody/content/application~1json/example").cloned();
            for canary in [SECRET, PHONE, TRANSCRIPT] {
                let filled = path.replace(['{', '}'], "");
                let bare = example.as_ref().map(|example| poisoned(example, canary));
                let query = format!("{filled}?cursor={}&email={}", encoded(canary), encoded(canary));
                for (address, token) in
                    [(&filled, asha.access.as_str()), (&query, asha.access.as_str()), (&filled, canary)]
                {
                    let answer = ask(&server, method.clone(), address, Some(token), bare.as_ref()).await;
                    if answer.status >= 400 {
                        clean(&format!("{method} {path}"), &answer.body.to_string());
                    }
                    asked += 1;
                }
                let inside = path.split('/').map(|part| if part.starts_with('{') { canary } else { part });
                let inside = inside.map(encoded).collect::<Vec<_>>().join("/");
                let headers =
                    [("user-agent", canary), ("x-request-id", canary), ("referer", canary), ("cookie", canary)];
                let answer = request(&server, method.clone(), &inside, &headers, canary).await;
                if answer.status >= 400 {
                    clean(&format!("{method} {path}"), &answer.body.to_string());
                }
            }
        }
    }
    assert!(asked > 300, "{asked}");

    // A real person's life with canaries in the places where they belong.
    let agent = json!({ "name": TRANSCRIPT, "config": { "brain": {
        "kind": "language-model", "base_url": "http://127.0.0.1:9/v1", "model": "m", "system_prompt": SECRET } } });
    let agent = asha.make(&server, "/api/agents", agent).await;
    let number = json!({ "number": PHONE, "carrier": "exotel", "agent_id": agent });
    asha.make(&server, "/api/phone-numbers", number).await;
    let key = json!({ "provider": "deepgram", "label": "ours", "key": SECRET });
    asha.make(&server, "/api/provider-keys", key).await;
    let shown = asha.get(&server, "/api/provider-keys").await;
    assert!(!shown.body.to_string().contains(SECRET), "a key is written and never read: {shown:?}");
    let call = json!({ "CallSid": "canary-call", "CallFrom": PHONE_DIGITS, "CallTo": PHONE_DIGITS });
    let answer = signed(&server, "/webhooks/exotel/call-start", &call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    signed(&server, "/webhooks/exotel/call-end", &json!({ "CallSid": "canary-call", "CallStatus": "completed" })).await;
    for body in [json!({ "email": "x@y.z", "password": SECRET }), json!({ "email": SECRET, "password": SECRET })] {
        ask(&server, Method::POST, "/api/auth/login", None, Some(&body)).await;
    }

    let figures = ask(&server, Method::GET, "/api/monitoring/requests", Some(OPERATOR), None).await;
    assert_eq!(figures.status, 200, "{figures:?}");
    clean("the figures", &figures.body.to_string());
    clean("the log", &server.output());
    let audit = asha.get(&server, "/api/audit-logs?limit=200").await;
    clean("the audit log", &audit.body.to_string());
    server.stop().await;
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
