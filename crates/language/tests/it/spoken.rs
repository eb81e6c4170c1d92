//! Numbers, money, dates, times, phone numbers and codes: read aloud, and understood when spoken.
//!
//! `say | language | written | spoken | where such a line is found`, language `en`, `hi`, or `mixed` (Hindi with English
//! in it); `hear | language | spoken | kind:value | where`, language `en`, `hi` (Devanagari) or `roman` (Hindi in Latin
//! letters). Days are seen from Saturday 2026-11-21; the business is open from nine to six.

use crate::table::{none_wrong, rows};
use chrono::{NaiveDate, NaiveTime};
use language::understand::durations::Length;
use language::understand::phone::{PhoneHeard, phone};
use language::understand::times::Hours;
use language::understand::{codes, dates, durations, money, numbers, times};
use language::{Tongue, speakable};
use std::collections::BTreeMap;

const TABLES: [(&str, &str); 2] =
    [("say.txt", include_str!("tables/say.txt")), ("hear.txt", include_str!("tables/hear.txt"))];
/// What each direction and language has at least, so that no table shrinks unseen.
const CASES_MIN: [(&str, usize); 6] =
    [("say en", 160), ("say hi", 55), ("say mixed", 12), ("hear en", 60), ("hear hi", 40), ("hear roman", 80)];

fn understood(kind: &str, text: &str) -> String {
    let none = || "-".to_owned();
    let today = NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date");
    let hour = |h| NaiveTime::from_hms_opt(h, 0, 0).expect("a time");
    match kind {
        "number" => numbers::number(text).map_or_else(none, |n| n.to_string()),
        "money" => money::paise(text).map_or_else(none, |p| format!("{}.{:02}", p / 100, p % 100)),
        "date" => dates::date(text, today).one().map_or_else(none, |d| d.to_string()),
        "time" => times::time(text, Some(Hours { opens: hour(9), closes: hour(18) }))
            .one()
            .map_or_else(none, |t| t.format("%H:%M").to_string()),
        "phone" => match phone(text) {
            PhoneHeard::Complete(number) => number,
            PhoneHeard::Partial(part) => format!("{part}…"),
            PhoneHeard::TooMany(_) | PhoneHeard::Nothing => none(),
        },
        "code" => codes::code(text).unwrap_or_else(none),
        "email" => codes::email(text).unwrap_or_else(none),
        "length" => match durations::length(text) {
            Some(Length::Minutes(minutes)) => format!("{minutes} min"),
            Some(Length::Months(months)) => format!("{months} months"),
            None => none(),
        },
        other => panic!("{other} is no kind"),
    }
}

#[test]
fn spoken() {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut cases = 0;
    for (file, text) in TABLES {
        for (line, cells) in rows(text, 5) {
            let [direction, language, input, want, found] = cells.as_slice() else { continue };
            assert!(!found.is_empty(), "{file}:{line} says nothing about where it is found");
            *counts.entry(format!("{direction} {language}")).or_default() += 1;
            cases += 1;
            let (want, got) = match direction.as_str() {
                "say" => {
                    let tongue = if language == "en" { Tongue::English } else { Tongue::Hindi };
                    (want.as_str(), speakable(input, tongue))
                }
                "hear" => {
                    let (kind, value) = want.split_once(':').expect("kind:value");
                    (value, understood(kind, input))
                }
                other => panic!("{file}:{line}: {other} is no direction"),
            };
            if got != want {
                wrong.push(format!("{file}:{line} {language}: {input:?}: wanted {want:?}, got {got:?}"));
            }
        }
    }
    println!("{cases} cases: {counts:?}");
    none_wrong(&wrong, cases);
    assert!(cases >= 400, "{cases} cases");
    for (group, min) in CASES_MIN {
        let count = counts.get(group).copied().unwrap_or(0);
        assert!(count >= min, "{group}: {count} cases");
    }
}
