//! Arguments that a server wants repeated in headers (`x-mcp-header`), and how a text becomes a header's value.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

/// Most arguments of a tool that are repeated in headers.
pub const MIRRORED_MAX: usize = 20;
/// Longest name of such a header.
const NAME_BYTES_MAX: usize = 64;
/// Deepest nesting of a schema that is walked.
const DEPTH_MAX: usize = 32;
/// JavaScript's safe integers.
const SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Why a tool with such wishes is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// No name of a header, or too long.
    #[error("an x-mcp-header is no name of a header")]
    Name,
    /// The same header twice.
    #[error("an x-mcp-header stands there twice")]
    Twice,
    /// Neither text, whole number nor truth.
    #[error("an x-mcp-header stands at something that is no text, integer or boolean")]
    Kind,
    /// Somewhere else than at a property.
    #[error("an x-mcp-header does not stand at a plain property")]
    Place,
    /// More than [`MIRRORED_MAX`], or nested too deeply.
    #[error("there are too many x-mcp-header, or too much nesting")]
    TooMany,
}

/// An argument that is repeated in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Name of the header: `mcp-param-region`.
    pub header: String,
    path: Vec<String>,
}

impl Mirrored {
    /// The header's value for these arguments; `None` when the argument is not given.
    #[must_use]
    pub fn value(&self, arguments: &Map<String, Value>) -> Option<String> {
        let (first, rest) = self.path.split_first()?;
        let value = rest.iter().try_fold(arguments.get(first)?, |value, name| value.get(name))?;
        match value {
            Value::String(text) => Some(header_value(text)),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Number(number) => {
                // 42.0 is a whole number, too.
                let whole = || number.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64);
                let number = number.as_i64().or_else(whole);
                let safe = number.filter(|number| (-SAFE_INTEGER..=SAFE_INTEGER).contains(number));
                safe.map(|number| number.to_string())
            }
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// What the schema of a tool wants repeated.
///
/// # Errors
/// [`HeaderFault`]: the tool may not be offered.
pub fn mirrored(schema: &Value) -> Result<Vec<Mirrored>, HeaderFault> {
    let mut found = Vec::new();
    walk(schema, &mut Vec::new(), true, 0, &mut found)?;
    Ok(found)
}

fn walk(
    schema: &Value,
    path: &mut Vec<String>,
    reachable: bool,
    depth: usize,
    found: &mut Vec<Mirrored>,
) -> Result<(), HeaderFault> {
    if depth > DEPTH_MAX {
        return Err(HeaderFault::TooMany);
    }
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => return items.iter().try_for_each(|item| walk(item, path, false, depth + 1, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
    };
    if let Some(name) = fields.get("x-mcp-header") {
        take(name, fields, path, reachable, found)?;
    }
    for (keyword, inner) in fields {
        match (keyword.as_str(), inner) {
            // Data, not schemas.
            ("const" | "enum" | "default" | "examples", _) => {}
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    path.push(name.clone());
                    walk(property, path, reachable, depth + 1, found)?;
                    path.pop();
                }
            }
            ("patternProperties" | "$defs" | "definitions" | "dependentSchemas", Value::Object(schemas)) => {
                schemas.values().try_for_each(|inner| walk(inner, path, false, depth + 1, found))?;
            }
            (_, inner) => walk(inner, path, false, depth + 1, found)?,
        }
    }
    Ok(())
}

fn take(
    name: &Value,
    fields: &Map<String, Value>,
    path: &[String],
    reachable: bool,
    found: &mut Vec<Mirrored>,
) -> Result<(), HeaderFault> {
    let name = name.as_str().ok_or(HeaderFault::Name)?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_token) {
        return Err(HeaderFault::Name);
    }
    if !reachable || path.is_empty() {
        return Err(HeaderFault::Place);
    }
    if !matches!(fields.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
        return Err(HeaderFault::Kind);
    }
    let header = format!("mcp-param-{}", name.to_ascii_lowercase());
    if found.iter().any(|known| known.header == header) {
        return Err(HeaderFault::Twice);
    }
    if found.len() == MIRRORED_MAX {
        return Err(HeaderFault::TooMany);
    }
    found.push(Mirrored { header, path: path.to_vec() });
    Ok(())
}

/// `tchar` of RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// The text as a header's value: itself when it is plain ASCII, else in base64 between marks.
#[must_use]
pub fn header_value(text: &str) -> String {
    let plain = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\t'))
        && text.trim_matches([' ', '\t']).len() == text.len()
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if plain { text.to_owned() } else { format!("=?base64?{}?=", BASE64_STANDARD.encode(text)) }
}
