//! A time of day out of an answer: "ten a m", "half past ten", "saadhe das", "shaam paanch baje", "10:30".

use super::{Heard, Mention, settle};
use crate::number_words::cardinal_at;
use crate::tokens::answer_tokens;
use chrono::NaiveTime;

/// When a business is open: decides between morning and evening where the caller does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// From.
    pub opens: NaiveTime,
    /// Until.
    pub closes: NaiveTime,
}

impl Hours {
    /// Whether a time lies within, the closing time not included.
    #[must_use]
    pub fn contains(self, time: NaiveTime) -> bool {
        self.opens <= time && time < self.closes
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Am,
    Pm,
    /// "raat": late evening or after midnight.
    Night,
    Unsaid,
}

/// Reads the time said. Where neither am, pm nor a part of the day is said, the reading that lies within `hours` counts;
/// with none or both, 7 to 11 are mornings, 12 and 1 to 6 are afternoons.
#[must_use]
pub fn time(text: &str, hours: Option<Hours>) -> Heard<NaiveTime> {
    let tokens = answer_tokens(text);
    let heard = read(&tokens, hours);
    if heard == Heard::Nothing { bare(&tokens, hours) } else { heard }
}

/// As [`time`], for a text that answers another question: a number by itself is no time.
#[must_use]
pub fn time_in_passing(text: &str, hours: Option<Hours>) -> Heard<NaiveTime> {
    read(&answer_tokens(text), hours)
}

fn read(tokens: &[String], hours: Option<Hours>) -> Heard<NaiveTime> {
    let part = part_of_day(tokens);
    let mut sure: Vec<Mention<NaiveTime>> = Vec::new();
    let mut weak: Vec<Mention<NaiveTime>> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match mention(tokens, at, part, hours) {
            Some((found, is_sure)) => {
                at = found.end.max(at + 1);
                if is_sure { sure.push(found) } else { weak.push(found) }
            }
            None => at += 1,
        }
    }
    // "at ten" beside "10 am" says the same less clearly; alone it counts.
    if sure.is_empty() || (sure.iter().all(|m| super::negated(tokens, m.at, m.end)) && !weak.is_empty()) {
        return settle(tokens, &weak);
    }
    settle(tokens, &sure)
}

fn word(tokens: &[String], at: usize) -> &str {
    tokens.get(at).map_or("", String::as_str)
}

/// morning, subah, shaam …, anywhere in the text.
fn part_of_day(tokens: &[String]) -> Half {
    tokens
        .iter()
        .find_map(|t| match t.as_str() {
            "morning" | "subah" | "subha" | "savere" | "सुबह" | "सवेरे" => Some(Half::Am),
            "afternoon" | "evening" | "dopahar" | "dopehar" | "shaam" | "sham" | "दोपहर" | "शाम" => {
                Some(Half::Pm)
            }
            "night" | "tonight" | "raat" | "रात" => Some(Half::Night),
            _ => None,
        })
        .unwrap_or(Half::Unsaid)
}

/// A time that begins at `at`; true when it cannot be another number.
fn mention(tokens: &[String], at: usize, part: Half, hours: Option<Hours>) -> Option<(Mention<NaiveTime>, bool)> {
    match word(tokens, at) {
        "noon" | "midday" => return Some((whole(at, 12, 0), true)),
        "midnight" => return Some((whole(at, 0, 0), true)),
        _ => {}
    }
    if let Some((hour, minute, end)) = relative_to_hour(tokens, at).or_else(|| hindi_quarter(tokens, at)) {
        let (half, end) = half_after(tokens, end, part);
        return Some((Mention { at, end, value: settle_half(hour, minute, half, hours) }, true));
    }
    let clock = clock_token(word(tokens, at)).or_else(|| military(tokens, at));
    let (hour, minute, end) = match clock {
        Some((hour, minute)) => (hour, minute, at + 1),
        None => hour_and_minute(tokens, at)?,
    };
    let (end, marked) = skip_marker(tokens, end);
    let (half, after) = half_after(tokens, end, part);
    let half_said = after > end;
    let end = after;
    let before = at.checked_sub(1).map_or("", |i| word(tokens, i));
    let before_two = at.checked_sub(2).map_or("", |i| word(tokens, i));
    let daytime_before = is_part_word(before) || (before == "at" && is_part_word(before_two));
    let with_minutes = end == at + 2 && minute > 0;
    let weak = matches!(before, "at" | "by" | "around" | "about" | "after" | "before" | "till" | "until");
    let colon = clock.is_some() && word(tokens, at).contains(':');
    let sure = half_said || marked || colon || daytime_before;
    let part_follows = is_part_word(word(tokens, end))
        || matches!(word(tokens, end), "in" | "at" if is_part_word(word(tokens, end + 1)) || is_part_word(word(tokens, end + 2)));
    if !(sure || weak || part_follows) || (with_minutes && !(sure || weak || part_follows)) {
        return None;
    }
    // "after two days", "at 24 november", "at number 5".
    if !sure
        && matches!(
            word(tokens, end),
            "day" | "days" | "week" | "weeks" | "people" | "rupees" | "percent" | "november" | "december" | "days'"
        )
    {
        return None;
    }
    Some((Mention { at, end, value: settle_half(hour, minute, half, hours) }, sure || part_follows))
}

fn is_part_word(token: &str) -> bool {
    part_of_day(&[token.to_owned()]) != Half::Unsaid
}

fn whole(at: usize, hour: u32, minute: u32) -> Mention<NaiveTime> {
    Mention { at, end: at + 1, value: NaiveTime::from_hms_opt(hour, minute, 0) }
}

/// `10:30`, `10.30`.
fn clock_token(token: &str) -> Option<(u32, u32)> {
    let (hour, minute) = token.split_once([':', '.'])?;
    let numeric = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    (numeric(hour) && numeric(minute) && hour.len() <= 2 && minute.len() == 2)
        .then(|| Some((hour.parse().ok()?, minute.parse().ok()?)))?
}

/// "1430 hrs".
fn military(tokens: &[String], at: usize) -> Option<(u32, u32)> {
    let token = word(tokens, at);
    let hours = matches!(word(tokens, at + 1), "hrs" | "hours") && token.len() == 4;
    let (hour, minute) = token.split_at_checked(2).filter(|_| hours && token.bytes().all(|b| b.is_ascii_digit()))?;
    Some((hour.parse().ok()?, minute.parse().ok()?))
}

/// A small whole number at `at`: its value and the token behind it.
fn small(tokens: &[String], at: usize) -> Option<(u32, usize)> {
    let number = cardinal_at(tokens, at).filter(|n| !n.ordinal && n.digits.len() <= 2)?;
    Some((u32::try_from(number.value()?).ok()?, at + number.used))
}

/// "ten", "ten thirty", "ten oh five", "das bajkar tees minute".
fn hour_and_minute(tokens: &[String], at: usize) -> Option<(u32, u32, usize)> {
    // A number in the middle of a row of digits is part of a phone number.
    let (hour, end) = small(tokens, at)?;
    if hour > 24 {
        return None;
    }
    let oh = usize::from(matches!(word(tokens, end), "oh" | "o"));
    let bajkar = match word(tokens, end) {
        "bajkar" | "बजकर" => 1,
        "baj" if word(tokens, end + 1) == "ke" || word(tokens, end + 1) == "kar" => 2,
        _ => 0,
    };
    if let Some((minute, after)) = small(tokens, end + oh + bajkar) {
        let plausible = minute < 60 && (minute >= 10 || oh == 1 || bajkar > 0 || word(tokens, end).starts_with('0'));
        let row_goes_on = small(tokens, after).is_some();
        if plausible && !row_goes_on {
            let minute_word = usize::from(matches!(word(tokens, after), "minute" | "minutes" | "minat" | "मिनट"));
            return Some((hour, minute, after + minute_word));
        }
        if row_goes_on || bajkar == 0 {
            return None;
        }
    }
    Some((hour, 0, end))
}

/// "half past ten", "quarter to five", "ten past five".
fn relative_to_hour(tokens: &[String], at: usize) -> Option<(u32, u32, usize)> {
    if let Some(found) = before_the_hour(tokens, at) {
        return Some(found);
    }
    let start = at + usize::from(word(tokens, at) == "a");
    let (minutes, end) = match word(tokens, start) {
        "half" => (30, start + 1),
        "quarter" => (15, start + 1),
        _ => {
            let (minutes, end) = small(tokens, start)?;
            (minutes, end + usize::from(matches!(word(tokens, end), "minutes" | "minute")))
        }
    };
    if !matches!(minutes, 1..=59) {
        return None;
    }
    let (hour, after) = small(tokens, end + 1).filter(|(h, _)| (1..=12).contains(h))?;
    let said_minutes = end > start + 1 || matches!(minutes, 5 | 10 | 15 | 20 | 25 | 30);
    match word(tokens, end) {
        "past" | "after" => Some((hour, minutes, after)),
        "to" | "till" | "before" if said_minutes && minutes != 30 => {
            Some((if hour == 1 { 12 } else { hour - 1 }, 60 - minutes, after))
        }
        _ => None,
    }
}

/// "chhe bajne mein das minute": ten to six.
fn before_the_hour(tokens: &[String], at: usize) -> Option<(u32, u32, usize)> {
    let (hour, end) = small(tokens, at).filter(|(h, _)| (1..=12).contains(h))?;
    if !matches!(word(tokens, end), "bajne" | "बजने") {
        return None;
    }
    let skip = usize::from(matches!(word(tokens, end + 1), "mein" | "me" | "में"));
    let (minutes, after) = small(tokens, end + 1 + skip).filter(|(m, _)| (1..60).contains(m))?;
    let minute_word = usize::from(matches!(word(tokens, after), "minute" | "minutes" | "minat" | "मिनट"));
    Some((if hour == 1 { 12 } else { hour - 1 }, 60 - minutes, after + minute_word))
}

/// "saadhe das" 10:30, "sava das" 10:15, "paune das" 9:45, "dedh baje" 1:30, "dhai baje" 2:30.
fn hindi_quarter(tokens: &[String], at: usize) -> Option<(u32, u32, usize)> {
    let baje = |end: usize| end + usize::from(matches!(word(tokens, end), "baje" | "bajay" | "बजे"));
    match word(tokens, at) {
        "dedh" | "डेढ" if baje(at + 1) > at + 1 => return Some((1, 30, at + 2)),
        "dhai" | "adhai" | "ढाई" if baje(at + 1) > at + 1 => return Some((2, 30, at + 2)),
        _ => {}
    }
    let quarter = word(tokens, at);
    let minute = match quarter {
        "saadhe" | "sadhe" | "sade" | "saade" | "sarhe" | "saarhe" | "साढे" => 30,
        "sava" | "savaa" | "sawa" | "सवा" => 15,
        "paune" | "pone" | "पौने" => 45,
        _ => return None,
    };
    let (hour, end) = small(tokens, at + 1).filter(|(h, _)| (1..=12).contains(h))?;
    if matches!(word(tokens, end), "sau" | "hazaar" | "lakh" | "सौ" | "हजार" | "लाख") {
        return None;
    }
    let hour = if minute == 45 { if hour == 1 { 12 } else { hour - 1 } } else { hour };
    Some((hour, minute, baje(end)))
}

/// "o'clock", "baje", "hours": behind them a number is a time.
fn skip_marker(tokens: &[String], end: usize) -> (usize, bool) {
    let marked = matches!(word(tokens, end), "oclock" | "baje" | "bajay" | "bje" | "hrs" | "बजे");
    (end + usize::from(marked), marked)
}

/// am or pm behind a time, else the part of the day said elsewhere.
fn half_after(tokens: &[String], end: usize, part: Half) -> (Half, usize) {
    match word(tokens, end) {
        "am" => (Half::Am, end + 1),
        "pm" => (Half::Pm, end + 1),
        _ => (part, end),
    }
}

fn settle_half(hour: u32, minute: u32, half: Half, hours: Option<Hours>) -> Option<NaiveTime> {
    let at = |h: u32| NaiveTime::from_hms_opt(h, minute, 0);
    if hour > 12 || hour == 0 {
        return at(hour);
    }
    let (morning, evening) = (hour % 12, hour % 12 + 12);
    match half {
        // "subah 12 baje" is said of noon, never of midnight.
        Half::Am => at(morning),
        Half::Pm => at(evening),
        Half::Night => at(if (1..=4).contains(&hour) || hour == 12 { morning } else { evening }),
        Half::Unsaid => {
            let usual = if (7..=11).contains(&hour) { morning } else { evening };
            let other = if usual == morning { evening } else { morning };
            let fits = |h: u32| at(h).is_some_and(|t| hours.is_some_and(|open| open.contains(t)));
            at(if !fits(usual) && fits(other) { other } else { usual })
        }
    }
}

/// "ten" or "ten thirty" and nothing else of weight.
fn bare(tokens: &[String], hours: Option<Hours>) -> Heard<NaiveTime> {
    let rest: Vec<String> = tokens
        .iter()
        .filter(|t| {
            !matches!(
                t.as_str(),
                "um" | "uh"
                    | "yes"
                    | "please"
                    | "for"
                    | "hello"
                    | "the"
                    | "say"
                    | "ok"
                    | "okay"
                    | "is"
                    | "fine"
                    | "maybe"
                    | "no"
                    | "its"
                    | "it"
                    | "then"
                    | "works"
                    | "good"
            )
        })
        .cloned()
        .collect();
    let read = clock_token(word(&rest, 0)).map(|(h, m)| (h, m, 1)).or_else(|| hour_and_minute(&rest, 0));
    match read {
        Some((hour, minute, end)) if end == rest.len() => {
            settle_half(hour, minute, Half::Unsaid, hours).map_or(Heard::Impossible, Heard::One)
        }
        Some(_) | None => Heard::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours() -> Option<Hours> {
        Some(Hours {
            opens: NaiveTime::from_hms_opt(9, 0, 0).expect("a time"),
            closes: NaiveTime::from_hms_opt(18, 0, 0).expect("a time"),
        })
    }

    #[test]
    fn times() {
        for (text, want) in [
            ("At ten A.M.", "10:00"),
            ("At 10 a.m.", "10:00"),
            ("at 10 am", "10:00"),
            ("10am", "10:00"),
            ("ten a m", "10:00"),
            ("ten", "10:00"),
            ("at ten", "10:00"),
            ("Tuesday at ten", "10:00"),
            ("10:30", "10:30"),
            ("10.30 please", "10:30"),
            ("ten thirty", "10:30"),
            ("ten thirty a m", "10:30"),
            ("at ten fifteen", "10:15"),
            ("ten oh five am", "10:05"),
            ("half past ten", "10:30"),
            ("quarter past ten", "10:15"),
            ("a quarter to five", "16:45"),
            ("ten past five", "17:10"),
            ("five to ten", "09:55"),
            ("twenty minutes past nine", "09:20"),
            ("saadhe das", "10:30"),
            ("saadhe das baje", "10:30"),
            ("sava das", "10:15"),
            ("paune das", "09:45"),
            ("dedh baje", "13:30"),
            ("dhai baje", "14:30"),
            ("subah das baje", "10:00"),
            ("das baje", "10:00"),
            ("shaam paanch baje", "17:00"),
            ("raat nau baje", "21:00"),
            ("dopahar do baje", "14:00"),
            ("सुबह दस बजे", "10:00"),
            ("साढ़े दस बजे", "10:30"),
            ("शाम पाँच बजे", "17:00"),
            ("das bajkar tees minute", "10:30"),
            ("5 o'clock", "17:00"),
            ("five o clock", "17:00"),
            ("noon", "12:00"),
            ("midnight", "00:00"),
            ("ten in the morning", "10:00"),
            ("eight in the evening", "20:00"),
            ("at three", "15:00"),
            ("14:05", "14:05"),
            ("2 pm", "14:00"),
            ("12 pm", "12:00"),
            ("12 am", "00:00"),
            ("not ten, at eleven", "11:00"),
            ("at ten, no, at eleven", "11:00"),
            ("at 24 November at ten", "10:00"),
            ("around four", "16:00"),
            ("the 24th at ten", "10:00"),
            ("I can do ten am", "10:00"),
            ("tomorrow morning at nine", "09:00"),
        ] {
            let want = NaiveTime::parse_from_str(want, "%H:%M").expect("a time");
            assert_eq!(time(text, hours()), Heard::One(want), "{text:?}");
        }
    }

    #[test]
    fn hours_decide() {
        for (text, opens, closes, want) in
            [("at seven", 17, 22, 19), ("at seven", 6, 12, 7), ("at five", 4, 10, 5), ("at five", 0, 24, 17)]
        {
            let at = |h: u32| NaiveTime::from_hms_opt(h % 24, 0, 0).expect("a time");
            let hours = (closes < 24).then(|| Hours { opens: at(opens), closes: at(closes) });
            assert_eq!(time(text, hours), Heard::One(at(want)), "{text:?} {opens}");
        }
    }

    #[test]
    fn no_times() {
        for (text, want) in [
            ("", Heard::Nothing),
            ("Tuesday", Heard::Nothing),
            ("24 November", Heard::Nothing),
            ("the 24th", Heard::Nothing),
            ("nine eight seven six five zero one two three four", Heard::Nothing),
            ("9876501234", Heard::Nothing),
            ("at ten or at eleven", Heard::Several),
            ("at 27:00", Heard::Impossible),
            ("10:75", Heard::Impossible),
            ("I am here", Heard::Nothing),
            ("in two days", Heard::Nothing),
            ("in the morning", Heard::Nothing),
        ] {
            assert_eq!(time(text, hours()), want, "{text:?}");
        }
        assert_eq!(time_in_passing("ten", hours()), Heard::Nothing);
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = time(&text, hours());
        }

        #[test]
        fn what_is_said_is_understood(hour in 0_u32..24, minute in 0_u32..60) {
            let at = NaiveTime::from_hms_opt(hour, minute, 0).expect("a time");
            let said = crate::dates::time(at, crate::Tongue::English);
            prop_assert_eq!(time(&said, None), Heard::One(at), "{}", said);
        }
    }
}
