//! The switches of the announcement and of the media socket: each is seen to do what it says.

use crate::carrier_bot::{Bot, Media, call};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::carrier::{Closed, Fault, MediaFormat, Options, OversizePolicy, RequestShape};

fn agent_media(bytes: usize) -> String {
    json!({"event": "media", "media": {"payload": STANDARD.encode(vec![0_u8; bytes])}}).to_string()
}

fn of_kind(texts: &[Value], event: &str) -> Vec<Value> {
    texts.iter().filter(|text| text["event"] == event).cloned().collect()
}

#[tokio::test]
async fn each_captured_request_has_its_own_twelve_parameters() {
    for (shape, own, direction, same_to) in [
        (RequestShape::September2024, "passthru", "incoming", true),
        (RequestShape::January2025, "CustomField", "outbound-dial", false),
        (RequestShape::August2026, "ServerCode", "incoming", false),
    ] {
        let bot = Bot::plain(Media::Listen).await;
        let options = Options { request_shape: shape, ..bot.dynamic() };
        call(options, 40).await;
        let [asked] = &bot.at("/voicebot")[..] else { panic!("asked once") };
        assert_eq!(asked.names().len(), 12, "{shape:?}: {:?}", asked.names());
        assert!(asked.names().iter().any(|name| name == own) && !asked.names().iter().any(|name| name == "AccountSid"));
        assert_eq!(asked.field("Direction").as_deref(), Some(direction));
        assert_eq!(asked.field("To") == asked.field("CallTo"), same_to, "{shape:?}");
        assert!(asked.query.contains("Created=") && asked.query.contains("%2C+"), "spaces are pluses: {}", asked.query);
        assert!(asked.query.contains("DialWhomNumber=&"), "blank ones are there");
    }
    let bot = Bot::plain(Media::Listen).await;
    let more = Options {
        custom_field: Some("order 1".to_owned()),
        passthru_field: Some("\"8\"".to_owned()),
        outgoing: true,
        ..bot.dynamic()
    };
    call(more, 40).await;
    let asked = &bot.at("/voicebot")[0];
    assert_eq!(
        (asked.field("CustomField").unwrap(), asked.field("passthru").unwrap()),
        ("order 1".to_owned(), "\"8\"".to_owned())
    );
    assert_eq!(asked.field("Direction").unwrap(), "outbound-dial");
}

#[tokio::test]
async fn a_failed_handshake_is_tried_once_more_and_then_told() {
    for (refused, ask_again, handshakes, asked) in [(1, false, 2, 1), (1, true, 2, 2), (9, false, 2, 1)] {
        let bot = Bot::plain(Media::Refuse(refused)).await;
        let seen = call(Options { ask_again, ..bot.dynamic() }, 40).await;
        assert_eq!((bot.handshakes.lock().unwrap().len(), bot.at("/voicebot").len()), (handshakes, asked));
        let passthru = &bot.at("/passthru")[0];
        if refused == 1 {
            assert_eq!(passthru.field("Stream[Status]").as_deref(), Some("cancelled"));
            assert_eq!(passthru.field("Stream[DisconnectedBy]").as_deref(), Some("user"));
            continue;
        }
        assert!(matches!(seen.closed, Closed::NeverConnected { .. }));
        assert_eq!(passthru.field("Stream[Status]").as_deref(), Some("failed"));
        assert_eq!(passthru.field("Stream[DisconnectedBy]").as_deref(), Some("NA"));
        assert!(passthru.field("Stream[Error]").unwrap().starts_with("3009 failed to establish ws conn "));
    }
}

#[tokio::test]
async fn beyond_its_streams_an_account_gets_none() {
    let bot = Bot::plain(Media::Listen).await;
    let options = Options { throttled: true, stream_as: testkit::carrier::StreamAs::Text, ..bot.dynamic() };
    let seen = call(options, 40).await;
    assert_eq!((bot.handshakes.lock().unwrap().len(), seen.connect_tries), (0, 0));
    let stream: Value = serde_json::from_str(&bot.at("/passthru")[0].field("Stream").unwrap()).unwrap();
    assert_eq!((&stream["Status"], &stream["DetailedStatus"]), (&json!("failed"), &json!("Streaming_call_throttled")));
    assert_eq!(stream["DisconnectedBy"], "NA");
}

#[tokio::test]
async fn a_handshake_without_an_answer_is_given_up() {
    let bot = Bot::plain(Media::Hang).await;
    let options = Options { handshake_timeout: Duration::from_millis(50), ..bot.direct() };
    let seen = call(options, 40).await;
    assert!(matches!(&seen.closed, Closed::NeverConnected { error } if error.contains("50ms")), "{:?}", seen.closed);
    assert_eq!(seen.connect_tries, 2);
}

#[tokio::test]
async fn the_start_message_says_its_audio_in_every_form() {
    for media_format in MediaFormat::all() {
        let bot = Bot::plain(Media::Listen).await;
        call(Options { media_format: media_format.clone(), ..bot.direct() }, 40).await;
        let format = bot.texts()[1]["start"]["media_format"].clone();
        assert_eq!(format["encoding"], media_format.encoding);
        assert_eq!(format["bit_rate"], media_format.bit_rate);
        assert_eq!(format["sample_rate"], format!("8000{}", media_format.rate_suffix));
    }
}

#[tokio::test]
async fn names_can_be_spelt_otherwise_or_be_missing() {
    let bot = Bot::plain(Media::Listen).await;
    let mut options = Options { camel_case: true, connected_details: true, ..bot.direct() };
    options.omitted = ["reason", "account_sid", "chunk", "bit_rate"].map(str::to_owned).to_vec();
    options.announce = testkit::carrier::Announce::Direct { url: bot.media() + "?call_sid=mine&chunk=2" };
    call(options, 60).await;
    let texts = bot.texts();
    assert_eq!(texts[0], json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}));
    let start = &texts[1]["start"];
    assert!(
        texts[1]["streamSid"].is_string()
            && start["callSid"].is_string()
            && start["mediaFormat"]["sampleRate"] == "8000"
    );
    assert_eq!(start["customParameters"], json!({"call_sid": "mine", "chunk": "2"}), "what is ours stays as it is");
    assert!(start.get("accountSid").is_none() && start["mediaFormat"].get("bitRate").is_none());
    let media = &of_kind(&texts, "media")[0];
    assert!(media["sequenceNumber"] == "2" && media["media"].get("chunk").is_none(), "{media}");
    let stop = &of_kind(&texts, "stop")[0];
    assert!(stop["stop"].get("reason").is_none() && stop["stop"]["callSid"].is_string(), "{stop}");
}

#[tokio::test]
async fn a_frame_too_long_can_end_the_call() {
    for (oversize, closed, code) in
        [(OversizePolicy::Close, "closed with 1009", Some(Some(1009))), (OversizePolicy::Drop, "dropped", None)]
    {
        let bot = Bot::plain(Media::Say(vec![agent_media(100_160)])).await;
        let seen = call(Options { oversize, ..bot.direct() }, 2_000).await;
        assert!(matches!(&seen.closed, Closed::Failed { error } if error.starts_with(closed)), "{:?}", seen.closed);
        assert_eq!(seen.violations.len(), 1);
        bot.over().await;
        assert_eq!(bot.closes.lock().unwrap().first().copied(), code);
    }
}

#[tokio::test]
async fn short_frames_are_counted_and_named_once() {
    let texts = vec![agent_media(3_200), agent_media(1_600), agent_media(320)];
    let bot = Bot::plain(Media::Say(texts)).await;
    let seen = call(bot.direct(), 200).await;
    assert_eq!((seen.short_frames, seen.warnings.len(), seen.violations.len()), (2, 1, 0));
    assert!(seen.warnings[0].contains("1600 bytes"), "{:?}", seen.warnings);
}

#[tokio::test]
async fn messages_nobody_asked_for() {
    let bot = Bot::plain(Media::Listen).await;
    let faults =
        vec![Fault::Clear { at_ms: 20 }, Fault::UnknownEvents { at_ms: 20, count: 6 }, Fault::OddFrame { at_ms: 40 }];
    call(Options { faults, ..bot.direct() }, 100).await;
    let texts = bot.texts();
    assert!(of_kind(&texts, "clear")[0]["stream_sid"].is_string());
    assert_eq!(of_kind(&texts, "heartbeat").len() + of_kind(&texts, "error").len(), 2);
    let odd = of_kind(&texts, "media")
        .iter()
        .filter_map(|media| STANDARD.decode(media["media"]["payload"].as_str()?).ok())
        .filter(|bytes| bytes.len() % 2 == 1)
        .count();
    assert_eq!(odd, 1);
}

#[tokio::test]
async fn a_stream_ends_in_more_than_one_way() {
    for (fault, stops, close) in [
        (Fault::StreamStopped { at_ms: 60 }, vec!["stopped"], Some(Some(1000))),
        (Fault::CloseWithoutStop { at_ms: 60 }, vec![], Some(Some(1000))),
        (Fault::DropMidCall { at_ms: 60 }, vec![], None),
    ] {
        let bot = Bot::plain(Media::Listen).await;
        let seen = call(Options { faults: vec![fault], ..bot.direct() }, 2_000).await;
        assert!(seen.duration_ms < 1_500, "{fault:?}");
        bot.over().await;
        let reasons: Vec<Value> =
            of_kind(&bot.texts(), "stop").iter().map(|stop| stop["stop"]["reason"].clone()).collect();
        assert_eq!(reasons, stops, "{fault:?}");
        assert_eq!(bot.closes.lock().unwrap().first().copied(), close, "{fault:?}");
    }
}

#[tokio::test]
async fn a_carrier_that_goes_quiet_leaves_the_end_to_the_server() {
    for (fault, media) in [(Fault::SilentAfterStart, 0), (Fault::Freeze { at_ms: 60 }, 3)] {
        let bot = Bot::plain(Media::Listen).await;
        let options = Options { faults: vec![fault], call_max: Duration::from_millis(400), ..bot.direct() };
        let seen = call(options, 60_000).await;
        assert_eq!(seen.closed, Closed::ByCaller { answered: false }, "{fault:?}: this server has no patience to lose");
        let texts = bot.texts();
        assert_eq!((of_kind(&texts, "media").len(), of_kind(&texts, "stop").len()), (media, 0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_seed_makes_the_same_ids_and_no_two_calls_alike() {
    let bot = Bot::plain(Media::Listen).await;
    let of = async |seed| {
        let carrier = testkit::carrier::FakeExotel::new(Options { seed, ..bot.direct() });
        let mut ids = Vec::new();
        for _ in 0..2 {
            let mut caller = testkit::carrier::RecordedCaller::new(Vec::new(), 20);
            ids.push(carrier.place_call(&mut caller).await.unwrap().call_id);
        }
        ids
    };
    let (first, second) = (of(Some(1)).await, of(Some(1)).await);
    assert_eq!(first, second);
    assert_ne!(first[0], first[1]);
    assert_ne!(first, of(Some(2)).await);
    assert_ne!(of(None).await, of(None).await);
}
