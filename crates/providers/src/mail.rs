//! Outgoing mail: what Caly writes to people ([`MailKind`]), and the ways it leaves ([`Mailer`]): over SMTP, or into a
//! folder while developing.
//!
//! Nothing is queued here and nothing tried twice; a mail that must arrive is a job. A mail may arrive twice when the
//! server's last answer is lost.

mod folder;
mod layout;
mod message;
mod settings;
mod smtp;
mod templates;

pub use settings::{MAIL_TIMEOUT, MailSettingsError, SmtpSettings, SmtpTls};
pub use smtp::CONNECTIONS_MAX;
pub use templates::{NAME_CHARS_MAX, Rendered, render};

use crate::Error;
use chrono::{DateTime, Utc};
use folder::Folder;
use model::Mail;
use smtp::Smtp;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Name used in errors of this module.
const NAME: &str = "mail";

/// The way mail leaves; cloning is cheap and shares the limit of connections.
#[derive(Clone)]
pub struct Mailer {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Smtp(Arc<Smtp>),
    Folder(Arc<Folder>),
}

impl Mailer {
    /// Through a mail server. It is not asked yet (see [`Mailer::check`]).
    ///
    /// # Errors
    /// What in the settings cannot work.
    pub fn smtp(settings: SmtpSettings) -> Result<Self, MailSettingsError> {
        Ok(Self { way: Way::Smtp(Arc::new(Smtp::new(settings)?)) })
    }

    /// For development: into files of a folder (made when it is missing), one for each mail, to be opened in a mail
    /// program or read as they are. Only this user may read them; they hold codes.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { way: Way::Folder(Arc::new(Folder::new(path.into()))) }
    }

    /// In one line for an operator, without secrets.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.way {
            Way::Smtp(smtp) => smtp.describe(),
            Way::Folder(folder) => folder.describe(),
        }
    }

    /// Sends a mail; `now` becomes its date. `Ok` = the server has taken it over, or the file is written.
    ///
    /// # Errors
    /// Transient ones ([`Error::is_transient`]): `Unavailable` (no connection, no TLS, 421), `Overloaded` (the other 4xx,
    /// or too many mails at once), `TimedOut`. Others: `Unauthorized` (the server does not accept us), `Rejected` (it
    /// refuses the mail, 5xx), `Protocol` (no mail server, or one without STARTTLS). No error contains an address or
    /// the server's own words, which may repeat one.
    pub async fn send(&self, mail: &Mail, now: DateTime<Utc>) -> Result<(), Error> {
        match &self.way {
            Way::Smtp(smtp) => smtp.send(mail, now).await,
            Way::Folder(folder) => folder.send(mail, now).await,
        }
    }

    /// Whether mail could be sent: connects, encrypts and signs in as for a mail; or writes into the folder.
    ///
    /// # Errors
    /// What stands in the way; kinds as in [`Mailer::send`].
    pub async fn check(&self) -> Result<(), Error> {
        match &self.way {
            Way::Smtp(smtp) => smtp.check().await,
            Way::Folder(folder) => folder.check().await,
        }
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mailer").field(&self.describe()).finish()
    }
}
