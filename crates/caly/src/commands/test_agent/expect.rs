//! Is what happened what was expected?

use super::file::{End, Expected, ToolExpected, Turn};
use super::likeness::{same, stands_in};
use crate::rehearsal::{Event, Seen, heard, language, tools_asked};
use call::flow::SlotValue;
use model::{AgentConfig, ToolConfig};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// An expectation that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// In which turn, from 0; none: at the end.
    pub(super) turn: Option<usize>,
    /// What differed.
    pub(super) what: String,
}

/// Everything that did not hold.
pub(super) fn check(turns: &[Turn], end: &End, agent: &AgentConfig, seen: &Seen) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (at, turn) in turns.iter().enumerate() {
        let mut fail = |what: String| failures.push(Failure { turn: Some(at), what });
        if seen.turns.get(at).is_none() {
            if !turn.expected.is_empty() {
                fail("the call was over before it".to_owned());
            }
            continue;
        }
        check_events(&turn.expected, seen.of_turn(at), &mut fail);
        if let Some(limit) = turn.expected.within_ms {
            match seen.answered_after_ms(at) {
                Some(after) if after <= limit => {}
                Some(after) => fail(format!("answered after {after} ms, expected within {limit} ms")),
                None => fail(format!("no answer, expected one within {limit} ms")),
            }
        }
    }
    let mut fail = |what: String| failures.push(Failure { turn: None, what });
    check_events(&end.expected, &seen.events, &mut fail);
    if let (Some(wanted), Some(ended)) = (end.ends, seen.ended)
        && wanted != ended
    {
        fail(format!("ended {}, expected {}", ended.as_str(), wanted.as_str()));
    }
    check_collected(&end.collected, &collected(agent, seen), "collected", &mut fail);
    // The same trouble twice (a call asks a failing model again) is told once.
    let troubles: BTreeSet<&str> = seen.troubles().collect();
    for trouble in troubles {
        fail(trouble.to_owned());
    }
    failures
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("«{text}»")).collect::<Vec<_>>().join(", ")
}

fn check_events(expected: &Expected, events: &[Event], fail: &mut impl FnMut(String)) {
    let said = heard(events);
    let shown = if said.is_empty() { "nothing was said".to_owned() } else { format!("said: {said}") };
    for wanted in expected.says.iter().filter(|wanted| !stands_in(wanted, &said)) {
        fail(format!("expected «{wanted}»; {shown}"));
    }
    if !expected.says_any.is_empty() && !expected.says_any.iter().any(|wanted| stands_in(wanted, &said)) {
        fail(format!("expected one of {}; {shown}", quoted(&expected.says_any)));
    }
    for unwanted in expected.says_not.iter().filter(|unwanted| stands_in(unwanted, &said)) {
        fail(format!("«{unwanted}» must not be said; {shown}"));
    }
    for pattern in expected.matches.iter().filter(|pattern| !pattern.is_match(&said)) {
        fail(format!("expected a match of /{pattern}/; {shown}"));
    }
    for tool in &expected.asks_tool {
        check_tool(tool, events, fail);
    }
    if let Some(wanted) = &expected.language {
        match language(events) {
            Some(spoken) if same_language(wanted, spoken) => {}
            Some(spoken) => fail(format!("spoke {spoken}, expected {wanted}")),
            None => fail(format!("expected {wanted}; nothing was said")),
        }
    }
}

/// `hi` is any Hindi, `hi-IN` that of India.
fn same_language(wanted: &str, spoken: &str) -> bool {
    let of_it = spoken.get(wanted.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    of_it && spoken.get(..wanted.len()).is_some_and(|head| head.eq_ignore_ascii_case(wanted))
}

fn check_tool(wanted: &ToolExpected, events: &[Event], fail: &mut impl FnMut(String)) {
    let asked: Vec<_> = tools_asked(events).collect();
    let of_name: Vec<_> = asked.iter().filter(|tool| tool.name == wanted.name).collect();
    if of_name.is_empty() {
        let others: Vec<String> = asked.iter().map(|tool| tool.name.clone()).collect();
        let shown =
            if others.is_empty() { "no tool was".to_owned() } else { format!("asked for: {}", quoted(&others)) };
        fail(format!("the tool «{}» was not asked for; {shown}", wanted.name));
        return;
    }
    let fits = |given: &Map<String, Value>| {
        wanted.arguments.iter().all(|(name, value)| given.get(name).is_some_and(|given| same_value(value, given)))
    };
    if !of_name.iter().any(|tool| fits(&tool.arguments)) {
        let given: Vec<String> = of_name.iter().map(|tool| Value::Object(tool.arguments.clone()).to_string()).collect();
        let (name, expected) = (&wanted.name, Value::Object(wanted.arguments.clone()));
        fail(format!("the tool «{name}» was asked for with {}, expected {expected}", given.join(", ")));
    }
}

/// Texts by the rules of texts; a number is the same as a text or as a number.
fn same_value(wanted: &Value, given: &Value) -> bool {
    match (wanted, given) {
        (Value::String(wanted), Value::String(given)) => same(wanted, given),
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            *text == number.to_string()
        }
        (Value::Object(wanted), Value::Object(given)) => {
            wanted.iter().all(|(name, value)| given.get(name).is_some_and(|given| same_value(value, given)))
        }
        (Value::Array(wanted), Value::Array(given)) => {
            wanted.len() == given.len() && wanted.iter().zip(given).all(|(wanted, given)| same_value(wanted, given))
        }
        (wanted, given) => wanted == given,
    }
}

/// What a call leaves behind: the answers of a flow, plain, and what tools of the kind `record` were given, by name.
fn collected(agent: &AgentConfig, seen: &Seen) -> Map<String, Value> {
    let mut data = Map::new();
    for tool in tools_asked(&seen.events) {
        if agent.tools.get(&tool.name) == Some(&ToolConfig::Record) && matches!(tool.outcome, Some(Ok(_))) {
            data.insert(tool.name.clone(), Value::Object(tool.arguments.clone()));
        }
    }
    data.extend(plain_slots(&seen.collected));
    data
}

/// The answers of a flow as text: `2026-11-24`, `10:00`.
pub(crate) fn plain_slots(collected: &Value) -> Map<String, Value> {
    let Value::Object(slots) = collected else { return Map::new() };
    let plain = |value: &Value| match serde_json::from_value::<SlotValue>(value.clone()) {
        Ok(slot) => Value::String(slot.plain()),
        Err(_) => value.clone(),
    };
    slots.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}

fn check_collected(wanted: &Map<String, Value>, given: &Map<String, Value>, path: &str, fail: &mut impl FnMut(String)) {
    for (name, value) in wanted {
        match (value, given.get(name)) {
            (Value::Object(wanted), Some(Value::Object(given))) => {
                check_collected(wanted, given, &format!("{path}.{name}"), fail);
            }
            (wanted, Some(given)) if same_value(wanted, given) => {}
            (wanted, Some(given)) => fail(format!("{path}.{name} is {given}, expected {wanted}")),
            (wanted, None) => fail(format!("{path}.{name} is not there, expected {wanted}")),
        }
    }
}

impl Expected {
    fn is_empty(&self) -> bool {
        self.says.is_empty()
            && self.says_any.is_empty()
            && self.says_not.is_empty()
            && self.matches.is_empty()
            && self.asks_tool.is_empty()
            && self.within_ms.is_none()
            && self.language.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn languages_by_their_first_part() {
        for (wanted, spoken, want) in [
            ("hi", "hi-IN", true),
            ("hi-IN", "hi-IN", true),
            ("HI", "hi", true),
            ("h", "hi-IN", false),
            ("en", "hi-IN", false),
        ] {
            assert_eq!(same_language(wanted, spoken), want, "{wanted} {spoken}");
        }
    }

    #[test]
    fn values_of_arguments() {
        for (wanted, given, want) in [
            (json!("Asha"), json!("asha"), true),
            (json!(5), json!("5"), true),
            (json!("5"), json!(5), true),
            (json!(5), json!(5), true),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), true),
            (json!({"a": 1}), json!({"b": 2}), false),
            (json!([1]), json!([1, 2]), false),
            (json!(true), json!("true"), false),
        ] {
            assert_eq!(same_value(&wanted, &given), want, "{wanted} {given}");
        }
    }
}
