//! One number out of an answer: "four", "two hundred", "dedh lakh", "4 5 2 1".

use crate::number_words::{below_hundred_at, cardinal_at};
use crate::tokens::answer_tokens;

/// Halves and quarters of Hindi before a scale, in hundredths: "dedh lakh" = 150 000.
fn quarter_word(token: &str) -> Option<u64> {
    match token {
        "dedh" | "ded" | "derh" | "deedh" | "डेढ" => Some(150),
        "dhai" | "adhai" | "dhaai" | "ढाई" | "अढाई" => Some(250),
        _ => None,
    }
}

/// Reads the number said. Digits in a row make one number ("four five two one" is 4521); of several the last counts
/// unless it is behind "not". `None` when there is none or it does not fit 64 bits.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    let tokens = answer_tokens(text);
    if let Some(value) = super::money::half_scale(&tokens) {
        return Some(value);
    }
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
                // "35k".
                let thousands = digits.len() <= 3 && tokens.get(at + used).is_some_and(|t| t == "k");
                let (digits, used) = if thousands { (format!("{digits}000"), used + 1) } else { (digits, used) };
                // A number with a scale stands for itself: "bees pachees hazaar" is not 2025000.
                let joins = !thousands && (digits.len() <= 2 || token.starts_with(|c: char| c.is_ascii_digit()));
                match runs.last_mut() {
                    Some((start, run)) if joins && last_end == at && !behind_not(&tokens, *start) => {
                        run.push_str(&digits)
                    }
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
        "hazaar" | "hazar" | "hajar" | "hajaar" | "thousand" | "हजार" => 1_000,
        "lakh" | "lakhs" | "lac" | "lacs" | "laakh" | "लाख" => 100_000,
        "million" => 1_000_000,
        "crore" | "crores" | "karod" | "karor" | "cr" | "करोड" => 10_000_000,
        _ => return None,
    })
}

/// The scales at `at` multiplied ("lakh crore"), and the token behind them.
fn scales(tokens: &[String], at: usize) -> Option<(u64, usize)> {
    let first = scale(tokens.get(at))?;
    match scale(tokens.get(at + 1)).filter(|second| *second > first && *second == 10_000_000) {
        Some(second) => Some((first.checked_mul(second)?, at + 2)),
        None => Some((first, at + 1)),
    }
}

/// "dedh lakh", "saadhe teen hazaar", "sava lakh", "paune do sau", "3.5 lakh", "do lakh crore": the value and how many
/// tokens it took. A smaller number behind it belongs to it: "dedh lakh paanch sau".
pub(super) fn with_quarters(tokens: &[String], at: usize) -> Option<(u64, usize)> {
    let (hundredths, next) = hundredths_at(tokens, at)?;
    let (scale, mut end) = scales(tokens, next)?;
    let mut value = hundredths.checked_mul(scale)? / 100;
    if let Some(more) = cardinal_at(tokens, end).filter(|n| !n.ordinal)
        && let Some(rest) = more.value().filter(|v| *v > 0 && *v < scale.min(100_000))
        && !tokens.get(end).is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()) && t.len() > 3)
    {
        value = value.checked_add(rest)?;
        end += more.used;
    }
    Some((value, end - at))
}

/// The number before a scale, in hundredths.
fn hundredths_at(tokens: &[String], at: usize) -> Option<(u64, usize)> {
    let token = tokens.get(at)?;
    if let Some(hundredths) = quarter_word(token) {
        return Some((hundredths, at + 1));
    }
    let quarter: i64 = match token.as_str() {
        "saadhe" | "sadhe" | "sade" | "saade" | "sarhe" | "saarhe" | "साढे" => 50,
        "sava" | "savaa" | "sawa" | "सवा" => 25,
        "paune" | "pone" | "paun" | "पौने" | "पौन" => -25,
        _ => return written_hundredths(tokens, at),
    };
    if scale(tokens.get(at + 1)).is_some() {
        // "sava lakh" is one and a quarter, "paun lakh" three quarters.
        return Some((u64::try_from(100 + quarter).ok().filter(|_| quarter != 50)?, at + 1));
    }
    // The number word alone: "teen" of "teen hazaar".
    let unit = cardinal_at(tokens.get(..at + 2)?, at + 1).filter(|n| !n.ordinal)?;
    let value = i64::try_from(unit.value()?).ok()?;
    Some((u64::try_from(value.checked_mul(100)?.checked_add(quarter)?).ok()?, at + 2))
}

/// "3.5", "do point paanch", "two point five", "ढाई"; a whole number only before "lakh crore".
fn written_hundredths(tokens: &[String], at: usize) -> Option<(u64, usize)> {
    let token = tokens.get(at)?;
    if let Some((whole, fraction)) = token.split_once('.') {
        let whole: u64 = whole.replace(',', "").parse().ok()?;
        return Some((whole.checked_mul(100)?.checked_add(fraction_hundredths(fraction)?)?, at + 1));
    }
    let (whole, used) = below_hundred_at(tokens, at).filter(|(v, _)| *v < 1_000_000)?;
    let behind = at + used;
    let point = ["point", "dashamlav", "dashmalav", "दशमलव", "पॉइंट", "प्वाइंट"];
    if tokens.get(behind).is_some_and(|t| point.contains(&t.as_str())) {
        let mut fraction = String::new();
        let mut next = behind + 1;
        while let Some((digit, used)) = below_hundred_at(tokens, next).filter(|(d, _)| *d < 100 && fraction.len() < 2) {
            fraction.push_str(&digit.to_string());
            next += used;
        }
        return Some((whole.checked_mul(100)?.checked_add(fraction_hundredths(&fraction)?)?, next));
    }
    let two = scale(tokens.get(behind)).is_some_and(|s| s == 100_000 || s == 1_000)
        && scale(tokens.get(behind + 1)) == Some(10_000_000);
    Some((whole.checked_mul(100).filter(|_| two)?, behind))
}

fn fraction_hundredths(fraction: &str) -> Option<u64> {
    match fraction.len() {
        1 => Some(fraction.parse::<u64>().ok()? * 10),
        2 => fraction.parse().ok(),
        _ => None,
    }
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
            ("sava lakh", Some(125_000)),
            ("paune do sau", Some(175)),
            ("dedh lakh paanch sau", Some(150_500)),
            ("do point paanch lakh", Some(250_000)),
            ("do lakh crore", Some(2_000_000_000_000)),
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
