//! What comes back: read up to a cap, cut to what a model reads, and never quoted with headers or addresses of ours.

use super::clients::Trouble;
use super::template::scalar;
use super::{Failure, ToolError, ToolOutput};
use crate::egress::why;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::Value;
use std::collections::BTreeMap;

/// Read of an answer. A model reads 32 kB at most; a page of JSON is made smaller before.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1_024;
/// Read of an answer that says no.
const ERROR_BODY_BYTES_MAX: usize = 16 * 1_024;
/// Told of it.
const ERROR_BYTES_MAX: usize = 300;
/// Values for flows.
const VALUES_MAX: usize = 64;
/// Longest of them, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;
/// Stands at the end of what was cut.
const CUT: &str = " … (the answer was longer and was cut here)";

/// A body, as far as it was read.
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// There was more.
    pub(super) cut: bool,
}

/// Reads a body up to a cap.
pub(super) async fn read(response: &mut reqwest::Response, bytes_max: usize) -> Result<Body, Trouble> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| Trouble::Broken(why(&error)))? {
        let room = bytes_max - bytes.len();
        bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            return Ok(Body { bytes, cut: true });
        }
    }
    Ok(Body { bytes, cut: false })
}

/// What kind of content it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Events,
    Text,
    /// It does not say.
    Unsaid,
    Other,
}

pub(super) fn kind(response: &reqwest::Response) -> Kind {
    // Nothing was offered, so nothing may be packed.
    if response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Kind::Other;
    }
    let Some(said) = response.headers().get(CONTENT_TYPE) else { return Kind::Unsaid };
    let said = said.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match said.as_str() {
        "" => Kind::Unsaid,
        "application/json" | "text/json" => Kind::Json,
        "text/event-stream" => Kind::Events,
        // A page is for eyes; its text is lost among its marks.
        "text/html" => Kind::Other,
        _ if said.starts_with("application/") && said.ends_with("+json") => Kind::Json,
        _ if said.starts_with("text/") => Kind::Text,
        _ => Kind::Other,
    }
}

/// The output that an answer of a web service with a status from 200 to 299 is.
pub(super) async fn success(mut response: reqwest::Response, bytes_max: usize) -> Result<ToolOutput, Failure> {
    let kind = kind(&response);
    let body = read(&mut response, BODY_BYTES_MAX).await?;
    let failed = |said: &str| Failure::after(ToolError::Failed(said.to_owned()));
    if body.bytes.iter().all(u8::is_ascii_whitespace) && !body.cut {
        return Ok(ToolOutput { text: "done".to_owned(), values: BTreeMap::new() });
    }
    match kind {
        Kind::Json if body.cut => Err(Failure::after(ToolError::TooLarge)),
        Kind::Json => {
            let value =
                serde_json::from_slice(&body.bytes).map_err(|_| failed("the service answered with broken JSON"))?;
            Ok(output(&value, bytes_max))
        }
        Kind::Text | Kind::Unsaid => {
            if let (Kind::Unsaid, Ok(value)) = (kind, serde_json::from_slice::<Value>(&body.bytes)) {
                return Ok(output(&value, bytes_max));
            }
            let text = match std::str::from_utf8(&body.bytes) {
                Ok(text) => text,
                // The cap may have cut a character in two.
                Err(error) if body.cut => {
                    std::str::from_utf8(&body.bytes[..error.valid_up_to()]).map_err(|_| failed(NO_TEXT))?
                }
                Err(_) => return Err(failed(NO_TEXT)),
            };
            Ok(ToolOutput { text: cut(text, bytes_max), values: BTreeMap::new() })
        }
        Kind::Events | Kind::Other => Err(failed("the service answered with something that is neither JSON nor text")),
    }
}

const NO_TEXT: &str = "the service answered with something that is no text";

/// The failure that an answer with another status is.
pub(super) async fn failure(mut response: reqwest::Response) -> ToolError {
    let status = response.status().as_u16();
    if (300..400).contains(&status) {
        return ToolError::Failed(format!("the service sent us elsewhere (status {status}), which is not followed"));
    }
    let mut said = format!("the service answered with status {status}");
    if kind(&response) == Kind::Json
        && let Ok(body) = read(&mut response, ERROR_BODY_BYTES_MAX).await
        && let Ok(value) = serde_json::from_slice::<Value>(&body.bytes)
    {
        let text = value.to_string();
        said.push_str(": ");
        said.push_str(&text[..text.floor_char_boundary(ERROR_BYTES_MAX)]);
    }
    ToolError::Failed(said)
}

/// A JSON value as output. Written without spaces, a model reads more of it.
pub(super) fn output(value: &Value, bytes_max: usize) -> ToolOutput {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    ToolOutput { text: cut(&text, bytes_max), values: values(value, VALUE_BYTES_MAX) }
}

/// The scalars at the top of an object; not more than [`VALUES_MAX`].
pub(super) fn values(value: &Value, bytes_max: usize) -> BTreeMap<String, String> {
    let fields = value.as_object().into_iter().flatten().filter(|(name, _)| is_name(name));
    let scalars = fields.filter_map(|(name, value)| {
        let mut text = scalar(value)?;
        text.truncate(text.floor_char_boundary(bytes_max));
        Some((name.clone(), text))
    });
    scalars.take(VALUES_MAX).collect()
}

/// What can stand between braces.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.trim() == name
        && !name.contains(['{', '}'])
        && !name.contains(char::is_control)
}

/// `text` up to so many bytes, with a remark when that is not all; without control characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    let mut out: String = text[..end].chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    if end < text.len() {
        out.push_str(CUT);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_cut_says_so_and_ends_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), format!("abc{CUT}"));
        assert_eq!(cut("aéé", 2), format!("a{CUT}"));
        assert_eq!(cut("a\u{0}\u{1b}[2Jb\n", 99), "a[2Jb\n");
    }

    #[test]
    fn flows_get_the_scalars_at_the_top() {
        let value =
            json!({"id": "A-1", "n": 7, "ok": true, "none": null, "list": [1], "in": {"x": 1}, "": "e", "a}": "b"});
        let want = [("id", "A-1"), ("n", "7"), ("ok", "true")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(values(&value, 10), BTreeMap::from(want));
        let many: serde_json::Map<String, Value> = (0..100).map(|n| (format!("n{n}"), json!("ééé"))).collect();
        let many = values(&Value::Object(many), 3);
        assert!(many.len() == VALUES_MAX && many.values().all(|text| text == "é"));
        assert!(values(&json!([1]), 9).is_empty());
    }
}
