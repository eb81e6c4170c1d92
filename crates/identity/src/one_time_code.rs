//! Six digits sent by mail. They prove that an address is somebody's; they are no second factor (NIST SP 800-63B-4
//! §3.1.3: e-mail is no channel for authentication).
//!
//! A million possibilities are soon tried, so what is kept is a slow hash, tries are few, and time is short.

use crate::password::{HashError, Hasher, Verdict};
use crate::random::{self, NoRandomness};
use chrono::{DateTime, Duration, Utc};
use model::UserId;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// Digits of a code.
pub const DIGITS: usize = 6;
/// How long a code is good (OWASP ASVS 6.5.5: ten minutes at most).
pub const LIFETIME: Duration = Duration::minutes(10);
/// Wrong tries, after which the code is worth nothing.
pub const TRIES_MAX: u32 = 5;
/// Least time between two codes for one account: a letter takes that long.
pub const RESEND_AFTER: Duration = Duration::seconds(60);
/// Most codes for one account in [`SENT_WINDOW`]. With [`TRIES_MAX`], 25 guesses in a million an hour.
pub const SENT_MAX: usize = 5;
/// The time in which they count.
pub const SENT_WINDOW: Duration = Duration::hours(1);

/// Longest input read as a code: the digits with room for spaces and dashes.
const INPUT_CHARS_MAX: usize = 16;

/// What a code is for. One sent for one purpose is wrong for every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The address given at registration belongs to whoever registered.
    VerifyEmail,
}

impl Purpose {
    /// The stable word, which is part of what is hashed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
        }
    }
}

/// A code. Debug hides it.
#[derive(Clone)]
pub struct OneTimeCode(SecretString);

impl OneTimeCode {
    /// A new one, every one equally likely.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self(format!("{:0DIGITS$}", random::below(10_u32.pow(DIGITS as u32))?).into()))
    }

    /// Reads what somebody typed: six digits, spaces and dashes between them ignored.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.chars().count() > INPUT_CHARS_MAX {
            return None;
        }
        let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        (digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit())).then(|| Self(digits.into()))
    }

    /// The digits, for the one letter that carries them.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for OneTimeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeCode(***)")
    }
}

/// What is kept of a code. Blocks: use [`crate::Passwords::hash_code`].
///
/// # Errors
/// [`HashError`].
pub fn hash(hasher: &Hasher, purpose: Purpose, user: UserId, code: &OneTimeCode) -> Result<String, HashError> {
    hasher.hash(&bound(purpose, user, code))
}

/// Whether this is the code. Blocks: use [`crate::Passwords::verify_code`].
///
/// # Errors
/// [`HashError`].
pub fn verify(
    hasher: &Hasher,
    purpose: Purpose,
    user: UserId,
    code: &OneTimeCode,
    kept: &str,
) -> Result<bool, HashError> {
    hasher.verify(&bound(purpose, user, code), kept).map(|verdict| match verdict {
        Verdict::Right { .. } => true,
        Verdict::Wrong => false,
    })
}

/// Purpose and account are part of what is hashed: a row copied to another account or purpose opens nothing.
fn bound(purpose: Purpose, user: UserId, code: &OneTimeCode) -> SecretString {
    format!("caly one-time code v1/{}/{user}/{}", purpose.as_str(), code.expose()).into()
}

/// What is known of the code sent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCode {
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// Wrong tries so far.
    pub tries: u32,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
}

/// Whether a code may be tried. Count a try in the same transaction, before the hash is compared: of many simultaneous
/// tries no more than [`TRIES_MAX`] then get to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Compare.
    Open,
    /// Its time is over.
    Expired,
    /// Too many wrong tries.
    Spent,
    /// It was used.
    Used,
}

/// Whether this code may be tried at this time.
#[must_use]
pub fn check(stored: &StoredCode, now: DateTime<Utc>) -> Standing {
    if stored.used_at.is_some() {
        Standing::Used
    } else if stored.tries >= TRIES_MAX {
        Standing::Spent
    } else if now >= stored.expires_at {
        Standing::Expired
    } else {
        Standing::Open
    }
}

/// When another code may be sent to an account, given when the last ones were; none when at once. A new code replaces
/// the one before.
#[must_use]
pub fn resend_at(sent: &[DateTime<Utc>], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut sent: Vec<_> = sent.to_vec();
    sent.sort_unstable_by(|one, other| other.cmp(one));
    let after_last = sent.first().and_then(|last| last.checked_add_signed(RESEND_AFTER));
    let after_window = sent.get(SENT_MAX - 1).and_then(|oldest| oldest.checked_add_signed(SENT_WINDOW));
    after_last.max(after_window).filter(|at| *at > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use std::collections::HashSet;
    use uuid::Uuid;

    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        now() + Duration::seconds(seconds)
    }

    #[test]
    fn codes_are_six_digits_and_differ() {
        let codes: Vec<OneTimeCode> = (0..500).map(|_| OneTimeCode::random().unwrap()).collect();
        assert!(codes.iter().all(|code| code.expose().len() == 6 && code.expose().bytes().all(|b| b.is_ascii_digit())));
        // Two of 500 are expected to meet one time in eight; twenty never.
        assert!(codes.iter().map(OneTimeCode::expose).collect::<HashSet<_>>().len() > 480);
        assert!(codes.iter().any(|code| code.expose().starts_with('0')), "leading zeros are kept");
        assert_eq!(format!("{:?}", codes[0]), "OneTimeCode(***)");
    }

    #[test]
    fn reads_what_people_type() {
        for (text, want) in [
            ("012345", Some("012345")),
            (" 012 345\n", Some("012345")),
            ("012-345", Some("012345")),
            ("0 1 2 3 4 5", Some("012345")),
            ("01234", None),
            ("0123456", None),
            ("", None),
            ("+12345", None),
            ("01234a", None),
            ("０１２３４５", None),
            ("०१२३४५", None),
            ("0 1 2 3 4 5             ", None),
        ] {
            assert_eq!(OneTimeCode::parse(text).as_ref().map(OneTimeCode::expose), want, "{text:?}");
        }
    }

    #[test]
    fn a_code_belongs_to_one_account_and_purpose() {
        let hasher = Hasher::new();
        let (user, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let code = OneTimeCode::parse("123456").unwrap();
        let kept = hash(&hasher, Purpose::VerifyEmail, user, &code).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !kept.contains("123456"));
        assert_eq!(verify(&hasher, Purpose::VerifyEmail, user, &code, &kept), Ok(true));
        assert_eq!(verify(&hasher, Purpose::VerifyEmail, other, &code, &kept), Ok(false));
        let wrong = OneTimeCode::parse("123457").unwrap();
        assert_eq!(verify(&hasher, Purpose::VerifyEmail, user, &wrong, &kept), Ok(false));
        // A code is no password: the digits alone match nothing.
        assert_eq!(hasher.verify(&"123456".into(), &kept), Ok(Verdict::Wrong));
        let bare = hasher.hash(&"123456".into()).unwrap();
        assert_eq!(verify(&hasher, Purpose::VerifyEmail, user, &code, &bare), Ok(false));
        assert_eq!(verify(&hasher, Purpose::VerifyEmail, user, &code, ""), Err(HashError::Unreadable));
    }

    #[test]
    fn a_code_is_good_once_soon_and_for_few_tries() {
        let fresh = StoredCode { expires_at: now() + LIFETIME, tries: 0, used_at: None };
        for (stored, seconds, want) in [
            (fresh, 0, Standing::Open),
            (fresh, 599, Standing::Open),
            (fresh, 600, Standing::Expired),
            (fresh, 601, Standing::Expired),
            (StoredCode { tries: 4, ..fresh }, 0, Standing::Open),
            (StoredCode { tries: 5, ..fresh }, 0, Standing::Spent),
            (StoredCode { tries: u32::MAX, ..fresh }, 601, Standing::Spent),
            (StoredCode { used_at: Some(now()), ..fresh }, 1, Standing::Used),
            (StoredCode { used_at: Some(now()), tries: 5, ..fresh }, 601, Standing::Used),
        ] {
            assert_eq!(check(&stored, at(seconds)), want, "{stored:?} after {seconds} s");
        }
    }

    #[test]
    fn codes_are_sent_a_minute_apart_and_five_an_hour() {
        for (sent, want) in [
            (vec![], None),
            (vec![0], Some(60)),
            (vec![-59], Some(1)),
            (vec![-60], None),
            (vec![-300, -30, -200], Some(30)),
            (vec![-3000, -2000, -1000, -500], None),
            (vec![-3000, -2000, -1000, -500, -60], Some(600)),
            (vec![-3600, -2000, -1000, -500, -60], None),
            (vec![-9000, -3000, -2000, -1000, -500, -10], Some(600)),
        ] {
            let times: Vec<_> = sent.iter().map(|seconds| at(*seconds)).collect();
            assert_eq!(resend_at(&times, now()), want.map(at), "{sent:?}");
        }
    }
}
