//! The fake carrier against small servers that behave as a bot: well, or in one particular way badly.

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::caller::{Script, ScriptedCaller, Voice, report};
use testkit::carrier::{
    Announce, AnnounceError, CallObservation, CallerSide, Closed, EventKind, FakeExotel, Fault, MarksAfterClear,
    Options, RecordedCaller, rms_dbfs,
};
use wire::exotel::stream::{self, Inbound};
use wire::exotel::webhook::{CallEnd, CallStart, DisconnectedBy};
use wire::fields::Fields;
use wire::signature::{SignedRequest, Verdict, verify};

const SECRET: &str = "test secret";

type Bot = Arc<dyn Fn(WebSocket, Log) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the server saw.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    texts: Vec<String>,
    handshakes: Vec<(Option<String>, Option<String>)>,
    ends: Vec<CallEnd>,
    starts: Vec<CallStart>,
    refuse_handshakes: usize,
    ended: Option<String>,
}

#[derive(Clone)]
struct Server {
    base_url: String,
    log: Log,
    bot: Bot,
}

impl Server {
    async fn start<F, Fut>(bot: F) -> Self
    where
        F: Fn(WebSocket, Log) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let bot: Bot = Arc::new(move |socket, log| Box::pin(bot(socket, log)));
        let server = Self { base_url, log: Log::default(), bot };
        let router = Router::new()
            .route("/webhooks/exotel/call-start", post(call_start))
            .route("/webhooks/exotel/call-end", post(call_end))
            .route("/dynamic/{token}", get(dynamic))
            .route("/passthru", get(passthru))
            .route("/media", any(media))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn media_url(&self) -> String {
        self.base_url.replace("http://", "ws://") + "/media"
    }

    /// A carrier that knows the socket's URL, with 20 ms frames for short tests.
    fn direct(&self) -> Options {
        let mut options = Options::new(&self.base_url, Announce::Direct { url: self.media_url() });
        options.frame_ms = 20;
        options
    }

    fn signed(&self) -> Options {
        let mut options = Options::new(&self.base_url, Announce::Signed { secret: SecretString::from(SECRET) });
        options.frame_ms = 20;
        options
    }

    fn texts(&self) -> Vec<Value> {
        self.log.0.lock().unwrap().texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "the server of these tests has a clock")]
fn now() -> chrono::DateTime<chrono::Utc> {
    std::time::SystemTime::now().into()
}

fn authentic(headers: &HeaderMap, body: &[u8]) -> Verdict {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let request = SignedRequest {
        body,
        signature: header("x-exotel-signature"),
        timestamp: header("x-exotel-timestamp"),
        body_timestamp: None,
    };
    verify(&SecretString::from(SECRET), request, now())
}

fn answer(server: &Server, fields: &Fields) -> Response {
    let start = CallStart::read(fields).unwrap();
    server.log.0.lock().unwrap().starts.push(start);
    axum::Json(json!({"url": server.media_url()})).into_response()
}

async fn call_start(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> Response {
    match authentic(&headers, &body) {
        Verdict::Valid => answer(&server, &Fields::parse(None, &body).unwrap()),
        other => (StatusCode::UNAUTHORIZED, format!("{other:?}")).into_response(),
    }
}

async fn call_end(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if authentic(&headers, &body) != Verdict::Valid {
        return StatusCode::UNAUTHORIZED;
    }
    let end = CallEnd::read(&Fields::parse(None, &body).unwrap()).unwrap();
    server.log.0.lock().unwrap().ends.push(end);
    StatusCode::NO_CONTENT
}

async fn dynamic(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap();
    assert_eq!(query.split('&').count(), 12, "{query}");
    answer(&server, &Fields::from_urlencoded(query.as_bytes()).unwrap())
}

async fn passthru(State(server): State<Server>, RawQuery(query): RawQuery) -> StatusCode {
    let end = CallEnd::read(&Fields::from_urlencoded(query.unwrap().as_bytes()).unwrap()).unwrap();
    server.log.0.lock().unwrap().ends.push(end);
    StatusCode::OK
}

async fn media(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let authorization = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    {
        let mut seen = server.log.0.lock().unwrap();
        seen.handshakes.push((authorization, query));
        if seen.handshakes.len() <= seen.refuse_handshakes {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    upgrade.max_message_size(256 * 1024).on_upgrade(move |socket| (server.bot)(socket, server.log))
}

/// The next text; notes everything, and how the socket ended.
async fn next(socket: &mut WebSocket, log: &Log) -> Option<String> {
    loop {
        let end = match socket.recv().await {
            Some(Ok(Message::Text(text))) => {
                log.0.lock().unwrap().texts.push(text.to_string());
                return Some(text.to_string());
            }
            Some(Ok(Message::Close(frame))) => format!("closed {:?}", frame.map(|frame| frame.code)),
            Some(Ok(_)) => continue,
            Some(Err(_)) => "broken".to_owned(),
            None => "end".to_owned(),
        };
        log.0.lock().unwrap().ended.get_or_insert(end);
        return None;
    }
}

/// Reads up to the start message; its stream.
async fn started(socket: &mut WebSocket, log: &Log) -> String {
    while let Some(text) = next(socket, log).await {
        if let Ok(Inbound::Start(start)) = stream::decode(&text) {
            return start.stream_id;
        }
    }
    String::new()
}

async fn read_on(mut socket: WebSocket, log: Log) {
    while next(&mut socket, &log).await.is_some() {}
}

async fn send(socket: &mut WebSocket, text: String) {
    let _ = socket.send(Message::text(text)).await;
}

async fn say(socket: &mut WebSocket, stream_id: &str, pcm: &[i16]) {
    let mut text = String::new();
    stream::encode_media(stream_id, 1, 1, 0, pcm, &mut text).unwrap();
    send(socket, text).await;
}

async fn mark(socket: &mut WebSocket, stream_id: &str, name: &str) {
    let mut text = String::new();
    stream::encode_mark(stream_id, 1, name, &mut text);
    send(socket, text).await;
}

fn tone(ms: usize) -> Vec<i16> {
    (0..ms * 8).map(|i| if i / 8 % 2 == 0 { 6000 } else { -6000 }).collect()
}

async fn call(options: Options, caller: &mut dyn CallerSide) -> CallObservation {
    Box::pin(FakeExotel::new(options).place_call(caller)).await.unwrap()
}

async fn silent_call(options: Options, length_ms: u64) -> CallObservation {
    call(options, &mut RecordedCaller::new(Vec::new(), length_ms)).await
}

#[tokio::test]
async fn the_callers_audio_arrives_sample_by_sample_on_an_absolute_schedule() {
    for (frame_ms, frames) in [(20, 50), (100, 10)] {
        let server = Server::start(read_on).await;
        let mut options = server.direct();
        options.frame_ms = frame_ms;
        let mut caller = RecordedCaller::new(tone(700), 1000);
        let seen = call(options, &mut caller).await;
        assert_eq!(seen.media_out_count, frames);
        // Never early: the frame of [k, k+1) is sent at k+1. Late frames do not delay those after them.
        assert!(seen.duration_ms >= 1000, "{}", seen.duration_ms);
        assert_eq!(seen.closed, Closed::ByCaller { answered: true });
        let (mut pcm, mut all, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for text in &server.log.0.lock().unwrap().texts {
            if let Ok(Inbound::Media(media)) = stream::decode(text) {
                stream::decode_pcm(&media.payload_base64, &mut pcm).unwrap();
                all.extend_from_slice(&pcm);
                times.push((media.chunk.unwrap(), media.timestamp_ms.unwrap()));
            }
        }
        assert_eq!(all, seen.caller_timeline);
        assert_eq!(all[..5600], tone(700));
        assert_eq!(times, (0..frames).map(|k| (k + 1, k * frame_ms)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn messages_have_exotels_shape() {
    for numeric_ids in [false, true] {
        let server = Server::start(read_on).await;
        let mut options = server.direct();
        (options.numeric_ids, options.sample_rate_hz) = (numeric_ids, 16_000);
        let mut caller = RecordedCaller::new(Vec::new(), 100);
        caller.keys.push((40, '#'));
        let seen = call(options, &mut caller).await;
        let texts = server.texts();
        assert_eq!(texts[0], json!({"event": "connected"}));
        assert_eq!(texts[1]["sequence_number"], if numeric_ids { json!(1) } else { json!("1") });
        assert_eq!(texts[1]["start"]["media_format"]["sample_rate"], "16000");
        assert_eq!(texts[1]["start"]["call_sid"], seen.call_id.as_str());
        assert_eq!((seen.call_id.len(), seen.stream_id.len()), (32, 32));
        assert!(seen.call_id.ends_with('p'), "ids are opaque");
        assert_eq!(texts[2]["sequence_number"], if numeric_ids { json!(2) } else { json!("2") });
        assert_eq!(texts[2]["media"]["chunk"], if numeric_ids { json!(1) } else { json!("1") });
        let dtmf = texts.iter().find(|text| text["event"] == "dtmf").unwrap();
        assert_eq!(dtmf["dtmf"]["digit"], "#");
        let stop = texts.last().unwrap();
        assert_eq!((&stop["event"], &stop["stop"]["reason"]), (&json!("stop"), &json!("callended")));
        assert_eq!(server.log.0.lock().unwrap().ended.as_deref(), Some("closed Some(1000)"));
    }
}

#[tokio::test]
async fn a_signed_call_is_announced_and_its_end_reported() {
    let server = Server::start(read_on).await;
    let seen = silent_call(server.signed(), 100).await;
    assert_eq!(seen.end_report, Some(Ok(204)));
    let log = server.log.0.lock().unwrap();
    assert_eq!((log.starts[0].call_id.as_str(), log.starts[0].to.as_str()), (seen.call_id.as_str(), "+918047491899"));
    assert!(log.starts[0].created_at.is_some() && log.starts[0].to_other.is_some());
    assert_eq!((log.ends[0].call_id.as_str(), log.ends[0].duration_s), (seen.call_id.as_str(), Some(1)));
    assert!(log.ends[0].recording_url.is_some());
}

#[tokio::test]
async fn a_forged_call_is_refused_and_there_is_no_call() {
    let server = Server::start(read_on).await;
    for signature in [None, Some("00".repeat(20))] {
        let options = Options::new(&server.base_url, Announce::Forged { signature });
        let refused = FakeExotel::new(options).place_call(&mut RecordedCaller::default()).await;
        assert!(matches!(refused, Err(AnnounceError::Refused { status: 401, .. })), "{refused:?}");
    }
    assert!(server.log.0.lock().unwrap().handshakes.is_empty());
}

#[tokio::test]
async fn a_dynamic_url_is_asked_and_passthru_follows() {
    let server = Server::start(read_on).await;
    let announce = Announce::DynamicUrl {
        url: format!("{}/dynamic/unguessable", server.base_url),
        passthru_url: Some(format!("{}/passthru", server.base_url)),
    };
    let seen = silent_call(Options::new(&server.base_url, announce), 100).await;
    assert_eq!(seen.end_report, Some(Ok(200)));
    let log = server.log.0.lock().unwrap();
    assert_eq!(log.starts[0].account_id, None);
    assert_eq!(log.ends[0].disconnected_by, Some(DisconnectedBy::User));
    assert_eq!(log.ends[0].stream_id.as_deref(), Some(seen.stream_id.as_str()));
}

#[tokio::test]
async fn nobody_there_is_an_error_with_its_cause() {
    let options = Options::new("http://127.0.0.1:9", Announce::Signed { secret: SecretString::from(SECRET) });
    let failed = FakeExotel::new(options).place_call(&mut RecordedCaller::default()).await;
    assert!(matches!(failed, Err(AnnounceError::Unreachable(_))), "{failed:?}");
}

#[tokio::test]
async fn user_and_password_of_the_url_become_basic_authentication_and_the_query_may_be_lost() {
    for strip_query in [false, true] {
        let server = Server::start(read_on).await;
        let url = server.media_url().replace("ws://", "ws://me:secret@") + "?sample-rate=8000";
        let mut options = Options::new(&server.base_url, Announce::Direct { url });
        options.strip_query = strip_query;
        silent_call(options, 100).await;
        let (authorization, query) = server.log.0.lock().unwrap().handshakes[0].clone();
        assert_eq!(authorization, Some(format!("Basic {}", STANDARD.encode("me:secret"))));
        assert_eq!(query.as_deref(), (!strip_query).then_some("sample-rate=8000"));
    }
}

#[tokio::test]
async fn parameters_of_the_url_reach_the_start_message_as_far_as_exotel_takes_them() {
    for (query, parameters, violations) in [
        ("?k=v%20w&sample-rate=8000&flag", json!({"k": "v w", "flag": ""}), 0),
        ("?a=1&b=2&c=3&d=4", json!({"a": "1", "b": "2", "c": "3"}), 1),
        ("?sample-rate=16000", json!({}), 1),
        ("", json!({}), 0),
    ] {
        let server = Server::start(read_on).await;
        let mut options = server.direct();
        options.announce = Announce::Direct { url: server.media_url() + query };
        let seen = silent_call(options, 40).await;
        assert_eq!(server.texts()[1]["start"]["custom_parameters"], parameters, "{query}");
        assert_eq!(seen.violations.len(), violations, "{query} {:?}", seen.violations);
    }
}

#[tokio::test]
async fn a_refused_handshake_is_tried_once_more() {
    for (refusals, tries, connected) in [(1, 2, true), (2, 2, false)] {
        let server = Server::start(read_on).await;
        server.log.0.lock().unwrap().refuse_handshakes = refusals;
        let seen = silent_call(server.signed(), 100).await;
        assert_eq!(seen.connect_tries, tries);
        assert_eq!(!matches!(seen.closed, Closed::NeverConnected { .. }), connected, "{:?}", seen.closed);
        // A call without media is reported, too.
        assert_eq!(seen.end_report, Some(Ok(204)));
    }
}

#[tokio::test]
async fn the_agent_is_heard_sample_by_sample_and_marks_come_back_when_it_has_been() {
    let server = Server::start(|mut socket, log| async move {
        let id = started(&mut socket, &log).await;
        for part in tone(300).chunks(800) {
            say(&mut socket, &id, part).await;
        }
        mark(&mut socket, &id, "end of greeting").await;
        while let Some(text) = next(&mut socket, &log).await {
            if matches!(stream::decode(&text), Ok(Inbound::Mark { name }) if name == "end of greeting") {
                let frame = CloseFrame { code: 1000, reason: "".into() };
                let _ = socket.send(Message::Close(Some(frame))).await;
            }
        }
    })
    .await;
    let seen = silent_call(server.direct(), 20_000).await;
    assert_eq!(seen.closed, Closed::ByServer { code: Some(1000) });
    assert_eq!(seen.violations, Vec::<String>::new());
    assert_eq!((seen.gaps.len(), seen.media_in_count), (0, 3));
    let heard: Vec<i16> = seen.agent_timeline.iter().copied().filter(|sample| *sample != 0).collect();
    assert_eq!(heard, tone(300));
    let began = seen.agent_timeline.iter().position(|sample| *sample != 0).unwrap() as u64 / 8;
    let mark = &seen.marks[0];
    // The buffer of the far end, then the audio.
    assert_eq!(mark.echoed_ms.unwrap(), began + 300);
    assert!(began >= seen.first_agent_audio_ms.unwrap() + 100);
    assert!(seen.max_ahead_ms <= 300 && seen.max_ahead_ms > 0);
}

#[tokio::test]
async fn a_clear_silences_the_agent_under_both_policies() {
    for policy in [MarksAfterClear::Echo, MarksAfterClear::Drop] {
        let server = Server::start(|mut socket, log| async move {
            let id = started(&mut socket, &log).await;
            say(&mut socket, &id, &tone(2000)).await;
            mark(&mut socket, &id, "never heard").await;
            let mut frames = 0;
            while let Some(text) = next(&mut socket, &log).await {
                frames += u32::from(matches!(stream::decode(&text), Ok(Inbound::Media(_))));
                if frames == 20 {
                    let mut text = String::new();
                    stream::encode_clear(&id, &mut text);
                    send(&mut socket, text).await;
                    frames += 1;
                }
            }
        })
        .await;
        let mut options = server.direct();
        options.marks_after_clear = policy;
        let seen = silent_call(options, 900).await;
        let [cleared] = seen.clear_at_ms[..] else { panic!("{:?}", seen.clear_at_ms) };
        assert!(seen.agent_timeline[(cleared as usize + 1) * 8..].iter().all(|sample| *sample == 0));
        assert!(rms_dbfs(&seen.agent_timeline) > -45.0, "something was heard before");
        assert!(seen.marks[0].cleared);
        assert_eq!(seen.marks[0].echoed_ms.is_some(), policy == MarksAfterClear::Echo);
        let told = server.texts().iter().any(|text| text["event"] == "mark");
        assert_eq!(told, policy == MarksAfterClear::Echo);
        let dropped = seen.events.iter().any(|e| matches!(e.kind, EventKind::Clear { dropped_ms } if dropped_ms > 0));
        assert!(dropped, "{:?}", seen.events);
    }
}

#[tokio::test]
async fn every_violation_is_seen_and_named() {
    let payload = |bytes: usize| STANDARD.encode(vec![1_u8; bytes]);
    let bad: Vec<(Message, &'static str)> = vec![
        (
            Message::text(json!({"event": "media", "media": {"payload": payload(100)}}).to_string()),
            "no multiple of 320",
        ),
        (
            Message::text(json!({"event": "media", "media": {"payload": payload(100_160)}}).to_string()),
            "more than 100000",
        ),
        (Message::text(json!({"event": "media", "media": {"payload": ""}}).to_string()), "empty frame"),
        (Message::text(json!({"event": "media", "media": {}}).to_string()), "without a payload"),
        (Message::text(json!({"event": "media", "media": {"payload": "%"}}).to_string()), "not base64"),
        (Message::text(json!({"event": "mark", "mark": {}}).to_string()), "without a name"),
        (Message::text(json!({"event": "hangup"}).to_string()), "does not know"),
        (
            Message::text(json!({"event": "mark", "stream_sid": "other", "mark": {"name": "m"}}).to_string()),
            "another stream",
        ),
        (Message::text("hello"), "not JSON"),
        (Message::binary(vec![1, 2]), "binary"),
    ];
    let wanted: Vec<&str> = bad.iter().map(|(_, want)| *want).collect();
    let messages: Vec<Message> = bad.into_iter().map(|(message, _)| message).collect();
    let server = Server::start(move |mut socket, log| {
        let messages = messages.clone();
        async move {
            started(&mut socket, &log).await;
            for message in messages {
                let _ = socket.send(message).await;
            }
            read_on(socket, log).await;
        }
    })
    .await;
    let seen = silent_call(server.direct(), 500).await;
    assert_eq!(seen.violations.len(), wanted.len(), "{:#?}", seen.violations);
    for (got, want) in seen.violations.iter().zip(wanted) {
        assert!(got.contains(want), "{got} / {want}");
    }
}

#[tokio::test]
async fn playback_that_runs_dry_inside_a_sentence_is_a_gap() {
    let server = Server::start(|mut socket, log| async move {
        let id = started(&mut socket, &log).await;
        let mut frames = 0;
        say(&mut socket, &id, &tone(100)).await;
        // The clock of this bot is the carrier's own: 20 ms a frame.
        while let Some(text) = next(&mut socket, &log).await {
            frames += u32::from(matches!(stream::decode(&text), Ok(Inbound::Media(_))));
            if frames == 25 {
                say(&mut socket, &id, &tone(100)).await;
                mark(&mut socket, &id, "end").await;
                frames += 1;
            }
        }
    })
    .await;
    let seen = silent_call(server.direct(), 1200).await;
    assert_eq!(seen.gaps.len(), 1, "{:?}", seen.gaps);
    assert!(seen.gap_total_ms > 0 && seen.gap_total_ms == seen.gaps[0].length_ms);
}

#[tokio::test]
async fn a_server_that_just_ends_is_told_from_one_that_closes() {
    let server = Server::start(|mut socket, log| async move {
        started(&mut socket, &log).await;
    })
    .await;
    let seen = silent_call(server.direct(), 10_000).await;
    assert_eq!(seen.closed, Closed::ByServer { code: None });
}

#[tokio::test]
async fn faults_happen_as_asked() {
    for (fault, want) in [
        (Fault::GarbageFrames { at_ms: 100, count: 5 }, "not json"),
        (Fault::DuplicatedStart { at_ms: 100 }, "start"),
        (Fault::DropMidCall { at_ms: 100 }, "broken"),
        (Fault::OversizedFrame { at_ms: 100 }, "broken"),
    ] {
        let server = Server::start(read_on).await;
        let mut options = server.direct();
        options.faults.push(fault);
        let seen = silent_call(options, 400).await;
        assert!(seen.events.iter().any(|event| matches!(event.kind, EventKind::Fault { .. })), "{fault:?}");
        // A dropped connection reaches the server a moment later.
        for _ in 0..200 {
            if server.log.0.lock().unwrap().ended.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = server.log.0.lock().unwrap();
        let starts = log.texts.iter().filter(|text| text.contains("\"event\":\"start\"")).count();
        match fault {
            Fault::GarbageFrames { .. } => assert!(log.texts.iter().any(|text| text == want)),
            Fault::DuplicatedStart { .. } => assert_eq!(starts, 2),
            Fault::DropMidCall { .. } => assert_eq!(seen.closed, Closed::Dropped),
            _ => assert!(!matches!(seen.closed, Closed::ByCaller { .. }), "{:?}", seen.closed),
        }
        if want == "broken" {
            assert!(log.ended.as_deref().is_some_and(|ended| ended != "closed Some(1000)"), "{:?}", log.ended);
        }
    }
}

#[tokio::test]
async fn no_start_and_never_close_leave_the_end_to_the_server() {
    let server = Server::start(|mut socket, log| async move {
        next(&mut socket, &log).await;
        let silence = tokio::time::timeout(Duration::from_millis(200), next(&mut socket, &log)).await;
        assert!(silence.is_err(), "after connected nothing follows");
        let _ = socket.send(Message::Close(Some(CloseFrame { code: 1008, reason: "".into() }))).await;
    })
    .await;
    let mut options = server.direct();
    options.faults.push(Fault::NoStart);
    let seen = silent_call(options, 10_000).await;
    assert_eq!((seen.closed, seen.media_out_count), (Closed::ByServer { code: Some(1008) }, 0));

    let server = Server::start(|mut socket, log| async move {
        while let Some(text) = next(&mut socket, &log).await {
            if matches!(stream::decode(&text), Ok(Inbound::Stop { .. })) {
                let _ = socket.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).await;
            }
        }
    })
    .await;
    let mut options = server.direct();
    options.faults.push(Fault::NeverClose);
    let seen = silent_call(options, 100).await;
    assert_eq!(seen.closed, Closed::ByServer { code: Some(1000) });
}

#[tokio::test]
async fn a_carrier_that_stops_reading_hears_nothing() {
    let server = Server::start(|mut socket, log| async move {
        let id = started(&mut socket, &log).await;
        while next(&mut socket, &log).await.is_some() {
            say(&mut socket, &id, &tone(20)).await;
        }
    })
    .await;
    let mut options = server.direct();
    options.faults.push(Fault::StopReading { at_ms: 0 });
    let seen = silent_call(options, 400).await;
    assert!(seen.media_out_count >= 10);
    assert!(seen.media_in_count <= 1, "{}", seen.media_in_count);
}

/// Where Debian's `asterisk-core-sounds-en-wav` puts its recordings.
const VOICE_DIR: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

#[test]
fn the_clinic_script_can_be_said_with_a_real_voice() {
    let voice = match Voice::open(std::path::Path::new(VOICE_DIR)) {
        Ok(voice) => voice,
        // Without recordings there is nothing to check but that the message says how to get them.
        Err(error) => return assert!(error.to_string().contains("apt install"), "{error}"),
    };
    for rate in [8_000, 16_000] {
        let script = Script::clinic();
        for turn in &script.turns {
            let pcm = voice.say(&turn.say, rate, script.speech_dbfs).unwrap();
            let (length_ms, words) = (pcm.len() as u64 * 1000 / u64::from(rate), turn.text.split(' ').count() as u64);
            assert!((120 * words..1000 * words).contains(&length_ms), "{}: {length_ms} ms", turn.text);
            assert!((rms_dbfs(&pcm) - script.speech_dbfs).abs() < 5.0, "{}: {} dBFS", turn.text, rms_dbfs(&pcm));
        }
    }
}

/// A bot with the simplest turn taking: it greets, then answers 200 ms after each loud phase of the caller; it stops
/// when the caller is loud for 300 ms, and marks the end of what it says.
async fn simple_bot(mut socket: WebSocket, log: Log) {
    let id = started(&mut socket, &log).await;
    say(&mut socket, &id, &tone(1000)).await;
    mark(&mut socket, &id, "reply").await;
    let (mut speaking, mut loud_ms, mut quiet_ms) = (true, 0, 0);
    let mut pcm = Vec::new();
    while let Some(text) = next(&mut socket, &log).await {
        match stream::decode(&text) {
            Ok(Inbound::Mark { .. }) => speaking = false,
            Ok(Inbound::Media(media)) => {
                stream::decode_pcm(&media.payload_base64, &mut pcm).unwrap();
                if rms_dbfs(&pcm) > -45.0 {
                    (loud_ms, quiet_ms) = (loud_ms + 20, 0);
                } else {
                    quiet_ms += 20;
                }
                if speaking && loud_ms >= 300 {
                    let mut text = String::new();
                    stream::encode_clear(&id, &mut text);
                    send(&mut socket, text).await;
                    speaking = false;
                }
                if quiet_ms >= 200 && loud_ms > 0 {
                    if !speaking && loud_ms >= 300 {
                        say(&mut socket, &id, &tone(3000)).await;
                        mark(&mut socket, &id, "reply").await;
                        speaking = true;
                    }
                    loud_ms = 0;
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_scripted_caller_talks_with_a_bot_and_the_report_says_how_it_was() {
    let server = Server::start(simple_bot).await;
    let script = Script::parse(
        "name='test'\nagent_silence_ms=300\nlinger_ms=300\npatience_ms=8000
        [[turn]]\ntext='hello'\nsay=[{clip='a'}]
        [[turn]]\ntext='oh'\nkind='backchannel'\nwhen='during-agent'\nafter_ms=400\nsay=[{clip='a'}]
        [[turn]]\ntext='stop'\nkind='barge-in'\nwhen='during-agent'\nafter_ms=1200\nsay=[{clip='a'}]
        [[turn]]\ntext='bye'\nsay=[{clip='a'}]",
    )
    .unwrap();
    let speech = vec![tone(500), tone(100), tone(600), tone(400)];
    let mut caller = ScriptedCaller::with_speech(script, speech, 8000, 1);
    let mut options = server.direct();
    options.call_max = Duration::from_secs(40);
    let seen = call(options, &mut caller).await;
    let report = report::measure(&seen, caller.utterances());
    let shown = serde_json::to_string_pretty(&report).unwrap();
    assert_eq!(report.turns.len(), 4, "{shown}");
    assert!(report.turns.iter().all(|turn| !turn.said.out_of_patience), "{shown}");
    assert_eq!((report.unanswered, report.violations.len(), report.gaps), (0, 0, 0), "{shown}");
    assert!(report.turns[0].end_to_end_ms.unwrap() >= 200, "{shown}");
    assert_eq!(report.turns[1].interrupted, Some(false), "{shown}");
    assert!(report.turns[2].reaction_ms.is_some() && report.turns[2].silent_after_ms.is_some(), "{shown}");
    assert_eq!(seen.clear_at_ms.len(), 1, "{shown}");
    assert_eq!(seen.closed, Closed::ByCaller { answered: true });
    // The caller's words stand in the timeline where the report says.
    let first = &report.turns[0].said;
    let at = |ms: u64| &seen.caller_timeline[ms as usize * 8..(ms as usize + 20) * 8];
    assert!(rms_dbfs(at(first.loud_start_ms)) > -45.0 && rms_dbfs(at(first.loud_end_ms)) < -45.0);
    assert!(rms_dbfs(at(first.loud_end_ms - 20)) > -45.0);
    let stereo = seen.stereo();
    assert_eq!(stereo.len(), 2 * seen.agent_timeline.len().max(seen.caller_timeline.len()));
}
