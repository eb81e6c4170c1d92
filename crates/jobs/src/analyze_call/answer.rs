//! A model's answer: one JSON object, read strictly and trusted with nothing. Pure.

use jsonschema::{Draft, PatternOptions, Validator};
use model::Analysis;
use serde_json::{Map, Value};
use store::call_records::Judgement;

/// The fields an answer can have: summary, data, disposition, success.
pub(super) const FIELDS: [&str; 4] = ["summary", "data", "disposition", "success"];
/// Longest summary, in characters; the rest is cut off.
const SUMMARY_CHARS_MAX: usize = 2_000;
/// Longest reason of a judgement, in characters; the rest is cut off.
const REASON_CHARS_MAX: usize = 500;
/// Longest text in the data, in characters.
const TEXT_CHARS_MAX: usize = 2_000;
/// Most values in the data, inner ones counted.
const VALUES_MAX: usize = 500;
/// Deepest nesting of the data.
const DEPTH_MAX: usize = 8;
/// How much of a checker's message a model is told, in characters.
const MESSAGE_CHARS_MAX: usize = 600;

/// What an answer says, checked.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) summary: Option<String>,
    pub(super) data: Option<Map<String, Value>>,
    pub(super) disposition: Option<String>,
    /// In the order of the criteria.
    pub(super) success: Vec<Judgement>,
}

/// An answer is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// For the model: may quote what it wrote.
    pub(super) to_model: String,
    /// For people and logs: nothing that was said.
    pub(super) plain: String,
}

impl Unfit {
    fn new(plain: impl Into<String>) -> Self {
        let plain = plain.into();
        Self { to_model: plain.clone(), plain }
    }
}

/// What data is checked by.
///
/// # Errors
/// In a sentence for people, when the schema cannot be used.
pub(super) fn validator(schema: &Map<String, Value>) -> Result<Validator, String> {
    // Patterns are the tenant's: these take time in proportion to the text, whatever they are.
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
        .build(&Value::Object(schema.clone()))
        .map_err(|_| "the agent's schema analysis.extract is no JSON schema that can be used".to_owned())
}

/// Reads an answer.
pub(super) fn read(text: &str, wanted: &Analysis, validator: Option<&Validator>) -> Result<Found, Unfit> {
    let object: Value = serde_json::from_str(without_fence(text)).map_err(|_| Unfit::new("it is not JSON"))?;
    let Value::Object(mut fields) = object else { return Err(Unfit::new("it is not a JSON object")) };
    let [summary, data, disposition, success] = FIELDS;
    let found = Found {
        summary: wanted.summary.then(|| read_summary(fields.remove(summary))).transpose()?,
        data: validator.map(|validator| read_data(fields.remove(data), validator)).transpose()?,
        disposition: (!wanted.dispositions.is_empty())
            .then(|| read_disposition(fields.remove(disposition), wanted))
            .transpose()?,
        success: if wanted.success.is_empty() {
            Vec::new()
        } else {
            read_success(fields.remove(success), &wanted.success)?
        },
    };
    if fields.is_empty() { Ok(found) } else { Err(Unfit::new("it has fields that were not asked for")) }
}

/// Many models put their JSON into one, whatever they are told.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inner.map_or(text, |inner| inner.strip_prefix("json").unwrap_or(inner).trim())
}

fn read_summary(value: Option<Value>) -> Result<String, Unfit> {
    let text = value.as_ref().and_then(Value::as_str).map(|text| short(text, SUMMARY_CHARS_MAX));
    text.filter(|text| !text.is_empty()).ok_or_else(|| Unfit::new("summary is not a text"))
}

fn read_data(value: Option<Value>, validator: &Validator) -> Result<Map<String, Value>, Unfit> {
    let Some(Value::Object(data)) = value else { return Err(Unfit::new("data is not an object")) };
    let mut room = VALUES_MAX;
    let data = harmless(Value::Object(data), DEPTH_MAX, &mut room)?;
    if let Err(error) = validator.validate(&data) {
        // Where in the schema: names that a model made up are in the other path.
        let plain = format!("data does not fit the schema at {}", error.schema_path());
        let message: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
        let to_model = format!("data{}: {message}", error.instance_path());
        return Err(Unfit { to_model, plain });
    }
    match data {
        Value::Object(data) => Ok(data),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Ok(Map::new()),
    }
}

fn read_disposition(value: Option<Value>, wanted: &Analysis) -> Result<String, Unfit> {
    let word = value.as_ref().and_then(Value::as_str).map(str::trim);
    let known = wanted.dispositions.iter().find(|one| Some(one.name.as_str()) == word);
    known.map(|one| one.name.clone()).ok_or_else(|| {
        let words: Vec<&str> = wanted.dispositions.iter().map(|one| one.name.as_str()).collect();
        Unfit::new(format!("disposition is none of {}", words.join(", ")))
    })
}

fn read_success(value: Option<Value>, criteria: &[String]) -> Result<Vec<Judgement>, Unfit> {
    let fault = || Unfit::new(format!("success does not judge each of the {} criteria once", criteria.len()));
    let Some(Value::Array(given)) = value else { return Err(fault()) };
    let mut judged: Vec<Option<Judgement>> = vec![None; criteria.len()];
    for one in &given {
        let number = one["criterion"].as_u64().and_then(|number| usize::try_from(number).ok()).ok_or_else(fault)?;
        let index = number.checked_sub(1).ok_or_else(fault)?;
        let (Some(criterion), Some(place)) = (criteria.get(index), judged.get_mut(index)) else { return Err(fault()) };
        let (Some(met), Some(reason)) = (one["met"].as_bool(), one["reason"].as_str()) else {
            return Err(Unfit::new("in success, met is not true or false, or reason is not a text"));
        };
        let judgement = Judgement { criterion: criterion.clone(), met, reason: short(reason, REASON_CHARS_MAX) };
        if place.replace(judgement).is_some() {
            return Err(fault());
        }
    }
    judged.into_iter().collect::<Option<Vec<_>>>().ok_or_else(fault)
}

/// Without controls, and so that no browser takes it for markup.
fn plain(text: &str) -> String {
    let one = |c: char| match c {
        '<' => '‹',
        '>' => '›',
        '\n' => '\n',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(one).collect::<String>().trim().to_owned()
}

fn short(text: &str, chars_max: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= chars_max {
        return text;
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// The same of every text in it, names included; refused when there is too much of it.
fn harmless(value: Value, depth: usize, room: &mut usize) -> Result<Value, Unfit> {
    let too_much = || Unfit::new("data is too large or nested too deep");
    *room = room.checked_sub(1).ok_or_else(too_much)?;
    let inside = depth.checked_sub(1).ok_or_else(too_much);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value),
        Value::String(text) if text.chars().count() > TEXT_CHARS_MAX => Err(too_much()),
        Value::String(text) => Ok(Value::String(plain(&text))),
        Value::Array(items) => {
            let depth = inside?;
            items.into_iter().map(|item| harmless(item, depth, room)).collect::<Result<_, _>>().map(Value::Array)
        }
        Value::Object(fields) => {
            let depth = inside?;
            fields
                .into_iter()
                .map(|(name, field)| Ok((short(&name, REASON_CHARS_MAX), harmless(field, depth, room)?)))
                .collect::<Result<_, _>>()
                .map(Value::Object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted() -> Analysis {
        serde_json::from_value(json!({
            "summary": true,
            "extract": {
                "type": "object",
                "properties": { "amount": { "type": "integer" }, "name": { "type": "string", "pattern": "^[A-Z]" } },
                "required": ["amount"],
            },
            "dispositions": [{ "name": "paid" }, { "name": "callback-asked" }],
            "success": ["The amount was agreed", "The agent was polite"],
        }))
        .expect("a configuration")
    }

    fn good() -> Value {
        json!({
            "summary": "Asha will pay.",
            "data": { "amount": 500 },
            "disposition": "paid",
            "success": [
                { "criterion": 2, "met": false, "reason": "It was short." },
                { "criterion": 1, "met": true, "reason": "500 rupees." },
            ],
        })
    }

    fn read_value(value: &Value) -> Result<Found, Unfit> {
        read_text(&value.to_string())
    }

    fn read_text(text: &str) -> Result<Found, Unfit> {
        let wanted = wanted();
        let validator = validator(wanted.extract.as_ref().expect("a schema")).expect("a schema");
        read(text, &wanted, Some(&validator))
    }

    #[test]
    fn a_good_answer_is_read_with_or_without_a_fence() {
        let text = good().to_string();
        for form in
            [text.clone(), format!("\n {text} \n"), format!("```json\n{text}\n```"), format!("```\n{text}```\n")]
        {
            let found = read_text(&form).expect("good");
            assert_eq!(found.summary.as_deref(), Some("Asha will pay."));
            assert_eq!(found.data, good()["data"].as_object().cloned());
            assert_eq!(found.disposition.as_deref(), Some("paid"));
            let judged: Vec<_> = found.success.iter().map(|one| (one.criterion.as_str(), one.met)).collect();
            assert_eq!(judged, [("The amount was agreed", true), ("The agent was polite", false)]);
        }
    }

    #[test]
    fn what_was_not_asked_for_may_not_be_there() {
        let plain = Analysis { summary: true, ..Analysis::default() };
        assert!(read(r#"{"summary":"x"}"#, &plain, None).is_ok());
        for text in [r#"{"summary":"x","data":{}}"#, r#"{"summary":"x","thought":"y"}"#] {
            assert!(read(text, &plain, None).is_err(), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason_that_quotes_nothing() {
        let changed = |path: &str, value: Value| {
            let mut answer = good();
            *answer.pointer_mut(path).expect("there") = value;
            answer.to_string()
        };
        let judged = |criterion: Value| json!([{ "criterion": criterion, "met": true, "reason": "SECRET" }]);
        for (text, want) in [
            ("I cannot help with SECRET.".to_owned(), "not JSON"),
            (String::new(), "not JSON"),
            (format!("Here it is: {}", good()), "not JSON"),
            (format!("{} {}", good(), good()), "not JSON"),
            ("[]".to_owned(), "not a JSON object"),
            ("{}".to_owned(), "summary"),
            (changed("/summary", json!(7)), "summary"),
            (changed("/summary", json!(" \u{7} ")), "summary"),
            (changed("/data", json!("SECRET")), "data is not an object"),
            (changed("/data", json!({})), "at /required"),
            (changed("/data", json!({ "amount": "SECRET" })), "at /properties/amount/type"),
            (changed("/data", json!({ "amount": 1, "name": "SECRET".to_lowercase() })), "at /properties/name/pattern"),
            (changed("/data", json!({ "amount": 1, "x": "S".repeat(2_001) })), "too large"),
            (changed("/data", json!({ "amount": 1, "x": vec![0; 500] })), "too large"),
            (changed("/data", json!({ "amount": 1, "x": [[[[[[[[0]]]]]]]] })), "nested too deep"),
            (changed("/disposition", json!("SECRET")), "none of paid, callback-asked"),
            (changed("/disposition", json!("PAID")), "none of"),
            (changed("/disposition", Value::Null), "none of"),
            (changed("/success", json!([])), "each of the 2"),
            (changed("/success", judged(json!(1))), "each of the 2"),
            (changed("/success", judged(json!(0))), "each of the 2"),
            (changed("/success", judged(json!(3))), "each of the 2"),
            (changed("/success", judged(json!("SECRET"))), "each of the 2"),
            (changed("/success/0/criterion", json!(1)), "each of the 2"),
            (changed("/success/0/met", json!("yes")), "met is not"),
            (changed("/success/0/reason", Value::Null), "reason is not"),
            (changed("/success", json!("SECRET")), "each of the 2"),
        ] {
            let unfit = read_text(&text).expect_err(&text);
            assert!(unfit.plain.contains(want) && !unfit.plain.contains("SECRET"), "{text}: {unfit:?}");
        }
    }

    #[test]
    fn the_model_is_told_more_than_people_are() {
        let mut answer = good();
        answer["data"] = json!({ "amount": "five hundred" });
        let unfit = read_value(&answer).expect_err("no number");
        assert!(unfit.to_model.contains("data/amount") && unfit.to_model.contains("five hundred"), "{unfit:?}");
    }

    #[test]
    fn nothing_that_is_kept_is_markup_or_long() {
        let mut answer = good();
        answer["summary"] = json!(format!("<script>alert(1)</script>\u{0}{}", "x".repeat(5_000)));
        answer["data"] = json!({ "amount": 1, "<b>": ["<img src=x>"] });
        answer["success"][0]["reason"] = json!("y".repeat(5_000));
        let found = read_value(&answer).expect("read");
        let summary = found.summary.expect("there");
        assert!(summary.starts_with("‹script›alert(1)‹/script› x") && summary.ends_with('…'), "{summary}");
        assert_eq!(summary.chars().count(), SUMMARY_CHARS_MAX);
        assert_eq!(Value::Object(found.data.expect("there")), json!({ "amount": 1, "‹b›": ["‹img src=x›"] }));
        assert_eq!(found.success[1].reason.chars().count(), REASON_CHARS_MAX);
    }

    #[test]
    fn schemas_that_reach_out_or_are_none_are_refused() {
        for schema in [
            json!({ "type": "thing" }),
            json!({ "$ref": "https://example.org/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "properties": { "x": { "pattern": "(" } } }),
        ] {
            assert!(validator(schema.as_object().expect("an object")).is_err(), "{schema}");
        }
    }
}
