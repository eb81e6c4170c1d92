//! Fills `{slots}` into texts.

use super::file::Flow;
use super::run::FlowContext;
use super::value::SlotValue;
use chrono::NaiveTime;
use language::dates;
use std::collections::BTreeMap;

/// The names in braces of a template; `Err` with the place of a brace that does not close.
pub(super) fn names(template: &str) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let tail = rest.get(open + 1..).unwrap_or_default();
        let Some(close) = tail.find('}') else {
            return Err(tail.chars().take(20).collect());
        };
        out.push(tail.get(..close).unwrap_or_default().trim().to_owned());
        rest = tail.get(close + 1..).unwrap_or_default();
    }
    Ok(out)
}

/// Replaces every name by what `value` gives; unknown names vanish.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (head, tail) = rest.split_at(open);
        out.push_str(head);
        let Some(close) = tail.find('}') else {
            rest = "";
            break;
        };
        out.push_str(&value(tail.get(1..close).unwrap_or_default().trim()));
        rest = tail.get(close + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// A text for the caller's ear: slots and facts as words, no digit left.
pub(super) fn spoken(template: &str, flow: &Flow, slots: &BTreeMap<String, SlotValue>, ctx: &FlowContext) -> String {
    let filled = fill(template, |name| {
        if let Some(fact) = name.strip_prefix("business.") {
            let fact = flow.business.facts.get(fact).cloned().unwrap_or_default();
            return match NaiveTime::parse_from_str(&fact, "%H:%M") {
                Ok(time) => dates::time(time, flow.tongue),
                Err(_) => fact,
            };
        }
        if let Some(variable) = name.strip_prefix("call.") {
            return ctx.variables.get(variable).cloned().unwrap_or_default();
        }
        match name {
            "today" => dates::date(ctx.today, flow.tongue),
            "caller_number" => {
                ctx.caller_number.as_deref().map(|n| language::numbers::phone(n, flow.tongue)).unwrap_or_default()
            }
            _ => slots.get(name).map(|v| v.spoken(flow.tongue)).unwrap_or_default(),
        }
    });
    language::speakable(&filled, flow.tongue)
}

/// A text for a machine: dates as `2026-11-24`, times as `10:00`.
pub(super) fn plain(template: &str, flow: &Flow, slots: &BTreeMap<String, SlotValue>, ctx: &FlowContext) -> String {
    fill(template, |name| {
        if let Some(fact) = name.strip_prefix("business.") {
            return flow.business.facts.get(fact).cloned().unwrap_or_default();
        }
        if let Some(variable) = name.strip_prefix("call.") {
            return ctx.variables.get(variable).cloned().unwrap_or_default();
        }
        match name {
            "today" => ctx.today.format("%Y-%m-%d").to_string(),
            "caller_number" => ctx.caller_number.clone().unwrap_or_default(),
            _ => slots.get(name).map(SlotValue::plain).unwrap_or_default(),
        }
    })
}
