//! Exotel's HTTP requests: captured ones, the documented ones, and lenient variants.

use crate::golden;
use chrono::{DateTime, Utc};
use model::{CallStatus, E164};
use proptest::prelude::*;
use std::path::Path;
use wire::exotel::webhook::{self, CallEnd, CallStart, RecordingReady, StatusUpdate};
use wire::fields::{BODY_BYTES_MAX, BodyError, FIELDS_MAX, FieldErrors, Fields};

fn parse(path: &Path, bytes: &[u8]) -> Result<Fields, BodyError> {
    let content_type = match path.extension().unwrap().to_str().unwrap() {
        "json" => "application/json; charset=utf-8",
        "query" => "application/x-www-form-urlencoded",
        "multipart" => "multipart/form-data; boundary=b",
        other => panic!("no such kind: {other}"),
    };
    Fields::parse(Some(content_type), bytes)
}

fn shown(number: Option<&E164>) -> &str {
    number.map_or("-", E164::as_str)
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339())
}

fn render<T>(
    path: &Path,
    bytes: &[u8],
    read: impl Fn(&Fields) -> Result<T, FieldErrors>,
    show: impl Fn(&T) -> String,
) -> String {
    match parse(path, bytes) {
        Err(error) => format!("refused: {error}"),
        Ok(fields) => match read(&fields) {
            Err(errors) => format!("errors: {errors}"),
            Ok(value) => format!("{} exotel={}", show(&value), webhook::looks_like_exotel(&fields)),
        },
    }
}

fn show_end(end: &CallEnd) -> String {
    format!(
        "end call={} stream={:?} {} duration_s={:?} recording={:?} available={} ended={} by={:?} error={:?} from={} to={} {} \
         custom={:?}",
        end.call_id,
        end.stream_id,
        end.status,
        end.duration_s,
        end.recording_url,
        time(end.recording_available_at),
        time(end.ended_at),
        end.disconnected_by,
        end.error,
        shown(end.from.as_ref()),
        shown(end.to.as_ref()),
        end.direction,
        end.custom_field,
    )
}

#[test]
fn call_starts() {
    golden::check("exotel/start", 28, |path, bytes| {
        render(path, bytes, CallStart::read, |start| {
            format!(
                "start call={} from={} to={} other={} raw={} {} at={} account={:?} custom={:?} digits={:?}",
                start.call_id,
                shown(start.from.as_ref()),
                start.to.as_str(),
                shown(start.to_other.as_ref()),
                start.called_raw.0,
                start.direction,
                time(start.created_at),
                start.account_id,
                start.custom_field,
                start.digits,
            )
        })
    });
}

#[test]
fn call_ends() {
    golden::check("exotel/end", 20, |path, bytes| render(path, bytes, CallEnd::read, show_end));
}

#[test]
fn status_callbacks() {
    golden::check("exotel/status", 6, |path, bytes| {
        render(path, bytes, StatusUpdate::read, |update| {
            format!("{} event={:?} {}", update.status, update.event, show_end(&update.end))
        })
    });
}

#[test]
fn recordings() {
    golden::check("exotel/recording", 4, |path, bytes| {
        render(path, bytes, RecordingReady::read, |ready| format!("{ready:?}"))
    });
}

#[test]
fn the_kind_of_body_is_found_when_the_content_type_lies() {
    for (content_type, body) in [
        (None, r#" {"CallSid":"c1"}"#),
        (Some("text/plain"), r#"{"CallSid":"c1"}"#),
        (Some("application/x-www-form-urlencoded"), r#"{"CallSid":"c1"}"#),
        (None, "CallSid=c1"),
        (Some("text/plain"), "CallSid=c1&x"),
        (
            Some("MULTIPART/FORM-DATA; charset=utf-8; Boundary=\"q\""),
            "--q\nContent-Disposition: form-data; name=CallSid\n\nc1\n--q--",
        ),
    ] {
        let fields = Fields::parse(content_type, body.as_bytes()).unwrap();
        assert_eq!(fields.get("call_sid"), Some("c1"), "{content_type:?} {body}");
    }
}

#[test]
fn bodies_have_limits() {
    assert_eq!(Fields::parse(None, &vec![b'a'; BODY_BYTES_MAX + 1]), Err(BodyError::TooLarge));
    let many = (0..=FIELDS_MAX).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join("&");
    assert_eq!(Fields::parse(None, many.as_bytes()), Err(BodyError::TooManyFields));
    assert_eq!(Fields::parse(Some("application/json"), b"CallSid=c1"), Err(BodyError::NotAnObject));
    assert_eq!(Fields::parse(Some("multipart/form-data"), b"--x"), Err(BodyError::NotMultipart));
    assert_eq!(Fields::parse(Some("multipart/form-data; boundary=x"), b"--x\xff"), Err(BodyError::NotText));
    assert!(Fields::parse(None, b"").unwrap().is_empty());
}

#[test]
fn the_first_spelling_with_a_value_wins() {
    let fields = Fields::from_urlencoded(b"CallSid=&call_sid=c2&callSid=c3").unwrap();
    assert_eq!(fields.get("CallSid"), Some("c2"));
    assert_eq!(fields.len(), 1);
}

#[test]
fn debug_shows_names_not_values() {
    let fields = Fields::from_urlencoded(b"CallFrom=09876543210&CallTo=08047491899&CallSid=c1").unwrap();
    let start = CallStart::read(&fields).unwrap();
    let shown = format!("{fields:?} {start:?}");
    assert!(!shown.contains("9876543210") && !shown.contains("8047491899"), "{shown}");
    assert!(shown.contains("CallFrom"));
}

#[test]
fn times_without_a_zone_are_indian() {
    for (text, want) in [
        ("2026-08-25 12:07:09", Some("2026-08-25T06:37:09+00:00")),
        ("Tue, 25 Aug 2026 12:07:08", Some("2026-08-25T06:37:08+00:00")),
        ("25 Aug 2026 02:07:08", Some("2026-08-24T20:37:08+00:00")),
        ("2026-08-25T12:07:09", Some("2026-08-25T06:37:09+00:00")),
        ("2026-08-25T12:07:09Z", Some("2026-08-25T12:07:09+00:00")),
        ("2026-08-25T12:07:09.250+05:30", Some("2026-08-25T06:37:09.250+00:00")),
        ("Tue, 25 Aug 2026 12:07:08 +0530", Some("2026-08-25T06:37:08+00:00")),
        ("\"2026-08-25 12:07:09\"", Some("2026-08-25T06:37:09+00:00")),
        ("1970-01-01 05:30:00", None),
        ("0000-00-00 00:00:00", None),
        ("2026-02-30 00:00:00", None),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(webhook::parse_time(text).map(|at| at.to_rfc3339()).as_deref(), want, "{text}");
    }
}

#[test]
fn statuses_in_every_spelling() {
    for (word, want) in [
        ("queued", Some(CallStatus::Queued)),
        ("ringing", Some(CallStatus::Ringing)),
        ("in-progress", Some(CallStatus::InProgress)),
        ("in_progress", Some(CallStatus::InProgress)),
        ("Completed", Some(CallStatus::Completed)),
        ("busy", Some(CallStatus::Busy)),
        ("no-answer", Some(CallStatus::NoAnswer)),
        ("NO ANSWER", Some(CallStatus::NoAnswer)),
        ("failed", Some(CallStatus::Failed)),
        ("canceled", Some(CallStatus::Canceled)),
        ("cancelled", Some(CallStatus::Canceled)),
        ("free", None),
        ("", None),
    ] {
        assert_eq!(webhook::parse_status(word), want, "{word}");
    }
}

#[test]
fn other_peoples_webhooks_are_not_taken_for_exotels() {
    for (query, want) in [
        ("CallSid=CA1&AccountSid=AC1&From=%2B1&To=%2B1&CallStatus=ringing&ApiVersion=2010", false),
        ("CallUUID=x&From=1&To=2", false),
        ("CallFrom=1&CallTo=2", false),
        ("CallSid=c1&CallTo=2", true),
        ("CallSid=c1&CurrentTime=now", true),
    ] {
        assert_eq!(webhook::looks_like_exotel(&Fields::from_urlencoded(query.as_bytes()).unwrap()), want, "{query}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..600), kind in 0_usize..4) {
        let kinds = [None, Some("application/json"), Some("multipart/form-data; boundary=b"), Some("text/plain")];
        if let Ok(fields) = Fields::parse(kinds[kind], &body) {
            let _ = (CallStart::read(&fields), CallEnd::read(&fields), StatusUpdate::read(&fields), RecordingReady::read(&fields));
        }
    }

    #[test]
    fn no_values_make_it_panic(id in ".{0,40}", to in ".{0,40}", when in ".{0,40}", number in ".{0,20}") {
        let body = serde_json::json!({"CallSid": id, "CallTo": to, "Created": when, "Duration": number, "Stream": to,
            "RecordingUrl": to, "Status": when, "digits": number}).to_string();
        let fields = Fields::from_json(body.as_bytes()).unwrap();
        let _ = (CallStart::read(&fields), CallEnd::read(&fields), StatusUpdate::read(&fields), webhook::timestamp(&fields));
    }

    #[test]
    fn multipart_values_arrive_whole(value in "[a-zA-Z0-9 :/.-]{1,60}[a-z]") {
        let body = format!("--bb\r\nContent-Disposition: form-data; name=\"CustomField\"\r\n\r\n{value}\r\n--bb--\r\n");
        prop_assume!(!value.contains("--bb"));
        let fields = Fields::from_multipart("bb", body.as_bytes()).unwrap();
        prop_assert_eq!(fields.get("CustomField"), (!value.trim().eq("null")).then_some(value.trim()));
    }
}
