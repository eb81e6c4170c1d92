//! Calls, transcripts and recordings over HTTP.

use crate::agents::agent;
use crate::app::{Person, TestApp};
use crate::phone_numbers::phone_number;
use chrono::Duration;
use model::{CallDirection, CallStatus, CarrierKind, E164, EndedReason, Latency, TranscriptTurn, TurnRole};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use store::calls::{self, Call, NewCall, Owner};
use store::recordings::{self, NewRecording, Recording, SpooledFile};
use store::turns;

/// A ringing call to an agent, made as a webhook makes it.
pub(crate) async fn call(
    app: &TestApp,
    person: &Person,
    agent: &str,
    sid: &str,
    change: impl FnOnce(&mut NewCall),
) -> Call {
    let mut new = NewCall {
        agent: agent.parse().expect("an id"),
        phone_number: None,
        carrier: CarrierKind::Exotel,
        carrier_call_id: Some(sid.to_owned()),
        direction: CallDirection::Incoming,
        from: Some(E164::parse("+919876543210").expect("a number")),
        to: Some(E164::parse("+918047491899").expect("a number")),
        status: CallStatus::Ringing,
        variables: serde_json::Map::new(),
    };
    change(&mut new);
    let now = app.now();
    app.store()
        .write(person.tenant, "test.call", async |tx| {
            Ok::<_, store::Error>(calls::create(tx, &new, now).await?.into_call())
        })
        .await
        .expect("a call")
}

/// The call is held and over.
async fn finish(app: &TestApp, person: &Person, call: &Call) {
    let owner = Owner { node: "test".to_owned(), run: uuid::Uuid::from_u128(1) };
    let now = app.now();
    let data = match json!({ "book_visit": { "day": "2026-11-25" } }) {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    app.store()
        .write(person.tenant, "test.finish", async |tx| {
            calls::begin_media(tx, call.id, &owner, now, Duration::seconds(60)).await?;
            let ended = now + Duration::seconds(73);
            calls::finish(tx, call.id, EndedReason::AgentCompleted, ended, 73_000, &data).await?;
            calls::set_summary(tx, call.id, "A visit was booked.").await
        })
        .await
        .expect("finished");
}

fn turn(index: u32) -> TranscriptTurn {
    let role = if index.is_multiple_of(2) { TurnRole::Agent } else { TurnRole::Caller };
    TranscriptTurn {
        index,
        role,
        text: format!("turn {index}"),
        intended: None,
        interrupted: false,
        started_ms: u64::from(index) * 1_000,
        ended_ms: u64::from(index) * 1_000 + 900,
        latency: (role == TurnRole::Agent).then(|| Latency { end_to_end_ms: Some(600), ..Latency::default() }),
    }
}

/// A recording of this call, stored under this key when there is one.
pub(crate) async fn recording(app: &TestApp, person: &Person, call: &Call, key: Option<&str>) -> Recording {
    let new = NewRecording {
        call: call.id,
        node: "test".to_owned(),
        spool_path: "/var/spool/caly/secret-place.wav".to_owned(),
        channels: 2,
        sample_rate_hz: 8_000,
    };
    let now = app.now();
    app.store()
        .write(person.tenant, "test.recording", async |tx| {
            let recording = recordings::create(tx, &new, now).await?;
            let file = SpooledFile { duration_ms: 1_000, bytes: 5_000, sha256: [0xab; 32] };
            recordings::spooled(tx, recording.id, &file, now).await?;
            if let Some(key) = key {
                recordings::stored(tx, recording.id, key, now).await?;
            }
            recordings::get(tx, recording.id).await
        })
        .await
        .expect("a recording")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_shown_with_what_it_was_about_and_that_is_on_record() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let number = phone_number(&app, &asha, "+918047491899", &agent).await;
    let made = call(&app, &asha, &agent, "sid-1", |new| new.phone_number = Some(number.parse().expect("an id"))).await;
    finish(&app, &asha, &made).await;
    let (id, token) = (made.id.to_string(), &asha.access_token);
    let shown = app.get(&format!("/api/calls/{id}"), token).await.expect(200);
    for (field, want) in [
        ("id", json!(id)),
        ("agent_id", json!(agent)),
        ("phone_number_id", json!(number)),
        ("carrier", json!("exotel")),
        ("carrier_call_id", json!("sid-1")),
        ("direction", json!("incoming")),
        ("from", json!("+919876543210")),
        ("to", json!("+918047491899")),
        ("status", json!("completed")),
        ("ended_reason", json!("agent/completed")),
        ("duration_ms", json!(73_000)),
        ("carrier_duration_s", Value::Null),
        ("summary", json!("A visit was booked.")),
        ("data", json!({ "book_visit": { "day": "2026-11-25" } })),
    ] {
        assert_eq!(shown[field], want, "{field}");
    }
    assert_eq!(app.audited_times(asha.tenant, "data.accessed", &id).await, 1);
    let listed = app.get("/api/calls", token).await.expect(200);
    assert_eq!(listed["items"][0]["id"], json!(id));
    assert!(listed["items"][0].get("summary").is_none() && listed["items"][0].get("data").is_none());
    assert_eq!(app.audited_times(asha.tenant, "data.accessed", &id).await, 1, "a list shows nothing of the content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_comes_in_order_and_in_pages() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    let all: Vec<TranscriptTurn> = (0..120).map(turn).collect();
    let now = app.now();
    app.store()
        .write(asha.tenant, "test.turns", async |tx| turns::append(tx, made.id, &all, now).await)
        .await
        .expect("kept");
    let path = format!("/api/calls/{}/turns", made.id);
    let first = app.get(&path, &asha.access_token).await.expect(200);
    assert_eq!(first["items"].as_array().map(Vec::len), Some(100));
    assert_eq!(first["items"][0], serde_json::to_value(turn(0)).expect("JSON"));
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = app.get(&format!("{path}?cursor={cursor}"), &asha.access_token).await.expect(200);
    let indices: Vec<u64> =
        second["items"].as_array().unwrap().iter().filter_map(|turn| turn["index"].as_u64()).collect();
    assert_eq!(indices, (100..120).collect::<Vec<u64>>());
    assert!(second.get("next_cursor").is_none());
    let exact = app.get(&format!("{path}?cursor=99&limit=20"), &asha.access_token).await.expect(200);
    assert!(exact.get("next_cursor").is_none(), "a full last page has no next");
    for query in ["cursor=x", "cursor=-1", "limit=0", "limit=201", "more=1"] {
        app.get(&format!("{path}?{query}"), &asha.access_token).await.expect_problem(400, "invalid_fields");
    }
    assert_eq!(app.audited_times(asha.tenant, "data.accessed", &made.id.to_string()).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_filtered() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let (day, night) = (agent(&app, &asha, "Day").await, agent(&app, &asha, "Night").await);
    let number = phone_number(&app, &asha, "+918047491899", &day).await;
    let (early, second) = (app.now(), Duration::seconds(1));
    call(&app, &asha, &day, "a", |new| new.phone_number = Some(number.parse().expect("an id"))).await;
    app.clock.advance(second);
    call(&app, &asha, &night, "b", |new| new.from = Some(E164::parse("+12025550123").expect("a number"))).await;
    app.clock.advance(second);
    let ended = call(&app, &asha, &day, "c", |new| {
        new.direction = CallDirection::Outgoing;
        new.to = Some(E164::parse("+917314852338").expect("a number"));
    })
    .await;
    finish(&app, &asha, &ended).await;
    let at = |seconds: i64| (early + Duration::seconds(seconds)).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    for (query, want) in [
        (String::new(), "cba"),
        ("status=ringing".to_owned(), "ba"),
        ("status=completed".to_owned(), "c"),
        ("status=busy".to_owned(), ""),
        (format!("agent_id={night}"), "b"),
        ("direction=outgoing".to_owned(), "c"),
        ("from=%2B12025550123".to_owned(), "b"),
        ("from=09876543210".to_owned(), "ca"),
        ("to=%2B917314852338".to_owned(), "c"),
        (format!("phone_number_id={number}"), "a"),
        (format!("created_from={}", at(1)), "cb"),
        (format!("created_before={}", at(1)), "a"),
        (format!("created_from={}&created_before={}", at(1), at(2)), "b"),
        (format!("status=ringing&agent_id={day}&from=09876543210&to=08047491899&direction=incoming"), "a"),
        (format!("status=completed&agent_id={day}&created_before={}", at(2)), ""),
        (format!("from=09876543210&created_before={}", at(2)), "a"),
    ] {
        let list = app.get(&format!("/api/calls?{query}"), &asha.access_token).await.expect(200);
        let found: String =
            list["items"].as_array().unwrap().iter().filter_map(|c| c["carrier_call_id"].as_str()).collect();
        assert_eq!(found, want, "{query}");
    }
    for (query, field) in [
        ("status=done", "status"),
        ("agent_id=x", "agent_id"),
        ("direction=up", "direction"),
        ("from=12", "from"),
        ("to=x", "to"),
        ("phone_number_id=1", "phone_number_id"),
        ("created_from=yesterday", "created_from"),
        ("created_before=2026-11-21", "created_before"),
        ("state=ringing", "state"),
        ("status=ringing&status=busy", "status"),
    ] {
        let answer = app.get(&format!("/api/calls?{query}"), &asha.access_token).await;
        assert_eq!((answer.status, answer.fields()), (400, vec![field]), "{query} {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_filtered_list_neither_skip_nor_repeat() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    for n in 0..120 {
        if n % 3 == 0 {
            app.clock.advance(Duration::milliseconds(1));
        }
        call(&app, &asha, &agent, &format!("sid-{n}"), |new| {
            if n % 4 == 0 {
                new.from = None;
            }
        })
        .await;
    }
    let before = (app.now() + Duration::milliseconds(1)).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let base = format!("/api/calls?from=%2B919876543210&created_before={before}&limit=7");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("{base}{cursor}"), &asha.access_token).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap().to_owned()));
        app.clock.advance(Duration::seconds(1));
        call(&app, &asha, &agent, &format!("late-{}", seen.len()), |_| {}).await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 90);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_recording_is_given_out_whole_and_that_is_on_record() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    let sound: Vec<u8> = (0..5_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    app.files.files.lock().unwrap().insert("key/of/it.wav".to_owned(), sound.clone());
    let stored = recording(&app, &asha, &made, Some("key/of/it.wav")).await;
    let (id, token) = (stored.id.to_string(), &asha.access_token);
    let shown = app.get(&format!("/api/recordings/{id}"), token).await.expect(200);
    assert_eq!((&shown["status"], &shown["bytes"]), (&json!("ready"), &json!(5_000)));
    assert_eq!(shown["sha256"], "ab".repeat(32));
    assert!(!shown.to_string().contains("secret-place") && !shown.to_string().contains("key/of"), "no places of ours");
    let listed = app.get(&format!("/api/calls/{}/recordings", made.id), token).await.expect(200);
    assert_eq!(listed["items"], json!([shown]));
    assert_eq!(app.audited_times(asha.tenant, "recording.accessed", &id).await, 0, "nobody has heard it");

    let answer = app.get(&format!("/api/recordings/{id}/audio"), token).await;
    assert_eq!((answer.status, &answer.bytes), (200, &sound));
    assert_eq!(answer.header("content-type"), "audio/wav");
    assert_eq!(answer.header("content-length"), "5000");
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"caly-call-{}.wav\"", made.id));
    assert!(answer.header("cache-control").contains("no-store"));
    assert_eq!(app.audited_times(asha.tenant, "recording.accessed", &id).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_cannot_be_had_says_why() {
    let app = TestApp::start().await;
    let asha = app.signed_up("Asha").await;
    let agent = agent(&app, &asha, "Reception").await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    let spooled = recording(&app, &asha, &made, None).await;
    let failed = recording(&app, &asha, &made, None).await;
    let lost = recording(&app, &asha, &made, Some("no/such.wav")).await;
    let now = app.now();
    app.store()
        .write(asha.tenant, "test.failed", async |tx| recordings::failed(tx, failed.id, "bucket x is full", now).await)
        .await
        .expect("noted");
    let audio = |recording: &Recording| format!("/api/recordings/{}/audio", recording.id);
    for (recording, status, code) in
        [(&spooled, 409, "conflict"), (&failed, 409, "conflict"), (&lost, 404, "not_found")]
    {
        let problem = app.get(&audio(recording), &asha.access_token).await.expect_problem(status, code);
        assert!(!problem.to_string().contains("bucket"), "{problem}");
    }
    *app.files.away.lock().unwrap() = true;
    app.get(&audio(&lost), &asha.access_token).await.expect_problem(502, "external_service_failed");
    for recording in [&spooled, &failed, &lost] {
        assert_eq!(app.audited_times(asha.tenant, "recording.accessed", &recording.id.to_string()).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_calls_are_not_there() {
    let app = TestApp::start().await;
    let (asha, ravi) = (app.signed_up("Asha").await, app.signed_up("Ravi").await);
    let agent = agent(&app, &asha, "Reception").await;
    let made = call(&app, &asha, &agent, "sid-1", |_| {}).await;
    app.files.files.lock().unwrap().insert("k.wav".to_owned(), vec![1]);
    let stored = recording(&app, &asha, &made, Some("k.wav")).await;
    let nobody = "01940b6e-0000-7000-8000-000000000001";
    for (call, recording) in
        [(made.id.to_string(), stored.id.to_string()), (nobody.into(), nobody.into()), ("x".into(), "x".into())]
    {
        for path in [
            format!("/api/calls/{call}"),
            format!("/api/calls/{call}/turns"),
            format!("/api/calls/{call}/recordings"),
            format!("/api/recordings/{recording}"),
            format!("/api/recordings/{recording}/audio"),
        ] {
            let problem = app.get(&path, &ravi.access_token).await.expect_problem(404, "not_found");
            assert_eq!(problem["detail"], "there is no such thing", "{path}");
        }
    }
    assert_eq!(app.get("/api/calls", &ravi.access_token).await.expect(200)["items"], json!([]));
    let filtered = format!("/api/calls?agent_id={agent}");
    assert_eq!(app.get(&filtered, &ravi.access_token).await.expect(200)["items"], json!([]));
    let kinds: Vec<String> = app.audited(ravi.tenant).await.into_iter().map(|(kind, _, _)| kind).collect();
    assert!(kinds.is_empty(), "what was not there is not on record: {kinds:?}");
}
