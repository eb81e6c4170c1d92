//! The file of a test call. Everything is checked while it is read, so that what is wrong is told with its line.

use crate::rehearsal::{
    ANSWERS_MAX, CallerTurn, KEYS_MAX, ScriptedAnswer, TURN_CHARS_MAX, TURNS_MAX, ToolAnswers, WAIT_MS_MAX, plain_dates,
};
use chrono::{NaiveDate, NaiveDateTime};
use model::{CallDirection, E164, EndedReason};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Longest name of a case, in characters.
const NAME_CHARS_MAX: usize = 120;
/// Longest pattern, in characters.
const PATTERN_CHARS_MAX: usize = 500;
/// Largest pattern once it is made ready, in bytes: classes of letters in all scripts need some 100 KiB.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Most texts of one expectation.
const TEXTS_MAX: usize = 50;
/// Most variables.
const VARIABLES_MAX: usize = 100;
/// How long the caller waits before a turn, ms: what people do.
const PAUSE_MS_DEFAULT: u64 = 300;
/// What a date and time look like.
const TIME_FORMATS: [&str; 4] = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// A test call.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub(super) struct TestFile {
    pub(super) name: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) flow: Option<PathBuf>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) caller_number: Option<E164>,
    pub(super) local_time: NaiveDateTime,
    pub(super) direction: CallDirection,
    pub(super) model: Vec<ScriptedAnswer>,
    pub(super) tools: ToolAnswers,
    pub(super) turns: Vec<Turn>,
    pub(super) end: End,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    agent: Option<String>,
    flow: Option<PathBuf>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    caller_number: Option<E164>,
    #[serde(default)]
    local_time: LocalTime,
    #[serde(default = "incoming")]
    direction: CallDirection,
    #[serde(default)]
    model: Vec<ScriptedAnswer>,
    #[serde(default)]
    tools: ToolAnswers,
    #[serde(default, rename = "turn")]
    turns: Vec<Turn>,
    #[serde(default)]
    end: End,
}

/// What the caller does, and what is expected of the agent then.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawTurn")]
pub(super) struct Turn {
    pub(super) caller: CallerTurn,
    pub(super) expected: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTurn {
    caller: Option<String>,
    caller_language: Option<String>,
    pause_ms: Option<u64>,
    interrupt_after_words: Option<u32>,
    #[serde(default)]
    keys: String,
    #[serde(default)]
    silence_ms: u64,
    #[serde(default)]
    says: Texts,
    #[serde(default)]
    says_any: Texts,
    #[serde(default)]
    says_not: Texts,
    #[serde(default)]
    matches: Patterns,
    #[serde(default)]
    asks_tool: Tools,
    within_ms: Option<u64>,
    language: Option<String>,
}

/// What is expected once the call is over.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "RawEnd")]
pub(super) struct End {
    /// Of the whole call.
    pub(super) expected: Expected,
    /// How it ends.
    pub(super) ends: Option<EndedReason>,
    /// What is collected, by name.
    pub(super) collected: Map<String, Value>,
    /// What a language model is to agree to.
    pub(super) judge: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawEnd {
    says: Texts,
    says_any: Texts,
    says_not: Texts,
    matches: Patterns,
    asks_tool: Tools,
    language: Option<String>,
    ends: Option<EndedReason>,
    collected: Map<String, Value>,
    judge: Texts,
}

/// Expectations of a turn, or of the whole call.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// All of these are said.
    pub(super) says: Vec<String>,
    /// At least one of these is.
    pub(super) says_any: Vec<String>,
    /// None of these is.
    pub(super) says_not: Vec<String>,
    /// What is said matches all of these.
    pub(super) matches: Vec<Regex>,
    /// These tools are asked for.
    pub(super) asks_tool: Vec<ToolExpected>,
    /// The first sound comes within this time.
    pub(super) within_ms: Option<u64>,
    /// The language of the last sentence.
    pub(super) language: Option<String>,
}

/// A tool that is to be asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolExpected {
    pub(super) name: String,
    /// These among others.
    #[serde(default)]
    pub(super) arguments: Map<String, Value>,
}

/// One text, or a list.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
struct Texts(Vec<String>);

/// One pattern, or a list.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Texts")]
struct Patterns(Vec<Regex>);

/// One tool, or a list.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
struct Tools(Vec<ToolExpected>);

/// See [`TIME_FORMATS`].
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
struct LocalTime(NaiveDateTime);

const fn incoming() -> CallDirection {
    CallDirection::Incoming
}

impl Default for LocalTime {
    /// A Monday at eleven: a test must not depend on the day on which it runs.
    fn default() -> Self {
        let monday = NaiveDate::from_ymd_opt(2026, 1, 5).and_then(|day| day.and_hms_opt(11, 0, 0));
        Self(monday.unwrap_or_default())
    }
}

impl TryFrom<Value> for LocalTime {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let value = plain_dates(value);
        let parsed = value
            .as_str()
            .and_then(|text| TIME_FORMATS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok()));
        parsed.map(Self).ok_or_else(|| "`local_time` is a date and time: 2026-11-24T10:00:00".to_owned())
    }
}

fn one_or_more(value: Value) -> Vec<Value> {
    match plain_dates(value) {
        Value::Array(list) => list,
        one => vec![one],
    }
}

impl TryFrom<Value> for Texts {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong = || format!("expected a text of 1 to {TURN_CHARS_MAX} characters, or a list of up to {TEXTS_MAX}");
        let list = one_or_more(value);
        if list.is_empty() || list.len() > TEXTS_MAX {
            return Err(wrong());
        }
        let text = |value: Value| match value {
            Value::String(text) if !text.trim().is_empty() && text.chars().count() <= TURN_CHARS_MAX => Ok(text),
            _ => Err(wrong()),
        };
        Ok(Self(list.into_iter().map(text).collect::<Result<_, _>>()?))
    }
}

impl TryFrom<Texts> for Patterns {
    type Error = String;

    fn try_from(Texts(list): Texts) -> Result<Self, String> {
        let pattern = |text: String| {
            if text.chars().count() > PATTERN_CHARS_MAX {
                return Err(format!("a pattern has at most {PATTERN_CHARS_MAX} characters"));
            }
            let built = RegexBuilder::new(&text).case_insensitive(true).size_limit(PATTERN_BYTES_MAX).build();
            built.map_err(|error| format!("the pattern cannot be used: {error}"))
        };
        Ok(Self(list.into_iter().map(pattern).collect::<Result<_, _>>()?))
    }
}

impl TryFrom<Value> for Tools {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let tool = |value: Value| match value {
            Value::String(name) => Ok(ToolExpected { name, arguments: Map::new() }),
            value => serde_json::from_value(value).map_err(|error| error.to_string()),
        };
        Ok(Self(one_or_more(value).into_iter().map(tool).collect::<Result<_, _>>()?))
    }
}

impl TryFrom<RawTurn> for Turn {
    type Error = String;

    fn try_from(raw: RawTurn) -> Result<Self, String> {
        let at_most = |name: &str, given: u64| {
            if given > WAIT_MS_MAX { Err(format!("`{name}` is at most {WAIT_MS_MAX}")) } else { Ok(given) }
        };
        if raw.caller.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().count() > TURN_CHARS_MAX) {
            return Err(format!("`caller` has 1 to {TURN_CHARS_MAX} characters"));
        }
        let is_key = |key: char| key.is_ascii_digit() || matches!(key, '*' | '#');
        if raw.keys.len() > KEYS_MAX || !raw.keys.chars().all(is_key) {
            return Err(format!("`keys` are up to {KEYS_MAX} of 0-9, * and #"));
        }
        if raw.silence_ms > 0 && (raw.caller.is_some() || !raw.keys.is_empty()) {
            return Err("a turn with `silence_ms` has no `caller` and no `keys`".to_owned());
        }
        if raw.interrupt_after_words == Some(0) {
            return Err("`interrupt_after_words` is at least 1".to_owned());
        }
        if raw.interrupt_after_words.is_some() && (raw.caller.is_none() || raw.pause_ms.is_some()) {
            return Err("`interrupt_after_words` needs `caller`, and no `pause_ms`".to_owned());
        }
        let caller = CallerTurn {
            says: raw.caller,
            language: raw.caller_language,
            pause_ms: at_most("pause_ms", raw.pause_ms.unwrap_or(PAUSE_MS_DEFAULT))?,
            interrupt_after_words: raw.interrupt_after_words,
            keys: raw.keys,
            silence_ms: at_most("silence_ms", raw.silence_ms)?,
        };
        let expected = Expected {
            says: raw.says.0,
            says_any: raw.says_any.0,
            says_not: raw.says_not.0,
            matches: raw.matches.0,
            asks_tool: raw.asks_tool.0,
            within_ms: raw.within_ms,
            language: raw.language,
        };
        Ok(Self { caller, expected })
    }
}

impl TryFrom<RawEnd> for End {
    type Error = String;

    fn try_from(raw: RawEnd) -> Result<Self, String> {
        let Value::Object(collected) = plain_dates(Value::Object(raw.collected)) else {
            return Err("`collected` is a table".to_owned());
        };
        let expected = Expected {
            says: raw.says.0,
            says_any: raw.says_any.0,
            says_not: raw.says_not.0,
            matches: raw.matches.0,
            asks_tool: raw.asks_tool.0,
            within_ms: None,
            language: raw.language,
        };
        Ok(Self { expected, ends: raw.ends, collected, judge: raw.judge.0 })
    }
}

impl TryFrom<Raw> for TestFile {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if raw.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX) {
            return Err(format!("`name` has 1 to {NAME_CHARS_MAX} characters"));
        }
        if raw.agent.is_some() && raw.flow.is_some() {
            return Err("either `agent` or `flow`, not both".to_owned());
        }
        if raw.turns.is_empty() || raw.turns.len() > TURNS_MAX {
            return Err(format!("a test has 1 to {TURNS_MAX} turns: [[turn]]"));
        }
        if raw.turns.iter().skip(1).any(|turn| turn.caller.only_listens()) {
            return Err("a turn needs `caller`, `keys` or `silence_ms`; only the first may just listen".to_owned());
        }
        if raw.variables.len() > VARIABLES_MAX {
            return Err(format!("at most {VARIABLES_MAX} variables"));
        }
        if raw.model.len() > ANSWERS_MAX {
            return Err(format!("`model` has at most {ANSWERS_MAX} answers"));
        }
        Ok(Self {
            name: raw.name,
            agent: raw.agent,
            flow: raw.flow,
            variables: raw.variables,
            caller_number: raw.caller_number,
            local_time: raw.local_time.0,
            direction: raw.direction,
            model: raw.model,
            tools: raw.tools,
            turns: raw.turns,
            end: raw.end,
        })
    }
}

impl TestFile {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, with its line.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        let size = std::fs::metadata(path).map_err(failed)?.len();
        if size > FILE_BYTES_MAX {
            return Err(format!("{} cannot be read: it has more than {FILE_BYTES_MAX} bytes", path.display()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text).map_err(|what| format!("{}: {what}", path.display()))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong with it, with its line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            format!("{place}{}", error.message())
        })
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "flow = 'a.toml'\n";

    #[test]
    fn a_whole_file() {
        let text = "name = 'All'\nagent = 'a.json'\nlocal_time = 2026-11-24T10:00:00\ndirection = 'outgoing'\n\
                    caller_number = '+919876501234'\nmodel = ['Hello.', { text = 'x', after_ms = 5, tools = [{ name = 't' }] }]\n\
                    [variables]\nname = 'Asha'\n[tools.t]\nreturns = { a = 1 }\n\
                    [[turn]]\nsays = 'hello'\n\
                    [[turn]]\ncaller = 'hi'\nsays = ['a', 'b']\nmatches = 'a.b'\nasks_tool = { name = 't', arguments = { day = 2026-11-24 } }\n\
                    within_ms = 500\nlanguage = 'en-IN'\n\
                    [[turn]]\nkeys = '12#'\n[[turn]]\nsilence_ms = 8000\n\
                    [end]\nends = 'agent/completed'\ncollected.day = 2026-11-24\njudge = 'It is polite.'\n";
        let file = TestFile::parse(text).expect("a file");
        assert_eq!((file.turns.len(), file.model.len(), file.direction), (4, 2, CallDirection::Outgoing));
        assert_eq!(file.local_time.to_string(), "2026-11-24 10:00:00");
        assert_eq!(file.turns[1].expected.says, ["a", "b"]);
        assert_eq!(file.turns[1].expected.asks_tool[0].arguments["day"], "2026-11-24");
        assert_eq!(file.end.collected["day"], "2026-11-24");
        assert_eq!(file.end.judge, ["It is polite."]);
        assert_eq!(
            TestFile::parse(&format!("{HEAD}[[turn]]\nsays = 'x'")).expect("a file").local_time.to_string(),
            "2026-01-05 11:00:00"
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, what) in [
            ("[[turn]]\ncallr = 'x'", 3, "unknown field `callr`"),
            ("[[turn]]\ncaller = 5", 3, "expected a string"),
            ("[[turn]]\ncaller = 'x'\nmatches = '('", 4, "the pattern cannot be used"),
            ("[[turn]]\ncaller = 'x'\nmatches = '(\\w{50}){50}'", 4, "the pattern cannot be used"),
            ("[[turn]]\ncaller = 'x'\nsays = ''", 4, "expected a text of 1 to"),
            ("[[turn]]\ncaller = 'x'\nsays = []", 4, "expected a text of 1 to"),
            ("[[turn]]\ncaller = ''", 2, "`caller` has 1 to"),
            ("[[turn]]\nkeys = '12a'", 2, "`keys` are up to"),
            ("[[turn]]\ncaller = 'x'\nsilence_ms = 5", 2, "no `caller`"),
            ("[[turn]]\nsilence_ms = 600001", 2, "at most 600000"),
            ("[[turn]]\ncaller = 'x'\npause_ms = 600001", 2, "at most 600000"),
            ("[[turn]]\ncaller = 'x'\ninterrupt_after_words = 0", 2, "at least 1"),
            ("[[turn]]\ninterrupt_after_words = 2", 2, "needs `caller`"),
            ("[[turn]]\ncaller = 'x'\nasks_tool = { nme = 't' }", 4, "unknown field `nme`"),
            ("local_time = 'noon'\n[[turn]]\nsays = 'x'", 2, "a date and time"),
            ("caller_number = '98'\n[[turn]]\nsays = 'x'", 2, ""),
            ("direction = 'up'\n[[turn]]\nsays = 'x'", 2, ""),
            ("[tools.t]\nretruns = 5\n[[turn]]\nsays = 'x'", 2, "unknown field `retruns`"),
            ("[[turn]]\nsays = 'x'\n[end]\nends = 'agent/done'", 5, ""),
            ("[[turn]]\nsays = 'x'\n[end]\nend = 'x'", 5, "unknown field `end`"),
            ("x = ", 2, ""),
        ] {
            let error = TestFile::parse(&format!("{HEAD}{text}")).expect_err(text);
            assert!(error.starts_with(&format!("line {line}: ")), "{text}: {error}");
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn files_as_a_whole() {
        let many = "[[turn]]\ncaller = 'x'\n".repeat(TURNS_MAX + 1);
        for (text, what) in [
            (String::new(), "1 to 120 turns"),
            (many, "1 to 120 turns"),
            ("agent = 'b'\n[[turn]]\nsays = 'x'".to_owned(), "not both"),
            ("name = ''\n[[turn]]\nsays = 'x'".to_owned(), "`name` has"),
            ("[[turn]]\ncaller = 'x'\n[[turn]]\nsays = 'x'".to_owned(), "only the first may just listen"),
            (format!("model = [{}]\n[[turn]]\nsays = 'x'", "'a',".repeat(ANSWERS_MAX + 1)), "at most 200 answers"),
        ] {
            let error = TestFile::parse(&format!("{HEAD}{text}")).expect_err(&text);
            assert!(error.contains(what), "{text}: {error}");
        }
        assert!(
            TestFile::read(Path::new("/nowhere.toml")).expect_err("no file").contains("/nowhere.toml cannot be read")
        );
    }
}
