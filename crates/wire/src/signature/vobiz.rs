//! Vobiz's signatures: base64 of HMAC-SHA256, with the auth token, over the address without its query and the header's
//! nonce: joined as they are in V2, with a `.` between in V3 (seen in `dograh-hq/dograh`; not documented).
//!
//! Neither covers the parameters or the query: who holds one signed request can send another to the same address. The
//! address must be secret, too, and a nonce be taken once.

use super::plivo::{split, verify_any};
use super::{Verdict, hmac_base64, said};
use hmac::Hmac;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// Which of its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Address and nonce.
    V2,
    /// Address, `.`, nonce.
    V3,
}

/// The signature of a request: for those who send, and for tests.
#[must_use]
pub fn sign(token: &SecretString, version: Version, url: &str, nonce: &str) -> String {
    hmac_base64::<Hmac<Sha256>>(token.expose_secret().as_bytes(), signed_text(version, url, nonce).as_bytes())
}

/// Verifies a request to the public address `url`. An empty token verifies nothing.
#[must_use]
pub fn verify(
    token: &SecretString,
    version: Version,
    url: &str,
    nonce: Option<&str>,
    signatures: Option<&str>,
) -> Verdict {
    let (Some(nonce), Some(signatures)) = (said(nonce), said(signatures)) else { return Verdict::Missing };
    verify_any(token, &[signed_text(version, url, nonce)], nonce, signatures)
}

fn signed_text(version: Version, url: &str, nonce: &str) -> String {
    let (base, _) = split(url);
    match version {
        Version::V2 => format!("{base}{nonce}"),
        Version::V3 => format!("{base}.{nonce}"),
    }
}
