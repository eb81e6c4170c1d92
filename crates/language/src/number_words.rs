//! Number words of English and Hindi (Latin and Devanagari) and the reading of one number from a row of tokens.
//!
//! Spellings: what transcribers write; Hindi numerals have no fixed romanisation, so each has several.

use crate::numbers::HINDI;
use crate::tokens::{fold, is_grouped, is_numeric};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Values and their spellings, spaces between.
type Table = &'static [(u64, &'static str)];
/// What the values of a table are.
type Kind = fn(u64) -> Word;

/// Spellings of values that are whole in one word, other than the Devanagari of [`HINDI`].
const SMALL: &[(u64, &str)] = &[
    (0, "zero shunya shoonya sunya sifar जीरो ज़ीरो सिफर शुन्य nought"),
    (1, "one ek वन"),
    (2, "two do टू"),
    (3, "three teen tin थ्री"),
    (4, "four char chaar फोर"),
    (5, "five paanch panch paach फाइव पांच"),
    (6, "six chhe che chhah cheh chah chhai chey छः छे छ सिक्स"),
    (7, "seven saat sat सेवन"),
    (8, "eight aath ath aat एट"),
    (9, "nine nau नाइन"),
    (10, "ten das dus टेन"),
    (11, "eleven gyarah gyaarah gyara gyaara इलेवन"),
    (12, "twelve barah baarah bara ट्वेल्व"),
    (13, "thirteen terah teraah tera थर्टीन"),
    (14, "fourteen chaudah chauda chowdah फोर्टीन"),
    (15, "fifteen pandrah pandra pandhra pandrha पन्द्रह पंद्रा फिफ्टीन"),
    (16, "sixteen solah sola सिक्सटीन"),
    (17, "seventeen satrah satra sattrah सेवनटीन सेवेंटीन"),
    (18, "eighteen atharah athara atthara attharah athaarah अट्ठारह एटीन"),
    (19, "nineteen unnis unnees नाइनटीन"),
    (20, "bees bis"),
    (21, "ikkis ikkees"),
    (22, "bais baees baais बाइस"),
    (23, "teis teyis teees तेइस"),
    (24, "chaubis chaubees chobis"),
    (25, "pachchis pachees pachis pacchis pacchees pachchees पचीस"),
    (26, "chhabbis chabbis chhabbees chabbees"),
    (27, "sattais satais sattaees सत्ताइस"),
    (28, "atthais athais atthaees अठ्ठाईस अट्ठाइस अठाईस"),
    (29, "untis unatis unnatis untees उन्तीस"),
    (30, "tees tis"),
    (31, "ikattis iktis ikatis ikattees इकत्तीस"),
    (32, "battis battees"),
    (33, "taintis tetis tentis taintees"),
    (34, "chauntis chautis chauntees"),
    (35, "paintis paintees pentis"),
    (36, "chhattis chattis chhattees"),
    (37, "saintis saintees"),
    (38, "adtis artis adtees"),
    (39, "untalis unchalis untaalis"),
    (40, "chalis chaalis chaalees chalees"),
    (41, "iktalis iktaalis"),
    (42, "bayalis bayaalis biyalis"),
    (43, "taintalis tentalis taintaalis"),
    (44, "chavalis chauvalis chawalis"),
    (45, "paintalis pentalis paintaalis"),
    (46, "chhiyalis chiyalis"),
    (47, "saintalis saintaalis"),
    (48, "adtalis artalis adtaalis"),
    (49, "unchas unanchas"),
    (50, "pachas pachaas"),
    (51, "ikyavan ikyawan ikkyavan"),
    (52, "bavan bawan"),
    (53, "tirpan trepan tirepan"),
    (54, "chauvan chauwan"),
    (55, "pachpan"),
    (56, "chhappan chappan"),
    (57, "sattavan sattawan"),
    (58, "atthavan atthawan athavan"),
    (59, "unsath"),
    (60, "saath"),
    (61, "iksath"),
    (62, "basath"),
    (63, "tirsath tresath"),
    (64, "chaunsath chausath"),
    (65, "painsath paisath"),
    (66, "chhiyasath chiyasath"),
    (67, "sadsath sarsath"),
    (68, "adsath arsath"),
    (69, "unhattar"),
    (70, "sattar"),
    (71, "ikhattar"),
    (72, "bahattar"),
    (73, "tihattar"),
    (74, "chauhattar"),
    (75, "pachhattar pachattar pichhattar"),
    (76, "chhihattar chihattar"),
    (77, "satahattar sathattar"),
    (78, "athahattar athhattar"),
    (79, "unasi unyasi"),
    (80, "assi"),
    (81, "ikyasi"),
    (82, "bayasi"),
    (83, "tirasi"),
    (84, "chaurasi"),
    (85, "pachasi"),
    (86, "chhiyasi chiyasi"),
    (87, "sattasi"),
    (88, "atthasi athasi"),
    (89, "navasi nawasi"),
    (90, "nabbe nabbey"),
    (91, "ikyanve ikyanave"),
    (92, "banve baanve bayanve"),
    (93, "tiranve"),
    (94, "chauranve"),
    (95, "pachanve panchanve"),
    (96, "chhiyanve chiyanve"),
    (97, "sattanve sattanave"),
    (98, "atthanve athanve atthanave"),
    (99, "ninyanve ninyanave"),
];
const TENS: &[(u64, &str)] = &[
    (20, "twenty ट्वेंटी"),
    (30, "thirty थर्टी"),
    (40, "forty fourty फोर्टी"),
    (50, "fifty फिफ्टी"),
    (60, "sixty सिक्सटी"),
    (70, "seventy सेवंटी सेवेंटी"),
    (80, "eighty एटी"),
    (90, "ninety नाइंटी"),
];
const SCALES: &[(u64, &str)] = &[
    (100, "hundred sau सौ हंड्रेड"),
    (1_000, "thousand hazaar hazar hajar hajaar हजार थाउजेंड थाउजैंड"),
    (100_000, "lakh lakhs lac lacs laakh लाख"),
    (1_000_000, "million"),
    (10_000_000, "crore crores karod karor karore करोड क्रोर"),
];
const ORDINALS: &[(u64, &str)] = &[
    (1, "first"),
    (2, "second"),
    (3, "third"),
    (4, "fourth"),
    (5, "fifth"),
    (6, "sixth"),
    (7, "seventh"),
    (8, "eighth"),
    (9, "ninth"),
    (10, "tenth"),
    (11, "eleventh"),
    (12, "twelfth"),
    (13, "thirteenth"),
    (14, "fourteenth"),
    (15, "fifteenth"),
    (16, "sixteenth"),
    (17, "seventeenth"),
    (18, "eighteenth"),
    (19, "nineteenth"),
    (20, "twentieth"),
    (30, "thirtieth"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Small(u64),
    Tens(u64),
    Scale(u64),
    Ordinal(u64),
}

static WORDS: LazyLock<BTreeMap<String, Word>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    for (value, word) in (0_u64..).zip(HINDI) {
        all.insert(fold(word), Word::Small(value));
    }
    let tables: [(Table, Kind); 4] =
        [(SMALL, Word::Small), (TENS, Word::Tens), (SCALES, Word::Scale), (ORDINALS, Word::Ordinal)];
    for (table, kind) in tables {
        for (value, spellings) in table {
            for spelling in spellings.split_whitespace() {
                all.insert(fold(spelling), kind(*value));
            }
        }
    }
    all
});

/// Words that are Hindi numbers only beside another number: "do" the verb, "sat", "bis".
fn is_ambiguous(token: &str) -> bool {
    matches!(
        token,
        "do" | "char"
            | "sat"
            | "bis"
            | "che"
            | "tin"
            | "tis"
            | "bara"
            | "sola"
            | "saath"
            | "cheh"
            | "chah"
            | "teen"
            | "bais"
            | "artis"
            | "aat"
            | "tera"
            | "bavan"
            | "bawan"
            | "chalis"
            | "छ"
    )
}

/// English words before "do" that make it the verb: "I can do ten".
const BEFORE_VERB_DO: &[&str] = &[
    "i", "you", "we", "they", "can", "could", "to", "will", "would", "should", "please", "lets", "how", "what", "ill",
    "not", "or", "and", "also", "just",
];
const BESIDE_NUMBER: &[&str] = &[
    "baje",
    "bajkar",
    "baj",
    "double",
    "triple",
    "rupaye",
    "rupees",
    "din",
    "tarikh",
    "tareekh",
    "log",
    "bje",
    "point",
    "saadhe",
    "sadhe",
    "sade",
    "saade",
    "sarhe",
    "saarhe",
    "paune",
    "sava",
    "savaa",
    "sawa",
    "ghante",
    "ghanta",
    "mahine",
    "saal",
    "hafte",
    "minat",
    "minute",
    "kilo",
    "dozen",
    "darjan",
    "pratishat",
    "percent",
    "bajay",
    "bajne",
    "rupay",
    "rupaya",
    "rupees",
    "paise",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "janvari",
    "farvari",
    "agast",
    "sitambar",
    "aktubar",
    "navambar",
    "disambar",
    "%",
];

fn looks_numeric(token: &str) -> bool {
    is_numeric(token) || WORDS.contains_key(token) || BESIDE_NUMBER.contains(&token)
}

fn word_at(tokens: &[String], at: usize) -> Option<Word> {
    let token = tokens.get(at)?;
    let word = *WORDS.get(token.as_str())?;
    if is_ambiguous(token) {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i)).map(String::as_str);
        let after = tokens.get(at + 1).map(String::as_str);
        if token == "do" && before.is_some_and(|b| BEFORE_VERB_DO.contains(&b)) {
            return None;
        }
        if !before.is_some_and(looks_numeric) && !after.is_some_and(looks_numeric) {
            return None;
        }
    }
    // "a second", "one second please": an ordinal only after "the", a month is handled by its neighbours.
    if word == Word::Ordinal(2) && at.checked_sub(1).and_then(|i| tokens.get(i)).is_some_and(|b| b == "one" || b == "a")
    {
        return None;
    }
    Some(word)
}

/// A number of one word, or of tens and a unit, that begins at `at`, whatever scale follows: its value and its tokens.
pub(crate) fn below_hundred_at(tokens: &[String], at: usize) -> Option<(u64, usize)> {
    if let Some((digits, false)) = tokens.get(at).and_then(|t| written(t)) {
        return Some((digits.parse().ok()?, 1));
    }
    match word_at(tokens, at)? {
        Word::Small(value) => Some((value, 1)),
        Word::Tens(tens) => match word_at(tokens, at + 1) {
            Some(Word::Small(unit @ 1..=9)) => Some((tens + unit, 2)),
            Some(_) | None => Some((tens, 1)),
        },
        Word::Scale(_) | Word::Ordinal(_) => None,
    }
}

/// The Devanagari word of the Roman Hindi number word at `at`; `None` for English words and all others.
pub(crate) fn hindi_of_roman(tokens: &[String], at: usize) -> Option<&'static str> {
    let token = tokens.get(at).filter(|t| t.is_ascii())?;
    match word_at(tokens, at)? {
        Word::Small(value) => {
            let index = usize::try_from(value).ok()?;
            let english = token == "nought" || crate::numbers::ENGLISH_SMALL.contains(&token.as_str());
            HINDI.get(index).copied().filter(|_| !english)
        }
        Word::Scale(100) if token == "sau" => Some("सौ"),
        Word::Scale(1_000) if token.starts_with('h') => Some("हज़ार"),
        Word::Scale(100_000) => Some("लाख"),
        Word::Scale(10_000_000) if token.starts_with('k') => Some("करोड़"),
        Word::Scale(_) | Word::Tens(_) | Word::Ordinal(_) => None,
    }
}

/// One number as it stood in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cardinal {
    /// Its digits; a written number keeps its leading zeros.
    pub(crate) digits: String,
    /// "fourth", "24th".
    pub(crate) ordinal: bool,
    /// How many tokens it took.
    pub(crate) used: usize,
}

impl Cardinal {
    /// Its value; `None` when too long for 64 bits.
    pub(crate) fn value(&self) -> Option<u64> {
        self.digits.parse().ok()
    }
}

/// A written whole number: `1200`, `1,200`, `24th`.
fn written(token: &str) -> Option<(String, bool)> {
    let (body, ordinal) = match ["st", "nd", "rd", "th"].iter().find_map(|s| token.strip_suffix(s)) {
        Some(body) => (body, true),
        None => (token, false),
    };
    if !body.is_empty() && body.bytes().all(|b| b.is_ascii_digit()) {
        return Some((body.to_owned(), ordinal));
    }
    (is_grouped(body) && !body.contains('.')).then(|| (body.replace(',', ""), ordinal))
}

/// A number being put together from left to right.
struct Sum {
    /// Behind a scale: "two lakh".
    total: u64,
    /// Not yet behind a scale.
    part: Option<u64>,
    /// Largest value that may still be added to `part`: 9 after "twenty", 99 after "hundred".
    room: u64,
    /// Scales come in falling order.
    scale_below: u64,
}

impl Sum {
    /// Adds a value below a scale and leaves `room` for smaller ones; false when it begins another number.
    fn add(&mut self, value: u64, room: u64) -> bool {
        self.part = match self.part {
            None if value < self.scale_below => Some(value),
            Some(sum) if value <= self.room && value > 0 => Some(sum + value),
            None | Some(_) => return false,
        };
        self.room = room;
        true
    }

    fn hundred(&mut self) -> bool {
        self.part = match self.part {
            None if self.scale_below > 100 => Some(100),
            Some(sum) if (1..=99).contains(&sum) => Some(sum * 100),
            None | Some(_) => return false,
        };
        self.room = 99;
        true
    }

    fn scale(&mut self, scale: u64, first: bool) -> bool {
        if scale >= self.scale_below || (self.part.is_none() && !first) || self.part == Some(0) {
            return false;
        }
        let product = self.part.unwrap_or(1).checked_mul(scale);
        let Some(total) = product.and_then(|p| self.total.checked_add(p)) else { return false };
        *self = Self { total, part: None, room: 0, scale_below: scale };
        true
    }

    /// The value with an ordinal at its end.
    fn ordinal(&self, value: u64) -> Option<u64> {
        match self.part {
            None => Some(self.total.saturating_add(value)),
            Some(sum) if value <= self.room => Some(self.total.saturating_add(sum + value)),
            Some(_) => None,
        }
    }

    /// "and" may follow: "one hundred and five".
    fn takes_and(&self) -> bool {
        self.room == 99 || (self.part.is_none() && self.scale_below < u64::MAX)
    }
}

/// Reads one number that begins at token `at`: "twenty four", "one lakh twenty thousand", "nine hundred and five",
/// "24th". Two numbers side by side ("nine eight") are two; "dhai" and "dedh" are read elsewhere.
pub(crate) fn cardinal_at(tokens: &[String], at: usize) -> Option<Cardinal> {
    let mut sum = Sum { total: 0, part: None, room: 0, scale_below: u64::MAX };
    let mut next = at;
    loop {
        let token = tokens.get(next);
        let taken = if let Some((digits, ordinal)) = token.and_then(|t| written(t)) {
            let value: Option<u64> = digits.parse().ok();
            let scale_follows = matches!(word_at(tokens, next + 1), Some(Word::Scale(_)));
            if next == at && (ordinal || value.is_none() || !scale_follows) {
                return Some(Cardinal { digits, ordinal, used: 1 });
            }
            value.is_some_and(|v| sum.add(v, 0))
        } else {
            match word_at(tokens, next) {
                Some(Word::Small(value)) => sum.add(value, 0),
                Some(Word::Tens(value)) => sum.add(value, 9),
                Some(Word::Scale(100)) => sum.hundred(),
                Some(Word::Scale(scale)) => sum.scale(scale, next == at),
                Some(Word::Ordinal(value)) => match sum.ordinal(value) {
                    Some(value) => {
                        return Some(Cardinal { digits: value.to_string(), ordinal: true, used: next + 1 - at });
                    }
                    None => false,
                },
                None => {
                    token.is_some_and(|t| t == "and")
                        && next > at
                        && sum.takes_and()
                        && matches!(word_at(tokens, next + 1), Some(Word::Small(1..=99) | Word::Tens(_)))
                }
            }
        };
        if !taken {
            break;
        }
        next += 1;
    }
    (next > at).then(|| Cardinal {
        digits: sum.total.saturating_add(sum.part.unwrap_or(0)).to_string(),
        ordinal: false,
        used: next - at,
    })
}

/// True when the token is a number or part of one, whatever stands beside it.
pub(crate) fn is_number_word(token: &str) -> bool {
    is_numeric(token) || (WORDS.contains_key(token) && !is_ambiguous(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    fn read(text: &str) -> String {
        let tokens = tokens(text);
        let mut at = 0;
        let mut out = Vec::new();
        while at < tokens.len() {
            match cardinal_at(&tokens, at) {
                Some(number) => {
                    out.push(if number.ordinal { format!("{}.", number.digits) } else { number.digits.clone() });
                    at += number.used;
                }
                None => at += 1,
            }
        }
        out.join(" ")
    }

    #[test]
    fn numbers_in_text() {
        for (text, want) in [
            ("twenty four", "24"),
            ("twenty-four", "24"),
            ("nine eight seven", "9 8 7"),
            ("ninety eight seventy six", "98 76"),
            ("one hundred and five", "105"),
            ("nine hundred eighty", "980"),
            ("one lakh twenty thousand", "120000"),
            ("two crore five lakh", "20500000"),
            ("5 lakh", "500000"),
            ("1,20,000", "120000"),
            ("007", "007"),
            ("twenty fourth", "24."),
            ("the 24th", "24."),
            ("third", "3."),
            ("ten thirty", "10 30"),
            ("twenty ten", "20 10"),
            ("das", "10"),
            ("do you", ""),
            ("i can do ten", "10"),
            ("nau do ek", "9 2 1"),
            ("चौबीस", "24"),
            ("एक लाख बीस हज़ार", "120000"),
            ("five and six", "5 6"),
            ("two thousand and six", "2006"),
            ("thousand", "1000"),
            ("hundred", "100"),
            ("zero", "0"),
            ("zero thousand", "0 1000"),
            ("99999999999999999999999", "99999999999999999999999"),
            ("one second", "1"),
            ("", ""),
        ] {
            assert_eq!(read(text), want, "{text:?}");
        }
    }

    #[test]
    fn every_value_reads_back() {
        for value in (0..2_000).chain([9_999, 10_000, 99_999, 100_000, 1_234_567, 10_000_000, 987_654_321]) {
            for tongue in [crate::Tongue::English, crate::Tongue::Hindi] {
                let said = crate::numbers::cardinal(value, tongue);
                assert_eq!(read(&said), value.to_string(), "{said}");
            }
        }
    }
}
