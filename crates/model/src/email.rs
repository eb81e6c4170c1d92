//! E-mail addresses.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest address ([RFC 5321](https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3): a path of 256 with its
/// brackets).
const CHARS_MAX: usize = 254;
/// Longest part before the @.
const LOCAL_CHARS_MAX: usize = 64;

/// An e-mail address, trimmed and in lower case, so that one mailbox is one account. Debug hides it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = "email", max_length = 254, example = "asha@clinic.example.org")]
pub struct EmailAddress(String);

/// The text is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct EmailError;

impl EmailAddress {
    /// Reads `Name@Example.org`. Takes what mail servers on the internet take: no quotes, no comments, a domain with a
    /// dot.
    ///
    /// # Errors
    /// [`EmailError`].
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim().to_lowercase();
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let local_fine = (1..=LOCAL_CHARS_MAX).contains(&local.len())
            && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        let domain_fine = domain.contains('.') && domain.split('.').all(label);
        if text.len() <= CHARS_MAX && local_fine && domain_fine { Ok(Self(text)) } else { Err(EmailError) }
    }

    /// `name@example.org`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For people who may see that there was an address, not which: `n***@example.org`.
    #[must_use]
    pub fn masked(&self) -> String {
        let (local, domain) = self.0.rsplit_once('@').unwrap_or((&self.0, ""));
        format!("{}***@{domain}", local.chars().next().unwrap_or('*'))
    }
}

/// `atext` of RFC 5322.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailError;
    fn try_from(text: String) -> Result<Self, EmailError> {
        Self::parse(&text)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_refuses_the_rest() {
        for (given, want) in [
            ("asha@clinic.in", "asha@clinic.in"),
            ("  Asha.Rao+x@Clinic.Example.ORG ", "asha.rao+x@clinic.example.org"),
            ("o'brien@x-y.co", "o'brien@x-y.co"),
        ] {
            assert_eq!(EmailAddress::parse(given).as_ref().map(EmailAddress::as_str), Ok(want));
        }
        let long = format!("{}@example.org", "a".repeat(65));
        for given in [
            "",
            "@",
            "a@",
            "@b.c",
            "a@b",
            "a b@c.de",
            "a@b..c",
            "a@-b.c",
            ".a@b.c",
            "a..b@c.de",
            "a@b.c\r\nBcc: x@y.z",
            "\"a b\"@c.de",
            "a@[127.0.0.1]",
            "a@b.c>",
            &long,
        ] {
            assert_eq!(EmailAddress::parse(given), Err(EmailError), "{given:?}");
        }
    }

    #[test]
    fn debug_does_not_print_the_address() {
        let address = EmailAddress::parse("asha@clinic.in").expect("an address");
        assert_eq!(format!("{address:?}"), "a***@clinic.in");
    }
}
