//! `X-Plivo-Signature-V3` and `X-Plivo-Signature-Ma-V3`: base64 of HMAC-SHA256, with the auth token, over the address,
//! the parameters and the header `X-Plivo-Signature-V3-Nonce` (`plivo/plivo-python`, `utils/signature_v3.py`). The header
//! may hold several signatures, separated by commas: one for each token while one is being replaced.
//!
//! The signed text is `scheme://host/path`, then for a GET `?` and the query, its pairs decoded and sorted; for a POST
//! the same, `?` even without a query once there are parameters, a `.` behind a query, and the sorted parameters, names
//! and values without anything between; then `.` and the nonce.

use super::{Verdict, hmac_base64, said, verify_base64};
use hmac::Hmac;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Longest nonce read, in bytes; Plivo's have 20 digits or so.
pub const NONCE_BYTES_MAX: usize = 128;
/// Most signatures looked at in one header: two tokens of the account, two of a subaccount.
pub const SIGNATURES_MAX: usize = 4;

/// How the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Its parameters are the query.
    Get,
    /// Its parameters are the body.
    Post,
}

/// The signature of a request: for those who send, and for tests.
#[must_use]
pub fn sign(
    token: &SecretString,
    method: Method,
    url: &str,
    parameters: &[(impl AsRef<str>, impl AsRef<str>)],
    nonce: &str,
) -> String {
    let text = signed_text(method, url, parameters, nonce, true);
    hmac_base64::<Hmac<Sha256>>(token.expose_secret().as_bytes(), text.as_bytes())
}

/// Verifies a request. `url` is the public address with its query; `parameters` are the decoded pairs of a POST's body,
/// and none of a GET. An empty token verifies nothing.
#[must_use]
pub fn verify(
    token: &SecretString,
    method: Method,
    url: &str,
    parameters: &[(impl AsRef<str>, impl AsRef<str>)],
    nonce: Option<&str>,
    signatures: Option<&str>,
) -> Verdict {
    let (Some(nonce), Some(signatures)) = (said(nonce), said(signatures)) else { return Verdict::Missing };
    // Public integrations (`dograh-hq/dograh`) leave the lonely question mark away; the library does not.
    let texts = [true, false].map(|mark| signed_text(method, url, parameters, nonce, mark));
    verify_any(token, &texts, nonce, signatures)
}

/// Whether one of the signatures is of one of the texts.
pub(super) fn verify_any(token: &SecretString, texts: &[String], nonce: &str, signatures: &str) -> Verdict {
    if nonce.len() > NONCE_BYTES_MAX {
        return Verdict::Wrong;
    }
    let key = token.expose_secret().as_bytes();
    let mut found = false;
    for signature in signatures.split(',').take(SIGNATURES_MAX) {
        for text in texts {
            found |= verify_base64::<Hmac<Sha256>>(key, text.as_bytes(), signature.trim()) == Verdict::Valid;
        }
    }
    if found { Verdict::Valid } else { Verdict::Wrong }
}

fn signed_text(
    method: Method,
    url: &str,
    parameters: &[(impl AsRef<str>, impl AsRef<str>)],
    nonce: &str,
    lonely_mark: bool,
) -> String {
    let (base, query) = split(url);
    let mut query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let mut body: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    if method == Method::Get {
        query.extend(body.drain(..).map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    query.sort_unstable();
    body.sort_unstable();
    let mut text = base.to_owned();
    if !query.is_empty() || (!body.is_empty() && lonely_mark) {
        text.push('?');
    }
    for (i, (name, value)) in query.iter().enumerate() {
        if i > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    if !query.is_empty() && !body.is_empty() {
        text.push('.');
    }
    for (name, value) in body {
        text.push_str(name);
        text.push_str(value);
    }
    text.push('.');
    text.push_str(nonce);
    text
}

/// Address and query; what stands behind a `#` is never sent.
pub(super) fn split(url: &str) -> (&str, &str) {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').unwrap_or((url, ""))
}
