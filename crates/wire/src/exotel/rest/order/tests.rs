//! The three kinds of orders, and every limit.

use super::*;
use proptest::prelude::*;

fn number(text: &str) -> E164 {
    E164::parse(text).expect("a number")
}

fn order<'a>(from: &'a E164, caller_id: &'a E164, to: Target<'a>) -> Connect<'a> {
    let (custom_field, status_callback) = (None, None);
    Connect { from, caller_id, to, time_limit_s: 3_600, ring_s: 45, record: false, custom_field, status_callback }
}

fn show(order: &Connect<'_>) -> Vec<String> {
    order.form().expect("a form").into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn the_three_forms_are_those_of_the_documentation() {
    let (from, ours, other) = (number("09876543210"), number("+918047491899"), number("+919812345678"));
    let stream = Target::Stream { url: "wss://caly.example/media/exotel/t0k", name: Some("caly") };
    let full = Connect {
        record: true,
        custom_field: Some("order 12345"),
        status_callback: Some("https://caly.example/webhooks/exotel/call/t1k"),
        ..order(&from, &ours, stream)
    };
    let want = [
        "From=+919876543210",
        "StreamUrl=wss://caly.example/media/exotel/t0k",
        "StreamType=bidirectional",
        "StreamName=caly",
        "CallerId=08047491899",
        "CallType=trans",
        "TimeLimit=3600",
        "TimeOut=45",
        "Record=true",
        "RecordingChannels=dual",
        "CustomField=order 12345",
        "StatusCallback=https://caly.example/webhooks/exotel/call/t1k",
        "StatusCallbackContentType=application/json",
        "StatusCallbackEvents[0]=terminal",
        "StatusCallbackEvents[1]=answered",
    ];
    assert_eq!(show(&full), want);
    let tail = ["CallerId=08047491899", "CallType=trans", "TimeLimit=3600", "TimeOut=45", "Record=false"];
    let flow = show(&order(&from, &ours, Target::Flow { account_id: "acme1", flow_id: "29281" }));
    assert_eq!(flow[..2], ["From=+919876543210", "Url=http://my.exotel.com/acme1/exoml/start_voice/29281"]);
    assert_eq!(flow[2..], tail);
    let two = show(&order(&from, &ours, Target::Number(&other)));
    assert_eq!(two[..2], ["From=+919876543210", "To=+919812345678"]);
    assert_eq!(two[2..], tail);
}

#[test]
fn only_indian_numbers_get_a_zero() {
    for (ours, want) in
        [("+918047491899", "08047491899"), ("+12025550123", "+12025550123"), ("+6531581234", "+6531581234")]
    {
        assert_eq!(caller_id(&number(ours)), want);
    }
}

#[test]
fn what_exotel_would_not_take_is_refused_and_never_cut() {
    let (from, ours) = (number("09876543210"), number("+918047491899"));
    let flow = Target::Flow { account_id: "acme1", flow_id: "29281" };
    let base = order(&from, &ours, flow);
    let url = |chars: usize| format!("wss://caly.example/{}", "x".repeat(chars - "wss://caly.example/".len()));
    let stream = |url| order(&from, &ours, Target::Stream { url, name: None });
    let (just, over, name) = (url(599), url(600), "n".repeat(33));
    let (long_query, text) = (format!("wss://caly.example/?a={}", "b".repeat(255)), "ä".repeat(129));
    let callback = format!("https://caly.example/{}", "x".repeat(600));
    let seconds = |field, seconds, limit| RestError::Seconds { field, seconds, limit };
    let too_long = |field, chars, limit| RestError::TooLong { field, chars, limit };
    let not_ws = RestError::NotAUrl { field: "StreamUrl", expected: "ws(s)" };
    let not_http = RestError::NotAUrl { field: "StatusCallback", expected: "http(s)" };
    for (order, want) in [
        (Connect { time_limit_s: 0, ..base }, seconds("TimeLimit", 0, 14_400)),
        (Connect { time_limit_s: 14_401, ..base }, seconds("TimeLimit", 14_401, 14_400)),
        (Connect { ring_s: 0, ..base }, seconds("TimeOut", 0, 60)),
        (Connect { ring_s: 61, ..base }, seconds("TimeOut", 61, 60)),
        (Connect { custom_field: Some(&text), ..base }, too_long("CustomField", 129, 128)),
        (Connect { status_callback: Some(&callback), ..base }, too_long("StatusCallback", 621, 600)),
        (Connect { status_callback: Some("caly.example/x"), ..base }, not_http),
        (Connect { status_callback: Some("ftp://caly.example/x"), ..base }, not_http),
        (stream(&over), too_long("StreamUrl", 600, 599)),
        (stream("https://caly.example/x"), not_ws),
        (stream(""), not_ws),
        (stream(&long_query), too_long("the query of StreamUrl", 257, 256)),
        (stream("wss://x.example/?a=1&b=2&c=3&d=4"), RestError::TooManyParameters(4)),
        (order(&from, &ours, Target::Stream { url: &just, name: Some(&name) }), too_long("StreamName", 33, 32)),
        (order(&from, &ours, Target::Flow { account_id: "a/b", flow_id: "1" }), RestError::NotAnId("account id")),
        (order(&from, &ours, Target::Flow { account_id: "acme1", flow_id: "" }), RestError::NotAnId("flow id")),
    ] {
        assert_eq!(order.form(), Err(want), "{order:?}");
    }
    let most = "c".repeat(128);
    for order in [
        stream(&just),
        stream("wss://x.example/?a=1&b=2&c=3&sample-rate=16000"),
        Connect { time_limit_s: 14_400, ring_s: 60, custom_field: Some(&most), ..base },
        Connect { time_limit_s: 1, ring_s: 1, custom_field: Some(""), ..base },
    ] {
        assert!(order.form().is_ok(), "{order:?}");
    }
}

#[test]
fn debug_shows_neither_numbers_nor_tokens() {
    let (from, ours) = (number("09876543210"), number("+918047491899"));
    let order = Connect {
        custom_field: Some("Asha"),
        status_callback: Some("https://caly.example/s3cret"),
        ..order(&from, &ours, Target::Stream { url: "wss://caly.example/s3cret", name: Some("caly") })
    };
    let shown = format!("{order:?}");
    for hidden in ["98765", "80474", "s3cret", "Asha"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

proptest! {
    #[test]
    fn a_form_holds_what_was_given_or_there_is_none(
        url in ".{0,40}|wss://[a-z]{1,8}/[a-z0-9?&=/]{0,620}",
        name in proptest::option::of(".{0,40}"),
        custom in proptest::option::of(".{0,140}"),
        callback in proptest::option::of(".{0,40}|https://[a-z]{1,8}/.{0,620}"),
        time_limit_s in any::<u32>(), ring_s in 0_u32..100, record in any::<bool>(),
    ) {
        let (from, ours) = (number("09876543210"), number("+918047491899"));
        let order = Connect {
            time_limit_s: time_limit_s % 20_000, ring_s, record, custom_field: custom.as_deref(), status_callback: callback.as_deref(),
            ..order(&from, &ours, Target::Stream { url: &url, name: name.as_deref() })
        };
        if let Ok(form) = order.form() {
            let get = |wanted: &str| form.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            prop_assert_eq!(get("StreamUrl"), Some(url.as_str()));
            prop_assert_eq!(get("CustomField"), custom.as_deref().filter(|text| !text.is_empty()));
            prop_assert_eq!(get("StatusCallback"), callback.as_deref());
            prop_assert!(url.chars().count() < 600 && (1..=60).contains(&ring_s) && order.time_limit_s <= 14_400);
        }
    }
}
