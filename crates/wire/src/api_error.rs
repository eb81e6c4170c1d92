//! What an error body of a vendor's HTTP service says.
//!
//! Sources: platform.openai.com/docs/guides/error-codes, platform.claude.com/docs/en/api/errors,
//! docs.sarvam.ai/api-reference-docs/chat-completion/overview; vLLM and FastAPI servers answer in shapes of their own.

use serde_json::Value;

/// Longest piece of a vendor's error message that is kept, in bytes: enough to read, too little to carry a prompt.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 300;

/// What an error body says. The words are the vendor's: they may quote the request, so they are not for logs as they
/// are; `kind` and `code` are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// `type`, as `invalid_request_error`; empty = not said.
    pub kind: String,
    /// `code`, as `model_not_found`; empty = not said.
    pub code: String,
    /// `message`, at most [`ERROR_MESSAGE_BYTES_MAX`].
    pub message: String,
}

impl ApiError {
    /// Reads an error body: `{"error":{…}}` as OpenAI and Anthropic send it, and what others send (`{"error":"…"}`,
    /// `{"message":"…"}`, `{"detail":"…"}`, plain text).
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => {
                let inner = value.get("error").filter(|e| !e.is_null()).unwrap_or(&value);
                Self::from_value(inner)
            }
            Err(_) => Self { message: clip(&String::from_utf8_lossy(body)), ..Self::default() },
        }
    }

    /// Reads what stands under `error`.
    #[must_use]
    pub fn from_value(value: &Value) -> Self {
        let text = |name: &str| match value.get(name) {
            Some(Value::String(s)) => clip(s),
            Some(Value::Number(n)) => n.to_string(),
            _ => String::new(),
        };
        if let Value::String(message) = value {
            return Self { message: clip(message), ..Self::default() };
        }
        let message = text("message");
        Self {
            kind: text("type"),
            code: text("code"),
            message: if message.is_empty() { text("detail") } else { message },
        }
    }
}

fn clip(text: &str) -> String {
    text[..text.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_of_all_shapes_are_read() {
        for (body, kind, code, message) in [
            (
                r#"{"error":{"message":"You exceeded","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
                "insufficient_quota",
                "insufficient_quota",
                "You exceeded",
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#,
                "overloaded_error",
                "",
                "Overloaded",
            ),
            (
                r#"{"error":{"message":"Invalid key","code":"invalid_api_key_error","request_id":"1"}}"#,
                "",
                "invalid_api_key_error",
                "Invalid key",
            ),
            (r#"{"error":"model 'x' not found"}"#, "", "", "model 'x' not found"),
            (
                r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#,
                "BadRequestError",
                "400",
                "too long",
            ),
            (r#"{"detail":"Not Found"}"#, "", "", "Not Found"),
            ("upstream connect error", "", "", "upstream connect error"),
            ("", "", "", ""),
            ("[1,2]", "", "", ""),
        ] {
            let want = ApiError { kind: kind.into(), code: code.into(), message: message.into() };
            assert_eq!(ApiError::parse(body.as_bytes()), want, "{body}");
        }
        let long = ApiError::parse("é".repeat(1000).as_bytes());
        assert_eq!(long.message.len(), ERROR_MESSAGE_BYTES_MAX);
    }
}
