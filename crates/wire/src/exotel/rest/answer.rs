//! What Exotel answers. A call that can be read at all is read; what else in it cannot be read is left out.

use super::tree::{self, Unreadable, get, text};
use super::{BODY_BYTES_MAX, ID_CHARS_MAX, PAGE_SIZE};
use crate::exotel::report::{AnsweredBy, answered_by};
use crate::exotel::webhook::{URL_BYTES_MAX, parse_status, parse_time, seconds};
use chrono::{DateTime, Utc};
use model::{CallDirection, CallStatus, E164};
use serde_json::Value;
use std::fmt;

/// Longest message kept of an error.
const MESSAGE_CHARS_MAX: usize = 300;
/// Longest code of an error; `RATE_LIMIT_EXCEEDED` has 19 characters.
const CODE_CHARS_MAX: usize = 24;
/// A word of an error's message that is longer is taken for a key.
const WORD_CHARS_MAX: usize = 24;
/// This many digits of an error's message in a row are taken for a phone number.
const NUMBER_DIGITS_MIN: usize = 7;
/// Longest name kept of a number.
const NAME_CHARS_MAX: usize = 128;
/// Longest price kept, `1234.500` and the like.
const PRICE_CHARS_MAX: usize = 16;
/// Most numbers of an account that are read.
const EXOPHONES_MAX: usize = 1_000;

/// A call as Exotel knows it, when it was placed and later. Debug shows no address and no number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallDetails {
    /// Exotel's id.
    pub call_id: String,
    /// Where it stands. Right after placing it says `in-progress`, which does not mean that anybody answered.
    pub status: Option<CallStatus>,
    /// Its length.
    pub duration_s: Option<u32>,
    /// When Exotel took the order.
    pub created_at: Option<DateTime<Utc>>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Where its recording is: the signed address when there is one.
    pub recording_url: Option<String>,
    /// Who was dialled (placed by the API), or who called.
    pub from: Option<E164>,
    /// The other side.
    pub to: Option<E164>,
    /// The account's number that it went through.
    pub exophone: Option<E164>,
    /// What took it.
    pub answered_by: Option<AnsweredBy>,
    /// What it cost, in the account's currency.
    pub price: Option<String>,
    /// Who placed it.
    pub direction: Option<CallDirection>,
}

impl fmt::Debug for CallDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallDetails")
            .field("call_id", &self.call_id)
            .field("status", &self.status)
            .field("duration_s", &self.duration_s)
            .field("created_at", &self.created_at)
            .field("started_at", &self.started_at)
            .field("ended_at", &self.ended_at)
            .field("recording_url", &self.recording_url.is_some())
            .field("answered_by", &self.answered_by)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}

/// A number of the account.
#[derive(Clone, PartialEq, Eq)]
pub struct ExoPhone {
    /// The number; none when it cannot be read.
    pub number: Option<E164>,
    /// What people call it, often the number again.
    pub name: Option<String>,
}

impl fmt::Debug for ExoPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExoPhone").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Media streams of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveStreams {
    /// Open now.
    pub active: u32,
    /// Open at most.
    pub max: u32,
}

/// Exotel's own word for a request that it did not fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestException {
    /// The HTTP status when that says there was an error; otherwise the one in the body, or, when none stands there,
    /// that of HTTP after all.
    pub status: u16,
    /// Exotel's code, a number or a word.
    pub code: Option<String>,
    /// Exotel's words, at most 300 characters; numbers, addresses and what may be a key are replaced by `***`.
    pub message: String,
}

impl fmt::Display for RestException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, ", code {code}")?;
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// Why there is nothing to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestFault {
    /// Exotel says that it did not do it.
    #[error("{0}")]
    Exception(RestException),
    /// A status that is no success, without a word why.
    #[error("HTTP {0}")]
    Status(u16),
    /// A success with nothing in it.
    #[error("the answer is empty")]
    Empty,
    /// More than is read.
    #[error("the answer is longer than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// Neither JSON nor XML.
    #[error("the answer is neither JSON nor XML")]
    Malformed,
    /// Without what was asked for.
    #[error("the answer has no {0}")]
    Incomplete(&'static str),
}

impl RestFault {
    /// The status that it comes down to: Exotel's own in a success that is none.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Exception(exception) => Some(exception.status),
            Self::Status(status) => Some(*status),
            Self::Empty | Self::TooLarge | Self::Malformed | Self::Incomplete(_) => None,
        }
    }
}

impl From<Unreadable> for RestFault {
    fn from(why: Unreadable) -> Self {
        match why {
            Unreadable::Empty => Self::Empty,
            Unreadable::TooLarge => Self::TooLarge,
            Unreadable::Malformed => Self::Malformed,
        }
    }
}

/// Reads the answer to placing a call, or to a question about one.
///
/// # Errors
/// [`RestFault`]; `Incomplete` when the call has no id.
pub fn read_call(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<CallDetails, RestFault> {
    let root = document(status, content_type, body)?;
    call(get(&root, "Call").unwrap_or(&root)).ok_or(RestFault::Incomplete("Sid"))
}

/// Reads a page of calls; those without an id are left out.
///
/// # Errors
/// [`RestFault`].
pub fn read_calls(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Vec<CallDetails>, RestFault> {
    let root = document(status, content_type, body)?;
    let calls = tree::items(&root, "Calls", "Call").ok_or(RestFault::Incomplete("Calls"))?;
    Ok(calls.into_iter().filter_map(call).take(PAGE_SIZE as usize).collect())
}

/// Reads the account's numbers.
///
/// # Errors
/// [`RestFault`].
pub fn read_exophones(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Vec<ExoPhone>, RestFault> {
    let root = document(status, content_type, body)?;
    let numbers = tree::items(&root, "incoming_phone_numbers", "incoming_phone_number")
        .ok_or(RestFault::Incomplete("incoming_phone_numbers"))?;
    let read = |number: &Value| ExoPhone {
        number: phone(number, &["phone_number"]),
        name: text(number, &["friendly_name"]).map(|name| name.chars().take(NAME_CHARS_MAX).collect()),
    };
    Ok(numbers.into_iter().take(EXOPHONES_MAX).map(read).collect())
}

/// Reads how many media streams are open.
///
/// # Errors
/// [`RestFault`].
pub fn read_active_streams(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<ActiveStreams, RestFault> {
    let root = document(status, content_type, body)?;
    let streams = get(&root, "Stream").unwrap_or(&root);
    let number = |names: &[&str]| text(streams, names).and_then(|text| text.parse().ok());
    let active = number(&["ActiveStreamCount", "active_streams"]).ok_or(RestFault::Incomplete("ActiveStreamCount"))?;
    let max = number(&["ThrottleLimit", "max_allowed_streams"]).ok_or(RestFault::Incomplete("ThrottleLimit"))?;
    Ok(ActiveStreams { active, max })
}

/// The tree below `TwilioResponse`, when it is the answer to what was asked.
fn document(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Value, RestFault> {
    let success = (200..300).contains(&status);
    let root = match tree::read(content_type, body) {
        Ok(root) => root,
        Err(why) if success => return Err(why.into()),
        Err(_) => return Err(RestFault::Status(status)),
    };
    let root = match get(&root, "TwilioResponse") {
        Some(inner) => inner.clone(),
        None => root,
    };
    match exception(status, &root) {
        Some(exception) => Err(RestFault::Exception(exception)),
        None if success => Ok(root),
        None => Err(RestFault::Status(status)),
    }
}

/// `RestException`, or the envelope of the newer APIs (`http_code`, `response.error_data`).
fn exception(status: u16, root: &Value) -> Option<RestException> {
    let (said, body_status) = if let Some(said) = get(root, "RestException") {
        (said, text(said, &["Status"]))
    } else {
        let http_code = text(root, &["http_code"]);
        let response = get(root, "response");
        let response = response.and_then(|list| list.get(0)).or(response);
        let error = response.and_then(|response| get(response, "error_data")).filter(|error| error.is_object());
        let failed = error.is_some() || http_code.as_deref().is_some_and(|code| code.starts_with(['4', '5']));
        match error.or(response) {
            Some(said) if failed => (said, http_code),
            Some(_) | None if failed || status >= 400 => (root, http_code),
            Some(_) | None => return None,
        }
    };
    let code = text(said, &["Code"]).filter(|code| {
        code.len() <= CODE_CHARS_MAX
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    });
    let message = text(said, &["Message", "Description", "Error"]).map(|message| clean(&message)).unwrap_or_default();
    if said == root && message.is_empty() && code.is_none() {
        return None;
    }
    let body_status = body_status.and_then(|text| text.parse().ok()).filter(|status| (400..600).contains(status));
    let status = if status >= 400 { status } else { body_status.unwrap_or(status) };
    Some(RestException { status, code, message })
}

/// A message for people that quotes nobody: it may repeat the request, which holds numbers and addresses with tokens.
fn clean(message: &str) -> String {
    let words =
        message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).map(|word| {
            let hidden = word.contains("://") || word.contains('@') || word.chars().count() > WORD_CHARS_MAX;
            if hidden { "***" } else { word }
        });
    let text = words.collect::<Vec<_>>().join(" ");
    without_numbers(&text).chars().take(MESSAGE_CHARS_MAX).collect()
}

/// The text with `***` in place of each run of digits, with what stands between them in phone numbers, that is long
/// enough for one.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit() || c == '+') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end =
            rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | ' ' | '(' | ')' | '.')).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let digits = run.chars().filter(char::is_ascii_digit).count();
        if digits < NUMBER_DIGITS_MIN {
            out.push_str(run);
        } else {
            out.push_str("***");
            // The space before the next word.
            out.push_str(&run[run.trim_end().len()..]);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn call(value: &Value) -> Option<CallDetails> {
    let fits = |id: &String| id.len() <= ID_CHARS_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    let call_id = text(value, &["Sid", "CallSid"]).filter(fits)?;
    let time = |names: &[&str]| text(value, names).and_then(|text| parse_time(&text));
    let details = get(value, "Details");
    let of_details = |name: &str| details.and_then(|details| text(details, &[name]));
    let price = |text: &String| text.len() <= PRICE_CHARS_MAX && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    Some(CallDetails {
        call_id,
        status: text(value, &["Status"]).and_then(|word| parse_status(&word)),
        duration_s: text(value, &["Duration"])
            .or_else(|| of_details("ConversationDuration"))
            .and_then(|text| seconds(&text)),
        created_at: time(&["DateCreated"]),
        started_at: time(&["StartTime"]),
        ended_at: time(&["EndTime"]),
        recording_url: text(value, &["PreSignedRecordingUrl", "RecordingUrl"]).filter(|url| is_address(url)),
        from: phone(value, &["From"]),
        to: phone(value, &["To"]),
        exophone: phone(value, &["PhoneNumberSid"]),
        answered_by: answered_by(text(value, &["AnsweredBy"]).as_deref()),
        price: text(value, &["Price"]).filter(price),
        direction: text(value, &["Direction"]).and_then(|word| direction(&word.to_ascii_lowercase())),
    })
}

fn phone(value: &Value, names: &[&str]) -> Option<E164> {
    text(value, names).and_then(|text| E164::parse(&text).ok())
}

/// `inbound`, `incoming`, `outbound-dial`, `outbound-api`.
fn direction(word: &str) -> Option<CallDirection> {
    if word.starts_with("out") {
        Some(CallDirection::Outgoing)
    } else if word.starts_with("in") {
        Some(CallDirection::Incoming)
    } else {
        None
    }
}

fn is_address(text: &str) -> bool {
    let parsed = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    text.len() <= URL_BYTES_MAX && parsed.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_quote_nobody() {
        for (said, want) in [
            ("From number +919876543210 is not valid", "From number *** is not valid"),
            ("call 98765 43210, then (080) 4749-1899.", "call ***, then (***"),
            ("Url wss://x.example/t0k3n is bad", "Url *** is bad"),
            ("user a@b.example has no key 0123456789abcdef0123456789abcdef", "user *** has no key ***"),
            ("Only 200 calls a minute (limit 3600)", "Only 200 calls a minute (limit 3600)"),
            ("a\r\nb\u{0}c\td", "a b c d"),
            ("", ""),
        ] {
            assert_eq!(clean(said), want);
        }
        assert_eq!(clean(&"word ".repeat(100)).chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn debug_shows_neither_numbers_nor_addresses() {
        let body = br#"{"Call":{"Sid":"c1","From":"09876543210","To":"08047491899","PhoneNumberSid":"08047491899",
            "RecordingUrl":"https://s3.example/x?Signature=s3cret"}}"#;
        let call = read_call(200, None, body).expect("a call");
        assert!(call.from.is_some() && call.exophone.is_some() && call.recording_url.is_some());
        let phones = read_exophones(
            200,
            None,
            br#"{"incoming_phone_numbers":[{"phone_number":"07314852338","friendly_name":"07314852338"}]}"#,
        );
        let shown = format!("{call:?} {:?}", phones.expect("numbers"));
        for hidden in ["98765", "80474", "s3cret", "731485"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn the_status_of_http_wins_when_it_is_an_error() {
        let body = |status: &str| format!(r#"{{"RestException":{{"Status":{status},"Message":"no"}}}}"#);
        for (http, inside, want) in [
            (200, "400", 400),
            (200, "\"403\"", 403),
            (200, "null", 200),
            (200, "7", 200),
            (400, "500", 400),
            (500, "400", 500),
        ] {
            let fault = read_call(http, None, body(inside).as_bytes()).expect_err("an exception");
            assert_eq!(fault.status(), Some(want), "{http} {inside}");
            assert!(matches!(fault, RestFault::Exception(_)));
        }
    }
}
