//! A day out of an answer: "Tuesday", "kal", "24th November", "the 24th", "in three days".

use super::{Heard, Mention, settle};
use crate::number_words::cardinal_at;
use crate::tokens::answer_tokens;
use chrono::{Datelike, Days, NaiveDate, Weekday};

/// "in N days": more is no appointment.
const DAYS_AHEAD_MAX: u64 = 366;

/// Reads the day said, seen from `today`. A weekday is the next such day after today, also with "next" or "coming" before
/// it ("next to next" adds a week); a day and month without a year is the next such day, today included; "kal" is
/// tomorrow, for an agent that asks about the future. A weekday and a date that disagree are [`Heard::Several`].
#[must_use]
pub fn date(text: &str, today: NaiveDate) -> Heard<NaiveDate> {
    let tokens = answer_tokens(text);
    let heard = read(&tokens, today);
    if heard == Heard::Nothing { bare_number(&tokens, today) } else { heard }
}

/// As [`date`], for a text that answers another question: a number by itself is no date.
#[must_use]
pub fn date_in_passing(text: &str, today: NaiveDate) -> Heard<NaiveDate> {
    read(&answer_tokens(text), today)
}

fn read(tokens: &[String], today: NaiveDate) -> Heard<NaiveDate> {
    let mut mentions: Vec<Mention<NaiveDate>> = Vec::new();
    let mut weekday: Option<(usize, usize, Weekday)> = None;
    let mut at = 0;
    while at < tokens.len() {
        let found = relative(tokens, at, today)
            .or_else(|| written(tokens, at, today))
            .or_else(|| day_and_month(tokens, at, today));
        if let Some((value, used)) = found {
            // "Tuesday the 24th": one mention; the weekday must agree.
            let end = at + used;
            match weekday.take() {
                Some((start, wend, day)) if at - wend <= 2 && value.is_some() && !is_turn(tokens, wend, at) => {
                    mentions.pop();
                    if value.is_some_and(|v| v.weekday() != day) {
                        return Heard::Several;
                    }
                    mentions.push(Mention { at: start, end, value });
                }
                _ => mentions.push(Mention { at, end, value }),
            }
            at = end;
        } else if let Some(day) = tokens.get(at).and_then(|t| weekday_name(t)) {
            let after_date = mentions.last().is_some_and(|m| {
                m.end <= at && at - m.end <= 1 && weekday.is_none() && m.value.is_some_and(|v| v.weekday() == day)
            });
            if !after_date {
                let double_next = at >= 3
                    && tokens
                        .get(at - 3..at)
                        .is_some_and(|t| matches!(t, [a, b, c] if a == "next" && b == "to" && c == "next"));
                let ahead = days_until(today, day) + if double_next { 7 } else { 0 };
                mentions.push(Mention { at, end: at + 1, value: add(today, ahead) });
                weekday = Some((at, at + 1, day));
            }
            at += 1;
        } else {
            at += 1;
        }
    }
    settle(tokens, &mentions)
}

/// A word of correction or choice between two mentions: they are two, not one.
fn is_turn(tokens: &[String], from: usize, to: usize) -> bool {
    tokens
        .get(from..to)
        .unwrap_or_default()
        .iter()
        .any(|t| matches!(t.as_str(), "no" | "or" | "not" | "ya" | "nahi" | "sorry"))
}

fn add(today: NaiveDate, days: u64) -> Option<NaiveDate> {
    today.checked_add_days(Days::new(days))
}

/// Days to the next such weekday: 1 to 7.
fn days_until(today: NaiveDate, day: Weekday) -> u64 {
    let ahead = (day.num_days_from_monday() + 7 - today.weekday().num_days_from_monday()) % 7;
    if ahead == 0 { 7 } else { u64::from(ahead) }
}

type Found = (Option<NaiveDate>, usize);

/// today, tomorrow, day after tomorrow, aaj, kal, parson, in three days, teen din baad.
fn relative(tokens: &[String], at: usize, today: NaiveDate) -> Option<Found> {
    let word = |i: usize| tokens.get(at + i).map_or("", String::as_str);
    if word(0) == "day" && word(1) == "after" && word(2) == "tomorrow" {
        return Some((add(today, 2), 3));
    }
    match word(0) {
        "today" | "tonight" | "aaj" | "आज" => return Some((Some(today), 1)),
        "tomorrow" | "tomorrows" | "tommorow" | "kal" | "कल" => return Some((add(today, 1), 1)),
        "parson" | "parso" | "parsoo" | "parsun" | "परसों" | "परसो" => {
            return Some((add(today, 2), 1));
        }
        "narson" | "tarson" | "narso" | "tarso" | "नरसों" | "तरसों" => {
            return Some((add(today, 3), 1));
        }
        _ => {}
    }
    let (start, english) = match word(0) {
        "in" | "after" => (at + 1, true),
        _ => (at, false),
    };
    let number = cardinal_at(tokens, start).filter(|n| !n.ordinal)?;
    let end = start + number.used;
    let unit = tokens.get(end).map_or("", String::as_str);
    let after = tokens.get(end + 1).map_or("", String::as_str);
    let behind = matches!(after, "baad" | "bad" | "later" | "बाद" | "mein" | "me" | "में" | "hence")
        || (after == "from" && tokens.get(end + 2).is_some_and(|t| t == "now"));
    let days = match unit {
        "day" | "days" | "din" | "dino" | "दिन" | "दिनों" => number.value()?,
        "week" | "weeks" | "hafte" | "hafta" | "हफ्ते" | "हफ्ता" | "सप्ताह" => {
            number.value()?.checked_mul(7)?
        }
        _ => return None,
    };
    if !(english || behind) {
        return None;
    }
    let used = end + 1 + usize::from(behind) - at;
    Some((if days <= DAYS_AHEAD_MAX { add(today, days) } else { None }, used))
}

/// `2026-11-24`, `24/11/2026`, `24/11`.
fn written(tokens: &[String], at: usize, today: NaiveDate) -> Option<Found> {
    let token = tokens.get(at)?;
    if !token.contains(['/', '-']) && token.matches('.').count() != 2 {
        return None;
    }
    let parts: Vec<&str> = token.split(['/', '-', '.']).collect();
    let number = |i: usize| parts.get(i).and_then(|p| p.parse::<u32>().ok());
    match parts.as_slice() {
        [y, _, _] if y.len() == 4 => {
            Some((NaiveDate::from_ymd_opt(i32::try_from(number(0)?).ok()?, number(1)?, number(2)?), 1))
        }
        [_, _, y] if y.len() == 4 => {
            Some((NaiveDate::from_ymd_opt(i32::try_from(number(2)?).ok()?, number(1)?, number(0)?), 1))
        }
        // A form's "31-12-99": below fifty it is this century, else the last.
        [d, m, y] if d.len() <= 2 && m.len() <= 2 && y.len() == 2 => {
            let year = i32::try_from(number(2)?).ok()?;
            let year = year + if year < 50 { 2000 } else { 1900 };
            Some((NaiveDate::from_ymd_opt(year, number(1)?, number(0)?), 1))
        }
        [d, m] if token.contains('/') && d.len() <= 2 && m.len() <= 2 => {
            Some((next_such(number(0)?, number(1)?, today), 1))
        }
        _ => None,
    }
}

/// The next such day, today included; `None` when there is none (31 June).
fn next_such(day: u32, month: u32, today: NaiveDate) -> Option<NaiveDate> {
    // 29 February may be four years (over a century turn, eight) away.
    (0..=8)
        .filter_map(|ahead| NaiveDate::from_ymd_opt(today.year().checked_add(ahead)?, month, day))
        .find(|date| *date >= today)
}

fn day_of(number: Option<u64>) -> Option<u32> {
    number.and_then(|n| u32::try_from(n).ok())
}

/// "24 November", "24th of November 2026", "November 24", "the 24th".
fn day_and_month(tokens: &[String], at: usize, today: NaiveDate) -> Option<Found> {
    if let Some(month) = tokens.get(at).and_then(|t| month_name(t)) {
        let the = usize::from(tokens.get(at + 1).is_some_and(|t| t == "the"));
        let number = cardinal_at(tokens, at + 1 + the)?;
        let end = at + 1 + the + number.used;
        let day = day_of(number.value()).filter(|d| *d < 100)?;
        return Some(with_year(tokens, at, end, day, month, today));
    }
    if let Some(day) = tokens.get(at).and_then(|t| hindi_ordinal(t)) {
        let tarikh = usize::from(tokens.get(at + 1).is_some_and(|t| is_tarikh(t)));
        if let Some(month) = tokens.get(at + 1 + tarikh).and_then(|t| month_name(t)) {
            return Some(with_year(tokens, at, at + 2 + tarikh, day, month, today));
        }
        return (tarikh == 1).then(|| (next_day_of_month(day, today), 2));
    }
    let number = cardinal_at(tokens, at)?;
    let end = at + number.used;
    let of = usize::from(tokens.get(end).is_some_and(|t| t == "of" || is_tarikh(t)));
    if let Some(month) = tokens.get(end + of).and_then(|t| month_name(t)) {
        let day = day_of(number.value()).filter(|d| *d < 100)?;
        return Some(with_year(tokens, at, end + of + 1, day, month, today));
    }
    let day_word = tokens.get(end).is_some_and(|t| is_tarikh(t));
    let one_of_list = number.ordinal
        && matches!(tokens.get(end).map(String::as_str), Some("one" | "option" | "time" | "floor" | "choice"));
    if (number.ordinal && !one_of_list) || day_word {
        let day = day_of(number.value()).filter(|d| *d < 100)?;
        return Some((next_day_of_month(day, today), number.used + usize::from(day_word)));
    }
    None
}

fn is_tarikh(token: &str) -> bool {
    matches!(token, "tarikh" | "tareekh" | "tarik" | "taarikh" | "taareekh" | "तारीख")
}

/// "pehli tareekh": Hindi's own ordinals, up to four.
fn hindi_ordinal(token: &str) -> Option<u32> {
    Some(match token {
        "pehli" | "pahli" | "paheli" | "pehla" | "पहली" | "पहला" => 1,
        "doosri" | "dusri" | "दूसरी" => 2,
        "teesri" | "tisri" | "तीसरी" => 3,
        "chauthi" | "चौथी" => 4,
        _ => return None,
    })
}

fn with_year(tokens: &[String], at: usize, end: usize, day: u32, month: u32, today: NaiveDate) -> Found {
    let year = cardinal_at(tokens, end).and_then(|y| {
        let value = y.value()?;
        // "twenty twenty six" is read as 20 and 26.
        if matches!(value, 19 | 20) {
            let rest = cardinal_at(tokens, end + y.used).and_then(|r| Some((r.value()?, r.used)));
            if let Some((rest, used)) = rest.filter(|(r, _)| (10..100).contains(r)) {
                return Some((value * 100 + rest, y.used + used));
            }
        }
        (1900..2200).contains(&value).then_some((value, y.used))
    });
    match year {
        Some((year, used)) => {
            let year = i32::try_from(year).unwrap_or(0);
            (NaiveDate::from_ymd_opt(year, month, day), end + used - at)
        }
        None => (next_such(day, month, today), end - at),
    }
}

/// "the 24th": this month or the next that has such a day.
fn next_day_of_month(day: u32, today: NaiveDate) -> Option<NaiveDate> {
    let mut month = today.with_day(1)?;
    for _ in 0..3 {
        if let Some(date) = month.with_day(day).filter(|d| *d >= today) {
            return Some(date);
        }
        month = month.checked_add_months(chrono::Months::new(1))?;
    }
    None
}

/// "twenty four" alone, or "on twenty four": the day of a month, when nothing else is said.
fn bare_number(tokens: &[String], today: NaiveDate) -> Heard<NaiveDate> {
    let rest: Vec<String> = tokens
        .iter()
        .filter(|t| {
            !matches!(
                t.as_str(),
                "on" | "the" | "um" | "uh" | "yes" | "please" | "for" | "hello" | "date" | "ko" | "को"
            )
        })
        .cloned()
        .collect();
    match cardinal_at(&rest, 0) {
        Some(number) if number.used == rest.len() => match day_of(number.value()).filter(|d| (1..=31).contains(d)) {
            Some(day) => next_day_of_month(day, today).map_or(Heard::Impossible, Heard::One),
            None => Heard::Nothing,
        },
        Some(_) | None => Heard::Nothing,
    }
}

fn weekday_name(token: &str) -> Option<Weekday> {
    let short = token
        .strip_suffix("waar")
        .or_else(|| token.strip_suffix("vaar"))
        .or_else(|| token.strip_suffix("war"))
        .or_else(|| token.strip_suffix("var"));
    let hindi = match short {
        Some("som") => Some(Weekday::Mon),
        Some("mangal") => Some(Weekday::Tue),
        Some("budh") => Some(Weekday::Wed),
        Some("guru" | "brihaspati" | "veer" | "vir" | "bruhaspati") => Some(Weekday::Thu),
        Some("shukra" | "shukr") => Some(Weekday::Fri),
        Some("shani") => Some(Weekday::Sat),
        Some("ravi" | "it" | "rabi" | "eet") => Some(Weekday::Sun),
        Some(_) | None => None,
    };
    if hindi.is_some() {
        return hindi;
    }
    Some(match token.strip_suffix('s').filter(|t| t.ends_with("day")).unwrap_or(token) {
        "monday" | "सोमवार" | "मंडे" => Weekday::Mon,
        "tuesday" | "tue" | "tues" | "मंगलवार" | "मंगल" => Weekday::Tue,
        "wednesday" | "wed" | "बुधवार" | "बुध" => Weekday::Wed,
        "thursday" | "thu" | "thur" | "thurs" | "गुरुवार" | "गुरूवार" | "बृहस्पतिवार" | "वीरवार" => {
            Weekday::Thu
        }
        "friday" | "fri" | "शुक्रवार" => Weekday::Fri,
        "saturday" | "शनिवार" => Weekday::Sat,
        "sunday" | "रविवार" | "इतवार" | "संडे" => Weekday::Sun,
        _ => return None,
    })
}

fn month_name(token: &str) -> Option<u32> {
    Some(match token {
        "january" | "jan" | "janvari" | "janwari" | "januari" | "जनवरी" => 1,
        "february" | "feb" | "farvari" | "farwari" | "फरवरी" => 2,
        "march" | "mar" | "maarch" | "मार्च" => 3,
        "april" | "apr" | "aprail" | "अप्रैल" => 4,
        "may" | "mai" | "मई" => 5,
        "june" | "jun" | "joon" | "जून" => 6,
        "july" | "jul" | "julai" | "julaai" | "जुलाई" => 7,
        "august" | "aug" | "agast" | "अगस्त" => 8,
        "september" | "sep" | "sept" | "sitambar" | "sitamber" | "सितंबर" | "सितम्बर" => 9,
        "october" | "oct" | "aktubar" | "aktoobar" | "अक्टूबर" | "अक्तूबर" => 10,
        "november" | "nov" | "navambar" | "navamber" | "नवंबर" | "नवम्बर" => 11,
        "december" | "dec" | "disambar" | "disamber" | "दिसंबर" | "दिसम्बर" => 12,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A Saturday.
    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 21).expect("a date")
    }

    #[test]
    fn days() {
        for (text, want) in [
            ("Tuesday", "2026-11-24"),
            ("Hello. For Tuesday.", "2026-11-24"),
            ("for Tuesday", "2026-11-24"),
            ("Hello for Tuesday", "2026-11-24"),
            ("Tuesday at ten", "2026-11-24"),
            ("next Monday", "2026-11-23"),
            ("next to next Monday", "2026-11-30"),
            ("this coming Friday", "2026-11-27"),
            ("Saturday", "2026-11-28"),
            ("today", "2026-11-21"),
            ("tomorrow", "2026-11-22"),
            ("day after tomorrow", "2026-11-23"),
            ("the day after tomorrow please", "2026-11-23"),
            ("kal", "2026-11-22"),
            ("kal subah", "2026-11-22"),
            ("parson", "2026-11-23"),
            ("aaj", "2026-11-21"),
            ("आज", "2026-11-21"),
            ("कल सुबह", "2026-11-22"),
            ("परसों", "2026-11-23"),
            ("somvar", "2026-11-23"),
            ("mangalwar ko", "2026-11-24"),
            ("budhvaar", "2026-11-25"),
            ("मंगलवार को", "2026-11-24"),
            ("itwar", "2026-11-22"),
            ("24th November", "2026-11-24"),
            ("the 24th of November", "2026-11-24"),
            ("twenty fourth november", "2026-11-24"),
            ("November 24", "2026-11-24"),
            ("November the 24th", "2026-11-24"),
            ("24 nov 2027", "2027-11-24"),
            ("24 November twenty twenty seven", "2027-11-24"),
            ("24/11", "2026-11-24"),
            ("24/11/2026", "2026-11-24"),
            ("24-11-2026", "2026-11-24"),
            ("2026-11-24", "2026-11-24"),
            ("5 January", "2027-01-05"),
            ("21 November", "2026-11-21"),
            ("the 24th", "2026-11-24"),
            ("the third", "2026-12-03"),
            ("the 31st", "2026-12-31"),
            ("24 tareekh", "2026-11-24"),
            ("chaubis november", "2026-11-24"),
            ("चौबीस नवंबर", "2026-11-24"),
            ("twenty four", "2026-11-24"),
            ("in three days", "2026-11-24"),
            ("teen din baad", "2026-11-24"),
            ("after two weeks", "2026-12-05"),
            ("Tuesday the 24th", "2026-11-24"),
            ("Tuesday the twenty-fourth of November", "2026-11-24"),
            ("24th November, Tuesday", "2026-11-24"),
            ("no, Wednesday", "2026-11-25"),
            ("Tuesday, no, Wednesday", "2026-11-25"),
            ("not Tuesday, Wednesday", "2026-11-25"),
            ("mangalvar nahi, budhvar", "2026-11-25"),
            ("29 February", "2028-02-29"),
        ] {
            let want = NaiveDate::parse_from_str(want, "%Y-%m-%d").expect("a date");
            assert_eq!(date(text, today()), Heard::One(want), "{text:?}");
        }
    }

    #[test]
    fn no_days() {
        for (text, want) in [
            ("", Heard::Nothing),
            ("hello", Heard::Nothing),
            ("at ten", Heard::Nothing),
            ("ten a m", Heard::Nothing),
            ("may I", Heard::Nothing),
            ("Monday or Tuesday", Heard::Several),
            ("somvar ya mangalvar", Heard::Several),
            ("31 June", Heard::Impossible),
            ("31 February 2027", Heard::Impossible),
            ("45/13", Heard::Impossible),
            ("the 45th", Heard::Impossible),
            ("Tuesday the 25th", Heard::Several),
            ("not Tuesday", Heard::Nothing),
            ("nine eight seven six five", Heard::Nothing),
            ("the second one", Heard::Nothing),
            ("one second", Heard::Nothing),
        ] {
            assert_eq!(date(text, today()), want, "{text:?}");
        }
        assert_eq!(date_in_passing("twenty four", today()), Heard::Nothing);
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = date(&text, today());
        }

        #[test]
        fn what_is_said_is_understood(ahead in 1_u64..300) {
            let day = today().checked_add_days(Days::new(ahead)).expect("near");
            for tongue in [crate::Tongue::English, crate::Tongue::Hindi] {
                let said = crate::dates::date(day, tongue);
                prop_assert_eq!(date(&said, today()), Heard::One(day), "{}", said);
            }
        }
    }
}
