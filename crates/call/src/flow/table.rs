//! Reads a TOML table key by key and remembers what was wrong, so that a file is judged whole.

use super::file::Problem;
use toml::{Table, Value};

/// A table being read. Every key asked for is taken out; what is left at the end is unknown.
pub(super) struct Reader<'a> {
    table: Table,
    /// Where the table stands: "step `day`".
    place: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: Table, place: impl Into<String>, problems: &'a mut Vec<Problem>) -> Self {
        Self { table, place: place.into(), problems }
    }

    pub(super) fn problem(&mut self, what: impl Into<String>) {
        let place = self.place.clone();
        self.problems.push(Problem { place, what: what.into() });
    }

    pub(super) fn set_place(&mut self, place: String) {
        self.place = place;
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            other => self.wrong(key, "a text in quotes", &other),
        }
    }

    pub(super) fn required_text(&mut self, key: &str) -> String {
        if !self.has(key) {
            self.problem(format!("`{key}` is missing: write {key} = \"…\""));
        }
        self.text(key).unwrap_or_default()
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Boolean(value)) => value,
            Some(other) => self.wrong(key, "true or false", &other).unwrap_or(default),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Option<u64> {
        match self.take(key)? {
            Value::Integer(value) if value >= 0 => u64::try_from(value).ok(),
            other => self.wrong(key, "a whole number, 0 or more", &other),
        }
    }

    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(values)) => {
                let mut out = Vec::with_capacity(values.len());
                for value in values {
                    match value {
                        Value::String(text) => out.push(text.split_whitespace().collect::<Vec<_>>().join(" ")),
                        other => {
                            let _: Option<String> = self.wrong(key, "a list of texts", &other);
                        }
                    }
                }
                out
            }
            Some(other) => self.wrong(key, "a list of texts", &other).unwrap_or_default(),
        }
    }

    /// A table of texts: `{ day = "{day}" }`.
    pub(super) fn text_table(&mut self, key: &str) -> Vec<(String, String)> {
        let Some(table) = self.table(key) else { return Vec::new() };
        let mut out = Vec::new();
        for (name, value) in table {
            match value {
                Value::String(text) => out.push((name, text)),
                other => {
                    let _: Option<String> = self.wrong(&format!("{key}.{name}"), "a text in quotes", &other);
                }
            }
        }
        out
    }

    pub(super) fn table(&mut self, key: &str) -> Option<Table> {
        match self.take(key)? {
            Value::Table(table) => Some(table),
            other => self.wrong(key, "a table", &other),
        }
    }

    pub(super) fn tables(&mut self, key: &str) -> Vec<Table> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => {
                let mut out = Vec::with_capacity(values.len());
                for value in values {
                    match value {
                        Value::Table(table) => out.push(table),
                        other => {
                            let _: Option<String> = self.wrong(key, "tables, written [[step]]", &other);
                        }
                    }
                }
                out
            }
            Some(other) => {
                self.wrong(key, "a list of tables, written with double brackets", &other).unwrap_or_default()
            }
        }
    }

    fn wrong<T>(&mut self, key: &str, want: &str, got: &Value) -> Option<T> {
        let got = got.type_str();
        self.problem(format!("`{key}` must be {want}, it is {got}"));
        None
    }

    /// Every key not asked for is a mistake of spelling.
    pub(super) fn finish(mut self) {
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            self.problem(format!("unknown key `{key}`: check its spelling or remove it"));
        }
    }
}
