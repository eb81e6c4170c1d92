//! Mail, to a mail server over a real socket and into a folder.

mod folder;
mod smtp;
mod tls;

use chrono::{DateTime, Utc};
use model::EmailAddress;
use model::{Mail, MailKind};
use providers::ErrorKind;
use providers::mail::{Mailer, SmtpSettings, SmtpTls};
use std::net::SocketAddr;

const ASHA: &str = "asha@clinic.in";

/// 2026-09-21 14:13:20 UTC.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("a time")
}

fn settings(address: SocketAddr) -> SmtpSettings {
    SmtpSettings {
        host: address.ip().to_string(),
        port: address.port(),
        user: None,
        password: None,
        from: "Caly <caly@mail.example.org>".to_owned(),
        tls: SmtpTls::None,
        extra_roots_pem: None,
        timeout: None,
    }
}

fn mailer(address: SocketAddr) -> Mailer {
    Mailer::smtp(settings(address)).expect("settings that work")
}

fn mail(kind: MailKind) -> Mail {
    Mail { to: EmailAddress::parse(ASHA).expect("an address"), kind }
}

fn code() -> Mail {
    mail(MailKind::VerifyEmail { code: "042137".into(), minutes: 10 })
}

fn invitation(organisation: &str) -> Mail {
    mail(MailKind::Invitation {
        organisation: organisation.to_owned(),
        inviter_name: "Asha \"Ash\" Rao".to_owned(),
        link: "https://caly.example.org/join?token=Ab-9_x&o=1".into(),
        days: 7,
    })
}

fn every_mail() -> Vec<Mail> {
    let mut mails = vec![code(), invitation("सूर्योदय क्लिनिक & Söhne <b>"), invitation("Sunrise Clinic")];
    mails.extend(
        [
            MailKind::AlreadyRegistered,
            MailKind::ResetPassword { link: "https://caly.example.org/reset?token=Zz-0_y".into(), minutes: 15 },
            MailKind::PasswordChanged,
            MailKind::TokenReused,
            MailKind::SecondFactorChanged { enabled: true },
            MailKind::SecondFactorChanged { enabled: false },
            MailKind::WebhookEndpointDisabled,
            MailKind::Test,
        ]
        .map(mail),
    );
    mails
}

/// The failure, which must not say to whom the mail was, nor what was in it.
fn discreet(result: Result<(), providers::Error>) -> (ErrorKind, String) {
    let error = result.expect_err("a failure");
    let said = format!("{error} {error:?}");
    for secret in [ASHA, "042137", "s3cret"] {
        assert!(!said.contains(secret), "{said}");
    }
    (error.kind, error.to_string())
}
