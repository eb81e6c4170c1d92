//! Accounts at carriers over HTTP: their tokens go in and do not come out.

use crate::app::{Answer, Person, TestApp};
use model::{CarrierKind, Role};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::carrier_accounts;

const PATH: &str = "/api/carrier-accounts";
const TOKEN: &str = "0123456789-of-the-test-x7Qf";
const TWILIO: &str = "AC0123456789abcdef0123456789abcdef";

fn exotel() -> Value {
    json!({
        "carrier": "exotel",
        "account_id": "clinic1",
        "region": "mumbai",
        "api_key": "key-of-the-clinic",
        "flow_id": "926",
        "token": TOKEN,
    })
}

fn other(carrier: &str, account_id: &str) -> Value {
    json!({ "carrier": carrier, "account_id": account_id, "token": TOKEN })
}

fn with(mut body: Value, field: &str, value: impl Into<Value>) -> Value {
    body[field] = value.into();
    body
}

async fn made(app: &TestApp, person: &Person, body: &Value) -> (Value, String) {
    let made = app.post(PATH, &person.access_token, body).await.expect(201);
    let path = format!("{PATH}/{}", made["id"].as_str().expect("an id"));
    (made, path)
}

/// What is used for Exotel: the flow and the token.
async fn used(app: &TestApp, person: &Person) -> (Option<String>, String) {
    let (account, token) = app
        .store()
        .read(person.tenant, "test.reveal", async |tx| carrier_accounts::reveal(tx, CarrierKind::Exotel).await)
        .await
        .expect("read")
        .expect("there");
    (account.flow_id, token.expose_secret().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_kept_changed_and_forgotten_and_its_token_never_shown() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let (first, path) = made(&app, &asha, &exotel()).await;
    let mut want = exotel();
    want.as_object_mut().expect("an object").remove("token");
    for field in ["carrier", "account_id", "region", "api_key", "flow_id"] {
        assert_eq!(first[field], want[field], "{field}");
    }
    assert_eq!(first["last4"], "x7Qf");
    assert_eq!(app.get(&path, token).await.expect(200), first);
    assert_eq!(used(&app, &asha).await, (Some("926".to_owned()), TOKEN.to_owned()));
    app.clock.advance(chrono::Duration::seconds(1));
    let new = "another-token-of-the-test-9z8y";
    let replaced = app.patch(&path, token, &json!({ "token": new })).await.expect(200);
    assert_eq!((&replaced["last4"], &replaced["created_at"]), (&json!("9z8y"), &first["created_at"]));
    assert_ne!(replaced["updated_at"], first["updated_at"]);
    assert_eq!(used(&app, &asha).await, (Some("926".to_owned()), new.to_owned()), "the flow stays");
    let change = json!({ "account_id": "clinic2", "region": "singapore", "api_key": "second", "flow_id": null });
    let changed = app.patch(&path, token, &change).await.expect(200);
    assert_eq!((&changed["account_id"], &changed["region"]), (&json!("clinic2"), &json!("singapore")));
    assert_eq!((&changed["api_key"], changed.get("flow_id")), (&json!("second"), None));
    assert_eq!(used(&app, &asha).await, (None, new.to_owned()), "the token stays");
    let unchanged = app.patch(&path, token, &json!({})).await.expect(200);
    assert_eq!(unchanged, changed);
    let listed = app.get(PATH, token).await.expect(200);
    assert_eq!(listed["items"], json!([changed]));
    let log = app.get("/api/audit-logs", token).await.expect(200);
    for shown in [&first, &replaced, &changed, &listed, &log] {
        let shown = shown.to_string();
        assert!(!shown.contains("of-the-test") && !shown.contains("sealed"), "{shown}");
    }
    let id = first["id"].as_str().expect("an id");
    app.delete(&path, token).await.expect(204);
    app.delete(&path, token).await.expect_problem(404, "not_found");
    app.get(&path, token).await.expect_problem(404, "not_found");
    app.patch(&path, token, &change).await.expect_problem(404, "not_found");
    for (kind, times) in
        [("carrier_account.created", 1), ("carrier_account.updated", 2), ("carrier_account.deleted", 1)]
    {
        assert_eq!(app.audited_times(asha.tenant, kind, id).await, times, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_account_at_each_carrier() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let all = [
        exotel(),
        other("twilio", TWILIO),
        other("plivo", "MAXXXXXXXXXXXXXXXXXX"),
        other("vobiz", "MA1"),
        other("smartflo", "team-7"),
    ];
    assert_eq!(all.len(), CarrierKind::ALL.len());
    for body in &all {
        app.clock.advance(chrono::Duration::seconds(1));
        made(&app, &asha, body).await;
        app.post(PATH, &asha.access_token, body).await.expect_problem(409, "conflict");
    }
    let page = app.get(&format!("{PATH}?limit=2"), &asha.access_token).await.expect(200);
    let next = page["next_cursor"].as_str().expect("more");
    let rest = app.get(&format!("{PATH}?limit=9&cursor={next}"), &asha.access_token).await.expect(200);
    let carriers: Vec<_> = [&page, &rest]
        .iter()
        .flat_map(|page| page["items"].as_array().expect("items"))
        .map(|account| account["carrier"].as_str().expect("a carrier").to_owned())
        .collect();
    assert_eq!(carriers, ["smartflo", "vobiz", "plivo", "twilio", "exotel"]);
    made(&app, &ravi, &exotel()).await;
    let second = other("plivo", "MA2");
    let posts = (0..10).map(|_| app.post(PATH, &ravi.access_token, &second));
    let answers = futures_util::future::join_all(posts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_answered_alike() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let post = async |body: &Value| {
        let request = app.request(reqwest::Method::POST, PATH).token(&asha.access_token);
        request.header("Idempotency-Key", "one").json(body).send().await
    };
    let first = post(&exotel()).await.expect(201);
    let again = post(&exotel()).await;
    assert_eq!((again.status, again.header("Idempotency-Replayed")), (201, "true"));
    assert_eq!(again.body, first);
    // The token belongs to the request, too.
    for other in [with(exotel(), "token", "another-token"), with(exotel(), "flow_id", "1")] {
        post(&other).await.expect_problem(422, "idempotency_key_reused");
    }
    let listed = app.get(PATH, &asha.access_token).await.expect(200);
    assert_eq!(listed["items"], json!([first]));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_name_their_field_and_not_the_token() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let post = async |body: &Value| -> Answer { app.post(PATH, token, body).await };
    post(&json!({})).await.expect_problem_fields(&["carrier", "account_id", "token"]);
    let all = json!({ "carrier": "acme", "account_id": "", "token": "short", "last4": "abcd", "region": "moon" });
    post(&all).await.expect_problem_fields(&["carrier", "account_id", "token", "last4", "region"]);
    post(&other("exotel", "clinic1")).await.expect_problem_fields(&["region", "api_key"]);
    post(&other("exotel", "a/b")).await.expect_problem_fields(&["account_id", "region", "api_key"]);
    let foreign = json!({
        "carrier": "twilio", "account_id": "AC1", "token": TOKEN, "region": "mumbai", "api_key": "k", "flow_id": "1",
    });
    post(&foreign).await.expect_problem_fields(&["account_id", "region", "api_key", "flow_id"]);
    for (field, value) in [
        ("account_id", "../../v1"),
        ("account_id", "clinic 1"),
        ("region", "delhi"),
        ("api_key", "key:with-a-colon"),
        ("api_key", ""),
        ("flow_id", "1/2"),
        ("token", "1234567"),
        ("token", "with a space in it"),
        ("token", "new\nline-in-it"),
        ("token", "ключ-ключ-ключ"),
    ] {
        let answer = post(&with(exotel(), field, value)).await;
        assert_eq!((answer.status, answer.fields()), (400, vec![field]), "{value}: {}", answer.body);
        if field == "token" {
            assert!(!answer.body.to_string().contains(value), "{}", answer.body);
        }
    }
    let long = "t".repeat(2_049);
    post(&with(exotel(), "token", long)).await.expect_problem_fields(&["token"]);
    post(&with(exotel(), "token", "t".repeat(2_048))).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_leaves_an_account_of_its_carrier() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let (twilio, twilio_path) = made(&app, &asha, &other("twilio", TWILIO)).await;
    let (_, exotel_path) = made(&app, &asha, &exotel()).await;
    for (path, change, fields) in [
        (&twilio_path, json!({ "region": "mumbai" }), vec!["region"]),
        (&twilio_path, json!({ "api_key": "k", "flow_id": "1" }), vec!["api_key", "flow_id"]),
        (&twilio_path, json!({ "account_id": "clinic1" }), vec!["account_id"]),
        (&twilio_path, json!({ "carrier": "plivo" }), vec!["carrier"]),
        (&twilio_path, json!({ "token": "short" }), vec!["token"]),
        (&exotel_path, json!({ "account_id": "a.b" }), vec!["account_id"]),
        (&exotel_path, json!({ "flow_id": "" }), vec!["flow_id"]),
    ] {
        let answer = app.patch(path, token, &change).await;
        assert_eq!((answer.status, answer.fields()), (400, fields), "{change}: {}", answer.body);
    }
    assert_eq!(app.get(&twilio_path, token).await.expect(200), twilio);
    // Nothing of Exotel's stands in another carrier's account.
    let fields: Vec<_> = twilio.as_object().expect("an object").keys().map(String::as_str).collect();
    assert!(["region", "api_key", "flow_id"].iter().all(|field| !fields.contains(field)), "{fields:?}");
    // What Exotel needs cannot be taken away: null says nothing there.
    let same = app.patch(&exotel_path, token, &json!({ "region": null, "api_key": null })).await.expect(200);
    assert_eq!((&same["region"], &same["api_key"]), (&json!("mumbai"), &json!("key-of-the-clinic")));
    app.patch(&twilio_path, token, &json!({ "flow_id": null })).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_account_is_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let (_, path) = made(&app, &asha, &exotel()).await;
    let nobodys = format!("{PATH}/01940b6e-0000-7000-8000-000000000001");
    for path in [path.as_str(), &nobodys, &format!("{PATH}/x")] {
        app.get(path, &ravi.access_token).await.expect_problem(404, "not_found");
        app.patch(path, &ravi.access_token, &json!({ "token": TOKEN })).await.expect_problem(404, "not_found");
        app.delete(path, &ravi.access_token).await.expect_problem(404, "not_found");
    }
    assert_eq!(app.get(PATH, &ravi.access_token).await.expect(200)["items"], json!([]));
    assert_eq!(used(&app, &asha).await.1, TOKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_viewers_do_not_see_accounts() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let (_, path) = made(&app, &asha, &exotel()).await;
    for role in [Role::Member, Role::Viewer] {
        let person = app.member(asha.tenant, role.as_str(), role).await;
        let token = &person.access_token;
        app.get(PATH, token).await.expect_problem(403, "forbidden");
        app.get(&path, token).await.expect_problem(403, "forbidden");
        app.post(PATH, token, &other("plivo", "MA1")).await.expect_problem(403, "forbidden");
        app.patch(&path, token, &json!({ "flow_id": null })).await.expect_problem(403, "forbidden");
        app.delete(&path, token).await.expect_problem(403, "forbidden");
    }
}
