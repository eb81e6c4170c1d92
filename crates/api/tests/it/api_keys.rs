//! API keys: made by people, for programs.

use crate::app::{Answer, Person, TestApp};
use chrono::Duration;
use model::{Role, Scope};
use serde_json::{Value, json};

async fn make(app: &TestApp, by: &Person, body: &Value) -> Answer {
    app.post("/api/api-keys", &by.access_token, body).await
}

fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().expect("text")
}

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let body = json!({ "name": "Booking", "scopes": ["calls:read", "organisation:read", "calls:read"] });
    let made = make(&app, &owner, &body).await.expect(201);
    let (key, id) = (text(&made, "key").to_owned(), text(&made, "id").to_owned());
    assert!(key.starts_with("caly_key_") && key.ends_with(text(&made, "last4")));
    assert_eq!(made["scopes"], json!(["organisation:read", "calls:read"]));

    app.get("/api/organisation", &key).await.expect(200);
    app.get("/api/members", &key).await.expect_problem(403, "forbidden");
    let list = app.get("/api/api-keys", &owner.access_token).await.expect(200);
    assert!(!list.to_string().contains(&key) && list["items"][0].get("key").is_none());
    assert!(list["items"][0]["last_used_at"].is_string());
    assert_eq!(list["items"][0]["created_by"], json!(owner.user));

    let path = format!("/api/api-keys/{id}");
    app.delete(&path, &owner.access_token).await.expect(204);
    app.get("/api/organisation", &key).await.expect_problem(401, "unauthenticated");
    app.delete(&path, &owner.access_token).await.expect(204);
    let list = app.get("/api/api-keys", &owner.access_token).await.expect(200);
    assert!(list["items"][0]["revoked_at"].is_string());
    assert_eq!(app.audited_times(owner.tenant, "api_key.created", &id).await, 1);
    assert_eq!(app.audited_times(owner.tenant, "api_key.revoked", &id).await, 1);
}

#[tokio::test]
async fn no_key_does_more_than_keys_may() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    for scope in Scope::ALL.iter().copied() {
        let body = json!({ "name": "Of a test", "scopes": ["calls:read", scope] });
        let answer = make(&app, &owner, &body).await;
        if scope.for_api_keys() {
            answer.expect(201);
        } else {
            assert_eq!(answer.fields(), ["scopes.1"], "{scope}");
            answer.expect_problem(400, "invalid_fields");
        }
    }
}

#[tokio::test]
async fn only_admins_make_keys() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let body = json!({ "name": "Of a test", "scopes": ["calls:read"] });
    for (role, status) in [(Role::Viewer, 403), (Role::Member, 403), (Role::Admin, 201)] {
        let member = app.member(owner.tenant, &format!("A {role}"), role).await;
        make(&app, &member, &body).await.expect(status);
        let seen = app.get("/api/api-keys", &member.access_token).await.status;
        assert_eq!(seen, if status == 201 { 200 } else { 403 });
    }
    let (_, key) = app.api_key(&owner, &[Scope::ApiKeysRead]).await;
    app.get("/api/api-keys", &key).await.expect(200);
    app.post("/api/api-keys", &key, &body).await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn a_key_ends_when_it_was_said_to() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    let body = |at: chrono::DateTime<chrono::Utc>| json!({ "name": "Of a test", "scopes": ["organisation:read"], "expires_at": at });
    for past in [app.now(), app.now() - Duration::days(1)] {
        assert_eq!(make(&app, &owner, &body(past)).await.fields(), ["expires_at"]);
    }
    let made = make(&app, &owner, &body(app.now() + Duration::hours(1))).await.expect(201);
    let key = text(&made, "key");
    app.clock.advance(Duration::minutes(59));
    app.get("/api/organisation", key).await.expect(200);
    app.clock.advance(Duration::minutes(1));
    app.get("/api/organisation", key).await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn bodies_that_cannot_be_used_are_refused_field_by_field() {
    let app = TestApp::start().await;
    let owner = app.signed_up("Owner").await;
    for (field, body) in [
        ("name", json!({ "scopes": ["calls:read"] })),
        ("name", json!({ "name": "", "scopes": ["calls:read"] })),
        ("scopes", json!({ "name": "x" })),
        ("scopes", json!({ "name": "x", "scopes": [] })),
        ("scopes.0", json!({ "name": "x", "scopes": ["everything"] })),
        ("expires_at", json!({ "name": "x", "scopes": ["calls:read"], "expires_at": "tomorrow" })),
        ("key", json!({ "name": "x", "scopes": ["calls:read"], "key": "caly_key_mine" })),
    ] {
        let answer = make(&app, &owner, &body).await;
        assert_eq!(answer.fields(), [field], "{}", answer.body);
        answer.expect_problem(400, "invalid_fields");
    }
}

#[tokio::test]
async fn keys_of_others_are_not_there() {
    let app = TestApp::start().await;
    let (owner, stranger) = (app.signed_up("Owner").await, app.signed_up("Stranger").await);
    let (id, key) = app.api_key(&owner, &[Scope::OrganisationRead]).await;
    for id in [id.to_string().as_str(), "nonsense", "0192a000-0000-7000-8000-000000000001"] {
        let path = format!("/api/api-keys/{id}");
        app.delete(&path, &stranger.access_token).await.expect_problem(404, "not_found");
    }
    let seen = app.get("/api/organisation", &key).await.expect(200);
    assert_eq!(seen["id"], json!(owner.tenant));
    let list = app.get("/api/api-keys", &stranger.access_token).await.expect(200);
    assert_eq!(list["items"], json!([]));
}
