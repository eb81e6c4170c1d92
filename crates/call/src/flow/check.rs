//! What a flow file must be beyond its syntax: every name known, every step reachable, no loop without a question.

use super::file::{Action, Flow, Kind, Problem};
use super::render;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(flow: &Flow, problems: &mut Vec<Problem>) {
    let slots = known_slots(flow, problems);
    templates(flow, &slots, problems);
    for step in &flow.steps {
        let mut say = |what: String| problems.push(Problem { place: format!("step `{}`", step.id), what });
        match &step.action {
            Action::Ask(ask) => {
                let rules = &ask.accept;
                let date_rule = rules.open_day.is_some() || rules.days_ahead_max.is_some();
                if date_rule && ask.kind != Kind::Date {
                    say("`open_day` and `days_ahead_max` are rules for a date: remove them".into());
                }
                if rules.within_hours.is_some() && ask.kind != Kind::Time {
                    say("`within_hours` is a rule for a time: remove it".into());
                }
                if rules.within_hours.is_some() && flow.business.hours.is_none() {
                    say("`within_hours` needs `opens` and `closes` in [business]".into());
                }
                if rules.out_of_range.is_some() && ask.kind != Kind::Number {
                    say("`at_least` and `at_most` are rules for a number: remove them".into());
                }
                match (&rules.not_past, ask.kind, &rules.day_slot) {
                    (Some(_), Kind::Time, None) => {
                        say("`not_past` of a time needs `day_slot`: the slot with its day".into())
                    }
                    (Some(_), Kind::Date | Kind::Time, _) | (None, _, None) => {}
                    (Some(_), _, _) => say("`not_past` is a rule for a date or a time: remove it".into()),
                    (None, _, Some(_)) => say("`day_slot` belongs to `not_past`".into()),
                }
                if let Some(day) = rules.day_slot.as_ref().filter(|d| slots.get(*d) != Some(&Kind::Date)) {
                    say(format!("`day_slot` names `{day}`, which is no date slot"));
                }
            }
            Action::Branch(branch) if !slots.contains_key(&branch.slot) => {
                say(format!("branches on slot `{}`, which no step fills", branch.slot));
            }
            Action::Say(_)
            | Action::Confirm(_)
            | Action::Branch(_)
            | Action::Tool(_)
            | Action::Transfer { .. }
            | Action::HangUp(_) => {}
        }
    }
    reachable(flow, problems);
    loops(flow, problems);
}

/// Slots that some step fills, with their kind.
fn known_slots(flow: &Flow, problems: &mut Vec<Problem>) -> BTreeMap<String, Kind> {
    let mut slots: BTreeMap<String, Kind> = BTreeMap::new();
    for step in &flow.steps {
        let filled: Vec<(String, Kind)> = match &step.action {
            Action::Ask(ask) => vec![(ask.slot.clone(), ask.kind)],
            Action::Tool(tool) => tool.gives.iter().map(|(name, kind)| (name.clone(), *kind)).collect(),
            Action::Say(_) | Action::Confirm(_) | Action::Branch(_) | Action::Transfer { .. } | Action::HangUp(_) => {
                Vec::new()
            }
        };
        for (slot, kind) in filled {
            if slots.insert(slot.clone(), kind).is_some_and(|before| before != kind) {
                problems.push(Problem {
                    place: format!("step `{}`", step.id),
                    what: format!("fills slot `{slot}` with another kind than an earlier step: rename the slot"),
                });
            }
        }
    }
    slots
}

fn templates(flow: &Flow, slots: &BTreeMap<String, Kind>, problems: &mut Vec<Problem>) {
    let mut all: Vec<(String, &str)> = Vec::new();
    let listening = &flow.listening;
    for text in listening.reminders.iter().chain([&listening.goodbye, &listening.not_understood, &listening.go_on]) {
        all.push(("[listening]".into(), text));
    }
    for intent in &flow.intents {
        all.extend(intent.say.iter().map(|t| (format!("intent `{}`", intent.id), t.as_str())));
    }
    for step in &flow.steps {
        let place = || format!("step `{}`", step.id);
        match &step.action {
            Action::Say(text) | Action::HangUp(text) => all.push((place(), text)),
            Action::Ask(ask) => {
                let rules = &ask.accept;
                let refusals = [
                    &rules.not_past,
                    &rules.open_day,
                    &rules.within_hours,
                    &rules.too_far,
                    &rules.out_of_range,
                    &ask.go_on,
                ];
                all.push((place(), &ask.text));
                all.extend(ask.retry.iter().chain(refusals.into_iter().flatten()).map(|t| (place(), t.as_str())));
            }
            Action::Confirm(confirm) => {
                all.push((place(), &confirm.text));
                all.extend(confirm.retry.iter().map(|t| (place(), t.as_str())));
            }
            Action::Tool(tool) => {
                all.extend(tool.arguments.values().chain(&tool.while_waiting).map(|t| (place(), t.as_str())));
            }
            Action::Transfer { to, say } => {
                all.push((place(), to));
                all.extend(say.iter().map(|t| (place(), t.as_str())));
            }
            Action::Branch(_) => {}
        }
    }
    for (place, text) in all {
        let names = match render::names(text) {
            Ok(names) => names,
            Err(near) => {
                problems.push(Problem { place, what: format!("a brace does not close near `{{{near}`") });
                continue;
            }
        };
        for name in names {
            // Which variables a call has is known when it is placed.
            if name.starts_with("call.") {
                continue;
            }
            let known = match name.strip_prefix("business.") {
                Some(fact) => flow.business.facts.contains_key(fact),
                None => matches!(name.as_str(), "today" | "caller_number") || slots.contains_key(&name),
            };
            if !known {
                problems.push(Problem {
                    place: place.clone(),
                    what: format!("uses {{{name}}}, which no step fills and [business] does not have"),
                });
            }
        }
    }
}

/// Steps that may follow a step at once.
fn followers(flow: &Flow, at: usize) -> Vec<usize> {
    let Some(step) = flow.steps.get(at) else { return Vec::new() };
    let mut out: Vec<usize> = Vec::new();
    match &step.action {
        Action::Say(_) => out.extend(step.next),
        Action::Ask(ask) => out.extend(step.next.into_iter().chain(ask.on_fail)),
        Action::Confirm(confirm) => out.extend(step.next.into_iter().chain(confirm.no).chain(confirm.on_fail)),
        Action::Branch(branch) => {
            out.extend(branch.when.values());
            out.extend(branch.otherwise.or(step.next));
        }
        Action::Tool(tool) => out.extend(tool.on_success.or(step.next).into_iter().chain(tool.on_failure)),
        Action::Transfer { .. } | Action::HangUp(_) => {}
    }
    out
}

fn reachable(flow: &Flow, problems: &mut Vec<Problem>) {
    use super::file::IntentAction;
    let mut open: Vec<usize> = vec![0];
    open.extend(flow.listening.on_fail);
    open.extend(flow.intents.iter().filter_map(|i| match i.action {
        IntentAction::Goto(step) => Some(step),
        IntentAction::Return | IntentAction::Repeat | IntentAction::Wait => None,
    }));
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        if seen.insert(at) {
            open.extend(followers(flow, at));
        }
    }
    for (at, step) in flow.steps.iter().enumerate() {
        if !seen.contains(&at) {
            problems.push(Problem {
                place: format!("step `{}`", step.id),
                what: "can never be reached: name it in a `next`, or remove it".into(),
            });
        }
    }
}

/// Steps without a question that come round to themselves would talk for ever.
fn loops(flow: &Flow, problems: &mut Vec<Problem>) {
    let waits = |at: usize| flow.steps.get(at).is_none_or(|s| matches!(s.action, Action::Ask(_) | Action::Confirm(_)));
    for (start, step) in flow.steps.iter().enumerate() {
        if waits(start) {
            continue;
        }
        let mut seen = BTreeSet::new();
        let mut open = followers(flow, start);
        let mut round = false;
        while let Some(at) = open.pop() {
            if at == start {
                round = true;
                break;
            }
            if !waits(at) && seen.insert(at) {
                open.extend(followers(flow, at));
            }
        }
        if round {
            problems.push(Problem {
                place: format!("step `{}`", step.id),
                what: "comes round to itself without a question on the way: put an `ask` or `confirm` into the loop"
                    .into(),
            });
        }
    }
}
