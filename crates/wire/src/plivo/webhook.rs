//! Plivo's and Vobiz's HTTP requests to us, urlencoded: for instructions (answer URL, `<Redirect>`), ring and hang-up
//! callbacks, recordings (docs.plivo.com/docs/voice/xml/request, /docs/account/api/application, /docs/voice/xml/record,
//! /docs/voice/api/call/record; docs.vobiz.ai/applications). A recording that was asked for over the API arrives as
//! JSON inside a field `response`.
//!
//! Numbers have their country and no plus. Times without a zone are UTC.

use crate::fields::{FieldErrors, Fields};
use crate::report::{AnsweredBy, Arrival, Dialect, Message, Report, Routing, international};
use chrono::{DateTime, NaiveDateTime, Utc};
use model::CallStatus;

const PLIVO: Dialect = Dialect {
    call_id: &["CallUUID", "response[call_uuid]"],
    request_id: &["ALegRequestUUID", "RequestUUID"],
    account_id: &["AuthID", "ParentAuthID"],
    from: &["From"],
    to: &["To"],
    direction: &["Direction"],
    status: &["CallStatus"],
    duration: &["Duration"],
    recording: &["RecordUrl", "RecordingUrl", "response[record_url]"],
    recording_duration: &["RecordingDuration", "response[recording_duration]"],
    ended: &["EndTime"],
    stream_id: &["StreamID"],
    // `StartApp`, `Ring`, `Hangup`; `StartStream`, `StopStream`, `DroppedStream`.
    event: &["Event"],
    error: &["HangupCauseName", "HangupCause"],
    answered_by: &["Machine"],
    parse_number: international,
    parse_status,
    parse_time,
    parse_answered_by,
};

/// Reads a request for instructions: a call has arrived, or one that we placed was answered.
///
/// # Errors
/// All missing and unusable fields.
pub fn arrival(fields: &Fields) -> Result<Arrival, FieldErrors> {
    PLIVO.arrival(fields)
}

/// Reads a report: the hang-up URL's as [`Message::CallEnd`], the ring URL's as [`Message::Status`], the request after
/// our `<Redirect>` as [`Message::Passthru`], a recording callback as [`Message::Recording`].
///
/// # Errors
/// All missing and unusable fields.
pub fn report(message: Message, fields: &Fields) -> Result<Report, FieldErrors> {
    PLIVO.report(message, fields)
}

/// What finds the call or the number, before anything is believed.
#[must_use]
pub fn routing(fields: &Fields) -> Routing {
    PLIVO.routing(fields)
}

/// A call status in Plivo's words; a call that rang out says `timeout` or `no-answer`.
#[must_use]
pub fn parse_status(word: &str) -> Option<CallStatus> {
    Some(match word.to_ascii_lowercase().as_str() {
        "queued" => CallStatus::Queued,
        "ringing" => CallStatus::Ringing,
        "in-progress" | "answered" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" | "timeout" => CallStatus::NoAnswer,
        "failed" => CallStatus::Failed,
        "cancel" | "canceled" | "cancelled" => CallStatus::Canceled,
        _ => return None,
    })
}

/// `2022-12-06 07:02:00`, UTC; RFC 3339 says its own zone.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let at = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|naive| naive.and_utc())
        .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()))
        .or_else(|| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").ok().map(|at| at.to_utc()))?;
    (at.timestamp() > 0).then_some(at)
}

/// `Machine=true` with machine detection.
fn parse_answered_by(word: &str) -> Option<AnsweredBy> {
    match word.to_ascii_lowercase().as_str() {
        "true" => Some(AnsweredBy::Machine),
        "false" => Some(AnsweredBy::Human),
        _ => None,
    }
}
