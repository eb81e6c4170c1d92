//! Twilio, Plivo (and Vobiz) and Smartflo from files: their sockets both ways, their requests.

use crate::golden;
use chrono::{DateTime, Utc};
use model::E164;
use std::path::Path;
use wire::fields::{FieldErrors, Fields};
use wire::report::{Arrival, Message, Report, Routing};
use wire::{WireError, pcm, plivo, smartflo, twilio};

const STREAM: &str = "MZ18ad3ab5a668481ce02b83e7395059f0";

fn shown(number: Option<&E164>) -> &str {
    number.map_or("-", E164::as_str)
}

fn audio(payload_base64: &str) -> Result<Vec<i16>, WireError> {
    let mut samples = Vec::new();
    pcm::decode(payload_base64, pcm::Encoding::Mulaw, &mut samples).map(|()| samples)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap().trim_end()
}

#[test]
fn every_message_of_twilio() {
    use twilio::stream::{Inbound, decode};
    golden::check("twilio/stream", 24, |_, bytes| match decode(text(bytes)) {
        Ok(Inbound::Media(media)) => format!(
            "media chunk={:?} at_ms={:?} sequence={:?} audio={:?}",
            media.chunk,
            media.timestamp_ms,
            media.sequence,
            audio(&media.payload_base64)
        ),
        other => format!("{other:?}"),
    });
}

#[test]
fn every_message_of_plivo() {
    use plivo::stream::{Inbound, decode};
    golden::check("plivo/stream", 24, |_, bytes| match decode(text(bytes)) {
        Ok(Inbound::Media(media)) => format!(
            "media chunk={:?} sent_at_ms={:?} sequence={:?} audio={:?}",
            media.chunk,
            media.sent_at_ms,
            media.sequence,
            audio(&media.payload_base64)
        ),
        other => format!("{other:?}"),
    });
}

#[test]
fn every_message_of_smartflo() {
    use smartflo::stream::{Inbound, decode};
    golden::check("smartflo/stream", 18, |_, bytes| match decode(text(bytes)) {
        Ok(Inbound::Media(media)) => format!(
            "media chunk={:?} at_ms={:?} sequence={:?} audio={:?}",
            media.chunk,
            media.timestamp_ms,
            media.sequence,
            audio(&media.payload_base64)
        ),
        Ok(Inbound::Start(start)) => {
            format!("from={} to={} {start:?}", shown(start.from.as_ref()), shown(start.to.as_ref()))
        }
        other => format!("{other:?}"),
    });
}

type Media = fn(&str, &[i16], &mut String) -> Result<(), WireError>;

fn outgoing(path: &Path, media: Media, mark: fn(&str, &str, &mut String), clear: fn(&str, &mut String)) -> String {
    let mut out = String::from("what was there before");
    match path.file_stem().unwrap().to_str().unwrap() {
        "media-full" => media(STREAM, &[1000; 160], &mut out).unwrap(),
        "media-padded" => media(STREAM, &[-1000; 10], &mut out).unwrap(),
        "media-empty" => media(STREAM, &[], &mut out).unwrap(),
        "media-too-large" => {
            let error = media(STREAM, &vec![0; 16_001], &mut out).unwrap_err();
            assert_eq!(out, "");
            out = format!("{error:?}");
        }
        "mark" => mark(STREAM, "turn-3-end", &mut out),
        "mark-quoted" => mark("a\"b\\c", "ü\n\u{1}\"", &mut out),
        "clear" => clear(STREAM, &mut out),
        other => panic!("no such case: {other}"),
    }
    out
}

#[test]
fn every_message_to_them() {
    golden::check("twilio/outgoing", 7, |path, _| {
        use twilio::stream::{encode_clear, encode_mark, encode_media};
        outgoing(path, encode_media, encode_mark, encode_clear)
    });
    golden::check("plivo/outgoing", 7, |path, _| {
        use plivo::stream::{encode_checkpoint, encode_clear, encode_media};
        outgoing(path, encode_media, encode_checkpoint, encode_clear)
    });
    golden::check("smartflo/outgoing", 7, |path, _| {
        use smartflo::stream::{encode_clear, encode_mark, encode_media};
        outgoing(path, |id, pcm, out| encode_media(id, 7, pcm, out), encode_mark, encode_clear)
    });
}

fn fields(path: &Path, bytes: &[u8]) -> Fields {
    let content_type = match path.extension().unwrap().to_str().unwrap() {
        "json" => "application/json",
        "query" => "application/x-www-form-urlencoded",
        other => panic!("no such kind: {other}"),
    };
    Fields::parse(Some(content_type), bytes.trim_ascii_end()).unwrap()
}

fn show_arrival(read: Result<Arrival, FieldErrors>, routing: &Routing) -> String {
    let routed: Vec<&str> = routing.called.iter().map(E164::as_str).collect();
    let read = match read {
        Err(errors) => format!("errors: {errors}"),
        Ok(arrival) => format!(
            "call={} request={:?} account={:?} from={} to={} {}",
            arrival.call_id,
            arrival.request_id,
            arrival.account_id,
            shown(arrival.from.as_ref()),
            arrival.to.as_str(),
            arrival.direction
        ),
    };
    format!("{read}\nrouted call={:?} numbers={routed:?}", routing.call_id)
}

#[test]
fn arrivals() {
    golden::check("twilio/arrival", 7, |path, bytes| {
        let fields = fields(path, bytes);
        show_arrival(twilio::webhook::arrival(&fields), &twilio::webhook::routing(&fields))
    });
    golden::check("plivo/arrival", 6, |path, bytes| {
        let fields = fields(path, bytes);
        show_arrival(plivo::webhook::arrival(&fields), &plivo::webhook::routing(&fields))
    });
    golden::check("smartflo/arrival", 5, |path, bytes| {
        let fields = fields(path, bytes);
        show_arrival(smartflo::webhook::arrival(&fields), &smartflo::webhook::routing(&fields))
    });
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_rfc3339())
}

fn show_report(read: Result<Report, FieldErrors>) -> String {
    match read {
        Err(errors) => format!("errors: {errors}"),
        Ok(report) => format!(
            "{} call={} stream={:?}\nevent={:?} status={:?} duration_s={:?}\nrecording={:?} ended={} error={:?} answered_by={:?}",
            report.message.as_str(),
            report.call_id,
            report.stream_id,
            report.event,
            report.status,
            report.duration_s,
            report.recording_url,
            time(report.ended_at),
            report.error,
            report.answered_by
        ),
    }
}

fn message(path: &Path) -> Message {
    let name = path.file_name().unwrap().to_str().unwrap();
    let all = [Message::CallEnd, Message::Status, Message::Passthru, Message::Recording];
    all.into_iter()
        .find(|message| name.starts_with(message.as_str()))
        .unwrap_or_else(|| panic!("{name}: which message?"))
}

#[test]
fn reports() {
    golden::check("twilio/report", 15, |path, bytes| {
        show_report(twilio::webhook::report(message(path), &fields(path, bytes)))
    });
    golden::check("plivo/report", 13, |path, bytes| {
        show_report(plivo::webhook::report(message(path), &fields(path, bytes)))
    });
    golden::check("smartflo/report", 7, |path, bytes| {
        show_report(smartflo::webhook::report(message(path), &fields(path, bytes)))
    });
}
