//! Answers of the REST API in every shape: one file each, whose name says which answer it is and with what status; and
//! the same call in JSON and XML.

use crate::golden;
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use std::path::Path;
use wire::exotel::rest::{
    BODY_BYTES_MAX, CallDetails, RestFault, read_active_streams, read_call, read_calls, read_exophones,
};

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339())
}

fn show(call: &CallDetails) -> String {
    let number =
        |number: &Option<model::E164>| number.as_ref().map_or_else(|| "-".to_owned(), |n| n.as_str().to_owned());
    [
        format!("{} {:?} {:?} s, {:?}", call.call_id, call.status, call.duration_s, call.direction),
        format!("from={} to={} exophone={}", number(&call.from), number(&call.to), number(&call.exophone)),
        format!("created={} started={} ended={}", time(call.created_at), time(call.started_at), time(call.ended_at)),
        format!("recording={:?} price={:?} answered_by={:?}", call.recording_url, call.price, call.answered_by),
    ]
    .join("\n")
}

fn lines(texts: impl IntoIterator<Item = String>) -> String {
    texts.into_iter().collect::<Vec<_>>().join("\n")
}

fn fault(fault: &RestFault) -> String {
    let kind = match fault {
        RestFault::Exception(_) => "exception",
        RestFault::Status(_) => "status",
        RestFault::Empty => "empty",
        RestFault::TooLarge => "too large",
        RestFault::Malformed => "malformed",
        RestFault::Incomplete(_) => "incomplete",
    };
    format!("fault: {kind}: {fault}")
}

fn read(reader: &str, status: u16, content_type: Option<&str>, body: &[u8]) -> Result<String, RestFault> {
    match reader {
        "call" => read_call(status, content_type, body).map(|call| show(&call)),
        "calls" => read_calls(status, content_type, body).map(|calls| {
            let shown: Vec<String> = calls.iter().map(show).collect();
            lines([format!("{} calls", calls.len())].into_iter().chain(shown))
        }),
        "exophones" => read_exophones(status, content_type, body).map(|phones| {
            let show = |number: &Option<model::E164>| number.as_ref().map(|number| number.as_str().to_owned());
            lines(phones.iter().map(|phone| format!("{:?} {:?}", show(&phone.number), phone.name)))
        }),
        "streams" => read_active_streams(status, content_type, body).map(|s| format!("{} of {}", s.active, s.max)),
        other => panic!("{other}: which answer?"),
    }
}

const READERS: [&str; 4] = ["call", "calls", "exophones", "streams"];

#[test]
fn answers() {
    golden::check("exotel/rest", 40, |path: &Path, bytes| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (reader, rest) = name.split_once('-').unwrap();
        let status = rest.split_once('-').unwrap().0.parse().unwrap();
        let content_type = match path.extension().unwrap().to_str().unwrap() {
            "json" => "application/json",
            "xml" => "application/xml",
            "html" => "text/html; charset=utf-8",
            "txt" => "text/plain",
            other => panic!("no such kind: {other}"),
        };
        let got = read(reader, status, Some(content_type), bytes);
        if content_type != "text/html; charset=utf-8" {
            assert_eq!(got, read(reader, status, None, bytes), "{name}: the type is not needed");
        }
        got.unwrap_or_else(|error| fault(&error))
    });
}

#[test]
fn a_body_has_a_limit() {
    let mut body = br#"{"Call":{"Sid":"c1"}}"#.to_vec();
    body.resize(BODY_BYTES_MAX, b' ');
    assert!(read_call(200, None, &body).is_ok());
    body.push(b' ');
    assert_eq!(read_call(200, None, &body), Err(RestFault::TooLarge));
    assert_eq!(read_call(500, None, &body), Err(RestFault::Status(500)));
    let long = format!(r#"{{"Call":{{"Sid":"{}"}}}}"#, "a".repeat(129));
    assert_eq!(read_call(200, None, long.as_bytes()), Err(RestFault::Incomplete("Sid")));
    let many = format!(r#"{{"Calls":[{}{{}}]}}"#, r#"{"Sid":"c1"},"#.repeat(500));
    assert_eq!(read_calls(200, None, many.as_bytes()).unwrap().len(), 100);
}

const NAMES: [&str; 13] = [
    "Sid",
    "Status",
    "DateCreated",
    "StartTime",
    "EndTime",
    "Duration",
    "Price",
    "Direction",
    "AnsweredBy",
    "RecordingUrl",
    "From",
    "To",
    "SomethingNew",
];

fn values() -> impl Strategy<Value = Vec<String>> {
    let likely = prop_oneof![
        Just("completed".to_owned()),
        Just("null".to_owned()),
        Just(String::new()),
        Just("17".to_owned()),
        Just("2026-08-25 12:07:09".to_owned()),
        Just("https://recordings.exotel.com/a/b.mp3?x=1&y=2".to_owned()),
        Just("09876543210".to_owned()),
        "[ -~äअ]{0,24}",
    ];
    proptest::collection::vec(likely, NAMES.len())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

proptest! {
    #[test]
    fn json_and_xml_say_the_same(values in values(), turn in 0..NAMES.len()) {
        let mut pairs: Vec<(&str, &str)> = NAMES.into_iter().zip(values.iter().map(String::as_str)).collect();
        pairs.rotate_left(turn);
        let object: serde_json::Map<_, _> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
        let json = serde_json::json!({ "Call": object }).to_string();
        let elements: String = pairs.iter().map(|(n, v)| format!("<{n}>{}</{n}>", escaped(v))).collect();
        let xml = format!("<TwilioResponse>\n <Call>{elements}</Call>\n</TwilioResponse>");
        prop_assert_eq!(read_call(200, None, json.as_bytes()), read_call(200, None, xml.as_bytes()));
        let (json, xml) = (format!(r#"{{"Calls":[{}]}}"#, serde_json::Value::Object(object)), format!("<Calls><Call>{elements}</Call></Calls>"));
        prop_assert_eq!(read_calls(200, None, json.as_bytes()), read_calls(200, None, xml.as_bytes()));
    }

    #[test]
    fn an_error_says_neither_numbers_nor_addresses(before in "[a-z ]{0,20}", digits in "[0-9]{10,12}", token in "[a-z0-9]{25,60}", status in 400_u16..600) {
        let message = format!("{before} +{digits} {token} wss://caly.example/{token} x@{token}");
        let json = serde_json::json!({"RestException": {"Message": message, "Code": token}}).to_string();
        let shown = read_call(status, None, json.as_bytes()).unwrap_err().to_string();
        prop_assert!(!shown.contains(&digits) && !shown.contains("caly.example") && !shown.contains('@'), "{}", shown);
        prop_assert!(!shown.contains(&token), "{}", shown);
    }

    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..400), status in 100_u16..600) {
        for reader in READERS {
            let _ = read(reader, status, None, &body);
        }
    }

    #[test]
    fn nothing_like_an_answer_makes_it_panic(
        body in r#"(<|</|>|/>|&|;|\{|\}|\[|\]|"|,|:|Call|Calls|Sid|RestException|response|error_data|http_code|Status|Message|null|4|"x"| |<!--|<!\[CDATA\[|\]\]>|<\?xml){0,40}"#,
        status in 100_u16..600,
    ) {
        for reader in READERS {
            let _ = read(reader, status, Some("application/xml"), body.as_bytes());
        }
    }
}
