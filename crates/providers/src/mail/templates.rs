//! What the mails say.

use super::layout::{self, Block};
use model::MailKind;
use std::fmt;

/// Most characters of a name in a mail; longer ones are cut. A name is a place for somebody else's text in a mail of
/// ours, and that place stays small.
pub const NAME_CHARS_MAX: usize = 80;

/// A mail as it is read. Debug shows no text: it may carry a code.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line, without what is secret: subjects appear on locked screens and in servers' logs.
    pub subject: String,
    /// Plain text, lines ended by `\n`.
    pub text: String,
    /// A whole HTML document.
    pub html: String,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered").field("text_bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// Writes the mail.
#[must_use]
pub fn render(kind: &MailKind) -> Rendered {
    let (subject, blocks) = letter(kind);
    Rendered { text: layout::text(&blocks), html: layout::html(&subject, &blocks), subject }
}

fn letter(kind: &MailKind) -> (String, Vec<Block>) {
    match kind {
        MailKind::VerifyEmail { code, minutes } => verify_email(code.expose(), *minutes),
        MailKind::AlreadyRegistered => already_registered(),
        MailKind::ResetPassword { link, minutes } => reset_password(link.expose(), *minutes),
        MailKind::PasswordChanged => password_changed(),
        MailKind::TokenReused => token_reused(),
        MailKind::SecondFactorChanged { enabled: true } => second_factor_on(),
        MailKind::SecondFactorChanged { enabled: false } => second_factor_off(),
        MailKind::Invitation { organisation, inviter_name, link, days } => {
            invitation(organisation, inviter_name, link.expose(), *days)
        }
        MailKind::WebhookEndpointDisabled => webhook_endpoint_disabled(),
        MailKind::Test => test(),
    }
}

fn verify_email(code: &str, minutes: u32) -> (String, Vec<Block>) {
    let blocks = vec![
        says("Good to have you with us. Please confirm your e-mail address with this code:"),
        Block::Code(one_line(code)),
        Block::Says(format!(
            "It is valid for {} and works once. Please keep it to yourself: nobody at Caly will ever ask you for it.",
            count(minutes, "minute")
        )),
        says("You did not sign up for Caly? Then somebody may have mistyped their address. You can ignore this mail."),
    ];
    ("Confirm your e-mail address for Caly".to_owned(), blocks)
}

fn already_registered() -> (String, Vec<Block>) {
    let blocks = vec![
        says(
            "Somebody, perhaps you, just tried to create a Caly account with this e-mail address. You already have one, \
             so nothing was changed.",
        ),
        says(
            "If it was you: simply sign in. If you no longer know your password, choose \"Forgot password\" on the \
             sign-in page, and we will mail you a link to set a new one.",
        ),
        says("If it was not you, there is nothing to do. We did not tell them that you have an account."),
    ];
    ("You already have a Caly account".to_owned(), blocks)
}

fn reset_password(link: &str, minutes: u32) -> (String, Vec<Block>) {
    let blocks = vec![
        says("Somebody, hopefully you, asked for a new password for your Caly account. You can set it here:"),
        Block::Button { label: "Set a new password", link: one_line(link) },
        Block::Says(format!(
            "The link is valid for {} and works once. Setting a new password signs you out everywhere.",
            count(minutes, "minute")
        )),
        says(
            "You did not ask for this? Then you can ignore this mail; your password stays as it is. Please do not pass \
             the link on: whoever has it can set your password.",
        ),
    ];
    ("Set a new password for Caly".to_owned(), blocks)
}

fn password_changed() -> (String, Vec<Block>) {
    let blocks = vec![
        says("The password of your Caly account was just changed. If that was you, all is well."),
        says(
            "If it was not you, somebody else may be using your account. Choose \"Forgot password\" on the sign-in page \
             now and set a new one; that also signs out everybody who uses the account. Then tell the owner of your \
             organisation.",
        ),
    ];
    ("Your Caly password was changed".to_owned(), blocks)
}

fn token_reused() -> (String, Vec<Block>) {
    let blocks = vec![
        says(
            "To be on the safe side we have ended one of your Caly sessions. It was continued with an old key that had \
             already been replaced by a newer one.",
        ),
        says(
            "Often the reason is harmless, such as a browser restored from a backup. But it is also what we would see if \
             somebody had copied your session. One of your devices will ask you to sign in again; the others stay \
             signed in.",
        ),
        says(
            "If anything seems strange to you, choose \"Forgot password\" on the sign-in page and set a new one. That \
             ends all your sessions.",
        ),
    ];
    ("We ended one of your Caly sessions".to_owned(), blocks)
}

fn second_factor_on() -> (String, Vec<Block>) {
    let blocks = vec![
        says(
            "Two-step sign-in is now on for your Caly account. From now on we ask for a code from your authenticator \
             app besides your password.",
        ),
        says(
            "Please keep your recovery codes somewhere safe, away from your phone. They are the way in if the phone is \
             lost.",
        ),
        says(
            "If you did not turn this on, choose \"Forgot password\" on the sign-in page, set a new password, and tell \
             the owner of your organisation.",
        ),
    ];
    ("Two-step sign-in is on for your Caly account".to_owned(), blocks)
}

fn second_factor_off() -> (String, Vec<Block>) {
    let blocks = vec![
        says(
            "Two-step sign-in was just turned off for your Caly account. Your password alone is now enough to sign in. \
             If that was you, all is well; you can turn it on again at any time in your settings.",
        ),
        says(
            "If it was not you, somebody else may be using your account. Choose \"Forgot password\" on the sign-in page \
             now and set a new one, turn two-step sign-in on again, and tell the owner of your organisation.",
        ),
    ];
    ("Two-step sign-in is off for your Caly account".to_owned(), blocks)
}

fn invitation(organisation: &str, inviter: &str, link: &str, days: u32) -> (String, Vec<Block>) {
    let organisation = name(organisation, "an organisation");
    let inviter = name(inviter, "Somebody");
    let blocks = vec![
        Block::Says(format!(
            "{inviter} invites you to join {organisation} on Caly. Caly answers and makes phone calls with voice agents, \
             and keeps their recordings and transcripts in one place for the team."
        )),
        Block::Button { label: "Accept the invitation", link: one_line(link) },
        Block::Says(format!("The link is for you alone. It is valid for {} and works once.", count(days, "day"))),
        says("You do not know who this is, or did not expect it? Then you can ignore this mail; nothing will happen."),
    ];
    (format!("{inviter} invites you to join {organisation} on Caly"), blocks)
}

fn webhook_endpoint_disabled() -> (String, Vec<Block>) {
    let blocks = vec![
        says(
            "Caly no longer sends events to one of your organisation's webhook endpoints. Either it took none for five \
             days, or it answered that it wants no more (410).",
        ),
        says(
            "Events that were waiting for it were given up; they are kept for 30 days and can be sent again. Your list of \
             webhook endpoints shows which one it is and what it last answered. Once it works, enable it there.",
        ),
        says("If you no longer need it, there is nothing to do. Your calls are not affected."),
    ];
    ("A webhook endpoint was disabled on Caly".to_owned(), blocks)
}

fn test() -> (String, Vec<Block>) {
    let blocks = vec![
        says("This is a test, and you are reading it: Caly can send mail."),
        says("You asked for it, or somebody who runs your Caly did. There is nothing to do."),
    ];
    ("Mail from Caly works".to_owned(), blocks)
}

fn says(text: &str) -> Block {
    Block::Says(text.to_owned())
}

fn count(number: u32, unit: &str) -> String {
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

/// Codes and links hold nothing but what we made; should that ever change, they cannot start a line of their own.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Somebody else's text in a mail of ours: one line, not long, in reading order, and no web address that a mail program
/// would make a link of.
fn name(given: &str, otherwise: &str) -> String {
    let visible: String =
        given.chars().filter(|c| !is_direction(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut words = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() > NAME_CHARS_MAX {
        words = words.chars().take(NAME_CHARS_MAX - 1).collect();
        words = format!("{}…", words.trim_end());
    }
    if words.is_empty() { otherwise.to_owned() } else { unlinked(&words) }
}

/// Characters that turn the direction of what follows. A mail could be made to read backwards with them. (Those that
/// join letters stay: Hindi needs them.)
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Puts an invisible WORD JOINER behind a dot or `@` between letters: `evil.example` looks the same and is no link.
fn unlinked(words: &str) -> String {
    let mut out = String::with_capacity(words.len() + 8);
    let mut before = ' ';
    let mut rest = words.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        let inside = before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        if matches!(c, '.' | '@') && inside {
            out.push('\u{2060}');
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::SecretText;

    const LINK: &str = "https://caly.example.org/reset?token=AbC-_123&x=1";

    fn link() -> SecretText {
        LINK.into()
    }

    fn invited(organisation: &str, inviter: &str) -> Rendered {
        render(&MailKind::Invitation {
            organisation: organisation.to_owned(),
            inviter_name: inviter.to_owned(),
            link: link(),
            days: 7,
        })
    }

    fn every_kind() -> Vec<MailKind> {
        vec![
            MailKind::VerifyEmail { code: "042137".into(), minutes: 10 },
            MailKind::AlreadyRegistered,
            MailKind::ResetPassword { link: link(), minutes: 15 },
            MailKind::PasswordChanged,
            MailKind::TokenReused,
            MailKind::SecondFactorChanged { enabled: true },
            MailKind::SecondFactorChanged { enabled: false },
            MailKind::Invitation {
                organisation: "Sunrise Clinic".to_owned(),
                inviter_name: "Asha Rao".to_owned(),
                link: link(),
                days: 7,
            },
            MailKind::WebhookEndpointDisabled,
            MailKind::Test,
        ]
    }

    /// What both forms of a mail must say, in the order of `every_kind`.
    const MUST_SAY: [&[&str]; 10] = [
        &["042137", "10 minutes", "works once", "ignore this mail"],
        &["already have one", "nothing was changed", "Forgot password"],
        &["Set a new password", "15 minutes", "works once", "stays as it is"],
        &["was just changed", "Forgot password", "owner of your organisation"],
        &["ended one of your Caly sessions", "sign in again", "Forgot password"],
        &["is now on", "recovery codes", "Forgot password"],
        &["turned off", "password alone", "Forgot password"],
        &["Asha Rao invites you to join Sunrise Clinic on Caly", "7 days", "ignore this mail"],
        &["no longer sends events", "five days", "30 days", "enable it there"],
        &["Caly can send mail"],
    ];

    #[test]
    fn both_forms_of_every_mail_say_what_they_must() {
        let mut subjects = std::collections::BTreeSet::new();
        for (kind, must_say) in every_kind().iter().zip(MUST_SAY) {
            let Rendered { subject, text, html } = render(kind);
            for words in must_say {
                assert!(text.contains(words), "{kind:?}, text: no {words:?} in\n{text}");
                assert!(html.contains(words), "{kind:?}, HTML: no {words:?} in\n{html}");
            }
            assert!(subject.contains("Caly") && subject.len() < 60, "{kind:?}: {subject}");
            assert!(!subject.contains("042137") && !subject.contains("token"), "{kind:?}: {subject}");
            assert!(subjects.insert(subject), "{kind:?}: two mails look the same in a list");
            assert!(text.starts_with("Hello,\n") && text.ends_with("by Caly.\n"), "{text}");
            assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"), "{html}");
            for foreign in ["<img", "<link", "<style", "<script", "src=", "url("] {
                assert!(!html.contains(foreign), "{kind:?}: {foreign}");
            }
            // RFC 5321 4.5.3.1.6: a line has at most 1000 bytes.
            for line in text.lines().chain(html.lines()) {
                assert!(line.len() < 900, "{kind:?}: {line}");
            }
        }
    }

    #[test]
    fn links_arrive_whole() {
        for kind in [MailKind::ResetPassword { link: link(), minutes: 1 }, every_kind().swap_remove(7)] {
            let Rendered { text, html, .. } = render(&kind);
            assert!(text.lines().any(|line| line == LINK), "on a line of its own: {text}");
            let escaped = LINK.replace('&', "&amp;");
            assert!(html.contains(&format!("href=\"{escaped}\"")), "{html}");
            assert_eq!(html.matches(&escaped).count(), 2, "to be clicked and to be read: {html}");
        }
        assert!(render(&MailKind::ResetPassword { link: link(), minutes: 1 }).text.contains("for 1 minute and"));
    }

    #[test]
    fn names_are_shown_as_they_are_and_do_nothing() {
        let long = "N".repeat(NAME_CHARS_MAX + 1);
        for (given, shown) in [
            ("Sunrise Clinic", "Sunrise Clinic".to_owned()),
            ("सूर्योदय क्लिनिक", "सूर्योदय क्लिनिक".to_owned()),
            // A conjunct that is kept apart by a ZERO WIDTH NON-JOINER.
            ("श्री\u{200C}मान", "श्री\u{200C}मान".to_owned()),
            ("Dr. O'Brien & Sons \"Dental\"", "Dr. O'Brien & Sons \"Dental\"".to_owned()),
            ("<script>alert(1)</script>", "<script>alert(1)</script>".to_owned()),
            ("Acme\r\nBcc: all@example.org\r\n\r\nHi", "Acme Bcc: all@\u{2060}example.\u{2060}org Hi".to_owned()),
            ("  two\t\twords\u{2028}", "two words".to_owned()),
            ("safe\u{202E}gro.live", "safegro.\u{2060}live".to_owned()),
            ("Win at https://evil.example/x", "Win at https://evil.\u{2060}example/x".to_owned()),
            (&long, format!("{}…", "N".repeat(NAME_CHARS_MAX - 1))),
            (" \u{0} \n", String::new()),
        ] {
            let Rendered { subject, text, html } = invited(given, given);
            let organisation = if shown.is_empty() { "an organisation" } else { &shown };
            let inviter = if shown.is_empty() { "Somebody" } else { &shown };
            let says = format!("{inviter} invites you to join {organisation} on Caly");
            assert_eq!(subject, says);
            assert!(text.contains(&says), "{given:?}: {text}");
            assert!(!subject.contains(|c: char| c.is_control()), "{subject:?}");
            let escaped = says.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let escaped = escaped.replace('"', "&quot;").replace('\'', "&#39;");
            assert!(html.contains(&format!("<title>{escaped}</title>")), "{given:?}: {html}");
            assert!(html.contains(&format!(">{escaped}. Caly answers")), "{given:?}: {html}");
            assert!(!html.contains("<script"), "{html}");
        }
    }

    #[test]
    fn a_code_or_link_cannot_start_a_line() {
        let Rendered { text, html, .. } = render(&MailKind::VerifyEmail { code: "1\r\n2<3".into(), minutes: 10 });
        assert!(text.contains("    12<3\n") && html.contains(">12&lt;3</p>"), "{text}\n{html}");
    }

    #[test]
    fn debug_does_not_print_what_a_mail_says() {
        let kind = MailKind::ResetPassword { link: "https://caly.example.org/r#token=s3cret".into(), minutes: 15 };
        assert!(!format!("{:?}", render(&kind)).contains("s3cret"));
    }
}
