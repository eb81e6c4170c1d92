//! The request's id and the client's address. What a client says of itself counts nothing; what one of our proxies says
//! counts.

use super::{Edge, Notes, RequestId};
use crate::origin::Client;
use crate::server::Peer;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Longest id taken over from a proxy; the usual ones have 32 or 36 characters.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// Entries of `X-Forwarded-For` that are looked at, from the right: more proxies stand in no row.
const HOPS_MAX: usize = 16;

/// What is found out on the way in; the request carries all of it, and the edge.
pub(super) fn arrive(edge: &Arc<Edge>, request: &mut Request) -> (RequestId, Notes, Option<Client>) {
    let proxies = &edge.app.edge.trusted_proxies;
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_canonical());
    let by_proxy = peer.is_some_and(|ip| trusted(proxies, ip));
    let id = RequestId(given_id(request.headers()).filter(|_| by_proxy).unwrap_or_else(new_request_id));
    // A test may hand in a request without a connection; then there is no address.
    let client = peer.map(|peer| if by_proxy { forwarded(request.headers(), peer, proxies) } else { direct(peer) });
    let notes = Notes::new(by_proxy);
    let extensions = request.extensions_mut();
    extensions.insert(id.clone());
    extensions.insert(notes.clone());
    extensions.insert(Arc::clone(edge));
    if let Some(client) = client {
        extensions.insert(client);
    }
    (id, notes, client)
}

/// Every answer names its request.
pub(super) fn name(id: &RequestId, response: &mut Response) {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

fn trusted(proxies: &[IpNet], ip: IpAddr) -> bool {
    proxies.iter().any(|net| net.contains(&ip))
}

/// Without a proxy nobody has taken off the encryption: there was none.
fn direct(peer: IpAddr) -> Client {
    Client { ip: peer, secure: false }
}

/// What a proxy of ours says of the client.
fn forwarded(headers: &HeaderMap, proxy: IpAddr, proxies: &[IpNet]) -> Client {
    let mut ip = proxy;
    // Each proxy adds whom it heard from at the right. Left of the first that is not ours, anything may stand.
    for entry in entries(headers, &FORWARDED_FOR).iter().rev().take(HOPS_MAX) {
        let Some(hop) = address(entry) else { break };
        ip = hop;
        if !trusted(proxies, hop) {
            break;
        }
    }
    // Every one of them must say https: a client that puts in its own can then only make itself less secure.
    let said = entries(headers, &FORWARDED_PROTO);
    Client { ip, secure: !said.is_empty() && said.iter().all(|word| word.eq_ignore_ascii_case("https")) }
}

/// The members of a list that may stand in several headers. An unreadable header is an unreadable member.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.to_str().unwrap_or("?").split(',')).map(str::trim).collect()
}

/// `203.0.113.9`, `203.0.113.9:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let ip = bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}

fn given_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let mut given = headers.get_all(REQUEST_ID).iter();
    let text = given.next()?.to_str().ok()?;
    let fits = given.next().is_none()
        && (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    fits.then(|| text.into())
}

/// 128 bits of randomness as 32 hexadecimal digits.
fn new_request_id() -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return "unknown".into();
    }
    let mut id = [0u8; 32];
    for (byte, pair) in bytes.iter().zip(id.as_chunks_mut::<2>().0) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]];
    }
    std::str::from_utf8(&id).unwrap_or("unknown").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn nets() -> Vec<IpNet> {
        ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().expect("a net")).collect()
    }

    fn proxy() -> IpAddr {
        "10.0.0.1".parse().expect("an address")
    }

    #[test]
    fn the_client_is_the_rightmost_that_is_no_proxy_of_ours() {
        for (lines, expected) in [
            (&["203.0.113.9"] as &[&str], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
            (&["1.1.1.1", "203.0.113.9,10.1.1.1 , 10.2.2.2"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db8::1]:4711, fd00::7"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            // All of them ours: the outermost.
            (&["10.9.9.9, 10.1.1.1"], "10.9.9.9"),
            // What cannot be read ends the row at the last one known.
            (&["203.0.113.9, unknown, 10.1.1.1"], "10.1.1.1"),
            (&["203.0.113.9, "], "10.0.0.1"),
            (&["for=203.0.113.9"], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            let list: Vec<(HeaderName, &str)> = lines.iter().map(|line| (FORWARDED_FOR, *line)).collect();
            let client = forwarded(&headers(&list), proxy(), &nets());
            assert_eq!(client.ip.to_string(), expected, "{lines:?}");
            assert!(!client.secure);
        }
    }

    #[test]
    fn a_long_row_is_not_followed_for_ever() {
        let row = vec!["10.1.1.1"; 100].join(",");
        let client = forwarded(&headers(&[(FORWARDED_FOR, format!("203.0.113.9,{row}").as_str())]), proxy(), &nets());
        assert_eq!(client.ip.to_string(), "10.1.1.1");
    }

    #[test]
    fn secure_is_what_every_proxy_says() {
        for (lines, secure) in [
            (&["https"] as &[&str], true),
            (&["HTTPS"], true),
            (&["https, https"], true),
            (&["https", "https"], true),
            (&["http"], false),
            (&["https, http"], false),
            (&["http", "https"], false),
            (&["wss"], false),
            (&[""], false),
            (&[], false),
        ] {
            let list: Vec<(HeaderName, &str)> = lines.iter().map(|line| (FORWARDED_PROTO, *line)).collect();
            assert_eq!(forwarded(&headers(&list), proxy(), &nets()).secure, secure, "{lines:?}");
        }
    }

    #[test]
    fn an_id_is_short_and_plain() {
        for (id, taken) in [
            ("a", true),
            ("0192a000-0000-7000-8000-000000000001", true),
            ("A.b_c-9", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a/b", false),
            ("a,b", false),
        ] {
            assert_eq!(given_id(&headers(&[(REQUEST_ID, id)])).is_some(), taken, "{id}");
        }
        assert!(given_id(&headers(&[(REQUEST_ID, "x".repeat(64).as_str())])).is_some());
        assert!(given_id(&headers(&[(REQUEST_ID, "x".repeat(65).as_str())])).is_none());
        let mut two = headers(&[(REQUEST_ID, "a")]);
        two.append(REQUEST_ID, HeaderValue::from_static("b"));
        assert!(given_id(&two).is_none(), "which of them?");
        assert_ne!(new_request_id(), new_request_id());
    }
}
