//! Reports of a call in every shape: one file each, read as the message its name begins with; and the same report in
//! every coding.

use crate::golden;
use chrono::{DateTime, Utc};
use model::CallStatus;
use proptest::prelude::*;
use std::path::Path;
use wire::exotel::report::{Message, Report, Routing};
use wire::fields::Fields;

fn message(path: &Path) -> Message {
    let name = path.file_name().unwrap().to_str().unwrap();
    let all = [Message::CallEnd, Message::Status, Message::Passthru, Message::Recording];
    all.into_iter()
        .find(|message| name.starts_with(message.as_str()))
        .unwrap_or_else(|| panic!("{name}: which message?"))
}

/// The first line of a multipart file is its boundary, as in a request.
fn fields(path: &Path, bytes: &[u8]) -> Fields {
    let boundary = std::str::from_utf8(bytes).unwrap().lines().next().unwrap_or_default().trim_start_matches("--");
    let content_type = match path.extension().unwrap().to_str().unwrap() {
        "json" => "application/json".to_owned(),
        "query" => "application/x-www-form-urlencoded".to_owned(),
        "multipart" => format!("multipart/form-data; boundary={boundary}"),
        other => panic!("no such kind: {other}"),
    };
    Fields::parse(Some(&content_type), bytes.trim_ascii_end()).unwrap()
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339())
}

fn show(report: &Report) -> String {
    let mut lines = vec![
        format!("{} call={} stream={:?}", report.message.as_str(), report.call_id, report.stream_id),
        format!("event={:?} status={:?} duration_s={:?}", report.event, report.status, report.duration_s),
        format!("recording={:?} available={}", report.recording_url, time(report.recording_available_at)),
        format!("ended={} by={:?} error={:?}", time(report.ended_at), report.disconnected_by, report.error),
        format!("answered_by={:?}", report.answered_by),
    ];
    lines.extend(report.legs.iter().map(|leg| format!("{leg:?}")));
    lines.join("\n")
}

#[test]
fn reports() {
    golden::check("exotel/report", 24, |path, bytes| match Report::read(message(path), &fields(path, bytes)) {
        Ok(report) => show(&report),
        Err(errors) => format!("errors: {errors}"),
    });
}

#[test]
fn the_carriers_own_multipart_is_read_whatever_the_type_says() {
    let body = include_bytes!("golden/exotel/report/status-thin-captured.multipart");
    for content_type in
        [None, Some("multipart/form-data"), Some("text/plain"), Some("application/x-www-form-urlencoded")]
    {
        let fields = Fields::parse(content_type, body).unwrap();
        let report = Report::read(Message::Status, &fields).unwrap();
        assert_eq!(report.call_id, "4c1888cf5d9f430b8dd424dd85aa191f", "{content_type:?}");
    }
}

#[test]
fn what_says_the_same_is_the_same_report() {
    let report = |message: Message, query: &str| {
        Report::read(message, &Fields::from_urlencoded(query.as_bytes()).unwrap()).unwrap().identity()
    };
    let first = report(Message::Status, "CallSid=c1&Status=completed&DateUpdated=2025-01-15 18:14:07");
    assert_eq!(first, report(Message::Status, "Status=completed&call_sid=c1&DateUpdated=2025-01-15 18:19:07&New=x"));
    for other in [
        report(Message::CallEnd, "CallSid=c1&Status=completed"),
        report(Message::Status, "CallSid=c2&Status=completed"),
        report(Message::Status, "CallSid=c1&Status=failed"),
        report(Message::Status, "CallSid=c1&Status=completed&EventType=terminal"),
        report(Message::Status, "CallSid=c1&Status=completed&Duration=3"),
        report(Message::Status, "CallSid=c1&Status=completed&RecordingUrl=https://recordings.exotel.com/a.mp3"),
        report(Message::Status, "CallSid=c1&Status=completed&Legs[0][OnCallDuration]=3"),
        report(Message::Status, "CallSid=c1&Status=completed&AnsweredBy=HUMAN"),
        report(Message::Status, "CallSid=c1&Status=completed&Stream[DisconnectedBy]=bot"),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn the_end_of_a_stream_is_told_from_the_end_of_its_call() {
    for (message, query, status, of_stream) in [
        (Message::Passthru, "Stream[Status]=completed", Some(CallStatus::Completed), true),
        (Message::Passthru, "CallStatus=in-progress&Stream[Status]=completed", Some(CallStatus::Completed), true),
        (Message::Passthru, "CallStatus=in-progress&Stream[Status]=failed", Some(CallStatus::Failed), true),
        (Message::Passthru, "CallStatus=completed&Stream[Status]=completed", Some(CallStatus::Completed), false),
        (Message::Passthru, "CallStatus=null&Stream[Status]=completed", Some(CallStatus::Completed), true),
        // That of an agent who was dialled.
        (Message::Passthru, "DialCallStatus=completed&Stream[Status]=completed", Some(CallStatus::Completed), true),
        (Message::Passthru, "CallStatus=in-progress", Some(CallStatus::InProgress), false),
        (Message::Passthru, "CallType=client-hangup", Some(CallStatus::Completed), false),
        (Message::Passthru, "", None, false),
        (Message::Status, "Status=in-progress&Stream[Status]=completed", Some(CallStatus::Completed), true),
        (Message::Status, "Status=completed&Stream[Status]=completed", Some(CallStatus::Completed), false),
        (Message::CallEnd, "", Some(CallStatus::Completed), false),
        (Message::CallEnd, "Stream[Status]=completed", Some(CallStatus::Completed), true),
    ] {
        let fields = Fields::from_urlencoded(format!("CallSid=c1&{query}").as_bytes()).unwrap();
        let report = Report::read(message, &fields).unwrap();
        assert_eq!((report.status, report.of_stream), (status, of_stream), "{message:?} {query}");
    }
}

#[test]
fn the_called_number_comes_before_the_shared_one() {
    let fields = Fields::from_urlencoded(b"CallSid=c1&CallTo=08037091588&To=09513886363").unwrap();
    let routing = Routing::read(&fields);
    let called: Vec<&str> = routing.called.iter().map(|number| number.as_str()).collect();
    assert_eq!((routing.call_id.as_deref(), called), (Some("c1"), vec!["+918037091588", "+919513886363"]));
    let same = Routing::read(&Fields::from_urlencoded(b"CallTo=08037091588&To=%2B918037091588").unwrap());
    assert_eq!(same.called.len(), 1);
    assert_eq!(Routing::read(&Fields::from_urlencoded(b"CallTo=reception&CallSid=%20").unwrap()), Routing::default());
}

/// Names that a report is read from, nested ones included, and a name that nobody knows.
const NAMES: [&str; 16] = [
    "CallSid",
    "EventType",
    "DateUpdated",
    "Status",
    "To",
    "From",
    "ConversationDuration",
    "Direction",
    "CustomField",
    "RecordingUrl",
    "Legs[0][OnCallDuration]",
    "Legs[0][AnsweredBy]",
    "Legs[1][Status]",
    "Stream[Status]",
    "Stream[DisconnectedBy]",
    "SomethingNew",
];

fn values() -> impl Strategy<Value = Vec<String>> {
    let likely = prop_oneof![
        Just("completed".to_owned()),
        Just("in-progress".to_owned()),
        Just("null".to_owned()),
        Just(String::new()),
        Just("17".to_owned()),
        Just("\"17\"".to_owned()),
        Just("HUMAN".to_owned()),
        Just("2026-08-25 12:07:09".to_owned()),
        Just("https://recordings.exotel.com/a/b.mp3".to_owned()),
        "[a-zA-Z0-9+&=% ä/:-]{0,24}",
    ];
    proptest::collection::vec(likely, NAMES.len())
}

fn urlencoded(pairs: &[(&str, &str)]) -> Vec<u8> {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes()
}

fn multipart(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, value) in pairs {
        body.push_str(&format!(
            "--form-data-boundary-x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    (body + "--form-data-boundary-x--\r\n").into_bytes()
}

/// As nested JSON: `Legs` a list of objects, `Stream` an object or, when `text` is set, the text of one.
fn json(pairs: &[(&str, &str)], text: bool) -> Vec<u8> {
    let mut body = serde_json::Map::new();
    let (mut stream, mut legs) = (serde_json::Map::new(), [serde_json::Map::new(), serde_json::Map::new()]);
    for (name, value) in pairs {
        let parts: Vec<&str> = name.split(['[', ']']).filter(|part| !part.is_empty()).collect();
        match parts[..] {
            ["Stream", key] => stream.insert(key.to_owned(), (*value).into()),
            ["Legs", n, key] => legs[n.parse::<usize>().unwrap()].insert(key.to_owned(), (*value).into()),
            _ => body.insert((*name).to_owned(), (*value).into()),
        };
    }
    let nested = |value: serde_json::Value| if text { value.to_string().into() } else { value };
    body.insert("Stream".to_owned(), nested(stream.into()));
    body.insert("Legs".to_owned(), nested(legs.to_vec().into()));
    serde_json::Value::Object(body).to_string().into_bytes()
}

const MESSAGES: [Message; 4] = [Message::CallEnd, Message::Status, Message::Passthru, Message::Recording];

proptest! {
    #[test]
    fn coding_and_order_do_not_matter(values in values(), turn in 0..NAMES.len(), backwards in any::<bool>()) {
        let mut pairs: Vec<(&str, &str)> = NAMES.into_iter().zip(values.iter().map(String::as_str)).collect();
        let first = Fields::parse(Some("application/x-www-form-urlencoded"), &urlencoded(&pairs)).unwrap();
        pairs.rotate_left(turn);
        if backwards {
            pairs.reverse();
        }
        let others = [
            Fields::parse(Some("multipart/form-data; boundary=form-data-boundary-x"), &multipart(&pairs)).unwrap(),
            Fields::parse(None, &multipart(&pairs)).unwrap(),
            Fields::parse(Some("application/json"), &json(&pairs, false)).unwrap(),
            Fields::parse(Some("application/json"), &json(&pairs, true)).unwrap(),
            Fields::from_urlencoded(&urlencoded(&pairs)).unwrap(),
        ];
        for message in MESSAGES {
            let want = Report::read(message, &first);
            for other in &others {
                prop_assert_eq!(&Report::read(message, other), &want);
                prop_assert_eq!(Routing::read(other), Routing::read(&first));
            }
        }
    }

    #[test]
    fn the_case_of_names_does_not_matter(values in values()) {
        let pairs: Vec<(&str, &str)> = NAMES.into_iter().zip(values.iter().map(String::as_str)).collect();
        let first = Fields::from_urlencoded(&urlencoded(&pairs)).unwrap();
        let lower: Vec<String> = NAMES.iter().map(|name| name.to_ascii_lowercase()).collect();
        let pairs: Vec<(&str, &str)> = lower.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
        let second = Fields::from_urlencoded(&urlencoded(&pairs)).unwrap();
        for message in MESSAGES {
            // Complaints name fields as they were sent.
            prop_assert_eq!(Report::read(message, &second).ok(), Report::read(message, &first).ok());
        }
    }

    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..400), kind in 0_usize..4) {
        let kinds = [None, Some("application/json"), Some("multipart/form-data"), Some("text/plain")];
        if let Ok(fields) = Fields::parse(kinds[kind], &body) {
            for message in MESSAGES {
                let _ = Report::read(message, &fields).map(|report| report.identity());
            }
            let _ = Routing::read(&fields);
        }
    }

    #[test]
    fn a_passthru_with_a_call_is_always_read(id in "[0-9a-z]{1,32}", values in values()) {
        let mut pairs: Vec<(&str, &str)> = NAMES.into_iter().zip(values.iter().map(String::as_str)).collect();
        pairs[0] = ("CallSid", if id == "null" { "n" } else { &id });
        prop_assert!(Report::read(Message::Passthru, &Fields::from_urlencoded(&urlencoded(&pairs)).unwrap()).is_ok());
    }
}
