//! Webhook bodies as flat fields, however they are coded: JSON, urlencoded (body or query), multipart. Carriers change
//! the case of names, send numbers as strings and write `null` as a word; that is levelled here, once.

use serde::Deserialize;
use serde::de::{self, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Longest webhook body read. The fullest captured one (legs, recording, custom field) has about 2 kB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most fields read of one body; the fullest captured one has about 30.
pub const FIELDS_MAX: usize = 256;
/// Longest boundary of multipart bodies that is guessed from their first line (RFC 2046 §5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;
/// Names up to this length are looked up without a copy; carriers' own are shorter.
const LEVEL_BYTES: usize = 64;
/// Deepest nesting of JSON that becomes fields (`Legs[0][OnCallDuration]`).
const DEPTH_MAX: usize = 3;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldProblem {
    /// Not there, or blank.
    Missing,
    /// There, and unusable: what was expected instead.
    Bad(&'static str),
}

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The name the sender used; for a missing one, the documented name in the sender's spelling.
    pub field: String,
    /// What is wrong.
    pub problem: FieldProblem,
}

/// Everything that is wrong with a body, not only the first thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// Notes a missing field.
    pub fn missing(&mut self, field: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), problem: FieldProblem::Missing });
    }

    /// Notes an unusable field.
    pub fn bad(&mut self, field: impl Into<String>, expected: &'static str) {
        self.0.push(FieldError { field: field.into(), problem: FieldProblem::Bad(expected) });
    }

    /// `Ok` when nothing was noted.
    ///
    /// # Errors
    /// Itself otherwise.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, FieldError { field, problem }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match problem {
                FieldProblem::Missing => write!(f, "{comma}{field} is missing")?,
                FieldProblem::Bad(expected) => write!(f, "{comma}{field} is not {expected}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}

/// A body that is no set of fields at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than [`BODY_BYTES_MAX`].
    #[error("body is longer than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// More than [`FIELDS_MAX`] fields.
    #[error("body has more than {FIELDS_MAX} fields")]
    TooManyFields,
    /// Said to be JSON, or looks like it, and is no JSON object.
    #[error("body is not a JSON object")]
    NotAnObject,
    /// Multipart without a boundary, or cut off.
    #[error("body is not well-formed multipart/form-data")]
    NotMultipart,
    /// Not text.
    #[error("body is not UTF-8")]
    NotText,
}

/// How names are spelled in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Pascal,
    Camel,
    Snake,
}

/// The fields of a body. Debug shows the names, never the values: they are numbers and tokens.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// Levelled name to (name as sent, value).
    by_name: BTreeMap<String, (String, String)>,
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.values().map(|(name, _)| name)).finish()
    }
}

impl Fields {
    /// Reads a body by its content type, or by its looks when that is missing or wrong.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, BodyError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        let content_type = content_type.unwrap_or_default();
        let lower = content_type.to_ascii_lowercase();
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        if lower.starts_with("multipart/form-data") {
            let boundary = boundary(content_type).or_else(|| first_line(body)).ok_or(BodyError::NotMultipart)?;
            return Self::from_multipart(boundary, body);
        }
        // A proxy that rewrites the type leaves the body as it is.
        if let Some(boundary) = first_line(body).filter(|_| looks_like_parts(body)) {
            return Self::from_multipart(boundary, body);
        }
        if matches!(first, Some(b'{' | b'[')) || (lower.contains("json") && first.is_some()) {
            return Self::from_json(body);
        }
        Self::from_urlencoded(body)
    }

    /// Reads a JSON object; objects and lists in it become `Name[key]`.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else { return Err(BodyError::NotAnObject) };
        let mut fields = Self::default();
        for (name, value) in object {
            fields.put_json(name, &value, 0)?;
        }
        Ok(fields)
    }

    /// Reads `a=1&b=2`, a body or the query of a URL. `+` is a space.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn from_urlencoded(body: &[u8]) -> Result<Self, BodyError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        let mut fields = Self::default();
        for (name, value) in url::form_urlencoded::parse(body) {
            fields.put_text(name.into_owned(), value.into_owned())?;
        }
        Ok(fields)
    }

    /// Reads `multipart/form-data` whose parts are small texts.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn from_multipart(boundary: &str, body: &[u8]) -> Result<Self, BodyError> {
        let text = std::str::from_utf8(body).map_err(|_| BodyError::NotText)?;
        let delimiter = format!("--{boundary}");
        let mut fields = Self::default();
        let mut closed = false;
        for part in text.split(delimiter.as_str()).skip(1) {
            if part.starts_with("--") {
                closed = true;
                break;
            }
            let (head, value) =
                part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n")).ok_or(BodyError::NotMultipart)?;
            let name = part_name(head).ok_or(BodyError::NotMultipart)?;
            let value = value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).unwrap_or(value);
            fields.put_text(name.to_owned(), value.to_owned())?;
        }
        if closed { Ok(fields) } else { Err(BodyError::NotMultipart) }
    }

    fn put_json(&mut self, name: String, value: &Value, depth: usize) -> Result<(), BodyError> {
        match value {
            Value::String(text) => self.put_text_at(name, text.clone(), depth),
            Value::Number(number) => self.put(name, number.to_string()),
            Value::Bool(yes) => self.put(name, yes.to_string()),
            Value::Null => self.put(name, String::new()),
            Value::Object(object) if depth < DEPTH_MAX => {
                object.iter().try_for_each(|(key, value)| self.put_json(format!("{name}[{key}]"), value, depth + 1))
            }
            Value::Array(list) if depth < DEPTH_MAX => list
                .iter()
                .enumerate()
                .try_for_each(|(i, value)| self.put_json(format!("{name}[{i}]"), value, depth + 1)),
            Value::Object(_) | Value::Array(_) => Ok(()),
        }
    }

    fn put_text(&mut self, name: String, value: String) -> Result<(), BodyError> {
        self.put_text_at(name, value, 0)
    }

    /// A text that is a JSON object or list becomes its fields: Exotel sends `Stream={"Status":…}` and `Legs=[…]` at
    /// times. The text itself is kept, too.
    fn put_text_at(&mut self, name: String, value: String, depth: usize) -> Result<(), BodyError> {
        if value.trim_start().starts_with(['{', '['])
            && let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(&value)
        {
            self.put_json(name.clone(), &inner, depth)?;
        }
        self.put(name, value)
    }

    fn put(&mut self, name: String, value: String) -> Result<(), BodyError> {
        if self.by_name.len() >= FIELDS_MAX {
            return Err(BodyError::TooManyFields);
        }
        // The first spelling with a value wins: a later blank twin says nothing.
        let entry = self.by_name.entry(level(&name)).or_default();
        if blank(&entry.1) {
            *entry = (name, value);
        }
        Ok(())
    }

    /// The value of a field, trimmed; `None` when missing, blank or the word `null`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entry(name).map(|(_, value)| value.trim()).filter(|value| !blank(value))
    }

    /// The first of `names` that has a value: its name as sent, and the value.
    #[must_use]
    pub fn first(&self, names: &[&str]) -> Option<(&str, &str)> {
        names.iter().find_map(|name| {
            let (sent, _) = self.entry(name)?;
            Some((sent.as_str(), self.get(name)?))
        })
    }

    /// How a missing field would have been called in this body: as sent when it is there but blank, otherwise the
    /// documented PascalCase `name` in the spelling of the rest.
    #[must_use]
    pub fn spelled(&self, name: &str) -> String {
        if let Some((sent, _)) = self.by_name.get(&level(name)) {
            return sent.clone();
        }
        match self.spelling() {
            Spelling::Pascal => name.to_owned(),
            Spelling::Camel => name[..1].to_ascii_lowercase() + &name[1..],
            Spelling::Snake => {
                let mut out = String::new();
                for (i, character) in name.char_indices() {
                    if i > 0 && character.is_ascii_uppercase() {
                        out.push('_');
                    }
                    out.push(character.to_ascii_lowercase());
                }
                out
            }
        }
    }

    fn spelling(&self) -> Spelling {
        let names = || self.by_name.values().map(|(name, _)| name.as_str());
        let upper_first = names().filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase())).count();
        if upper_first * 2 >= self.by_name.len() {
            Spelling::Pascal
        } else if names().any(|name| !name.contains('_') && name.contains(|c: char| c.is_ascii_uppercase())) {
            Spelling::Camel
        } else {
            Spelling::Snake
        }
    }

    fn entry(&self, name: &str) -> Option<&(String, String)> {
        // Most names are asked for and not there: no text is made for them.
        let mut bytes = [0; LEVEL_BYTES];
        let mut len = 0;
        for byte in name.bytes().filter(|byte| !matches!(byte, b'_' | b'-' | b' ')) {
            match bytes.get_mut(len) {
                Some(place) if byte.is_ascii() => *place = byte.to_ascii_lowercase(),
                Some(_) | None => return self.by_name.get(&level(name)),
            }
            len += 1;
        }
        self.by_name.get(std::str::from_utf8(bytes.get(..len)?).ok()?)
    }

    /// Whether there is a field whose levelled name begins so.
    pub(crate) fn has_any_under(&self, levelled: &str) -> bool {
        let from = (std::ops::Bound::Included(levelled), std::ops::Bound::Unbounded);
        self.by_name.range::<str, _>(from).next().is_some_and(|(name, _)| name.starts_with(levelled))
    }

    /// No field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }
}

fn blank(value: &str) -> bool {
    let value = value.trim();
    value.is_empty() || value.eq_ignore_ascii_case("null") || value.eq_ignore_ascii_case("undefined")
}

/// `CallSid`, `call_sid`, `callSid`, `call-sid` are one name.
fn level(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
}

fn boundary(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty()).then_some(value)
    })
}

/// The boundary, as the first line of a multipart body shows it.
fn first_line(body: &[u8]) -> Option<&str> {
    let line = body.split(|byte| *byte == b'\n').next()?.strip_prefix(b"--")?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    (!line.is_empty() && line.len() <= BOUNDARY_BYTES_MAX).then_some(line)
}

fn looks_like_parts(body: &[u8]) -> bool {
    let second = body.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
    second.get(..20).is_some_and(|start| start.eq_ignore_ascii_case(b"content-disposition:"))
}

fn part_name(head: &str) -> Option<&str> {
    let line = head
        .lines()
        .find(|line| line.get(..20).is_some_and(|start| start.eq_ignore_ascii_case("content-disposition:")))?;
    line.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("name").then(|| value.trim().trim_matches('"'))
    })
}

/// A JSON value that may be a number, a text with a number in it, or nothing usable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Loose<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Unusable,
}

impl Loose<'_> {
    /// The whole number in it; a fraction is cut off.
    pub(crate) fn to_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => {
                let text = text.trim();
                text[..text.bytes().take_while(u8::is_ascii_digit).count()].parse().ok()
            }
            Self::Unusable => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number))
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Loose::Unusable)
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Loose::Number(number as u64))
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Loose::Unusable)
    }
    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Loose::Unusable)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Loose::Unusable)
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        Ok(Loose::Unusable)
    }
}
