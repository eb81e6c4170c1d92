//! The texts of a request: its address, its headers and a short body, decoded as their reader will decode them.

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use std::borrow::Cow;

/// Longest body that is looked at. A flow fits; what is longer is a document, or no good.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Path and query, decoded.
pub(super) fn address(uri: &Uri) -> Vec<String> {
    let mut texts = vec![percent_decoded(uri.path())];
    texts.extend(pairs(uri.query().unwrap_or_default().as_bytes()));
    texts
}

/// Values of headers. Credentials are none of our business.
pub(super) fn headers(headers: &HeaderMap) -> Vec<String> {
    let secret = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
    let open = headers.iter().filter(|(name, _)| !secret.contains(name));
    open.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// What `Content-Length` says.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The texts of a short body, and the body, unread as before.
pub(super) async fn body(parts: &Parts, body: Body) -> (Body, Vec<String>) {
    let Some(kind) = Kind::of(&parts.headers) else { return (body, Vec::new()) };
    if declared_length(&parts.headers).is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return (body, Vec::new());
    }
    match short(body).await {
        Ok(bytes) => {
            let texts = kind.texts(&bytes);
            (Body::from(bytes), texts)
        }
        Err(body) => (body, Vec::new()),
    }
}

/// A short body as a whole; a longer or broken one as it was.
async fn short(body: Body) -> Result<Bytes, Body> {
    let mut rest = body.into_data_stream();
    let mut read: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    while let Some(piece) = rest.next().await {
        let broken = piece.is_err();
        bytes += piece.as_ref().map_or(0, Bytes::len);
        let too_long = bytes > BODY_BYTES_MAX;
        if broken || too_long {
            let before = stream::iter(read.into_iter().map(Ok));
            return Err(Body::from_stream(before.chain(stream::iter([piece])).chain(rest)));
        }
        read.extend(piece);
    }
    Ok(if read.len() == 1 { read.remove(0) } else { read.concat().into() })
}

#[derive(Clone, Copy)]
enum Kind {
    Json,
    Form,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/x-www-form-urlencoded" => Some(Self::Form),
            "application/json" => Some(Self::Json),
            other => other.ends_with("+json").then_some(Self::Json),
        }
    }

    fn texts(self, bytes: &[u8]) -> Vec<String> {
        match self {
            Self::Form => pairs(bytes),
            Self::Json => match serde_json::from_slice(bytes) {
                Ok(value) => {
                    let mut texts = Vec::new();
                    collect(value, &mut texts);
                    texts
                }
                // Attempts often break the JSON.
                Err(_) => vec![String::from_utf8_lossy(bytes).into_owned()],
            },
        }
    }
}

/// Depth is bounded by the parser.
fn collect(value: Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| collect(item, texts)),
        Value::Object(fields) => {
            for (name, field) in fields {
                texts.push(name);
                collect(field, texts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn pairs(bytes: &[u8]) -> Vec<String> {
    form_urlencoded::parse(bytes).flat_map(|(name, value)| [name, value]).map(Cow::into_owned).collect()
}

/// `%27` and its like. Unlike in a form, `+` stays.
fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = (byte == b'%').then(|| path.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                decoded.push(code);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use axum::http::Request;

    fn parts(kind: &str) -> Parts {
        Request::builder().header("content-type", kind).body(()).expect("a request").into_parts().0
    }

    #[test]
    fn addresses_are_decoded() {
        let uri: Uri = "/a/%3Cb%3E+%2?q=1%27+or+1%3D1&%E0%A4%B9".parse().expect("an address");
        assert_eq!(address(&uri), ["/a/<b>+%2", "q", "1' or 1=1", "ह", ""]);
        assert_eq!(percent_decoded("%"), "%");
        assert_eq!(percent_decoded("%é1"), "%é1");
    }

    #[test]
    fn credentials_are_not_read() {
        let request =
            Request::builder().header("authorization", "Bearer x").header("cookie", "y").header("referer", "z");
        assert_eq!(headers(&request.body(()).expect("a request").into_parts().0.headers), ["z"]);
    }

    #[tokio::test]
    async fn a_body_is_put_back_as_it_was() {
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        for (kind, text, texts) in [
            ("application/json; charset=utf-8", r#"{"a":["b\u0027",1,{"c":null}]}"#, vec!["a", "b'", "c"]),
            ("application/problem+json", r#""x""#, vec!["x"]),
            ("application/json", r#"{"a": '"#, vec![r#"{"a": '"#]),
            ("application/x-www-form-urlencoded", "a=b%27&c", vec!["a", "b'", "c", ""]),
            ("text/plain", "<script>", vec![]),
            ("application/json", &long, vec![]),
            ("application/json", "", vec![""]),
        ] {
            for size in [1, 7, 70_000] {
                let pieces: Vec<Bytes> = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
                let sent = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
                let (put_back, found) = body(&parts(kind), sent).await;
                assert_eq!(found, texts, "{kind} {size}");
                assert_eq!(to_bytes(put_back, usize::MAX).await.expect("read"), text.as_bytes(), "{kind} {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_broken_body_stays_broken() {
        let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))];
        let (put_back, found) = body(&parts("application/json"), Body::from_stream(stream::iter(pieces))).await;
        assert!(found.is_empty());
        assert!(to_bytes(put_back, usize::MAX).await.is_err());
    }
}
