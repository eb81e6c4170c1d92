//! `X-Twilio-Signature`: base64 of HMAC-SHA1, with the account's auth token, over the address that Twilio called and
//! the POST's parameters, sorted (twilio.com/docs/usage/security). A JSON body is covered by its SHA-256 in the address.
//!
//! Sorted by name; names that repeat, by value, equal pairs once: as `twilio/twilio-python` does.
//!
//! The address is the public one, with its query, as Twilio knows it. Whether it signs a port that is the scheme's own
//! has changed over time, so that each address counts with and without.

use super::{Verdict, hmac_base64, said, verify_base64};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// Longest signature header read, in bytes: base64 of 20 bytes has 28.
const HEADER_BYTES_MAX: usize = 128;

/// The signature of a request: for those who send, and for tests.
#[must_use]
pub fn sign(token: &SecretString, url: &str, parameters: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    hmac_base64::<hmac::Hmac<Sha1>>(token.expose_secret().as_bytes(), signed_text(url, parameters).as_bytes())
}

/// Verifies a request whose body is urlencoded, or has none: `parameters` are the decoded pairs of the body, not of the
/// query. An empty token verifies nothing.
#[must_use]
pub fn verify(
    token: &SecretString,
    url: &str,
    parameters: &[(impl AsRef<str>, impl AsRef<str>)],
    signature: Option<&str>,
) -> Verdict {
    let Some(signature) = said(signature) else { return Verdict::Missing };
    if signature.len() > HEADER_BYTES_MAX {
        return Verdict::Wrong;
    }
    let key = token.expose_secret().as_bytes();
    let is_signed = |url: &str| {
        verify_base64::<hmac::Hmac<Sha1>>(key, signed_text(url, parameters).as_bytes(), signature) == Verdict::Valid
    };
    let [one, other] = port_variants(url);
    // All three are tried whatever the first says.
    if is_signed(url) | is_signed(&one) | is_signed(&other) { Verdict::Valid } else { Verdict::Wrong }
}

/// Verifies a request with any other body, such as JSON: `bodySHA256` in the address's query must be there, be the
/// body's, and be signed with the address.
#[must_use]
pub fn verify_body(token: &SecretString, url: &str, body: &[u8], signature: Option<&str>) -> Verdict {
    let none: &[(&str, &str)] = &[];
    match verify(token, url, none, signature) {
        Verdict::Valid => {}
        other => return other,
    }
    let query = url.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
    let said = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "bodySHA256");
    let actual: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    if said.is_some_and(|(_, hash)| hash == actual) { Verdict::Valid } else { Verdict::Wrong }
}

fn signed_text(url: &str, parameters: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    let mut pairs: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let bytes = pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let mut text = String::with_capacity(url.len() + bytes);
    text.push_str(url);
    for (name, value) in pairs {
        text.push_str(name);
        text.push_str(value);
    }
    text
}

/// The address without its port, and with one.
fn port_variants(url: &str) -> [Cow<'_, str>; 2] {
    let Some((scheme, rest)) = url.split_once("://") else { return [Cow::Borrowed(url), Cow::Borrowed(url)] };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    // Colons inside brackets belong to an IPv6 address.
    let ports_from = authority.rfind(']').unwrap_or(host_at).max(host_at);
    match authority[ports_from..].rfind(':') {
        Some(colon) => {
            let without = &authority[..ports_from + colon];
            [Cow::Owned(format!("{scheme}://{without}{tail}")), Cow::Borrowed(url)]
        }
        None => {
            let port = if matches!(scheme, "https" | "wss") { 443 } else { 80 };
            [Cow::Borrowed(url), Cow::Owned(format!("{scheme}://{authority}:{port}{tail}"))]
        }
    }
}
