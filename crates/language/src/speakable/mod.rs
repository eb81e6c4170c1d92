//! Text as a voice should say it: no markup, every digit a word.
//!
//! Plain prose passes through unchanged (white space apart), so saying a text twice changes nothing.

mod abbreviations;
mod amounts;
mod codes;
mod markup;
mod pieces;

use crate::Tongue;
use crate::numbers;
use crate::tokens::{is_grouped, is_numeric};
use pieces::{Piece, pieces};

/// Words behind which a number is a code and is said digit by digit: "PIN 560001", "order number 4521".
const CODE_WORDS: &[&str] = &[
    "pin",
    "pincode",
    "code",
    "otp",
    "id",
    "number",
    "no",
    "order",
    "token",
    "ticket",
    "account",
    "reference",
    "ref",
    "booking",
    "card",
    "ending",
    "नंबर",
    "कोड",
    "पिन",
    "ओटीपी",
];
/// A shorter number behind a code word is said as a number: "room number five".
const CODE_DIGITS_MIN: usize = 3;
/// Longest number said as a number: 99 crore. Longer ones are said digit by digit.
const CARDINAL_DIGITS_MAX: usize = 9;

/// Rewrites `text` so that a voice reads it well: numbers with Indian grouping, decimals, ordinals, amounts of money,
/// percentages, phone numbers and codes digit by digit, dates and times as words; markdown, links and emoji go.
/// The result holds no digit.
#[must_use]
pub fn speakable(text: &str, tongue: Tongue) -> String {
    let ascii_digits: String = text
        .chars()
        .take(crate::TEXT_CHARS_MAX)
        .map(|c| if c.is_ascii() { c } else { c.to_digit(10).or_else(|| devanagari_digit(c)).map_or(c, digit_char) })
        .collect();
    let plain = markup::plain(&ascii_digits, tongue);
    let pieces = pieces(&plain);
    let day24 = pieces::by_24_hours(&pieces);
    let mut out: Vec<String> = Vec::with_capacity(pieces.len());
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        let rest = pieces.get(at..).unwrap_or_default();
        let (said, used) = if has_digit(piece) || pieces::is_sign(piece) {
            let before = pieces.get(..at).unwrap_or_default();
            said_number(before, rest, day24, tongue)
        } else if let Some(words) = abbreviations::written_out(rest, tongue) {
            (words, 1)
        } else if let Some(plate) = codes::plate(rest, tongue) {
            plate
        } else {
            let between = at > 0 && pieces.get(at - 1).is_some_and(ends_a_value) && rest.get(1).is_some_and(has_digit);
            pieces::month_first(rest, tongue).unwrap_or_else(|| (plain_word(piece, between, tongue), 1))
        };
        let said = drop_second_article(&out, said);
        if !said.is_empty() {
            out.push(without_digits(&said, tongue));
        }
        at += used.max(1);
    }
    out.join(" ")
}

fn devanagari_digit(c: char) -> Option<u32> {
    u32::from(c).checked_sub(u32::from('०')).filter(|d| *d < 10)
}

fn digit_char(digit: u32) -> char {
    char::from_digit(digit, 10).unwrap_or('0')
}

fn has_digit(piece: &Piece) -> bool {
    piece.core.bytes().any(|b| b.is_ascii_digit())
}

/// A number, or the "AM" behind one.
fn ends_a_value(piece: &Piece) -> bool {
    piece.trail.is_empty()
        && (has_digit(piece)
            || matches!(
                crate::tokens::fold(&piece.core).as_str(),
                "am" | "pm" | "lakh" | "crore" | "लाख" | "करोड" | "बजे"
            ))
}

/// "on the" + "the twenty-fourth" has one article too many.
fn drop_second_article(out: &[String], said: String) -> String {
    match said.strip_prefix("the ") {
        Some(short) if out.last().is_some_and(|w| w.eq_ignore_ascii_case("the")) => short.to_owned(),
        _ => said,
    }
}

/// A word without digits: signs that stand for words are written out.
/// `between`: it stands between two values, where a dash means "to".
fn plain_word(piece: &Piece, between: bool, tongue: Tongue) -> String {
    let whole = piece.whole();
    let core = match (piece.core.as_str(), tongue) {
        ("", Tongue::English) if whole == "@" => return "at".to_owned(),
        ("", Tongue::Hindi) if whole == "@" => return "ऐट".to_owned(),
        ("", Tongue::English) if between && matches!(whole.as_str(), "-" | "–" | "—") => return "to".to_owned(),
        ("", Tongue::Hindi) if between && matches!(whole.as_str(), "-" | "–" | "—") => return "से".to_owned(),
        ("", _) if whole == "&" => return and_word(tongue).to_owned(),
        ("", _) if whole.chars().all(|c| matches!(c, '-' | '–' | '—')) => return "-".to_owned(),
        (core, _) if core.contains('@') && core.contains('.') => email(core, tongue),
        (core, _) if core.contains('/') && !core.contains("//") => core.replace('/', " "),
        (core, _) if core.contains('&') => core.replace('&', " and "),
        (core, _) => core.to_owned(),
    };
    format!("{}{core}{}", piece.lead, piece.trail)
}

const fn and_word(tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::English => "and",
        Tongue::Hindi => "और",
    }
}

fn email(address: &str, tongue: Tongue) -> String {
    let (at, dot) = match tongue {
        Tongue::English => (" at ", " dot "),
        Tongue::Hindi => (" ऐट ", " डॉट "),
    };
    let spelled = address.replace('@', at).replace('.', dot).replace('_', " underscore ");
    without_digits(&spelled, tongue)
}

/// Says what begins at `rest[0]`; returns how many pieces it took.
fn said_number(before: &[Piece], rest: &[Piece], day24: bool, tongue: Tongue) -> (String, usize) {
    let found = codes::plate(rest, tongue)
        .or_else(|| codes::short(before, rest, tongue))
        .or_else(|| feet(rest, tongue))
        .or_else(|| codes::code(before, rest, tongue))
        .or_else(|| amounts::money(rest, tongue))
        .or_else(|| pieces::phone(rest, tongue))
        .or_else(|| pieces::day_first(rest, tongue))
        .or_else(|| pieces::clock(rest, day24, tongue))
        .or_else(|| pieces::written_date(rest, tongue))
        .or_else(|| amounts::scaled(rest, tongue));
    if let Some(found) = found {
        return found;
    }
    let Some(piece) = rest.first() else { return (String::new(), 1) };
    let lead = pieces::spoken_lead(piece, tongue);
    if let Some(year) = pieces::lone_year(before, piece, tongue) {
        return (format!("{lead}{year}{}", piece.trail), 1);
    }
    if let Some(score) = score(before, rest, tongue) {
        return (format!("{lead}{score}{}", piece.trail), 1);
    }
    let said = single(piece, follows_code_word(before), day24, tongue);
    // "3.5 km": the unit by itself is no word.
    if let Some(unit) = rest.get(1).filter(|u| piece.trail.is_empty() && is_numeric(&piece.core) && !u.core.is_empty())
        && let Some(word) = pieces::unit_word(&format!("{}{}", unit.lead, unit.core), piece.core == "1", tongue)
            .filter(|_| unit.core.len() > 1 || !unit.lead.is_empty() || matches!(unit.core.as_str(), "l" | "g"))
    {
        return (format!("{lead}{said} {word}{}", unit.trail), 2);
    }
    let degrees = ["°C", "°F"].iter().find(|d| piece.trail.is_empty() && piece.core.ends_with(*d));
    if let Some(degrees) = degrees
        && let Some(number) = piece.core.strip_suffix(degrees).and_then(|n| plain_number(n, false, tongue))
        && let Some(word) = pieces::unit_word(degrees, false, tongue)
    {
        return (format!("{lead}{number} {word}{}", piece.trail), 1);
    }
    (format!("{lead}{said}{}", piece.trail_without_percent()), 1)
}

/// `5'8"`: a height.
fn feet(rest: &[Piece], tongue: Tongue) -> Option<(String, usize)> {
    let piece = rest.first()?;
    let (feet, inches) = piece.core.split_once(['\'', '’'])?;
    let trail = piece.trail.strip_prefix(['"', '”']).filter(|_| feet.len() == 1)?;
    let (feet, inches) = (short_integer(feet)?, short_integer(inches).filter(|i| *i < 12)?);
    let (foot, inch) = match tongue {
        Tongue::English => ("feet", "inches"),
        Tongue::Hindi => ("फ़ुट", "इंच"),
    };
    let said = format!("{} {foot} {} {inch}", numbers::cardinal(feet, tongue), numbers::cardinal(inches, tongue));
    Some((format!("{}{said}{trail}", piece.lead), 1))
}

/// Words of cricket, near a score.
const CRICKET: &[&str] = &[
    "score",
    "scored",
    "overs",
    "over",
    "wickets",
    "wicket",
    "runs",
    "innings",
    "target",
    "chase",
    "chasing",
    "cricket",
    "odi",
    "t20",
    "ओवर",
    "विकेट",
    "रन",
    "स्कोर",
];

/// `287/6` near a word of cricket: "two hundred eighty-seven for six".
fn score(before: &[Piece], rest: &[Piece], tongue: Tongue) -> Option<String> {
    let piece = rest.first()?;
    let (runs, wickets) = piece.core.split_once('/')?;
    let near = before.iter().rev().take(4).chain(rest.iter().skip(1).take(4));
    let cricket = near.map(|p| p.core.to_lowercase()).any(|w| CRICKET.contains(&w.as_str()));
    let (runs, wickets) = (short_integer(runs)?, short_integer(wickets).filter(|w| *w <= 10)?);
    let word = match tongue {
        Tongue::English => "for",
        Tongue::Hindi => "पर",
    };
    cricket.then(|| format!("{} {word} {}", numbers::cardinal(runs, tongue), numbers::cardinal(wickets, tongue)))
}

/// Whether one of the last three words calls for a code: "order number 12345", "PIN is 560001".
fn follows_code_word(before: &[Piece]) -> bool {
    for piece in before.iter().rev().take(3) {
        let word = piece.core.to_lowercase();
        if CODE_WORDS.contains(&word.as_str()) {
            return true;
        }
        if !matches!(word.as_str(), "is" | "" | "है" | "a" | "your" | "in" | "number" | "with" | "hai") {
            return false;
        }
    }
    false
}

/// One piece with a digit in it.
fn single(piece: &Piece, code: bool, day24: bool, tongue: Tongue) -> String {
    let core = piece.core.as_str();
    if piece.trail.starts_with('%') {
        let word = match tongue {
            Tongue::English => "percent",
            Tongue::Hindi => "प्रतिशत",
        };
        if let Some(number) = plain_number(core, false, tongue).or_else(|| range(core, day24, tongue)) {
            return format!("{number} {word}");
        }
    }
    if let Some(years) = pieces::years(core, tongue) {
        return years;
    }
    if let Some(number) = plain_number(core, code, tongue) {
        return number;
    }
    if let Some(body) = ["st", "nd", "rd", "th", "ST", "ND", "RD", "TH"].iter().find_map(|s| core.strip_suffix(s))
        && let Some(n) = short_integer(body)
    {
        return numbers::ordinal(n, tongue);
    }
    if let Some(range) = range(core, day24, tongue) {
        return range;
    }
    if let Some(said) = glued(core, tongue) {
        return said;
    }
    if let Some(with_unit) = pieces::with_unit(core, tongue) {
        return with_unit;
    }
    if core.contains('@') {
        return email(core, tongue);
    }
    if let Some((one, two)) = core.split_once('+')
        && let Some((one, two)) = plain_number(one, false, tongue).zip(plain_number(two, false, tongue))
    {
        let plus = match tongue {
            Tongue::English => "plus",
            Tongue::Hindi => "प्लस",
        };
        return format!("{one} {plus} {two}");
    }
    if is_numeric(core) && core.contains('/') {
        let parts: Vec<String> =
            core.split('/').map(|p| plain_number(p, false, tongue).unwrap_or_else(|| p.to_owned())).collect();
        return parts.join(if core == "24/7" { " " } else { " by " });
    }
    spelled(core, tongue)
}

/// Digits that belong to a word or to each other: `5वीं`, `COVID-19`, `2.0.1`.
fn glued(core: &str, tongue: Tongue) -> Option<String> {
    let suffix = core.trim_start_matches(|c: char| c.is_ascii_digit());
    let folded = crate::tokens::fold(suffix);
    if matches!(folded.as_str(), "वां" | "वीं" | "वें" | "वी" | "वा") {
        let number = short_integer(core.strip_suffix(suffix)?)?;
        return Some(format!("{}{suffix}", numbers::cardinal(number, Tongue::Hindi)));
    }
    if let Some((word, number)) = core.split_once('-') {
        let name = word.len() >= 4
            && word.bytes().all(|b| b.is_ascii_alphabetic())
            && word.contains(['A', 'E', 'I', 'O', 'U', 'a', 'e', 'i', 'o', 'u']);
        let number = short_integer(number).filter(|n| name && *n < 1_000)?;
        return Some(format!("{word} {}", numbers::cardinal(number, tongue)));
    }
    // "T20", "seat B12".
    if let (Some(letter), Some(number)) = (core.chars().next(), core.get(1..))
        && letter.is_ascii_uppercase()
        && number.len() == 2
        && !number.starts_with('0')
        && let Some(number) = short_integer(number)
    {
        return Some(format!("{} {}", codes::letter(letter, tongue), numbers::cardinal(number, tongue)));
    }
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() < 3 {
        return None;
    }
    let point = match tongue {
        Tongue::English => " point ",
        Tongue::Hindi => " दशमलव ",
    };
    let said: Option<Vec<String>> =
        parts.iter().map(|p| short_integer(p).map(|n| numbers::cardinal(n, tongue))).collect();
    said.map(|s| s.join(point))
}

/// `10-12`, `10:00-18:00`, `9am-6pm`.
fn range(core: &str, day24: bool, tongue: Tongue) -> Option<String> {
    let (from, to) = core.split_once(['-', '–'])?;
    let word = match tongue {
        Tongue::English => "to",
        Tongue::Hindi => "से",
    };
    let time = |text: &str| {
        let piece = Piece { lead: String::new(), core: text.to_owned(), trail: String::new() };
        pieces::clock(&[piece], day24, tongue).map(|(said, _)| said)
    };
    let pair = time(from)
        .zip(time(to))
        .or_else(|| Some((plain_number(from, false, tongue)?, plain_number(to, false, tongue)?)));
    let (from, to) = pair?;
    if from == to {
        // "20-20", the game.
        return Some(format!("{from} {to}"));
    }
    Some(format!("{from} {word} {to}"))
}

/// A code: letters one by one, digits one by one.
fn spelled(code: &str, tongue: Tongue) -> String {
    let latin = code.chars().all(|c| c.is_ascii() || !crate::tokens::is_word_char(c));
    let letters_are_a_code = latin
        && (code.chars().filter(|c| c.is_alphabetic()).all(|c| c.is_ascii_uppercase())
            || code.chars().filter(|c| c.is_alphabetic()).count() <= 3);
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in code.chars() {
        if crate::tokens::is_word_char(c) && !c.is_ascii_digit() && !letters_are_a_code {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            out.push(std::mem::take(&mut word));
        }
        if let Some(d) = c.to_digit(10) {
            out.push(numbers::below_hundred(u64::from(d), tongue));
        } else if crate::tokens::is_word_char(c) {
            out.push(codes::letter(c, tongue));
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out.join(" ")
}

fn short_integer(text: &str) -> Option<u64> {
    (text.len() <= CARDINAL_DIGITS_MAX).then(|| text.parse().ok()).flatten()
}

/// `1200`, `1,200`, `3.5`, `007`.
fn plain_number(text: &str, code: bool, tongue: Tongue) -> Option<String> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if all_digits {
        let as_code = (code && text.len() >= CODE_DIGITS_MIN)
            || text.len() > CARDINAL_DIGITS_MAX
            || (text.len() > 1 && text.starts_with('0'));
        return Some(if as_code {
            numbers::digits(text, tongue)
        } else {
            numbers::cardinal(text.parse().ok()?, tongue)
        });
    }
    let one_point =
        text.matches('.').count() == 1 && text.starts_with(|c: char| c.is_ascii_digit()) && !text.ends_with('.');
    let digits_around = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if is_grouped(text) || (one_point && digits_around) { numbers::decimal(text, tongue) } else { None }
}

/// The last net: no digit is left for the voice to guess at.
fn without_digits(said: &str, tongue: Tongue) -> String {
    if !said.chars().any(char::is_numeric) {
        return said.to_owned();
    }
    let mut out = String::new();
    for c in said.chars() {
        if let Some(d) = c.to_digit(10) {
            if out.ends_with(|l: char| l.is_alphanumeric()) {
                out.push(' ');
            }
            out.push_str(&numbers::below_hundred(u64::from(d), tongue));
            out.push(' ');
        } else if !c.is_numeric() {
            out.push(c);
        }
    }
    out.trim_end().replace("  ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Tongue::{English, Hindi};
    use proptest::prelude::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn english() {
        for (text, want) in [
            ("Hello, how are you?", "Hello, how are you?"),
            ("We have 3 rooms.", "We have three rooms."),
            ("1200 people", "one thousand two hundred people"),
            ("1,20,000 people", "one lakh twenty thousand people"),
            ("12345678", "one crore twenty-three lakh forty-five thousand six hundred seventy-eight"),
            ("It is 3.5 km away.", "It is three point five kilometres away."),
            ("the 2nd time", "the second time"),
            ("₹500", "five hundred rupees"),
            ("₹ 500 only", "five hundred rupees only"),
            ("Pay Rs. 1,200.50 now.", "Pay one thousand two hundred rupees and fifty paise now."),
            ("Rs 500/- only", "five hundred rupees only"),
            ("Rs.500", "five hundred rupees"),
            ("INR 25,000", "twenty-five thousand rupees"),
            ("₹1.5 lakh", "one point five lakh rupees"),
            ("₹2 crore.", "two crore rupees."),
            ("$5", "five dollars"),
            ("500 rupees", "five hundred rupees"),
            ("a 5% discount", "a five percent discount"),
            ("8.5% p.a.", "eight point five percent per annum."),
            ("Call 9876501234.", "Call nine eight seven six five, zero one two three four."),
            ("Call +91 98765 01234 now", "Call plus nine one, nine eight seven six five, zero one two three four now"),
            ("98765-01234", "nine eight seven six five, zero one two three four"),
            ("Code AB12", "Code A B one two"),
            ("booking SC-4521", "booking S C four five two one"),
            ("PIN 560001", "PIN five six zero zero zero one"),
            ("order number 4521", "order number four five two one"),
            ("Your OTP is 1234.", "Your OTP is one two three four."),
            ("room number 5", "room number five"),
            ("007", "zero zero seven"),
            ("on 2026-11-24", "on the twenty-fourth of November twenty twenty-six"),
            ("on 24/11/2026.", "on the twenty-fourth of November twenty twenty-six."),
            ("on 24 Nov", "on the twenty-fourth of November"),
            ("on the 24 November 2026", "on the twenty-fourth of November twenty twenty-six"),
            ("on 24th November,", "on the twenty-fourth of November,"),
            ("the 24th of November", "the twenty-fourth of November"),
            ("Nov 24, 2026 is fine", "the twenty-fourth of November twenty twenty-six is fine"),
            ("November 24", "the twenty-fourth of November"),
            ("Tuesday, 24 Nov", "Tuesday, the twenty-fourth of November"),
            ("at 10:30 AM", "at ten thirty A M"),
            ("at 5:30 in the evening", "at five thirty in the evening"),
            ("at 10 AM.", "at ten A M."),
            ("at 10am", "at ten A M"),
            ("at 10 a.m. tomorrow", "at ten A M tomorrow"),
            ("at 10 a.m.", "at ten A M."),
            ("at 14:05", "at two oh five P M"),
            ("at 12:00", "at twelve noon"),
            ("from 9:00 to 18:00", "from nine A M to six P M"),
            ("9 AM - 5 PM", "nine A M to five P M"),
            ("10-12 days", "ten to twelve days"),
            ("open 24/7", "open twenty-four seven"),
            ("45/13/2026", "forty-five by thirteen by two thousand twenty-six"),
            ("**Bold** and _soft_ `code`", "Bold and soft code"),
            ("# Title\nText", "Title. Text"),
            ("- one\n- two", "one. two."),
            ("See [our page](https://example.com/x?y=1).", "See our page."),
            ("See https://example.com/x1.", "See a link."),
            ("Write to help@example.com", "Write to help at example dot com"),
            ("Great 🎉👍 job", "Great job"),
            ("Salt & pepper", "Salt and pepper"),
            ("yes/no", "yes no"),
            ("5kg", "five kilograms"),
            ("30 °C", "thirty degrees Celsius"),
            ("Take 1 tablet", "Take one tablet"),
            ("99999999999", "nine nine nine nine nine nine nine nine nine nine nine"),
            ("#5", "number five"),
            ("-5 degrees", "minus five degrees"),
            ("(3)", "(three)"),
            ("\"10\"", "\"ten\""),
            ("May I help?", "May I help?"),
            ("", ""),
        ] {
            assert_eq!(speakable(text, English), want, "{text:?}");
        }
    }

    #[test]
    fn hindi() {
        for (text, want) in [
            ("आपके 3 ऑर्डर हैं।", "आपके तीन ऑर्डर हैं।"),
            ("₹500 दीजिए", "पाँच सौ रुपये दीजिए"),
            ("₹1.5 लाख", "डेढ़ लाख रुपये"),
            ("24 नवंबर को", "चौबीस नवंबर को"),
            ("24/11/2026 को", "चौबीस नवंबर दो हज़ार छब्बीस को"),
            ("10:30 AM", "सुबह साढ़े दस बजे"),
            ("5% छूट", "पाँच प्रतिशत छूट"),
            ("नंबर 9876501234", "नंबर नौ आठ सात छह पाँच, शून्य एक दो तीन चार"),
            ("१२ लोग", "बारह लोग"),
        ] {
            assert_eq!(speakable(text, Hindi), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_digit_is_left(text in ".{0,80}", hindi: bool) {
            let tongue = if hindi { Hindi } else { English };
            let said = speakable(&text, tongue);
            prop_assert!(!said.chars().any(|c| c.is_ascii_digit()), "{}", said);
        }

        #[test]
        fn numbers_in_any_shape(text in "[0-9:/.,₹%+ -]{0,24}( ?(AM|pm|lakh|Nov|th|km))?") {
            let said = speakable(&text, English);
            prop_assert!(!said.chars().any(|c| c.is_ascii_digit()), "{}", said);
        }

        #[test]
        fn twice_is_once(text in "[a-zA-Z ,.?]{0,60}") {
            let once = speakable(&text, English);
            prop_assert_eq!(speakable(&once, English), once);
        }
    }
}
