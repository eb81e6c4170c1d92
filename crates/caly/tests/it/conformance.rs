//! Exotel in all the ways it is known to speak, against the running server: every switch of the simulated carrier, a call
//! each. The simulator was written from the carrier's documents and from captured traffic, and shares no code with us.

use crate::place::Place;
use crate::program::Server;
use crate::world::{NUMBER_AS_SENT, PATH_TOKEN, World, colours};
use model::CallDirection;
use std::time::Duration;
use store::calls::Call;
use store::carrier_events;
use testkit::carrier::{
    Announce, CallObservation, CallerAction, CallerSide, Coding, Delivery, FakeExotel, Fault, MarksAfterClear,
    MediaFormat, Options, OversizePolicy, RequestShape, StatusCallback, StreamAs,
};
use tokio::task::JoinSet;

/// The caller hangs up after this: long enough to hear something.
const HANGS_UP_AT_MS: u64 = 1_500;
/// Calls at once. More, on two cores, and the simulator itself is late.
const AT_ONCE: usize = 8;
/// The simulated network may be as late as this before a call says nothing about the server.
const LATE_FRAME_MS_MAX: u64 = 400;

/// Says nothing, presses a key, hangs up.
struct Visitor;

impl CallerSide for Visitor {
    fn next_frame(&mut self, now_ms: u64, _: f32, samples: usize, frame: &mut Vec<i16>) -> CallerAction {
        frame.resize(samples, 0);
        match now_ms {
            500..600 => CallerAction::Press('5'),
            HANGS_UP_AT_MS.. => CallerAction::HangUp,
            _ => CallerAction::Stay,
        }
    }
}

/// A way to speak, and how a call ends in it.
struct Way {
    name: String,
    options: Options,
    ended_reason: &'static str,
}

struct Ways {
    url: String,
    all: Vec<Way>,
}

impl Ways {
    fn dynamic(&self) -> Options {
        let announce = Announce::DynamicUrl {
            url: format!("{}/webhooks/exotel/voicebot/{PATH_TOKEN}", self.url),
            passthru_url: Some(format!("{}/webhooks/exotel/passthru/{PATH_TOKEN}", self.url)),
        };
        let mut options = Options::new(&self.url, announce);
        options.called_number = NUMBER_AS_SENT.to_owned();
        options.call_max = Duration::from_secs(40);
        options
    }

    /// A call that the caller ends.
    fn add(&mut self, name: impl Into<String>, edit: impl FnOnce(&mut Options)) {
        self.ends(name, "caller/hung-up", edit);
    }

    fn ends(&mut self, name: impl Into<String>, ended_reason: &'static str, edit: impl FnOnce(&mut Options)) {
        let mut options = self.dynamic();
        edit(&mut options);
        self.all.push(Way { name: name.into(), options, ended_reason });
    }
}

/// Everything that a well-behaved carrier may do.
fn manners(url: &str) -> Vec<Way> {
    let mut ways = Ways { url: url.to_owned(), all: Vec::new() };
    for shape in [RequestShape::September2024, RequestShape::August2026] {
        ways.add(format!("{shape:?}"), |o| o.request_shape = shape);
    }
    ways.add("an applet before", |o| o.passthru_field = Some("\"https://x.example/dtmf?digits=%228%22\"".to_owned()));
    for frame_ms in [20, 60, 100, 200] {
        ways.add(format!("{frame_ms} ms"), |o| o.frame_ms = frame_ms);
    }
    for rate_hz in [8_000, 16_000, 24_000] {
        ways.add(format!("{rate_hz} Hz"), |o| o.sample_rate_hz = rate_hz);
    }
    ways.add("numbers for text", |o| o.numeric_ids = true);
    ways.add("camel case", |o| o.camel_case = true);
    ways.add("details in connected", |o| o.connected_details = true);
    for media_format in MediaFormat::all() {
        ways.add(format!("{media_format:?}"), |o| o.media_format = media_format);
    }
    for name in [
        "reason",
        "media_format",
        "sequence_number",
        "chunk",
        "timestamp",
        "from",
        "to",
        "account_sid",
        "call_sid",
        "custom_parameters",
        "duration",
        "sample_rate",
        "bit_rate",
        "encoding",
    ] {
        ways.add(format!("without {name}"), |o| o.omitted = vec![name.to_owned()]);
    }
    for policy in [MarksAfterClear::Echo, MarksAfterClear::Drop] {
        ways.add(format!("{policy:?}"), |o| o.marks_after_clear = policy);
    }
    for policy in [OversizePolicy::Ignore, OversizePolicy::Close, OversizePolicy::Drop] {
        ways.add(format!("{policy:?}"), |o| o.oversize = policy);
    }
    for stream_as in [StreamAs::EscapedKeys, StreamAs::Keys, StreamAs::Text] {
        ways.add(format!("{stream_as:?}"), |o| o.stream_as = stream_as);
    }
    ways.add("the query is lost", |o| o.strip_query = true);
    ways.add("a recording", |o| {
        o.stream_recording_url = Some("https://recordings.exotel.com/exotelrecordings/a/b.mp3".to_owned());
    });
    ways.add("a withheld number", |o| o.caller_number = String::new());
    ways.add("a masked number", |o| o.caller_number = "0XXXXX30240".to_owned());
    ways.add("a national number", |o| o.caller_number = "9876543210".to_owned());
    ways.add("an international number", |o| o.caller_number = "+14155550123".to_owned());
    ways.all
}

/// Everything that it should not do, and does.
fn misbehaviour(url: &str) -> Vec<Way> {
    let mut ways = Ways { url: url.to_owned(), all: Vec::new() };
    for (fault, reason) in [
        (Fault::UnknownEvents { at_ms: 300, count: 50 }, "caller/hung-up"),
        (Fault::GarbageFrames { at_ms: 300, count: 20 }, "caller/hung-up"),
        (Fault::OddFrame { at_ms: 300 }, "caller/hung-up"),
        (Fault::Clear { at_ms: 300 }, "caller/hung-up"),
        (Fault::DuplicatedStart { at_ms: 300 }, "caller/hung-up"),
        (Fault::CloseWithoutStop { at_ms: 900 }, "caller/hung-up"),
        (Fault::NeverClose, "caller/hung-up"),
        (Fault::StreamStopped { at_ms: 900 }, "carrier/stopped"),
        (Fault::GarbageFrames { at_ms: 300, count: 21 }, "carrier/bad-frames"),
        (Fault::OversizedFrame { at_ms: 300 }, "carrier/bad-frames"),
        (Fault::DropMidCall { at_ms: 900 }, "carrier/lost"),
        (Fault::NoStart, "carrier/no-start"),
        (Fault::SilentAfterStart, "carrier/silent"),
        (Fault::Freeze { at_ms: 900 }, "carrier/silent"),
    ] {
        ways.ends(format!("{fault:?}"), reason, |o| o.faults = vec![fault]);
    }
    ways.all
}

async fn walk(world: &World<'_>, ways: Vec<Way>) -> Vec<(Way, CallObservation, Call)> {
    let mut waiting = ways.into_iter();
    let mut calls = JoinSet::new();
    let mut done = Vec::new();
    loop {
        while calls.len() < AT_ONCE
            && let Some(way) = waiting.next()
        {
            calls.spawn(async move {
                let placed = FakeExotel::new(way.options.clone()).place_call(&mut Visitor).await;
                (way, placed)
            });
        }
        let Some(ended) = calls.join_next().await else { return done };
        let (way, placed) = ended.expect("no panic");
        let seen = placed.unwrap_or_else(|error| panic!("{}: {error}", way.name));
        let call = world.ended(&seen.call_id).await;
        done.push((way, seen, call));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_speak_is_understood() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[("CALY_RATE_LIMITS", "webhooks=100000/1m")]).await;
    let calls = walk(&world, manners(&server.url)).await;
    for (way, seen, call) in &calls {
        let name = &way.name;
        assert_eq!(call.ended_reason.map(|r| r.as_str()), Some(way.ended_reason), "{name}");
        assert_eq!(seen.violations, Vec::<String>::new(), "{name}");
        assert_eq!(seen.connect_tries, 1, "{name}");
        assert_eq!(seen.end_report, Some(Ok(200)), "{name}");
        assert_eq!(call.direction, CallDirection::Incoming, "{name}");
        assert!(call.duration_ms.is_some_and(|ms| (HANGS_UP_AT_MS - 300..5_000).contains(&ms)), "{name}: {call:?}");
        assert!(seen.first_agent_audio_ms.is_some(), "{name}: the caller heard nothing");
        if seen.late_frame_max_ms < LATE_FRAME_MS_MAX {
            assert_eq!(seen.gap_total_ms, 0, "{name}: {:?}", seen.gaps);
        }
        world.stored_recording(call.id).await;
    }
    assert_eq!(world.calls().await.len(), calls.len(), "a call each");
    eprintln!("{} ways to speak, a call each", calls.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_misbehaviour_ends_for_its_own_reason() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let calls = walk(&world, misbehaviour(&server.url)).await;
    for (way, seen, call) in &calls {
        let name = &way.name;
        assert_eq!(call.ended_reason.map(|r| r.as_str()), Some(way.ended_reason), "{name}");
        assert_eq!(seen.violations, Vec::<String>::new(), "{name}");
        if call.started_at.is_some() {
            world.stored_recording(call.id).await;
        }
    }
    assert_eq!(world.calls().await.len(), calls.len(), "a call each");
    assert_eq!(place.files("spool").len(), 0);
    server.stop().await;
}

/// The handshake fails once, the carrier tries again: one call, answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_handshake_is_the_same_call() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let ways = Ways { url: server.url.clone(), all: Vec::new() };
    for ask_again in [false, true] {
        let front = FailingOnce::before(&server).await;
        let mut options = ways.dynamic();
        options.ask_again = ask_again;
        let Announce::DynamicUrl { url, .. } = &mut options.announce else { panic!("dynamic") };
        *url = url.replace(&server.url, &front.url);
        let seen = FakeExotel::new(options).place_call(&mut Visitor).await.expect("taken");
        assert_eq!(seen.connect_tries, 2, "asked again: {ask_again}");
        assert!(seen.first_agent_audio_ms.is_some(), "asked again: {ask_again}");
        assert_eq!(world.reason(&seen.call_id).await, "caller/hung-up");
    }
    assert_eq!(world.calls().await.len(), 2);
    server.stop().await;
}

/// No stream is left: the carrier says so by its Passthru, and the call is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_call_is_closed() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let mut options = Ways { url: server.url.clone(), all: Vec::new() }.dynamic();
    options.throttled = true;
    let seen = FakeExotel::new(options).place_call(&mut Visitor).await.expect("announced");
    assert_eq!(seen.connect_tries, 0);
    let call = world.ended(&seen.call_id).await;
    assert_eq!((call.started_at, call.ended_reason.map(|r| r.as_str())), (None, Some("caller/never-joined")));
    server.stop().await;
}

/// Status callbacks in every coding, thin and full, repeated, out of order: each is taken once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_status_callback_is_taken_once() {
    let place = Place::sqlite();
    let world = World::new(&place, colours()).await;
    let server = world.serve(&[]).await;
    let options = Ways { url: server.url.clone(), all: Vec::new() }.dynamic();
    let status_url = format!("{}/webhooks/exotel/status/{PATH_TOKEN}", server.url);
    for coding in [Coding::Multipart, Coding::Urlencoded, Coding::Json] {
        let carrier = FakeExotel::new(options.clone());
        let seen = carrier.place_call(&mut Visitor).await.expect("taken");
        let call = world.ended(&seen.call_id).await;
        let before = reports(&world, &call).await;
        let callbacks = [
            StatusCallback::full(&seen.call_id, "answered", "in-progress"),
            StatusCallback::full(&seen.call_id, "terminal", "completed"),
            StatusCallback::thin(&seen.call_id, "completed"),
        ];
        let delivery = Delivery { copies: 3, shuffle_seed: Some(7), ..Delivery::default() };
        let delivered = carrier.deliver(&status_url, &callbacks, coding, &delivery).await;
        assert!(delivered.iter().all(testkit::carrier::Delivered::taken), "{coding:?}: {delivered:?}");
        assert_eq!(delivered.len(), 9);
        assert_eq!(reports(&world, &call).await - before, 3, "{coding:?}");
        let call = world.ended(&seen.call_id).await;
        assert_eq!(call.carrier_status.map(|s| s.as_str()), Some("completed"), "{coding:?}");
    }
    server.stop().await;
}

async fn reports(world: &World<'_>, call: &Call) -> usize {
    let all = async |tx: &mut store::Tx| carrier_events::of_call(tx, call.id).await;
    world.store.read(world.tenant, "test.reports", all).await.expect("read").len()
}

/// A server before ours that lets the webhook through and breaks the first media socket before it is open.
struct FailingOnce {
    url: String,
}

impl FailingOnce {
    async fn before(server: &Server) -> Self {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let behind = server.url.trim_start_matches("http://").to_owned();
        tokio::spawn(async move {
            let mut failed = false;
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut first = vec![0; 4_096];
                let read = socket.read(&mut first).await.unwrap_or(0);
                if !failed && first[..read].starts_with(b"GET /media/") {
                    failed = true;
                    continue;
                }
                let Ok(mut through) = tokio::net::TcpStream::connect(&behind).await else { return };
                if through.write_all(&first[..read]).await.is_ok() {
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut socket, &mut through).await });
                }
            }
        });
        Self { url }
    }
}
