//! What Exotel expects as the answer to its questions.

/// The answer to the dynamic URL of a Voicebot applet: where to open the media socket
/// (support article 3000108630: HTTP 200, `application/json`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StreamReply<'a> {
    /// `wss://host/path`. Anything secret belongs into the path: query parameters do not survive reliably.
    pub url: &'a str,
}

impl StreamReply<'_> {
    /// The body.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.url.len() + 12);
        out.push_str("{\"url\":");
        crate::frame::push_json_string(self.url, &mut out);
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_what_exotel_reads() {
        for (url, want) in [
            ("wss://caly.example/media/exotel/abc", r#"{"url":"wss://caly.example/media/exotel/abc"}"#),
            ("wss://x/?a=\"b\"&c=1", r#"{"url":"wss://x/?a=\"b\"&c=1"}"#),
        ] {
            assert_eq!(StreamReply { url }.to_json(), want);
        }
    }
}
