//! What happened in a rehearsal.

use model::EndedReason;
use serde_json::{Map, Value};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// When, ms since the media began.
    pub at_ms: u64,
    /// What.
    pub what: Happened,
}

/// See [`Event`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Happened {
    /// The caller spoke.
    Caller {
        /// What was said.
        text: String,
    },
    /// The caller pressed keys.
    Keys {
        /// Which.
        keys: String,
    },
    /// The agent was to say a sentence.
    Agent {
        /// All of it.
        intended: String,
        /// What the caller heard of it.
        heard: String,
        /// BCP 47 tag of its language.
        language: String,
        /// When its sound began; none: never.
        began_ms: Option<u64>,
    },
    /// The agent pressed keys.
    AgentKeys {
        /// Which.
        keys: String,
    },
    /// A tool was asked for.
    Tool(ToolAsked),
    /// The caller was handed to this number.
    Transferred {
        /// Whose.
        to: String,
    },
    /// Something else worth telling: an interruption, an answer taken back.
    Note {
        /// In words.
        text: String,
    },
    /// Something did not go as the script needs it: the case cannot pass.
    Trouble {
        /// In words.
        text: String,
    },
}

/// A tool that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolAsked {
    /// Which.
    pub name: String,
    /// With what.
    pub arguments: Map<String, Value>,
    /// What it gave back, or why it failed; none before it has.
    pub outcome: Option<Result<String, String>>,
}

/// Everything that happened in a rehearsal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// In the order of time.
    pub events: Vec<Event>,
    /// For each turn of the script that was reached: where its events begin.
    pub turns: Vec<TurnSeen>,
    /// What was collected.
    pub collected: Value,
    /// How the call ended.
    pub ended: Option<EndedReason>,
    /// Length of the call, ms.
    pub duration_ms: u64,
}

/// Where a turn of the script stands among the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TurnSeen {
    /// Index of its first event.
    pub first: usize,
    /// From when on its answer is waited for: when the caller's voice, or the last key, was over.
    pub over_ms: u64,
}

impl Seen {
    /// Events that belong to a turn: up to the next one, or all that follow. Empty when it was not reached.
    pub(crate) fn of_turn(&self, turn: usize) -> &[Event] {
        let Some(from) = self.turns.get(turn) else { return &[] };
        let to = self.turns.get(turn + 1).map_or(self.events.len(), |next| next.first);
        self.events.get(from.first..to).unwrap_or_default()
    }

    /// Time from the end of what the caller did to the first sound of the agent in this turn, ms.
    pub(crate) fn answered_after_ms(&self, turn: usize) -> Option<u64> {
        let over = self.turns.get(turn)?.over_ms;
        first_sound(self.of_turn(turn)).map(|began| began.saturating_sub(over))
    }

    /// What stands in the way of a verdict.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|event| {
            let Happened::Trouble { text } = &event.what else { return None };
            Some(text.as_str())
        })
    }
}

/// The sentences of the agent that were heard, whole or in part: what was heard, and the language.
fn sentences(events: &[Event]) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    events.iter().filter_map(|event| {
        let Happened::Agent { heard, language, began_ms: Some(_), .. } = &event.what else { return None };
        Some((heard.as_str(), language.as_str()))
    })
}

fn first_sound(events: &[Event]) -> Option<u64> {
    events.iter().find_map(|event| match &event.what {
        Happened::Agent { began_ms, .. } => *began_ms,
        Happened::AgentKeys { .. } => Some(event.at_ms),
        Happened::Caller { .. }
        | Happened::Keys { .. }
        | Happened::Tool(_)
        | Happened::Transferred { .. }
        | Happened::Note { .. }
        | Happened::Trouble { .. } => None,
    })
}

/// What the caller heard of the agent in these events, as one text.
pub(crate) fn heard(events: &[Event]) -> String {
    joined(sentences(events).map(|(heard, _)| heard))
}

/// What the agent was going to say in these events, as one text: all of it, as soon as anything was heard.
pub(crate) fn intended(events: &[Event]) -> String {
    if sentences(events).next().is_none() {
        return String::new();
    }
    joined(events.iter().filter_map(|event| {
        let Happened::Agent { intended, .. } = &event.what else { return None };
        Some(intended.as_str())
    }))
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The language of the last sentence heard in these events.
pub(crate) fn language(events: &[Event]) -> Option<&str> {
    sentences(events).next_back().map(|(_, language)| language)
}

/// The tools asked for in these events.
pub(crate) fn tools(events: &[Event]) -> impl Iterator<Item = &ToolAsked> {
    events.iter().filter_map(|event| {
        let Happened::Tool(tool) = &event.what else { return None };
        Some(tool)
    })
}

impl Event {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let at = self.at_ms as f64 / 1_000.0;
        match &self.what {
            Happened::Caller { text } => format!("{at:>7.2} s  caller  {text}"),
            Happened::Keys { keys } => format!("{at:>7.2} s  caller  presses {keys}"),
            Happened::Agent { intended, began_ms: None, .. } => {
                format!("{at:>7.2} s  agent   (never heard) {intended}")
            }
            Happened::Agent { intended, heard, .. } if intended == heard => format!("{at:>7.2} s  agent   {heard}"),
            Happened::Agent { intended, heard, .. } => {
                format!("{at:>7.2} s  agent   {heard} … (cut; was to say: {intended})")
            }
            Happened::AgentKeys { keys } => format!("{at:>7.2} s  agent   presses {keys}"),
            Happened::Tool(tool) => {
                let outcome = match &tool.outcome {
                    Some(Ok(text)) => format!("→ {text}"),
                    Some(Err(why)) => format!("failed: {why}"),
                    None => "(no outcome)".to_owned(),
                };
                format!("{at:>7.2} s  tool    {} {} {outcome}", tool.name, Value::Object(tool.arguments.clone()))
            }
            Happened::Transferred { to } => format!("{at:>7.2} s          handed to {to}"),
            Happened::Note { text } => format!("{at:>7.2} s          ({text})"),
            Happened::Trouble { text } => format!("{at:>7.2} s  !       {text}"),
        }
    }
}
