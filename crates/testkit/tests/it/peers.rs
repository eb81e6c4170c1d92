//! The fakes of Twilio, Plivo, Vobiz and Smartflo against a small server of the test's own, so that a fault of a server
//! is seen for what it is.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::carrier::{Closed, RecordedCaller};
use testkit::peers::{After, FakePeer, PeerError, PeerKind, PeerObservation, PeerOptions, Signing};
use wire::signature::vobiz::Version;
use wire::signature::{Verdict, form_pairs, plivo, twilio, vobiz};

const TOKEN: &str = "the token of an account";
const HANG_UP: &str = "<Response><Hangup/></Response>";

/// A request as it came.
#[derive(Clone)]
struct Request {
    url: String,
    headers: HeaderMap,
    body: String,
}

/// What the server says on the media socket, once it knows the stream's id.
type Says = fn(PeerKind, &str) -> Vec<String>;

/// The server.
#[derive(Clone)]
struct Server {
    url: String,
    kind: PeerKind,
    says: Says,
    /// It closes the socket so long after it has spoken; never, without.
    closes_after_ms: Option<u64>,
    after: &'static str,
    requests: Arc<Mutex<Vec<Request>>>,
    texts: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    async fn start(kind: PeerKind, says: Says, closes_after_ms: Option<u64>, after: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, texts) = (Arc::default(), Arc::default());
        let server = Self { url, kind, says, closes_after_ms, after, requests, texts };
        let router = Router::new().route("/media", any(upgrade)).fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn media(&self) -> String {
        self.url.replace("http://", "ws://") + "/media"
    }

    async fn call(&self, hang_up_at_ms: u64) -> PeerObservation {
        let mut caller = RecordedCaller::new(vec![4_000; 800], hang_up_at_ms);
        caller.keys.push((40, '7'));
        self.fake().place_call(&mut caller).await.unwrap()
    }

    fn fake(&self) -> FakePeer {
        let mut options = PeerOptions::new(format!("{}/answer", self.url), SecretString::from(TOKEN));
        options.status_url = Some(format!("{}/status", self.url));
        options.call_max = Duration::from_secs(5);
        FakePeer::new(self.kind, options)
    }

    /// What came over the socket, by name.
    fn heard(&self, event: &str) -> Vec<Value> {
        self.texts.lock().unwrap().iter().filter(|text| text["event"] == event).cloned().collect()
    }
}

async fn answer(State(server): State<Server>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    server.requests.lock().unwrap().push(Request { url: format!("{}{uri}", server.url), headers, body });
    let (media, after) = (server.media(), format!("{}/after", server.url));
    let (kind, text) = match (uri.path(), server.kind) {
        ("/answer", PeerKind::Twilio) => (
            "text/xml",
            format!(
                "<Response><Connect><Stream url=\"{media}\"><Parameter name=\"k\" value=\"v\"/></Stream></Connect>\
                 <Redirect method=\"POST\">{after}</Redirect></Response>"
            ),
        ),
        ("/answer", PeerKind::Plivo | PeerKind::Vobiz) => (
            "application/xml",
            format!(
                "<Response><Stream bidirectional=\"true\" keepCallAlive=\"true\" \
                 contentType=\"audio/x-mulaw;rate=8000\">{media}</Stream><Redirect>{after}</Redirect></Response>"
            ),
        ),
        ("/answer", PeerKind::Smartflo) => ("application/json", json!({ "url": media }).to_string()),
        ("/after", _) => ("text/xml", server.after.to_owned()),
        ("/status", _) => ("application/json", "{}".to_owned()),
        (other, _) => return (StatusCode::NOT_FOUND, other.to_owned()).into_response(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn upgrade(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| serve(socket, server))
}

async fn serve(mut socket: WebSocket, server: Server) {
    let mut close_at = None;
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = tokio::time::sleep_until(close_at.unwrap_or_else(tokio::time::Instant::now)), if close_at.is_some() => {
                let _ = socket.send(Message::Close(None)).await;
                return;
            }
        };
        let Some(Ok(message)) = message else { return };
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        server.texts.lock().unwrap().push(message.clone());
        if message["event"] == "start" {
            let id = message["start"].get("streamSid").or_else(|| message["start"].get("streamId"));
            for text in (server.says)(server.kind, id.and_then(Value::as_str).unwrap()) {
                socket.send(Message::text(text)).await.unwrap();
            }
            let now = tokio::time::Instant::now();
            close_at = server.closes_after_ms.map(|ms| now + Duration::from_millis(ms));
        }
    }
}

/// A quarter of full scale, swinging, as μ-law codes: `0x9f` and `0x1f` are ±8 316.
fn loud(ms: usize) -> Vec<u8> {
    (0..ms * 8).map(|n| if n / 8 % 2 == 0 { 0x9f } else { 0x1f }).collect()
}

fn audio(kind: PeerKind, id: &str, codes: &[u8]) -> String {
    let payload = STANDARD.encode(codes);
    match kind {
        PeerKind::Twilio => json!({"event": "media", "streamSid": id, "media": {"payload": payload}}),
        PeerKind::Plivo | PeerKind::Vobiz => json!({"event": "playAudio", "streamId": id,
            "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": payload}}),
        PeerKind::Smartflo => {
            json!({"event": "media", "streamSid": id, "media": {"chunk": 1, "payload": payload}})
        }
    }
    .to_string()
}

fn mark(kind: PeerKind, id: &str, name: &str) -> String {
    match kind {
        PeerKind::Twilio | PeerKind::Smartflo => json!({"event": "mark", "streamSid": id, "mark": {"name": name}}),
        PeerKind::Plivo | PeerKind::Vobiz => json!({"event": "checkpoint", "streamId": id, "name": name}),
    }
    .to_string()
}

fn clear(kind: PeerKind, id: &str) -> String {
    match kind {
        PeerKind::Twilio | PeerKind::Smartflo => json!({"event": "clear", "streamSid": id}),
        PeerKind::Plivo | PeerKind::Vobiz => json!({"event": "clearAudio", "streamId": id}),
    }
    .to_string()
}

fn speaks(kind: PeerKind, id: &str) -> Vec<String> {
    vec![audio(kind, id, &loud(200)), mark(kind, id, "first"), audio(kind, id, &loud(100)), mark(kind, id, "second")]
}

fn is_silent(_: PeerKind, _: &str) -> Vec<String> {
    Vec::new()
}

#[tokio::test]
async fn the_socket_is_each_carriers_own() {
    for kind in PeerKind::ALL {
        let server = Server::start(kind, is_silent, None, HANG_UP).await;
        let seen = server.call(500).await;
        assert_eq!(seen.closed, Closed::ByCaller { answered: true }, "{kind:?}");
        assert_eq!((seen.after.as_ref(), &seen.end_report), (None, &Some(Ok(200))), "{kind:?}");
        let texts = server.texts.lock().unwrap().clone();
        let names: Vec<&str> = texts.iter().filter_map(|text| text["event"].as_str()).take(2).collect();
        let (first, bytes, ends_with_stop) = match kind {
            PeerKind::Twilio => (["connected", "start"], 160, true),
            PeerKind::Plivo | PeerKind::Vobiz => (["start", "media"], 160, false),
            PeerKind::Smartflo => (["connected", "start"], 800, true),
        };
        assert_eq!(names, first, "{kind:?}");
        assert_eq!(server.heard("stop").len(), usize::from(ends_with_stop), "{kind:?}");
        assert_eq!(server.heard("dtmf")[0]["dtmf"]["digit"], "7", "{kind:?}");
        let media = server.heard("media");
        assert_eq!(media.len() as u64, seen.media_out_count, "{kind:?}");
        let payload = STANDARD.decode(media[0]["media"]["payload"].as_str().unwrap()).unwrap();
        assert_eq!(payload.len(), bytes, "{kind:?}");
        // 4 000 as μ-law.
        assert_eq!(payload[0], 0xaf, "{kind:?}");
    }
}

#[tokio::test]
async fn marks_come_back_when_they_are_reached_and_the_carrier_asks_what_comes_next() {
    let dial = "<Response><Dial callerId=\"+918047491899\" timeout=\"45\" timeLimit=\"3600\"><Number>+918045671234\
                </Number></Dial></Response>";
    for kind in PeerKind::ALL {
        let after = if kind == PeerKind::Twilio { dial } else { HANG_UP };
        let server = Server::start(kind, speaks, Some(900), after).await;
        let seen = server.call(5_000).await;
        assert_eq!(seen.violations, Vec::<String>::new(), "{kind:?}");
        assert!(matches!(seen.closed, Closed::ByServer { .. }), "{kind:?}: {:?}", seen.closed);
        let echoed: Vec<u64> = seen.marks.iter().filter_map(|mark| mark.echoed_ms).collect();
        assert_eq!(echoed.len(), 2, "{kind:?}: {:?}", seen.marks);
        assert_eq!(echoed[1] - echoed[0], 100, "{kind:?}");
        let name = if matches!(kind, PeerKind::Twilio | PeerKind::Smartflo) { "mark" } else { "playedStream" };
        assert_eq!(server.heard(name).len(), 2, "{kind:?}");
        assert_eq!(seen.gaps, [], "{kind:?}");
        // 300 ms at 8 316 of 32 768.
        assert!((seen.agent_dbfs() + 11.9).abs() < 0.3, "{kind:?}: {}", seen.agent_dbfs());
        let want = match kind {
            PeerKind::Twilio => Some(After::Dialled {
                to: "+918045671234".to_owned(),
                caller_id: "+918047491899".to_owned(),
                ring_s: 45,
                time_limit_s: 3_600,
            }),
            PeerKind::Plivo | PeerKind::Vobiz => Some(After::HungUp),
            PeerKind::Smartflo => None,
        };
        assert_eq!(seen.after, want, "{kind:?}");
    }
}

#[tokio::test]
async fn a_clear_means_to_each_what_it_means() {
    for kind in PeerKind::ALL {
        let says: Says = |kind, id| vec![audio(kind, id, &loud(3_000)), mark(kind, id, "lost"), clear(kind, id)];
        let server = Server::start(kind, says, Some(500), HANG_UP).await;
        let seen = server.call(5_000).await;
        assert_eq!((seen.violations.len(), seen.clear_at_ms.len()), (0, 1), "{kind:?}");
        assert!(seen.marks[0].cleared, "{kind:?}");
        assert_eq!(seen.marks[0].echoed_ms.is_some(), kind == PeerKind::Twilio, "{kind:?}");
        let acknowledged = matches!(kind, PeerKind::Plivo | PeerKind::Vobiz);
        assert_eq!(server.heard("clearedAudio").len(), usize::from(acknowledged), "{kind:?}");
    }
}

#[tokio::test]
async fn faults_of_the_server_are_seen() {
    for kind in PeerKind::ALL {
        let says: Says = |kind, id| {
            let other = if kind == PeerKind::Plivo { PeerKind::Twilio } else { PeerKind::Plivo };
            vec![audio(kind, "another", &loud(20)), audio(other, id, &loud(20)), clear(other, id), "{".to_owned()]
        };
        let server = Server::start(kind, says, Some(100), HANG_UP).await;
        let seen = server.call(5_000).await;
        // Vobiz speaks as Plivo does, whose audio may go without an id.
        let want = match kind {
            PeerKind::Twilio | PeerKind::Smartflo => 5,
            PeerKind::Plivo => 6,
            PeerKind::Vobiz => 2,
        };
        assert_eq!(seen.violations.len(), want, "{kind:?}: {:?}", seen.violations);
        // 16-bit samples where μ-law belongs: the low bytes are noise.
        let says: Says = |kind, id| {
            let pcm = (0..1_600_i32).flat_map(|n| ((n * 7_919 % 6_000 - 3_000) as i16).to_le_bytes());
            vec![audio(kind, id, &pcm.collect::<Vec<u8>>())]
        };
        let server = Server::start(kind, says, Some(700), HANG_UP).await;
        let seen = server.call(5_000).await;
        assert!(seen.agent_dbfs() > -9.0, "{kind:?}: {}", seen.agent_dbfs());
    }
    let off_the_grid: Says = |kind, id| vec![audio(kind, id, &loud(15))];
    let server = Server::start(PeerKind::Smartflo, off_the_grid, Some(200), HANG_UP).await;
    assert_eq!(server.call(5_000).await.violations.len(), 1);
}

#[tokio::test]
async fn an_answer_that_no_carrier_reads_is_no_call() {
    let server = Server::start(PeerKind::Twilio, is_silent, None, "<Response/>").await;
    let mut fake = server.fake();
    fake.options.answer_url = format!("{}/after", server.url);
    assert!(matches!(fake.announce("CA1").await, Err(PeerError::Unreadable(_))));
    fake.options.answer_url = format!("{}/nowhere", server.url);
    assert!(matches!(fake.announce("CA1").await, Err(PeerError::Refused { status: 404, .. })));
    fake.options.answer_url = "http://127.0.0.1:1/".to_owned();
    assert!(matches!(fake.announce("CA1").await, Err(PeerError::Unreachable(_))));
}

/// What somebody else's code says of the signatures.
fn judged(kind: PeerKind, request: &Request) -> Verdict {
    let text = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
    let (token, pairs) = (SecretString::from(TOKEN), form_pairs(request.body.as_bytes()));
    match kind {
        PeerKind::Twilio => twilio::verify(&token, &request.url, &pairs, text("x-twilio-signature")),
        PeerKind::Plivo => {
            let (nonce, signature) = (text("x-plivo-signature-v3-nonce"), text("x-plivo-signature-v3"));
            plivo::verify(&token, plivo::Method::Post, &request.url, &pairs, nonce, signature)
        }
        PeerKind::Vobiz => {
            let (version, number) =
                if text("x-vobiz-signature-v2").is_some() { (Version::V2, "2") } else { (Version::V3, "3") };
            let nonce = text(&format!("x-vobiz-signature-v{number}-nonce"));
            vobiz::verify(&token, version, &request.url, nonce, text(&format!("x-vobiz-signature-v{number}")))
        }
        PeerKind::Smartflo => Verdict::Missing,
    }
}

#[tokio::test]
async fn everything_is_signed_as_the_carrier_signs() {
    for kind in PeerKind::ALL {
        let server = Server::start(kind, is_silent, Some(100), HANG_UP).await;
        server.call(5_000).await;
        let mut fake = server.fake();
        fake.report_recording("call", "https://recordings.example.com/a.mp3", 9).await.unwrap();
        fake.options.signing = Signing::Older;
        fake.announce("call").await.unwrap();
        let right = server.requests.lock().unwrap().clone();
        assert_eq!(right.len(), if kind.asks_afterwards() { 5 } else { 4 }, "{kind:?}");
        let want = if kind.signs() { Verdict::Valid } else { Verdict::Missing };
        assert!(right.iter().all(|request| judged(kind, request) == want), "{kind:?}");
        for (signing, want) in [(Signing::Wrong, Verdict::Wrong), (Signing::Missing, Verdict::Missing)] {
            fake.options.signing = signing;
            fake.announce("call").await.unwrap();
            let last = server.requests.lock().unwrap().last().cloned().unwrap();
            assert_eq!(judged(kind, &last), if kind.signs() { want } else { Verdict::Missing }, "{kind:?}");
        }
    }
}
