//! Twilio's HTTP requests to us, urlencoded POSTs: for instructions (the number's voice URL, a `<Redirect>`), status
//! callbacks of calls, recording status callbacks (twilio.com/docs/voice/twiml#request-parameters,
//! /voice/api/call-resource#statuscallback, /voice/api/recording#recording-status-callback).

use crate::fields::{FieldErrors, Fields};
use crate::report::{AnsweredBy, Arrival, Dialect, Message, Report, Routing};
use chrono::{DateTime, Utc};
use model::{CallStatus, E164};

const TWILIO: Dialect = Dialect {
    call_id: &["CallSid"],
    request_id: &[],
    account_id: &["AccountSid"],
    from: &["From", "Caller"],
    to: &["To", "Called"],
    // `inbound`; `outbound-api`, `outbound-dial`.
    direction: &["Direction"],
    status: &["CallStatus"],
    // Not `Duration`: that one is in minutes, for the bill.
    duration: &["CallDuration"],
    recording: &["RecordingUrl"],
    recording_duration: &["RecordingDuration"],
    // When the event was; the end, if it is the end.
    ended: &["Timestamp"],
    stream_id: &["StreamSid"],
    event: &[],
    error: &["StreamError", "ErrorMessage"],
    answered_by: &["AnsweredBy"],
    parse_number: |text| E164::parse(text).ok(),
    parse_status,
    parse_time,
    parse_answered_by,
};

/// Reads a request for instructions: a call has arrived, or one that we placed was answered.
///
/// # Errors
/// All missing and unusable fields. A caller that is no telephone (`client:…`, `sip:…`) is none.
pub fn arrival(fields: &Fields) -> Result<Arrival, FieldErrors> {
    TWILIO.arrival(fields)
}

/// Reads a report: a status callback as [`Message::Status`], the request after our `<Redirect>` as
/// [`Message::Passthru`], a recording's status callback as [`Message::Recording`].
///
/// # Errors
/// All missing and unusable fields.
pub fn report(message: Message, fields: &Fields) -> Result<Report, FieldErrors> {
    TWILIO.report(message, fields)
}

/// What finds the call or the number, before anything is believed.
#[must_use]
pub fn routing(fields: &Fields) -> Routing {
    TWILIO.routing(fields)
}

/// A call status in Twilio's words. `initiated` is what a status callback calls the first of them.
#[must_use]
pub fn parse_status(word: &str) -> Option<CallStatus> {
    Some(match word.to_ascii_lowercase().as_str() {
        "queued" => CallStatus::Queued,
        "initiated" | "ringing" => CallStatus::Ringing,
        "in-progress" | "answered" => CallStatus::InProgress,
        "completed" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "no-answer" => CallStatus::NoAnswer,
        "failed" => CallStatus::Failed,
        "canceled" => CallStatus::Canceled,
        _ => return None,
    })
}

/// `Sun, 24 Aug 2025 13:49:54 +0000`.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc2822(text).or_else(|_| DateTime::parse_from_rfc3339(text)).ok()?;
    (at.timestamp() > 0).then(|| at.to_utc())
}

/// `human`, `machine_start`, `machine_end_beep`, `machine_end_silence`, `machine_end_other`, `fax`, `unknown`.
fn parse_answered_by(word: &str) -> Option<AnsweredBy> {
    match word.to_ascii_lowercase().as_str() {
        "human" => Some(AnsweredBy::Human),
        "unknown" => Some(AnsweredBy::NotSure),
        word if word == "fax" || word.starts_with("machine") => Some(AnsweredBy::Machine),
        _ => None,
    }
}
