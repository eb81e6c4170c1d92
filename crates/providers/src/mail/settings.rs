//! How to reach a mail server.

use secrecy::SecretString;
use std::time::Duration;

/// Longest time for one mail, from the connection to the server's last word. Submission servers answer in a second or
/// two; who waits for a code gives up soon after this.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(15);

/// How to reach a mail server.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Its name, as `smtp.example.org`; the certificate must be for it.
    pub host: String,
    /// Its port: 587 with [`SmtpTls::Required`], 465 with [`SmtpTls::Wrapper`].
    pub port: u16,
    /// Who signs in; `None` = nobody does.
    pub user: Option<String>,
    /// The password; with `user`.
    pub password: Option<SecretString>,
    /// Who the mails are from: `Caly <caly@example.org>` or the bare address. Its domain is also the name by which we
    /// greet the server, and the end of each Message-ID.
    pub from: String,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// Certificates (PEM) trusted besides the public ones, for a server of one's own.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Longest time for one mail; `None` = [`MAIL_TIMEOUT`].
    pub timeout: Option<Duration>,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// It begins in the clear and must be upgraded (STARTTLS) before anything is said.
    Required,
    /// TLS from the first byte, as usual on port 465.
    Wrapper,
    /// Not at all: for tests, and for a relay on this machine or in a closed network. A password is then only sent to
    /// this machine.
    None,
}

impl SmtpTls {
    /// For an operator.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "STARTTLS",
            Self::Wrapper => "TLS",
            Self::None => "no TLS",
        }
    }
}

/// What in the settings cannot work.
#[derive(Debug, thiserror::Error)]
pub enum MailSettingsError {
    /// The host's name is empty or none.
    #[error("the mail server's host is not a host name")]
    Host,
    /// Port 0.
    #[error("the mail server's port is 0")]
    Port,
    /// Not `Name <address>` or an address, in ASCII as to the address.
    #[error("the sender is neither an address nor `Name <address>`")]
    From,
    /// One without the other.
    #[error("a user needs a password and a password needs a user")]
    Login,
    /// A password and no TLS, to another machine.
    #[error("a password would cross the network in the clear; use TLS")]
    PasswordInTheClear,
    /// The extra roots are no certificates.
    #[error("the extra trusted certificates are not PEM certificates")]
    Roots,
    /// The deadline is zero.
    #[error("the time limit for mail is zero")]
    Timeout,
}
