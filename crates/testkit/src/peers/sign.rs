//! The carriers' signatures, written from their documentation: twilio.com/docs/usage/security; Plivo's V3 as in its
//! public client libraries; Vobiz's as its public integrations compute it.

use super::{PeerKind, Signing};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;
use sha2::Sha256;
use std::hash::{BuildHasher, Hasher, RandomState};

/// The headers of a POST to `url` with these fields.
pub(super) fn headers(
    kind: PeerKind,
    signing: Signing,
    token: &SecretString,
    url: &str,
    fields: &[(&str, String)],
) -> Vec<(&'static str, String)> {
    let key = match signing {
        Signing::Missing => return Vec::new(),
        Signing::Wrong => "another token".to_owned(),
        Signing::Right | Signing::Older => token.expose_secret().to_owned(),
    };
    let nonce = RandomState::new().build_hasher().finish().to_string();
    let base = url.split('?').next().unwrap_or_default();
    let mut pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pairs.sort_unstable();
    let joined: String = pairs.iter().flat_map(|(name, value)| [*name, *value]).collect();
    match kind {
        PeerKind::Twilio => {
            let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
            mac.update(format!("{url}{joined}").as_bytes());
            vec![("x-twilio-signature", STANDARD.encode(mac.finalize().into_bytes()))]
        }
        // The addresses here have no query.
        PeerKind::Plivo => {
            let signature = sha256(&key, &format!("{base}?{joined}.{nonce}"));
            vec![("x-plivo-signature-v3", signature), ("x-plivo-signature-v3-nonce", nonce)]
        }
        PeerKind::Vobiz if signing == Signing::Older => {
            let signature = sha256(&key, &format!("{base}{nonce}"));
            vec![("x-vobiz-signature-v2", signature), ("x-vobiz-signature-v2-nonce", nonce)]
        }
        PeerKind::Vobiz => {
            let signature = sha256(&key, &format!("{base}.{nonce}"));
            vec![("x-vobiz-signature-v3", signature), ("x-vobiz-signature-v3-nonce", nonce)]
        }
        PeerKind::Smartflo => Vec::new(),
    }
}

fn sha256(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twilios_published_example() {
        let fields = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        let token = SecretString::from("12345");
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let signed = headers(PeerKind::Twilio, Signing::Right, &token, url, &fields);
        assert_eq!(signed, [("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=".to_owned())]);
    }
}
