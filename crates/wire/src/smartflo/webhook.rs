//! Smartflo's HTTP requests to us: the Dynamic endpoint of a Voice Bot, and webhooks (triggers such as "Call hangup").
//! Which fields they carry, and under which names, is chosen in the portal; read here are the portal's own variables
//! (`$callId`, `$fromNumber`, `$toNumber`, `$status` of the Dynamic endpoint; those of the webhooks and of
//! `reference/v1callrecords`), in any spelling. Times without a zone are Indian.

use crate::exotel::webhook::parse_time;
use crate::fields::{FieldErrors, Fields};
use crate::report::{AnsweredBy, Arrival, Dialect, Message, Report, Routing};
use model::{CallStatus, E164};

const SMARTFLO: Dialect = Dialect {
    call_id: &["callId", "callSid", "uuid"],
    request_id: &["refId"],
    account_id: &["accountSid"],
    from: &["fromNumber", "callerIdNumber", "from"],
    to: &["toNumber", "callToNumber", "didNumber", "to"],
    direction: &["direction"],
    status: &["callStatus", "status"],
    duration: &["billsec", "duration", "callDuration"],
    recording: &["recordingUrl"],
    recording_duration: &["duration", "callDuration"],
    ended: &["endStamp", "endTime"],
    stream_id: &["streamSid"],
    event: &["event", "trigger"],
    error: &["hangupCause", "hangupCauseDescription"],
    answered_by: &[],
    parse_number: |text| E164::parse(text).ok(),
    parse_status,
    parse_time,
    parse_answered_by,
};

/// At the end of a call.
const ENDED: Dialect = Dialect { parse_status: parse_end_status, ..SMARTFLO };

/// Reads the request of a Dynamic endpoint.
///
/// # Errors
/// All missing and unusable fields.
pub fn arrival(fields: &Fields) -> Result<Arrival, FieldErrors> {
    SMARTFLO.arrival(fields)
}

/// Reads a report: the hang-up trigger's as [`Message::CallEnd`], any other trigger's as [`Message::Passthru`].
///
/// # Errors
/// All missing and unusable fields.
pub fn report(message: Message, fields: &Fields) -> Result<Report, FieldErrors> {
    match message {
        Message::CallEnd => ENDED.report(message, fields),
        Message::Status | Message::Passthru | Message::Recording => SMARTFLO.report(message, fields),
    }
}

/// What finds the call or the number, before anything is believed.
#[must_use]
pub fn routing(fields: &Fields) -> Routing {
    SMARTFLO.routing(fields)
}

/// A call status in Smartflo's words, while the call lasts.
#[must_use]
pub fn parse_status(word: &str) -> Option<CallStatus> {
    let word: String = word.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
    Some(match word.as_str() {
        "queued" | "initiated" => CallStatus::Queued,
        "ringing" | "dialing" => CallStatus::Ringing,
        "inprogress" | "connected" | "answered" => CallStatus::InProgress,
        "completed" | "hangup" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "missed" | "noanswer" => CallStatus::NoAnswer,
        "failed" => CallStatus::Failed,
        "canceled" | "cancelled" => CallStatus::Canceled,
        _ => return None,
    })
}

/// Of a call that is over, `answered` says that there was a conversation.
fn parse_end_status(word: &str) -> Option<CallStatus> {
    parse_status(word).map(|status| if status == CallStatus::InProgress { CallStatus::Completed } else { status })
}

/// It does not tell.
fn parse_answered_by(_: &str) -> Option<AnsweredBy> {
    None
}
