//! Against a mail server that takes, refuses, hangs and breaks off.

use super::{ASHA, code, discreet, every_mail, invitation, mailer, now, settings};
use providers::ErrorKind;
use providers::mail::{CONNECTIONS_MAX, Mailer, SmtpSettings, SmtpTls, render};
use secrecy::SecretString;
use std::time::{Duration, Instant};
use testkit::mail_sink::{MailSink, SmtpFault, SmtpStep};

/// A limit that a test can wait for.
const SHORT: Duration = Duration::from_secs(1);
/// No single conversation of these takes as long, even on a busy machine.
const SOON: Duration = Duration::from_secs(8);

async fn sink() -> MailSink {
    MailSink::start().await.expect("a free port")
}

fn short(sink: &MailSink) -> Mailer {
    Mailer::smtp(SmtpSettings { timeout: Some(SHORT), ..settings(sink.address()) }).expect("settings that work")
}

#[tokio::test]
async fn every_mail_arrives_as_it_was_written() {
    let sink = sink().await;
    let mailer = mailer(sink.address());
    for mail in every_mail() {
        mailer.send(&mail, now()).await.unwrap();
        let (want, got) = (render(&mail.kind), sink.next(ASHA).await);
        assert_eq!(got.subject, want.subject);
        assert_eq!(got.text.replace("\r\n", "\n").trim_end(), want.text.trim_end());
        assert_eq!(got.html.replace("\r\n", "\n").trim_end(), want.html.trim_end());
        assert_eq!(got.from, "caly@mail.example.org");
        for line in ["From: Caly <caly@mail.example.org>\r\n", "Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n"] {
            assert!(got.raw.contains(line), "{}", got.raw);
        }
        assert!(got.raw.contains("\r\nAuto-Submitted: auto-generated\r\n"), "{}", got.raw);
        let id = got.raw.lines().find(|line| line.starts_with("Message-ID: <")).expect("an id");
        assert!(id.trim_end().ends_with("@mail.example.org>"), "{id}");
    }
}

#[tokio::test]
async fn codes_and_links_can_be_taken_from_what_arrives() {
    let sink = sink().await;
    let mailer = mailer(sink.address());
    mailer.send(&code(), now()).await.unwrap();
    assert_eq!(sink.next(ASHA).await.code(), Some("042137"));
    mailer.send(&invitation("Sunrise"), now()).await.unwrap();
    assert_eq!(sink.next(ASHA).await.link(), Some("https://caly.example.org/join?token=Ab-9_x&o=1"));
}

#[tokio::test]
async fn a_name_cannot_add_headers_or_recipients() {
    let sink = sink().await;
    let mail = invitation("X\r\nBcc: eve@evil.example\r\n.\r\nMAIL FROM:<eve@evil.example>");
    mailer(sink.address()).send(&mail, now()).await.unwrap();
    let got = sink.next(ASHA).await;
    assert_eq!((sink.taken(), sink.unread("eve@evil.example")), (1, 0));
    let (headers, _) = got.raw.split_once("\r\n\r\n").expect("headers");
    assert!(!headers.lines().any(|line| line.starts_with("Bcc") || line.starts_with("MAIL")), "{headers}");
}

#[tokio::test]
async fn a_refusal_says_whether_another_try_is_worth_it() {
    use ErrorKind::{Overloaded, Rejected, Unauthorized, Unavailable};
    let sink = sink().await;
    let mailer = mailer(sink.address());
    for (step, number, kind, doing) in [
        (SmtpStep::Greeting, 421, Unavailable, "connecting"),
        (SmtpStep::Greeting, 554, Rejected, "connecting"),
        (SmtpStep::Hello, 550, Rejected, "connecting"),
        (SmtpStep::Sender, 421, Unavailable, "naming the sender"),
        (SmtpStep::Sender, 530, Unauthorized, "naming the sender"),
        (SmtpStep::Sender, 553, Rejected, "naming the sender"),
        (SmtpStep::Recipient, 421, Unavailable, "naming the recipient"),
        (SmtpStep::Recipient, 450, Overloaded, "naming the recipient"),
        (SmtpStep::Recipient, 550, Rejected, "naming the recipient"),
        (SmtpStep::Content, 451, Overloaded, "handing over the mail"),
        (SmtpStep::Content, 452, Overloaded, "handing over the mail"),
        (SmtpStep::Content, 554, Rejected, "handing over the mail"),
    ] {
        sink.fault(step, SmtpFault::Refuse(number), 1);
        let (got, said) = discreet(mailer.send(&code(), now()).await);
        assert_eq!(got, kind, "{said}");
        let digit = number / 100;
        assert_eq!(said, format!("mail {}: {doing}: the server answered {number} ({digit}.7.1)", kind.as_str()));
    }
    assert_eq!(sink.taken(), 0);
    mailer.send(&code(), now()).await.expect("nothing is left of the refusals");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let steps = [SmtpStep::Greeting, SmtpStep::Hello, SmtpStep::Sender, SmtpStep::Recipient, SmtpStep::Content];
    let tries = steps.map(|step| async move {
        let sink = sink().await;
        sink.fault(step, SmtpFault::Hang, 1);
        let begun = Instant::now();
        let (kind, said) = discreet(short(&sink).send(&code(), now()).await);
        assert_eq!(kind, ErrorKind::TimedOut, "{step:?}: {said}");
        assert!(begun.elapsed() < SOON, "{step:?}: {:?}", begun.elapsed());
        // What was given up half way takes nothing with it.
        mailer(sink.address()).send(&code(), now()).await.unwrap();
        assert_eq!(sink.taken(), 1, "{step:?}");
    });
    futures_util::future::join_all(tries).await;
    let sink = sink().await;
    sink.hang();
    assert_eq!(discreet(short(&sink).check().await).0, ErrorKind::TimedOut);
}

#[tokio::test]
async fn the_goodbye_does_not_decide() {
    for fault in [SmtpFault::Hang, SmtpFault::Close, SmtpFault::Refuse(421), SmtpFault::Babble] {
        let sink = sink().await;
        sink.fault(SmtpStep::Goodbye, fault, 1);
        let begun = Instant::now();
        mailer(sink.address()).send(&code(), now()).await.expect("the mail was taken over");
        assert!(begun.elapsed() < SOON, "{fault:?}");
        assert_eq!(sink.next(ASHA).await.code(), Some("042137"));
    }
}

#[tokio::test]
async fn broken_connections_and_other_servers_are_told_apart() {
    let sink = sink().await;
    let mailer = mailer(sink.address());
    for step in [SmtpStep::Greeting, SmtpStep::Hello, SmtpStep::Recipient, SmtpStep::Content] {
        sink.fault(step, SmtpFault::Close, 1);
        let (kind, said) = discreet(mailer.send(&code(), now()).await);
        assert_eq!(kind, ErrorKind::Unavailable, "{step:?}: {said}");
        sink.fault(step, SmtpFault::Babble, 1);
        let (kind, said) = discreet(mailer.send(&code(), now()).await);
        assert_eq!(kind, ErrorKind::Protocol, "{step:?}: {said}");
    }
    let (kind, said) = discreet(super::mailer(testkit::nobody::nobody()).send(&code(), now()).await);
    assert_eq!(kind, ErrorKind::Unavailable, "{said}");
    assert!(said.contains("connecting") && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn signs_in_where_that_is_asked_for() {
    let sink = MailSink::start_with_login("caly", "s3cret").await.expect("a free port");
    let with = |user: &str, password: &str| SmtpSettings {
        user: Some(user.to_owned()),
        password: Some(SecretString::from(password.to_owned())),
        ..settings(sink.address())
    };
    let known = Mailer::smtp(with("caly", "s3cret")).unwrap();
    known.check().await.unwrap();
    known.send(&code(), now()).await.unwrap();
    assert_eq!(sink.next(ASHA).await.code(), Some("042137"));
    assert!(!format!("{known:?}").contains("s3cret"));

    let unknown = Mailer::smtp(with("caly", "s3cret?")).unwrap();
    assert_eq!(discreet(unknown.check().await).0, ErrorKind::Unauthorized);
    assert_eq!(discreet(unknown.send(&code(), now()).await).0, ErrorKind::Unauthorized);
    assert_eq!(discreet(mailer(sink.address()).send(&code(), now()).await).0, ErrorKind::Unauthorized);
    // Temporarily, the server cannot tell who we are (RFC 4954).
    sink.fault(SmtpStep::Login, SmtpFault::Refuse(454), 1);
    assert_eq!(discreet(known.send(&code(), now()).await).0, ErrorKind::Overloaded);
    // A server that knows no sign-in is not the one that was meant.
    let open = MailSink::start().await.unwrap();
    let (user, password) = (Some("caly".to_owned()), Some(SecretString::from("s3cret".to_owned())));
    let lost = Mailer::smtp(SmtpSettings { user, password, ..settings(open.address()) }).unwrap();
    assert_eq!(discreet(lost.check().await).0, ErrorKind::Unauthorized);
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_to_a_server_without_starttls() {
    let sink = sink().await;
    let wants = Mailer::smtp(SmtpSettings { tls: SmtpTls::Required, ..settings(sink.address()) }).unwrap();
    let (kind, said) = discreet(wants.send(&code(), now()).await);
    assert_eq!(kind, ErrorKind::Protocol);
    assert!(said.contains("STARTTLS"), "{said}");
    assert_eq!(sink.taken(), 0);
}

#[tokio::test]
async fn a_check_sends_nothing() {
    let sink = sink().await;
    mailer(sink.address()).check().await.unwrap();
    assert_eq!(sink.taken(), 0);
}

#[tokio::test]
async fn many_mails_at_once_wait_for_their_turn() {
    let sink = sink().await;
    let mailer = mailer(sink.address());
    let sends = (0..8 * CONNECTIONS_MAX).map(|_| {
        let mailer = mailer.clone();
        async move { mailer.send(&code(), now()).await }
    });
    for result in futures_util::future::join_all(sends).await {
        result.unwrap();
    }
    assert_eq!(sink.unread(ASHA), 8 * CONNECTIONS_MAX);

    // All turns are taken by conversations that hang: the next one does not wait for ever.
    sink.hang();
    let mailer = short(&sink);
    let sends = (0..2 * CONNECTIONS_MAX).map(|_| mailer.check());
    let kinds: Vec<ErrorKind> =
        futures_util::future::join_all(sends).await.into_iter().map(|r| discreet(r).0).collect();
    assert!(kinds.iter().all(|kind| matches!(kind, ErrorKind::TimedOut | ErrorKind::Overloaded)), "{kinds:?}");
    assert!(kinds.contains(&ErrorKind::Overloaded), "{kinds:?}");
}
