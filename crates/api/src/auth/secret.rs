//! Secrets that people send: they do not print.
//!
//! Passwords of more than 1024 characters are refused by the schema, before they cost anything; the policy's own limit
//! (256 code points after normalisation) is told by the policy.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// A password, a code or a token in a request. Debug hides it.
#[derive(Clone, Debug)]
pub(crate) struct Secret(SecretString);

impl Secret {
    /// As the crates that judge it want it.
    pub(crate) const fn hidden(&self) -> &SecretString {
        &self.0
    }

    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_it() {
        let secret: Secret = serde_json::from_str("\"seven grumpy otters\"").expect("text");
        assert_eq!(secret.expose(), "seven grumpy otters");
        assert!(!format!("{secret:?}").contains("otters"));
    }
}
