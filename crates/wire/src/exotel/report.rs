//! What Exotel reports of a call that we know: its end, a status, a Passthru applet passed through, a recording. One
//! reading for every message and coding; what makes two of them the same report is [`Report::identity`].

use super::webhook::{self, CallEnd, DisconnectedBy, RecordingReady, StatusUpdate};
use crate::fields::{FieldErrors, Fields};
use chrono::{DateTime, Utc};
use model::{CallStatus, E164};
use std::fmt::Write as _;

/// Most legs read of one call: one for each side, and two for somebody it was handed to.
pub const LEGS_MAX: usize = 4;

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

impl Report {
    /// Reads a message.
    ///
    /// # Errors
    /// All missing and unusable fields. Of a Passthru only the call's id can be missing or unusable: what else cannot
    /// be read there is left out.
    pub fn read(message: Message, fields: &Fields) -> Result<Self, FieldErrors> {
        let mut report = match message {
            Message::CallEnd => Self::of_end(message, CallEnd::read(fields)?),
            Message::Status => {
                let update = StatusUpdate::read(fields)?;
                Self { event: update.event, ..Self::of_end(message, update.end) }
            }
            Message::Passthru => Self::of_passthru(fields)?,
            Message::Recording => Self::of_recording(fields)?,
        };
        report.answered_by = answered_by(fields.get("AnsweredBy"));
        report.legs = legs(fields);
        Ok(report)
    }

    fn bare(message: Message, call_id: String) -> Self {
        Self {
            message,
            call_id,
            stream_id: None,
            event: None,
            status: None,
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

    fn of_end(message: Message, end: CallEnd) -> Self {
        Self {
            stream_id: end.stream_id,
            status: Some(end.status),
            duration_s: end.duration_s,
            recording_url: end.recording_url,
            recording_available_at: end.recording_available_at,
            ended_at: end.ended_at,
            disconnected_by: end.disconnected_by,
            error: end.error,
            ..Self::bare(message, end.call_id)
        }
    }

    fn of_recording(fields: &Fields) -> Result<Self, FieldErrors> {
        let ready = RecordingReady::read(fields)?;
        Ok(Self {
            duration_s: ready.duration_s,
            recording_url: Some(ready.recording_url),
            recording_available_at: webhook::recording_available_at(fields),
            ..Self::bare(Message::Recording, ready.call_id)
        })
    }

    fn of_passthru(fields: &Fields) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let Some(call_id) = webhook::call_id(fields, &mut errors) else { return Err(errors) };
        // What is noted here from now on is dropped.
        let status = passthru_status(fields, &mut errors);
        Ok(Self {
            stream_id: webhook::stream_id(fields),
            event: webhook::event(fields),
            status,
            duration_s: webhook::duration_s(fields, &mut errors),
            recording_url: webhook::recording_url(fields, &mut errors),
            recording_available_at: webhook::recording_available_at(fields),
            ended_at: status.filter(|status| status.is_final()).and_then(|_| webhook::ended_at(fields)),
            disconnected_by: webhook::disconnected_by(fields),
            error: webhook::stream_error(fields),
            ..Self::bare(Message::Passthru, call_id)
        })
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

impl Routing {
    /// Reads what can be read.
    #[must_use]
    pub fn read(fields: &Fields) -> Self {
        let mut called: Vec<E164> = Vec::new();
        for name in webhook::CALLED {
            if let Some(number) = fields.get(name).and_then(|text| E164::parse(text).ok())
                && !called.contains(&number)
            {
                called.push(number);
            }
        }
        Self { call_id: webhook::call_id(fields, &mut FieldErrors::default()), called }
    }
}

/// The call's own status, or that of its stream. `Status` and `DialCallStatus` are those of an agent who was dialled.
fn passthru_status(fields: &Fields, errors: &mut FieldErrors) -> Option<CallStatus> {
    webhook::status(fields, &["CallStatus", "Stream[Status]"], errors).or_else(|| {
        let hung_up = fields.get("CallType").is_some_and(|word| word.eq_ignore_ascii_case("client-hangup"));
        hung_up.then_some(CallStatus::Completed)
    })
}

fn answered_by(word: Option<&str>) -> Option<AnsweredBy> {
    match word?.to_ascii_lowercase().as_str() {
        "human" => Some(AnsweredBy::Human),
        "machine" => Some(AnsweredBy::Machine),
        "notsure" | "not-sure" | "not_sure" => Some(AnsweredBy::NotSure),
        _ => None,
    }
}

/// `Legs[0][OnCallDuration]`, or with one step more between, as the call details have it.
fn legs(fields: &Fields) -> Vec<Leg> {
    let mut legs = Vec::new();
    for n in 0..LEGS_MAX {
        let get = |name: &str| {
            fields.get(&format!("Legs[{n}][{name}]")).or_else(|| fields.get(&format!("Legs[{n}][Leg][{name}]")))
        };
        let leg = Leg {
            on_call_s: get("OnCallDuration").and_then(webhook::seconds),
            status: get("Status").and_then(webhook::parse_status),
            answered_by: answered_by(get("AnsweredBy")),
        };
        if leg != Leg::default() {
            legs.push(leg);
        }
    }
    legs
}
