//! Phone numbers over HTTP.

use crate::agents::agent;
use crate::app::{PUBLIC_URL, Person, TestApp};
use reqwest::Method;
use serde_json::{Value, json};

fn number_body(number: &str, agent: &str) -> Value {
    json!({ "number": number, "carrier": "exotel", "agent_id": agent })
}

/// Connects one; its id.
pub(crate) async fn phone_number(app: &TestApp, person: &Person, number: &str, agent: &str) -> String {
    let made = app.post("/api/phone-numbers", &person.access_token, &number_body(number, agent)).await.expect(201);
    made["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_connected_assigned_and_disconnected() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let (day, night) = (agent(&app, &asha, "Day").await, agent(&app, &asha, "Night").await);
    let made = app.post("/api/phone-numbers", token, &number_body(" 080 4749-1899 ", &day)).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    let path = format!("/api/phone-numbers/{id}");
    assert_eq!(made["number"], "+918047491899", "as it is kept");
    assert_eq!((&made["agent_id"], &made["has_webhook_address"]), (&json!(day), &json!(false)));
    assert_eq!(app.get(&path, token).await.expect(200), made);
    let changed = app.patch(&path, token, &json!({ "agent_id": night })).await.expect(200);
    assert_eq!(changed["agent_id"], json!(night));
    assert_eq!(app.get("/api/phone-numbers", token).await.expect(200)["items"], json!([changed]));
    app.delete(&path, token).await.expect(204);
    app.delete(&path, token).await.expect_problem(404, "not_found");
    for kind in ["phone_number.created", "phone_number.updated", "phone_number.deleted"] {
        assert_eq!(app.audited_times(asha.tenant, kind, id).await, 1, "{kind}");
    }
    let log = app.get("/api/audit-logs", token).await.expect(200).to_string();
    assert!(!log.contains("8047491899"), "no number in the log");
    // Gone here, so it can be connected again, by anybody.
    let ravi = app.signed_up("Ravi").await;
    let theirs = agent(&app, &ravi, "Theirs").await;
    phone_number(&app, &ravi, "+918047491899", &theirs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_connected_once_whoever_has_it() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let (hers, his) = (agent(&app, &asha, "Hers").await, agent(&app, &ravi, "His").await);
    phone_number(&app, &asha, "+918047491899", &hers).await;
    let own = app.post("/api/phone-numbers", &asha.access_token, &number_body("08047491899", &hers)).await;
    let other = app.post("/api/phone-numbers", &ravi.access_token, &number_body("+918047491899", &his)).await;
    let (mut own, mut other) = (own.expect_problem(409, "conflict"), other.expect_problem(409, "conflict"));
    for problem in [&mut own, &mut other] {
        problem["request_id"] = Value::Null;
    }
    assert_eq!(own, other, "the answer does not tell who has it");
    // The index decides, not a look before: twenty at once connect it once.
    let one = number_body("+918047491898", &hers);
    let posts = (0..20).map(|_| app.post("/api/phone-numbers", &asha.access_token, &one));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(posts).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (201, &[409; 19][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let his = agent(&app, &ravi, "His").await;
    let token = &asha.access_token;
    let all = json!({ "number": "12", "carrier": "pigeon", "agent_id": "x", "webhook": "y" });
    app.post("/api/phone-numbers", token, &all)
        .await
        .expect_problem_fields(&["number", "carrier", "agent_id", "webhook"]);
    app.post("/api/phone-numbers", token, &json!({})).await.expect_problem_fields(&["number", "carrier", "agent_id"]);
    // Another organisation's agent is no agent.
    let nobodys = "01940b6e-0000-7000-8000-000000000001";
    for agent in [his.as_str(), nobodys] {
        let answer = app.post("/api/phone-numbers", token, &number_body("+918047491899", agent)).await;
        assert_eq!((answer.status, answer.fields()), (400, vec!["agent_id"]), "{}", answer.body);
    }
    let hers = agent(&app, &asha, "Hers").await;
    let id = phone_number(&app, &asha, "+918047491899", &hers).await;
    let path = format!("/api/phone-numbers/{id}");
    app.patch(&path, token, &json!({ "agent_id": his })).await.expect_problem_fields(&["agent_id"]);
    app.patch(&path, token, &json!({ "number": "+918047491898" })).await.expect_problem_fields(&["number"]);
    assert_eq!(app.get(&path, token).await.expect(200)["agent_id"], json!(hers));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_number_is_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let (hers, his) = (agent(&app, &asha, "Hers").await, agent(&app, &ravi, "His").await);
    let id = phone_number(&app, &asha, "+918047491899", &hers).await;
    for id in [id.as_str(), "01940b6e-0000-7000-8000-000000000001", "x"] {
        let path = format!("/api/phone-numbers/{id}");
        let token = &ravi.access_token;
        app.get(&path, token).await.expect_problem(404, "not_found");
        app.patch(&path, token, &json!({ "agent_id": his })).await.expect_problem(404, "not_found");
        app.delete(&path, token).await.expect_problem(404, "not_found");
        app.post(&format!("{path}/webhook-address"), token, &json!({})).await.expect_problem(404, "not_found");
    }
    let path = format!("/api/phone-numbers/{id}");
    assert_eq!(app.get(&path, &asha.access_token).await.expect(200)["has_webhook_address"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_address_is_shown_once_and_replaces_the_earlier_one() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let id = phone_number(&app, &asha, "+918047491899", &agent).await;
    let path = format!("/api/phone-numbers/{id}/webhook-address");
    let make = || app.request(Method::POST, &path).token(&asha.access_token).send();
    let urls =
        [make().await.expect(201), make().await.expect(201)].map(|body| body["url"].as_str().unwrap().to_owned());
    assert_ne!(urls[0], urls[1]);
    let front = format!("{PUBLIC_URL}/webhooks/exotel/voicebot/");
    let statuses = [announce(&app, &front, &urls[0]).await, announce(&app, &front, &urls[1]).await];
    assert_eq!(statuses, [404, 200], "the earlier address stopped working, the new one works");
    let shown = app.get(&format!("/api/phone-numbers/{id}"), &asha.access_token).await.expect(200);
    assert_eq!(shown["has_webhook_address"], true);
    let token = urls[1].strip_prefix(&front).expect("an address");
    assert_eq!(token.len(), 43, "256 bits");
    assert!(!shown.to_string().contains(token));
    assert!(!app.get("/api/audit-logs", &asha.access_token).await.expect(200).to_string().contains(token));
    assert_eq!(app.audited_times(asha.tenant, "phone_number.updated", &id).await, 2);
}

/// A call arrives at this address; the status.
async fn announce(app: &TestApp, front: &str, url: &str) -> u16 {
    let token = url.strip_prefix(front).expect("an address");
    let query = "CallSid=sid-1&CallFrom=09876543210&CallTo=08047491899&Direction=incoming";
    app.request(Method::GET, &format!("/webhooks/exotel/voicebot/{token}?{query}")).send().await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_with_calls_stays() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let id = phone_number(&app, &asha, "+918047491899", &agent).await;
    crate::calls::call(&app, &asha, &agent, "sid-1", |new| {
        new.phone_number = Some(id.parse().expect("an id"));
    })
    .await;
    app.delete(&format!("/api/phone-numbers/{id}"), &asha.access_token).await.expect_problem(409, "conflict");
}
