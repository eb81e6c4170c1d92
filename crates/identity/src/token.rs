//! Tokens that open doors by being known: 256 random bits as URL-safe text, most with a prefix that says what they are
//! (people and secret scanners then recognise one in the wrong place). Only [`TokenHash`]es are kept.

use crate::random::{self, NoRandomness};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// SHA-256 of a token's text, prefix included: what is kept of it. Tokens have 256 random bits, so a plain hash is
/// enough, and the database can look for it.
pub type TokenHash = [u8; 32];

/// What [`RefreshToken::successor`] mixes in for one session, so that two sessions never share a chain. No secret.
pub type SessionSalt = [u8; 16];

/// Length of 32 bytes in base64 without padding.
const RANDOM_CHARS: usize = 43;
/// How much of a token may be shown to recognise it: 24 of its 256 bits.
const LAST_CHARS: usize = 4;

/// 256 random bits as URL-safe base64 without padding: 43 characters.
///
/// # Errors
/// [`NoRandomness`].
pub fn random_token() -> Result<SecretString, NoRandomness> {
    Ok(URL_SAFE_NO_PAD.encode(random::bytes::<32>()?).into())
}

/// A salt for a new session.
///
/// # Errors
/// [`NoRandomness`].
pub fn session_salt() -> Result<SessionSalt, NoRandomness> {
    random::bytes()
}

/// What is kept of a token.
#[must_use]
pub fn hash(text: &str) -> TokenHash {
    Sha256::digest(text.as_bytes()).into()
}

/// Whether two hashes are the same, in a time that does not depend on where they differ.
#[must_use]
pub fn same(one: &TokenHash, other: &TokenHash) -> bool {
    one.ct_eq(other).into()
}

macro_rules! tokens {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new one.
            ///
            /// # Errors
            /// [`NoRandomness`].
            pub fn random() -> Result<Self, NoRandomness> {
                Ok(Self::of(&random::bytes()?))
            }

            fn of(bits: &[u8; 32]) -> Self {
                Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bits)).into())
            }

            /// Reads one that somebody presents. None when it cannot be one: then there is nothing to look up.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let random = text.strip_prefix(Self::PREFIX).filter(|random| random.len() == RANDOM_CHARS)?;
                URL_SAFE_NO_PAD.decode(random).ok()?;
                Some(Self(text.into()))
            }

            /// What is kept of it.
            #[must_use]
            pub fn hash(&self) -> TokenHash {
                hash(self.expose())
            }

            /// Its text, for the one answer or letter that carries it.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }

            /// Its text, still hidden.
            #[must_use]
            pub fn into_secret(self) -> SecretString {
                self.0
            }

            /// Its last four characters, by which its owner may recognise it later.
            #[must_use]
            pub fn last4(&self) -> &str {
                let text = self.expose();
                text.get(text.len().saturating_sub(LAST_CHARS)..).unwrap_or_default()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    )*};
}

tokens! {
    /// Renews a session, once: see [`crate::refresh`].
    RefreshToken = "caly_rt_",
    /// Sent by mail: the right to set a new password.
    ResetToken = "caly_reset_",
    /// Sent by mail: the right to join an organisation.
    InvitationToken = "caly_invite_",
    /// Lets a program in.
    ApiKey = "caly_key_",
    /// Part of an address that only we and one carrier know: a media socket, a number's webhook. No prefix, addresses
    /// are short.
    PathToken = "",
}

/// The key that makes the successors of refresh tokens.
pub struct TokenPepper([u8; 32]);

impl TokenPepper {
    /// Derives it from the secret that signs access tokens, under its own label: neither key tells the other.
    #[must_use]
    pub fn derive(secret: &SecretString) -> Self {
        Self(labelled(secret.expose_secret().as_bytes(), &[b"caly refresh pepper v1"]))
    }

    /// A key for another purpose, which the label names.
    pub(crate) fn subkey(&self, label: &[u8]) -> [u8; 32] {
        labelled(&self.0, &[label])
    }
}

impl fmt::Debug for TokenPepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenPepper(***)")
    }
}

impl RefreshToken {
    /// The token that follows this one in its session, always the same: simultaneous refreshes of one token all give
    /// the same answer although nothing but hashes is stored. Whoever lacks the pepper cannot tell it from random,
    /// even knowing this token, the salt and every hash.
    #[must_use]
    pub fn successor(&self, pepper: &TokenPepper, salt: &SessionSalt) -> Self {
        // Label and salt have fixed lengths, so no two inputs run together.
        Self::of(&labelled(&pepper.0, &[b"caly refresh successor v1", salt, self.expose().as_bytes()]))
    }
}

/// HMAC-SHA256 of the parts.
pub(crate) fn labelled(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_are_256_random_bits_as_url_safe_text() {
        let plain = random_token().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(plain.expose_secret()).unwrap().len(), 32);
        let key = ApiKey::random().unwrap();
        let random = key.expose().strip_prefix("caly_key_").expect("the prefix");
        assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), 32);
        assert!(key.expose().chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        assert_eq!(PathToken::random().unwrap().expose().len(), 43);
        let many: HashSet<String> = (0..200).map(|_| RefreshToken::random().unwrap().expose().to_owned()).collect();
        assert_eq!(many.len(), 200);
        assert_ne!(session_salt().unwrap(), session_salt().unwrap());
    }

    #[test]
    fn prefixes_differ_so_that_no_kind_passes_for_another() {
        let prefixes =
            [RefreshToken::PREFIX, ResetToken::PREFIX, InvitationToken::PREFIX, ApiKey::PREFIX, PathToken::PREFIX];
        assert_eq!(prefixes.iter().collect::<HashSet<_>>().len(), prefixes.len());
        let key = ApiKey::random().unwrap();
        assert!(ApiKey::parse(key.expose()).is_some());
        assert!(RefreshToken::parse(key.expose()).is_none() && PathToken::parse(key.expose()).is_none());
    }

    #[test]
    fn only_what_can_be_a_token_is_read() {
        let good = ResetToken::random().unwrap();
        assert_eq!(ResetToken::parse(good.expose()).unwrap().hash(), good.hash());
        let text = good.expose();
        let zeros = "A".repeat(42);
        for bad in [
            String::new(),
            "caly_reset_".to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{text}A"),
            format!(" {text}"),
            format!("{text}\n"),
            text.to_uppercase(),
            format!("caly_reset_{zeros}="),
            format!("caly_reset_{zeros}+"),
            // Bits that the last character must not have: two texts would be one token.
            format!("caly_reset_{zeros}B"),
            format!("caly_reset_{}é", "A".repeat(41)),
        ] {
            assert!(ResetToken::parse(&bad).is_none(), "{bad:?}");
        }
        assert!(ResetToken::parse(&format!("caly_reset_{zeros}A")).is_some());
    }

    #[test]
    fn what_is_kept_is_the_sha_256_of_the_text() {
        // FIPS 180-4, the one-block message example.
        let want = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03,
            0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(hash("abc"), want);
        assert!(same(&want, &hash("abc")) && !same(&want, &hash("abd")));
        let token = RefreshToken::random().unwrap();
        assert_eq!(token.hash(), hash(token.expose()));
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        // Test case 2.
        let mac = labelled(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(mac[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
    }

    #[test]
    fn nothing_prints_a_token() {
        let key = ApiKey::random().unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(***)");
        assert_eq!(key.last4(), &key.expose()[key.expose().len() - 4..]);
        assert_eq!(format!("{:?}", TokenPepper::derive(&"s".into())), "TokenPepper(***)");
        assert_eq!(key.clone().into_secret().expose_secret(), key.expose());
    }

    #[test]
    fn a_successor_follows_from_token_salt_and_pepper_alone() {
        let pepper = TokenPepper::derive(&"first secret".into());
        let (salt, token) = ([7; 16], RefreshToken::random().unwrap());
        let next = token.successor(&pepper, &salt);
        assert!(RefreshToken::parse(next.expose()).is_some());
        assert_eq!(token.successor(&pepper, &salt).expose(), next.expose());
        let others = [
            token.clone(),
            token.successor(&TokenPepper::derive(&"other secret".into()), &salt),
            token.successor(&pepper, &[8; 16]),
            RefreshToken::random().unwrap().successor(&pepper, &salt),
            next.successor(&pepper, &salt),
        ];
        for other in &others {
            assert_ne!(other.expose(), next.expose());
        }
    }
}
