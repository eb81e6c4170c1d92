//! Readers of what stands in one or several words: money, phone numbers, dates, times, units.

use crate::tokens::{is_grouped, is_word_char};
use crate::{Tongue, dates, money as money_words, numbers};
use chrono::{NaiveDate, NaiveTime};

/// What a reader found: the words and how many pieces they stand for.
pub(super) type Said = (String, usize);

/// A word with the punctuation around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) lead: String,
    pub(super) core: String,
    pub(super) trail: String,
}

impl Piece {
    pub(super) fn whole(&self) -> String {
        format!("{}{}{}", self.lead, self.core, self.trail)
    }

    pub(super) fn trail_without_percent(&self) -> &str {
        self.trail.strip_prefix('%').unwrap_or(&self.trail)
    }

    /// Nothing between this word and the next but a space.
    fn joins_next(&self) -> bool {
        self.trail.is_empty()
    }
}

/// Splits at white space and takes the punctuation off.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    text.split_whitespace()
        .map(|word| {
            let core = word.trim_matches(|c: char| !is_word_char(c));
            let at = word.find(core).unwrap_or(0);
            let (lead, rest) = word.split_at(at);
            let trail = rest.get(core.len()..).unwrap_or_default();
            Piece { lead: lead.to_owned(), core: core.to_owned(), trail: trail.to_owned() }
        })
        .collect()
}

/// A currency sign or its abbreviation by itself.
pub(super) fn is_sign(piece: &Piece) -> bool {
    (piece.core.is_empty() && matches!(piece.lead.as_str(), "₹" | "$"))
        || (piece.core.is_empty() && matches!(piece.trail.as_str(), "₹" | "$"))
        || is_rupee_abbreviation(&piece.core)
}

fn is_rupee_abbreviation(core: &str) -> bool {
    matches!(core.to_lowercase().as_str(), "rs" | "inr" | "रु")
}

/// Marks before a number that are words: `+`, `#`, `-`.
pub(super) fn spoken_lead(piece: &Piece, tongue: Tongue) -> String {
    match (piece.lead.as_str(), tongue) {
        ("-" | "−", Tongue::English) => "minus ".to_owned(),
        ("-" | "−", Tongue::Hindi) => "माइनस ".to_owned(),
        ("+", Tongue::English) => "plus ".to_owned(),
        ("+", Tongue::Hindi) => "प्लस ".to_owned(),
        ("#", Tongue::English) => "number ".to_owned(),
        ("#", Tongue::Hindi) => "नंबर ".to_owned(),
        (other, _) => other.to_owned(),
    }
}

fn scale_word(core: &str) -> Option<&str> {
    matches!(
        core.to_lowercase().as_str(),
        "lakh" | "lakhs" | "crore" | "crores" | "thousand" | "million" | "लाख" | "करोड़" | "हज़ार"
    )
    .then_some(core)
}

/// `₹500`, `₹ 1.5 lakh`, `Rs. 500/-`, `Rs.500`, `INR 25,000`, `$5`.
pub(super) fn money(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let first = rest.first()?;
    let sign_alone = is_sign(first);
    let glued = ["Rs.", "Rs", "rs.", "RS."].iter().find_map(|s| first.core.strip_prefix(s)).filter(|n| is_amount(n));
    let (number, piece, mut used) = if let Some(number) = glued {
        (number, first, 1)
    } else if sign_alone {
        let next = rest.get(1).filter(|p| p.lead.is_empty() && is_amount(&p.core))?;
        (next.core.as_str(), next, 2)
    } else if (first.lead.ends_with('₹') || first.lead.ends_with('$')) && is_amount(&first.core) {
        (first.core.as_str(), first, 1)
    } else {
        return None;
    };
    let mut end = piece;
    let mut scale = None;
    if piece.joins_next()
        && let Some(next) = rest.get(used).filter(|p| p.lead.is_empty())
        && let Some(word) = scale_word(&next.core)
    {
        scale = Some(word);
        end = next;
        used += 1;
    }
    let dollars = first.whole().contains('$');
    let said = if dollars {
        let amount = numbers::decimal(number, tongue)?;
        let scale = scale.map(|s| format!(" {s}")).unwrap_or_default();
        let word = match tongue {
            Tongue::English if number == "1" => "dollar",
            Tongue::English => "dollars",
            Tongue::Hindi => "डॉलर",
        };
        format!("{amount}{scale} {word}")
    } else {
        money_words::rupees(number, scale, tongue)?
    };
    let lead = first.lead.trim_end_matches(['₹', '$']);
    let trail = end.trail.strip_prefix("/-").unwrap_or(&end.trail);
    Some((format!("{lead}{said}{trail}"), used))
}

fn is_amount(core: &str) -> bool {
    let plain = core.bytes().all(|b| b.is_ascii_digit() || b == b'.') && core.matches('.').count() <= 1;
    core.starts_with(|c: char| c.is_ascii_digit()) && (plain || is_grouped(core))
}

/// Digits in one or several groups that make a phone number.
pub(super) fn phone(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let first = rest.first()?;
    let plus = first.lead.ends_with('+');
    let mut digits = String::new();
    let mut best: Option<(String, usize)> = None;
    // A number is written in at most five groups.
    for (i, piece) in rest.iter().take(5).enumerate() {
        let group_ok = piece.core.bytes().all(|b| b.is_ascii_digit() || b == b'-')
            && piece.core.bytes().any(|b| b.is_ascii_digit())
            && (i == 0 || matches!(piece.lead.as_str(), "" | "("));
        if !group_ok {
            break;
        }
        digits.extend(piece.core.chars().filter(char::is_ascii_digit));
        let whole = match digits.len() {
            10 => !digits.starts_with('0') && (plus || (i <= 2 && !piece.core.contains("--"))),
            11 => digits.starts_with('0') || digits.starts_with("1800") || plus,
            12 => plus || digits.starts_with("91"),
            8 | 9 | 13..=15 => plus,
            _ => false,
        };
        if whole && !looks_like_date(first) {
            best = Some((digits.clone(), i + 1));
        }
        if !piece.joins_next() {
            break;
        }
    }
    let (digits, used) = best?;
    let lead = first.lead.strip_suffix('+').unwrap_or(&first.lead);
    let trail = rest.get(used - 1).map_or("", |p| p.trail.as_str());
    let number = if plus { format!("+{digits}") } else { digits };
    Some((format!("{lead}{}{trail}", numbers::phone(&number, tongue)), used))
}

fn looks_like_date(piece: &Piece) -> bool {
    iso_date(&piece.core).is_some()
}

fn iso_date(core: &str) -> Option<NaiveDate> {
    (core.len() == 10).then(|| NaiveDate::parse_from_str(core, "%Y-%m-%d").ok()).flatten()
}

/// `2026-11-24`, `24/11/2026`, `24-11-2026`, `24/11`.
pub(super) fn written_date(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    use chrono::Datelike;
    let piece = rest.first()?;
    let core = piece.core.as_str();
    let said = if let Some(date) = iso_date(core) {
        with_year(date.day(), date.month(), Some(date.year()), tongue)
    } else {
        let parts: Vec<&str> = core.split(['/', '-', '.']).collect();
        let number = |i: usize| parts.get(i).filter(|p| p.len() <= 4).and_then(|p| p.parse::<u32>().ok());
        match parts.len() {
            3 => {
                let year = number(2).filter(|y| (1900..2200).contains(y))?;
                let year = i32::try_from(year).ok()?;
                let date = NaiveDate::from_ymd_opt(year, number(1)?, number(0)?)?;
                with_year(date.day(), date.month(), Some(year), tongue)
            }
            2 if core.contains('/') => {
                let (day, month) = (number(0)?, number(1)?);
                let both_two = parts.iter().all(|p| p.len() == 2);
                if !(both_two || day > 12) || core == "24/7" {
                    return None;
                }
                // 2028 has a 29 February.
                NaiveDate::from_ymd_opt(2028, month, day)?;
                with_year(day, month, None, tongue)
            }
            _ => return None,
        }
    };
    Some((format!("{}{said}{}", piece.lead, piece.trail), 1))
}

fn with_year(day: u32, month: u32, year: Option<i32>, tongue: Tongue) -> String {
    let said = dates::day_and_month(day, month, tongue);
    match year {
        Some(year) => format!("{said} {}", dates::year(year, tongue)),
        None => said,
    }
}

/// Month by name, whole or by its first three letters.
fn month_number(core: &str) -> Option<u32> {
    let lower = core.to_lowercase();
    (1..=12).find(|n| {
        let english = dates::month(*n, Tongue::English).to_lowercase();
        let short = english.get(..3).unwrap_or_default();
        lower == english || lower == short || (lower == "sept" && *n == 9) || core == dates::month(*n, Tongue::Hindi)
    })
}

fn day_number(core: &str) -> Option<u32> {
    let body = ["st", "nd", "rd", "th"].iter().find_map(|s| core.strip_suffix(s)).unwrap_or(core);
    body.parse().ok().filter(|d| (1..=31).contains(d) && body.len() <= 2)
}

fn year_number(piece: Option<&Piece>) -> Option<i32> {
    piece.filter(|p| p.lead.is_empty() && p.core.len() == 4)?.core.parse().ok().filter(|y| (1900..2200).contains(y))
}

/// `24 Nov`, `24th of November 2026`.
pub(super) fn day_first(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let first = rest.first()?;
    let day = day_number(&first.core).filter(|_| first.joins_next())?;
    let of = rest.get(1).is_some_and(|p| p.whole() == "of");
    let mut used = if of { 3 } else { 2 };
    let month_piece = rest.get(used - 1).filter(|p| p.lead.is_empty())?;
    let month = month_number(&month_piece.core)?;
    let mut trail = month_piece.trail.as_str();
    let mut year = None;
    if matches!(trail, "" | "," | ".") {
        year = year_number(rest.get(used));
        if year.is_some() {
            trail = rest.get(used).map_or("", |p| p.trail.as_str());
            used += 1;
        }
    }
    Some((format!("{}{}{trail}", first.lead, with_year(day, month, year, tongue)), used))
}

/// `Nov 24`, `November 24th, 2026`.
pub(super) fn month_first(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let first = rest.first()?;
    let month = month_number(&first.core).filter(|_| matches!(first.trail.as_str(), "" | "."))?;
    let day_piece = rest.get(1).filter(|p| p.lead.is_empty())?;
    let day = day_number(&day_piece.core)?;
    let mut trail = day_piece.trail.as_str();
    let mut used = 2;
    let mut year = None;
    if matches!(trail, "" | ",") {
        year = year_number(rest.get(2));
        if year.is_some() {
            trail = rest.get(2).map_or("", |p| p.trail.as_str());
            used = 3;
        }
    }
    Some((format!("{}{}{trail}", first.lead, with_year(day, month, year, tongue)), used))
}

/// `am` or `pm`, however written; the piece's own full stop belongs to the abbreviation.
fn half_of_day(piece: &Piece) -> Option<bool> {
    match piece.core.to_lowercase().as_str() {
        "am" | "a.m" => Some(false),
        "pm" | "p.m" => Some(true),
        _ => None,
    }
}

/// `10:30 AM`, `10 a.m.`, `10am`, `14:05`.
pub(super) fn clock(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let first = rest.first()?;
    let core = first.core.as_str();
    let digits_end = core.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(core.len());
    let (number, suffix) = core.split_at(digits_end);
    let (hour, minute) = match number.split_once([':', '.']) {
        Some((hour, minute)) if minute.len() == 2 => (hour, minute.parse::<u32>().ok()?),
        Some(_) => return None,
        None => (number, 0),
    };
    let hour: u32 = hour.parse().ok().filter(|_| hour.len() <= 2)?;
    let glued = Piece { lead: String::new(), core: suffix.to_owned(), trail: first.trail.clone() };
    let (half, end, used) = if let Some(half) = half_of_day(&glued) {
        (Some(half), &glued, 1)
    } else if !suffix.is_empty() {
        return None;
    } else {
        match rest.get(1).filter(|_| first.joins_next()).and_then(|p| half_of_day(p).map(|h| (h, p))) {
            Some((half, piece)) => (Some(half), piece, 2),
            None => (None, first, 1),
        }
    };
    let hour = match half {
        Some(pm) if (1..=12).contains(&hour) => hour % 12 + if pm { 12 } else { 0 },
        Some(_) => return None,
        None if number.contains(':') => hour,
        None => return None,
    };
    let time = NaiveTime::from_hms_opt(hour, minute, 0)?;
    let mut trail = end.trail.clone();
    if end.core.contains('.') && trail.starts_with('.') {
        // The stop of "a.m." ends the sentence only where a new one begins.
        let closes = rest.get(used).is_none_or(|p| p.core.starts_with(char::is_uppercase));
        if !closes {
            trail.remove(0);
        }
    }
    Some((format!("{}{}{trail}", first.lead, dates::time(time, tongue)), used))
}

/// `5km`, `3.5kg`.
pub(super) fn with_unit(core: &str, tongue: Tongue) -> Option<String> {
    let end = core.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = core.split_at(end);
    let amount = numbers::decimal(number, tongue)?;
    Some(format!("{amount} {}", unit_word(unit, number == "1")?))
}

/// A unit in full, English; `None` for other letters.
pub(super) fn unit_word(unit: &str, one: bool) -> Option<String> {
    let word = match unit {
        "km" | "kms" | "Km" | "KM" => "kilometre",
        "kg" | "kgs" | "Kg" | "KG" => "kilogram",
        "g" | "gm" | "gms" => "gram",
        "m" => "metre",
        "cm" => "centimetre",
        "mm" => "millimetre",
        "ml" => "millilitre",
        "mg" => "milligram",
        "l" | "ltr" => "litre",
        "hr" | "hrs" => "hour",
        "min" | "mins" => "minute",
        "sec" | "secs" => "second",
        _ => return None,
    };
    Some(if one { word.to_owned() } else { format!("{word}s") })
}
