//! What a call has asked for already: a model that asks for the same again does not book twice.

use super::ToolError;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most requests that change something in one call; more is a model in a loop.
const REQUESTS_MAX: usize = 100;
/// So much of the earlier answer is told again, in bytes.
const ANSWER_BYTES_MAX: usize = 2_048;
/// Bytes of a hash that are kept: enough that no two requests of a call share one.
const HASH_BYTES: usize = 16;

#[derive(Clone, Debug)]
enum State {
    Running,
    Done(String),
    /// It may have been done, or not.
    Unknown,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<String, State>>);

impl Repeats {
    /// Takes the turn for a request.
    ///
    /// # Errors
    /// It was asked for already, or too much was.
    pub(super) fn begin(&self, hash: String) -> Result<Turn<'_>, ToolError> {
        let mut asked = self.lock();
        let said = match asked.get(&hash) {
            Some(State::Running) => "it is being done already".to_owned(),
            Some(State::Done(answer)) => format!("already done with the same arguments; the answer was: {answer}"),
            Some(State::Unknown) => {
                "already asked for with the same arguments, and it is not known whether it was done".to_owned()
            }
            None if asked.len() >= REQUESTS_MAX => "this call has asked for too much already".to_owned(),
            None => {
                asked.insert(hash.clone(), State::Running);
                return Ok(Turn { repeats: self, hash, over: false });
            }
        };
        Err(ToolError::Refused(said))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request on its way. Dropped without a word, nobody knows whether it was done.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    repeats: &'a Repeats,
    hash: String,
    over: bool,
}

impl Turn<'_> {
    /// It was done, and answered so.
    pub(super) fn done(mut self, answer: &str) {
        let answer = answer[..answer.floor_char_boundary(ANSWER_BYTES_MAX)].to_owned();
        self.over = true;
        self.repeats.lock().insert(std::mem::take(&mut self.hash), State::Done(answer));
    }

    /// Surely nothing was done: it may be asked for again.
    pub(super) fn not_done(mut self) {
        self.over = true;
        self.repeats.lock().remove(&self.hash);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.repeats.lock().insert(std::mem::take(&mut self.hash), State::Unknown);
        }
    }
}

/// One for a tool and its arguments, in whatever order they stand.
pub(super) fn hash(name: &str, arguments: &Map<String, Value>) -> String {
    let mut text = format!("{name}\n");
    canonical_object(arguments, &mut text);
    hex(&Sha256::digest(text.as_bytes())[..HASH_BYTES])
}

/// In lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing into a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => canonical_object(fields, out),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

fn canonical_object(fields: &Map<String, Value>, out: &mut String) {
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort();
    out.push('{');
    for name in names {
        out.push_str(&Value::from(name.as_str()).to_string());
        out.push(':');
        canonical(&fields[name], out);
        out.push(',');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn one_request_is_done_once() {
        let repeats = Repeats::default();
        let again = |hash: &str| repeats.begin(hash.to_owned()).map(|_| ()).expect_err("refused").to_string();
        let turn = repeats.begin("a".to_owned()).expect("the first");
        assert!(again("a").contains("being done"));
        turn.done(&"é".repeat(3_000));
        assert!(again("a").contains("already done") && again("a").len() < 2_200);
        repeats.begin("b".to_owned()).expect("another").not_done();
        drop(repeats.begin("b".to_owned()).expect("again: nothing was done"));
        assert!(again("b").contains("not known"));
        for n in 0..REQUESTS_MAX - 2 {
            repeats.begin(n.to_string()).expect("within the limit").done("");
        }
        assert!(again("one more").contains("too much"));
    }

    #[test]
    fn the_order_of_arguments_means_nothing_and_their_values_everything() {
        let base = hash("book", &object(r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#));
        assert_eq!(base.len(), 32);
        assert_eq!(base, hash("book", &object(r#"{"b":{"d":"x","c":[1,2]},"a":1}"#)));
        for (name, other) in [
            ("book", r#"{"a":1,"b":{"c":[2,1],"d":"x"}}"#),
            ("book", r#"{"a":"1","b":{"c":[1,2],"d":"x"}}"#),
            ("book", r#"{"a":1}"#),
            ("cancel", r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#),
        ] {
            assert_ne!(base, hash(name, &object(other)), "{name} {other}");
        }
        let tricky = [json!({"a": "1,\"b\":2"}), json!({"a": "1", "b": 2})];
        let hashes = tricky.map(|value| hash("x", value.as_object().expect("an object")));
        assert_ne!(hashes[0], hashes[1]);
    }
}
