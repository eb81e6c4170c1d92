//! Every shape in which Exotel speaks, end to end: what it leaves a call with, that it counts once, and what makes it
//! authentic.

use crate::account::{NO_LIMITS, Person, ask};
use crate::place::{Place, both_databases, eventually, now};
use crate::post::{self, Answer, CALL_END, CALL_START, announce, base64, get, hex, post, request, signed, start};
use crate::program::{SECRET, Server};
use crate::world::{NUMBER_AS_SENT, PATH_TOKEN, World, colours};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use model::{CallStatus, CarrierKind, E164};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use store::calls::Call;
use store::carrier_events::{self, CarrierEvent};
use store::phone_numbers::{self, NewPhoneNumber};
use testkit::carrier::{Announce, Coding, FakeExotel, Options, Passthru, RecordedCaller, StatusCallback, StreamAs};

const STATUS: &str = "/webhooks/exotel/call-status";
const RECORDING: &str = "/webhooks/exotel/recording";
const RECORDING_URL: &str = "https://recordings.exotel.com/exotelrecordings/exotelaccount/a.mp3";
const REJECTED: &str = "select count(*) from audit_logs where kind = 'webhook.rejected' and tenant_id is null";
const REPORTED: &str = "select count(*) from audit_logs where kind = 'call.reported'";
const REPORTS: &str = "select count(*) from carrier_events";
const CODINGS: [Coding; 3] = [Coding::Multipart, Coding::Urlencoded, Coding::Json];
const STREAMS: [StreamAs; 3] = [StreamAs::EscapedKeys, StreamAs::Keys, StreamAs::Text];

fn exotel(server: &Server) -> FakeExotel {
    FakeExotel::new(Options::new(server.url.as_str(), Announce::Forged { signature: None }))
}

fn at(server: &Server, what: &str) -> String {
    format!("{}/webhooks/exotel/{what}/{PATH_TOKEN}", server.url)
}

async fn events(world: &World<'_>, call: &Call) -> Vec<CarrierEvent> {
    let read = world.store.read(world.tenant, "test.events", async |tx| carrier_events::of_call(tx, call.id).await);
    read.await.expect("read")
}

async fn reported(world: &World<'_>, sid: &str) -> Call {
    let call = world.call(sid).await.expect("a call");
    assert_eq!(events(world, &call).await.len(), 1, "{sid}");
    assert_eq!(call.carrier_status, Some(CallStatus::Completed), "{sid}");
    assert_eq!(call.status, CallStatus::NoAnswer, "{sid}: no media came");
    call
}

/// Signed, under a content type, with a time of its own.
async fn signed_as(server: &Server, path: &str, content_type: &str, body: &str) -> Answer {
    let signature = base64(SECRET, body);
    let headers = [("content-type", content_type), ("x-exotel-signature", signature.as_str())];
    request(server, Method::POST, path, &headers, body).await
}

both_databases! {
    /// Status callbacks at the number's address: three codings, thin and full, each twice.
    async fn status_callbacks_in_every_coding(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let (exotel, url) = (exotel(&server), at(&server, "status"));
        let mut reports = 0;
        for coding in CODINGS {
            for full in [false, true] {
                let sid = format!("{coding:?}-{full}");
                announce(&server, &sid).await;
                let mut callback = StatusCallback::thin(&sid, "completed");
                if full {
                    callback = StatusCallback::full(&sid, "terminal", "completed");
                    callback.duration_s = 28;
                    callback.recording_url = Some(RECORDING_URL.to_owned());
                }
                for _ in 0..3 {
                    assert_eq!(exotel.call_back(&url, &callback, coding).await, Ok(200), "{sid}");
                }
                let call = reported(&world, &sid).await;
                if full {
                    assert_eq!(call.carrier_duration_s, Some(28), "{sid}");
                    assert_eq!(call.carrier_recording_url.as_deref(), Some(RECORDING_URL), "{sid}");
                    let ended = call.carrier_ended_at.expect("a time");
                    assert_eq!(ended.timestamp(), (callback.started_at + TimeDelta::seconds(28)).timestamp(), "Indian time");
                    let data = &events(&world, &call).await[0].data;
                    assert_eq!((&data["event"], &data["legs"][1]["answered_by"]), (&json!("terminal"), &json!("human")));
                    assert_eq!(data["legs"][0], json!({ "on_call_s": 43, "status": "completed" }));
                }
                assert_eq!(world.messages(call.id).await.len(), 1, "{sid}: told once");
                reports += 1;
            }
        }
        assert_eq!((place.number(REPORTED).await, place.number(REPORTS).await), (reports, reports));
        server.stop().await;
    }

    /// The Passthru behind the Voicebot, in its three codings, and by POST.
    async fn passthrus_in_every_coding(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let (exotel, url) = (exotel(&server), at(&server, "passthru"));
        for stream_as in STREAMS {
            let sid = format!("{stream_as:?}");
            announce(&server, &sid).await;
            let passthru = Passthru::after(&sid, "cancelled", "user", 28).recorded(RECORDING_URL);
            for _ in 0..2 {
                assert_eq!(exotel.pass_through(&url, &passthru, stream_as).await, Ok(200), "{sid}");
            }
            // A caller who hangs up is a call that ended well.
            let call = reported(&world, &sid).await;
            assert_eq!((call.carrier_duration_s, call.carrier_recording_url.as_deref()), (Some(28), Some(RECORDING_URL)));
            let due = call.carrier_recording_due_at.expect("a time");
            assert!((due - now() - TimeDelta::minutes(5)).abs() < TimeDelta::minutes(1), "{due}");
            assert_eq!(events(&world, &call).await[0].data["disconnected_by"], "caller");
        }
        announce(&server, "posted").await;
        let body = json!({ "CallSid": "posted", "EventType": "stream-end", "Stream": { "Status": "completed" } });
        let path = format!("/webhooks/exotel/passthru/{PATH_TOKEN}");
        assert_eq!(post(&server, &path, &[], &body.to_string()).await.status, 200);
        reported(&world, "posted").await;
        announce(&server, "failed").await;
        let mut failed = Passthru::after("failed", "failed", "NA", 0);
        failed.stream.push(("DetailedStatus".to_owned(), "Streaming_call_throttled".to_owned()));
        assert_eq!(exotel.pass_through(&url, &failed, StreamAs::Text).await, Ok(200));
        let call = world.call("failed").await.expect("a call");
        assert_eq!((call.status, call.carrier_status), (CallStatus::Failed, Some(CallStatus::Failed)));
        assert_eq!(events(&world, &call).await[0].data["error"], "Streaming_call_throttled");
        server.stop().await;
    }

    /// The documented messages, signed: what they leave, in every coding.
    async fn signed_messages_in_every_coding(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        for path in [CALL_END, STATUS, RECORDING] {
            for kind in ["json", "urlencoded", "multipart"] {
                let sid = format!("{path}-{kind}").replace('/', "-");
                announce(&server, &sid).await;
                let pairs = [("CallSid", sid.as_str()), ("Status", "completed"), ("Duration", "\"28\""), ("RecordingUrl", RECORDING_URL)];
                let (content_type, body) = match kind {
                    "json" => ("application/json", Value::Object(pairs.map(|(n, v)| (n.to_owned(), json!(v))).into_iter().collect()).to_string()),
                    "urlencoded" => ("application/x-www-form-urlencoded", pairs.map(|(n, v)| format!("{n}={v}")).join("&")),
                    _ => {
                        let parts = pairs.map(|(n, v)| format!("--b\r\nContent-Disposition: form-data; name=\"{n}\"\r\n\r\n{v}\r\n"));
                        ("multipart/form-data; boundary=b", parts.concat() + "--b--\r\n")
                    }
                };
                // Without a time of its own a request may come again, and counts once.
                for _ in 0..2 {
                    let answer = signed_as(&server, path, content_type, &body).await;
                    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("ok")), "{sid}: {answer:?}");
                }
                let call = world.call(&sid).await.expect("a call");
                assert_eq!((call.carrier_duration_s, call.carrier_recording_url.as_deref()), (Some(28), Some(RECORDING_URL)), "{sid}");
                assert_eq!(events(&world, &call).await.len(), 1, "{sid}");
                if path == RECORDING {
                    assert_eq!((call.carrier_status, call.status), (None, CallStatus::Ringing), "a recording ends no call");
                } else {
                    reported(&world, &sid).await;
                }
            }
        }
        let audited = world.audited("call.reported").await;
        assert_eq!(audited.len(), 9);
        assert!(audited.iter().all(|event| event.actor == "carrier:exotel" && event.ip.is_some_and(|ip| ip.is_loopback())));
        server.stop().await;
    }

    /// A whole call of the fake carrier, from the dynamic URL to the Passthru behind it.
    async fn a_call_from_the_dynamic_url_to_the_passthru(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        for stream_as in STREAMS {
            let announce = Announce::DynamicUrl { url: at(&server, "voicebot"), passthru_url: Some(at(&server, "passthru")) };
            let options = Options { stream_as, ..Options::new(server.url.as_str(), announce) };
            let mut caller = RecordedCaller::new(Vec::new(), 1_500);
            let seen = FakeExotel::new(options).place_call(&mut caller).await.expect("announced");
            assert_eq!(seen.end_report, Some(Ok(200)), "{stream_as:?}");
        }
        let ended = eventually("the calls are over", Duration::from_secs(25), async || {
            Some(world.calls().await).filter(|calls| calls.len() == 3 && calls.iter().all(|call| call.status.is_final()))
        });
        for call in ended.await {
            assert_eq!((call.status, call.carrier_status), (CallStatus::Completed, Some(CallStatus::Completed)), "{call:?}");
            assert!(call.carrier_duration_s.is_some_and(|seconds| (1..=4).contains(&seconds)), "{call:?}");
        }
        server.stop().await;
    }

    async fn the_order_of_reports_does_not_matter(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let (exotel, url) = (exotel(&server), at(&server, "status"));
        for (n, order) in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]].into_iter().enumerate() {
            let sid = format!("order-{n}");
            announce(&server, &sid).await;
            for which in order {
                let mut terminal = StatusCallback::full(&sid, "terminal", "completed");
                terminal.duration_s = 28;
                let answer = match which {
                    0 => exotel.call_back(&url, &StatusCallback::full(&sid, "answered", "in-progress"), Coding::Json).await,
                    1 => exotel.call_back(&url, &terminal, Coding::Multipart).await,
                    2 => exotel.call_back(&url, &StatusCallback::thin(&sid, "completed"), Coding::Urlencoded).await,
                    _ => Ok(signed(&server, RECORDING, &json!({ "CallSid": sid, "RecordingUrl": RECORDING_URL })).await.status),
                };
                assert_eq!(answer, Ok(200), "{order:?}");
            }
            let call = world.call(&sid).await.expect("a call");
            let said = (call.carrier_status, call.carrier_duration_s, call.carrier_recording_url.as_deref());
            assert_eq!(said, (Some(CallStatus::Completed), Some(28), Some(RECORDING_URL)), "{order:?}");
            assert_eq!(events(&world, &call).await.len(), 4, "{order:?}");
        }
        server.stop().await;
    }

    /// Twenty at once are one report.
    async fn many_at_once_count_once(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        announce(&server, "call-1").await;
        let (exotel, url) = (exotel(&server), at(&server, "status"));
        let callback = StatusCallback::full("call-1", "terminal", "busy");
        let all = (0..20).map(|n| exotel.call_back(&url, &callback, CODINGS[n % 3]));
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(|answer| *answer == Ok(200)), "{answers:?}");
        assert_eq!((place.number(REPORTS).await, place.number(REPORTED).await), (1, 1));
        let call = world.call("call-1").await.expect("a call");
        assert_eq!((call.status, world.messages(call.id).await.len()), (CallStatus::Busy, 1));
        server.stop().await;
    }

    async fn what_belongs_to_no_call_changes_nothing(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        let (exotel, status, passthru) = (exotel(&server), at(&server, "status"), at(&server, "passthru"));
        for path in [CALL_END, STATUS, RECORDING] {
            let body = json!({ "CallSid": "nobody", "Status": "completed", "RecordingUrl": RECORDING_URL });
            signed(&server, path, &body).await.is_problem(404, "not_found");
        }
        let nobody = StatusCallback::thin("nobody", "completed");
        assert_eq!(exotel.call_back(&status, &nobody, Coding::Multipart).await, Ok(404));
        // A flow goes on whatever it says.
        for query in ["", "?CallSid=nobody", "?CallStatus=purple", "?CallSid=%00&Stream=%7B", "?Stream[Duration]=long&%ff"] {
            let answer = get(&server, &format!("/webhooks/exotel/passthru/{PATH_TOKEN}{query}")).await;
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
        }
        let many: String = (0..2_000).map(|n| format!("f{n}=1&")).collect();
        assert_eq!(get(&server, &format!("/webhooks/exotel/passthru/{PATH_TOKEN}?{many}")).await.status, 200);
        assert_eq!(place.number(REJECTED).await, 0);
        // An address that is nobody's is no address.
        let forged = |url: &str| url.replace(PATH_TOKEN, "path-token-of-somebody");
        assert_eq!(exotel.call_back(&forged(&status), &nobody, Coding::Json).await, Ok(404));
        let after = Passthru::after("call-1", "completed", "bot", 1);
        assert_eq!(exotel.pass_through(&forged(&passthru), &after, StreamAs::Keys).await, Ok(404));
        assert_eq!(place.number(REJECTED).await, 2);
        assert_eq!(place.number(REPORTS).await, 0);
        server.stop().await;
    }

    /// The address of one number says nothing about the calls of another.
    async fn an_address_speaks_for_its_own_number(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        announce(&server, "call-1").await;
        let other = NewPhoneNumber {
            carrier: CarrierKind::Exotel,
            number: E164::parse("+918047491898").expect("a number"),
            agent: world.agent,
            path_token_hash: Some(Sha256::digest("path-token-of-another").into()),
        };
        let made = world.store.write(world.tenant, "test.number", async |tx| phone_numbers::create(tx, &other, now()).await);
        made.await.expect("made");
        let exotel = exotel(&server);
        let url = |what: &str| at(&server, what).replace(PATH_TOKEN, "path-token-of-another");
        let callback = StatusCallback::thin("call-1", "failed");
        assert_eq!(exotel.call_back(&url("status"), &callback, Coding::Json).await, Ok(404));
        let after = Passthru::after("call-1", "failed", "bot", 1);
        assert_eq!(exotel.pass_through(&url("passthru"), &after, StreamAs::Keys).await, Ok(200));
        let call = world.call("call-1").await.expect("a call");
        assert_eq!((call.status, call.carrier_status), (CallStatus::Ringing, None));
        server.stop().await;
    }

    /// A signed request with a time is taken once; without one it is harmless.
    async fn a_replay_is_refused(place) {
        let world = World::new(place, colours()).await;
        let server = world.serve(&[]).await;
        announce(&server, "call-1").await;
        let end = json!({ "CallSid": "call-1", "Status": "completed", "Duration": "12" }).to_string();
        let time = now().timestamp();
        let send = async |signature: String, time: i64| {
            let time = time.to_string();
            post(&server, CALL_END, &[("x-exotel-signature", &signature), ("x-exotel-timestamp", &time)], &end).await
        };
        assert_eq!(send(hex(SECRET, &end), time).await.status, 200);
        // However the signature is written.
        for signature in [hex(SECRET, &end), base64(SECRET, &end), hex(SECRET, &end).to_uppercase()] {
            send(signature, time).await.is_problem(401, "signature_replayed").detail_is("This webhook was received before");
        }
        assert_eq!(place.number(REJECTED).await, 3);
        // Sent anew it is a repetition, which does no harm.
        assert_eq!(send(hex(SECRET, &end), time + 1).await.status, 200);
        assert_eq!(place.number(REPORTS).await, 1);
        // The body's own time is signed: no header makes it new.
        let mut dated = json!({ "CallSid": "call-1", "Status": "completed", "Duration": "13" });
        dated["Timestamp"] = json!(time.to_string());
        assert_eq!(signed(&server, CALL_END, &dated).await.status, 200);
        signed(&server, CALL_END, &dated).await.is_problem(401, "signature_replayed");
        dated["Timestamp"] = json!((time - 400).to_string());
        signed(&server, CALL_END, &dated).await.is_problem(401, "signature_expired");
        // Nobody gets a second media address from a request that was overheard.
        let mut dated = start("call-2");
        dated["Timestamp"] = json!(time.to_string());
        for arrival in [dated.to_string(), start("call-2").to_string()] {
            let signature = hex(SECRET, &arrival);
            let send = async |time: Option<i64>| {
                let time = time.map(|time| time.to_string());
                let mut headers = vec![("x-exotel-signature", signature.as_str())];
                headers.extend(time.as_deref().map(|time| ("x-exotel-timestamp", time)));
                post(&server, CALL_START, &headers, &arrival).await
            };
            assert_eq!(send(Some(time)).await.status, 200);
            for other in [Some(time), Some(time + 1), None] {
                send(other).await.is_problem(401, "signature_replayed");
            }
        }
        // What failed was not received, and may come again.
        let mut early = json!({ "CallSid": "call-3", "Timestamp": time.to_string() });
        signed(&server, CALL_END, &early).await.is_problem(404, "not_found");
        announce(&server, "call-3").await;
        assert_eq!(signed(&server, CALL_END, &early).await.status, 200);
        early["Status"] = json!("failed");
        assert_eq!(signed(&server, CALL_END, &early).await.status, 200);
        server.stop().await;
    }

    /// Each proof opens what its number accepts, and nothing else does.
    async fn each_number_chooses_its_proofs(place) {
        let server = Server::start(place, &[NO_LIMITS]).await;
        let asha = Person::sign_up(&server, place, "asha").await;
        let mut config = serde_json::to_value(colours()).expect("JSON");
        config["speech"] = json!({});
        config.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        let agent = asha.make(&server, "/api/agents", json!({ "name": "Colours", "config": config })).await;
        let body = json!({ "number": post_number(), "carrier": "exotel", "agent_id": agent });
        let number = asha.make(&server, "/api/phone-numbers", body).await;
        let path = format!("/api/phone-numbers/{number}");
        let addresses = asha.post(&server, &format!("{path}/webhook-address"), json!({})).await.body;
        let choose = async |proofs: Value| {
            ask(&server, Method::PATCH, &path, Some(&asha.access), Some(&json!({ "webhook_proofs": proofs }))).await
        };
        let shown = asha.get(&server, &path).await.body["webhook_proofs"].clone();
        assert_eq!(shown, json!({ "signature": true, "path_token": true, "basic_username": null, "addresses": [] }));

        let credentials = json!({ "username": "exotel", "password": "0123456789abcdef" });
        let cases = [
            ("signature", json!({ "signature": true, "path_token": false })),
            ("path", json!({ "signature": false, "path_token": true })),
            ("basic", json!({ "signature": false, "path_token": false, "basic": credentials })),
            ("addresses", json!({ "signature": false, "path_token": false, "addresses": ["127.0.0.1"] })),
            ("elsewhere", json!({ "signature": false, "path_token": false, "addresses": ["203.0.113.0/24"] })),
        ];
        for (what, proofs) in cases {
            let answer = choose(proofs).await;
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            assert!(!answer.body.to_string().contains("0123456789abcdef"));
            try_everything(&server, &addresses, what).await;
        }
        for (proofs, fields) in [
            (json!({ "signature": false, "path_token": false }), vec!["webhook_proofs"]),
            (json!({ "signature": false, "path_token": false, "addresses": [] }), vec!["webhook_proofs"]),
            (json!({ "signature": true, "path_token": false, "addresses": ["0.0.0.0/0", "10.0.0.0/8", "exotel.com"] }),
             vec!["webhook_proofs.addresses.0", "webhook_proofs.addresses.2"]),
        ] {
            let answer = choose(proofs).await;
            assert_eq!(answer.is_problem(400, "invalid_fields").fields(), fields);
        }
        let short = choose(json!({ "signature": false, "path_token": false, "basic": { "username": "a:b", "password": "short" } })).await;
        assert_eq!(short.is_problem(400, "invalid_fields").fields().len(), 2, "{short:?}");
        assert_eq!(asha.get(&server, &path).await.body["webhook_proofs"]["addresses"], json!(["203.0.113.0/24"]));
        server.stop().await;
    }
}

/// The number that arrivals name.
fn post_number() -> String {
    format!("+91{}", &NUMBER_AS_SENT[1..])
}

/// Every proof at every address of a number that accepts only this one: which of them open.
async fn try_everything(server: &Server, addresses: &Value, what: &str) {
    let address = |name: &str| {
        let url = addresses[name].as_str().expect("an address");
        url.split_once("/webhooks").map(|(_, rest)| format!("/webhooks{rest}")).expect("a path")
    };
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let (right, wrong) = (basic("exotel:0123456789abcdef"), basic("exotel:0123456789abcdeF"));
    let sid = format!("sid-{what}");
    let arrival = start(&sid).to_string();
    let query = format!("CallSid={sid}&CallTo={NUMBER_AS_SENT}&Stream[Status]=completed");
    // Offered: nothing, a signature, the path, Basic, wrong Basic. At the address of all, and at its own.
    let signature = hex(SECRET, &arrival);
    let opens = |proof: &str| what == "addresses" || what == proof;
    let open: [(&str, Vec<(&str, &str)>); 4] = [
        ("nothing", vec![]),
        ("signature", vec![("x-exotel-signature", &signature)]),
        ("basic", vec![("authorization", &right)]),
        ("wrong", vec![("authorization", &wrong)]),
    ];
    for (proof, headers) in &open {
        let status = post(server, CALL_START, headers, &arrival).await.status;
        assert_eq!(status, if opens(proof) { 200 } else { 401 }, "{what}: {proof}");
    }
    for (proof, headers) in [("path", &open[0].1), ("basic", &open[2].1)] {
        let fine = opens(proof) || opens("path");
        for name in ["url", "passthru_url"] {
            let status = request(server, Method::GET, &format!("{}?{query}", address(name)), headers, "").await.status;
            // The Passthru has ended the call meanwhile.
            assert!(
                if fine { [200, 409].contains(&status) } else { status == 401 },
                "{what}: {proof} at {name}: {status}"
            );
        }
        let status = post(
            server,
            &address("status_url"),
            headers,
            &json!({ "CallSid": sid, "Status": "completed" }).to_string(),
        )
        .await;
        assert_eq!(status.status, if fine { 200 } else { 401 }, "{what}: {proof}: {status:?}");
    }
    // A report is judged by the number of its call.
    let end = json!({ "CallSid": sid }).to_string();
    for (proof, headers) in &open {
        let signature = hex(SECRET, &end);
        let mut headers = headers.clone();
        headers.iter_mut().filter(|(name, _)| name.starts_with("x-")).for_each(|header| header.1 = &signature);
        let answer = post(server, CALL_END, &headers, &end).await;
        let known = what != "elsewhere";
        // Of a call that is not known, only a signature is looked at.
        let want = if !known && *proof == "signature" {
            404
        } else if known && opens(proof) {
            200
        } else {
            401
        };
        assert_eq!(answer.status, want, "{what}: {proof}: {answer:?}");
    }
}

/// By hand: what each message answers without a signature, with a wrong one, and with one byte changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_authentic_or_refused() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    post::announce(&server, "call-1").await;
    let body = json!({ "CallSid": "call-1", "Status": "completed", "RecordingUrl": RECORDING_URL }).to_string();
    let changed = body.replace("completed", "complete ");
    for path in [CALL_END, STATUS, RECORDING] {
        post(&server, path, &[], &body)
            .await
            .is_problem(401, "signature_missing")
            .detail_is("Missing webhook signature");
        for wrong in [hex("another", &body), hex(SECRET, &changed), hex(SECRET, &body)[1..].to_owned()] {
            let answer = post(&server, path, &[("x-exotel-signature", &wrong)], &body).await;
            answer.is_problem(401, "signature_wrong").detail_is("Wrong webhook signature");
        }
        let signature = hex(SECRET, &body);
        post(&server, path, &[("x-exotel-signature", &signature)], &changed).await.is_problem(401, "signature_wrong");
        // Whether a call is there is not told to strangers, nor what is wrong with their fields.
        for strange in ["{}", "{", "{\"CallSid\":\"nobody\"}", "CallSid=call-1"] {
            post(&server, path, &[], strange).await.is_problem(401, "signature_missing");
        }
        assert_eq!(world.call("call-1").await.expect("a call").carrier_recording_url, None, "{path}");
    }
    assert_eq!(place.number(REJECTED).await, 27);
    let signature = hex(SECRET, &body);
    assert_eq!(post(&server, CALL_END, &[("x-exotel-signature", &signature)], &body).await.status, 200);
    let bare = json!({ "CallSid": "call-1" });
    assert_eq!(signed(&server, STATUS, &bare).await.is_problem(400, "invalid_fields").fields(), ["Status"]);
    assert_eq!(signed(&server, RECORDING, &bare).await.is_problem(400, "invalid_fields").fields(), ["RecordingUrl"]);
    server.stop().await;
}
