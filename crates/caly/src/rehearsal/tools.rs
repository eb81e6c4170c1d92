//! What tools give back in a rehearsal. Nothing outside is ever asked.

use call::ToolOutput;
use model::{AgentConfig, ToolConfig};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};

/// Most answers of one tool.
const ANSWERS_MAX: usize = 50;
/// Most tools with answers.
pub(crate) const TOOLS_MAX: usize = 100;
/// The reference that a tool of the kind `record` gives back when nothing else is said.
const REFERENCE: &str = "A2C4";
/// How the TOML reader hands over a date to what knows none.
const TOML_DATE: &str = "$__toml_private_datetime";

/// What a tool does when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ToolAnswer {
    /// What it gives back: a text, or values by name.
    pub returns: Option<Value>,
    /// Or why it fails.
    pub fails: Option<String>,
    /// How long it takes, ms.
    pub after_ms: u64,
    /// Or what it gave back once.
    #[serde(skip)]
    pub recorded: Option<ToolOutput>,
}

/// The answers of a tool, one after the other; the last one counts for all that follow.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
struct Answers(Vec<ToolAnswer>);

impl TryFrom<Value> for Answers {
    type Error = String;

    // Not an untagged choice: that would only say that nothing fits, and not what is misspelt.
    fn try_from(value: Value) -> Result<Self, String> {
        let one = |value| serde_json::from_value(value).map_err(|error| error.to_string());
        match plain_dates(value) {
            Value::Array(several) => Ok(Self(several.into_iter().map(one).collect::<Result<_, _>>()?)),
            value => Ok(Self(vec![one(value)?])),
        }
    }
}

/// TOML's dates and times as text: JSON has none.
pub(crate) fn plain_dates(value: Value) -> Value {
    match value {
        Value::Object(fields) => match fields.get(TOML_DATE) {
            Some(Value::String(text)) => Value::String(text.clone()),
            _ => Value::Object(fields.into_iter().map(|(name, value)| (name, plain_dates(value))).collect()),
        },
        Value::Array(list) => Value::Array(list.into_iter().map(plain_dates).collect()),
        other => other,
    }
}

/// Answers by the name of the tool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Answers>")]
pub(crate) struct ToolAnswers {
    by_name: BTreeMap<String, VecDeque<Expected>>,
}

/// An answer, and to which arguments it belongs if that matters.
#[derive(Clone, Debug)]
struct Expected {
    arguments: Option<Map<String, Value>>,
    answer: ToolAnswer,
}

impl TryFrom<BTreeMap<String, Answers>> for ToolAnswers {
    type Error = String;

    fn try_from(given: BTreeMap<String, Answers>) -> Result<Self, String> {
        if given.len() > TOOLS_MAX {
            return Err(format!("more than {TOOLS_MAX} tools"));
        }
        let mut answers = Self::default();
        for (name, Answers(list)) in given {
            if list.is_empty() || list.len() > ANSWERS_MAX {
                return Err(format!("the tool «{name}» needs 1 to {ANSWERS_MAX} answers"));
            }
            for answer in list {
                answer.check().map_err(|what| format!("the tool «{name}»: {what}"))?;
                answers.add(&name, None, answer);
            }
        }
        Ok(answers)
    }
}

impl ToolAnswer {
    fn check(&self) -> Result<(), String> {
        match (&self.returns, &self.fails) {
            (Some(_), Some(_)) => Err("either `returns` or `fails`, not both".to_owned()),
            (None, None) => Err("it needs `returns` or `fails`".to_owned()),
            (Some(_), None) | (None, Some(_)) if self.after_ms > super::WAIT_MS_MAX => {
                Err(format!("`after_ms` is at most {}", super::WAIT_MS_MAX))
            }
            (Some(_), None) | (None, Some(_)) => Ok(()),
        }
    }

    /// As the call is told it.
    pub(crate) fn outcome(&self) -> Result<ToolOutput, String> {
        if let Some(why) = &self.fails {
            return Err(why.clone());
        }
        if let Some(output) = &self.recorded {
            return Ok(output.clone());
        }
        Ok(match &self.returns {
            Some(Value::String(text)) => ToolOutput { text: text.clone(), values: BTreeMap::new() },
            Some(value) => ToolOutput { text: value.to_string(), values: scalars(value) },
            None => ToolOutput::default(),
        })
    }
}

/// What a flow can use: values at the top that are no lists or objects, as text.
fn scalars(value: &Value) -> BTreeMap<String, String> {
    let Value::Object(fields) = value else { return BTreeMap::new() };
    fields.iter().filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl ToolAnswers {
    /// Adds an answer; with arguments it is given to a call with the same ones before any other.
    pub(crate) fn add(&mut self, name: &str, arguments: Option<Map<String, Value>>, answer: ToolAnswer) {
        self.by_name.entry(name.to_owned()).or_default().push_back(Expected { arguments, answer });
    }

    /// Answers that replace those of the same tools here.
    pub(crate) fn override_with(&mut self, other: Self) {
        self.by_name.extend(other.by_name);
    }

    /// What the tool does now. `None`: nobody said it.
    pub(crate) fn next(
        &mut self,
        agent: &AgentConfig,
        name: &str,
        arguments: &Map<String, Value>,
    ) -> Option<ToolAnswer> {
        if let Some(answers) = self.by_name.get_mut(name).filter(|answers| !answers.is_empty()) {
            let same = answers.iter().position(|expected| expected.arguments.as_ref() == Some(arguments)).unwrap_or(0);
            if answers.len() == 1 {
                return answers.front().map(|expected| expected.answer.clone());
            }
            return answers.remove(same).map(|expected| expected.answer);
        }
        match agent.tools.get(name)? {
            ToolConfig::Record => {
                let returns = Value::Object(Map::from_iter([("reference".to_owned(), REFERENCE.into())]));
                Some(ToolAnswer { returns: Some(returns), ..ToolAnswer::default() })
            }
            ToolConfig::Http(_)
            | ToolConfig::Mcp(_)
            | ToolConfig::EndCall(_)
            | ToolConfig::TransferCall(_)
            | ToolConfig::SendDtmf(_)
            | ToolConfig::CollectDtmf(_)
            | ToolConfig::Voicemail(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentConfig {
        serde_json::from_value(serde_json::json!({
            "brain": {"kind": "flow", "text": "x"},
            "tools": {"keep": {"kind": "record"}, "ask": {"kind": "http", "description": "d", "url": "https://a.example/"}},
        }))
        .expect("an agent")
    }

    fn read(text: &str) -> Result<ToolAnswers, toml::de::Error> {
        #[derive(Deserialize)]
        struct File {
            tools: ToolAnswers,
        }
        toml::from_str::<File>(text).map(|file| file.tools)
    }

    #[test]
    fn answers_come_in_turn_and_the_last_one_stays() {
        let text = "[[tools.ask]]\nfails = 'busy'\n[[tools.ask]]\nreturns = { status = 'packed', due = 0, list = [1] }";
        let mut answers = read(text).expect("answers");
        let none = Map::new();
        let outcomes: Vec<_> = (0..3)
            .map(|_| answers.next(&agent(), "ask", &none).expect("an answer").outcome().map(|output| output.values))
            .collect();
        let packed = BTreeMap::from([("status".to_owned(), "packed".to_owned()), ("due".to_owned(), "0".to_owned())]);
        assert_eq!(outcomes, [Err("busy".to_owned()), Ok(packed.clone()), Ok(packed)]);
        let reference = answers.next(&agent(), "keep", &none).expect("recorded").outcome().expect("it works");
        assert_eq!(reference.values["reference"], REFERENCE);
        assert_eq!(answers.next(&agent(), "nobody", &none), None);
    }

    #[test]
    fn an_answer_with_the_same_arguments_comes_first() {
        let mut answers = ToolAnswers::default();
        let arguments = |order: &str| Map::from_iter([("order".to_owned(), Value::from(order))]);
        for order in ["1", "2", "3"] {
            let answer = ToolAnswer { returns: Some(order.into()), ..ToolAnswer::default() };
            answers.add("ask", Some(arguments(order)), answer);
        }
        let mut texts = |order| {
            let answer = answers.next(&agent(), "ask", &arguments(order)).expect("an answer");
            answer.outcome().expect("it works").text
        };
        assert_eq!(["2", "9", "3"].map(&mut texts), ["2", "1", "3"]);
    }

    #[test]
    fn answers_that_are_none_are_refused() {
        for (text, want) in [
            ("[tools.a]\nreturns = 'x'\nfails = 'y'", "not both"),
            ("[tools.a]\nafter_ms = 5", "needs `returns` or `fails`"),
            ("[tools.a]\nreturns = 'x'\nafter_ms = 600001", "at most 600000"),
            ("[tools]\na = []", "needs 1 to"),
            ("[tools.a]\nretruns = 'x'", "unknown field `retruns`"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
