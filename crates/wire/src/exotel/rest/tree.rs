//! JSON and XML as one tree, so that each answer is read once. An element becomes an object of its children, or its
//! text; elements with one name become a list. Attributes, comments and instructions are left out; a document type is
//! refused, and with it every entity that is not XML's own.

use super::BODY_BYTES_MAX;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Deepest XML read; Exotel's has five levels.
const DEPTH_MAX: usize = 16;

/// Why there is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Empty,
    TooLarge,
    Malformed,
}

/// Reads a body by its looks: the path asked for says which of the two comes, and does not always get it.
pub(super) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Value, Unreadable> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Unreadable::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::Malformed)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() || text == "null" {
        return Err(Unreadable::Empty);
    }
    // A page for people, from something between Exotel and us.
    if content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html")) {
        return Err(Unreadable::Malformed);
    }
    if text.starts_with('<') { xml(text) } else { serde_json::from_str(text).map_err(|_| Unreadable::Malformed) }
}

/// An element that is not closed yet.
struct Open {
    name: String,
    children: Map<String, Value>,
    text: String,
}

impl Open {
    fn new(name: &[u8]) -> Self {
        Self { name: String::from_utf8_lossy(name).into_owned(), children: Map::new(), text: String::new() }
    }

    fn put(&mut self, name: String, value: Value) {
        match self.children.get_mut(&name) {
            None => drop(self.children.insert(name, value)),
            Some(Value::Array(list)) => list.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }

    fn close(self) -> (String, Value) {
        let value = if self.children.is_empty() {
            Value::String(self.text.trim().into())
        } else {
            Value::Object(self.children)
        };
        (self.name, value)
    }
}

fn xml(text: &str) -> Result<Value, Unreadable> {
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    loop {
        match reader.read_event().map_err(|_| Unreadable::Malformed)? {
            Event::Start(start) if open.len() < DEPTH_MAX => open.push(Open::new(start.local_name().as_ref())),
            Event::Start(_) | Event::DocType(_) | Event::Eof => return Err(Unreadable::Malformed),
            Event::Empty(empty) => {
                let (name, value) = Open::new(empty.local_name().as_ref()).close();
                match open.last_mut() {
                    Some(parent) => parent.put(name, value),
                    None => return Ok(root(name, value)),
                }
            }
            Event::End(_) => {
                let (name, value) = open.pop().ok_or(Unreadable::Malformed)?.close();
                match open.last_mut() {
                    Some(parent) => parent.put(name, value),
                    // What follows the document is no part of it.
                    None => return Ok(root(name, value)),
                }
            }
            Event::Text(piece) => add(&mut open, &piece.decode().map_err(|_| Unreadable::Malformed)?),
            Event::CData(piece) => add(&mut open, &piece.decode().map_err(|_| Unreadable::Malformed)?),
            Event::GeneralRef(entity) => {
                let name = entity.decode().map_err(|_| Unreadable::Malformed)?;
                match entity.resolve_char_ref().map_err(|_| Unreadable::Malformed)? {
                    Some(character) => add(&mut open, character.encode_utf8(&mut [0; 4])),
                    None => add(&mut open, resolve_xml_entity(&name).ok_or(Unreadable::Malformed)?),
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

fn root(name: String, value: Value) -> Value {
    Value::Object(Map::from_iter([(name, value)]))
}

fn add(open: &mut [Open], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// The member with this name, however its words are joined: `Sid`, `sid`, `call_sid`, `CallSid`.
pub(super) fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| object.iter().find(|(sent, _)| level(sent).eq(level(name))).map(|(_, value)| value))
}

fn level(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase())
}

/// The first of these members that says something: a text or a number that is neither blank nor the word `null`.
pub(super) fn text(value: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let text = match get(value, name)? {
            Value::String(text) => text.trim().trim_matches('"').to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        (!text.is_empty() && !text.eq_ignore_ascii_case("null")).then_some(text)
    })
}

/// The things in a list: a list of them, one alone, or a list inside an element (`<Calls><Call>…`), each bare or in an
/// object of its name. `None` when there is no list.
pub(super) fn items<'a>(root: &'a Value, list: &str, item: &str) -> Option<Vec<&'a Value>> {
    let list = get(root, list)?;
    match get(list, item).unwrap_or(list) {
        Value::Array(items) => Some(items.iter().map(|one| get(one, item).unwrap_or(one)).collect()),
        one @ Value::Object(_) => Some(vec![one]),
        Value::Null => Some(Vec::new()),
        Value::String(text) if text.is_empty() => Some(Vec::new()),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn xml_becomes_what_the_json_says() {
        for (text, want) in [
            ("<A><B>1</B><C/></A>", json!({"A": {"B": "1", "C": ""}})),
            ("<A/>", json!({"A": ""})),
            ("<A><B>1</B><B>2</B><B>3</B></A>", json!({"A": {"B": ["1", "2", "3"]}})),
            ("<?xml version=\"1.0\"?>\n<!-- c --><A x=\"1\"> a &amp; b&#x2013;c </A>", json!({"A": "a & b–c"})),
            ("<A><![CDATA[<b> & c]]></A>", json!({"A": "<b> & c"})),
            ("<n:A xmlns:n=\"x\"><n:B>1</n:B></n:A>", json!({"A": {"B": "1"}})),
            ("<A><B>1</B></A><!-- more -->", json!({"A": {"B": "1"}})),
            ("\u{feff}<A>1</A>", json!({"A": "1"})),
        ] {
            assert_eq!(read(None, text.as_bytes()), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(17), "</a>".repeat(17));
        let deep_json = "[".repeat(10_000);
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><x>&b;</x>";
        let external = "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>";
        for text in [
            "<A>",
            "</A>",
            "<A></B>",
            "<A>&unknown;</A>",
            "<A>&#xD800;</A>",
            "<",
            "<A",
            "{",
            "x",
            "<A>1</A",
            &deep,
            &deep_json,
            bomb,
            external,
        ] {
            assert_eq!(read(None, text.as_bytes()), Err(Unreadable::Malformed), "{text:.40}");
        }
        assert_eq!(read(None, b"\xff\xfe<A/>"), Err(Unreadable::Malformed));
        assert_eq!(read(Some("text/HTML; charset=utf-8"), b"<html></html>"), Err(Unreadable::Malformed));
        for text in ["", " \r\n", "null", "\u{feff}"] {
            assert_eq!(read(Some("application/json"), text.as_bytes()), Err(Unreadable::Empty), "{text:?}");
        }
        let large = vec![b' '; BODY_BYTES_MAX + 1];
        assert_eq!(read(None, &large), Err(Unreadable::TooLarge));
    }

    #[test]
    fn lists_are_found_in_each_shape() {
        let one = json!({"Sid": "a"});
        for (root, want) in [
            (json!({"Calls": [{"Sid": "a"}]}), 1),
            (json!({"Calls": [{"Call": {"Sid": "a"}}]}), 1),
            (json!({"calls": {"Call": {"Sid": "a"}}}), 1),
            (json!({"Calls": {"Call": [{"Sid": "a"}, {"Sid": "a"}]}}), 2),
            (json!({"Calls": {"Sid": "a"}}), 1),
            (json!({"Calls": []}), 0),
            (json!({"Calls": null}), 0),
            (json!({"Calls": ""}), 0),
        ] {
            let found = items(&root, "Calls", "Call").expect("a list");
            assert_eq!(found.len(), want, "{root}");
            assert!(found.iter().all(|item| **item == one), "{root}");
        }
        assert_eq!(items(&json!({"Calls": 3}), "Calls", "Call"), None);
        assert_eq!(items(&json!({"Other": []}), "Calls", "Call"), None);
    }
}
