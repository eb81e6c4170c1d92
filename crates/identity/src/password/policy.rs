//! Which passwords are good enough. No rules of composition, no change by calendar (NIST SP 800-63B-4 §3.1.1.2).
//!
//! No list of leaked passwords known to us holds the 3 000 entries of fifteen characters and more that a block list
//! should have; therefore estimated guesses (`zxcvbn`, 30 000 common passwords, names and words inside) decide, and
//! repetitions and our own names are refused by rule.

use super::normalised;
use model::EmailAddress;
use secrecy::{ExposeSecret, SecretString};
use zxcvbn::matching::patterns::MatchPattern;
use zxcvbn::{Score, zxcvbn};

/// Least length when the password is the only factor, in code points.
pub const CHARS_MIN: usize = 15;
/// Least length when a second factor is enforced, in code points.
pub const CHARS_MIN_WITH_SECOND_FACTOR: usize = 8;
/// Greatest length, in code points. 64 must be possible; more than this is no password but a file.
pub const CHARS_MAX: usize = 256;
/// Greatest length in bytes: [`CHARS_MAX`] of the longest code points.
pub const BYTES_MAX: usize = 1024;

/// What is given to the estimate. Its work grows with the square of the length and with the ways to read figures as
/// letters: 40 characters of `4@8({[<369&#` take as long as a hash, 100 take ten times that. What is hard to guess in
/// its first 40 characters is hard to guess; the rest can only add.
const ESTIMATED_CHARS_MAX: usize = 40;
/// Shortest part of a name that counts as the name; shorter ones are in every text.
const NAME_CHARS_MIN: usize = 3;
/// Digits that do not make a name a password: a year.
const YEAR_DIGITS: usize = 4;
/// Most names looked for.
const NAMES_MAX: usize = 40;
/// The product, which everybody here knows.
const PRODUCT: &str = "caly";

/// What a password must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Whether nobody gets in with the password alone.
    pub second_factor_enforced: bool,
}

/// What an attacker would try first against this account.
#[derive(Clone, Debug)]
pub struct PasswordContext {
    /// The organisation's name.
    pub organisation: String,
    /// The account's address.
    pub email: EmailAddress,
}

/// Why a password is refused, in a sentence for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefusal {
    /// Fewer code points than asked for.
    #[error("The password is too short: use {chars_min} characters or more.")]
    TooShort {
        /// How many it must have.
        chars_min: usize,
    },
    /// More than [`CHARS_MAX`] code points or [`BYTES_MAX`] bytes.
    #[error("The password is too long: use at most 256 characters.")]
    TooLong,
    /// On the lists that attackers try first.
    #[error("This is one of the passwords that are tried first: choose another.")]
    Common,
    /// Only names that belong to the account.
    #[error(
        "The password consists of the name of the product, the organisation or the e-mail address: choose something unrelated."
    )]
    OnlyNames,
    /// A short piece repeated.
    #[error("The password repeats itself: the piece that repeats is too short to be one.")]
    Repeats,
    /// Long enough, but soon guessed.
    #[error("The password is easy to guess: use more words, or words that have nothing to do with each other.")]
    Guessable,
}

impl PasswordPolicy {
    /// Whether somebody may choose this password. Costs up to tens of milliseconds: behind the gate, please.
    ///
    /// # Errors
    /// [`PasswordRefusal`].
    pub fn check(self, password: &SecretString, context: &PasswordContext) -> Result<(), PasswordRefusal> {
        if password.expose_secret().len() > BYTES_MAX {
            return Err(PasswordRefusal::TooLong);
        }
        let password = normalised(password);
        let text = password.expose_secret();
        let chars = text.chars().count();
        let chars_min = self.chars_min();
        if chars < chars_min {
            return Err(PasswordRefusal::TooShort { chars_min });
        }
        if chars > CHARS_MAX || text.len() > BYTES_MAX {
            return Err(PasswordRefusal::TooLong);
        }
        if repeated(text).is_some_and(|piece_chars| piece_chars < chars_min) {
            return Err(PasswordRefusal::Repeats);
        }
        let names = context.names();
        if only_names(text, &names) {
            return Err(PasswordRefusal::OnlyNames);
        }
        self.estimate(text, &names)
    }

    /// Least length, in code points.
    #[must_use]
    pub const fn chars_min(self) -> usize {
        if self.second_factor_enforced { CHARS_MIN_WITH_SECOND_FACTOR } else { CHARS_MIN }
    }

    /// Least estimate. It counts ten guesses for a character without a pattern, so eight characters never reach
    /// [`Score::Three`] (10^8); beside a second factor [`Score::Two`] (10^6) outlasts the wait after failed logins.
    const fn score_min(self) -> Score {
        if self.second_factor_enforced { Score::Two } else { Score::Three }
    }

    fn estimate(self, text: &str, names: &[String]) -> Result<(), PasswordRefusal> {
        let begin: String = text.chars().take(ESTIMATED_CHARS_MAX).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let estimate = zxcvbn(&begin, &names);
        match estimate.sequence() {
            [only] if matches!(only.pattern, MatchPattern::Dictionary(_)) => Err(PasswordRefusal::Common),
            _ if estimate.score() < self.score_min() => Err(PasswordRefusal::Guessable),
            _ => Ok(()),
        }
    }
}

/// Length of the piece that the whole text repeats, the last time perhaps in part; none when it does not.
fn repeated(text: &str) -> Option<usize> {
    let chars: Vec<char> = text.to_lowercase().chars().collect();
    // Half, rounded up: "password password" is its piece twice but for the last space.
    (1..=chars.len().div_ceil(2)).find(|&piece| piece < chars.len() && chars[piece..] == chars[..chars.len() - piece])
}

impl PasswordContext {
    /// Product, organisation, the address before the @ and the domain: whole, and their words.
    fn names(&self) -> Vec<String> {
        let address = self.email.as_str();
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let organisation = self.organisation.to_lowercase();
        let mut names = vec![PRODUCT.to_owned()];
        for source in [organisation.as_str(), local, domain] {
            names.push(letters_and_digits(source));
            names.extend(source.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        }
        names.retain(|name| name.chars().count() >= NAME_CHARS_MIN);
        names.truncate(NAMES_MAX);
        names
    }
}

fn letters_and_digits(text: &str) -> String {
    text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Whether nothing is left of the text but names, what separates them, and a year.
fn only_names(text: &str, names: &[String]) -> bool {
    let text = letters_and_digits(text);
    // Fewest loose digits with which each beginning of the text can be put together; none when it cannot.
    let mut loose_digits: Vec<Option<usize>> = vec![None; text.len() + 1];
    loose_digits[0] = Some(0);
    for (at, c) in text.char_indices() {
        let Some(so_far) = loose_digits[at] else { continue };
        let digit = c.is_ascii_digit().then_some((at + 1, so_far + 1));
        let by_name = names.iter().filter(|name| text[at..].starts_with(name.as_str()));
        for (end, digits) in by_name.map(|name| (at + name.len(), so_far)).chain(digit) {
            loose_digits[end] = Some(loose_digits[end].map_or(digits, |known| known.min(digits)));
        }
    }
    !text.is_empty() && loose_digits[text.len()].is_some_and(|digits| digits <= YEAR_DIGITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: PasswordPolicy = PasswordPolicy { second_factor_enforced: false };
    const SECOND: PasswordPolicy = PasswordPolicy { second_factor_enforced: true };

    fn check(policy: PasswordPolicy, password: &str) -> Result<(), PasswordRefusal> {
        let email = EmailAddress::parse("asha.rao@clinic-example.org").expect("an address");
        let context = PasswordContext { organisation: "Sunrise Dental Clinic".to_owned(), email };
        policy.check(&password.into(), &context)
    }

    /// So many characters without a pattern.
    fn random(chars: usize) -> String {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'!' + (state % 94) as u8)
        };
        (0..chars).map(|_| next()).collect()
    }

    #[test]
    fn the_length_counts_in_code_points() {
        let short = |chars_min| Err(PasswordRefusal::TooShort { chars_min });
        let long = Err(PasswordRefusal::TooLong);
        for (chars, alone, second) in [
            (0, short(15), short(8)),
            (7, short(15), short(8)),
            (8, short(15), Ok(())),
            (14, short(15), Ok(())),
            (15, Ok(()), Ok(())),
            (64, Ok(()), Ok(())),
            (72, Ok(()), Ok(())),
            (256, Ok(()), Ok(())),
            (257, long, long),
            (1_025, long, long),
        ] {
            assert_eq!(check(ALONE, &random(chars)), alone, "{chars} alone");
            assert_eq!(check(SECOND, &random(chars)), second, "{chars} with a second factor");
        }
    }

    #[test]
    fn any_script_will_do() {
        let emoji: String = ('\u{1F600}'..).step_by(7).take(15).collect();
        assert_eq!((emoji.chars().count(), emoji.len()), (15, 60));
        for good in [
            &emoji,
            "मेरा पासवर्ड बहुत लंबा है",
            "contraseña año señor ñandú",
            "  spaces before and after count  ",
            "tab\tand\u{a0}other spaces too",
            "correct horse battery staple",
            "𝒳𝓎𝓏 ≠ ∑∞ ½ of ☃ and ☂",
        ] {
            assert_eq!(check(ALONE, good), Ok(()), "{good}");
        }
        let fourteen: String = emoji.chars().take(14).collect();
        assert_eq!(check(ALONE, &fourteen), Err(PasswordRefusal::TooShort { chars_min: 15 }));
        // 256 code points of four bytes are 1 KiB.
        let wide: String = random(256).chars().filter_map(|c| char::from_u32(0x1F300 + u32::from(c))).collect();
        assert_eq!((wide.chars().count(), wide.len()), (256, BYTES_MAX));
        assert_eq!(check(ALONE, &wide), Ok(()));
    }

    #[test]
    fn one_letter_is_one_however_it_is_typed() {
        // Fourteen letters, each typed as two code points.
        let decomposed = "e\u{301}".repeat(14);
        assert_eq!(check(ALONE, &decomposed), Err(PasswordRefusal::TooShort { chars_min: 15 }));
    }

    #[test]
    fn repetitions_are_as_long_as_their_piece() {
        for bad in [
            "aaaaaaaaaaaaaaa",
            "passwordpassword",
            "password password",
            "PasswordpassWord",
            "123123123123123",
            "abcabcabcabcabcab",
            "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀",
            "               ",
            "xK9!vQ2#xK9!vQ2#",
        ] {
            assert_eq!(check(ALONE, bad), Err(PasswordRefusal::Repeats), "{bad}");
        }
        let piece = random(15);
        assert_eq!(check(ALONE, &piece.repeat(2)), Ok(()));
        for (text, want) in [
            ("", None),
            ("a", None),
            ("aa", Some(1)),
            ("aba", Some(2)),
            ("ab", None),
            ("abab", Some(2)),
            ("abcab", Some(3)),
            ("abca", None),
        ] {
            assert_eq!(repeated(text), want, "{text}");
        }
    }

    #[test]
    fn names_alone_are_no_password() {
        for bad in [
            "sunrisedentalclinic",
            "Sunrise Dental Clinic",
            "SUNRISE-dental_clinic!!",
            "caly sunrise clinic",
            "caly.asha.rao.2026",
            "asharaosunrise2026",
            "2026-Sunrise-Dental",
            "asha.rao@clinic-example.org",
        ] {
            assert_eq!(check(ALONE, bad), Err(PasswordRefusal::OnlyNames), "{bad}");
        }
        // Names may be part of something else: the whole is compared.
        for good in ["caly walks seven grumpy otters", "sunrise over the velvet quarry pond"] {
            assert_eq!(check(ALONE, good), Ok(()), "{good}");
        }
        for bad in ["asha.rao", "caly2026", "sunrise1"] {
            assert_eq!(check(SECOND, bad), Err(PasswordRefusal::OnlyNames), "{bad}");
        }
    }

    #[test]
    fn common_and_guessable_passwords_are_refused() {
        for bad in ["password", "Password", "p@ssword", "superman", "baseball", "trustno1", "drowssap"] {
            assert_eq!(check(SECOND, bad), Err(PasswordRefusal::Common), "{bad}");
        }
        for bad in [
            "password12345678",
            "qwertyuiopasdfgh",
            "abcdefghijklmnop",
            "passwordletmein1",
            "1234567890123456",
            "12345678901234567890",
        ] {
            let refusal = check(ALONE, bad).expect_err(bad);
            assert!(
                matches!(refusal, PasswordRefusal::Common | PasswordRefusal::Guessable | PasswordRefusal::Repeats),
                "{bad}: {refusal:?}"
            );
        }
    }

    #[test]
    fn a_refusal_is_a_sentence_without_the_password() {
        for (password, want) in
            [("brief", "15 characters"), ("aaaaaaaaaaaaaaaaa", "repeats"), ("calycalysunrise", "name")]
        {
            let sentence = check(ALONE, password).expect_err(password).to_string();
            assert!(sentence.contains(want) && sentence.ends_with('.') && !sentence.contains(password), "{sentence}");
        }
    }

    #[test]
    fn hard_cases_are_judged_without_a_panic() {
        let zeros = "0".repeat(100) + &random(156);
        let nasty = [
            "a\u{300}".repeat(128),
            "\u{1D160}".repeat(100),
            zeros,
            "\0".repeat(20),
            "ﷺ".repeat(300),
            "Aa1!".repeat(64),
            "4@8({[<369&#!1/|0$5+7%2".repeat(11),
        ];
        for text in &nasty {
            let _no_panic = check(ALONE, text);
        }
        let email = EmailAddress::parse("a@b.co").expect("an address");
        let context = PasswordContext { organisation: "- ".repeat(60) + &"word ".repeat(500), email };
        assert_eq!(context.names().len(), NAMES_MAX);
        assert_eq!(ALONE.check(&random(20).as_str().into(), &context), Ok(()));
    }
}
