//! Addresses and texts with gaps: `{name}` is an argument, `{{name}}` one of the call's variables. What fills a gap of an
//! address stays one segment of its path or one value of its query, whatever it is: neither host nor structure can change.

use super::ToolError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use url::Url;
use wire::destination::{self, Allowed, Refused};

/// Most gaps of one address.
const GAPS_MAX: usize = 50;
/// Fills the gaps when the address is looked at without a call.
const STAND_IN: &str = "x";

/// Why an address with gaps cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateFault {
    /// It may not be sent to.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// A gap in the scheme, the host or the port.
    #[error("may have {{…}} after the host only")]
    Host,
    /// It has a part after `#`.
    #[error("may have no part after #")]
    Fragment,
    /// A brace without its other one, an empty name, or too many gaps.
    #[error("has braces that do not belong together, or too many")]
    Braces,
    /// `%` that encodes nothing.
    #[error("has a % without two hexadecimal digits after it")]
    Percent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Argument(String),
    Variable(String),
}

/// An address with gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// Scheme, host and port.
    base: String,
    /// What stands between the slashes.
    segments: Vec<Vec<Piece>>,
    /// What stands after the question mark.
    query: Option<Vec<Piece>>,
}

/// Where a gap's value comes from.
pub(crate) struct Values<'a> {
    /// What the model and the agent say.
    pub(crate) arguments: &'a Map<String, Value>,
    /// What the call knows.
    pub(crate) variables: &'a BTreeMap<String, String>,
}

impl Template {
    /// Reads an address. Its host is checked here, once for all.
    pub(crate) fn parse(text: &str, allowed: Allowed) -> Result<Self, TemplateFault> {
        let authority = text.find("://").ok_or(Refused::Unreadable)? + 3;
        let rest = &text[authority..];
        let end = authority + rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (base, tail) = text.split_at(end);
        if base.contains(['{', '}']) {
            return Err(TemplateFault::Host);
        }
        if tail.contains('#') {
            return Err(TemplateFault::Fragment);
        }
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (tail, None),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let segments = split_outside_braces(path).into_iter().map(pieces).collect::<Result<Vec<_>, _>>()?;
        let query = query.map(pieces).transpose()?;
        let template = Self { base: base.to_owned(), segments, query };
        if template.all().filter(|piece| !matches!(piece, Piece::Literal(_))).count() > GAPS_MAX {
            return Err(TemplateFault::Braces);
        }
        let with_stand_ins = template.write(|_| Ok::<_, TemplateFault>(STAND_IN.to_owned()))?;
        destination::parse(&with_stand_ins, allowed)?;
        Ok(template)
    }

    fn all(&self) -> impl Iterator<Item = &Piece> {
        self.segments.iter().chain(&self.query).flatten()
    }

    /// The arguments that it takes.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.all().filter_map(|piece| match piece {
            Piece::Argument(name) => Some(name.as_str()),
            Piece::Literal(_) | Piece::Variable(_) => None,
        })
    }

    /// The names in its query.
    pub(crate) fn query_names(&self) -> Vec<String> {
        let text = self.write(|_| Ok::<_, TemplateFault>(STAND_IN.to_owned()));
        let url = text.ok().and_then(|text| Url::parse(&text).ok());
        url.map(|url| url.query_pairs().map(|(name, _)| name.into_owned()).collect()).unwrap_or_default()
    }

    fn write<E>(&self, fill: impl Fn(&Piece) -> Result<String, E>) -> Result<String, E> {
        let join = |pieces: &[Piece]| -> Result<String, E> {
            pieces.iter().try_fold(String::new(), |mut out, piece| {
                match piece {
                    Piece::Literal(text) => out.push_str(text),
                    Piece::Argument(_) | Piece::Variable(_) => out.push_str(&fill(piece)?),
                }
                Ok(out)
            })
        };
        let mut out = self.base.clone();
        for segment in &self.segments {
            out.push('/');
            out.push_str(&join(segment)?);
        }
        if let Some(query) = &self.query {
            out.push('?');
            out.push_str(&join(query)?);
        }
        Ok(out)
    }

    /// The address for these values.
    pub(crate) fn fill(&self, values: &Values<'_>, allowed: Allowed) -> Result<Url, ToolError> {
        let text = self.write(|piece| encoded(piece, values))?;
        for segment in &self.segments {
            if segment.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
                continue;
            }
            let one = Self { base: String::new(), segments: vec![segment.clone()], query: None };
            let filled = one.write(|piece| encoded(piece, values))?.to_ascii_lowercase().replace("%2e", ".");
            if matches!(filled.as_str(), "/" | "/." | "/..") {
                return Err(ToolError::Arguments("what goes into the address may not be empty, . or ..".to_owned()));
            }
        }
        let odd = || ToolError::Refused("the address could not be made".to_owned());
        let url = destination::parse(&text, allowed).map_err(|_| odd())?;
        let plain = self.write(|_| Ok::<_, ToolError>(STAND_IN.to_owned()))?;
        let plain = destination::parse(&plain, allowed).map_err(|_| odd())?;
        // Belt and braces: what was filled in has changed nothing but what it fills.
        let parts = |url: &Url| {
            let segments = url.path_segments().map_or(0, Iterator::count);
            (url.origin(), segments, url.query_pairs().count(), url.fragment().is_some())
        };
        if parts(&url) == parts(&plain) { Ok(url) } else { Err(odd()) }
    }
}

/// Slashes in a gap's name would be no part of the path.
fn split_outside_braces(path: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    path.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(c, '/' | '\\')
    })
    .collect()
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateFault> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let Some(at) = rest.find('{') else {
            literal(rest, &mut out)?;
            return Ok(out);
        };
        literal(&rest[..at], &mut out)?;
        rest = &rest[at..];
        let (open, close) = if rest.starts_with("{{") { ("{{", "}}") } else { ("{", "}") };
        let inside = &rest[open.len()..];
        let end = inside.find(close).ok_or(TemplateFault::Braces)?;
        let name = inside[..end].trim();
        if name.is_empty() || name.contains(['{', '}', '/', '?', '#']) {
            return Err(TemplateFault::Braces);
        }
        let name = name.to_owned();
        out.push(if open.len() == 2 { Piece::Variable(name) } else { Piece::Argument(name) });
        rest = &inside[end + close.len()..];
    }
}

fn literal(text: &str, out: &mut Vec<Piece>) -> Result<(), TemplateFault> {
    if text.contains('}') {
        return Err(TemplateFault::Braces);
    }
    let hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if text.match_indices('%').any(|(at, _)| !hex(at + 1) || !hex(at + 2)) {
        return Err(TemplateFault::Percent);
    }
    if !text.is_empty() {
        out.push(Piece::Literal(text.to_owned()));
    }
    Ok(())
}

fn encoded(piece: &Piece, values: &Values<'_>) -> Result<String, ToolError> {
    match piece {
        Piece::Literal(text) => Ok(text.clone()),
        Piece::Argument(name) => {
            let missing = || ToolError::Arguments(format!("`{name}` is missing"));
            let value = values.arguments.get(name).filter(|value| !value.is_null()).ok_or_else(missing)?;
            let text = scalar(value)
                .ok_or_else(|| ToolError::Arguments(format!("`{name}` must be a text, a number, true or false")))?;
            Ok(encode(&text))
        }
        Piece::Variable(name) => {
            let missing = || ToolError::Failed(format!("this call does not know `{name}`, which the tool needs"));
            Ok(encode(values.variables.get(name).filter(|value| !value.is_empty()).ok_or_else(missing)?))
        }
    }
}

/// The text of a value that is no list and no object.
pub(crate) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Everything but the unreserved characters of RFC 3986 is encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(byte as char);
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `{{name}}` replaced by the call's variable; a name without one vanishes. What a value holds is not looked at again.
pub(crate) fn fill_text(template: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((head, tail)) = rest.split_once("{{") {
        let Some((name, after)) = tail.split_once("}}") else { break };
        out.push_str(head);
        out.push_str(variables.get(name.trim()).map_or("", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
