//! Codes: what is said letter by letter and digit by digit, in the groups it is written in.

use super::pieces::{Piece, Said};
use crate::{Tongue, numbers};

/// Words behind which digits are a code and never a phone number.
const STRICT: &[&str] = &[
    "pnr",
    "otp",
    "uan",
    "uid",
    "aadhaar",
    "aadhar",
    "adhar",
    "pan",
    "gstin",
    "ifsc",
    "micr",
    "account",
    "a/c",
    "acct",
    "policy",
    "consumer",
    "invoice",
    "awb",
    "tracking",
    "complaint",
    "docket",
    "folio",
    "crn",
    "loan",
    "application",
    "challan",
    "receipt",
    "utr",
    "txn",
    "transaction",
    "imei",
    "meter",
    "token",
    "ticket",
    "order",
    "booking",
    "reference",
    "ref",
    "card",
    "train",
    "flight",
    "pin",
    "pincode",
    "passport",
    "licence",
    "license",
    "roll",
    "registration",
    "regn",
    "file",
    "case",
    "fir",
    "room",
    "flat",
    "पीएनआर",
    "ओटीपी",
    "आधार",
    "कमरा",
    "फ्लैट",
    "खाता",
    "खाते",
    "टिकट",
    "ऑर्डर",
    "ट्रेन",
    "पिन",
];
/// Words that may stand between such a word and its digits.
const BETWEEN: &[&str] = &[
    "",
    "is",
    "no",
    "number",
    "no.",
    "id",
    "code",
    "your",
    "है",
    "नंबर",
    "संख्या",
    "सं",
    "नं",
    "क्रमांक",
    "hai",
    "ka",
    "card",
    "कार्ड",
    "here",
    "a",
    "the",
    "nos",
    "num",
];
/// A code is written in at most so many groups: a card number has four.
const GROUPS_MAX: usize = 5;
/// Digits in a row that one can follow; longer rows are said in groups of four.
const ROW_MAX: usize = 6;
const ROW_GROUP: usize = 4;
/// A shorter number is a number: "order 5".
const DIGITS_MIN: usize = 3;
/// States and territories on number plates, and BH.
const PLATES: &str = "AN AP AR AS BH BR CG CH DD DL DN GA GJ HP HR JH JK KA KL LA LD MH ML MN MP MZ NL OD OR PB PY RJ SK TN TR TS TG UA UK UP WB";

/// A letter as it is said: itself in English, its name in Hindi.
pub(super) fn letter(c: char, tongue: Tongue) -> String {
    const NAMES: [&str; 26] = [
        "ए",
        "बी",
        "सी",
        "डी",
        "ई",
        "एफ़",
        "जी",
        "एच",
        "आई",
        "जे",
        "के",
        "एल",
        "एम",
        "एन",
        "ओ",
        "पी",
        "क्यू",
        "आर",
        "एस",
        "टी",
        "यू",
        "वी",
        "डब्ल्यू",
        "एक्स",
        "वाई",
        "ज़ेड",
    ];
    let upper = c.to_ascii_uppercase();
    match tongue {
        Tongue::Hindi if upper.is_ascii_uppercase() => usize::try_from(u32::from(upper) - u32::from('A'))
            .ok()
            .and_then(|i| NAMES.get(i))
            .map_or("", |n| n)
            .to_owned(),
        Tongue::Hindi | Tongue::English => c.to_uppercase().collect(),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn row(digits: &str, tongue: Tongue) -> String {
    if digits.len() <= ROW_MAX {
        return numbers::digits(digits, tongue);
    }
    let mut out = Vec::new();
    let mut rest = digits;
    while !rest.is_empty() {
        // No last group of a single digit.
        let take = if rest.len() == ROW_GROUP + 1 { rest.len() } else { ROW_GROUP.min(rest.len()) };
        let (group, tail) = rest.split_at(take);
        out.push(numbers::digits(group, tongue));
        rest = tail;
    }
    out.join(", ")
}

/// `PNR 245-1234567`, `Aadhaar 1234 5678 9012`, `account no. 123456789012`; also three or four groups of four anywhere.
pub(super) fn code(before: &[Piece], rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let fours = rest
        .iter()
        .take(GROUPS_MAX)
        .enumerate()
        .take_while(|(i, p)| p.core.len() == 4 && is_digits(&p.core) && (*i == 0 || p.lead.is_empty()))
        .count();
    let ends = (1..fours).find(|i| rest.get(i - 1).is_some_and(|p| !p.joins_next())).unwrap_or(fours);
    let grouped = matches!(ends, 3 | 4);
    if !grouped && !behind_code_word(before) {
        return None;
    }
    let mut groups: Vec<String> = Vec::new();
    let mut used = 0;
    for (i, piece) in rest.iter().take(GROUPS_MAX).enumerate() {
        let parts: Vec<&str> = piece.core.split('-').collect();
        if !parts.iter().all(|p| is_digits(p)) || (i > 0 && !piece.lead.is_empty()) {
            break;
        }
        groups.extend(parts.iter().map(|p| row(p, tongue)));
        used = i + 1;
        // A group of its own behind a comma is another number.
        if !piece.joins_next() {
            break;
        }
    }
    let digits: usize = rest.iter().take(used).map(|p| p.core.bytes().filter(u8::is_ascii_digit).count()).sum();
    let dated =
        rest.first().is_some_and(|p| p.core.contains('-')) && super::pieces::written_date(rest, tongue).is_some();
    if digits < DIGITS_MIN || dated {
        return None;
    }
    let lead = rest.first().map_or("", |p| p.lead.trim_start_matches('#'));
    let trail = used.checked_sub(1).and_then(|i| rest.get(i)).map_or("", |p| p.trail.as_str());
    Some((format!("{lead}{}{trail}", groups.join(", ")), used))
}

fn behind_code_word(before: &[Piece]) -> bool {
    for piece in before.iter().rev().take(4) {
        let word = crate::tokens::fold(&piece.core);
        if STRICT.iter().any(|s| crate::tokens::fold(s) == word) {
            return true;
        }
        // "Flight 6E 2134": the airline.
        let carrier = piece.core.len() <= 3
            && piece.joins_next()
            && piece.core.bytes().any(|b| b.is_ascii_uppercase())
            && piece.core.bytes().any(|b| b.is_ascii_digit());
        if !(carrier || BETWEEN.contains(&word.as_str())) {
            return false;
        }
    }
    false
}

/// Helplines that are said digit by digit wherever they stand behind "call": police, ambulance, railways, fraud.
const HELPLINES: &[&str] =
    &["100", "101", "102", "104", "108", "112", "139", "181", "1091", "1098", "1906", "1912", "1930", "1947", "1950"];

/// `call 1930`, `dial 112`, and the PIN code behind a town: `Bengaluru - 560001`.
pub(super) fn short(before: &[Piece], rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let piece = rest.first().filter(|p| is_digits(&p.core))?;
    let last = before.last()?;
    let called = matches!(
        crate::tokens::fold(&last.core).as_str(),
        "call" | "dial" | "on" | "at" | "helpline" | "sms" | "पर" | "डायल" | "कॉल"
    ) && HELPLINES.contains(&piece.core.as_str());
    let dash = last.core.is_empty() && last.whole().chars().all(|c| matches!(c, '-' | '–' | '—'));
    let postal = dash && piece.core.len() == 6 && !piece.core.starts_with('0') && before.len() > 1;
    (called || postal).then(|| (format!("{}{}{}", piece.lead, numbers::digits(&piece.core, tongue), piece.trail), 1))
}

/// `MH 12 AB 1234`, `DL-3C-AF-1234`, `KA05MN1234`: a number plate in its groups.
pub(super) fn plate(rest: &[Piece], tongue: Tongue) -> Option<Said> {
    let first = rest.first()?;
    let state = first.core.get(..2)?;
    if !PLATES.split(' ').any(|p| p == state) {
        return None;
    }
    let mut whole = String::new();
    for (i, piece) in rest.iter().take(4).enumerate() {
        let plain = piece.core.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-');
        if !plain || (i > 0 && !piece.lead.is_empty()) {
            return None;
        }
        whole.extend(piece.core.chars().filter(|c| *c != '-'));
        if let Some(groups) = plate_groups(&whole) {
            let said: Vec<String> = groups
                .iter()
                .map(|group| {
                    let each = group.chars().map(|c| match c.to_digit(10) {
                        Some(d) => numbers::below_hundred(u64::from(d), tongue),
                        None => letter(c, tongue),
                    });
                    each.collect::<Vec<_>>().join(" ")
                })
                .collect();
            return Some((format!("{}{}{}", first.lead, said.join(", "), piece.trail), i + 1));
        }
        if !piece.joins_next() {
            return None;
        }
    }
    None
}

/// Two letters, one or two digits, up to three letters, four digits.
fn plate_groups(whole: &str) -> Option<[&str; 3]> {
    let (head, rest) = (whole.get(..2)?, whole.get(2..)?);
    let (rest, number) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
    let letters_at = rest.find(|c: char| c.is_ascii_uppercase())?;
    let (district, series) = rest.split_at(letters_at);
    let fits = head.bytes().all(|b| b.is_ascii_uppercase())
        && is_digits(number)
        && is_digits(district)
        && district.len() <= 2
        && series.len() <= 3
        && series.bytes().all(|b| b.is_ascii_uppercase());
    fits.then(|| [whole.get(..2 + letters_at).unwrap_or_default(), series, number])
}
