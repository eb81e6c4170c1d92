//! Phone numbers out of spoken digits: ten digits, with or without `+91` or a leading zero, in groups, in pieces.

use crate::number_words::cardinal_at;
use crate::tokens::answer_tokens;

/// Digits of an Indian number without country or trunk prefix.
pub const NUMBER_DIGITS: usize = 10;
/// More digits than this are no phone number in any form (`00 91` and ten digits).
const DIGITS_MAX: usize = 14;

/// What was said of a phone number. The digits are personal data: they do not belong in logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneHeard {
    /// Ten digits, no prefix.
    Complete(String),
    /// Fewer digits: the caller gives it in pieces, or some were not heard.
    Partial(String),
    /// More digits than a number has.
    TooMany(String),
    /// No digits.
    Nothing,
}

/// Words that may stand between the digits of one number.
const BETWEEN: &[&str] = &[
    "and",
    "um",
    "uh",
    "then",
    "dash",
    "hyphen",
    "space",
    "phir",
    "aur",
    "plus",
    "again",
    "और",
    "फिर",
    "umm",
    "er",
    "hmm",
    "so",
    "hai",
    "है",
];

/// Reads the phone number in a text. Of several runs of digits a complete number wins, the last such; else the longest.
#[must_use]
pub fn phone(text: &str) -> PhoneHeard {
    let runs = digit_runs(&answer_tokens(text));
    let mut best = PhoneHeard::Nothing;
    let mut best_len = 0;
    for run in runs {
        let heard = classify(&run);
        match heard {
            PhoneHeard::Complete(_) => {
                best_len = usize::MAX;
                best = heard;
            }
            PhoneHeard::Partial(_) | PhoneHeard::TooMany(_) => {
                if run.len() >= best_len {
                    best_len = run.len();
                    best = heard;
                }
            }
            PhoneHeard::Nothing => {}
        }
    }
    best
}

/// Reads the next piece of a number of which `so_far` is known. A whole number in `text` replaces what was known.
#[must_use]
pub fn continue_phone(so_far: &str, text: &str) -> PhoneHeard {
    match phone(text) {
        PhoneHeard::Partial(piece) => classify(&format!("{so_far}{piece}")),
        PhoneHeard::Nothing if so_far.is_empty() => PhoneHeard::Nothing,
        PhoneHeard::Nothing => PhoneHeard::Partial(so_far.to_owned()),
        whole @ (PhoneHeard::Complete(_) | PhoneHeard::TooMany(_)) => whole,
    }
}

fn classify(digits: &str) -> PhoneHeard {
    let digits = digits.strip_prefix("00").filter(|d| d.starts_with("91")).unwrap_or(digits);
    let national = match digits.len() {
        11.. if digits.starts_with("910") => digits.get(3..),
        12 if digits.starts_with("91") => digits.get(2..),
        _ => None,
    }
    .unwrap_or(digits);
    let national = national.strip_prefix('0').unwrap_or(national);
    match national.len() {
        0 if digits.is_empty() => PhoneHeard::Nothing,
        NUMBER_DIGITS => PhoneHeard::Complete(national.to_owned()),
        0..NUMBER_DIGITS => PhoneHeard::Partial(digits.to_owned()),
        _ => {
            let shown: String = digits.chars().take(DIGITS_MAX).collect();
            PhoneHeard::TooMany(shown)
        }
    }
}

/// Digits said in a row, as texts.
fn digit_runs(tokens: &[String]) -> Vec<String> {
    let mut runs = Vec::new();
    let mut run = String::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let Some((digits, used)) = digits_at(tokens, at, run.is_empty()) {
            run.push_str(&digits);
            at += used;
            continue;
        }
        if !run.is_empty() && !BETWEEN.contains(&token.as_str()) && token != "+" {
            runs.push(std::mem::take(&mut run));
        }
        at += 1;
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

/// Digits that begin at a token: a number, "double five", "oh", or a word that sounds like a digit between two digits.
fn digits_at(tokens: &[String], at: usize, first: bool) -> Option<(String, usize)> {
    let token = tokens.get(at)?.as_str();
    let times = match token {
        "double" | "dabal" | "डबल" => Some(2),
        "triple" | "tripal" | "ट्रिपल" => Some(3),
        _ => None,
    };
    if let Some(times) = times {
        if matches!(tokens.get(at + 1).map(String::as_str), Some("oh" | "o")) {
            return Some(("0".repeat(times), 2));
        }
        let number = cardinal_at(tokens, at + 1)?;
        let (head, rest) = number.digits.split_at(number.digits.len().min(1));
        return Some((format!("{}{rest}", head.repeat(times)), 1 + number.used));
    }
    if token.starts_with(|c: char| c.is_ascii_digit()) && !token.contains(':') && !token.contains('/') {
        let digits: String = token.chars().filter(char::is_ascii_digit).collect();
        return Some((digits, 1));
    }
    let beside = |i: Option<usize>| i.is_some_and(|i| is_digit(tokens, i));
    let sounds_like = match token {
        "oh" | "o" | "ओ" => (!first || beside(Some(at + 1))).then_some("0"),
        "to" | "too" if !first && beside(Some(at + 1)) => Some("2"),
        "for" if !first && beside(Some(at + 1)) => Some("4"),
        "ate" if !first => Some("8"),
        "won" if !first => Some("1"),
        _ => None,
    };
    if let Some(digit) = sounds_like {
        return Some((digit.to_owned(), 1));
    }
    let number = cardinal_at(tokens, at).filter(|n| !n.ordinal)?;
    Some((number.digits, number.used))
}

fn is_digit(tokens: &[String], at: usize) -> bool {
    tokens.get(at).is_some_and(|t| matches!(t.as_str(), "oh" | "o" | "double" | "triple"))
        || cardinal_at(tokens, at).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn complete() {
        for text in [
            "9876501234",
            "98765 01234",
            "98765-01234",
            "+91 98765 01234",
            "09876501234",
            "919876501234",
            "+91 0 98765 01234",
            "0091 9876501234",
            "nine eight seven six five zero one two three four",
            "The number I have is nine eight seven six five zero one two three four",
            "The number I have is 9, 8, 7, 6, 5, 0, 1, 2, 3, 4.",
            "9 8 7 6 5 0 1 2 3 4",
            "nine eight seven six five oh one two three four",
            "it's 98765, um, 01234",
            "ninety eight seventy six five zero one two three four",
            "nau aath saat chhe paanch zero ek do teen char",
            "नौ आठ सात छह पाँच शून्य एक दो तीन चार",
            "९८७६५ ०१२३४",
            "nine eight seven six five, then zero one two three four please",
            "zero nine eight seven six five zero one two three four",
            "plus nine one nine eight seven six five zero one two three four",
            "nine eight seven six five zero won two three four",
            "nine eight seven, no sorry, nine eight seven six five zero one two three four",
            "9-8-7-6-5-0-1-2-3-4",
            "9876 501 234",
            "98 76 50 12 34",
        ] {
            assert_eq!(phone(text), PhoneHeard::Complete("9876501234".into()), "{text:?}");
        }
        for (text, want) in [
            ("double nine eight triple seven zero one two three", "9987770123"),
            ("nine double eight seven double zero one two three four", "9887001234"),
            ("98 double 5 triple 0 123", "9855000123"),
            ("nine eight for seven six five zero one to three", "9847650123"),
            ("double oh nine one eight seven six five four three two one zero", "8765432100"),
        ] {
            let got = phone(text);
            if want == "8765432100" {
                assert!(matches!(got, PhoneHeard::Partial(_) | PhoneHeard::TooMany(_)), "{got:?}");
                continue;
            }
            assert_eq!(got, PhoneHeard::Complete(want.into()), "{text:?}");
        }
    }

    #[test]
    fn partial_and_none() {
        for (text, want) in [
            ("nine eight seven six", PhoneHeard::Partial("9876".into())),
            ("98765", PhoneHeard::Partial("98765".into())),
            ("my number is", PhoneHeard::Nothing),
            ("", PhoneHeard::Nothing),
            ("hello", PhoneHeard::Nothing),
            ("987650123456789", PhoneHeard::TooMany("98765012345678".into())),
            ("0987650123", PhoneHeard::Partial("0987650123".into())),
            ("oh hello", PhoneHeard::Nothing),
            ("I want to go", PhoneHeard::Nothing),
        ] {
            assert_eq!(phone(text), want, "{text:?}");
        }
    }

    #[test]
    fn pieces() {
        for (so_far, text, want) in [
            ("", "nine eight seven six five", PhoneHeard::Partial("98765".into())),
            ("98765", "zero one two three four", PhoneHeard::Complete("9876501234".into())),
            ("987", "9876501234", PhoneHeard::Complete("9876501234".into())),
            ("98765", "hmm", PhoneHeard::Partial("98765".into())),
            ("", "hmm", PhoneHeard::Nothing),
            ("98765", "0123456", PhoneHeard::TooMany("987650123456".into())),
            ("91", "98765 01234", PhoneHeard::Complete("9876501234".into())),
            ("9198765", "01234", PhoneHeard::Complete("9876501234".into())),
        ] {
            assert_eq!(continue_phone(so_far, text), want, "{so_far:?} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,80}", so_far in "[0-9]{0,12}") {
            let _ = continue_phone(&so_far, &text);
        }

        #[test]
        fn every_number_reads_back(number in "[1-9][0-9]{9}") {
            let said = crate::numbers::phone(&number, crate::Tongue::English);
            prop_assert_eq!(phone(&said), PhoneHeard::Complete(number.clone()));
            let said = crate::numbers::phone(&number, crate::Tongue::Hindi);
            prop_assert_eq!(phone(&said), PhoneHeard::Complete(number));
        }
    }
}
