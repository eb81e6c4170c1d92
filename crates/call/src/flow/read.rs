//! Reads the tables of a flow file into its types.

use super::file::{
    Accept, Action, Ask, Branch, Business, Confirm, Flow, INTENTS_MAX, Intent, IntentAction, Kind, Listening, Problem,
    STEPS_MAX, Step, Tool,
};
use super::table::Reader;
use chrono::{NaiveTime, Weekday};
use language::Tongue;
use language::understand::choice::Named;
use language::understand::times::Hours;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Questions are repeated so often unless the step says otherwise.
const RETRIES_MAX_DEFAULT: u64 = 2;
/// More repetitions of a question are no help to anybody.
const RETRIES_MAX_MAX: u64 = 10;

pub(super) fn read_flow(table: Table, problems: &mut Vec<Problem>) -> Flow {
    let mut top = Reader::new(table, "file", problems);
    let name = top.required_text("name");
    let language = top.text("language").unwrap_or_else(|| "en-IN".into());
    let tongue = Tongue::from_tag(&language).unwrap_or_else(|| {
        top.problem(format!("language `{language}` is not known: write en-IN or hi-IN"));
        Tongue::English
    });
    let business = top.table("business").unwrap_or_default();
    let listening = top.table("listening").unwrap_or_default();
    let mut intents = top.tables("intent");
    let mut steps = top.tables("step");
    if steps.is_empty() {
        top.problem("there is no step: add [[step]]");
    }
    if steps.len() > STEPS_MAX {
        top.problem(format!("{} steps are too many: at most {STEPS_MAX}", steps.len()));
        steps.truncate(STEPS_MAX);
    }
    if intents.len() > INTENTS_MAX {
        top.problem(format!("{} intents are too many: at most {INTENTS_MAX}", intents.len()));
        intents.truncate(INTENTS_MAX);
    }
    top.finish();
    let ids = step_ids(&steps, problems);
    Flow {
        name,
        tongue,
        business: read_business(business, problems),
        listening: read_listening(listening, tongue, &ids, problems),
        intents: intents.into_iter().enumerate().map(|(i, t)| read_intent(i, t, &ids, problems)).collect(),
        steps: steps.into_iter().enumerate().map(|(i, t)| read_step(i, t, &ids, problems)).collect(),
    }
}

fn step_ids(steps: &[Table], problems: &mut Vec<Problem>) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for (i, step) in steps.iter().enumerate() {
        let id = match step.get("id") {
            Some(Value::String(id)) if !id.is_empty() => id.clone(),
            _ => {
                problems.push(Problem {
                    place: format!("step {}", i + 1),
                    what: "`id` is missing: write id = \"…\"".into(),
                });
                continue;
            }
        };
        if ids.insert(id.clone(), i).is_some() {
            problems.push(Problem {
                place: format!("step `{id}`"),
                what: "there are two steps with this id: rename one".into(),
            });
        }
    }
    ids
}

/// Reads the key as a step's id.
fn goto(reader: &mut Reader<'_>, key: &str, ids: &BTreeMap<String, usize>) -> Option<usize> {
    let id = reader.text(key)?;
    let found = ids.get(&id).copied();
    if found.is_none() {
        let known: Vec<&str> = ids.keys().map(String::as_str).collect();
        reader.problem(format!("`{key}` names step `{id}`, which does not exist: use one of {}", known.join(", ")));
    }
    found
}

fn read_business(table: Table, problems: &mut Vec<Problem>) -> Business {
    let mut reader = Reader::new(table.clone(), "[business]", problems);
    let mut facts = BTreeMap::new();
    let mut closed_on = Vec::new();
    for day in reader.texts("closed_on") {
        match day.parse::<Weekday>() {
            Ok(day) => closed_on.push(day),
            Err(_) => reader.problem(format!("`closed_on` has `{day}`: write English weekdays, such as \"Sunday\"")),
        }
    }
    for key in table.keys().filter(|k| *k != "closed_on") {
        if let Some(text) = reader.text(key) {
            facts.insert(key.clone(), text);
        }
    }
    let mut clock = |key: &str| {
        let text = facts.get(key)?;
        let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
        if time.is_none() {
            reader.problem(format!("`{key}` is `{text}`: write a time such as \"09:00\""));
        }
        time
    };
    let (opens, closes) = (clock("opens"), clock("closes"));
    let hours = match (opens, closes) {
        (Some(opens), Some(closes)) if opens < closes => Some(Hours { opens, closes }),
        (Some(_), Some(_)) => {
            reader.problem("`closes` must be later than `opens`");
            None
        }
        (Some(_), None) | (None, Some(_)) | (None, None) => None,
    };
    reader.finish();
    Business { facts, hours, closed_on }
}

fn read_listening(
    table: Table,
    tongue: Tongue,
    ids: &BTreeMap<String, usize>,
    problems: &mut Vec<Problem>,
) -> Listening {
    let mut reader = Reader::new(table, "[listening]", problems);
    let [goodbye, not_understood, go_on] = match tongue {
        Tongue::English => ["Goodbye.", "Sorry, I did not get that.", "Go on, please."],
        Tongue::Hindi => ["नमस्ते।", "माफ़ कीजिए, मैं समझ नहीं पाया।", "जी, आगे बताइए।"],
    };
    let listening = Listening {
        reminders: reader.texts("reminders"),
        goodbye: reader.text("goodbye").unwrap_or_else(|| goodbye.into()),
        not_understood: reader.text("not_understood").unwrap_or_else(|| not_understood.into()),
        go_on: reader.text("go_on").unwrap_or_else(|| go_on.into()),
        on_fail: goto(&mut reader, "on_fail", ids),
    };
    reader.finish();
    listening
}

fn read_intent(index: usize, table: Table, ids: &BTreeMap<String, usize>, problems: &mut Vec<Problem>) -> Intent {
    let mut reader = Reader::new(table, format!("intent {}", index + 1), problems);
    let id = reader.required_text("id");
    reader.set_place(format!("intent `{id}`"));
    let phrases = reader.texts("phrases");
    if phrases.iter().all(|p| language::understand::plain_words(p).is_empty()) {
        reader.problem("`phrases` is missing or empty: list the words callers say");
    }
    let say = reader.text("say");
    let target = goto(&mut reader, "goto", ids);
    let action = match (reader.text("do").as_deref(), target) {
        (None, Some(step)) => IntentAction::Goto(step),
        (None, None) => IntentAction::Return,
        (Some("repeat"), None) => IntentAction::Repeat,
        (Some("wait"), None) => IntentAction::Wait,
        (Some(other), _) => {
            reader.problem(format!("`do` is `{other}`: write \"repeat\" or \"wait\", and no `goto` beside it"));
            IntentAction::Return
        }
    };
    if action == IntentAction::Return && say.is_none() {
        reader.problem("does nothing: give it `say`, `goto` or `do`");
    }
    reader.finish();
    Intent { id, phrases, say, action }
}

fn read_step(index: usize, table: Table, ids: &BTreeMap<String, usize>, problems: &mut Vec<Problem>) -> Step {
    let mut reader = Reader::new(table, format!("step {}", index + 1), problems);
    let id = reader.text("id").unwrap_or_default();
    reader.set_place(format!("step `{id}`"));
    let interruptible = reader.flag("interruptible", true);
    let kinds: Vec<&str> =
        ["ask", "confirm", "branch", "tool", "transfer", "hang_up"].into_iter().filter(|k| reader.has(k)).collect();
    if kinds.len() > 1 {
        reader.problem(format!("has {} at once: make them separate steps", kinds.join(" and ")));
    }
    let explicit_next = reader.has("next");
    let next = goto(&mut reader, "next", ids);
    let action = match kinds.first().copied() {
        Some("ask") => Action::Ask(Box::new(read_ask(&mut reader, ids))),
        Some("confirm") => Action::Confirm(read_confirm(&mut reader, ids)),
        Some("branch") => Action::Branch(read_branch(&mut reader, ids)),
        Some("tool") => Action::Tool(read_tool(&mut reader, ids)),
        Some("transfer") => Action::Transfer { to: reader.required_text("transfer"), say: reader.text("say") },
        Some("hang_up") => Action::HangUp(reader.required_text("hang_up")),
        _ => {
            if !reader.has("say") {
                reader.problem("does nothing: give it say, ask, confirm, branch, tool, transfer or hang_up");
            }
            Action::Say(reader.text("say").unwrap_or_default())
        }
    };
    let ends = matches!(action, Action::Transfer { .. } | Action::HangUp(_));
    if ends && explicit_next {
        reader.problem("ends the call, `next` has no meaning: remove it");
    }
    reader.finish();
    let following = Some(index + 1).filter(|i| *i < ids.len() && !explicit_next);
    Step { id, interruptible, action, next: if ends { None } else { next.or(following) } }
}

fn read_retries(reader: &mut Reader<'_>, ids: &BTreeMap<String, usize>) -> (Vec<String>, u64, Option<usize>) {
    let retry = reader.texts("retry");
    let retries_max = reader.number("retries_max").unwrap_or(RETRIES_MAX_DEFAULT);
    if retries_max > RETRIES_MAX_MAX {
        reader.problem(format!("`retries_max` is {retries_max}: at most {RETRIES_MAX_MAX}"));
    }
    (retry, retries_max, goto(reader, "on_fail", ids))
}

fn read_kind(reader: &mut Reader<'_>, name: &str, key: &str) -> Kind {
    Kind::from_name(name).unwrap_or_else(|| {
        reader.problem(format!("`{key}` is `{name}`: write name, phone, date, time, yes-no, number, choice or text"));
        Kind::Text
    })
}

fn read_ask(reader: &mut Reader<'_>, ids: &BTreeMap<String, usize>) -> Ask {
    let text = reader.required_text("ask");
    let slot = reader.required_text("slot");
    let kind_name = reader.required_text("kind");
    let kind = read_kind(reader, &kind_name, "kind");
    if matches!(kind, Kind::Code | Kind::Money) {
        reader.problem("`kind` code and money are for what tools give: ask for text or number");
    }
    let mut options = Vec::new();
    if let Some(table) = reader.table("options") {
        for (name, words) in table {
            match words {
                Value::Array(words) if words.iter().all(Value::is_str) => options
                    .push(Named { name, words: words.iter().filter_map(Value::as_str).map(str::to_owned).collect() }),
                _ => reader.problem(format!("option `{name}` must be a list of words: {name} = [\"…\"]")),
            }
        }
    }
    if (kind == Kind::Choice) == options.is_empty() {
        reader.problem("a choice needs `options`, other kinds have none: [step.options] name = [\"other word\"]");
    }
    let (retry, retries_max, on_fail) = read_retries(reader, ids);
    let go_on = reader.text("go_on");
    let accept = reader.table("accept").map(|table| read_accept(reader, table)).unwrap_or_default();
    Ask { text, slot, kind, options, retry, retries_max, on_fail, go_on, accept }
}

fn read_accept(outer: &mut Reader<'_>, table: Table) -> Accept {
    let mut found = Vec::new();
    let mut reader = Reader::new(table, "accept", &mut found);
    let accept = Accept {
        not_past: reader.text("not_past"),
        open_day: reader.text("open_day"),
        within_hours: reader.text("within_hours"),
        days_ahead_max: reader.number("days_ahead_max"),
        too_far: reader.text("too_far"),
        at_least: reader.number("at_least"),
        at_most: reader.number("at_most"),
        out_of_range: reader.text("out_of_range"),
        day_slot: reader.text("day_slot"),
    };
    reader.finish();
    if accept.days_ahead_max.is_some() != accept.too_far.is_some() {
        outer.problem("accept: `days_ahead_max` and its refusal `too_far` belong together");
    }
    if (accept.at_least.is_some() || accept.at_most.is_some()) != accept.out_of_range.is_some() {
        outer.problem("accept: `at_least`/`at_most` and their refusal `out_of_range` belong together");
    }
    for problem in found {
        outer.problem(format!("accept: {}", problem.what));
    }
    accept
}

fn read_confirm(reader: &mut Reader<'_>, ids: &BTreeMap<String, usize>) -> Confirm {
    let text = reader.required_text("confirm");
    let no = goto(reader, "no", ids);
    let (retry, retries_max, on_fail) = read_retries(reader, ids);
    Confirm { text, no, retry, retries_max, on_fail }
}

fn read_branch(reader: &mut Reader<'_>, ids: &BTreeMap<String, usize>) -> Branch {
    let slot = reader.required_text("branch");
    let otherwise = goto(reader, "otherwise", ids);
    let mut when = BTreeMap::new();
    for (value, id) in reader.text_table("when") {
        match ids.get(&id) {
            Some(step) => {
                when.insert(value, *step);
            }
            None => reader.problem(format!("`when.{value}` names step `{id}`, which does not exist")),
        }
    }
    if when.is_empty() {
        reader.problem("`when` is missing: when = { yes = \"step\", no = \"other-step\" }");
    }
    Branch { slot, when, otherwise }
}

fn read_tool(reader: &mut Reader<'_>, ids: &BTreeMap<String, usize>) -> Tool {
    let name = reader.required_text("tool");
    let arguments = reader.text_table("arguments").into_iter().collect();
    let gives = reader.text_table("gives");
    let gives = gives
        .into_iter()
        .map(|(slot, kind)| {
            let kind = read_kind(reader, &kind, "gives");
            (slot, kind)
        })
        .collect();
    let on_success = goto(reader, "on_success", ids);
    let on_failure = goto(reader, "on_failure", ids);
    if on_failure.is_none() {
        reader.problem("`on_failure` is missing: tools fail, name the step that tells the caller");
    }
    Tool { name, arguments, gives, on_success, on_failure, while_waiting: reader.text("while_waiting") }
}
