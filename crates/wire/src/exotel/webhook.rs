//! Exotel's HTTP requests to us: the dynamic URL of the Voicebot applet and the Passthru applet (GET, query), status
//! callbacks (POST; multipart, urlencoded or JSON). Support articles 48283, 3000132269, 48278; captured requests.
//!
//! Times without a zone are Indian (+05:30): the constant "never ended" reads `1970-01-01 05:30:00`.

use crate::fields::{FieldErrors, Fields};
use crate::report::{self, text};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use model::{CallDirection, CallStatus, E164, PhoneError};
use std::fmt;

pub(crate) use crate::report::seconds;
pub use crate::report::{DisconnectedBy, ID_BYTES_MAX, TEXT_BYTES_MAX, URL_BYTES_MAX};

const CALL_ID: &[&str] = &["CallSid", "CallId", "Sid", "CallUUID"];
// `To` may be a number that several accounts share; `CallTo` is where the call landed.
pub(super) const CALLED: &[&str] = &["CallTo", "To", "Called", "ToNumber", "PhoneNumber"];
const CALLER: &[&str] = &["CallFrom", "From", "Caller", "FromNumber"];
const CREATED: &[&str] = &["Created", "StartTime", "DateCreated", "CurrentTime", "Timestamp"];
const STREAM_STATUS: &str = "Stream[Status]";
pub(super) const STATUS: &[&str] = &["CallStatus", "Status", "DialCallStatus", STREAM_STATUS];
// Behind a Connect applet `Status` and `DialCallStatus` are those of an agent who was dialled.
pub(super) const PASSTHRU_STATUS: &[&str] = &["CallStatus", STREAM_STATUS];
const DURATION: &[&str] =
    &["Duration", "CallDuration", "ConversationDuration", "DialCallDuration", "DurationSeconds", "Stream[Duration]"];
const RECORDING: &[&str] = &["RecordingUrl", "Recording_Url", "Stream[RecordingUrl]"];
const ENDED: &[&str] = &["EndTime", "DateUpdated", "CurrentTime"];

/// A text as the carrier sent it, kept for the record. Debug hides it: it may be a number.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(pub String);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

/// A call has arrived: where shall its media go?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStart {
    /// The carrier's id, opaque.
    pub call_id: String,
    /// The caller, unless withheld, masked or unreadable.
    pub from: Option<E164>,
    /// The number called (`CallTo`).
    pub to: E164,
    /// The other called number (`To`), when it is another one: match it second.
    pub to_other: Option<E164>,
    /// The called number as sent.
    pub called_raw: Raw,
    /// Who placed the call.
    pub direction: CallDirection,
    /// When the carrier says the call began.
    pub created_at: Option<DateTime<Utc>>,
    /// The account, when named (the dynamic URL does not carry it).
    pub account_id: Option<String>,
    /// What the API call that placed the call asked to be passed on.
    pub custom_field: Option<String>,
    /// Keys pressed in an earlier applet.
    pub digits: Option<String>,
}

impl CallStart {
    /// Reads a call-start request.
    ///
    /// # Errors
    /// All missing and unusable fields.
    pub fn read(fields: &Fields) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let call_id = call_id(fields, &mut errors);
        let called = called(fields, &mut errors);
        errors.into_result()?;
        let (Some(call_id), Some((called_raw, to))) = (call_id, called) else { return Err(FieldErrors::default()) };
        let to_other = fields.get("To").and_then(|text| E164::parse(text).ok()).filter(|other| *other != to);
        Ok(Self {
            call_id,
            from: number(fields, CALLER),
            to,
            to_other,
            called_raw: Raw(called_raw),
            direction: direction(fields),
            created_at: time(fields, CREATED),
            account_id: text(fields, &["AccountSid", "AccountId"]),
            custom_field: text(fields, &["CustomField"]),
            digits: digits(fields),
        })
    }
}

/// A call is over, or so the carrier says: repeated, late and out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEnd {
    /// The carrier's id of the call.
    pub call_id: String,
    /// The carrier's id of the stream.
    pub stream_id: Option<String>,
    /// How it ended; completed when not said.
    pub status: CallStatus,
    /// Length of the conversation.
    pub duration_s: Option<u32>,
    /// Where the carrier's own recording is, or will be.
    pub recording_url: Option<String>,
    /// When it will be there.
    pub recording_available_at: Option<DateTime<Utc>>,
    /// When the call ended, if it did.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended the stream, in a Passthru after the Voicebot applet.
    pub disconnected_by: Option<DisconnectedBy>,
    /// The carrier's own words when the stream failed.
    pub error: Option<String>,
    /// The caller.
    pub from: Option<E164>,
    /// The number called.
    pub to: Option<E164>,
    /// Who placed the call.
    pub direction: CallDirection,
    /// What the API call asked to be passed on.
    pub custom_field: Option<String>,
}

impl CallEnd {
    /// Reads a call-end request, or a Passthru after the Voicebot applet.
    ///
    /// # Errors
    /// All missing and unusable fields.
    pub fn read(fields: &Fields) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let call_id = call_id(fields, &mut errors);
        let status = status(fields, STATUS, &mut errors).unwrap_or(CallStatus::Completed);
        let duration_s = duration_s(fields, &mut errors);
        let recording_url = recording_url(fields, &mut errors);
        errors.into_result()?;
        let Some(call_id) = call_id else { return Err(FieldErrors::default()) };
        Ok(Self {
            call_id,
            stream_id: stream_id(fields),
            status,
            duration_s,
            recording_url,
            recording_available_at: recording_available_at(fields),
            ended_at: if status.is_final() { ended_at(fields) } else { None },
            disconnected_by: disconnected_by(fields),
            error: stream_error(fields),
            from: number(fields, CALLER),
            to: number(fields, CALLED),
            direction: direction(fields),
            custom_field: text(fields, &["CustomField"]),
        })
    }
}

/// A status callback: of a call that is being placed, or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusUpdate {
    /// Where the call stands.
    pub status: CallStatus,
    /// `EventType` as sent: `answered`, `terminal`, `ringing`.
    pub event: Option<String>,
    /// Everything else.
    pub end: CallEnd,
}

impl StatusUpdate {
    /// Reads a status callback; here the status must be there.
    ///
    /// # Errors
    /// All missing and unusable fields.
    pub fn read(fields: &Fields) -> Result<Self, FieldErrors> {
        let end = CallEnd::read(fields);
        if fields.first(STATUS).is_none() {
            let mut errors = end.err().unwrap_or_default();
            errors.missing(fields.spelled("Status"));
            return Err(errors);
        }
        let end = end?;
        Ok(Self { status: end.status, event: event(fields), end })
    }
}

/// The carrier's recording is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingReady {
    /// The carrier's id of the call.
    pub call_id: String,
    /// Where it is.
    pub recording_url: String,
    /// Its length.
    pub duration_s: Option<u32>,
}

impl RecordingReady {
    /// Reads a recording callback.
    ///
    /// # Errors
    /// All missing and unusable fields.
    pub fn read(fields: &Fields) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let call_id = call_id(fields, &mut errors);
        let recording_url = recording_url(fields, &mut errors);
        if fields.first(RECORDING).is_none() {
            errors.missing(fields.spelled("RecordingUrl"));
        }
        let duration_s = duration_s(fields, &mut errors);
        errors.into_result()?;
        let (Some(call_id), Some(recording_url)) = (call_id, recording_url) else { return Err(FieldErrors::default()) };
        Ok(Self { call_id, recording_url, duration_s })
    }
}

/// The time the body itself claims, for the replay window; the text as sent.
#[must_use]
pub fn timestamp(fields: &Fields) -> Option<&str> {
    fields.get("Timestamp")
}

/// Whether a request with these fields is Exotel's: a call id and a name only Exotel uses.
#[must_use]
pub fn looks_like_exotel(fields: &Fields) -> bool {
    const ONLY_EXOTEL: &[&str] = &[
        "CallFrom",
        "CallTo",
        "DialWhomNumber",
        "ServerCode",
        "HangupLatencyStartTime",
        "HangupLatencyStartTimeExocc",
        "CurrentTime",
    ];
    fields.get("CallSid").is_some() && fields.first(ONLY_EXOTEL).is_some()
}

pub(super) fn stream_id(fields: &Fields) -> Option<String> {
    text(fields, &["Stream[StreamSID]", "StreamSid"])
}

pub(super) fn event(fields: &Fields) -> Option<String> {
    text(fields, &["EventType"]).map(|word| word.to_ascii_lowercase())
}

pub(super) fn stream_error(fields: &Fields) -> Option<String> {
    text(fields, &["Stream[Error]", "Stream[DetailedStatus]", "ErrorMessage"])
}

pub(super) fn recording_available_at(fields: &Fields) -> Option<DateTime<Utc>> {
    time(fields, &["RecordingAvailableBy"])
}

pub(super) fn ended_at(fields: &Fields) -> Option<DateTime<Utc>> {
    time(fields, ENDED)
}

pub(super) fn call_id(fields: &Fields, errors: &mut FieldErrors) -> Option<String> {
    report::call_id(fields, CALL_ID, errors)
}

/// The first readable called number; complains about the first one sent when none is.
fn called(fields: &Fields, errors: &mut FieldErrors) -> Option<(String, E164)> {
    for name in CALLED {
        if let Some(raw) = fields.get(name)
            && let Ok(number) = E164::parse(raw)
        {
            return Some((raw.to_owned(), number));
        }
    }
    match fields.first(CALLED) {
        Some((name, raw)) => match E164::parse(raw) {
            Err(PhoneError::Missing) => errors.missing(name),
            Err(PhoneError::Malformed) | Ok(_) => errors.bad(name, "a phone number"),
        },
        None if fields.get("From").is_some() && fields.get("CallFrom").is_none() => {
            errors.missing(fields.spelled("To"))
        }
        None => errors.missing(fields.spelled("CallTo")),
    }
    None
}

fn number(fields: &Fields, names: &[&str]) -> Option<E164> {
    names.iter().find_map(|name| E164::parse(fields.get(name)?).ok())
}

fn digits(fields: &Fields) -> Option<String> {
    let digits: String = fields
        .get("digits")?
        .chars()
        .filter(|c| c.is_ascii_digit() || matches!(c, '*' | '#'))
        .take(TEXT_BYTES_MAX)
        .collect();
    (!digits.is_empty()).then_some(digits)
}

/// `incoming`, `inbound`; `outbound-dial`, `outbound-api`. Incoming when not said or unknown: the dynamic URL of a
/// number is asked when somebody calls it.
fn direction(fields: &Fields) -> CallDirection {
    let word = fields.get("Direction").unwrap_or_default().to_ascii_lowercase();
    if word.starts_with("out") { CallDirection::Outgoing } else { CallDirection::Incoming }
}

/// A call status in any of Exotel's spellings.
#[must_use]
pub fn parse_status(word: &str) -> Option<CallStatus> {
    let word: String = word.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect();
    Some(match word.as_str() {
        "queued" => CallStatus::Queued,
        "ringing" | "initiated" => CallStatus::Ringing,
        "inprogress" | "answered" => CallStatus::InProgress,
        "completed" | "terminal" | "ended" => CallStatus::Completed,
        "busy" => CallStatus::Busy,
        "noanswer" => CallStatus::NoAnswer,
        "failed" => CallStatus::Failed,
        "canceled" | "cancelled" => CallStatus::Canceled,
        _ => return None,
    })
}

/// The first of these that is there.
pub(super) fn status(fields: &Fields, names: &[&str], errors: &mut FieldErrors) -> Option<CallStatus> {
    let (name, word) = fields.first(names)?;
    let Some(status) = parse_status(word) else {
        errors.bad(name, "a call status");
        return None;
    };
    // Right after the Voicebot applet the call may still be "in-progress" though its stream is over.
    let status = match fields.get(STREAM_STATUS).and_then(parse_status) {
        Some(stream) if !status.is_final() => stream,
        _ => status,
    };
    // A stream "cancelled" by its user is a caller who hung up: a normal ending.
    if status == CallStatus::Canceled && disconnected_by(fields) == Some(DisconnectedBy::User) {
        return Some(CallStatus::Completed);
    }
    Some(status)
}

/// Whether [`status`] tells of the stream: the call itself is not said to be over.
pub(super) fn is_of_stream(fields: &Fields, names: &[&str]) -> bool {
    let of_call = names.iter().filter(|name| **name != STREAM_STATUS).find_map(|name| fields.get(name));
    fields.get(STREAM_STATUS).and_then(parse_status).is_some()
        && !of_call.and_then(parse_status).is_some_and(CallStatus::is_final)
}

pub(super) fn disconnected_by(fields: &Fields) -> Option<DisconnectedBy> {
    fields.get("Stream[DisconnectedBy]").map(|word| match word.to_ascii_lowercase().as_str() {
        "user" | "caller" => DisconnectedBy::User,
        "bot" => DisconnectedBy::Bot,
        _ => DisconnectedBy::Unknown,
    })
}

pub(super) fn duration_s(fields: &Fields, errors: &mut FieldErrors) -> Option<u32> {
    report::duration_s(fields, DURATION, errors)
}

pub(super) fn recording_url(fields: &Fields, errors: &mut FieldErrors) -> Option<String> {
    report::recording_url(fields, RECORDING, errors)
}

fn time(fields: &Fields, names: &[&str]) -> Option<DateTime<Utc>> {
    names.iter().find_map(|name| parse_time(fields.get(name)?))
}

/// `2026-08-25 12:07:09` and `Tue, 25 Aug 2026 12:07:08` are Indian time; RFC 3339 says its own. The epoch and the zero
/// date mean "none".
#[must_use]
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim().trim_matches('"');
    let indian = TimeDelta::minutes(5 * 60 + 30);
    let at = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%a, %d %b %Y %H:%M:%S", "%d %b %Y %H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .and_then(|naive| naive.checked_sub_signed(indian))
        .map(|naive| naive.and_utc())
        .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()))
        .or_else(|| DateTime::parse_from_rfc2822(text).ok().map(|at| at.to_utc()))?;
    (at.timestamp() > 0).then_some(at)
}
