//! Web services as tools.

use super::{KEY, clients, key_of, run, tenant, toolbox, variables};
use model::{CallId, ToolConfig};
use providers::tools::{ToolError, Toolbox};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::peers::tool_server::{FakeToolServer, ToolReply};
use uuid::Uuid;

/// A tool that takes anything.
fn tool(url: String, more: Value) -> Value {
    let mut tool = json!({"kind": "http", "description": "Asks.", "url": url,
        "parameters": {"type": "object", "additionalProperties": true}, "timeout_ms": 1_500});
    for (name, value) in more.as_object().expect("an object") {
        tool[name] = value.clone();
    }
    json!({"ask": tool})
}

#[tokio::test]
async fn each_method_sends_its_arguments_where_they_belong() {
    let server = FakeToolServer::start().await;
    let given = json!({"doctor": "Dr. Rao/2", "day": "2026-11-21", "slots": [1, "b"], "more": {"a": 1}, "none": null});
    for (method, target, body) in [
        (
            "GET",
            "/slots/Dr.%20Rao%2F2?v=1&c=C-77&day=2026-11-21&more=%7B%22a%22%3A1%7D&slots=1&slots=b&team=north+C-77",
            Value::Null,
        ),
        (
            "DELETE",
            "/slots/Dr.%20Rao%2F2?v=1&c=C-77&day=2026-11-21&more=%7B%22a%22%3A1%7D&slots=1&slots=b&team=north+C-77",
            Value::Null,
        ),
        ("POST", "/slots/Dr.%20Rao%2F2?v=1&c=C-77", json!("body")),
        ("PUT", "/slots/Dr.%20Rao%2F2?v=1&c=C-77", json!("body")),
        ("PATCH", "/slots/Dr.%20Rao%2F2?v=1&c=C-77", json!("body")),
    ] {
        let url = server.url("/slots/{doctor}?v=1&c={{customer}}");
        let headers =
            json!({"X-Customer": "id {{customer}}", "Host": "evil.example", "Authorization": "x", "Cookie": "a=b"});
        let key = key_of(&url);
        let more = json!({"method": method, "fixed": {"team": "north {{customer}}"}, "headers": headers, "key": key});
        let tools = toolbox(&clients(), tool(url, more));
        let output = run(&tools, "ask", given.clone()).await.expect(method);
        assert_eq!((output.text.as_str(), output.values["ok"].as_str()), (r#"{"ok":true}"#, "true"));
        let last = server.last();
        assert_eq!((last.method.as_str(), last.target.as_str()), (method, target));
        if body.is_null() {
            assert!(last.json.is_null() && last.header("content-type").is_none());
        } else {
            let want =
                json!({"day": "2026-11-21", "slots": [1, "b"], "more": {"a": 1}, "none": null, "team": "north C-77"});
            assert_eq!((last.json.clone(), last.header("content-type")), (want, Some("application/json")));
        }
        assert_eq!(last.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        assert_eq!((last.header("x-customer"), last.header("cookie")), (Some("id C-77"), None));
        assert!(last.header("host").is_some_and(|host| host.starts_with("127.0.0.1:")));
        assert_eq!(last.header("idempotency-key").is_some(), method != "GET");
    }
}

#[tokio::test]
async fn what_is_fixed_wins_and_is_not_the_models_to_see() {
    let server = FakeToolServer::start().await;
    let parameters = json!({"type": "object", "properties": {"clinic": {"type": "string"}, "day": {"type": "string"}},
        "required": ["clinic", "day"], "additionalProperties": false});
    let more = json!({"parameters": parameters, "fixed": {"clinic": "7"}, "reads_only": true});
    let tools = toolbox(&clients(), tool(server.url("/book"), more));
    let spec = tools.specs().remove(0);
    assert!(!spec.parameters.to_string().contains("clinic"), "{}", spec.parameters);
    for given in [json!({"day": "x"}), json!({"day": "x", "clinic": "8"})] {
        run(&tools, "ask", given).await.expect("booked");
        assert_eq!(server.last().json, json!({"day": "x", "clinic": "7"}));
    }
}

#[tokio::test]
async fn answers_are_read_whatever_they_are() {
    let server = FakeToolServer::start().await;
    let long = "é".repeat(3_000);
    for (reply, want) in [
        (ToolReply::Json(json!({"id": "A-1", "n": 7, "list": [1]})), Ok(r#"{"id":"A-1","list":[1],"n":7}"#)),
        (ToolReply::Json(json!("plain")), Ok("plain")),
        (ToolReply::Json(json!([1, 2])), Ok("[1,2]")),
        (ToolReply::Typed("text/plain; charset=utf-8", "नमस्ते".to_owned()), Ok("नमस्ते")),
        (ToolReply::Typed("application/problem+json", "{\"a\":1}".to_owned()), Ok("{\"a\":1}")),
        (ToolReply::Typed("", "{ \"a\": 1 }".to_owned()), Ok("{\"a\":1}")),
        (ToolReply::Typed("", "free text".to_owned()), Ok("free text")),
        (ToolReply::Status(204, Vec::new(), Value::Null), Ok("done")),
        (ToolReply::Typed("application/json", "  ".to_owned()), Ok("done")),
        (ToolReply::Typed("text/html", "<html>".to_owned()), Err("neither JSON nor text")),
        (ToolReply::Typed("image/png", "x".to_owned()), Err("neither JSON nor text")),
        (ToolReply::Status(200, vec![("content-encoding", "gzip".to_owned())], json!(1)), Err("neither JSON nor text")),
        (ToolReply::Malformed, Err("broken JSON")),
        (ToolReply::Cut, Err("connection broke")),
        (ToolReply::status(400), Err(r#"status 400: {"error":{"message":"no such thing"}}"#)),
        (ToolReply::status(401), Err("status 401")),
        (ToolReply::status(404), Err("status 404")),
        (ToolReply::status(429), Err("status 429")),
        (ToolReply::status(500), Err("status 500")),
        (ToolReply::Status(418, vec![("x-secret", "s3cret".to_owned())], json!(long)), Err("status 418")),
    ] {
        server.answer("/a", [reply.clone()]);
        let tools = toolbox(&clients(), tool(server.url("/a"), json!({})));
        match (run(&tools, "ask", json!({})).await, want) {
            (Ok(output), Ok(text)) => assert_eq!(output.text, text),
            (Err(error), Err(said)) => {
                let told = error.to_string();
                assert!(told.contains(said) && told.len() < 450, "{reply:?}: {told}");
                assert!(!told.contains("127.0.0.1") && !told.contains("s3cret") && !told.contains(KEY), "{told}");
            }
            (outcome, want) => panic!("{reply:?}: {outcome:?} instead of {want:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_too_long_is_cut_and_says_so() {
    let server = FakeToolServer::start().await;
    server.answer("/long", [ToolReply::Typed("text/plain", "é".repeat(3_000))]);
    server.answer("/endless", [ToolReply::Endless]);
    server.answer("/big", [ToolReply::Json(json!({"list": "x".repeat(400_000)}))]);
    let limited = |path: &str| toolbox(&clients(), tool(server.url(path), json!({"result_bytes_max": 101})));
    let cut = run(&limited("/long"), "ask", json!({})).await.expect("cut").text;
    assert!(cut.starts_with(&"é".repeat(50)) && !cut.contains(&"é".repeat(51)) && cut.contains("was cut"), "{cut}");
    let cut = run(&limited("/endless"), "ask", json!({})).await.expect("cut").text;
    assert!(cut.starts_with(&"x".repeat(101)) && cut.contains("was cut"), "{cut}");
    assert_eq!(run(&limited("/big"), "ask", json!({})).await, Err(ToolError::TooLarge));
}

#[tokio::test]
async fn the_time_is_over_for_everything_together() {
    let server = FakeToolServer::start().await;
    server.answer("/hang", [ToolReply::Hang]);
    server.answer("/drip", [ToolReply::Drip]);
    let slow = ToolReply::After(Duration::from_millis(250), Box::new(ToolReply::status(503)));
    server.answer("/slow-twice", [slow]);
    for path in ["/hang", "/drip", "/slow-twice"] {
        let more = json!({"timeout_ms": 400, "reads_only": true});
        let began = Instant::now();
        let outcome = run(&toolbox(&clients(), tool(server.url(path), more)), "ask", json!({})).await;
        assert_eq!(outcome, Err(ToolError::TimedOut), "{path}");
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    let tools = toolbox(&clients(), tool(format!("http://{}/", testkit::nobody::nobody()), json!({})));
    let told = run(&tools, "ask", json!({})).await.expect_err("nobody").to_string();
    assert_eq!(told, "it failed: the service could not be reached");
}

#[tokio::test]
async fn only_what_reads_is_tried_again_and_once() {
    let server = FakeToolServer::start().await;
    let fine = || ToolReply::Json(json!({"ok": true}));
    let wait = |seconds: &str| ToolReply::Status(429, vec![("retry-after", seconds.to_owned())], Value::Null);
    for (path, replies, reads_only, requests, is_ok) in [
        ("/a", vec![ToolReply::status(503), fine()], true, 2, true),
        ("/b", vec![ToolReply::status(503), ToolReply::status(503), fine()], true, 2, false),
        ("/c", vec![ToolReply::status(503), fine()], false, 1, false),
        ("/d", vec![ToolReply::status(404), fine()], true, 1, false),
        ("/e", vec![wait("0"), fine()], true, 2, true),
        ("/f", vec![wait("60"), fine()], true, 1, false),
        ("/g", vec![ToolReply::status(500), fine()], true, 2, true),
    ] {
        server.answer(path, replies);
        let before = server.requests().len();
        let tools = toolbox(&clients(), tool(server.url(path), json!({"reads_only": reads_only})));
        let outcome = run(&tools, "ask", json!({})).await;
        assert_eq!((outcome.is_ok(), server.requests().len() - before), (is_ok, requests), "{path}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_same_is_not_done_twice_in_a_call() {
    let server = FakeToolServer::start().await;
    server.answer("/book", [ToolReply::Json(json!({"booking": "B-9"}))]);
    server.answer("/broken", [ToolReply::status(500)]);
    server.answer("/wrong", [ToolReply::status(422)]);
    server.answer("/hang", [ToolReply::Hang]);
    let tools: BTreeMap<String, ToolConfig> =
        serde_json::from_value(tool(server.url("/book"), json!({}))).expect("tools");
    let call = CallId::from(Uuid::from_u128(99));
    let booking = Toolbox::for_call(&clients(), tenant(), call, &tools, &variables());
    run(&booking, "ask", json!({"day": 1, "who": "a"})).await.expect("booked");
    let first = server.last().header("idempotency-key").map(str::to_owned).expect("a key");
    assert!(first.starts_with(&format!("{call}-")), "{first}");
    let again = run(&booking, "ask", json!({"who": "a", "day": 1})).await.expect_err("done").to_string();
    assert!(again.contains("already done") && again.contains("B-9"), "{again}");
    run(&booking, "ask", json!({"day": 2, "who": "a"})).await.expect("another day is another booking");
    assert_ne!(server.last().header("idempotency-key"), Some(first.as_str()));
    assert_eq!(server.requests().len(), 2);
    for (path, timeout_ms, again) in
        [("/broken", 1_000, "not known"), ("/wrong", 1_000, "422"), ("/hang", 100, "not known")]
    {
        let tools = toolbox(&clients(), tool(server.url(path), json!({"timeout_ms": timeout_ms})));
        run(&tools, "ask", json!({})).await.expect_err(path);
        let said = run(&tools, "ask", json!({})).await.expect_err(path).to_string();
        assert!(said.contains(again), "{path}: {said}");
    }
    let reading = toolbox(&clients(), tool(server.url("/book"), json!({"reads_only": true})));
    for _ in 0..2 {
        run(&reading, "ask", json!({})).await.expect("reading again is fine");
    }
}

#[tokio::test]
async fn a_request_given_up_in_the_middle_counts_as_asked() {
    let server = FakeToolServer::start().await;
    server.answer("/hang", [ToolReply::Hang]);
    let tools = toolbox(&clients(), tool(server.url("/hang"), json!({})));
    let given_up = tokio::time::timeout(Duration::from_millis(200), run(&tools, "ask", json!({}))).await;
    assert!(given_up.is_err() && server.requests().len() == 1);
    let said = run(&tools, "ask", json!({})).await.expect_err("asked").to_string();
    assert!(said.contains("not known"), "{said}");
}

#[tokio::test]
async fn an_organisations_budget_is_kept_before_each_request() {
    let server = FakeToolServer::start().await;
    let clients = clients().with_requests_per_minute(3);
    let tools = || toolbox(&clients, tool(server.url("/a"), json!({"reads_only": true})));
    for _ in 0..3 {
        run(&tools(), "ask", json!({})).await.expect("within");
    }
    let said = run(&tools(), "ask", json!({})).await.expect_err("too much").to_string();
    assert!(said.contains("too much") && server.requests().len() == 3, "{said}");
}

#[tokio::test]
async fn a_missing_key_is_told_and_nothing_is_sent() {
    let server = FakeToolServer::start().await;
    // One that the organisation has not, and those of others: a key goes only to the host it is named after.
    for (key, url) in [
        ("other", server.url("/a")),
        ("127.0.0.1:9", server.url("/a")),
        ("openai", server.url("/a")),
        ("localhost", server.url("/a")),
    ] {
        let tools = toolbox(&clients(), tool(url, json!({"key": key})));
        let said = run(&tools, "ask", json!({})).await.expect_err("no key").to_string();
        assert_eq!((said.as_str(), server.requests().len()), ("it failed: its key is not set up", 0), "{key}");
    }
}

#[tokio::test]
async fn a_models_faults_are_told_so_that_it_can_do_better() {
    let server = FakeToolServer::start().await;
    let parameters = json!({"type": "object", "properties": {"day": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["day"]});
    let mut agent = tool(server.url("/a/{day}"), json!({"parameters": parameters, "method": "GET"}));
    agent["end"] = json!({"kind": "end-call"});
    let tools = toolbox(&clients(), agent);
    for (name, given, want) in [
        ("ask", json!({}), "\"day\" is a required property"),
        ("ask", json!({"day": 7}), "`day`: 7 is not of type \"string\""),
        ("ask", json!({"day": "x", "n": "many"}), "`n`: \"many\" is not of type \"integer\""),
        ("ask", json!({"day": "x", "extra": 1}), "'extra' was unexpected"),
        ("ask", json!({"day": ""}), "may not be empty"),
        ("ask", json!({"day": "x".repeat(9_000)}), "too long"),
        ("book", json!({}), "no tool of this name"),
        ("end", json!({}), "no tool of this name"),
        ("", json!({}), "no tool of this name"),
    ] {
        let said = run(&tools, name, given.clone()).await.expect_err("refused").to_string();
        assert!(said.contains(want), "{name} {given}: {said}");
    }
    assert!(server.requests().is_empty());
    let names: Vec<String> = tools.specs().into_iter().map(|spec| spec.name).collect();
    assert_eq!(names, ["ask", "end"]);
}
