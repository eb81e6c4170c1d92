//! Agents over HTTP.

use crate::app::{Person, TestApp};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(crate) fn agent_body(name: &str) -> Value {
    json!({ "name": name, "config": { "brain": { "kind": "flow", "text": "name = \"Clinic\"\n" } } })
}

/// Makes one; its id.
pub(crate) async fn agent(app: &TestApp, person: &Person, name: &str) -> String {
    let made = app.post("/api/agents", &person.access_token, &agent_body(name)).await.expect(201);
    made["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_made_shown_changed_and_deleted() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let token = &asha.access_token;
    let made = app.post("/api/agents", token, &agent_body("  Reception ")).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    let path = format!("/api/agents/{id}");
    assert_eq!(made["name"], "Reception");
    assert_eq!(made["config"]["turn_taking"]["pause_long_ms"], 1100, "defaults are written out");
    assert_eq!(made["created_at"], made["updated_at"]);
    assert_eq!(app.get(&path, token).await.expect(200), made);

    app.clock.advance(chrono::Duration::seconds(60));
    let change = json!({ "name": "Night", "config": {
        "language": "hi-IN",
        "brain": { "kind": "language-model", "base_url": "http://127.0.0.1:1/v1", "model": "m", "system_prompt": "Be brief." },
        "tools": { "book_visit": { "kind": "record" } },
        "max_duration_s": 60, "record": false,
    } });
    let changed = app.put(&path, token, &change).await.expect(200);
    assert_eq!((&changed["id"], &changed["name"]), (&made["id"], &json!("Night")));
    assert_eq!(changed["config"]["brain"]["temperature"], 0.4);
    assert_ne!(changed["updated_at"], made["updated_at"]);
    assert_eq!(app.get(&path, token).await.expect(200), changed);
    // What is shown can be sent back.
    let again = json!({ "name": changed["name"], "config": changed["config"] });
    assert_eq!(app.put(&path, token, &again).await.expect(200)["config"], changed["config"]);

    let list = app.get("/api/agents", token).await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["name"], "Night");
    assert!(list["items"][0].get("config").is_none() && list.get("next_cursor").is_none());

    assert_eq!(app.delete(&path, token).await.expect(204), Value::Null);
    app.get(&path, token).await.expect_problem(404, "not_found");
    app.delete(&path, token).await.expect_problem(404, "not_found");
    for kind in ["agent.created", "agent.deleted"] {
        assert_eq!(app.audited_times(asha.tenant, kind, id).await, 1, "{kind}");
    }
    assert_eq!(app.audited_times(asha.tenant, "agent.updated", id).await, 2);
    let actor = format!("user:{}", asha.user);
    assert!(app.audited(asha.tenant).await.iter().all(|(_, who, _)| *who == actor));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_configuration_is_told_at_once() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let bad = json!({
        "name": "", "unknown": 1,
        "config": {
            "language": "x", "greeting": "g".repeat(2001), "max_duration_s": 9, "extra": true,
            "brain": { "kind": "flow" },
            "speech": { "transcriber": "", "mouth": "x" },
            "turn_taking": { "pause_short_ms": 99, "pause_long_ms": 10_001, "reminders_max": "two" },
            "tools": { "book visit": { "kind": "record" }, "other": { "kind": "call", "url": "x" } },
        },
    });
    let answer = app.post("/api/agents", &asha.access_token, &bad).await;
    answer.expect_problem_fields(&[
        "config.brain.text",
        "config.extra",
        "config.greeting",
        "config.language",
        "config.max_duration_s",
        "config.speech.mouth",
        "config.speech.transcriber",
        "config.tools",
        "config.tools.other.kind",
        "config.tools.other.url",
        "config.turn_taking.pause_long_ms",
        "config.turn_taking.pause_short_ms",
        "config.turn_taking.reminders_max",
        "name",
        "unknown",
    ]);
    assert!(app.get("/api/agents", &asha.access_token).await.expect(200)["items"] == json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_refused_alone() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let model =
        |base_url: &str| json!({ "kind": "language-model", "base_url": base_url, "model": "m", "system_prompt": "p" });
    let cases = [
        ("/config/brain", json!({ "kind": "oracle", "text": "name" }), "config.brain.kind"),
        ("/config/brain", json!({ "kind": "flow", "text": "name", "more": 1 }), "config.brain.more"),
        ("/config/brain", json!({ "kind": "flow", "text": "x = 1" }), "config.brain.text"),
        ("/config/brain", model("ftp://models.example.org"), "config.brain.base_url"),
        ("/config/brain", model("https://user:secret@models.example.org"), "config.brain.base_url"),
        (
            "/config/brain",
            json!({ "kind": "language-model", "base_url": "https://x.org", "model": "m" }),
            "config.brain.system_prompt",
        ),
        ("/config/speech", json!({ "transcriber": "ears" }), "config.speech.transcriber"),
        (
            "/config/turn_taking",
            json!({ "pause_short_ms": 900, "pause_long_ms": 800 }),
            "config.turn_taking.pause_long_ms",
        ),
        ("/config/tools", json!({ "a": { "kind": "record", "url": "x" } }), "config.tools.a.url"),
        ("/config/greeting", json!(7), "config.greeting"),
        ("/name", json!("n".repeat(121)), "name"),
        ("/name", json!("<b>"), "name"),
        ("/config", json!({}), "config.brain"),
        ("/config", Value::Null, "config"),
    ];
    for (place, value, field) in cases {
        let mut body = agent_body("Reception");
        let (parent, name) = place.rsplit_once('/').expect("a place");
        body.pointer_mut(parent).expect("an object")[name] = value;
        let answer = app.post("/api/agents", &asha.access_token, &body).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_fields"), "{place} {}", answer.body);
        assert_eq!(answer.fields(), [field], "{place} {}", answer.body);
        assert!(!answer.body.to_string().contains("secret"), "no message repeats a value");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_has_a_largest_size() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let sized = |bytes: usize| {
        let mut body = agent_body("Large");
        body["config"]["brain"]["text"] = format!("name{}", "x".repeat(bytes)).into();
        body
    };
    app.post("/api/agents", &asha.access_token, &sized(100_000)).await.expect(201);
    app.post("/api/agents", &asha.access_token, &sized(200_000)).await.expect_problem(400, "invalid_fields");
    app.post("/api/agents", &asha.access_token, &sized(600_000)).await.expect_problem(413, "body_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_no_agent() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let post = |kind: &'static str, text: &str| {
        app.request(Method::POST, "/api/agents")
            .token(&asha.access_token)
            .header("content-type", kind)
            .text(text.to_owned())
            .send()
    };
    post("application/json", "{\"name\":").await.expect_problem(400, "malformed_body");
    post("application/json", "").await.expect_problem(400, "malformed_body");
    post("application/json", "[]").await.expect_problem(400, "invalid_fields");
    post("application/x-www-form-urlencoded", "name=x").await.expect_problem(415, "unsupported_media_type");
    post("text/plain", &agent_body("x").to_string()).await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_agent_is_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let id = agent(&app, &asha, "Reception").await;
    let theirs = format!("/api/agents/{id}");
    let nobodys = "/api/agents/01940b6e-0000-7000-8000-000000000001";
    let token = &ravi.access_token;
    for path in [theirs.as_str(), nobodys, "/api/agents/not-an-id", "/api/agents/7"] {
        for (method, body) in [(Method::GET, None), (Method::PUT, Some(agent_body("Mine now"))), (Method::DELETE, None)]
        {
            let request = app.request(method.clone(), path).token(token);
            let request = body.iter().fold(request, |request, body| request.json(body));
            let problem = request.send().await.expect_problem(404, "not_found");
            assert_eq!(problem["detail"], "there is no such thing", "{method} {path}");
        }
    }
    assert_eq!(app.get("/api/agents", token).await.expect(200)["items"], json!([]));
    assert_eq!(app.get(&theirs, &asha.access_token).await.expect(200)["name"], "Reception");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_in_use_stays() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let id = agent(&app, &asha, "Reception").await;
    let number = json!({ "number": "+918047491899", "carrier": "exotel", "agent_id": id });
    app.post("/api/phone-numbers", &asha.access_token, &number).await.expect(201);
    let path = format!("/api/agents/{id}");
    app.delete(&path, &asha.access_token).await.expect_problem(409, "conflict");
    app.get(&path, &asha.access_token).await.expect(200);
    assert_eq!(app.audited_times(asha.tenant, "agent.deleted", &id).await, 0, "what did not happen is not on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_skip_nor_repeat_while_agents_are_added() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    for n in 0..120 {
        // Three at each instant: the id decides between them.
        if n % 3 == 0 {
            app.clock.advance(chrono::Duration::milliseconds(1));
        }
        agent(&app, &asha, &format!("Agent {n}")).await;
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let after = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        let page = app.get(&format!("/api/agents?limit=50{after}"), &asha.access_token).await.expect(200);
        let items = page["items"].as_array().expect("a list").clone();
        seen.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        pages += 1;
        app.clock.advance(chrono::Duration::seconds(1));
        agent(&app, &asha, &format!("Late {pages}")).await;
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (3, 120));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 120);
    assert!(seen.iter().all(|name| name.starts_with("Agent ")), "what came later is on no later page");
    for (query, field) in
        [("cursor=x", "cursor"), ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("page=2", "page")]
    {
        let answer = app.get(&format!("/api/agents?{query}"), &asha.access_token).await;
        assert_eq!((answer.status, answer.fields()), (400, vec![field]), "{query}");
    }
}
