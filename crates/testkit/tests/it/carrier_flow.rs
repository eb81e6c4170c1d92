//! What follows on the media: Passthru, Connect applet, status callbacks.

use crate::carrier_bot::{Bot, Media, Request, call};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::carrier::{Branch, Coding, ConnectApplet, Delivery, FakeExotel, Human, Options, StatusCallback, StreamAs};

/// A server whose Passthru and Connect answers are the test's; its media socket closes at once.
async fn server(
    media: Media,
    answers: impl Fn(&Request, usize) -> Option<(u16, String)> + Send + Sync + 'static,
) -> Bot {
    let known = Arc::new(Mutex::new(String::new()));
    let url = known.clone();
    let bot = Bot::start(media, move |request, before| {
        answers(request, before).unwrap_or_else(|| match request.path.as_str() {
            "/voicebot" => (200, json!({"url": *url.lock().unwrap()}).to_string()),
            _ => (200, String::new()),
        })
    })
    .await;
    *known.lock().unwrap() = bot.media();
    bot
}

fn decision(numbers: &[&str], fetch_after_attempt: bool) -> String {
    json!({"fetch_after_attempt": fetch_after_attempt, "destination": {"numbers": numbers}, "record": true,
        "recording_channels": "dual", "max_ringing_duration": 45, "max_conversation_duration": 30})
    .to_string()
}

fn applet(bot: &Bot) -> ConnectApplet {
    ConnectApplet {
        passthru_url: Some(format!("{}/connected", bot.url)),
        decision_every: Duration::from_millis(20),
        decision_max: Duration::from_millis(400),
        recording_url: Some("https://recordings.exotel.com/exotelrecordings/a/b.mp3".to_owned()),
        ..ConnectApplet::new(format!("{}/connect", bot.url))
    }
}

#[tokio::test]
async fn the_bot_hands_over_and_the_flow_asks_until_there_is_a_decision() {
    let bot = server(Media::CloseAfter(3), |request, before| {
        (request.path == "/connect").then(|| match before {
            0 | 1 => (404, String::new()),
            _ => (200, decision(&["+919812345678"], false)),
        })
    })
    .await;
    let options = Options { connect: Some(applet(&bot)), ..bot.dynamic() };
    let seen = call(options, 5_000).await;
    let passthru = &bot.at("/passthru")[0];
    assert_eq!(passthru.field("Stream[Status]").as_deref(), Some("completed"));
    assert_eq!(passthru.field("Stream[DisconnectedBy]").as_deref(), Some("bot"));
    assert!(passthru.field("Stream[StreamUrl]").unwrap().starts_with("ws://"));
    let asked = bot.at("/connect");
    assert_eq!(asked.len(), 3);
    for request in &asked {
        assert_eq!(request.headers["exotel-version"], "1.0");
        assert_eq!(request.field("CallSid"), Some(seen.call_id.clone()));
        assert_eq!(request.names().len(), 12);
    }
    let transfer = seen.transfer.unwrap();
    assert_eq!((transfer.asked, transfer.status(), transfer.http_status), (3, Some("completed"), Some(200)));
    assert_eq!(transfer.violations, Vec::<String>::new());
    assert_eq!(transfer.dialled[0].talk_s, 30, "no longer than the server allows");
    let told = &bot.at("/connected")[0];
    for (name, value) in [
        ("DialCallStatus", "completed"),
        ("DialCallDuration", "30"),
        ("DialWhomNumber", "+919812345678"),
        ("CallType", "completed"),
        ("EndTime", "1970-01-01 05:30:00"),
        ("RecordingUrl", "https://recordings.exotel.com/exotelrecordings/a/b.mp3"),
        ("Legs[0][CauseCode]", "NORMAL_CLEARING"),
        ("Legs[0][OnCallDuration]", "30"),
    ] {
        assert_eq!(told.field(name).as_deref(), Some(value), "{name}");
    }
    assert!(!told.names().iter().any(|name| name.starts_with("Stream")), "{:?}", told.names());
}

#[tokio::test]
async fn humans_do_not_always_answer() {
    for (humans, fetch, want) in [
        (vec![Human::Busy], false, vec!["busy", "busy"]),
        (vec![Human::NoAnswer, Human::Answers { talk: Duration::from_secs(5) }], false, vec!["no-answer", "completed"]),
        (
            vec![Human::Fails, Human::Busy, Human::Answers { talk: Duration::ZERO }],
            true,
            vec!["failed", "busy", "completed"],
        ),
    ] {
        let bot = server(Media::CloseAfter(3), move |request, _| {
            (request.path == "/connect").then(|| (200, decision(&["+919812345678", "+919812345679"], fetch)))
        })
        .await;
        let connect = ConnectApplet { humans, ..applet(&bot) };
        let options = Options { connect: Some(connect), stream_as: StreamAs::Text, ..bot.dynamic() };
        let transfer = call(options, 5_000).await.transfer.unwrap();
        let statuses: Vec<&str> = transfer.dialled.iter().map(|attempt| attempt.status.as_str()).collect();
        assert_eq!((statuses, transfer.asked), (want, 1 + u32::from(fetch)));
        let told = &bot.at("/connected")[0];
        let legs: Value = serde_json::from_str(&told.field("Legs").unwrap()).unwrap();
        assert_eq!(legs.as_array().unwrap().len(), transfer.dialled.len());
        assert_eq!(told.field("RecordingUrl").is_some(), transfer.status() == Some("completed"));
    }
}

#[tokio::test]
async fn without_a_decision_nobody_is_dialled() {
    for (answer, ask_while_nobody, asked_often) in [
        ((200, decision(&[], false)), false, false),
        ((200, decision(&[], false)), true, true),
        ((200, "no json".to_owned()), false, true),
        ((500, String::new()), false, true),
    ] {
        let given = answer.clone();
        let bot =
            server(Media::CloseAfter(3), move |request, _| (request.path == "/connect").then(|| given.clone())).await;
        let connect = ConnectApplet { ask_while_nobody, ..applet(&bot) };
        let transfer = call(Options { connect: Some(connect), ..bot.dynamic() }, 5_000).await.transfer.unwrap();
        assert_eq!((transfer.status(), transfer.asked > 3), (None, asked_often), "{answer:?}");
        assert_eq!(bot.at("/connected")[0].field("DialCallStatus").as_deref(), Some("failed"));
    }
}

#[tokio::test]
async fn the_passthru_chooses_the_branch_and_a_caller_who_left_ends_the_flow() {
    for (branch, passthru_status, length_ms, media, connected) in [
        (Branch::Found, 302, 5_000, Media::CloseAfter(3), true),
        (Branch::Found, 200, 5_000, Media::CloseAfter(3), false),
        (Branch::Ok, 302, 5_000, Media::CloseAfter(3), false),
        (Branch::Ok, 200, 5_000, Media::CloseAfter(3), true),
        (Branch::Always, 500, 5_000, Media::CloseAfter(3), true),
        (Branch::Always, 200, 5_000, Media::Refuse(9), true),
        (Branch::Always, 200, 40, Media::Listen, false),
    ] {
        let bot = server(media, move |request, _| match request.path.as_str() {
            "/passthru" => Some((passthru_status, String::new())),
            "/connect" => Some((200, decision(&["+919812345678"], false))),
            _ => None,
        })
        .await;
        let connect = ConnectApplet { branch, ..applet(&bot) };
        let seen = call(Options { connect: Some(connect), ..bot.dynamic() }, length_ms).await;
        assert_eq!(seen.transfer.is_some(), connected, "{branch:?} {passthru_status}");
        assert_eq!(seen.end_report, Some(Ok(passthru_status)), "a redirect is an answer");
        assert_eq!(bot.at("/elsewhere").len(), 0);
    }
}

#[tokio::test]
async fn callbacks_come_again_twice_at_most_and_more_often_when_asked() {
    for (refusals, status, attempts) in [(0, 500, 1), (1, 500, 2), (2, 404, 3), (9, 503, 3)] {
        let bot =
            server(Media::Listen, move |_, before| Some((if before < refusals { status } else { 204 }, String::new())))
                .await;
        let carrier = FakeExotel::new(bot.direct());
        let callback = StatusCallback::thin("c1", "completed");
        let delivery = Delivery { time_scale: 0.000_01, ..Delivery::default() };
        let url = format!("{}/status", bot.url);
        let delivered = carrier.deliver(&url, &[callback], Coding::Multipart, &delivery).await;
        assert_eq!((delivered.len(), delivered[0].attempts.len()), (1, attempts), "{delivered:?}");
        assert_eq!(delivered[0].taken(), refusals < 3);
        assert!(bot.at("/status")[0].headers["content-type"].to_str().unwrap().starts_with("multipart/form-data"));
    }
    let bot = server(Media::Listen, |_, _| None).await;
    let carrier = FakeExotel::new(bot.direct());
    let callbacks =
        [StatusCallback::full("c1", "answered", "in-progress"), StatusCallback::full("c1", "terminal", "completed")];
    let orders = async |shuffle_seed| {
        let delivery = Delivery { copies: 3, shuffle_seed, ..Delivery::default() };
        let all = carrier.deliver(&format!("{}/status", bot.url), &callbacks, Coding::Json, &delivery).await;
        all.into_iter().map(|one| one.event.unwrap()).collect::<Vec<_>>()
    };
    let plain = orders(None).await;
    assert_eq!(plain, ["answered", "answered", "answered", "terminal", "terminal", "terminal"]);
    assert_eq!(orders(Some(3)).await, orders(Some(3)).await);
    assert_ne!(orders(Some(3)).await, plain);
    assert_eq!(bot.at("/status")[0].json()["EventType"], "answered");
}
