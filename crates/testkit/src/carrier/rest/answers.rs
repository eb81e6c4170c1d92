//! Answers in both codings: JSON when the path says `.json`, otherwise `TwilioResponse` in XML.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// A refusal in this carrier's words: a `RestException`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What HTTP says. A 2xx has been seen around a refusal.
    pub http_status: u16,
    /// What the body says.
    pub status: u16,
    /// The code, when there is one: digits, or a word.
    pub code: Option<String>,
    /// The message.
    pub message: String,
    /// `Retry-After`.
    pub retry_after_s: Option<u32>,
}

impl Refusal {
    /// Without a code.
    #[must_use]
    pub fn new(status: u16, message: &str) -> Self {
        Self { http_status: status, status, code: None, message: message.to_owned(), retry_after_s: None }
    }

    /// With this code.
    #[must_use]
    pub fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }

    /// In an answer that HTTP calls a success.
    #[must_use]
    pub fn in_success(self) -> Self {
        Self { http_status: 200, ..self }
    }

    /// With this `Retry-After`.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    fn body(&self) -> Value {
        let mut exception = Map::from_iter([("Status".to_owned(), self.status.into())]);
        if let Some(code) = &self.code {
            exception.insert("Code".to_owned(), code.parse::<u32>().map_or_else(|_| code.as_str().into(), Value::from));
        }
        exception.insert("Message".to_owned(), self.message.as_str().into());
        json!({ "RestException": exception })
    }

    pub(super) fn answer(&self, as_json: bool) -> Response {
        let mut response = answer(self.http_status, &self.body(), as_json);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
        }
        response
    }
}

/// This body in the coding asked for.
pub(super) fn answer(status: u16, body: &Value, as_json: bool) -> Response {
    if as_json {
        return text(status, "application/json", body.to_string());
    }
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TwilioResponse>".to_owned();
    write_content(&mut xml, "Item", body);
    xml.push_str("</TwilioResponse>");
    text(status, "application/xml", xml)
}

/// A body as it is.
pub(super) fn text(status: u16, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
    response
}

fn write_element(xml: &mut String, name: &str, value: &Value) {
    if value.is_null() {
        let _ = write!(xml, "<{name}/>");
        return;
    }
    let _ = write!(xml, "<{name}>");
    write_content(xml, name, value);
    let _ = write!(xml, "</{name}>");
}

fn write_content(xml: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| write_element(xml, name, value)),
        Value::Array(items) => {
            let singular = name.strip_suffix('s').unwrap_or(name);
            for item in items {
                // `[{"Leg": {…}}]` names its items itself.
                match item.as_object().filter(|fields| fields.len() == 1) {
                    Some(_) => write_content(xml, singular, item),
                    None => write_element(xml, singular, item),
                }
            }
        }
        Value::String(text) => xml.push_str(&escaped(text)),
        Value::Bool(_) | Value::Number(_) => xml.push_str(&value.to_string()),
        Value::Null => {}
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_names_lists_and_blanks_as_exotel_does() {
        let mut xml = String::new();
        let body =
            json!({"Call": {"Sid": "c", "To": null}, "Calls": [{"Sid": "a&b", "N": 1}], "Legs": [{"Leg": {"Id": 1}}]});
        write_content(&mut xml, "x", &body);
        assert_eq!(
            xml,
            "<Call><Sid>c</Sid><To/></Call><Calls><Call><N>1</N><Sid>a&amp;b</Sid></Call></Calls><Legs><Leg><Id>1</Id></Leg></Legs>"
        );
        let refusal = Refusal::new(400, "no").with_code("34001");
        assert_eq!(refusal.body(), json!({"RestException": {"Status": 400, "Code": 34001, "Message": "no"}}));
        assert_eq!(refusal.with_code("RATE").body()["RestException"]["Code"], "RATE");
    }
}
