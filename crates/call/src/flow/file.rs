//! The flow file as data, and reading it.

use super::{check, read};
use chrono::Weekday;
use language::Tongue;
use language::understand::choice::Named;
use language::understand::times::Hours;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use toml::Table;

/// Largest flow file, in bytes; the agent's configuration that holds it allows 256 KiB.
pub const FLOW_BYTES_MAX: usize = 128 * 1024;
/// Most steps: a manager cannot oversee more.
pub const STEPS_MAX: usize = 200;
/// Most intents: each is compared with every utterance.
pub const INTENTS_MAX: usize = 50;

/// One thing that is wrong with a flow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Where: "step `day`", "[business]", "file".
    pub place: String,
    /// What, and what to do.
    pub what: String,
}

/// Everything that is wrong with a flow file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FlowError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let line_end = if i == 0 { "" } else { "\n" };
            write!(f, "{line_end}{}: {}", problem.place, problem.what)?;
        }
        Ok(())
    }
}

/// A checked flow. Step references are places in [`Flow::steps`].
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Shown to people.
    pub name: String,
    /// What number words are said in.
    pub tongue: Tongue,
    /// Facts.
    pub business: Business,
    /// What is said around the questions.
    pub listening: Listening,
    /// Sentences that are answered wherever they come.
    pub intents: Vec<Intent>,
    /// In the order of the file; the first begins.
    pub steps: Vec<Step>,
}

impl Flow {
    /// The tools its steps name, each as often as it is named.
    pub fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Tool(tool) => Some(tool.name.as_str()),
            Action::Say(_)
            | Action::Ask(_)
            | Action::Confirm(_)
            | Action::Branch(_)
            | Action::Transfer { .. }
            | Action::HangUp(_) => None,
        })
    }
}

/// Facts of the business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Business {
    /// All texts, as `{business.name}`.
    pub facts: BTreeMap<String, String>,
    /// From `opens` and `closes`.
    pub hours: Option<Hours>,
    /// From `closed_on`.
    pub closed_on: Vec<Weekday>,
}

/// What is said around the questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// For a silent caller, one after the other.
    pub reminders: Vec<String>,
    /// When silence or failure ends the call.
    pub goodbye: String,
    /// Before a question is asked again.
    pub not_understood: String,
    /// When the caller gives a phone number in pieces.
    pub go_on: String,
    /// Where a question goes that was not understood too often; else goodbye.
    pub on_fail: Option<usize>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// Whether the caller may interrupt what it says.
    pub interruptible: bool,
    /// What it does.
    pub action: Action,
    /// What follows; `None` after the last.
    pub next: Option<usize>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Says a text.
    Say(String),
    /// Asks for one thing.
    Ask(Box<Ask>),
    /// Reads back and wants yes.
    Confirm(Confirm),
    /// Goes on by the value of a slot.
    Branch(Branch),
    /// Runs a tool.
    Tool(Tool),
    /// Hands the call to a person.
    Transfer {
        /// Number or queue.
        to: String,
        /// Said before.
        say: Option<String>,
    },
    /// Ends the call with a text.
    HangUp(String),
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The question.
    pub text: String,
    /// Where the answer goes.
    pub slot: String,
    /// What kind of answer.
    pub kind: Kind,
    /// For [`Kind::Choice`].
    pub options: Vec<Named>,
    /// Said instead of the question when an answer was not understood, one after the other.
    pub retry: Vec<String>,
    /// Not understood this often: `on_fail`.
    pub retries_max: u64,
    /// Where to go then.
    pub on_fail: Option<usize>,
    /// Said when a phone number is given in pieces.
    pub go_on: Option<String>,
    /// Which answers are taken.
    pub accept: Accept,
}

/// Kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A person's name.
    Name,
    /// Ten digits.
    Phone,
    /// A day.
    Date,
    /// A time of day.
    Time,
    /// Yes or no.
    YesNo,
    /// A whole number.
    Number,
    /// One of `options`.
    Choice,
    /// Anything.
    Text,
    /// Only what tools give: letters and digits.
    Code,
    /// Only what tools give: rupees.
    Money,
}

impl Kind {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "name" => Self::Name,
            "phone" => Self::Phone,
            "date" => Self::Date,
            "time" => Self::Time,
            "yes-no" => Self::YesNo,
            "number" => Self::Number,
            "choice" => Self::Choice,
            "text" => Self::Text,
            "code" => Self::Code,
            "money" => Self::Money,
            _ => return None,
        })
    }
}

/// Which answers a question takes. Each text is the spoken refusal: what is wrong, and the question again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// A date from today on; a time not yet over when `day_slot` is today.
    pub not_past: Option<String>,
    /// A day the business is open.
    pub open_day: Option<String>,
    /// A time within opening hours.
    pub within_hours: Option<String>,
    /// A date at most so many days ahead.
    pub days_ahead_max: Option<u64>,
    /// Refusal for it.
    pub too_far: Option<String>,
    /// Smallest number.
    pub at_least: Option<u64>,
    /// Largest number.
    pub at_most: Option<u64>,
    /// Refusal for both.
    pub out_of_range: Option<String>,
    /// The slot with the day a time belongs to.
    pub day_slot: Option<String>,
}

/// A thing to choose, as written in the file.
pub type Choice = Named;

/// Reads back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// What is read back, ending in a question.
    pub text: String,
    /// After no.
    pub no: Option<usize>,
    /// Said when neither was understood.
    pub retry: Vec<String>,
    /// As for a question.
    pub retries_max: u64,
    /// As for a question.
    pub on_fail: Option<usize>,
}

/// A fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The slot looked at.
    pub slot: String,
    /// Plain value → step.
    pub when: BTreeMap<String, usize>,
    /// For every other value; else `next`.
    pub otherwise: Option<usize>,
}

/// A tool to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Templates.
    pub arguments: BTreeMap<String, String>,
    /// What it gives, by name.
    pub gives: BTreeMap<String, Kind>,
    /// After success; else `next`.
    pub on_success: Option<usize>,
    /// After failure.
    pub on_failure: Option<usize>,
    /// Said while it runs.
    pub while_waiting: Option<String>,
}

/// A sentence that is answered wherever it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its id.
    pub id: String,
    /// Words to look for.
    pub phrases: Vec<String>,
    /// Said.
    pub say: Option<String>,
    /// Done.
    pub action: IntentAction,
}

/// What an intent does after its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentAction {
    /// Asks the open question again.
    Return,
    /// Goes to a step.
    Goto(usize),
    /// Says the last question again.
    Repeat,
    /// Keeps listening.
    Wait,
}

impl Flow {
    /// Reads a flow file.
    ///
    /// # Errors
    /// [`FlowError`] with everything that is wrong.
    pub fn parse(text: &str) -> Result<Self, FlowError> {
        let one = |what: String| FlowError { problems: vec![Problem { place: "file".into(), what }] };
        if text.len() > FLOW_BYTES_MAX {
            return Err(one(format!("the file is larger than {FLOW_BYTES_MAX} bytes: shorten it or split the flow")));
        }
        let table: Table = toml::from_str(text).map_err(|e: toml::de::Error| one(format!("not TOML: {e}")))?;
        let mut problems = Vec::new();
        let flow = read::read_flow(table, &mut problems);
        if problems.is_empty() {
            check::check(&flow, &mut problems);
        }
        if problems.is_empty() { Ok(flow) } else { Err(FlowError { problems }) }
    }

    /// The place of a step.
    #[must_use]
    pub fn step_named(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|s| s.id == id)
    }
}
