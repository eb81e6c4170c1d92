//! The look-up before a call.

use super::{KEY, clients, key_of, tenant};
use model::{CallDirection, CallId, Lookup};
use providers::tools::{LOOKUP_VALUE_BYTES_MAX, LOOKUP_VARIABLES_MAX, LookupRequest, look_up};
use providers::{Error, ErrorKind};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::peers::tool_server::{FakeToolServer, ToolReply};
use uuid::Uuid;

fn asked() -> LookupRequest {
    LookupRequest {
        call_id: CallId::from(Uuid::from_u128(5)),
        direction: CallDirection::Incoming,
        caller_number: "+919876543210".to_owned(),
        agent_number: "+918047184718".to_owned(),
        variables: BTreeMap::from([("campaign".to_owned(), "diwali".to_owned())]),
    }
}

async fn look(url: String, key: &str, timeout_ms: u64) -> Result<BTreeMap<String, String>, Error> {
    look_up(&clients(), tenant(), &Lookup { url, timeout_ms, key: key.to_owned() }, &asked()).await
}

#[tokio::test]
async fn what_is_known_about_the_caller_becomes_variables() {
    let server = FakeToolServer::start().await;
    let want = BTreeMap::from(
        [("name", "Asha"), ("due", "1200.5"), ("vip", "true")].map(|(a, b)| (a.to_owned(), b.to_owned())),
    );
    let variables = json!({"name": "Asha", "due": 1200.5, "vip": true, "list": [1], "none": null, "in": {"x": 1}});
    for answer in [json!({"variables": variables.clone()}), variables] {
        server.answer("/look", [ToolReply::Json(answer)]);
        assert_eq!(look(server.url("/look"), &key_of(&server.url("/look")), 1_000).await.expect("found"), want);
    }
    let last = server.last();
    assert_eq!((last.method.as_str(), last.target.as_str()), ("POST", "/look"));
    assert_eq!(last.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(
        last.json,
        json!({"call_id": asked().call_id, "direction": "incoming", "caller_number": "+919876543210",
            "agent_number": "+918047184718", "variables": {"campaign": "diwali"}})
    );
    assert!(!format!("{:?}", asked()).contains("98765"), "numbers are not printed");
}

#[tokio::test]
async fn much_is_made_little() {
    let server = FakeToolServer::start().await;
    let many: Map<String, Value> = (0..500).map(|n| (format!("n{n}"), json!("x"))).collect();
    server.answer("/many", [ToolReply::Json(Value::Object(many))]);
    assert_eq!(look(server.url("/many"), "", 2_000).await.expect("found").len(), LOOKUP_VARIABLES_MAX);
    server.answer("/long", [ToolReply::Json(json!({"a": "é".repeat(10_000)}))]);
    assert_eq!(look(server.url("/long"), "", 2_000).await.expect("found")["a"].len(), LOOKUP_VALUE_BYTES_MAX);
    server.answer("/odd", [ToolReply::Json(json!({"": "x", "a}b": "x", " c": "x", "d\n": "x", "ok": "x"}))]);
    assert_eq!(look(server.url("/odd"), "", 2_000).await.expect("found").len(), 1);
    server.answer("/empty", [ToolReply::Status(204, Vec::new(), Value::Null)]);
    assert!(look(server.url("/empty"), "", 2_000).await.expect("nothing").is_empty());
}

#[tokio::test]
async fn each_failure_is_told_apart_and_in_time() {
    let server = FakeToolServer::start().await;
    for (reply, want) in [
        (ToolReply::Hang, ErrorKind::TimedOut),
        (ToolReply::After(Duration::from_secs(5), Box::new(ToolReply::Json(json!({})))), ErrorKind::TimedOut),
        (ToolReply::Drip, ErrorKind::TimedOut),
        (ToolReply::Malformed, ErrorKind::Protocol),
        (ToolReply::Endless, ErrorKind::Protocol),
        (ToolReply::Json(json!([1])), ErrorKind::Protocol),
        (ToolReply::Typed("text/html", "<html>".to_owned()), ErrorKind::Protocol),
        (ToolReply::Cut, ErrorKind::Unavailable),
        (ToolReply::status(401), ErrorKind::Unauthorized),
        (ToolReply::status(429), ErrorKind::Overloaded),
        (ToolReply::status(404), ErrorKind::Rejected),
        (ToolReply::status(500), ErrorKind::Unavailable),
    ] {
        server.answer("/look", [reply.clone()]);
        let error = look(server.url("/look"), "", 400).await.expect_err("failed");
        assert_eq!(error.kind, want, "{reply:?}: {error}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
    server.answer("/look", [ToolReply::redirect("http://169.254.169.254/")]);
    assert!(look(server.url("/look"), "", 400).await.is_err());
    let wrong_key = look(server.url("/look"), "other", 400).await.expect_err("no key");
    assert_eq!(wrong_key.kind, ErrorKind::Unauthorized);
    let metadata = look(format!("http://metadata.example.org:{}/", server.port()), "", 400).await.expect_err("private");
    assert_eq!(metadata.kind, ErrorKind::Rejected);
    let written = look("https://169.254.169.254/".to_owned(), "", 400).await.expect_err("private");
    assert_eq!(written.kind, ErrorKind::Rejected);
}
