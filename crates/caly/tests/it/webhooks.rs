//! Webhooks: what is authentic, what becomes of a call, and what is on record of it.

use crate::place::{Place, both_databases, now};
use crate::post::{self, Answer, CALL_END, CALL_START, announce, base64, get, hex, post, signed, start};
use crate::program::{SECRET, Server};
use crate::telephone::Line;
use crate::world::{NUMBER, NUMBER_AS_SENT, PATH_TOKEN, World, colours};
use chrono::TimeDelta;
use model::{CallDirection, CallStatus, CarrierKind, EndedReason};
use serde_json::json;
use store::calls::{self, NewCall};

const REJECTED: &str = "select count(*) from audit_logs where kind = 'webhook.rejected' and tenant_id is null";

both_databases! {
    /// What a call-start answers, and what it leaves behind.
    async fn call_start_makes_a_ringing_call(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let answer = signed(&server, CALL_START, &start("call-1")).await;
        let url = answer.media();
        let host = server.url.strip_prefix("http://").expect("http");
        let token = url.strip_prefix(&format!("ws://{host}/media/exotel/")).expect("our own media address");
        assert_eq!(token.len(), 43, "256 bits in base64");
        let call = world.call("call-1").await.expect("a call");
        assert_eq!((call.status, call.direction), (CallStatus::Ringing, CallDirection::Incoming));
        assert_eq!(call.agent, world.agent);
        assert_eq!(call.from.as_ref().map(|number| number.as_str().to_owned()).as_deref(), Some("+919876543210"));
        assert_eq!(call.to.as_ref().map(|number| number.as_str().to_owned()).as_deref(), Some(NUMBER));
        assert_eq!((call.started_at, call.ended_at, call.ended_reason), (None, None, None));
        let audited = world.audited("call.announced").await;
        assert_eq!(audited.len(), 1);
        assert_eq!(audited[0].object_id, Some(call.id.to_string()));
        assert_eq!(audited[0].request_id.as_deref(), Some(answer.request_id()));
        assert_eq!(audited[0].actor, "carrier:exotel");
        assert!(audited[0].ip.is_some_and(|ip| ip.is_loopback()));
        server.stop().await;
    }

    async fn a_repeated_call_start_is_the_same_call_with_another_token(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let (first, second) = (announce(&server, "call-1").await, announce(&server, "call-1").await);
        assert_ne!(first, second);
        assert_eq!(world.calls().await.len(), 1);
        assert_eq!(world.audited("call.announced").await.len(), 1);
        assert_ne!(announce(&server, "call-2").await, first);
        assert_eq!(world.calls().await.len(), 2);
        server.stop().await;
    }

    async fn a_call_whose_media_has_begun_cannot_be_started_again(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let mut line = Line::open(&announce(&server, "call-1").await, "call-1").await.expect("accepted");
        line.start().await;
        line.event("media").await;
        signed(&server, CALL_START, &start("call-1")).await.is_problem(409, "call_already_started");
        line.close().await;
        world.ended("call-1").await;
        signed(&server, CALL_START, &start("call-1")).await.is_problem(409, "call_already_started");
        assert_eq!(world.calls().await.len(), 1);
        server.stop().await;
    }

    async fn a_rejected_webhook_leaves_one_audit_row_and_no_call(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let body = start("call-1").to_string();
        post(&server, CALL_START, &[], &body).await.is_problem(401, "signature_missing");
        assert_eq!(place.number(REJECTED).await, 1);
        let wrong = hex("another secret", &body);
        post(&server, CALL_START, &[("x-exotel-signature", &wrong)], &body).await.is_problem(401, "signature_wrong");
        post(&server, CALL_END, &[], &body).await.is_problem(401, "signature_missing");
        get(&server, "/webhooks/exotel/voicebot/nobody?CallSid=call-1&CallTo=08047491899").await.is_problem(404, "not_found");
        assert_eq!(place.number(REJECTED).await, 4);
        assert_eq!(world.calls().await.len(), 0);
        assert_eq!(place.number("select count(*) from audit_logs").await, 4);
        server.stop().await;
    }

    /// The Voicebot applet asks with GET and without a signature; the path is the secret.
    async fn the_dynamic_url_is_opened_by_its_path(place) {
        let world = World::new(place, colours()).await;
        // Not even a secret is needed for it.
        let server = world.serve(&[("EXOTEL_WEBHOOK_SECRET", "")]).await;
        let query = format!("CallSid=call-1&CallFrom=09876543210&CallTo={NUMBER_AS_SENT}&Direction=incoming");
        let right = get(&server, &format!("/webhooks/exotel/voicebot/{PATH_TOKEN}?{query}")).await;
        assert!(right.media().contains("/media/exotel/"));
        assert_eq!(world.call("call-1").await.expect("a call").status, CallStatus::Ringing);
        let wrong = get(&server, &format!("/webhooks/exotel/voicebot/{PATH_TOKEN}x?{query}")).await;
        wrong.is_problem(404, "not_found");
        let bare = get(&server, &format!("/webhooks/exotel/voicebot/{PATH_TOKEN}")).await;
        assert_eq!(bare.is_problem(400, "invalid_fields").fields(), ["CallSid", "CallTo"]);
        assert_eq!(world.calls().await.len(), 1);
        server.stop().await;
    }

    async fn call_end_closes_a_call_that_never_had_media(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        announce(&server, "call-1").await;
        let end = json!({"CallSid": "call-1", "Status": "completed", "Duration": "12"});
        for _ in 0..2 {
            assert_eq!(signed(&server, CALL_END, &end).await.status, 200);
            let call = world.call("call-1").await.expect("a call");
            assert_eq!((call.status, call.ended_reason), (CallStatus::NoAnswer, Some(EndedReason::CallerNeverJoined)));
            assert_eq!((call.carrier_duration_s, call.duration_ms), (Some(12), Some(0)));
        }
        let call = world.call("call-1").await.expect("a call").id;
        let messages = world.messages(call).await;
        assert_eq!(messages.len(), 1, "told once: {messages:?}");
        assert_eq!((messages[0].0.as_str(), &messages[0].1["ended_reason"]), ("call.ended", &json!("caller/never-joined")));
        assert_eq!(world.audited("call.ended").await.len(), 1);
        announce(&server, "call-2").await;
        let failed = json!({"CallSid": "call-2", "Status": "failed"});
        assert_eq!(signed(&server, CALL_END, &failed).await.status, 200);
        assert_eq!(world.call("call-2").await.expect("a call").status, CallStatus::Failed);
        signed(&server, CALL_END, &json!({"CallSid": "nobody"})).await.is_problem(404, "not_found");
        let unclear = json!({"CallSid": "call-1", "Status": "purple", "Duration": "long"});
        let unclear = signed(&server, CALL_END, &unclear).await;
        assert_eq!(unclear.is_problem(400, "invalid_fields").fields(), ["Status", "Duration"]);
        server.stop().await;
    }

    /// The token of a call that is over opens nothing.
    async fn after_call_end_the_media_address_is_gone(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let url = announce(&server, "call-1").await;
        assert_eq!(signed(&server, CALL_END, &json!({"CallSid": "call-1"})).await.status, 200);
        assert_eq!(Line::open(&url, "call-1").await.err(), Some(410));
        assert_eq!(world.reason("call-1").await, "caller/never-joined");
        server.stop().await;
    }

    /// Neither media nor a report of the end: the next start, or the next round, closes it.
    async fn a_call_that_never_came_is_closed(place) {
        let world = World::new(place, colours()).await;
        let new = NewCall {
            agent: world.agent,
            phone_number: None,
            carrier: CarrierKind::Exotel,
            carrier_call_id: Some("call-1".to_owned()),
            direction: CallDirection::Incoming,
            from: None,
            to: None,
            status: CallStatus::Ringing,
            variables: serde_json::Map::new(),
        };
        let then = now() - TimeDelta::seconds(calls::RINGING_EXPIRES_AFTER_S + 1);
        let created = world.store.write(world.tenant, "test.call", async |tx| calls::create(tx, &new, then).await);
        created.await.expect("created");
        let server = world.serve(&[]).await;
        announce(&server, "call-2").await;
        let call = world.ended("call-1").await;
        assert_eq!((call.status, call.ended_reason), (CallStatus::NoAnswer, Some(EndedReason::CallerNeverJoined)));
        assert_eq!(world.messages(call.id).await.len(), 1);
        assert_eq!(world.audited("call.ended").await.len(), 1);
        assert_eq!(world.call("call-2").await.expect("a call").status, CallStatus::Ringing);
        server.stop().await;
    }

    async fn health_says_whether_calls_may_come(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        for path in ["/health", "/health/live", "/health/ready"] {
            let answer = get(&server, path).await;
            assert_eq!((answer.status, &answer.body["status"]), (200, &json!("ok")), "{path}");
        }
        assert_eq!(get(&server, "/health").await.body["version"], env!("CARGO_PKG_VERSION"));
        server.stop().await;
    }
}

/// One request: what it is about, its headers, its body.
struct Case(&'static str, Vec<(&'static str, String)>, String);

/// The answers of a server on SQLite with one tenant.
async fn answers(cases: &[Case]) -> (Vec<Answer>, Place) {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut answers = Vec::new();
    for Case(what, headers, body) in cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = post(&server, CALL_START, &headers, body).await;
        assert!(answer.request_id().len() == 32, "{what}");
        answers.push(answer);
    }
    server.stop().await;
    drop(world);
    (answers, place)
}

fn body(sid: &str) -> String {
    start(sid).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_may_be_hexadecimal_or_base64() {
    let cases = [
        Case("hexadecimal", vec![("x-exotel-signature", hex(SECRET, &body("a")))], body("a")),
        Case("upper case", vec![("x-exotel-signature", hex(SECRET, &body("b")).to_uppercase())], body("b")),
        Case("base64", vec![("x-exotel-signature", base64(SECRET, &body("c")))], body("c")),
        Case("with a scheme", vec![("x-exotel-signature", format!("sha1={}", hex(SECRET, &body("d"))))], body("d")),
    ];
    let (answers, place) = answers(&cases).await;
    for (Case(what, ..), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    }
    assert_eq!(place.number("select count(*) from calls where status = 'ringing'").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_signature_is_named() {
    let blank = vec![("x-exotel-signature", " ".to_owned())];
    let (answers, place) = answers(&[Case("none", vec![], body("a")), Case("blank", blank, body("a"))]).await;
    for answer in &answers {
        answer.is_problem(401, "signature_missing").detail_is("Missing webhook signature");
    }
    assert_eq!(place.number("select count(*) from calls").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_of_something_else_is_wrong() {
    let right = hex(SECRET, &body("a"));
    let signature = |value: &str| vec![("x-exotel-signature", value.to_owned())];
    // One byte of the body is another than what was signed.
    let changed = body("a").replace("\"incoming\"", "\"incominh\"");
    let cases = [
        Case("another secret", signature(&hex("another", &body("a"))), body("a")),
        Case("an empty secret", signature(&hex("", &body("a"))), body("a")),
        Case("one byte changed", signature(&right), changed),
        Case("one byte more", signature(&right), format!("{} ", body("a"))),
        Case("cut short", signature(&right[..38]), body("a")),
        Case("nonsense", signature("valid"), body("a")),
        Case("long", signature(&"ab".repeat(2_000)), body("a")),
    ];
    let (answers, place) = answers(&cases).await;
    for (Case(what, ..), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer.body["code"], "signature_wrong", "{what}");
        answer.is_problem(401, "signature_wrong").detail_is("Wrong webhook signature");
    }
    assert_eq!(place.number("select count(*) from calls").await, 0);
    assert_eq!(place.number(REJECTED).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_too_old_is_refused() {
    let at = |offset_s: i64| (now() + TimeDelta::seconds(offset_s)).timestamp();
    let headers =
        |body: &str, time: String| vec![("x-exotel-signature", hex(SECRET, body)), ("x-exotel-timestamp", time)];
    let in_body = |sid: &str, time: i64| {
        let mut body = start(sid);
        body["Timestamp"] = json!(time.to_string());
        body.to_string()
    };
    let only = |body: String| (vec![("x-exotel-signature", hex(SECRET, &body))], body);
    let (old, old_body) = only(in_body("e", at(-301)));
    let (fresh, fresh_body) = only(in_body("f", at(-10)));
    let cases = [
        Case("old", headers(&body("a"), at(-310).to_string()), body("a")),
        Case("early", headers(&body("b"), at(310).to_string()), body("b")),
        Case("no time", headers(&body("c"), "yesterday".to_owned()), body("c")),
        Case("old in the body", old, old_body),
        Case("fresh", headers(&body("d"), at(-290).to_string()), body("d")),
        Case("milliseconds", headers(&body("g"), (at(-5) * 1_000).to_string()), body("g")),
        Case("RFC 3339", headers(&body("h"), now().to_rfc3339()), body("h")),
        Case("fresh in the body", fresh, fresh_body),
    ];
    let (answers, _place) = answers(&cases).await;
    for (Case(what, ..), answer) in cases.iter().zip(&answers).take(4) {
        assert_eq!(answer.body["code"], "signature_expired", "{what}");
        answer.is_problem(401, "signature_expired");
    }
    for (Case(what, ..), answer) in cases.iter().zip(&answers).skip(4) {
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_no_signature_is_right() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server: Server = world.serve(&[("EXOTEL_WEBHOOK_SECRET", "")]).await;
    let body = body("a");
    for secret in [SECRET, ""] {
        let signature = hex(secret, &body);
        post(&server, CALL_START, &[("x-exotel-signature", &signature)], &body)
            .await
            .is_problem(401, "signature_wrong");
    }
    post(&server, CALL_START, &[], &body).await.is_problem(401, "signature_missing");
    post(&server, CALL_END, &[], &body).await.is_problem(401, "signature_missing");
    assert_eq!(world.calls().await.len(), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carriers_are_told_the_public_address() {
    for (public, want) in [
        ("https://caly.example/", "wss://caly.example/media/exotel/"),
        ("http://caly.example:8080", "ws://caly.example:8080/media/exotel/"),
    ] {
        let place = Place::sqlite();
        let world = World::new(&place, colours()).await;
        let server = world.serve(&[("CALY_PUBLIC_URL", public)]).await;
        let url = post::announce(&server, "call-1").await;
        assert!(url.starts_with(want), "{url}");
        server.stop().await;
    }
}
