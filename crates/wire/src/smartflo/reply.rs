//! What Smartflo expects as the answer to its question.

use crate::frame::push_json_string;

/// The answer of a Dynamic endpoint: where to open the media socket, as with Exotel. HTTP 200, `application/json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// `wss://host/path`.
    pub stream_url: &'a str,
}

impl Answer<'_> {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.stream_url.len() + 12);
        out.push_str("{\"url\":");
        push_json_string(self.stream_url, &mut out);
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_json() {
        for (stream_url, want) in [
            ("wss://caly.example/media/smartflo/abc", r#"{"url":"wss://caly.example/media/smartflo/abc"}"#),
            ("wss://x/\"\\", r#"{"url":"wss://x/\"\\"}"#),
        ] {
            assert_eq!(Answer { stream_url }.to_json(), want);
        }
    }
}
