//! [Standard Webhooks](https://www.standardwebhooks.com) 1.0.0: how events that Caly sends are signed, so that the
//! receiver knows who wrote them, when, and that nothing was changed.
//!
//! Three headers: `webhook-id`, the same for every attempt; `webhook-timestamp`, seconds since 1970 of this attempt;
//! `webhook-signature`, one or more `v1,BASE64` with a space between, each the HMAC-SHA256 of `id.timestamp.body`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;
use std::fmt;

/// Names the event.
pub const ID_HEADER: &str = "webhook-id";
/// When this attempt was made, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// What a secret's text begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// Fewest bytes of a secret (the specification's).
pub const SECRET_BYTES_MIN: usize = 24;
/// Most bytes of a secret (the specification's).
pub const SECRET_BYTES_MAX: usize = 64;
/// A message whose time differs by more is refused: the tolerance that the specification's libraries have.
pub const TOLERANCE_S: i64 = 300;
/// Signatures looked at in one header. During a rotation there are two.
const SIGNATURES_MAX: usize = 10;
/// The version of symmetric signatures.
const VERSION: &str = "v1,";

/// What signs. Printing it does not print it.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

/// The secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")]
pub struct SecretError;

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The time is no number, or too far from now.
    #[error("the webhook's time is wrong")]
    Time,
    /// No signature is right.
    #[error("the webhook's signature is wrong")]
    Signature,
}

impl Secret {
    /// Of these bytes, which must be random.
    ///
    /// # Errors
    /// [`SecretError`] when there are fewer than 24 or more than 64.
    pub fn new(bytes: &[u8]) -> Result<Self, SecretError> {
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(SecretError);
        }
        Ok(Self(bytes.to_vec().into()))
    }

    /// From its text.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &SecretString) -> Result<Self, SecretError> {
        let base64 = text.expose_secret().strip_prefix(SECRET_PREFIX).ok_or(SecretError)?;
        Self::new(&STANDARD.decode(base64).map_err(|_| SecretError)?)
    }

    /// Its text, for the receiver.
    #[must_use]
    pub fn text(&self) -> SecretString {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(self.0.expose_secret())).into()
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The value of `webhook-signature`: a signature by each secret, in their order. `id` has no `.` in it; `timestamp_s` is
/// seconds since 1970.
#[must_use]
pub fn sign(secrets: &[Secret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let timestamp = timestamp_s.to_string();
    let macs = secrets.iter().filter_map(|secret| secret.mac(id, &timestamp, body));
    let signatures: Vec<String> =
        macs.map(|mac| format!("{VERSION}{}", STANDARD.encode(mac.finalize().into_bytes()))).collect();
    signatures.join(" ")
}

/// Whether the headers of a message are right for this secret; as a receiver asks.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(
    secret: &Secret,
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now_s: i64,
) -> Result<(), VerifyError> {
    let at: i64 = timestamp.parse().map_err(|_| VerifyError::Time)?;
    if now_s.abs_diff(at) > TOLERANCE_S.unsigned_abs() {
        return Err(VerifyError::Time);
    }
    for signature in signatures.split(' ').take(SIGNATURES_MAX) {
        let given = signature.strip_prefix(VERSION).and_then(|base64| STANDARD.decode(base64).ok());
        // Compared in constant time.
        if let (Some(given), Some(mac)) = (given, secret.mac(id, timestamp, body))
            && mac.verify_slice(&given).is_ok()
        {
            return Ok(());
        }
    }
    Err(VerifyError::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn known() -> Secret {
        Secret::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).expect("a secret")
    }

    #[test]
    fn the_known_vector_is_signed_and_believed() {
        assert_eq!(sign(&[known()], ID, AT, BODY), SIGNATURE);
        assert_eq!(verify(&known(), ID, &AT.to_string(), SIGNATURE, BODY, AT), Ok(()));
        assert_eq!(known().text().expose_secret(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert!(!format!("{:?}", known()).contains("MfKQ"));
    }

    #[test]
    fn whatever_is_changed_is_not_believed() {
        let at = AT.to_string();
        let other = Secret::new(&[1; 32]).expect("a secret");
        let wrong = Err(VerifyError::Signature);
        assert_eq!(verify(&other, ID, &at, SIGNATURE, BODY, AT), wrong);
        assert_eq!(verify(&known(), "msg_other", &at, SIGNATURE, BODY, AT), wrong);
        assert_eq!(verify(&known(), ID, &(AT + 1).to_string(), SIGNATURE, BODY, AT), wrong);
        assert_eq!(verify(&known(), ID, &at, SIGNATURE, br#"{"test":2432232314}"#, AT), wrong);
        for signature in ["", "v1,", "v1", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,AAAA", "v1a,x v1,%"] {
            assert_eq!(verify(&known(), ID, &at, signature, BODY, AT), wrong, "{signature}");
        }
    }

    #[test]
    fn the_time_has_a_tolerance() {
        for (offset, fine) in [(0, true), (300, true), (-300, true), (301, false), (-301, false), (i64::MIN, false)] {
            let seen = verify(&known(), ID, &AT.to_string(), SIGNATURE, BODY, AT.saturating_add(offset));
            assert_eq!(seen.is_ok(), fine, "{offset}");
        }
        for at in ["", "soon", "1614265330.0", "99999999999999999999"] {
            assert_eq!(verify(&known(), ID, at, SIGNATURE, BODY, AT), Err(VerifyError::Time), "{at}");
        }
    }

    #[test]
    fn while_secrets_change_both_sign() {
        let (old, new) = (known(), Secret::new(&[2; 24]).expect("a secret"));
        let both = sign(&[new.clone(), old.clone()], ID, AT, BODY);
        assert!(both.ends_with(&format!(" {SIGNATURE}")), "{both}");
        for secret in [old, new] {
            assert_eq!(verify(&secret, ID, &AT.to_string(), &both, BODY, AT), Ok(()));
        }
    }

    #[test]
    fn secrets_have_their_size() {
        for (bytes, fine) in [(0, false), (23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(Secret::new(&vec![0; bytes]).is_ok(), fine, "{bytes}");
        }
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa*w"] {
            assert!(Secret::parse(&text.into()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_signed_is_believed(key in proptest::collection::vec(any::<u8>(), 24..=64), body: Vec<u8>, at in 0..i64::from(u32::MAX)) {
            let secret = Secret::new(&key).expect("a secret");
            let again = Secret::parse(&secret.text()).expect("its own text");
            let header = sign(&[secret], "msg_1", at, &body);
            prop_assert_eq!(verify(&again, "msg_1", &at.to_string(), &header, &body, at), Ok(()));
        }

        #[test]
        fn no_header_makes_it_panic(id: String, at: String, signatures: String, body: Vec<u8>) {
            let _ = verify(&known(), &id, &at, &signatures, &body, AT);
        }
    }
}
