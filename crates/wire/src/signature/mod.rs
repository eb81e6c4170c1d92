//! Webhook signatures: HMAC-SHA1 over the raw body, in hexadecimal or base64, compared in constant time, and the age of
//! a request where it says one.
//!
//! Carriers that sign in a way of their own have a file each here; the rest of this one is the plain way.
//!
//! Exotel documents no signature; one appears only where a deployment's proxy or flow adds it, so it is one of several
//! ways to tell a real webhook (the others are not bytes and live with the routes).

pub mod plivo;
pub mod twilio;
pub mod vobiz;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;

/// A request whose own time is further away from now than this is refused, before or after.
pub const TIMESTAMP_WINDOW_S: i64 = 300;
/// Longest signature header read, in bytes: 40 hexadecimal digits and a scheme's name fit.
const HEADER_BYTES_MAX: usize = 128;
/// Longest credentials of HTTP Basic read, coded, in bytes.
const BASIC_BYTES_MAX: usize = 1024;
/// Bytes of a SHA-1.
const SHA1_BYTES: usize = 20;

/// Whether a webhook comes from who knows the secret, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Valid,
    /// No signature given.
    Missing,
    /// A signature of something else.
    Wrong,
    /// Rightly signed, but its time is not within [`TIMESTAMP_WINDOW_S`] of now, or unreadable.
    TooOld,
}

/// What a signed request carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignedRequest<'a> {
    /// The body as received, byte for byte.
    pub body: &'a [u8],
    /// Header `x-exotel-signature`.
    pub signature: Option<&'a str>,
    /// Header `x-exotel-timestamp`: Unix seconds or milliseconds, or RFC 3339. The signature does not cover it.
    pub timestamp: Option<&'a str>,
    /// The body's own `Timestamp`, which the signature covers; written likewise.
    pub body_timestamp: Option<&'a str>,
}

impl SignedRequest<'_> {
    /// What the request is known by if it comes again: its signature, however written, and its time. The same signed
    /// body may be sent anew with another time in the header, but not when the body itself says the time. `None` when it
    /// says no time or has no readable signature. Whoever has seen a request can give it another time in the header, or
    /// none: where a repetition would do harm see [`untimed_identity`](Self::untimed_identity).
    #[must_use]
    pub fn replay_identity(&self) -> Option<Vec<u8>> {
        let mut identity = digest_of(self.signature?)?;
        match (said(self.body_timestamp), said(self.timestamp)) {
            (Some(_), _) => {}
            (None, Some(header)) => identity.extend(parse_timestamp(header)?.timestamp_millis().to_be_bytes()),
            (None, None) => return None,
        }
        Some(identity)
    }

    /// What a signed body that says no time itself is known by, whatever stands in the header. `None` when it says one or
    /// there is no readable signature.
    #[must_use]
    pub fn untimed_identity(&self) -> Option<Vec<u8>> {
        if said(self.body_timestamp).is_some() { None } else { digest_of(self.signature?) }
    }
}

/// A header's or field's text, unless blank.
fn said(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Verifies signature, then age.
#[must_use]
pub fn verify(secret: &SecretString, request: SignedRequest<'_>, now: DateTime<Utc>) -> Verdict {
    match verify_body(secret, request.body, request.signature) {
        Verdict::Valid => {
            // A fresh header does not excuse an old body.
            let fresh = |text: &str| parse_timestamp(text).is_some_and(|at| is_fresh(at, now));
            let times = [said(request.timestamp), said(request.body_timestamp)];
            if times.into_iter().flatten().all(fresh) { Verdict::Valid } else { Verdict::TooOld }
        }
        other => other,
    }
}

/// Verifies the signature only. An empty secret verifies nothing.
#[must_use]
pub fn verify_body(secret: &SecretString, body: &[u8], signature: Option<&str>) -> Verdict {
    let Some(signature) = said(signature) else { return Verdict::Missing };
    let key = secret.expose_secret().as_bytes();
    if key.is_empty() {
        return Verdict::Wrong;
    }
    let Some(given) = digest_of(signature) else { return Verdict::Wrong };
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return Verdict::Wrong };
    mac.update(body);
    match mac.verify_slice(&given) {
        Ok(()) => Verdict::Valid,
        Err(_) => Verdict::Wrong,
    }
}

/// `user:password` of a header `Authorization: Basic …` (RFC 7617). Carriers send it when their URL holds it.
#[must_use]
pub fn basic_credentials(header: &str) -> Option<SecretString> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > BASIC_BYTES_MAX {
        return None;
    }
    let encoded = encoded.trim();
    let bytes = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    String::from_utf8(bytes).ok().filter(|pair| pair.contains(':')).map(SecretString::from)
}

/// The signature of a body in lower-case hexadecimal: for those who send.
#[must_use]
pub fn sign_hex(secret: &SecretString, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pairs of an urlencoded body, decoded, in their order and with all repetitions: what [`twilio`] and [`plivo`] sign.
#[must_use]
pub fn form_pairs(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// A MAC in base64.
fn hmac_base64<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Whether `signature` is the MAC of `text` in base64, in constant time. An empty key verifies nothing.
fn verify_base64<M: Mac + KeyInit>(key: &[u8], text: &[u8], signature: &str) -> Verdict {
    if key.is_empty() || signature.len() > HEADER_BYTES_MAX {
        return Verdict::Wrong;
    }
    let Ok(given) = STANDARD.decode(signature).or_else(|_| STANDARD_NO_PAD.decode(signature)) else {
        return Verdict::Wrong;
    };
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Verdict::Wrong };
    mac.update(text);
    match mac.verify_slice(&given) {
        Ok(()) => Verdict::Valid,
        Err(_) => Verdict::Wrong,
    }
}

/// The digest in a header, with or without the scheme's name.
fn digest_of(signature: &str) -> Option<Vec<u8>> {
    let signature = signature.trim();
    if signature.len() > HEADER_BYTES_MAX {
        return None;
    }
    match signature.split_once('=') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sha1") => digest_bytes(rest),
        _ => digest_bytes(signature),
    }
}

fn digest_bytes(text: &str) -> Option<Vec<u8>> {
    if text.len() == SHA1_BYTES * 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return text
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
    }
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    (bytes.len() == SHA1_BYTES).then_some(bytes)
}

/// Within the window, both ways: clocks differ.
#[must_use]
pub fn is_fresh(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(at).abs() <= TimeDelta::seconds(TIMESTAMP_WINDOW_S)
}

/// Unix seconds or milliseconds, RFC 3339, or Exotel's own naive Indian times.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    /// Seconds beyond this (the year 5138) are milliseconds.
    const SECONDS_MAX: i64 = 100_000_000_000;
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return if (0..SECONDS_MAX).contains(&number) {
            DateTime::from_timestamp(number, 0)
        } else {
            DateTime::from_timestamp_millis(number).filter(|at| at.timestamp() > 0)
        };
    }
    crate::exotel::webhook::parse_time(text)
}
