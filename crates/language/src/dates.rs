//! Dates and times as a voice says them.

use crate::Tongue;
use crate::numbers::{below_hundred, cardinal, ordinal};
use chrono::{Datelike, NaiveDate, NaiveTime, Timelike, Weekday};

const MONTHS_ENGLISH: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const MONTHS_HINDI: [&str; 12] =
    ["जनवरी", "फ़रवरी", "मार्च", "अप्रैल", "मई", "जून", "जुलाई", "अगस्त", "सितंबर", "अक्टूबर", "नवंबर", "दिसंबर"];

/// Name of a month, 1 to 12; empty for another number.
#[must_use]
pub fn month(number: u32, tongue: Tongue) -> &'static str {
    let names = match tongue {
        Tongue::English => &MONTHS_ENGLISH,
        Tongue::Hindi => &MONTHS_HINDI,
    };
    usize::try_from(number).ok().and_then(|n| n.checked_sub(1)).and_then(|i| names.get(i)).copied().unwrap_or_default()
}

/// Name of a weekday.
#[must_use]
pub const fn weekday(day: Weekday, tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::English => match day {
            Weekday::Mon => "Monday",
            Weekday::Tue => "Tuesday",
            Weekday::Wed => "Wednesday",
            Weekday::Thu => "Thursday",
            Weekday::Fri => "Friday",
            Weekday::Sat => "Saturday",
            Weekday::Sun => "Sunday",
        },
        Tongue::Hindi => match day {
            Weekday::Mon => "सोमवार",
            Weekday::Tue => "मंगलवार",
            Weekday::Wed => "बुधवार",
            Weekday::Thu => "गुरुवार",
            Weekday::Fri => "शुक्रवार",
            Weekday::Sat => "शनिवार",
            Weekday::Sun => "रविवार",
        },
    }
}

/// A year: 2026 → "twenty twenty-six", 2005 → "two thousand five", 1999 → "nineteen ninety-nine".
#[must_use]
pub fn year(year: i32, tongue: Tongue) -> String {
    let n = u64::from(year.unsigned_abs());
    let (century, rest) = (n / 100, n % 100);
    // "उन्नीस सौ सैंतालीस", never "एक हज़ार नौ सौ".
    if tongue == Tongue::Hindi && (1100..2000).contains(&n) {
        let head = format!("{} सौ", below_hundred(century, tongue));
        return if rest == 0 { head } else { format!("{head} {}", below_hundred(rest, tongue)) };
    }
    if tongue == Tongue::Hindi || !(1100..=2099).contains(&n) || (2000..=2009).contains(&n) {
        return cardinal(n, tongue);
    }
    match rest {
        0 => format!("{} hundred", below_hundred(century, tongue)),
        1..=9 => format!("{} oh {}", below_hundred(century, tongue), below_hundred(rest, tongue)),
        _ => format!("{} {}", below_hundred(century, tongue), below_hundred(rest, tongue)),
    }
}

/// Day and month: "the twenty-fourth of November", "चौबीस नवंबर". Days beyond 99 are not dates.
#[must_use]
pub fn day_and_month(day: u32, month_number: u32, tongue: Tongue) -> String {
    let name = month(month_number, tongue);
    match tongue {
        Tongue::English => format!("the {} of {name}", ordinal(u64::from(day), tongue)),
        Tongue::Hindi => format!("{} {name}", below_hundred(u64::from(day), tongue)),
    }
}

/// A date with its weekday, as one says it in an appointment: "Tuesday the twenty-fourth of November".
#[must_use]
pub fn date(date: NaiveDate, tongue: Tongue) -> String {
    format!("{} {}", weekday(date.weekday(), tongue), day_and_month(date.day(), date.month(), tongue))
}

/// A time of day: "ten thirty A M", "twelve noon", "सुबह साढ़े दस बजे". Seconds are not said.
#[must_use]
pub fn time(time: NaiveTime, tongue: Tongue) -> String {
    let (pm, hour) = time.hour12();
    let minute = u64::from(time.minute());
    let hour_said = below_hundred(u64::from(hour), tongue);
    match tongue {
        Tongue::English => {
            if minute == 0 && hour == 12 {
                return if pm { "twelve noon".to_owned() } else { "twelve midnight".to_owned() };
            }
            let half = if pm { "P M" } else { "A M" };
            match minute {
                0 => format!("{hour_said} {half}"),
                1..=9 => format!("{hour_said} oh {} {half}", below_hundred(minute, tongue)),
                _ => format!("{hour_said} {} {half}", below_hundred(minute, tongue)),
            }
        }
        Tongue::Hindi => {
            let part = match time.hour() {
                4..=11 => "सुबह",
                12..=15 => "दोपहर",
                16..=19 => "शाम",
                _ => "रात",
            };
            let next = below_hundred(u64::from(hour % 12 + 1), tongue);
            match minute {
                0 => format!("{part} {hour_said} बजे"),
                15 => format!("{part} सवा {hour_said} बजे"),
                30 if hour == 1 => format!("{part} डेढ़ बजे"),
                30 if hour == 2 => format!("{part} ढाई बजे"),
                30 => format!("{part} साढ़े {hour_said} बजे"),
                45 => format!("{part} पौने {next} बजे"),
                _ => format!("{part} {hour_said} बजकर {} मिनट", below_hundred(minute, tongue)),
            }
        }
    }
}

/// A time on the clock's face, without its part of the day: "five thirty", "ten o'clock", "साढ़े पाँच बजे". For a text that
/// does not say which half of the day it means.
#[must_use]
pub fn time_of_clock(at: NaiveTime, tongue: Tongue) -> String {
    let said = time(at, tongue);
    match tongue {
        Tongue::Hindi => said.split_once(' ').map_or_else(|| said.clone(), |(_, clock)| clock.to_owned()),
        Tongue::English if at.minute() == 0 => {
            format!("{} o'clock", below_hundred(u64::from(at.hour12().1), tongue))
        }
        Tongue::English => said.strip_suffix(" A M").or_else(|| said.strip_suffix(" P M")).unwrap_or(&said).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Tongue::{English, Hindi};

    #[test]
    fn appointment_dates() {
        for (y, m, d, english, hindi) in [
            (2026, 11, 24, "Tuesday the twenty-fourth of November", "मंगलवार चौबीस नवंबर"),
            (2026, 1, 1, "Thursday the first of January", "गुरुवार एक जनवरी"),
            (2027, 2, 28, "Sunday the twenty-eighth of February", "रविवार अट्ठाईस फ़रवरी"),
        ] {
            let day = NaiveDate::from_ymd_opt(y, m, d).expect("a date");
            assert_eq!(date(day, English), english);
            assert_eq!(date(day, Hindi), hindi);
        }
    }

    #[test]
    fn times_of_day() {
        for (h, m, english, hindi) in [
            (10, 0, "ten A M", "सुबह दस बजे"),
            (10, 30, "ten thirty A M", "सुबह साढ़े दस बजे"),
            (14, 5, "two oh five P M", "दोपहर दो बजकर पाँच मिनट"),
            (12, 0, "twelve noon", "दोपहर बारह बजे"),
            (0, 0, "twelve midnight", "रात बारह बजे"),
            (0, 15, "twelve fifteen A M", "रात सवा बारह बजे"),
            (13, 30, "one thirty P M", "दोपहर डेढ़ बजे"),
            (14, 30, "two thirty P M", "दोपहर ढाई बजे"),
            (16, 45, "four forty-five P M", "शाम पौने पाँच बजे"),
            (12, 45, "twelve forty-five P M", "दोपहर पौने एक बजे"),
            (21, 0, "nine P M", "रात नौ बजे"),
        ] {
            let at = NaiveTime::from_hms_opt(h, m, 0).expect("a time");
            assert_eq!(time(at, English), english);
            assert_eq!(time(at, Hindi), hindi);
        }
    }

    #[test]
    fn years() {
        for (y, want) in [
            (2026, "twenty twenty-six"),
            (2000, "two thousand"),
            (2005, "two thousand five"),
            (1999, "nineteen ninety-nine"),
            (1900, "nineteen hundred"),
            (1905, "nineteen oh five"),
            (2100, "two thousand one hundred"),
        ] {
            assert_eq!(year(y, English), want, "{y}");
        }
        assert_eq!(year(2026, Hindi), "दो हज़ार छब्बीस");
        assert_eq!(year(1947, Hindi), "उन्नीस सौ सैंतालीस");
        assert_eq!(month(13, English), "");
        assert_eq!(month(0, English), "");
    }
}
