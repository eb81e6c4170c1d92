//! The second factor: codes of an authenticator app ([RFC 6238](https://www.rfc-editor.org/rfc/rfc6238)), and recovery
//! codes for when the telephone is gone.

use crate::random::{self, NoRandomness};
use crate::token::{self, TokenHash};
use chrono::{DateTime, Utc};
use model::EmailAddress;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use std::fmt;
use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder, Totp};

/// Length of a secret: as long as the hash (RFC 4226 §4).
pub const SECRET_BYTES: usize = 20;
/// How long one code stands in the app.
pub const STEP_S: u64 = 30;
/// How many recovery codes there are.
pub const RECOVERY_CODES: usize = 10;

const DIGITS: u8 = 6;
/// Steps before and after now that are accepted: the clocks of telephones, and slow fingers (RFC 6238 §5.2).
const SKEW_STEPS: u64 = 1;
const ISSUER: &str = "Caly";
/// Longest input read as a code of either kind.
const INPUT_CHARS_MAX: usize = 64;

/// What app and server share. Keep it encrypted; Debug hides it.
pub struct TotpSecret(SecretBox<[u8; SECRET_BYTES]>);

impl TotpSecret {
    /// A new one. It counts only after its owner has shown a code of it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self::from_bytes(random::bytes()?))
    }

    /// One that was kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    /// To be encrypted and kept.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        self.0.expose_secret()
    }

    /// The `otpauth://` address that apps read from a picture. It holds the secret.
    #[must_use]
    pub fn otpauth_url(&self, account: &EmailAddress) -> SecretString {
        let url = self.totp(account.as_str()).to_url();
        url.expect("an e-mail address is not empty and has no colon").into()
    }

    /// The secret as people type it when there is no picture: base32 in capitals, no padding.
    #[must_use]
    pub fn base32(&self) -> SecretString {
        self.totp("").secret().to_base32().into()
    }

    /// The step of time that the code stands for, when it is right, near `now`, and later than the step accepted last:
    /// a code works once, even for somebody who looked over the shoulder. Keep the step in the same transaction.
    #[must_use]
    pub fn verify(&self, code: &str, now: DateTime<Utc>, last_used_step: Option<u64>) -> Option<u64> {
        let code = digits(code)?;
        let this_step = u64::try_from(now.timestamp()).ok()? / STEP_S;
        let totp = self.totp("");
        let mut accepted = None;
        // All steps are computed, whichever matches: the time does not tell.
        for step in this_step.saturating_sub(SKEW_STEPS)..=this_step + SKEW_STEPS {
            let right: bool = totp.generate(step * STEP_S).to_string().as_bytes().ct_eq(code.as_bytes()).into();
            let unused = last_used_step.is_none_or(|last| step > last);
            if right && unused && accepted.is_none() {
                accepted = Some(step);
            }
        }
        accepted
    }

    fn totp(&self, account: &str) -> Totp {
        // Every value is a constant or checked by its type, so there is nothing for the checked build to find.
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(0)
            .with_step_duration(STEP_S)
            .with_secret(*self.expose())
            .with_account_name(account)
            .with_issuer(Some(ISSUER))
            .build_noncompliant()
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(***)")
    }
}

/// Six digits as typed, spaces ignored: apps show `123 456`.
fn digits(text: &str) -> Option<String> {
    if text.chars().count() > INPUT_CHARS_MAX {
        return None;
    }
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    (digits.len() == usize::from(DIGITS) && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

/// [Crockford's alphabet](https://www.crockford.com/base32.html): no I, L, O, U, which are taken for others.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RECOVERY_CHARS: usize = 25;
const RECOVERY_GROUP: usize = 5;

/// Lets its owner in once, in place of the app: 125 random bits as `XXXXX-XXXXX-XXXXX-XXXXX-XXXXX`.
#[derive(Clone)]
pub struct RecoveryCode(SecretString);

impl RecoveryCode {
    fn random() -> Result<Self, NoRandomness> {
        let mut bits = u128::from_le_bytes(random::bytes()?);
        let mut text = String::with_capacity(RECOVERY_CHARS);
        for _ in 0..RECOVERY_CHARS {
            text.push(char::from(ALPHABET[(bits % 32) as usize]));
            bits /= 32;
        }
        Ok(Self(text.into()))
    }

    /// Reads what somebody typed: case, spaces and dashes do not matter, and look-alikes are taken for what they are.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.chars().count() > INPUT_CHARS_MAX {
            return None;
        }
        let plain = text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
        let plain: String = plain.collect();
        (plain.len() == RECOVERY_CHARS && plain.bytes().all(|b| ALPHABET.contains(&b))).then(|| Self(plain.into()))
    }

    /// As shown to its owner, once.
    #[must_use]
    pub fn display(&self) -> SecretString {
        let mut text = String::with_capacity(RECOVERY_CHARS + RECOVERY_CHARS / RECOVERY_GROUP);
        for (index, c) in self.0.expose_secret().chars().enumerate() {
            if index > 0 && index % RECOVERY_GROUP == 0 {
                text.push('-');
            }
            text.push(c);
        }
        text.into()
    }

    /// What is kept of it. 125 random bits need no slow hash.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        token::hash(self.0.expose_secret())
    }

    /// Which of the kept ones it is. All are compared, each in constant time.
    #[must_use]
    pub fn find(&self, kept: &[TokenHash]) -> Option<usize> {
        let hash = self.hash();
        kept.iter()
            .enumerate()
            .fold(None, |found, (index, kept)| if token::same(&hash, kept) { Some(index) } else { found })
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(***)")
    }
}

/// A new set of recovery codes; the one before is worth nothing from then on.
///
/// # Errors
/// [`NoRandomness`].
pub fn recovery_codes() -> Result<Vec<RecoveryCode>, NoRandomness> {
    (0..RECOVERY_CODES).map(|_| RecoveryCode::random()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The key of RFC 6238's appendix B.
    fn rfc_secret() -> TotpSecret {
        TotpSecret::from_bytes(*b"12345678901234567890")
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn agrees_with_rfc_6238() {
        // The last six of its eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(rfc_secret().verify(code, at(seconds), None), Some(seconds as u64 / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_before_and_after() {
        let secret = rfc_secret();
        // The code of step 1, 30 s to 59 s.
        for (seconds, want) in
            [(0, Some(1)), (29, Some(1)), (30, Some(1)), (59, Some(1)), (60, Some(1)), (89, Some(1)), (90, None)]
        {
            assert_eq!(secret.verify("287082", at(seconds), None), want, "{seconds}");
        }
        // The code of step 37_037_036 begins at 1_111_111_080.
        assert_eq!(secret.verify("081804", at(1_111_111_050), None), Some(37_037_036));
        assert_eq!(secret.verify("081804", at(1_111_111_049), None), None);
    }

    #[test]
    fn a_code_works_once() {
        let secret = rfc_secret();
        let now = at(1_111_111_109);
        let step = secret.verify("081804", now, None).unwrap();
        assert_eq!(secret.verify("081804", now, Some(step - 1)), Some(step));
        assert_eq!(secret.verify("081804", now, Some(step)), None);
        assert_eq!(secret.verify("081804", now, Some(step + 1)), None);
        // The next one is good, the one before is not any more.
        assert_eq!(secret.verify("050471", now, Some(step)), Some(step + 1));
        assert_eq!(secret.verify("081804", now, Some(step + 1)), None);
        assert_eq!(secret.verify("081804", now, Some(u64::MAX)), None);
    }

    #[test]
    fn only_six_digits_are_read() {
        let (secret, now) = (rfc_secret(), at(59));
        for good in ["287082", " 287082 ", "287 082", "2 8 7 0 8 2"] {
            assert_eq!(secret.verify(good, now, None), Some(1), "{good:?}");
        }
        for bad in [
            "",
            "28708",
            "2870820",
            "94287082",
            "+87082",
            "28708a",
            "２８７０８２",
            "287082\0",
            "287083",
            &" ".repeat(1_000),
        ] {
            assert_eq!(secret.verify(bad, now, None), None, "{bad:?}");
        }
        assert_eq!(secret.verify("287082", at(-59), None), None);
        for time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let _no_panic = secret.verify("287082", time, None);
        }
    }

    #[test]
    fn apps_read_the_address() {
        let account = EmailAddress::parse("asha+x@clinic.in").unwrap();
        let url = rfc_secret().otpauth_url(&account);
        assert_eq!(
            url.expose_secret(),
            "otpauth://totp/Caly:asha%2Bx%40clinic.in?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Caly"
        );
        assert_eq!(rfc_secret().base32().expose_secret(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let read = Totp::from_url(url.expose_secret()).unwrap();
        assert_eq!((read.account_name(), read.issuer()), ("asha+x@clinic.in", Some("Caly")));
        assert_eq!((read.digits(), read.step(), read.algorithm()), (6, 30, Algorithm::SHA1));
        assert_eq!(read.generate(59).to_string(), "287082");
    }

    #[test]
    fn secrets_are_random_and_hidden() {
        let (one, other) = (TotpSecret::random().unwrap(), TotpSecret::random().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(format!("{one:?}"), "TotpSecret(***)");
        let app = Totp::from_url(one.otpauth_url(&EmailAddress::parse("a@b.co").unwrap()).expose_secret()).unwrap();
        let code = app.generate(1_800_000_000).to_string();
        assert_eq!(one.verify(&code, at(1_800_000_000), None), Some(60_000_000));
        assert_eq!(other.verify(&code, at(1_800_000_000), None), None);
    }

    #[test]
    fn recovery_codes_are_125_random_bits_in_groups() {
        let codes = recovery_codes().unwrap();
        assert_eq!(codes.len(), 10);
        let mut seen = HashSet::new();
        let mut letters = HashSet::new();
        for code in &codes {
            let shown = code.display();
            let groups: Vec<&str> = shown.expose_secret().split('-').collect();
            assert!(groups.len() == 5 && groups.iter().all(|group| group.len() == 5), "five groups of five");
            letters.extend(groups.concat().bytes().inspect(|b| assert!(ALPHABET.contains(b))));
            assert!(seen.insert(code.hash()));
            assert_eq!(RecoveryCode::parse(shown.expose_secret()).unwrap().hash(), code.hash());
        }
        // 250 letters miss one of 32 one time in 90; three of them practically never.
        assert!(letters.len() >= 29, "{}", letters.len());
        assert_eq!(format!("{:?}", codes[0]), "RecoveryCode(***)");
    }

    #[test]
    fn recovery_codes_are_read_as_people_type_them() {
        let want = RecoveryCode::parse("0123456789ABCDEFGHJKMNPQ1").unwrap();
        assert_eq!(want.display().expose_secret(), "01234-56789-ABCDE-FGHJK-MNPQ1");
        for text in [
            "01234-56789-ABCDE-FGHJK-MNPQ1",
            "01234-56789-abcde-fghjk-mnpq1",
            " 01234 56789 abcde fghjk mnpq1\n",
            "0 1 2 3 4 5 6 7 8 9 abcde-fghjk-mnpq1",
            "o1234-56789-ABCDE-FGHJK-MNPQI",
            "Ol234-56789-ABCDE-FGHJK-MNPQL",
        ] {
            assert_eq!(RecoveryCode::parse(text).map(|code| code.hash()), Some(want.hash()), "{text:?}");
        }
        for bad in [
            "",
            "-",
            "01234-56789-ABCDE-FGHJK-MNPQ",
            "01234-56789-ABCDE-FGHJK-MNPQ12",
            "U1234-56789-ABCDE-FGHJK-MNPQ1",
            "01234_56789_ABCDE_FGHJK_MNPQ1",
            "é1234-56789-ABCDE-FGHJK-MNP",
            &"0".repeat(1_000),
        ] {
            assert!(RecoveryCode::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_right_recovery_code_is_found() {
        let codes = recovery_codes().unwrap();
        let kept: Vec<TokenHash> = codes.iter().map(RecoveryCode::hash).collect();
        for (index, code) in codes.iter().enumerate() {
            assert_eq!(code.find(&kept), Some(index));
        }
        assert_eq!(RecoveryCode::random().unwrap().find(&kept), None);
        assert_eq!(codes[0].find(&kept[1..]), None);
        assert_eq!(codes[0].find(&[]), None);
    }
}
