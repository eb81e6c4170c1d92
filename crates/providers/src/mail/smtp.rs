//! SMTP (RFC 5321), with STARTTLS or TLS from the start, one connection for each mail.
//!
//! Connections are not kept: mails are few, and a connection whose mail was given up half way must never carry another.

use super::message::{self, Encoding};
use super::{MAIL_TIMEOUT, Mail, MailSettingsError, NAME, SmtpSettings, SmtpTls, render};
use crate::{Error, ErrorKind};
use chrono::{DateTime, Utc};
use lettre::Message;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands;
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

/// Most connections at once. Providers refuse many from one sender (Google 10, Microsoft 3 for each mailbox).
pub const CONNECTIONS_MAX: usize = 3;
/// Longest wait for the goodbye, when the mail is already taken over.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Smtp {
    host: String,
    port: u16,
    login: Option<(String, SecretString)>,
    from: Mailbox,
    tls: SmtpTls,
    tls_parameters: Option<TlsParameters>,
    limit: Duration,
    connections: Semaphore,
}

/// Where in the conversation something went wrong; for the operator.
#[derive(Clone, Copy)]
enum Step {
    Connect,
    Encrypt,
    SignIn,
    Sender,
    Recipient,
    Content,
    Check,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Encrypt => "starting TLS",
            Self::SignIn => "signing in",
            Self::Sender => "naming the sender",
            Self::Recipient => "naming the recipient",
            Self::Content => "handing over the mail",
            Self::Check => "checking the connection",
        }
    }
}

impl Smtp {
    pub(super) fn new(settings: SmtpSettings) -> Result<Self, MailSettingsError> {
        let SmtpSettings { host, port, user, password, from, tls, extra_roots_pem, timeout } = settings;
        let host = host.trim().to_owned();
        if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c)) {
            return Err(MailSettingsError::Host);
        }
        if port == 0 {
            return Err(MailSettingsError::Port);
        }
        let login = match (user, password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((user, password)),
            (Some(_), None) | (None, Some(_)) => return Err(MailSettingsError::Login),
        };
        if login.is_some() && tls == SmtpTls::None && !is_this_machine(&host) {
            return Err(MailSettingsError::PasswordInTheClear);
        }
        let limit = timeout.unwrap_or(MAIL_TIMEOUT);
        if limit.is_zero() {
            return Err(MailSettingsError::Timeout);
        }
        let tls_parameters = match tls {
            SmtpTls::None => None,
            SmtpTls::Required | SmtpTls::Wrapper => Some(tls_parameters(&host, extra_roots_pem.as_deref())?),
        };
        let from = sender(&from)?;
        let connections = Semaphore::new(CONNECTIONS_MAX);
        Ok(Self { host, port, login, from, tls, tls_parameters, limit, connections })
    }

    pub(super) fn describe(&self) -> String {
        let login = if self.login.is_some() { "signed in" } else { "without sign-in" };
        format!("SMTP at {}:{}, {}, {login}", self.host, self.port, self.tls.as_str())
    }

    pub(super) async fn send(&self, mail: &Mail, now: DateTime<Utc>) -> Result<(), Error> {
        let message = message::build(mail, render(&mail.kind), &self.from, now, Encoding::Wire)?;
        self.within_limit(async {
            let mut connection = self.connect().await?;
            hand_over(&mut connection, mail, &message).await?;
            Ok(connection)
        })
        .await
    }

    pub(super) async fn check(&self) -> Result<(), Error> {
        self.within_limit(async {
            let mut connection = self.connect().await?;
            connection.command(commands::Noop).await.map_err(|e| failure(Step::Check, &e))?;
            Ok(connection)
        })
        .await
    }

    /// One conversation: waits for its turn, ends in time, says goodbye.
    async fn within_limit(
        &self,
        conversation: impl Future<Output = Result<AsyncSmtpConnection, Error>>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + self.limit;
        let seconds = self.limit.as_secs_f32();
        let turn = timeout_at(deadline, self.connections.acquire()).await.ok();
        // A turn that comes with the deadline is none.
        let Some(turn) = turn.filter(|_| Instant::now() < deadline) else {
            let detail = format!("other mails took all connections for {seconds} s");
            return Err(Error::new(ErrorKind::Overloaded, NAME, detail));
        };
        let Ok(done) = timeout_at(deadline, conversation).await else {
            return Err(Error::new(ErrorKind::TimedOut, NAME, format!("no answer within {seconds} s")));
        };
        let mut connection = done?;
        // The mail is taken over, whatever becomes of the goodbye.
        let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
        drop(turn);
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        // Google's relay, for one, refuses greetings that name no domain.
        let me = ClientId::Domain(self.from.email.domain().to_owned());
        let wrapper = self.tls_parameters.clone().filter(|_| self.tls == SmtpTls::Wrapper);
        let server = (self.host.as_str(), self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(server, Some(self.limit), &me, wrapper, None)
            .await
            .map_err(|e| failure(Step::Connect, &e))?;
        if let (SmtpTls::Required, Some(parameters)) = (self.tls, &self.tls_parameters) {
            if !connection.can_starttls() {
                let detail = "the server offers no STARTTLS, and nothing is sent in the clear";
                return Err(Error::new(ErrorKind::Protocol, NAME, detail));
            }
            connection.starttls(parameters.clone(), &me).await.map_err(|e| failure(Step::Encrypt, &e))?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|e| failure(Step::SignIn, &e))?;
        }
        Ok(connection)
    }
}

async fn hand_over(connection: &mut AsyncSmtpConnection, mail: &Mail, message: &Message) -> Result<(), Error> {
    // The message is ASCII and its lines are short, so that it needs no extension of the server.
    let sender = commands::Mail::new(message.envelope().from().cloned(), Vec::new());
    connection.command(sender).await.map_err(|e| failure(Step::Sender, &e))?;
    let recipient = commands::Rcpt::new(message::recipient(mail)?, Vec::new());
    connection.command(recipient).await.map_err(|e| failure(Step::Recipient, &e))?;
    connection.command(commands::Data).await.map_err(|e| failure(Step::Content, &e))?;
    connection.message(&message.formatted()).await.map_err(|e| failure(Step::Content, &e))?;
    Ok(())
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn sender(text: &str) -> Result<Mailbox, MailSettingsError> {
    if text.chars().any(char::is_control) {
        return Err(MailSettingsError::From);
    }
    let mailbox: Mailbox = text.trim().parse().map_err(|_| MailSettingsError::From)?;
    let address: &str = mailbox.email.as_ref();
    if address.is_ascii() { Ok(mailbox) } else { Err(MailSettingsError::From) }
}

fn tls_parameters(host: &str, extra_roots_pem: Option<&[u8]>) -> Result<TlsParameters, MailSettingsError> {
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    if let Some(pem) = extra_roots_pem {
        let mut roots = 0;
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|_| MailSettingsError::Roots)?;
            let root = Certificate::from_der(root.to_vec()).map_err(|_| MailSettingsError::Roots)?;
            builder = builder.add_root_certificate(root);
            roots += 1;
        }
        if roots == 0 {
            return Err(MailSettingsError::Roots);
        }
    }
    builder.build().map_err(|_| MailSettingsError::Roots)
}

/// What went wrong, in our words. The server's own may repeat the recipient's address, so that of an answer only the
/// numbers are kept.
fn failure(step: Step, error: &lettre::transport::smtp::Error) -> Error {
    let doing = step.as_str();
    if let Some(code) = error.status() {
        let code = code.to_string();
        let kind = match (step, code.as_str()) {
            // RFC 4954: not signed in, or not with what we have.
            (_, "530" | "534" | "535" | "538") => ErrorKind::Unauthorized,
            (Step::SignIn, code) if code.starts_with('5') => ErrorKind::Unauthorized,
            // RFC 5321: it closes the connection.
            (_, "421") => ErrorKind::Unavailable,
            (_, code) if code.starts_with('4') => ErrorKind::Overloaded,
            (_, _) => ErrorKind::Rejected,
        };
        let words = error.source().map(ToString::to_string).unwrap_or_default();
        let enhanced = enhanced_code(&words).map(|code| format!(" ({code})")).unwrap_or_default();
        return Error::new(kind, NAME, format!("{doing}: the server answered {code}{enhanced}"));
    }
    if error.is_timeout() {
        return Error::new(ErrorKind::TimedOut, NAME, format!("{doing}: no answer"));
    }
    if error.is_response() {
        // The library has one kind for both; what it says tells them apart.
        let closed = error.source().is_some_and(|cause| cause.to_string() == "incomplete response");
        return if closed {
            Error::new(ErrorKind::Unavailable, NAME, format!("{doing}: the server closed the connection"))
        } else {
            Error::new(ErrorKind::Protocol, NAME, format!("{doing}: the server does not answer as a mail server"))
        };
    }
    if error.is_client() {
        // Its words are the library's own: no mechanism to sign in, an extension that is missing.
        let kind = if matches!(step, Step::SignIn) { ErrorKind::Unauthorized } else { ErrorKind::Protocol };
        return Error::new(kind, NAME, format!("{doing}: {error}"));
    }
    // Of the network or of TLS: no name, no refusal of a person in it.
    Error::new(ErrorKind::Unavailable, NAME, format!("{doing}: {error}"))
}

/// `5.1.1` of RFC 3463, when the answer begins with one.
fn enhanced_code(words: &str) -> Option<&str> {
    let first = words.split_whitespace().next()?;
    let mut numbers = 0;
    for number in first.split('.') {
        if number.is_empty() || number.len() > 3 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        numbers += 1;
    }
    (numbers == 3).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SmtpSettings {
        SmtpSettings {
            host: "smtp.example.org".to_owned(),
            port: 587,
            user: Some("caly".to_owned()),
            password: Some(SecretString::from("s3cret".to_owned())),
            from: "Caly <caly@example.org>".to_owned(),
            tls: SmtpTls::Required,
            extra_roots_pem: None,
            timeout: None,
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_before_the_first_mail() {
        type Change = fn(&mut SmtpSettings);
        let refused: [(&str, Change); 14] = [
            ("Host", |s| s.host = " ".to_owned()),
            ("Host", |s| s.host = "smtp.example.org\r\nx".to_owned()),
            ("Host", |s| s.host = "https://smtp.example.org".to_owned()),
            ("Port", |s| s.port = 0),
            ("From", |s| s.from = String::new()),
            ("From", |s| s.from = "Caly".to_owned()),
            ("From", |s| s.from = "Caly <caly@example.org>\r\nBcc: x@y.example".to_owned()),
            ("From", |s| s.from = "caly@exämple.org".to_owned()),
            ("Login", |s| s.user = None),
            ("Login", |s| s.password = None),
            ("PasswordInTheClear", |s| s.tls = SmtpTls::None),
            ("Roots", |s| s.extra_roots_pem = Some(Vec::new())),
            ("Roots", |s| {
                s.extra_roots_pem = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec())
            }),
            ("Timeout", |s| s.timeout = Some(Duration::ZERO)),
        ];
        for (want, change) in refused {
            let mut settings = settings();
            change(&mut settings);
            let error = Smtp::new(settings.clone()).err().unwrap_or_else(|| panic!("{want}: taken: {settings:?}"));
            assert_eq!(format!("{error:?}"), want);
        }
    }

    #[test]
    fn settings_that_work_are_taken_and_described_without_the_password() {
        type Change = fn(&mut SmtpSettings);
        let taken: [(&str, Change); 5] = [
            ("SMTP at smtp.example.org:587, STARTTLS, signed in", |_| ()),
            ("SMTP at smtp.example.org:465, TLS, signed in", |s| (s.tls, s.port) = (SmtpTls::Wrapper, 465)),
            ("SMTP at localhost:587, no TLS, signed in", |s| (s.tls, s.host) = (SmtpTls::None, "localhost".to_owned())),
            ("SMTP at relay:587, no TLS, without sign-in", |s| {
                (s.tls, s.host, s.user, s.password) = (SmtpTls::None, "relay".to_owned(), None, None);
            }),
            ("SMTP at smtp.example.org:587, STARTTLS, signed in", |s| s.from = "caly@example.org".to_owned()),
        ];
        for (want, change) in taken {
            let mut settings = settings();
            change(&mut settings);
            assert!(!format!("{settings:?}").contains("s3cret"));
            assert_eq!(Smtp::new(settings).unwrap().describe(), want);
        }
    }

    #[test]
    fn enhanced_codes_are_told_from_words() {
        for (words, want) in [
            ("5.1.1 <asha@clinic.in>: no such user", Some("5.1.1")),
            ("4.7.650", Some("4.7.650")),
            ("asha@clinic.in 5.1.1", None),
            ("5.1 x", None),
            ("127.0.0.1 is listed", None),
            ("5.1.1.x", None),
            ("", None),
        ] {
            assert_eq!(enhanced_code(words), want, "{words}");
        }
    }
}
