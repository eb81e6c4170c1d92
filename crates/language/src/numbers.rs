//! Numbers as a voice says them, with Indian grouping: thousand, lakh, crore.

use crate::Tongue;

pub(crate) const ENGLISH_SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const ENGLISH_TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Hindi has its own word for every number below a hundred.
pub(crate) const HINDI: [&str; 100] = [
    "शून्य",
    "एक",
    "दो",
    "तीन",
    "चार",
    "पाँच",
    "छह",
    "सात",
    "आठ",
    "नौ",
    "दस",
    "ग्यारह",
    "बारह",
    "तेरह",
    "चौदह",
    "पंद्रह",
    "सोलह",
    "सत्रह",
    "अठारह",
    "उन्नीस",
    "बीस",
    "इक्कीस",
    "बाईस",
    "तेईस",
    "चौबीस",
    "पच्चीस",
    "छब्बीस",
    "सत्ताईस",
    "अट्ठाईस",
    "उनतीस",
    "तीस",
    "इकतीस",
    "बत्तीस",
    "तैंतीस",
    "चौंतीस",
    "पैंतीस",
    "छत्तीस",
    "सैंतीस",
    "अड़तीस",
    "उनतालीस",
    "चालीस",
    "इकतालीस",
    "बयालीस",
    "तैंतालीस",
    "चवालीस",
    "पैंतालीस",
    "छियालीस",
    "सैंतालीस",
    "अड़तालीस",
    "उनचास",
    "पचास",
    "इक्यावन",
    "बावन",
    "तिरपन",
    "चौवन",
    "पचपन",
    "छप्पन",
    "सत्तावन",
    "अट्ठावन",
    "उनसठ",
    "साठ",
    "इकसठ",
    "बासठ",
    "तिरसठ",
    "चौंसठ",
    "पैंसठ",
    "छियासठ",
    "सड़सठ",
    "अड़सठ",
    "उनहत्तर",
    "सत्तर",
    "इकहत्तर",
    "बहत्तर",
    "तिहत्तर",
    "चौहत्तर",
    "पचहत्तर",
    "छिहत्तर",
    "सतहत्तर",
    "अठहत्तर",
    "उनासी",
    "अस्सी",
    "इक्यासी",
    "बयासी",
    "तिरासी",
    "चौरासी",
    "पचासी",
    "छियासी",
    "सत्तासी",
    "अट्ठासी",
    "नवासी",
    "नब्बे",
    "इक्यानवे",
    "बानवे",
    "तिरानवे",
    "चौरानवे",
    "पंचानवे",
    "छियानवे",
    "सत्तानवे",
    "अट्ठानवे",
    "निन्यानवे",
];
const CRORE: u64 = 10_000_000;
const LAKH: u64 = 100_000;
const THOUSAND: u64 = 1_000;

/// Values of 0 to 99; larger ones are said digit by digit by the callers of this, never here.
pub(crate) fn below_hundred(n: u64, tongue: Tongue) -> String {
    let n = usize::try_from(n % 100).unwrap_or(0);
    match tongue {
        Tongue::Hindi => HINDI.get(n).copied().unwrap_or_default().to_owned(),
        Tongue::English => match ENGLISH_SMALL.get(n) {
            Some(word) => (*word).to_owned(),
            None => {
                let tens = ENGLISH_TENS.get(n / 10).copied().unwrap_or_default();
                match n % 10 {
                    0 => tens.to_owned(),
                    unit => format!("{tens}-{}", ENGLISH_SMALL.get(unit).copied().unwrap_or_default()),
                }
            }
        },
    }
}

/// A whole number in words: `123456` → "one lakh twenty-three thousand four hundred fifty-six".
#[must_use]
pub fn cardinal(n: u64, tongue: Tongue) -> String {
    if n < 100 {
        return below_hundred(n, tongue);
    }
    let [crore, lakh, thousand, hundred] = match tongue {
        Tongue::English => ["crore", "lakh", "thousand", "hundred"],
        Tongue::Hindi => ["करोड़", "लाख", "हज़ार", "सौ"],
    };
    let mut words: Vec<String> = Vec::new();
    let mut rest = n;
    if rest >= CRORE {
        // Above a crore of crores the word repeats: "one lakh crore" is how it is said.
        words.push(format!("{} {crore}", cardinal(rest / CRORE, tongue)));
        rest %= CRORE;
    }
    for (size, name) in [(LAKH, lakh), (THOUSAND, thousand), (100, hundred)] {
        if rest >= size {
            words.push(format!("{} {name}", below_hundred(rest / size, tongue)));
            rest %= size;
        }
    }
    if rest > 0 {
        words.push(below_hundred(rest, tongue));
    }
    words.join(" ")
}

/// A number in order: 24 → "twenty-fourth", "चौबीसवाँ".
#[must_use]
pub fn ordinal(n: u64, tongue: Tongue) -> String {
    let said = cardinal(n, tongue);
    match tongue {
        Tongue::English => {
            let cut = said.rfind(['-', ' ']).map_or(0, |i| i + 1);
            let (head, last) = said.split_at(cut);
            let last = match last {
                "one" => "first".to_owned(),
                "two" => "second".to_owned(),
                "three" => "third".to_owned(),
                "five" => "fifth".to_owned(),
                "eight" => "eighth".to_owned(),
                "nine" => "ninth".to_owned(),
                "twelve" => "twelfth".to_owned(),
                other => match other.strip_suffix('y') {
                    Some(stem) => format!("{stem}ieth"),
                    None => format!("{other}th"),
                },
            };
            format!("{head}{last}")
        }
        Tongue::Hindi => match n {
            1 => "पहला".to_owned(),
            2 => "दूसरा".to_owned(),
            3 => "तीसरा".to_owned(),
            4 => "चौथा".to_owned(),
            6 => "छठा".to_owned(),
            _ => format!("{said}वाँ"),
        },
    }
}

/// Digits one by one: `"042"` → "zero four two". Characters that are no digits are left out.
#[must_use]
pub fn digits(digits: &str, tongue: Tongue) -> String {
    let words: Vec<String> =
        digits.chars().filter_map(|c| c.to_digit(10)).map(|d| below_hundred(u64::from(d), tongue)).collect();
    words.join(" ")
}

/// A phone number digit by digit, in groups with a pause between: ten digits as five and five, others in threes and
/// fours; `+` and the country code first. Characters that are no digits are left out.
#[must_use]
pub fn phone(number: &str, tongue: Tongue) -> String {
    let all: String = number.chars().filter(char::is_ascii_digit).collect();
    let plus = number.trim_start().starts_with('+');
    let (country, national) = match all.len() {
        12 if all.starts_with("91") => all.split_at(2),
        11 if all.starts_with('0') => all.split_at(1),
        _ => ("", all.as_str()),
    };
    let mut groups: Vec<String> = Vec::new();
    let plus_word = match tongue {
        Tongue::English => "plus ",
        Tongue::Hindi => "प्लस ",
    };
    if !country.is_empty() {
        groups.push(format!("{}{}", if plus { plus_word } else { "" }, digits(country, tongue)));
    }
    let size = if national.len() == 10 { 5 } else { 4 };
    let mut rest = national;
    while !rest.is_empty() {
        // No last group of a single digit.
        let take = if rest.len() == size + 1 { rest.len() } else { size.min(rest.len()) };
        let (group, tail) = rest.split_at(take);
        let lead = if groups.is_empty() && plus { plus_word } else { "" };
        groups.push(format!("{lead}{}", digits(group, tongue)));
        rest = tail;
    }
    groups.join(", ")
}

/// A decimal as written, `"3.50"` → "three point five zero". The whole part may have commas. `None` when it is no
/// decimal number or its whole part does not fit 64 bits.
#[must_use]
pub fn decimal(written: &str, tongue: Tongue) -> Option<String> {
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    let whole: u64 = whole.replace(',', "").parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let said = cardinal(whole, tongue);
    if fraction.is_empty() {
        return Some(said);
    }
    let point = match tongue {
        Tongue::English => "point",
        Tongue::Hindi => "दशमलव",
    };
    Some(format!("{said} {point} {}", digits(fraction, tongue)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Tongue::{English, Hindi};

    #[test]
    fn cardinals() {
        for (n, english, hindi) in [
            (0, "zero", "शून्य"),
            (7, "seven", "सात"),
            (10, "ten", "दस"),
            (19, "nineteen", "उन्नीस"),
            (20, "twenty", "बीस"),
            (24, "twenty-four", "चौबीस"),
            (99, "ninety-nine", "निन्यानवे"),
            (100, "one hundred", "एक सौ"),
            (105, "one hundred five", "एक सौ पाँच"),
            (1_200, "one thousand two hundred", "एक हज़ार दो सौ"),
            (99_999, "ninety-nine thousand nine hundred ninety-nine", "निन्यानवे हज़ार नौ सौ निन्यानवे"),
            (100_000, "one lakh", "एक लाख"),
            (123_456, "one lakh twenty-three thousand four hundred fifty-six", "एक लाख तेईस हज़ार चार सौ छप्पन"),
            (10_000_000, "one crore", "एक करोड़"),
            (25_000_001, "two crore fifty lakh one", "दो करोड़ पचास लाख एक"),
            (1_000_000_000_000, "one lakh crore", "एक लाख करोड़"),
        ] {
            assert_eq!(cardinal(n, English), english, "{n}");
            assert_eq!(cardinal(n, Hindi), hindi, "{n}");
        }
        assert!(!cardinal(u64::MAX, English).is_empty());
    }

    #[test]
    fn ordinals() {
        for (n, want) in [
            (1, "first"),
            (2, "second"),
            (3, "third"),
            (4, "fourth"),
            (5, "fifth"),
            (8, "eighth"),
            (9, "ninth"),
            (11, "eleventh"),
            (12, "twelfth"),
            (20, "twentieth"),
            (21, "twenty-first"),
            (24, "twenty-fourth"),
            (30, "thirtieth"),
            (31, "thirty-first"),
            (100, "one hundredth"),
            (101, "one hundred first"),
        ] {
            assert_eq!(ordinal(n, English), want, "{n}");
        }
        for (n, want) in [(1, "पहला"), (4, "चौथा"), (6, "छठा"), (7, "सातवाँ"), (24, "चौबीसवाँ")]
        {
            assert_eq!(ordinal(n, Hindi), want, "{n}");
        }
    }

    #[test]
    fn phones() {
        for (number, want) in [
            ("9876501234", "nine eight seven six five, zero one two three four"),
            ("+919876501234", "plus nine one, nine eight seven six five, zero one two three four"),
            ("08037091588", "zero, eight zero three seven zero, nine one five eight eight"),
            ("1800 123", "one eight zero zero, one two three"),
            ("+12025550123", "plus one two zero two, five five five zero, one two three"),
            ("112", "one one two"),
            ("", ""),
        ] {
            assert_eq!(phone(number, English), want, "{number}");
        }
        assert_eq!(phone("9876501234", Hindi), "नौ आठ सात छह पाँच, शून्य एक दो तीन चार");
    }

    #[test]
    fn decimals() {
        for (written, want) in [
            ("3.5", Some("three point five")),
            ("1,200.50", Some("one thousand two hundred point five zero")),
            ("12", Some("twelve")),
            ("0.05", Some("zero point zero five")),
            ("3.x", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(decimal(written, English).as_deref(), want, "{written}");
        }
        assert_eq!(decimal("3.5", Hindi).as_deref(), Some("तीन दशमलव पाँच"));
    }

    #[test]
    fn hindi_words_are_all_different() {
        let all: std::collections::BTreeSet<_> = HINDI.iter().map(|w| crate::tokens::fold(w)).collect();
        assert_eq!(all.len(), 100);
    }
}
