//! What a caller, a model or an organisation may try: to reach through Caly what only Caly can reach, and to turn one request
//! into another.

use super::{clients, clients_for, run, toolbox};
use providers::egress::Allowed;
use providers::tools::ToolError;
use serde_json::{Value, json};
use testkit::peers::tool_server::{FakeToolServer, ToolReply};

fn ask(url: &str) -> Value {
    json!({"ask": {"kind": "http", "description": "Asks.", "url": url, "method": "GET", "reads_only": true,
        "timeout_ms": 1_000,
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true}}})
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_reached() {
    for url in [
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://metadata.google.internal/",
        "http://tools.example.org/",
        "file:///etc/passwd",
    ] {
        // Left out: nothing can be asked at all.
        let tools = toolbox(&clients_for(Allowed::PublicOnly), ask(url));
        assert!(tools.specs().is_empty(), "{url}");
        assert_eq!(run(&tools, "ask", json!({})).await, Err(ToolError::Unknown), "{url}");
    }
}

#[tokio::test]
async fn names_that_resolve_to_private_addresses_are_refused_when_connecting() {
    let server = FakeToolServer::start().await;
    let at = |name: &str| format!("http://{name}.example.org:{}/", server.port());
    run(&toolbox(&clients(), ask(&at("tools"))), "ask", json!({})).await.expect("reached");
    for name in ["private", "metadata", "mapped", "mixed"] {
        let said = run(&toolbox(&clients(), ask(&at(name))), "ask", json!({})).await.expect_err(name).to_string();
        assert_eq!(said, "it was not done: its address may not be asked", "{name}");
    }
    let strict = toolbox(&clients_for(Allowed::PublicOnly), ask("https://tools.example.org/"));
    let said = run(&strict, "ask", json!({})).await.expect_err("loopback").to_string();
    assert_eq!(said, "it was not done: its address may not be asked");
    let said = run(&toolbox(&clients(), ask(&at("nowhere"))), "ask", json!({})).await.expect_err("nowhere").to_string();
    assert_eq!(said, "it failed: the service could not be reached");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (server, inner) = (FakeToolServer::start().await, FakeToolServer::start().await);
    for to in [inner.url("/secret"), "http://169.254.169.254/".to_owned(), server.url("/other"), "/other".to_owned()] {
        for status in [301, 302, 303, 307, 308] {
            let reply = ToolReply::Status(status, vec![("location", to.clone())], Value::Null);
            server.answer("/a", [reply]);
            let tools = toolbox(&clients(), ask(&server.url("/a")));
            let said = run(&tools, "ask", json!({})).await.expect_err("elsewhere").to_string();
            assert!(said.contains("elsewhere") && !said.contains("169.254") && !said.contains("127.0.0.1"), "{said}");
        }
    }
    assert!(inner.requests().is_empty() && server.requests().iter().all(|request| request.target == "/a"));
}

#[tokio::test]
async fn arguments_change_nothing_but_their_own_place() {
    let server = FakeToolServer::start().await;
    let tools = toolbox(&clients(), ask(&server.url("/v1/{a}/end?k=1&q={a}")));
    for (value, path, query) in [
        ("../../admin", "..%2F..%2Fadmin", "..%2F..%2Fadmin"),
        ("x?y=1", "x%3Fy%3D1", "x%3Fy%3D1"),
        ("x&k=2", "x%26k%3D2", "x%26k%3D2"),
        ("x#y", "x%23y", "x%23y"),
        ("%2e%2e", "%252e%252e", "%252e%252e"),
        ("%2e%2e%2fadmin", "%252e%252e%252fadmin", "%252e%252e%252fadmin"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil", "a%0D%0AHost%3A%20evil"),
        ("//evil.example/", "%2F%2Fevil.example%2F", "%2F%2Fevil.example%2F"),
        ("\\\\evil.example", "%5C%5Cevil.example", "%5C%5Cevil.example"),
        ("@evil.example", "%40evil.example", "%40evil.example"),
        ("{{customer}}", "%7B%7Bcustomer%7D%7D", "%7B%7Bcustomer%7D%7D"),
    ] {
        run(&tools, "ask", json!({"a": value})).await.expect(value);
        assert_eq!(server.last().target, format!("/v1/{path}/end?k=1&q={query}"), "{value}");
    }
    let before = server.requests().len();
    for value in ["..", ".", ""] {
        let refused = run(&tools, "ask", json!({"a": value})).await;
        assert!(matches!(refused, Err(ToolError::Arguments(_))), "{value}: {refused:?}");
    }
    // What the address sets by itself is not set again.
    let refused = run(&tools, "ask", json!({"a": "x", "k": "2"})).await;
    assert!(matches!(refused, Err(ToolError::Arguments(_))), "{refused:?}");
    assert_eq!(server.requests().len(), before);
}

#[tokio::test]
async fn variables_of_the_call_are_as_harmless() {
    let server = FakeToolServer::start().await;
    let tools = toolbox(&clients(), ask(&server.url("/v1/{{path}}/end")));
    run(&tools, "ask", json!({})).await.expect("asked");
    assert_eq!(server.last().target, "/v1/..%2F..%2Fadmin%3Fx%3D1%23y/end");
    let mut with_header = ask(&server.url("/a"));
    with_header["ask"]["headers"] = json!({"X-Name": "{{evil}}"});
    let before = server.requests().len();
    let said = run(&toolbox(&clients(), with_header), "ask", json!({})).await.expect_err("a header").to_string();
    assert!(said.contains("X-Name") && !said.contains("evil"), "{said}");
    assert_eq!(server.requests().len(), before);
    let unknown = toolbox(&clients(), ask(&server.url("/v1/{{nobody}}/end")));
    let said = run(&unknown, "ask", json!({})).await.expect_err("unknown").to_string();
    assert!(said.contains("`nobody`"), "{said}");
}
