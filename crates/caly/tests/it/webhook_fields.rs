//! What stands in a webhook's body, in whatever shape it comes; and the shape of every refusal.

use crate::place::Place;
use crate::post::{Answer, CALL_START, get, hex, post, request, signed, start};
use crate::program::{SECRET, Server};
use crate::world::{NUMBER, NUMBER_AS_SENT, World, colours};
use model::CallStatus;
use reqwest::Method;
use serde_json::{Value, json};

/// The largest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A signed body as it is, under a content type.
async fn send(server: &Server, content_type: &str, body: &str) -> Answer {
    let signature = hex(SECRET, body);
    let headers = [("content-type", content_type), ("x-exotel-signature", signature.as_str())];
    request(server, Method::POST, CALL_START, &headers, body).await
}

fn without(names: &[&str]) -> Value {
    let mut body = start("call-1");
    for name in names {
        body.as_object_mut().expect("an object").remove(*name);
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_missing_field_is_named() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let blank = json!({"CallSid": " ", "CallTo": "null", "CallFrom": "09876543210"});
    for (body, want) in [
        (without(&["CallSid"]), vec!["CallSid"]),
        (without(&["CallTo", "To"]), vec!["CallTo"]),
        (without(&["CallSid", "CallTo", "To"]), vec!["CallSid", "CallTo"]),
        (blank, vec!["CallSid", "CallTo"]),
        (json!({"call_from": "09876543210", "direction": "incoming"}), vec!["call_sid", "call_to"]),
        (json!({"CallSid": "a", "CallTo": "reception"}), vec!["CallTo"]),
        (json!({}), vec!["CallSid", "CallTo"]),
    ] {
        let answer = signed(&server, CALL_START, &body).await;
        assert_eq!(answer.is_problem(400, "invalid_fields").fields(), want, "{body}");
        for name in want {
            assert!(answer.body["detail"].as_str().is_some_and(|detail| detail.contains(name)), "{answer:?}");
        }
    }
    assert_eq!(world.calls().await.len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_none_are_refused() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    for body in ["{", "{\"CallSid\":\"a\"", "[1,2]", "{\"CallSid\": \"a\",}", "[]"] {
        send(&server, "application/json", body).await.is_problem(400, "malformed_body");
    }
    send(&server, "multipart/form-data; boundary=x", "--y\r\n").await.is_problem(400, "malformed_body");
    let many: String = (0..2_000).map(|n| format!("f{n}=1&")).collect();
    send(&server, "application/x-www-form-urlencoded", &many).await.is_problem(400, "malformed_body");
    assert_eq!(world.calls().await.len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_be_so_large_and_no_larger() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let sized = |bytes: usize| {
        let mut body = start("call-1");
        let rest = bytes - body.to_string().len() - ",\"Padding\":\"\"".len();
        body["Padding"] = json!("x".repeat(rest));
        body.to_string()
    };
    let largest = sized(BODY_BYTES_MAX);
    assert_eq!(largest.len(), BODY_BYTES_MAX);
    assert_eq!(send(&server, "application/json", &largest).await.status, 200);
    send(&server, "application/json", &sized(BODY_BYTES_MAX + 1)).await.is_problem(413, "body_too_large");
    send(&server, "application/json", &sized(BODY_BYTES_MAX * 8)).await.is_problem(413, "body_too_large");
    assert_eq!(world.calls().await.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_without_an_agent_is_unknown() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut body = start("call-1");
    body["CallTo"] = json!("08040000000");
    body["To"] = json!("08040000001");
    signed(&server, CALL_START, &body).await.is_problem(404, "unknown_number");
    assert_eq!(world.calls().await.len(), 0);
    // The number that was called first; `To` when nobody answers that one.
    body["To"] = json!(NUMBER_AS_SENT);
    assert_eq!(signed(&server, CALL_START, &body).await.status, 200);
    let call = world.call("call-1").await.expect("a call");
    assert_eq!(call.to.as_ref().map(|number| number.as_str().to_owned()).as_deref(), Some(NUMBER));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_may_be_urlencoded_or_multipart() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let urlencoded =
        format!("CallSid=url-1&CallFrom=09876543210&CallTo=%2B91{}&Direction=incoming", &NUMBER_AS_SENT[1..]);
    assert_eq!(send(&server, "application/x-www-form-urlencoded", &urlencoded).await.status, 200);
    let part = |name: &str, value: &str| {
        format!("--bound\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let multipart = format!("{}{}--bound--\r\n", part("CallSid", "multi-1"), part("CallTo", NUMBER_AS_SENT));
    assert_eq!(send(&server, "multipart/form-data; boundary=bound", &multipart).await.status, 200);
    // Without a type, and with a wrong one: the body itself says what it is.
    let json = start("json-1").to_string();
    assert_eq!(send(&server, "text/plain", &json).await.status, 200);
    for sid in ["url-1", "multi-1", "json-1"] {
        assert_eq!(world.call(sid).await.expect("a call").status, CallStatus::Ringing, "{sid}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_one_shape() {
    let place = Place::sqlite();
    let server = Server::start(&place, &[]).await;
    for path in
        ["/", "/webhooks", "/webhooks/exotel/call-start/", "/api/nothing", "/media", "/media/exotel", "/../etc/passwd"]
    {
        get(&server, path).await.is_problem(404, "not_found");
    }
    for (method, path) in [
        (Method::GET, CALL_START),
        (Method::PUT, CALL_START),
        (Method::DELETE, "/health"),
        (Method::POST, "/health/ready"),
        (Method::POST, "/webhooks/exotel/voicebot/token"),
    ] {
        request(&server, method, path, &[], "").await.is_problem(405, "method_not_allowed");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_names_its_request() {
    let place = Place::sqlite();
    let server = Server::start(&place, &[]).await;
    let mut ids = Vec::new();
    for path in ["/health", "/health/live", "/nowhere"] {
        ids.push(get(&server, path).await.request_id().to_owned());
    }
    // An id from outside is not taken over: it could be anybody's.
    let forged = post(&server, CALL_START, &[("x-request-id", "forged")], "{}").await;
    ids.push(forged.is_problem(401, "signature_missing").request_id().to_owned());
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    server.stop().await;
}
