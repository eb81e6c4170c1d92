//! Lengths of time: "do ghante", "half an hour", "dedh mahina", "ten minutes".

use super::numbers::with_quarters;
use crate::number_words::cardinal_at;
use crate::tokens::answer_tokens;

/// A length of time, in the unit that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Minutes, hours, days and weeks, in minutes.
    Minutes(u64),
    /// Months and years, in months.
    Months(u64),
}

const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;

/// One of a unit, in minutes or months.
fn unit(token: &str) -> Option<Length> {
    Some(match token {
        "minute" | "minutes" | "min" | "mins" | "minat" | "मिनट" => Length::Minutes(1),
        "hour" | "hours" | "hr" | "hrs" | "ghanta" | "ghante" | "ghanton" | "घंटा" | "घंटे" | "घन्टे" | "घण्टे" => {
            Length::Minutes(HOUR)
        }
        "day" | "days" | "din" | "dino" | "दिन" | "दिनों" => Length::Minutes(DAY),
        "week" | "weeks" | "hafta" | "hafte" | "हफ्ता" | "हफ्ते" | "सप्ताह" => {
            Length::Minutes(7 * DAY)
        }
        "month" | "months" | "mahina" | "mahine" | "maheene" | "महीना" | "महीने" | "माह" => {
            Length::Months(1)
        }
        "year" | "years" | "saal" | "sal" | "baras" | "साल" | "वर्ष" => Length::Months(12),
        _ => return None,
    })
}

/// Reads a length of time; lengths one behind the other add up ("ek ghanta tees minute"). `None` when there is none, or
/// when it does not come out in whole minutes or months.
#[must_use]
pub fn length(text: &str) -> Option<Length> {
    let tokens = answer_tokens(text);
    let mut sum: Option<Length> = None;
    let mut at = 0;
    while at < tokens.len() {
        let Some((hundredths, end)) = amount(&tokens, at) else {
            at += 1;
            continue;
        };
        let Some(one) = tokens.get(end).and_then(|t| unit(t)) else {
            at += 1;
            continue;
        };
        let (mut hundredths, mut next) = (hundredths, end + 1);
        // "two hours and a half", "an hour and a half".
        if matches!(tokens.get(next..next + 3), Some([and, a, half]) if and == "and" && a == "a" && half == "half") {
            hundredths = hundredths.checked_add(50)?;
            next += 3;
        }
        let times = |one: u64| one.checked_mul(hundredths).filter(|v| v % 100 == 0).map(|v| v / 100);
        sum = match (sum, one) {
            (None, Length::Minutes(one)) => Some(Length::Minutes(times(one)?)),
            (None, Length::Months(one)) => Some(Length::Months(times(one)?)),
            (Some(Length::Minutes(before)), Length::Minutes(one)) => {
                Some(Length::Minutes(before.checked_add(times(one)?)?))
            }
            (Some(Length::Months(before)), Length::Months(one)) => {
                Some(Length::Months(before.checked_add(times(one)?)?))
            }
            (Some(_), _) => return None,
        };
        at = next;
    }
    sum
}

/// How many of a unit, in hundredths, and the token of the unit.
fn amount(tokens: &[String], at: usize) -> Option<(u64, usize)> {
    let word = |i: usize| tokens.get(at + i).map_or("", String::as_str);
    let simple = match (word(0), word(1), word(2)) {
        ("half", "an" | "a", _) => Some((50, 2)),
        ("half" | "aadha" | "aadhe" | "adha" | "आधा" | "आधे", _, _) => Some((50, 1)),
        ("quarter", "of", "an" | "a") => Some((25, 3)),
        ("dedh" | "ded" | "डेढ", _, _) => Some((150, 1)),
        ("dhai" | "adhai" | "ढाई", _, _) => Some((250, 1)),
        ("paun" | "pauna" | "पौन" | "पौना", _, _) => Some((75, 1)),
        ("an" | "a", _, _) => Some((100, 1)),
        _ => None,
    };
    if let Some((hundredths, used)) = simple {
        return Some((hundredths, at + used));
    }
    let quarter: i64 = match word(0) {
        "saadhe" | "sadhe" | "sade" | "saade" | "साढे" => 50,
        "sava" | "savaa" | "sawa" | "सवा" => 25,
        "paune" | "पौने" => -25,
        _ => {
            if let Some((value, used)) = with_quarters(tokens, at) {
                return Some((value.checked_mul(100)?, at + used));
            }
            if let Some((whole, fraction)) = word(0).split_once('.').filter(|(_, f)| f.len() == 1) {
                let tenths: u64 = fraction.parse().ok()?;
                return Some((whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(tenths * 10)?, at + 1));
            }
            let number = cardinal_at(tokens, at).filter(|n| !n.ordinal)?;
            let end = at + number.used;
            let hundredths = number.value()?.checked_mul(100)?;
            let half =
                matches!(tokens.get(end..end + 3), Some([and, a, half]) if and == "and" && a == "a" && half == "half");
            return Some(if half { (hundredths.checked_add(50)?, end + 3) } else { (hundredths, end) });
        }
    };
    if unit(word(1)).is_some() && quarter == 25 {
        return Some((125, at + 1));
    }
    let number = cardinal_at(tokens, at + 1).filter(|n| !n.ordinal)?;
    let hundredths = i64::try_from(number.value()?).ok()?.checked_mul(100)?.checked_add(quarter)?;
    Some((u64::try_from(hundredths).ok()?, at + 1 + number.used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths() {
        for (text, want) in [
            ("do ghante", Some(Length::Minutes(120))),
            ("an hour and a half", Some(Length::Minutes(90))),
            ("ek ghanta tees minute", Some(Length::Minutes(90))),
            ("teen mahine", Some(Length::Months(3))),
            ("ten", None),
            ("at ten", None),
            ("", None),
        ] {
            assert_eq!(length(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = length(&text);
        }
    }
}
