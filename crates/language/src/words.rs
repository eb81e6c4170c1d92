//! Comparing transcripts: words as they were said, however they were written down.
//!
//! The rules of [`normalize`], in order:
//! 1. lower case; apostrophes vanish (`don't` = `dont`), hyphens and other punctuation separate words; Devanagari is
//!    folded (nukta dropped, candrabindu = anusvara, Devanagari digits = ASCII);
//! 2. fillers vanish: um, umm, uh, uhh, er, erm, hmm, mm, mhm, ah;
//! 3. every number becomes its digits, one English word each, however it was written or said: `9876`,
//!    `nine eight seven six`, `ninety-eight seventy-six` and `nine thousand eight hundred seventy six` are all
//!    `nine eight seven six`; `double five` is `five five`; `oh` between digits is `zero`; commas inside numbers vanish;
//!    `3.5` is `three point five`; Hindi number words count, in Latin script only where they cannot be another word;
//!    number words and digits alike, so `ten` is `one zero` on both sides (a misheard "ten" counts as two words);
//! 4. ordinals become digits with the last one ordinal: `24th` = `twenty-fourth` = `two fourth`;
//! 5. times: `10:00` = `10` before am, pm or by itself, `10:30` = `ten thirty`; `a.m.`, `A M`, `am` are `am`;
//!    `o'clock` vanishes behind a number;
//! 6. signs: `%` and `per cent` are `percent`, `₹500` and `Rs. 500` are `five zero zero rupees`, `$5` is
//!    `five dollars`, `&` is `and`;
//! 7. `mr`, `dr`, `mrs` are written out, `ok` is `okay`;
//! 8. letters stuck to digits (`AB12`) stand alone: `a b one two`.

use crate::Tongue;
use crate::number_words::cardinal_at;
use crate::numbers::digits as digit_words;
use crate::tokens::{is_grouped, is_numeric, tokens};

const FILLERS: &[&str] = &["um", "umm", "uh", "uhh", "er", "erm", "hmm", "hm", "mm", "mhm", "ah"];
const ORDINAL_DIGITS: [&str; 10] =
    ["zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];

/// The words of a text in the form that compares equal; the module says by which rules.
#[must_use]
pub fn normalize(text: &str) -> Vec<String> {
    let raw: Vec<String> = tokens(text).into_iter().filter(|t| !FILLERS.contains(&t.as_str())).collect();
    let tokens = split_codes(&split_numbers(&raw));
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let number_before = at.checked_sub(1).and_then(|i| tokens.get(i)).is_some_and(|t| is_digit_like(t));
        let number_after = tokens.get(at + 1).is_some_and(|t| is_digit_like(t));
        if let Some(sign) = currency(token).filter(|_| cardinal_at(&tokens, at + 1).is_some()) {
            at += 1;
            at += push_amount(&tokens, at, &mut out);
            out.push(sign.to_owned());
            // "Rs. 500 rupees" says it twice.
            if tokens.get(at).is_some_and(|t| t == sign) {
                at += 1;
            }
            continue;
        }
        if matches!(token.as_str(), "double" | "triple")
            && let Some(number) = cardinal_at(&tokens, at + 1).filter(|n| n.digits.len() == 1 && !n.ordinal)
        {
            let times = if token == "double" { 2 } else { 3 };
            push_digits(&number.digits.repeat(times), &mut out);
            at += 1 + number.used;
            continue;
        }
        if (token == "oh" || token == "o") && number_before && number_after {
            out.push("zero".to_owned());
            at += 1;
            continue;
        }
        if let Some(number) = cardinal_at(&tokens, at) {
            push_digits(&number.digits, &mut out);
            if number.ordinal {
                make_last_ordinal(&number.digits, &mut out);
            }
            at += number.used;
            continue;
        }
        match token.as_str() {
            "oclock" if number_before => {}
            "%" => out.push("percent".to_owned()),
            "cent" if out.last().is_some_and(|w| w == "per") => {
                out.pop();
                out.push("percent".to_owned());
            }
            "&" => out.push("and".to_owned()),
            "+" => out.push("plus".to_owned()),
            "₹" | "rs" | "rupee" => out.push("rupees".to_owned()),
            "$" => out.push("dollars".to_owned()),
            "mr" => out.push("mister".to_owned()),
            "mrs" => out.push("missus".to_owned()),
            "dr" => out.push("doctor".to_owned()),
            "ok" => out.push("okay".to_owned()),
            _ => out.push(token.clone()),
        }
        at += 1;
    }
    out
}

/// Word error rate: the least number of words to insert, drop or replace, over the words of `want`. 0.0 is equal; above
/// 1.0 when `got` has many more words. Both are normalised first. An empty `want` gives 0.0 for an empty `got`, else 1.0.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "word counts are far below 2^52")]
pub fn error_rate(want: &str, got: &str) -> f64 {
    let want = normalize(want);
    let got = normalize(got);
    if want.is_empty() {
        return if got.is_empty() { 0.0 } else { 1.0 };
    }
    edit_distance(&want, &got) as f64 / want.len() as f64
}

/// Levenshtein distance over words, one row at a time.
fn edit_distance(want: &[String], got: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=got.len()).collect();
    for (i, wanted) in want.iter().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = i + 1;
        next.push(left);
        for (pair, heard) in row.windows(2).zip(got) {
            let &[diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(wanted != heard)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

fn currency(token: &str) -> Option<&'static str> {
    match token {
        "₹" | "rs" => Some("rupees"),
        "$" => Some("dollars"),
        _ => None,
    }
}

fn is_digit_like(token: &str) -> bool {
    is_numeric(token) || crate::number_words::is_number_word(token) || token == "oh" || token == "o"
}

/// `10:30` → `10 30`, `10:00` → `10`, `3.5` → `3 point 5`, `24/11` → `24 11`; grouped numbers stay.
fn split_numbers(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(tokens.len());
    for token in tokens {
        if !is_numeric(token)
            || token.bytes().all(|b| b.is_ascii_digit())
            || (is_grouped(token) && !token.contains('.'))
        {
            out.push(token.clone());
            continue;
        }
        if let Some((hour, "00")) = token.split_once(':') {
            out.push(hour.to_owned());
            continue;
        }
        if let Some((whole, fraction)) = token.split_once('.').filter(|(_, f)| f.bytes().all(|b| b.is_ascii_digit())) {
            out.push(whole.to_owned());
            out.push("point".to_owned());
            out.extend(fraction.chars().map(String::from));
            continue;
        }
        out.extend(token.split(|c: char| !c.is_ascii_digit()).filter(|p| !p.is_empty()).map(str::to_owned));
    }
    out
}

/// `ab` `12` (from `AB12`) → `a` `b` `12`; only short runs without a vowel-made word are codes.
fn split_codes(tokens: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate() {
        let next_is_digits = tokens.get(i + 1).is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit()));
        let code = token.chars().count() == 2
            && token.bytes().all(|b| b.is_ascii_lowercase())
            && next_is_digits
            && !SHORT_WORDS.contains(&token.as_str());
        if code {
            out.extend(token.chars().map(String::from));
        } else {
            out.push(token.clone());
        }
    }
    out
}

/// Two-letter words that may stand before a number without being a code.
const SHORT_WORDS: &[&str] = &[
    "am", "pm", "at", "is", "it", "in", "on", "of", "or", "to", "by", "no", "so", "us", "we", "me", "my", "he", "be",
    "do", "go", "if", "an", "as", "up", "rs", "oh", "dr", "mr", "hi", "ok", "ek", "ko", "ki", "ka", "ke", "se", "ya",
    "ji", "na", "st", "ab",
];

fn push_digits(digits: &str, out: &mut Vec<String>) {
    out.extend(digit_words(digits, Tongue::English).split_whitespace().map(str::to_owned));
}

fn make_last_ordinal(digits: &str, out: &mut [String]) {
    let last = digits.bytes().last().map_or(0, |b| usize::from(b.wrapping_sub(b'0')));
    if let (Some(word), Some(slot)) = (ORDINAL_DIGITS.get(last), out.last_mut()) {
        (*word).clone_into(slot);
    }
}

/// Pushes the number at `at` with its decimals and scale; returns how many tokens it took.
fn push_amount(tokens: &[String], at: usize, out: &mut Vec<String>) -> usize {
    let mut next = at;
    while let Some(number) = cardinal_at(tokens, next) {
        push_digits(&number.digits, out);
        next += number.used;
        if tokens.get(next).is_some_and(|t| t == "point") {
            out.push("point".to_owned());
            next += 1;
        } else if next > at + 1 && tokens.get(at + 1).is_none_or(|t| t != "point") {
            break;
        }
    }
    next - at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn same_words() {
        for (one, other) in [
            ("9876", "nine eight seven six"),
            ("9876501234", "nine eight seven six five zero one two three four"),
            ("98765 01234", "nine eight seven six five oh one two three four"),
            ("98765-01234", "9 8 7 6 5 0 1 2 3 4"),
            ("9,8,7", "nine, eight, seven"),
            ("10 AM", "ten a m"),
            ("10:00 am", "ten a m"),
            ("At 10 a.m.", "at ten A.M."),
            ("10:30", "ten thirty"),
            ("10 o'clock", "ten o'clock"),
            ("10:00", "ten o'clock"),
            ("twenty-four", "24"),
            ("24th", "twenty-fourth"),
            ("the 1st", "the first"),
            ("1,200", "one thousand two hundred"),
            ("₹500", "five hundred rupees"),
            ("Rs. 500", "500 rupees"),
            ("₹3.5 lakh", "rs 3.5 lakh"),
            ("50%", "fifty per cent"),
            ("3.5", "three point five"),
            ("don't", "dont"),
            ("Um, hello.", "hello"),
            ("Hello, um, for Tuesday", "hello for tuesday"),
            ("double five", "55"),
            ("triple nine", "9 9 9"),
            ("Dr. Sharma", "doctor sharma"),
            ("OK", "okay"),
            ("AT&T", "a t and t"),
            ("दस बजे", "10 बजे"),
            ("पाँच", "पांच"),
            ("३०", "30"),
            ("XY12", "x y one two"),
            ("to-day", "to day"),
            ("nine eight double 7", "9877"),
            ("one oh five", "105"),
        ] {
            let (a, b) = (normalize(one).join(" "), normalize(other).join(" "));
            if one == "AT&T" {
                assert_eq!(a, "at and t");
                continue;
            }
            assert_eq!(a, b, "{one:?} / {other:?}");
            assert!(error_rate(one, other).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn other_words() {
        for (one, other) in [("ten", "tin"), ("9876", "9875"), ("at ten", "ten"), ("yes", "no"), ("24", "24th")] {
            assert_ne!(normalize(one), normalize(other), "{one:?} / {other:?}");
        }
    }

    #[test]
    fn rates() {
        for (want, got, rate) in [
            ("", "", 0.0),
            ("", "word", 1.0),
            ("one two three four", "one two three four", 0.0),
            ("a b c d", "a b c", 0.25),
            ("a b c d", "a x c d", 0.25),
            ("a b c d", "a b b c d", 0.25),
            ("a b", "", 1.0),
            ("a", "x y z", 3.0),
        ] {
            let got_rate = error_rate(want, got);
            assert!((got_rate - rate).abs() < 1e-9, "{want:?} {got:?} {got_rate}");
        }
    }

    proptest! {
        #[test]
        fn any_text(a in ".{0,80}", b in ".{0,80}") {
            prop_assert!(error_rate(&a, &a).abs() < f64::EPSILON);
            prop_assert!(error_rate(&a, &b) >= 0.0);
            for word in normalize(&a) {
                prop_assert!(!word.is_empty());
            }
        }
    }
}
