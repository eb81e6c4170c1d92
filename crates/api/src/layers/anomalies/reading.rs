//! The texts of a request: its address, its headers and a short body, decoded as their reader will decode them.

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use futures_util::{StreamExt, stream};
use serde::Deserializer;
use serde::de::{self, DeserializeSeed, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Longest body that is looked at. A flow fits; what is longer is a document, or no good.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Of the names of kinds that are JSON underneath.
const SUFFIX: &str = "+json";

/// Path (unless it is `fixed`, a route's own) and query, decoded.
pub(super) fn address(uri: &Uri, fixed: bool, look: &mut impl FnMut(&str)) {
    if !fixed {
        look(&percent_decoded(uri.path()));
    }
    if let Some(query) = uri.query() {
        pairs(query.as_bytes(), look);
    }
}

/// Values of headers. Credentials are none of our business.
pub(super) fn headers(headers: &HeaderMap, look: &mut impl FnMut(&str)) {
    const SECRET: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
    for (_, value) in headers.iter().filter(|(name, _)| !SECRET.contains(name)) {
        look(&String::from_utf8_lossy(value.as_bytes()));
    }
}

/// What `Content-Length` says.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Looks at the texts of a short body; the body, unread as before.
pub(super) async fn body(parts: &Parts, body: Body, look: &mut impl FnMut(&str)) -> Body {
    let Some(kind) = Kind::of(&parts.headers) else { return body };
    if declared_length(&parts.headers).is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return body;
    }
    match short(body).await {
        Ok(bytes) => {
            kind.texts(&bytes, look);
            Body::from(bytes)
        }
        Err(body) => body,
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
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
        if kind.eq_ignore_ascii_case("application/json") {
            return Some(Self::Json);
        }
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Some(Self::Form);
        }
        let suffix = kind.len().checked_sub(SUFFIX.len()).and_then(|at| kind.get(at..));
        suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(SUFFIX)).then_some(Self::Json)
    }

    fn texts(self, bytes: &[u8], look: &mut impl FnMut(&str)) {
        match self {
            Self::Form => pairs(bytes, look),
            Self::Json => {
                let mut json = serde_json::Deserializer::from_slice(bytes);
                let read = Texts(&mut *look).deserialize(&mut json).and_then(|()| json.end());
                if read.is_err() {
                    // Attempts often break the JSON.
                    look(&String::from_utf8_lossy(bytes));
                }
            }
        }
    }
}

/// Looks at every text of a JSON value, names included, as they come. Depth is bounded by the parser.
struct Texts<'a, F>(&'a mut F);

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for Texts<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str)> Visitor<'de> for Texts<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        (self.0)(text);
        Ok(())
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Texts(&mut *self.0))?.is_some() {}
        Ok(())
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Texts(&mut *self.0))?.is_some() {
            map.next_value_seed(Texts(&mut *self.0))?;
        }
        Ok(())
    }
}

fn pairs(bytes: &[u8], look: &mut impl FnMut(&str)) {
    for (name, value) in form_urlencoded::parse(bytes) {
        look(&name);
        look(&value);
    }
}

/// `%27` and its like. Unlike in a form, `+` stays.
fn percent_decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
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
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
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
        let mut texts = Vec::new();
        address(&uri, false, &mut |text: &str| texts.push(text.to_owned()));
        assert_eq!(texts, ["/a/<b>+%2", "q", "1' or 1=1", "ह", ""]);
        address(&"/a/b?c".parse().expect("an address"), true, &mut |text: &str| texts.push(text.to_owned()));
        assert_eq!(texts[5..], ["c", ""], "a route's own path says nothing");
        assert_eq!(percent_decoded("%"), "%");
        assert_eq!(percent_decoded("%é1"), "%é1");
    }

    #[test]
    fn credentials_are_not_read() {
        let request =
            Request::builder().header("authorization", "Bearer x").header("cookie", "y").header("referer", "z");
        let mut texts = Vec::new();
        let request = request.body(()).expect("a request");
        headers(request.headers(), &mut |text: &str| texts.push(text.to_owned()));
        assert_eq!(texts, ["z"]);
    }

    #[tokio::test]
    async fn a_body_is_put_back_as_it_was() {
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        for (kind, text, texts) in [
            ("application/json; charset=utf-8", r#"{"a":["b\u0027",1,{"c":null}]}"#, vec!["a", "b'", "c"]),
            ("application/problem+json", r#""x""#, vec!["x"]),
            ("application/json", r#"{"a": '"#, vec!["a", r#"{"a": '"#]),
            ("application/JSON", r#"{"a":[true,-1,1.5,[],{}]} x"#, vec!["a", r#"{"a":[true,-1,1.5,[],{}]} x"#]),
            ("application/x-www-form-urlencoded", "a=b%27&c", vec!["a", "b'", "c", ""]),
            ("text/plain", "<script>", vec![]),
            ("application/json", &long, vec![]),
            ("application/json", "", vec![""]),
        ] {
            for size in [1, 7, 70_000] {
                let pieces: Vec<Bytes> = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
                let sent = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
                let mut found: Vec<String> = Vec::new();
                let put_back = body(&parts(kind), sent, &mut |text: &str| found.push(text.to_owned())).await;
                assert_eq!(found, texts, "{kind} {size}");
                assert_eq!(to_bytes(put_back, usize::MAX).await.expect("read"), text.as_bytes(), "{kind} {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_broken_body_stays_broken() {
        let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))];
        let sent = Body::from_stream(stream::iter(pieces));
        let put_back = body(&parts("application/json"), sent, &mut |_: &str| panic!("nothing to look at")).await;
        assert!(to_bytes(put_back, usize::MAX).await.is_err());
    }
}
