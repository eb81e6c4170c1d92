//! One number out of an answer: "four", "two hundred", "dedh lakh", "4 5 2 1".

use crate::number_words::cardinal_at;
use crate::tokens::answer_tokens;

/// Halves and quarters of Hindi before a scale, in hundredths: "dedh lakh" = 150 000.
fn quarter_word(token: &str) -> Option<u64> {
    match token {
        "dedh" | "ded" | "डेढ" => Some(150),
        "dhai" | "adhai" | "ढाई" | "अढाई" => Some(250),
        _ => None,
    }
}

/// Reads the number said. Digits in a row make one number ("four five two one" is 4521); of several the last counts
/// unless it is behind "not". `None` when there is none or it does not fit 64 bits.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let tokens = answer_tokens(text);
    let mut runs: Vec<(usize, String)> = Vec::new();
    let mut last_end = usize::MAX;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let Some((value, used)) = with_quarters(&tokens, at) {
            runs.push((at, value.to_string()));
            at += used;
            last_end = at;
            continue;
        }
        let found = cardinal_at(&tokens, at).filter(|n| !n.ordinal);
        let found = found.map(|n| (n.digits, n.used)).or_else(|| decimal_or_grouped(token).map(|d| (d, 1)));
        match found {
            Some((digits, used)) => {
                match runs.last_mut() {
                    Some((start, run)) if last_end == at && !behind_not(&tokens, *start) => run.push_str(&digits),
                    _ => runs.push((at, digits)),
                }
                at += used;
                last_end = at;
            }
            None => at += 1,
        }
    }
    let chosen = runs.iter().rev().find(|(at, _)| !behind_not(&tokens, *at))?;
    chosen.1.parse().ok()
}

fn behind_not(tokens: &[String], at: usize) -> bool {
    at.checked_sub(1).and_then(|i| tokens.get(i)).is_some_and(|t| matches!(t.as_str(), "not" | "isnt"))
}

/// `1,200.50` counts its whole part.
fn decimal_or_grouped(token: &str) -> Option<String> {
    let whole = token.split_once('.')?.0.replace(',', "");
    (!whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit())).then_some(whole)
}

fn scale(token: Option<&String>) -> Option<u64> {
    Some(match token?.as_str() {
        "sau" | "hundred" | "सौ" => 100,
        "hazaar" | "hazar" | "hajar" | "thousand" | "हजार" => 1_000,
        "lakh" | "lac" | "लाख" => 100_000,
        "crore" | "karod" | "करोड" => 10_000_000,
        _ => return None,
    })
}

/// "dedh lakh", "saadhe teen hazaar", "3.5 lakh".
fn with_quarters(tokens: &[String], at: usize) -> Option<(u64, usize)> {
    let token = tokens.get(at)?;
    if let Some(hundredths) = quarter_word(token) {
        let scale = scale(tokens.get(at + 1))?;
        return Some((scale.checked_mul(hundredths)? / 100, 2));
    }
    let quarter: i64 = match token.as_str() {
        "saadhe" | "sadhe" | "साढे" => 50,
        "sava" | "savaa" | "sawa" | "सवा" => 25,
        "paune" | "पौने" => -25,
        _ => {
            let (whole, fraction) = token.split_once('.')?;
            let whole: u64 = whole.parse().ok()?;
            let hundredths: u64 = match fraction.len() {
                1 => fraction.parse::<u64>().ok()? * 10,
                2 => fraction.parse().ok()?,
                _ => return None,
            };
            let scale = scale(tokens.get(at + 1))?;
            return Some((whole.checked_mul(100)?.checked_add(hundredths)?.checked_mul(scale)? / 100, 2));
        }
    };
    // The number word alone: "teen" of "teen hazaar".
    let unit = cardinal_at(tokens.get(..at + 2)?, at + 1)?;
    let value = i64::try_from(unit.value()?).ok()?;
    let scale = scale(tokens.get(at + 2))?;
    let hundredths = u64::try_from(value.checked_mul(100)?.checked_add(quarter)?).ok()?;
    Some((hundredths.checked_mul(scale)? / 100, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        for (text, want) in [
            ("four", Some(4)),
            ("We are four people.", Some(4)),
            ("two hundred and fifty", Some(250)),
            ("four five two one", Some(4521)),
            ("4521", Some(4521)),
            ("my order number is 45 21", Some(4521)),
            ("1,20,000", Some(120_000)),
            ("one lakh twenty thousand", Some(120_000)),
            ("dedh lakh", Some(150_000)),
            ("dhai hazaar", Some(2_500)),
            ("saadhe teen hazaar", Some(3_500)),
            ("3.5 lakh", Some(350_000)),
            ("पाँच सौ", Some(500)),
            ("paanch sau rupaye", Some(500)),
            ("not four, five", Some(5)),
            ("four, no, five people", Some(5)),
            ("₹1,200.50", Some(1_200)),
            ("", None),
            ("many", None),
            ("the third", None),
            ("99999999999999999999999", None),
            ("2,000", Some(2_000)),
        ] {
            assert_eq!(number(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = number(&text);
        }
    }
}
