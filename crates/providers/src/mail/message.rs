//! A mail in the form that travels: headers and both texts (RFC 5322, RFC 2045).

use super::{Mail, NAME, Rendered};
use crate::{Error, ErrorKind};
use chrono::{DateTime, Utc};
use lettre::Message;
use lettre::address::Address;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// The end of the year 9999 in Unix seconds: what a Date header can say.
const DATE_MAX_S: i64 = 253_402_300_799;

/// For whose eyes the message is encoded.
#[derive(Clone, Copy)]
pub(super) enum Encoding {
    /// Servers: nothing but ASCII, whatever the texts are.
    Wire,
    /// People who open the file: text as it is (RFC 6532).
    Readable,
}

pub(super) fn build(
    mail: &Mail,
    rendered: Rendered,
    from: &Mailbox,
    now: DateTime<Utc>,
    encoding: Encoding,
) -> Result<Message, Error> {
    let Rendered { subject, text, html } = rendered;
    let id = format!("<{}@{}>", random_hex()?, from.email.domain());
    let seconds = now.timestamp().clamp(0, DATE_MAX_S).unsigned_abs();
    let builder = Message::builder()
        .from(from.clone())
        .to(recipient(mail)?.into())
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(id))
        // RFC 3834: no out-of-office answers to this.
        .raw_header(HeaderValue::new(header("Auto-Submitted"), "auto-generated".to_owned()));
    let builder = match encoding {
        Encoding::Wire => builder.subject(subject),
        Encoding::Readable => {
            builder.raw_header(HeaderValue::dangerous_new_pre_encoded(header("Subject"), subject.clone(), subject))
        }
    };
    let text = part(ContentType::TEXT_PLAIN, text, encoding);
    let html = part(ContentType::TEXT_HTML, html, encoding);
    let parts = MultiPart::alternative().singlepart(text).singlepart(html);
    builder.multipart(parts).map_err(|e| rejected("the mail cannot be built").caused_by(e))
}

/// The recipient as the library knows it.
pub(super) fn recipient(mail: &Mail) -> Result<Address, Error> {
    // Without the cause, which could repeat the address.
    mail.to.as_str().parse().map_err(|_| rejected("the recipient's address is not one for SMTP"))
}

fn part(content: ContentType, text: String, encoding: Encoding) -> SinglePart {
    let body = match encoding {
        Encoding::Wire => Body::new(text),
        // The library takes 8bit for few letters beyond ASCII only; Hindi would become base64.
        Encoding::Readable => Body::dangerous_pre_encoded(text.into_bytes(), ContentTransferEncoding::EightBit),
    };
    SinglePart::builder().header(content).body(body)
}

const fn header(name: &'static str) -> HeaderName {
    HeaderName::new_from_ascii_str(name)
}

fn rejected(detail: &str) -> Error {
    Error::new(ErrorKind::Rejected, NAME, detail)
}

/// 128 random bits.
fn random_hex() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Unavailable, NAME, "the system gives no random numbers").caused_by(e))?;
    let mut hex = String::with_capacity(32);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::render;
    use model::EmailAddress;
    use model::MailKind;

    fn formatted(from: &str, kind: MailKind, now: DateTime<Utc>, encoding: Encoding) -> String {
        let mail = Mail { to: EmailAddress::parse("o'brien+x@clinic.in").unwrap(), kind };
        let message = build(&mail, render(&mail.kind), &from.parse().unwrap(), now, encoding).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    fn hindi() -> MailKind {
        MailKind::Invitation {
            organisation: "सूर्योदय क्लिनिक ".repeat(5),
            inviter_name: "Zoë\r\nBcc: x@y.example".to_owned(),
            link: "https://caly.example.org/join?token=abc".into(),
            days: 7,
        }
    }

    #[test]
    fn carries_the_headers_that_a_mail_needs() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let raw = formatted("Caly <caly@mail.example.org>", MailKind::Test, now, Encoding::Wire);
        for line in [
            "From: Caly <caly@mail.example.org>\r\n",
            "To: o'brien+x@clinic.in\r\n",
            "Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n",
            "Subject: Mail from Caly works\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "MIME-Version: 1.0\r\n",
        ] {
            assert!(raw.contains(line), "{line:?} in\n{raw}");
        }
        let id = raw.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("an id");
        assert!(id.starts_with('<') && id.ends_with("@mail.example.org>") && id.len() == 32 + 19, "{id}");
        let other = formatted("Caly <caly@mail.example.org>", MailKind::Test, now, Encoding::Wire);
        assert!(!other.contains(id), "an id is not used twice");
    }

    #[test]
    fn nothing_but_short_ascii_lines_travels_and_no_header_is_smuggled_in() {
        let raw = formatted("\"Caly, क्लिनिक\" <caly@example.org>", hindi(), DateTime::UNIX_EPOCH, Encoding::Wire);
        assert!(raw.is_ascii(), "{raw}");
        assert!(raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains('\n') && !line.contains('\r')));
        assert!(!raw.contains("\r\nBcc:"), "{raw}");
    }

    #[test]
    fn a_readable_one_shows_the_text_as_it_is() {
        let raw = formatted("caly@localhost", hindi(), DateTime::UNIX_EPOCH, Encoding::Readable);
        assert!(
            raw.contains("Subject: Zoë Bcc: x@\u{2060}y.\u{2060}example invites you to join सूर्योदय क्लिनिक"),
            "{raw}"
        );
        assert!(raw.contains("\nhttps://caly.example.org/join?token=abc\n"), "{raw}");
        assert!(!raw.contains("\r\nBcc:"), "{raw}");
    }

    #[test]
    fn dates_beyond_what_a_header_can_say_do_not_stop_a_mail() {
        for (now, year) in [(DateTime::<Utc>::MAX_UTC, "9999"), (DateTime::<Utc>::MIN_UTC, "1970")] {
            let raw = formatted("caly@localhost", MailKind::Test, now, Encoding::Wire);
            assert!(raw.lines().any(|line| line.starts_with("Date: ") && line.contains(year)), "{raw}");
        }
    }
}
