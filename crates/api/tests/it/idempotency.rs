//! Requests with an `Idempotency-Key`.

use crate::agents::{agent, agent_body};
use crate::app::{Answer, Person, TestApp};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn post(app: &TestApp, person: &Person, path: &str, key: &str, body: &Value) -> Answer {
    let request = app.request(Method::POST, path).token(&person.access_token).header("idempotency-key", key);
    request.json(body).send().await
}

async fn agents_there(app: &TestApp, person: &Person) -> usize {
    app.get("/api/agents?limit=200", &person.access_token).await.expect(200)["items"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_answer_and_takes_effect_once() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let first = post(&app, &asha, "/api/agents", "key-1", &agent_body("Reception")).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    app.clock.advance(chrono::Duration::minutes(5));
    // Other spaces and another order are the same request.
    let text =
        "{\"config\":{\"brain\":{\"text\":\"name = \\\"Clinic\\\"\\n\",\"kind\":\"flow\"}},\n \"name\":\" Reception\"}";
    let request = app.request(Method::POST, "/api/agents").token(&asha.access_token).header("idempotency-key", "key-1");
    let again = request.header("content-type", "application/json").text(text.to_owned()).send().await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.body, first.body);
    assert_eq!(agents_there(&app, &asha).await, 1);
    let id = first.body["id"].as_str().expect("an id");
    assert_eq!(app.audited_times(asha.tenant, "agent.created", id).await, 1);
    // Without a key each is new.
    agent(&app, &asha, "Reception").await;
    assert_eq!(agents_there(&app, &asha).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_take_effect_once() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let body = agent_body("Reception");
    let answers =
        futures_util::future::join_all((0..20).map(|_| post(&app, &asha, "/api/agents", "key-1", &body))).await;
    let ids: BTreeSet<String> = answers.iter().map(|answer| answer.body["id"].to_string()).collect();
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count(), 19);
    assert_eq!(agents_there(&app, &asha).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request_of_one_organisation_on_one_route() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let made = post(&app, &asha, "/api/agents", "key-1", &agent_body("Reception")).await.expect(201);
    let other = post(&app, &asha, "/api/agents", "key-1", &agent_body("Another")).await;
    other.expect_problem(422, "idempotency_key_reused");
    assert_eq!(agents_there(&app, &asha).await, 1);
    let theirs = post(&app, &ravi, "/api/agents", "key-1", &agent_body("Reception")).await;
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (201, ""));
    assert_ne!(theirs.body["id"], made["id"]);
    let number = json!({ "number": "+918047491899", "carrier": "exotel", "agent_id": made["id"] });
    let connected = post(&app, &asha, "/api/phone-numbers", "key-1", &number).await;
    assert_eq!((connected.status, connected.header("idempotency-replayed")), (201, ""));
    // Where the second one alone would be a conflict, the same one is not.
    let again = post(&app, &asha, "/api/phone-numbers", "key-1", &number).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.body, connected.body);
    post(&app, &asha, "/api/phone-numbers", "key-2", &number).await.expect_problem(409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_failed_may_be_sent_again() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let number = |agent: &str| json!({ "number": "+918047491899", "carrier": "exotel", "agent_id": agent });
    let nobody = "01940b6e-0000-7000-8000-000000000001";
    post(&app, &asha, "/api/phone-numbers", "key-1", &number(nobody)).await.expect_problem(400, "invalid_fields");
    let mended = post(&app, &asha, "/api/phone-numbers", "key-1", &number(&agent)).await;
    assert_eq!((mended.status, mended.header("idempotency-replayed")), (201, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_a_day() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let body = agent_body("Reception");
    let first = post(&app, &asha, "/api/agents", "key-1", &body).await.expect(201);
    app.clock.advance(chrono::Duration::hours(25));
    // The session is still good, the access token is not.
    let asha = app.logged_in(asha.tenant, asha.user, &asha.email, asha.role).await;
    let second = post(&app, &asha, "/api/agents", "key-1", &body).await.expect(201);
    assert_ne!(first["id"], second["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_one_is_refused() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    for key in ["", "with space", "tab\there", &"k".repeat(256)] {
        let answer = post(&app, &asha, "/api/agents", key, &agent_body("Reception")).await;
        assert_eq!((answer.status, answer.fields()), (400, vec!["Idempotency-Key"]), "{key:?}");
    }
    assert_eq!(agents_there(&app, &asha).await, 0);
    post(&app, &asha, "/api/agents", &"k".repeat(255), &agent_body("Reception")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_gets_no_kept_answer_either() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let viewer = app.member(asha.tenant, "Vera", model::Role::Viewer).await;
    let body = agent_body("Reception");
    post(&app, &asha, "/api/agents", "key-1", &body).await.expect(201);
    post(&app, &viewer, "/api/agents", "key-1", &body).await.expect_problem(403, "forbidden");
}
