//! As much of HTTP/1.1 as the two sides here need: heads, bodies with a length, the WebSocket handshake.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// Longest head with its body. A chat request holds a whole conversation.
pub(super) const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// RFC 6455, section 1.3.
const HANDSHAKE_ID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A client's nonce; the answer to it is the same for every call, and is not checked.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A request whose body, if any, is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Path and query.
    pub(super) target: &'a str,
    /// Of a WebSocket handshake.
    pub(super) key: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// Bytes of all of it.
    pub(super) length: usize,
}

/// An answer whose body, if any, is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
    /// Bytes of all of it.
    pub(super) length: usize,
}

/// What can be neither.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came is no HTTP")]
pub(super) struct NoHttp;

struct Head<'a> {
    first: &'a str,
    lines: &'a str,
    length: usize,
}

fn head(bytes: &[u8]) -> Result<Option<Head<'_>>, NoHttp> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(NoHttp);
    }
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| NoHttp)?;
    let (first, lines) = text.split_once("\r\n").unwrap_or((text, ""));
    Ok(Some(Head { first, lines, length: end + 4 }))
}

impl<'a> Head<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        self.lines.split("\r\n").find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn body_length(&self) -> Result<usize, NoHttp> {
        self.value("content-length").map_or(Ok(0), |value| value.parse().map_err(|_| NoHttp))
    }
}

/// Where these bytes are first.
pub(super) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The first request of these bytes; none when there is more to come.
pub(super) fn request(bytes: &[u8]) -> Result<Option<Request<'_>>, NoHttp> {
    let Some(head) = head(bytes)? else { return Ok(None) };
    let mut words = head.first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().ok_or(NoHttp)?);
    let length = head.length.saturating_add(head.body_length()?);
    if length > MESSAGE_BYTES_MAX {
        return Err(NoHttp);
    }
    let Some(body) = bytes.get(head.length..length) else { return Ok(None) };
    Ok(Some(Request { method, target, key: head.value("sec-websocket-key"), body, length }))
}

/// The first answer of these bytes; none when there is more to come.
pub(super) fn response(bytes: &[u8]) -> Result<Option<Response<'_>>, NoHttp> {
    let Some(head) = head(bytes)? else { return Ok(None) };
    let status = head.first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let status = status.and_then(|status| status.parse().ok()).ok_or(NoHttp)?;
    let length = head.length.saturating_add(head.body_length()?);
    let Some(body) = bytes.get(head.length..length) else { return Ok(None) };
    Ok(Some(Response { status, body, length }))
}

/// A client's handshake.
pub(super) fn upgrade(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// A server's answer to this key.
pub(super) fn upgraded(key: &str) -> Vec<u8> {
    let accept = STANDARD.encode(Sha1::digest(format!("{key}{HANDSHAKE_ID}")));
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// A client's message with a body, on a connection of its own.
pub(super) fn post(host: &str, path: &str, content_type: &str, headers: &[(&str, String)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: {content_type}\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_or_waited_for() {
        let bytes = post("h", "/a?b=c", "text/plain", &[("x", "y".to_owned())], "body");
        for split in 0..bytes.len() {
            assert_eq!(request(&bytes[..split]), Ok(None), "{split}");
        }
        let read = request(&bytes).expect("HTTP").expect("whole");
        assert_eq!((read.method, read.target, read.body, read.key), ("POST", "/a?b=c", &b"body"[..], None));
        assert_eq!(read.length, bytes.len());
    }

    #[test]
    fn the_handshake_of_the_standard() {
        let bytes = upgrade("h", "/ws");
        let read = request(&bytes).expect("HTTP").expect("whole");
        assert_eq!((read.method, read.key), ("GET", Some(KEY)));
        let answer = upgraded(KEY);
        let text = std::str::from_utf8(&answer).expect("text");
        assert!(text.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{text}");
        assert_eq!(response(&answer).expect("HTTP").expect("whole").status, 101);
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nnoX";
        assert_eq!(response(bytes), Ok(Some(Response { status: 503, body: b"no", length: bytes.len() - 1 })));
        assert_eq!(response(&bytes[..bytes.len() - 2]), Ok(None));
        assert_eq!(response(b"SSH-2.0\r\n\r\n"), Err(NoHttp));
        assert_eq!(request(b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"), Err(NoHttp));
        assert_eq!(request(b"\r\n\r\n"), Err(NoHttp));
    }
}
