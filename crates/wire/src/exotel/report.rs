//! What Exotel reports of a call that we know: its end, a status, a Passthru applet passed through, a recording. One
//! reading for every message and coding.

use super::webhook::{self, CallEnd, RecordingReady, StatusUpdate};
use crate::fields::{FieldErrors, Fields};
use crate::report::seconds;
use model::{CallStatus, E164};

pub use crate::report::{AnsweredBy, Leg, Message, Report, Routing};

/// Most legs read of one call: one for each side, and two for somebody it was handed to.
pub const LEGS_MAX: usize = 4;

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
        report.of_stream = match message {
            Message::CallEnd | Message::Status => webhook::is_of_stream(fields, webhook::STATUS),
            Message::Passthru => webhook::is_of_stream(fields, webhook::PASSTHRU_STATUS),
            Message::Recording => false,
        };
        report.answered_by = answered_by(fields.get("AnsweredBy"));
        report.legs = legs(fields);
        Ok(report)
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

/// The call's own status, or that of its stream.
fn passthru_status(fields: &Fields, errors: &mut FieldErrors) -> Option<CallStatus> {
    webhook::status(fields, webhook::PASSTHRU_STATUS, errors).or_else(|| {
        let hung_up = fields.get("CallType").is_some_and(|word| word.eq_ignore_ascii_case("client-hangup"));
        hung_up.then_some(CallStatus::Completed)
    })
}

pub(super) fn answered_by(word: Option<&str>) -> Option<AnsweredBy> {
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
    if !fields.has_any_under("legs[") {
        return legs;
    }
    for n in 0..LEGS_MAX {
        let get = |name: &str| {
            fields.get(&format!("Legs[{n}][{name}]")).or_else(|| fields.get(&format!("Legs[{n}][Leg][{name}]")))
        };
        let leg = Leg {
            on_call_s: get("OnCallDuration").and_then(seconds),
            status: get("Status").and_then(webhook::parse_status),
            answered_by: answered_by(get("AnsweredBy")),
        };
        if leg != Leg::default() {
            legs.push(leg);
        }
    }
    legs
}
