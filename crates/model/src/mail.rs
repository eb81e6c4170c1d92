//! What Caly writes to people. How a mail is worded and how it leaves is `providers`' business.

use crate::EmailAddress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A mail to one person. It can be stored until it is sent; then sealed, because of what it may carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Who gets it.
    pub to: EmailAddress,
    /// What it says.
    pub kind: MailKind,
}

/// What Caly writes to people. Debug prints the kind alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MailKind {
    /// The code that shows that an address belongs to who registers it.
    VerifyEmail {
        /// The one-time code, as it is to be typed.
        code: SecretText,
        /// How long it is valid.
        minutes: u32,
    },
    /// Somebody tried to register with an address that has an account. The form answered as always; this mail tells the
    /// one who may know.
    AlreadyRegistered,
    /// The link to set a new password.
    ResetPassword {
        /// The whole address, with its token.
        link: SecretText,
        /// How long it is valid.
        minutes: u32,
    },
    /// The password is another one now.
    PasswordChanged,
    /// A refresh token came back after it had been replaced, so that its session was ended.
    TokenReused,
    /// The second step of signing in was turned on or off.
    SecondFactorChanged {
        /// It is on now.
        enabled: bool,
    },
    /// An invitation to join an organisation.
    Invitation {
        /// The organisation's name, as a person typed it.
        organisation: String,
        /// Name of who invites, as a person typed it.
        inviter_name: String,
        /// The whole address, with its token.
        link: SecretText,
        /// How long it is valid.
        days: u32,
    },
    /// Events are no longer sent to an address of the organisation's: for its owners.
    WebhookEndpointDisabled,
    /// Shows an operator that mail works.
    Test,
}

impl MailKind {
    /// The word used in logs, metrics and names of files.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::VerifyEmail { .. } => "verify-email",
            Self::AlreadyRegistered => "already-registered",
            Self::ResetPassword { .. } => "reset-password",
            Self::PasswordChanged => "password-changed",
            Self::TokenReused => "token-reused",
            Self::SecondFactorChanged { .. } => "second-factor-changed",
            Self::Invitation { .. } => "invitation",
            Self::WebhookEndpointDisabled => "webhook-endpoint-disabled",
            Self::Test => "test",
        }
    }
}

impl fmt::Debug for MailKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code or a link that lets somebody in. Unlike `SecretString` it can be stored with its mail; like it, it does not
/// print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text itself, for the mail.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Mail {
        Mail {
            to: EmailAddress::parse("asha@clinic.in").unwrap(),
            kind: MailKind::Invitation {
                organisation: "Sunrise".to_owned(),
                inviter_name: "Asha".to_owned(),
                link: "https://caly.example.org/join?token=s3cret".into(),
                days: 7,
            },
        }
    }

    #[test]
    fn debug_prints_neither_the_address_nor_what_the_mail_carries() {
        assert_eq!(format!("{:?}", invitation()), "Mail { to: a***@clinic.in, kind: invitation }");
        assert_eq!(format!("{:?}", SecretText::from("123456")), "***");
    }

    #[test]
    fn a_mail_comes_back_from_its_stored_form() {
        let stored = serde_json::to_string(&invitation()).unwrap();
        assert!(stored.contains(r#""kind":{"invitation":{"organisation":"Sunrise""#), "{stored}");
        assert_eq!(serde_json::from_str::<Mail>(&stored).unwrap(), invitation());
        let plain = Mail { kind: MailKind::PasswordChanged, ..invitation() };
        let stored = serde_json::to_string(&plain).unwrap();
        assert_eq!(stored, r#"{"to":"asha@clinic.in","kind":"password-changed"}"#);
        assert_eq!(serde_json::from_str::<Mail>(&stored).unwrap(), plain);
    }
}
