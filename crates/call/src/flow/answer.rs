//! An utterance held against a question.

use super::file::{Ask, Flow, Kind};
use super::run::FlowContext;
use super::value::SlotValue;
use chrono::{Datelike, Days, NaiveDate, NaiveTime};
use language::understand::phone::{PhoneHeard, continue_phone, phone};
use language::understand::yes_no::{YesNo, yes_no};
use language::understand::{Heard, choice, dates, has_phrase, names, numbers, times};
use std::collections::BTreeMap;

/// What the utterance was to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An answer, not yet held against the rules.
    Value(SlotValue),
    /// Some digits of a phone number, all so far.
    Digits(String),
    /// None.
    NotUnderstood,
}

/// Ways to say "the number I am calling from".
const THIS_NUMBER: &[&str] = &[
    "this number",
    "same number",
    "this same number",
    "number i am calling from",
    "yahi number",
    "isi number",
    "यही नंबर",
    "इसी नंबर",
];

pub(super) fn read(ask: &Ask, text: &str, digits_so_far: &str, flow: &Flow, ctx: &FlowContext) -> Answer {
    let value = match ask.kind {
        Kind::Name => names::name(text).map(SlotValue::Name),
        Kind::Phone => {
            return match continue_phone(digits_so_far, text) {
                PhoneHeard::Complete(digits) => Answer::Value(SlotValue::Phone(digits)),
                PhoneHeard::Partial(digits) if digits.len() > digits_so_far.len() => Answer::Digits(digits),
                PhoneHeard::Partial(_) | PhoneHeard::Nothing => {
                    calling_number(text, ctx).map_or(Answer::NotUnderstood, |d| Answer::Value(SlotValue::Phone(d)))
                }
                PhoneHeard::TooMany(_) => Answer::NotUnderstood,
            };
        }
        Kind::Date => dates::date(text, ctx.today).one().map(SlotValue::Date),
        Kind::Time => times::time(text, flow.business.hours).one().map(SlotValue::Time),
        Kind::YesNo => yes_no(text).map(|a| SlotValue::YesNo(a == YesNo::Yes)),
        Kind::Number => numbers::number(text).map(SlotValue::Number),
        Kind::Choice => match choice::choice(text, &ask.options) {
            Heard::One(index) => ask.options.get(index).map(|o| SlotValue::Choice(o.name.clone())),
            Heard::Several | Heard::Impossible | Heard::Nothing => None,
        },
        Kind::Text | Kind::Code | Kind::Money => {
            (!language::understand::plain_words(text).is_empty()).then(|| SlotValue::Text(text.trim().to_owned()))
        }
    };
    value.map_or(Answer::NotUnderstood, Answer::Value)
}

fn calling_number(text: &str, ctx: &FlowContext) -> Option<String> {
    let number = ctx.caller_number.as_ref()?.strip_prefix("+91")?;
    (number.len() == 10 && THIS_NUMBER.iter().any(|p| has_phrase(text, p))).then(|| number.to_owned())
}

/// A value of this kind said beside the answer to another question: only what cannot be mistaken.
pub(super) fn in_passing(kind: Kind, text: &str, flow: &Flow, ctx: &FlowContext) -> Option<SlotValue> {
    match kind {
        Kind::Date => dates::date_in_passing(text, ctx.today).one().map(SlotValue::Date),
        Kind::Time => times::time_in_passing(text, flow.business.hours).one().map(SlotValue::Time),
        Kind::Phone => match phone(text) {
            PhoneHeard::Complete(digits) => Some(SlotValue::Phone(digits)),
            PhoneHeard::Partial(_) | PhoneHeard::TooMany(_) | PhoneHeard::Nothing => None,
        },
        Kind::Name => names::introduced_name(text).map(SlotValue::Name),
        Kind::YesNo | Kind::Number | Kind::Choice | Kind::Text | Kind::Code | Kind::Money => None,
    }
}

/// The spoken refusal of a value that the question does not take.
pub(super) fn refusal<'a>(
    ask: &'a Ask,
    value: &SlotValue,
    slots: &BTreeMap<String, SlotValue>,
    flow: &Flow,
    ctx: &FlowContext,
) -> Option<&'a str> {
    let rules = &ask.accept;
    match value {
        SlotValue::Date(date) => {
            let past = (*date < ctx.today).then_some(rules.not_past.as_deref()).flatten();
            let closed =
                flow.business.closed_on.contains(&date.weekday()).then_some(rules.open_day.as_deref()).flatten();
            past.or(closed).or_else(|| {
                too_far(*date, rules.days_ahead_max, ctx.today).then_some(rules.too_far.as_deref()).flatten()
            })
        }
        SlotValue::Time(time) => {
            let outside = flow.business.hours.is_some_and(|h| !h.contains(*time));
            let outside = outside.then_some(rules.within_hours.as_deref()).flatten();
            outside.or_else(|| {
                over(*time, rules.day_slot.as_deref(), slots, ctx).then_some(rules.not_past.as_deref()).flatten()
            })
        }
        SlotValue::Number(n) => {
            let outside = rules.at_least.is_some_and(|least| *n < least) || rules.at_most.is_some_and(|most| *n > most);
            outside.then_some(rules.out_of_range.as_deref()).flatten()
        }
        SlotValue::Text(_)
        | SlotValue::Name(_)
        | SlotValue::Phone(_)
        | SlotValue::YesNo(_)
        | SlotValue::Choice(_)
        | SlotValue::Code(_)
        | SlotValue::Money(_) => None,
    }
}

fn too_far(date: NaiveDate, days_max: Option<u64>, today: NaiveDate) -> bool {
    days_max.and_then(|days| today.checked_add_days(Days::new(days))).is_some_and(|last| date > last)
}

fn over(time: NaiveTime, day_slot: Option<&str>, slots: &BTreeMap<String, SlotValue>, ctx: &FlowContext) -> bool {
    day_slot.and_then(|slot| slots.get(slot)) == Some(&SlotValue::Date(ctx.today)) && time <= ctx.now
}

/// A text from a tool as the kind it was declared to be; as text when it is not.
pub(super) fn from_tool(kind: Kind, text: String) -> SlotValue {
    match kind {
        Kind::Name => SlotValue::Name(text),
        Kind::Phone => SlotValue::Phone(text),
        Kind::Date => NaiveDate::parse_from_str(&text, "%Y-%m-%d").map_or(SlotValue::Text(text), SlotValue::Date),
        Kind::Time => NaiveTime::parse_from_str(&text, "%H:%M").map_or(SlotValue::Text(text), SlotValue::Time),
        Kind::YesNo => match text.as_str() {
            "yes" | "true" => SlotValue::YesNo(true),
            "no" | "false" => SlotValue::YesNo(false),
            _ => SlotValue::Text(text),
        },
        Kind::Number => text.parse().map_or(SlotValue::Text(text), SlotValue::Number),
        Kind::Choice => SlotValue::Choice(text),
        Kind::Text => SlotValue::Text(text),
        Kind::Code => SlotValue::Code(text),
        Kind::Money => SlotValue::Money(text),
    }
}
