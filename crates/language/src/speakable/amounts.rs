//! Amounts of money and numbers with a scale: `₹2.5 lakh crore`, `Rs 500/-`, `₹500-1,000`, `2.5 लाख`.

use super::pieces::{Piece, Said, is_amount};
use crate::{Tongue, money, numbers};

/// Scales as written, in English and Hindi.
const SCALES: &[(&str, &str, &str)] = &[
    ("thousand k हजार", "thousand", "हज़ार"),
    ("lakh lakhs lac lacs l लाख", "lakh", "लाख"),
    ("crore crores cr crs करोड", "crore", "करोड़"),
    ("million mn मिलियन", "million", "मिलियन"),
    ("billion bn अरब", "billion", "अरब"),
    ("trillion tn", "trillion", "ट्रिलियन"),
];
/// "lakh crore" is the longest that is said.
const SCALES_MAX: usize = 2;

/// A currency: how it is written before or behind a number, and said.
struct Currency {
    written: &'static str,
    one: &'static str,
    many: &'static str,
    hindi: &'static str,
}

const CURRENCIES: &[Currency] = &[
    Currency { written: "$ usd us$", one: "dollar", many: "dollars", hindi: "डॉलर" },
    Currency { written: "€ eur", one: "euro", many: "euros", hindi: "यूरो" },
    Currency { written: "£ gbp", one: "pound", many: "pounds", hindi: "पाउंड" },
];

/// The word for a scale; single letters only where they are glued to an amount of money.
fn scale_word(core: &str, glued: bool, tongue: Tongue) -> Option<&'static str> {
    let key = crate::tokens::fold(core);
    if key.chars().count() == 1 && !glued {
        return None;
    }
    SCALES.iter().find(|(written, _, _)| written.split(' ').any(|w| w == key)).map(|(_, english, hindi)| match tongue {
        Tongue::English => *english,
        Tongue::Hindi => *hindi,
    })
}

/// A number before a scale. Hindi says halves and quarters in a word: 1.5 "डेढ़", 2.5 "ढाई", 3.25 "सवा तीन".
pub(super) fn before_scale(number: &str, tongue: Tongue) -> Option<String> {
    if tongue == Tongue::Hindi
        && let Some((whole, fraction)) = number.split_once('.')
        && let Ok(whole) = whole.replace(',', "").parse::<u64>()
        && whole > 0
    {
        let said = match fraction.trim_end_matches('0') {
            "5" if whole == 1 => Some("डेढ़".to_owned()),
            "5" if whole == 2 => Some("ढाई".to_owned()),
            "5" => Some(format!("साढ़े {}", numbers::cardinal(whole, tongue))),
            "25" if whole == 1 => Some("सवा".to_owned()),
            "25" => Some(format!("सवा {}", numbers::cardinal(whole, tongue))),
            "75" => Some(format!("पौने {}", numbers::cardinal(whole.checked_add(1)?, tongue))),
            _ => None,
        };
        if said.is_some() {
            return said;
        }
    }
    numbers::decimal(number, tongue)
}

/// The scales that follow piece `at - 1`, if that ends plainly.
fn scales_from(rest: &[Piece], mut at: usize, tongue: Tongue) -> (Vec<&'static str>, usize) {
    let mut found = Vec::new();
    while found.len() < SCALES_MAX {
        let joins = at.checked_sub(1).and_then(|i| rest.get(i)).is_some_and(Piece::joins_next);
        let next = rest.get(at).filter(|p| joins && p.lead.is_empty());
        let Some(word) = next.and_then(|p| scale_word(&p.core, false, tongue)) else { break };
        found.push(word);
        at += 1;
    }
    (found, at)
}

/// `2.5 लाख`, `3 lakh crore`: a number with its scales, where no currency is written.
pub(super) fn scaled(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let first = rest.first().filter(|p| is_amount(&p.core) && p.joins_next())?;
    let (scales, used) = scales_from(rest, 1, tongue);
    if scales.is_empty() {
        return None;
    }
    let trail = used.checked_sub(1).and_then(|i| rest.get(i)).map_or("", |p| p.trail.as_str());
    Some((format!("{}{} {}{trail}", first.lead, before_scale(&first.core, tongue)?, scales.join(" ")), used))
}

/// What stands for the currency: `None` is the rupee.
type Sign = Option<&'static Currency>;

fn sign(text: &str) -> Option<Sign> {
    let key = crate::tokens::fold(text.trim_end_matches('.'));
    if matches!(key.as_str(), "₹" | "rs" | "inr" | "रु" | "रू" | "re") {
        return Some(None);
    }
    CURRENCIES.iter().find(|c| c.written.split(' ').any(|w| w == key)).map(Some)
}

/// The sign before an amount, what is left of the core, and how many pieces the sign took.
fn leading_sign(rest: &[Piece]) -> Option<(Sign, &str, usize, String)> {
    let first = rest.first()?;
    let core = first.core.as_str();
    if let Some(mark) = first.lead.chars().last().filter(|c| matches!(c, '₹' | '$' | '€' | '£'))
        && !core.is_empty()
    {
        let before = first.lead.strip_suffix(mark).unwrap_or_default().to_owned();
        return Some((sign(mark.encode_utf8(&mut [0; 4]))?, core, 1, before));
    }
    // "Rs.500", "INR500": glued.
    let digit = core.find(|c: char| c.is_ascii_digit());
    if let Some(at) = digit.filter(|at| *at > 0) {
        let (head, number) = core.split_at(at);
        let glued = sign(head.trim_end_matches(['.', ' ']))?;
        return Some((glued, number, 1, first.lead.clone()));
    }
    let written = if core.is_empty() { first.whole() } else { core.to_owned() };
    let found = sign(&written).filter(|_| digit.is_none())?;
    let next = rest.get(1).filter(|p| p.lead.is_empty() && p.core.starts_with(|c: char| c.is_ascii_digit()))?;
    let before = if core.is_empty() { String::new() } else { first.lead.clone() };
    Some((found, next.core.as_str(), 2, before))
}

/// `₹500`, `₹ 1.5 lakh`, `Rs. 500/-`, `Rs.500`, `INR 25,000`, `₹5k`, `₹2-3 lakh`, `$5`, `500 Rs`, `500/-`.
pub(super) fn money(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let (sign, number, mut used, before) = match leading_sign(rest) {
        Some(found) => found,
        None => trailing_sign(rest)?,
    };
    let digits_end = number.find(|c: char| c.is_alphabetic()).unwrap_or(number.len());
    let (amount, suffix) = number.split_at(digits_end);
    let mut scales = Vec::new();
    if !suffix.is_empty() {
        scales.push(scale_word(suffix, true, tongue)?);
    }
    let mut end = rest.get(used.checked_sub(1)?)?;
    if end.joins_next() && scales.len() < SCALES_MAX {
        let (more, after) = scales_from(rest, used, tongue);
        scales.extend(more);
        used = after;
        end = rest.get(used.checked_sub(1)?)?;
    }
    // "7 crore 20 lakh": the smaller scale belongs to it.
    let mut more = String::new();
    if scales.len() == 1
        && end.joins_next()
        && let Some(next) = rest.get(used).filter(|p| p.lead.is_empty() && is_amount(&p.core) && p.joins_next())
        && let (smaller, after) = scales_from(rest, used + 1, tongue)
        && smaller.len() == 1
    {
        more = format!(" {} {}", before_scale(&next.core, tongue)?, smaller.join(" "));
        used = after;
        end = rest.get(used.checked_sub(1)?)?;
    }
    let said = if !more.is_empty() {
        format!("{} {}{more} {}", before_scale(amount, tongue)?, scales.join(" "), money::rupee_word(2, tongue))
    } else if let Some((from, to)) = amount.split_once(['-', '–']) {
        let word = match tongue {
            Tongue::English => "to",
            Tongue::Hindi => "से",
        };
        let from = before_scale(from, tongue).filter(|_| is_amount(from))?;
        format!("{from} {word} {}", said_amount(to, &scales, sign, tongue)?)
    } else {
        said_amount(amount, &scales, sign, tongue)?
    };
    let mut trail = end.trail.as_str();
    // The stop of "Cr." ends no sentence before a word in small letters.
    if trail == "." && !scales.is_empty() && rest.get(used).is_some_and(|p| p.core.starts_with(char::is_lowercase)) {
        trail = "";
    }
    for gone in ["/-", "/=", "₹", "$", "€", "£"] {
        trail = trail.strip_prefix(gone).unwrap_or(trail);
    }
    let after = rest.get(used).map(|p| crate::tokens::fold(&p.core)).unwrap_or_default();
    // "Rs. 500 rupees" says it twice.
    if trail.is_empty() && matches!(after.as_str(), "rupees" | "rupaye" | "रुपये" | "रुपए") {
        trail = rest.get(used).map_or("", |p| p.trail.as_str());
        used += 1;
    }
    Some((format!("{before}{said}{trail}"), used))
}

/// `500/-`, `500 Rs.`, `500 रु.`, `500₹`.
fn trailing_sign(rest: &[Piece]) -> Option<(Sign, &str, usize, String)> {
    let first = rest.first().filter(|p| is_amount(&p.core))?;
    let core = first.core.as_str();
    let mark = first.trail.chars().next();
    if first.trail.starts_with("/-") || mark == Some('₹') {
        return Some((None, core, 1, first.lead.clone()));
    }
    let next = rest.get(1).filter(|p| first.joins_next() && p.lead.is_empty())?;
    let found = sign(&next.core)?;
    // "500 Rs 200": the sign belongs to the second number.
    let number_follows = rest.get(2).is_some_and(|p| p.core.starts_with(|c: char| c.is_ascii_digit()));
    (!number_follows && crate::tokens::fold(&next.core) != "re").then(|| (found, core, 2, first.lead.clone()))
}

fn said_amount(amount: &str, scales: &[&str], sign: Sign, tongue: Tongue) -> Option<String> {
    if !is_amount(amount) {
        return None;
    }
    let Some(currency) = sign else {
        if scales.is_empty() {
            return money::rupees(amount, None, tongue);
        }
        let word = money::rupee_word(2, tongue);
        return Some(format!("{} {} {word}", before_scale(amount, tongue)?, scales.join(" ")));
    };
    let word = match tongue {
        Tongue::English if amount == "1" && scales.is_empty() => currency.one,
        Tongue::English => currency.many,
        Tongue::Hindi => currency.hindi,
    };
    let number = before_scale(amount, tongue).filter(|_| !scales.is_empty());
    let number = number.or_else(|| numbers::decimal(amount, tongue))?;
    let scale: String = scales.iter().map(|s| format!(" {s}")).collect();
    Some(format!("{number}{scale} {word}"))
}
