//! What any carrier says of a call over HTTP: that it comes, where it stands, that a recording is there. The carriers'
//! files read their own names into these; what makes two messages the same report is [`Report::identity`].

use crate::fields::{FieldErrors, Fields};
use chrono::{DateTime, Utc};
use model::{CallDirection, CallStatus, E164};
use std::fmt::Write as _;

/// Longest id read, in bytes; carriers' have 32 to 36.
pub const ID_BYTES_MAX: usize = 128;
/// Longest free text kept (custom field, error), in bytes; Exotel allows 128 characters in a custom field.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Longest recording URL read, in bytes: pre-signed ones are long.
pub const URL_BYTES_MAX: usize = 2048;

/// Which message a report came in. They say different things with the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// The documented report of the end; without a status it was a conversation.
    CallEnd,
    /// A status callback of a call placed through the API; it has a status.
    Status,
    /// The Passthru applet: a GET with whatever its place in the flow knows. Nothing but the call's id is required.
    Passthru,
    /// A recording is there; it has an address.
    Recording,
}

impl Message {
    /// A stable word for records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallEnd => "call-end",
            Self::Status => "status",
            Self::Passthru => "passthru",
            Self::Recording => "recording",
        }
    }
}

/// What took the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A voice mailbox or the like.
    Machine,
    /// The carrier could not tell.
    NotSure,
}

impl AnsweredBy {
    /// A stable word for records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
            Self::NotSure => "not-sure",
        }
    }
}

/// One side of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// How long it was on the call.
    pub on_call_s: Option<u32>,
    /// How it ended.
    pub status: Option<CallStatus>,
    /// What took it.
    pub answered_by: Option<AnsweredBy>,
}

/// A report of a call that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In which message.
    pub message: Message,
    /// The carrier's id of the call.
    pub call_id: String,
    /// The carrier's id of the stream.
    pub stream_id: Option<String>,
    /// `EventType` as sent: `answered`, `terminal`.
    pub event: Option<String>,
    /// Where the call stands, when said.
    pub status: Option<CallStatus>,
    /// That is said of the media stream, and not of the call, which may go on without it.
    pub of_stream: bool,
    /// Length of the conversation.
    pub duration_s: Option<u32>,
    /// Where the carrier's own recording is, or will be.
    pub recording_url: Option<String>,
    /// When it will be there.
    pub recording_available_at: Option<DateTime<Utc>>,
    /// When the call ended, if it did.
    pub ended_at: Option<DateTime<Utc>>,
    /// Who ended the stream.
    pub disconnected_by: Option<DisconnectedBy>,
    /// The carrier's own words when the stream failed.
    pub error: Option<String>,
    /// What took the call.
    pub answered_by: Option<AnsweredBy>,
    /// Its sides, the one dialled first in front.
    pub legs: Vec<Leg>,
}

/// Who ended the media stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisconnectedBy {
    /// The caller.
    User,
    /// We.
    Bot,
    /// Not said: the stream never came up.
    Unknown,
}

impl Report {
    pub(crate) fn bare(message: Message, call_id: String) -> Self {
        Self {
            message,
            call_id,
            stream_id: None,
            event: None,
            status: None,
            of_stream: false,
            duration_s: None,
            recording_url: None,
            recording_available_at: None,
            ended_at: None,
            disconnected_by: None,
            error: None,
            answered_by: None,
            legs: Vec::new(),
        }
    }

    /// What it says, apart from when it was sent: the same for a repetition in another coding, another for anything
    /// new. For a hash, not for people.
    #[must_use]
    pub fn identity(&self) -> String {
        let Self { message, call_id, stream_id, event, status, duration_s, recording_url, .. } = self;
        let mut text = format!("{}\u{1f}{call_id}\u{1f}{stream_id:?}", message.as_str());
        // Writing to a string cannot fail.
        let _ = write!(text, "\u{1f}{event:?}\u{1f}{status:?}\u{1f}{duration_s:?}\u{1f}{recording_url:?}");
        let _ = write!(text, "\u{1f}{:?}\u{1f}{:?}", self.disconnected_by, self.error);
        let _ = write!(text, "\u{1f}{:?}\u{1f}{:?}", self.answered_by, self.legs);
        text
    }
}

/// For finding the number whose proofs count, before anything else of a message is believed or complained of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// The carrier's id of the call.
    pub call_id: Option<String>,
    /// The numbers that may be ours, the likeliest first.
    pub called: Vec<E164>,
}

/// A carrier asks what to do with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The carrier's id of the call, opaque.
    pub call_id: String,
    /// What the request that placed the call was answered with, where that is another id than the call's (Plivo).
    pub request_id: Option<String>,
    /// The carrier's id of the customer, when said.
    pub account_id: Option<String>,
    /// Who calls: a stranger, or we. `None` when withheld or no telephone.
    pub from: Option<E164>,
    /// Who is called: our number, or whom we call.
    pub to: E164,
    /// Who placed the call.
    pub direction: CallDirection,
}

/// The names and words of one carrier.
pub(crate) struct Dialect {
    /// The first is the documented one, for complaints.
    pub(crate) call_id: &'static [&'static str],
    pub(crate) request_id: &'static [&'static str],
    pub(crate) account_id: &'static [&'static str],
    pub(crate) from: &'static [&'static str],
    pub(crate) to: &'static [&'static str],
    pub(crate) direction: &'static [&'static str],
    pub(crate) status: &'static [&'static str],
    pub(crate) duration: &'static [&'static str],
    pub(crate) recording: &'static [&'static str],
    pub(crate) recording_duration: &'static [&'static str],
    pub(crate) ended: &'static [&'static str],
    pub(crate) stream_id: &'static [&'static str],
    pub(crate) event: &'static [&'static str],
    pub(crate) error: &'static [&'static str],
    pub(crate) answered_by: &'static [&'static str],
    pub(crate) parse_number: fn(&str) -> Option<E164>,
    pub(crate) parse_status: fn(&str) -> Option<CallStatus>,
    pub(crate) parse_time: fn(&str) -> Option<DateTime<Utc>>,
    pub(crate) parse_answered_by: fn(&str) -> Option<AnsweredBy>,
}

impl Dialect {
    /// Reads a request for instructions.
    pub(crate) fn arrival(&self, fields: &Fields) -> Result<Arrival, FieldErrors> {
        let mut errors = FieldErrors::default();
        let call_id = call_id(fields, self.call_id, &mut errors);
        let to = fields.first(self.to).and_then(|(name, text)| {
            let number = (self.parse_number)(text);
            if number.is_none() {
                errors.bad(name, "a phone number");
            }
            number
        });
        if fields.first(self.to).is_none() {
            errors.missing(fields.spelled(self.to.first().unwrap_or(&"To")));
        }
        errors.into_result()?;
        let (Some(call_id), Some(to)) = (call_id, to) else { return Err(FieldErrors::default()) };
        let outgoing =
            fields.first(self.direction).is_some_and(|(_, word)| word.to_ascii_lowercase().starts_with("out"));
        Ok(Arrival {
            call_id,
            request_id: text(fields, self.request_id),
            account_id: text(fields, self.account_id),
            from: fields.first(self.from).and_then(|(_, text)| (self.parse_number)(text)),
            to,
            direction: if outgoing { CallDirection::Outgoing } else { CallDirection::Incoming },
        })
    }

    /// Reads a report. A passage ([`Message::Passthru`]) needs the call's id only; what else cannot be read there is
    /// left out. An end without a status was a conversation; a status callback has one, a recording an address.
    pub(crate) fn report(&self, message: Message, fields: &Fields) -> Result<Report, FieldErrors> {
        let mut errors = FieldErrors::default();
        let id = call_id(fields, self.call_id, &mut errors);
        if id.is_none() && message == Message::Passthru {
            return Err(errors);
        }
        let status = self.status(message, fields, &mut errors);
        let duration_names = if message == Message::Recording { self.recording_duration } else { self.duration };
        let duration_s = duration_s(fields, duration_names, &mut errors);
        let recording_url = recording_url(fields, self.recording, &mut errors);
        if message == Message::Recording && fields.first(self.recording).is_none() {
            errors.missing(fields.spelled(self.recording.first().unwrap_or(&"RecordingUrl")));
        }
        if message != Message::Passthru {
            errors.into_result()?;
        }
        let Some(id) = id else { return Err(FieldErrors::default()) };
        let ended_at = || self.ended.iter().find_map(|name| (self.parse_time)(fields.get(name)?));
        Ok(Report {
            stream_id: text(fields, self.stream_id),
            event: text(fields, self.event).map(|word| word.to_ascii_lowercase()),
            status,
            duration_s,
            recording_url,
            ended_at: status.filter(|status| status.is_final()).and_then(|_| ended_at()),
            // A conversation that ended has a cause, too: "Normal Hangup".
            error: text(fields, self.error).filter(|_| status != Some(CallStatus::Completed)),
            answered_by: fields.first(self.answered_by).and_then(|(_, word)| (self.parse_answered_by)(word)),
            ..Report::bare(message, id)
        })
    }

    fn status(&self, message: Message, fields: &Fields, errors: &mut FieldErrors) -> Option<CallStatus> {
        let Some((name, word)) = fields.first(self.status) else {
            match message {
                Message::CallEnd => return Some(CallStatus::Completed),
                Message::Status => errors.missing(fields.spelled(self.status.first().unwrap_or(&"CallStatus"))),
                Message::Passthru | Message::Recording => {}
            }
            return None;
        };
        let status = (self.parse_status)(word);
        // With a recording, the word is about the recording.
        if status.is_none() && message != Message::Recording {
            errors.bad(name, "a call status");
        }
        status
    }

    /// Reads what can be read. Of a call that we placed, our number is the one that calls.
    pub(crate) fn routing(&self, fields: &Fields) -> Routing {
        let mut called: Vec<E164> = Vec::new();
        for name in self.to.iter().chain(self.from) {
            if let Some(number) = fields.get(name).and_then(self.parse_number)
                && !called.contains(&number)
            {
                called.push(number);
            }
        }
        Routing { call_id: call_id(fields, self.call_id, &mut FieldErrors::default()), called }
    }
}

/// The call's id; complains when there is none, or none that an id can be.
pub(crate) fn call_id(fields: &Fields, names: &[&str], errors: &mut FieldErrors) -> Option<String> {
    match fields.first(names) {
        None => {
            errors.missing(fields.spelled(names.first().unwrap_or(&"CallSid")));
            None
        }
        Some((name, id)) if id.len() > ID_BYTES_MAX || !id.chars().all(|c| c.is_ascii_graphic()) => {
            errors.bad(name, "an id of at most 128 printable characters");
            None
        }
        Some((_, id)) => Some(id.to_owned()),
    }
}

/// A free text, cut to what is kept.
pub(crate) fn text(fields: &Fields, names: &[&str]) -> Option<String> {
    fields.first(names).map(|(_, value)| value.chars().take(TEXT_BYTES_MAX / 4).collect())
}

/// Whole seconds: `17`, `"17"`, `17.5`.
pub(crate) fn seconds(text: &str) -> Option<u32> {
    text.trim_matches('"').trim().split('.').next().unwrap_or_default().parse().ok()
}

/// A length; complains when it is there and none.
pub(crate) fn duration_s(fields: &Fields, names: &[&str], errors: &mut FieldErrors) -> Option<u32> {
    let (name, value) = fields.first(names)?;
    let seconds = seconds(value);
    if seconds.is_none() {
        errors.bad(name, "a number of seconds");
    }
    seconds
}

/// A recording's address; complains when it is there and none.
pub(crate) fn recording_url(fields: &Fields, names: &[&str], errors: &mut FieldErrors) -> Option<String> {
    let (name, value) = fields.first(names)?;
    let parsed = url::Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if parsed.is_none() || value.len() > URL_BYTES_MAX {
        errors.bad(name, "an http(s) URL");
        return None;
    }
    Some(value.to_owned())
}

/// A number with its country, with or without the plus: `+14155551234`, `14155551234`. Ten digits are Indian, as
/// everywhere here.
pub(crate) fn international(text: &str) -> Option<E164> {
    let text = text.trim();
    E164::parse(text).ok().or_else(|| {
        let bare = text.len() > 10 && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        bare.then(|| E164::parse(&format!("+{text}")).ok())?
    })
}
