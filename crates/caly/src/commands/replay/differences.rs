//! What is different between a past call and the same caller with another agent.

use super::words::{Side, compare, marked};
use crate::commands::test_agent::plain_slots;
use crate::rehearsal::{Event, Happened, Seen, intended, tools_asked};
use crate::terminal::{bold, coloured, dim};
use language::words::normalize;
use model::{Blame, EndedReason};
use serde_json::{Map, Value, json};

/// How an answer compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Changed,
    Added,
    Gone,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Same, Self::Changed, Self::Added, Self::Gone];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Gone => "gone",
        }
    }

    fn of(same: bool, old_empty: bool, new_empty: bool) -> Self {
        match (same, old_empty, new_empty) {
            (true, ..) => Self::Same,
            (false, true, false) => Self::Added,
            (false, false, true) => Self::Gone,
            (false, true, true) | (false, false, false) => Self::Changed,
        }
    }
}

/// What the agent said and asked for after one turn of the caller.
#[derive(Clone, Debug, Default, PartialEq)]
struct Answer {
    text: String,
    tools: Vec<String>,
}

/// One turn of the caller with both answers.
#[derive(Clone, Debug)]
struct Exchange {
    /// What the caller did; none: the beginning of the call.
    caller: Option<String>,
    old: Answer,
    new: Answer,
    said: Verdict,
    tools: Verdict,
}

/// Everything that is different, and what is not.
pub(super) struct Differences {
    exchanges: Vec<Exchange>,
    collected: Vec<(String, Value, Value)>,
    ended: (Option<EndedReason>, Option<EndedReason>),
    ended_same: bool,
    troubles: Vec<String>,
}

fn answers(seen: &Seen) -> Vec<(Option<String>, Answer)> {
    let first = seen.turns.first().map_or(seen.events.len(), |turn| turn.first);
    let opening = seen.events.get(..first).unwrap_or_default();
    let mut all = vec![(None, answer(opening))];
    all.extend((0..seen.turns.len()).map(|turn| {
        let events = seen.of_turn(turn);
        (Some(callers(events)), answer(events))
    }));
    all
}

fn callers(events: &[Event]) -> String {
    let parts: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.what {
            Happened::Caller { text } => Some(text.clone()),
            Happened::Keys { keys } => Some(format!("presses {keys}")),
            Happened::Agent { .. }
            | Happened::AgentKeys { .. }
            | Happened::Tool(_)
            | Happened::Transferred { .. }
            | Happened::Note { .. }
            | Happened::Trouble { .. } => None,
        })
        .collect();
    if parts.is_empty() { "(says nothing)".to_owned() } else { parts.join("; ") }
}

fn answer(events: &[Event]) -> Answer {
    let tools = tools_asked(events).map(|tool| format!("{} {}", tool.name, Value::Object(tool.arguments.clone())));
    Answer { text: intended(events), tools: tools.collect() }
}

/// The end that the agent, or its provider, decided; an end from outside says nothing about the agent.
fn decided(reason: Option<EndedReason>) -> Option<EndedReason> {
    reason.filter(|reason| match reason.blame() {
        Blame::Agent | Blame::Provider => true,
        Blame::Caller | Blame::Carrier | Blame::Operator | Blame::Caly => false,
    })
}

impl Differences {
    /// `compare_tools`: which tools were asked for is known of both.
    pub(super) fn between(old: &Seen, new: &Seen, compare_tools: bool) -> Self {
        let (mut before, mut after) = (answers(old).into_iter(), answers(new).into_iter());
        let mut exchanges = Vec::new();
        loop {
            let (was, is) = (before.next(), after.next());
            if was.is_none() && is.is_none() {
                break;
            }
            let caller = was.as_ref().or(is.as_ref()).and_then(|(caller, _)| caller.clone());
            let (_, old) = was.unwrap_or_default();
            let (_, new) = is.unwrap_or_default();
            let same_words = normalize(&old.text) == normalize(&new.text);
            let said = Verdict::of(same_words, old.text.is_empty(), new.text.is_empty());
            let same_tools = !compare_tools || old.tools == new.tools;
            let tools = Verdict::of(same_tools, old.tools.is_empty(), new.tools.is_empty());
            exchanges.push(Exchange { caller, old, new, said, tools });
        }
        Self {
            exchanges,
            collected: changed_values(&plain_slots(&old.collected), &plain_slots(&new.collected)),
            ended: (old.ended, new.ended),
            ended_same: decided(old.ended) == decided(new.ended),
            troubles: new.troubles().map(str::to_owned).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let same = |exchange: &Exchange| exchange.said == Verdict::Same && exchange.tools == Verdict::Same;
        self.exchanges.iter().all(same) && self.collected.is_empty() && self.ended_same && self.troubles.is_empty()
    }

    /// Lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, exchange) in self.exchanges.iter().enumerate() {
            exchange.lines(at, &mut lines);
        }
        for (name, old, new) in &self.collected {
            lines.push(format!("{} {}: was {old}, is {new}", bold("collected"), name));
        }
        let word = |reason: Option<EndedReason>| reason.map_or("(not yet)", EndedReason::as_str);
        let (old, new) = self.ended;
        let ended = if self.ended_same { "same   " } else { "changed" };
        lines.push(format!("{} {ended} was {}, is {}", bold("ended"), word(old), word(new)));
        lines.extend(self.troubles.iter().map(|trouble| format!("{} {trouble}", bold("trouble"))));
        let counts = Verdict::ALL.map(|verdict| format!("{} {}", self.count(verdict), verdict.as_str()));
        lines.push(format!("answers: {}", counts.join(", ")));
        lines
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.exchanges.iter().filter(|exchange| exchange.said == verdict).count()
    }

    pub(super) fn json(&self) -> Value {
        let word = |reason: Option<EndedReason>| reason.map(EndedReason::as_str);
        let exchanges: Vec<Value> = self.exchanges.iter().map(Exchange::json).collect();
        let collected: Vec<Value> =
            self.collected.iter().map(|(name, old, new)| json!({ "name": name, "old": old, "new": new })).collect();
        json!({
            "same": self.is_empty(),
            "turns": exchanges,
            "collected": collected,
            "ended": { "same": self.ended_same, "old": word(self.ended.0), "new": word(self.ended.1) },
            "troubles": self.troubles,
        })
    }
}

fn changed_values(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<(String, Value, Value)> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    let value = |of: &Map<String, Value>, name: &str| of.get(name).cloned().unwrap_or(Value::Null);
    names
        .into_iter()
        .map(|name| (name.clone(), value(old, name), value(new, name)))
        .filter(|(_, old, new)| old != new)
        .collect()
}

impl Exchange {
    fn lines(&self, at: usize, lines: &mut Vec<String>) {
        let who = self.caller.as_ref().map_or_else(|| "(the call begins)".to_owned(), |text| format!("caller: {text}"));
        lines.push(format!("{at:>3} {}", bold(&who)));
        let word = self.said.as_str();
        match self.said {
            Verdict::Same => lines.push(format!("    {word:<7} {}", dim(&self.new.text))),
            Verdict::Added => lines.push(format!("    {word:<7} + {}", coloured("32", &self.new.text))),
            Verdict::Gone => lines.push(format!("    {word:<7} - {}", coloured("31", &self.old.text))),
            Verdict::Changed => {
                let runs = compare(&self.old.text, &self.new.text);
                let (was, is) = (marked(&runs, Side::Old, "[-", "-]"), marked(&runs, Side::New, "{+", "+}"));
                lines.push(format!("    {word:<7} - {}", coloured("31", &was)));
                lines.push(format!("            + {}", coloured("32", &is)));
            }
        }
        if self.tools != Verdict::Same {
            lines.extend(self.old.tools.iter().map(|tool| format!("    tools   - {}", coloured("31", tool))));
            lines.extend(self.new.tools.iter().map(|tool| format!("    tools   + {}", coloured("32", tool))));
        }
    }

    fn json(&self) -> Value {
        let words: Vec<Value> = compare(&self.old.text, &self.new.text)
            .into_iter()
            .map(|(side, text)| {
                let side = match side {
                    Side::Both => "both",
                    Side::Old => "old",
                    Side::New => "new",
                };
                json!({ "in": side, "text": text })
            })
            .collect();
        json!({
            "caller": self.caller,
            "answer": self.said.as_str(),
            "old": self.old.text,
            "new": self.new.text,
            "words": words,
            "tools": { "verdict": self.tools.as_str(), "old": self.old.tools, "new": self.new.tools },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::TurnSeen;

    fn seen(opening: &str, exchanges: &[(&str, &str)], ended: EndedReason) -> Seen {
        let mut seen = Seen { ended: Some(ended), ..Seen::default() };
        let agent = |text: &str| Event {
            at_ms: 0,
            what: Happened::Agent {
                intended: text.to_owned(),
                heard: text.to_owned(),
                language: String::new(),
                began_ms: (!text.is_empty()).then_some(0),
            },
        };
        seen.events.push(agent(opening));
        for (caller, answer) in exchanges {
            seen.turns.push(TurnSeen { first: seen.events.len(), over_ms: 0 });
            seen.events.push(Event { at_ms: 0, what: Happened::Caller { text: (*caller).to_owned() } });
            seen.events.push(agent(answer));
        }
        seen
    }

    #[test]
    fn every_verdict() {
        let old = seen("Hello.", &[("a", "One two."), ("b", "Three."), ("c", "")], EndedReason::AgentCompleted);
        let new = seen("HELLO!", &[("a", "One four."), ("b", ""), ("c", "Five.")], EndedReason::CallerHungUp);
        let differences = Differences::between(&old, &new, true);
        let verdicts: Vec<Verdict> = differences.exchanges.iter().map(|exchange| exchange.said).collect();
        assert_eq!(verdicts, [Verdict::Same, Verdict::Changed, Verdict::Gone, Verdict::Added]);
        assert!(!differences.ended_same && !differences.is_empty());
        let text = differences.lines().join("\n");
        for want in ["- One [-two.-]", "+ One {+four.+}", "was agent/completed, is caller/hung-up"] {
            assert!(text.contains(want), "{want}: {text}");
        }
        assert!(Differences::between(&old, &old, true).is_empty());
    }

    #[test]
    fn ends_from_outside_are_no_difference() {
        let old = seen("Hello.", &[], EndedReason::CarrierLost);
        let new = seen("Hello.", &[], EndedReason::CallerHungUp);
        assert!(Differences::between(&old, &new, true).is_empty());
    }

    #[test]
    fn a_call_that_was_shorter() {
        let old = seen("Hello.", &[("a", "One."), ("b", "Two.")], EndedReason::AgentCompleted);
        let new = seen("Hello.", &[("a", "One.")], EndedReason::AgentCompleted);
        let differences = Differences::between(&old, &new, true);
        assert_eq!(differences.count(Verdict::Gone), 1);
        assert_eq!(differences.json()["turns"][2]["caller"], "b");
    }
}
