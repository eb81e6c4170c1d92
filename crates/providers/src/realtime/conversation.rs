//! The conversation as the vendor holds it, made to agree with what was really said and heard. Pure.

use crate::language_model::{Message, ToolCall};

/// Utterances that the call may have taken together into one turn.
const MERGED_MAX: usize = 6;

/// One thing that was said or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// The caller said it.
    Caller(String),
    /// The agent said it.
    Agent(String),
    /// The model asked for a function.
    Call(ToolCall),
    /// What it gave back.
    Result { id: String, name: String, text: String },
}

/// The conversation of a prompt, piece by piece.
pub(super) fn units(messages: &[Message]) -> Vec<Unit> {
    let mut units = Vec::new();
    for message in messages {
        match message {
            Message::Caller(text) => units.push(Unit::Caller(text.clone())),
            Message::Agent { text, tool_calls } => {
                if !text.trim().is_empty() {
                    units.push(Unit::Agent(text.clone()));
                }
                units.extend(tool_calls.iter().cloned().map(Unit::Call));
            }
            Message::ToolResult { id, name, text } => {
                units.push(Unit::Result { id: id.clone(), name: name.clone(), text: text.clone() });
            }
        }
    }
    units
}

/// What has to be done, in the order of the conversation wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// So many of what is held, from there on, are as wanted.
    Keep { at: usize, count: usize },
    /// What is held was heard only as far as is wanted: this share of it, in thousandths.
    Cut { at: usize, wanted: usize, share: u32 },
    /// What is held was never said.
    Delete { at: usize },
    /// What is wanted is not held.
    Create { wanted: usize },
}

/// Letters and digits only: what counts when two texts are the same words.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

enum Fit {
    Same(usize),
    Heard(u32),
    No,
}

fn fit(held: &[Unit], wanted: &Unit) -> Fit {
    let Some(first) = held.first() else { return Fit::No };
    match (first, wanted) {
        (Unit::Caller(_), Unit::Caller(text)) => {
            let (want, mut have) = (plain(text), String::new());
            for (count, unit) in held.iter().take(MERGED_MAX).enumerate() {
                let Unit::Caller(said) = unit else { break };
                have.push_str(&plain(said));
                if have == want {
                    return Fit::Same(count + 1);
                }
            }
            Fit::No
        }
        (Unit::Agent(said), Unit::Agent(heard)) => {
            let (said, heard) = (plain(said), plain(heard));
            if said == heard {
                Fit::Same(1)
            } else if !heard.is_empty() && said.starts_with(&heard) {
                let share = heard.chars().count() * 1_000 / said.chars().count().max(1);
                Fit::Heard(u32::try_from(share).unwrap_or(1_000))
            } else {
                Fit::No
            }
        }
        (Unit::Call(held), Unit::Call(wanted)) if held.id == wanted.id => Fit::Same(1),
        (Unit::Result { id: held, .. }, Unit::Result { id: wanted, .. }) if held == wanted => Fit::Same(1),
        (Unit::Caller(_) | Unit::Agent(_) | Unit::Call(_) | Unit::Result { .. }, _) => Fit::No,
    }
}

/// From what is held to what is wanted.
pub(super) fn edits(held: &[Unit], wanted: &[Unit]) -> Vec<Edit> {
    let (mut edits, mut next) = (Vec::new(), 0);
    for (index, unit) in wanted.iter().enumerate() {
        let found = (next..held.len()).find_map(|at| match fit(&held[at..], unit) {
            Fit::Same(count) => Some((at, count, None)),
            Fit::Heard(share) => Some((at, 1, Some(share))),
            Fit::No => None,
        });
        let Some((at, count, share)) = found else {
            edits.push(Edit::Create { wanted: index });
            continue;
        };
        edits.extend((next..at).map(|at| Edit::Delete { at }));
        edits.push(share.map_or(Edit::Keep { at, count }, |share| Edit::Cut { at, wanted: index, share }));
        next = at + count;
    }
    edits.extend((next..held.len()).map(|at| Edit::Delete { at }));
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn caller(text: &str) -> Unit {
        Unit::Caller(text.into())
    }

    fn agent(text: &str) -> Unit {
        Unit::Agent(text.into())
    }

    fn call(id: &str) -> Unit {
        Unit::Call(ToolCall { id: id.into(), name: "book".into(), arguments: "{}".into() })
    }

    #[test]
    fn the_conversation_is_made_to_agree() {
        let keep = |at, count| Edit::Keep { at, count };
        for (name, held, wanted, want) in [
            ("nothing", vec![], vec![], vec![]),
            (
                "a new connection",
                vec![],
                vec![caller("a"), agent("b")],
                vec![Edit::Create { wanted: 0 }, Edit::Create { wanted: 1 }],
            ),
            (
                "as it was said",
                vec![caller("Where is it?"), agent("Here.")],
                vec![caller("where is it"), agent("Here")],
                vec![keep(0, 1), keep(1, 1)],
            ),
            (
                "two utterances, one turn",
                vec![caller("where"), caller("is it")],
                vec![caller("Where is it?")],
                vec![keep(0, 2)],
            ),
            (
                "interrupted",
                vec![agent("one two three four")],
                vec![agent("one two")],
                vec![Edit::Cut { at: 0, wanted: 0, share: 400 }],
            ),
            (
                "never heard",
                vec![caller("a"), agent("b"), caller("c")],
                vec![caller("a"), caller("c")],
                vec![keep(0, 1), Edit::Delete { at: 1 }, keep(2, 1)],
            ),
            ("a cough", vec![caller("hm"), caller("a")], vec![caller("a")], vec![Edit::Delete { at: 0 }, keep(1, 1)]),
            (
                "the greeting",
                vec![caller("a")],
                vec![agent("Welcome"), caller("a")],
                vec![Edit::Create { wanted: 0 }, keep(0, 1)],
            ),
            (
                "a function",
                vec![call("1")],
                vec![call("1"), Unit::Result { id: "1".into(), name: "n".into(), text: "t".into() }],
                vec![keep(0, 1), Edit::Create { wanted: 1 }],
            ),
            (
                "a function of another answer",
                vec![call("1")],
                vec![call("2")],
                vec![Edit::Create { wanted: 0 }, Edit::Delete { at: 0 }],
            ),
        ] {
            assert_eq!(edits(&held, &wanted), want, "{name}");
        }
    }

    #[test]
    fn a_prompt_is_taken_apart() {
        let messages = [
            Message::Caller("a".into()),
            Message::Agent {
                text: " ".into(),
                tool_calls: vec![ToolCall { id: "1".into(), name: "book".into(), arguments: "{}".into() }],
            },
            Message::ToolResult { id: "1".into(), name: "book".into(), text: "done".into() },
            Message::agent("b"),
        ];
        let result = Unit::Result { id: "1".into(), name: "book".into(), text: "done".into() };
        assert_eq!(units(&messages), [caller("a"), call("1"), result, agent("b")]);
    }

    proptest! {
        /// Everything held is kept, cut or deleted once; everything wanted is kept, cut or created once, in order.
        #[test]
        fn nothing_is_forgotten(held in prop::collection::vec(0u8..6, 0..12), wanted in prop::collection::vec(0u8..6, 0..12)) {
            let make = |n: &u8| if n.is_multiple_of(2) { caller(&format!("{n} x")) } else { agent(&format!("{n} x")) };
            let (held, wanted): (Vec<_>, Vec<_>) = (held.iter().map(make).collect(), wanted.iter().map(make).collect());
            let (mut seen, mut made, mut last) = (vec![0; held.len()], 0, None);
            for edit in edits(&held, &wanted) {
                match edit {
                    Edit::Keep { at, count } => { (at..at + count).for_each(|at| seen[at] += 1); made += 1; }
                    Edit::Cut { at, .. } => { seen[at] += 1; made += 1; }
                    Edit::Delete { at } => seen[at] += 1,
                    Edit::Create { wanted } => { prop_assert!(last.is_none_or(|last| last < wanted)); last = Some(wanted); made += 1; }
                }
            }
            prop_assert!(seen.iter().all(|n| *n == 1));
            prop_assert_eq!(made, wanted.len());
        }
    }
}
