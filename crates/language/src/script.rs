//! Letters: which script a text is in, Hindi in Latin letters for a voice that reads no other, and Devanagari for the
//! number and date words of Roman Hindi.
//!
//! Not done: Devanagari for any Roman Hindi word. It has no fixed spelling, so that needs a word list or a model; a
//! voice for Hindi reads Roman Hindi better than a wrong guess.

use crate::tokens::fold;
use serde::{Deserialize, Serialize};

/// Letters that a speaker (a voice) reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// The language's own: Devanagari for Hindi.
    #[default]
    Native,
    /// Latin for every language.
    Latin,
}

/// The script most letters of a text are in. [`Script::Latin`] also for a text without letters.
#[must_use]
pub fn script_of(text: &str) -> Script {
    let (mut latin, mut native) = (0_usize, 0_usize);
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        if is_latin(c) {
            latin += 1;
        } else {
            native += 1;
        }
    }
    if native > 0 && native >= latin { Script::Native } else { Script::Latin }
}

/// A text in the letters that `script` wants: Devanagari is written in Latin letters for [`Script::Latin`], nothing else
/// changes.
#[must_use]
pub fn in_script(text: &str, script: Script) -> String {
    match script {
        Script::Native => text.to_owned(),
        Script::Latin => to_latin(text),
    }
}

const fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '\u{00C0}'..='\u{024F}' | '\u{1E00}'..='\u{1EFF}')
}

/// Words whose usual Roman spelling does not follow from their letters.
const USUAL: &[(&str, &str)] = &[
    ("है", "hai"),
    ("हैं", "hain"),
    ("हूं", "hoon"),
    ("में", "mein"),
    ("मैं", "main"),
    ("नहीं", "nahin"),
    ("हां", "haan"),
    ("और", "aur"),
    ("यह", "yeh"),
    ("वह", "voh"),
    ("ये", "ye"),
    ("वो", "vo"),
    ("क्या", "kya"),
    ("क्यों", "kyon"),
    ("छह", "chhah"),
    ("दो", "do"),
    ("नौ", "nau"),
    ("न", "na"),
    ("व", "va"),
];

/// Devanagari in Latin letters as people write Hindi in messages: "आपका अपॉइंटमेंट कल है।" → "aapka apointment kal hai.".
/// Everything else stays as it is. Silent vowels go by rule, so that a rare word may keep one too many.
#[must_use]
pub fn to_latin(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().take(crate::TEXT_CHARS_MAX) {
        match c {
            '।' | '॥' => {
                end_word(&mut word, &mut out);
                out.push('.');
            }
            '०'..='९' => {
                end_word(&mut word, &mut out);
                out.push_str(&fold(c.encode_utf8(&mut [0; 4])));
            }
            '॰' => {
                end_word(&mut word, &mut out);
                out.push('.');
            }
            '\u{200B}'..='\u{200D}' if !word.is_empty() => {}
            '\u{0900}'..='\u{097F}' => word.push(c),
            other => {
                end_word(&mut word, &mut out);
                out.push(other);
            }
        }
    }
    end_word(&mut word, &mut out);
    out
}

fn end_word(word: &mut String, out: &mut String) {
    if word.is_empty() {
        return;
    }
    let whole = std::mem::take(word);
    let key = fold(&whole);
    match USUAL.iter().find(|(native, _)| *native == key) {
        Some((_, usual)) => out.push_str(usual),
        None => out.push_str(&roman(&whole)),
    }
}

/// A consonant with its vowel. No consonant: the vowel stands by itself.
#[derive(Clone, Debug, Default)]
struct Syllable {
    consonant: &'static str,
    /// `None`: a vowel killer stands behind the consonant.
    vowel: Option<&'static str>,
    /// The vowel is the unwritten "a".
    unwritten: bool,
    /// Anusvara or candrabindu, and visarga.
    nasal: bool,
    breath: bool,
}

fn roman(word: &str) -> String {
    let mut syllables: Vec<Syllable> = Vec::new();
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        let nukta = chars.peek() == Some(&'\u{093C}');
        if nukta {
            chars.next();
        }
        if let Some(consonant) = consonant(c, nukta) {
            syllables.push(Syllable { consonant, vowel: Some("a"), unwritten: true, ..Syllable::default() });
        } else if let Some(vowel) = own_vowel(c) {
            syllables.push(Syllable { vowel: Some(vowel), ..Syllable::default() });
        } else if let Some(last) = syllables.last_mut() {
            match c {
                '\u{094D}' => {
                    last.vowel = None;
                    last.unwritten = false;
                }
                '\u{0901}' | '\u{0902}' => last.nasal = true,
                '\u{0903}' => last.breath = true,
                _ => {
                    if let Some(vowel) = vowel_sign(c) {
                        last.vowel = Some(vowel);
                        last.unwritten = false;
                    }
                }
            }
        }
    }
    drop_silent(&mut syllables);
    written(&syllables)
}

/// Hindi does not say the "a" at a word's end, nor that of a syllable between two that have vowels.
fn drop_silent(syllables: &mut [Syllable]) {
    let count = syllables.len();
    if count < 2 {
        return;
    }
    let cluster_end = syllables.get(count - 2).is_some_and(|s| s.vowel.is_none())
        && syllables.last().is_some_and(|s| matches!(s.consonant, "y" | "v" | "r"));
    if let Some(last) = syllables.last_mut()
        && last.unwritten
        && !last.nasal
        && !cluster_end
    {
        last.vowel = None;
    }
    // From the end: a syllable loses its vowel when both neighbours keep theirs.
    for at in (1..count.saturating_sub(1)).rev() {
        let before = syllables.get(at - 1).is_some_and(|s| s.vowel.is_some() && !s.nasal);
        let after = syllables.get(at + 1).is_some_and(|s| s.vowel.is_some() && !s.consonant.is_empty());
        if let Some(here) = syllables.get_mut(at)
            && here.unwritten
            && !here.nasal
            && before
            && after
        {
            here.vowel = None;
        }
    }
}

fn written(syllables: &[Syllable]) -> String {
    let mut out = String::new();
    let count = syllables.len();
    for (at, syllable) in syllables.iter().enumerate() {
        out.push_str(syllable.consonant);
        if let Some(vowel) = syllable.vowel {
            let open_end = at + 1 == count && !syllable.nasal && count > 1;
            let vowel = match vowel {
                "aa" if open_end => "a",
                "ee" if at + 1 == count => "i",
                "oo" if at + 1 == count && !syllable.nasal => "u",
                other => other,
            };
            out.push_str(vowel);
        }
        if syllable.nasal {
            let next = syllables.get(at + 1).map_or("", |s| s.consonant);
            out.push(if next.starts_with(['p', 'b', 'm', 'f']) { 'm' } else { 'n' });
        }
        if syllable.breath {
            out.push('h');
        }
    }
    out
}

const fn consonant(c: char, nukta: bool) -> Option<&'static str> {
    Some(match (c, nukta) {
        ('क' | '\u{0958}', _) => "k",
        ('ख' | '\u{0959}', _) => "kh",
        ('ग' | '\u{095A}', _) => "g",
        ('घ', _) => "gh",
        ('ङ' | 'ञ' | 'ण' | 'न' | '\u{0929}', _) => "n",
        ('च', _) => "ch",
        ('छ', _) => "chh",
        ('ज', true) | ('\u{095B}', _) => "z",
        ('ज', false) => "j",
        ('झ', _) => "jh",
        ('ट' | 'त', _) => "t",
        ('ठ' | 'थ', _) => "th",
        ('ड' | 'द' | '\u{095C}', _) => "d",
        ('ढ' | 'ध' | '\u{095D}', _) => "dh",
        ('प', _) => "p",
        ('फ', true) | ('\u{095E}', _) => "f",
        ('फ', false) => "ph",
        ('ब', _) => "b",
        ('भ', _) => "bh",
        ('म', _) => "m",
        ('य' | '\u{095F}', _) => "y",
        ('र' | '\u{0931}', _) => "r",
        ('ल' | 'ळ' | '\u{0934}', _) => "l",
        ('व', _) => "v",
        ('श' | 'ष', _) => "sh",
        ('स', _) => "s",
        ('ह', _) => "h",
        _ => return None,
    })
}

const fn own_vowel(c: char) -> Option<&'static str> {
    Some(match c {
        'अ' => "a",
        'आ' => "aa",
        'इ' => "i",
        'ई' => "ee",
        'उ' => "u",
        'ऊ' => "oo",
        'ऋ' => "ri",
        'ए' | 'ऍ' | 'ऎ' => "e",
        'ऐ' => "ai",
        'ओ' | 'ऑ' | 'ऒ' => "o",
        'औ' => "au",
        _ => return None,
    })
}

const fn vowel_sign(c: char) -> Option<&'static str> {
    Some(match c {
        'ा' => "aa",
        'ि' => "i",
        'ी' => "ee",
        'ु' => "u",
        'ू' => "oo",
        'ृ' => "ri",
        'े' | 'ॅ' | 'ॆ' => "e",
        'ै' => "ai",
        'ो' | 'ॉ' | 'ॊ' => "o",
        'ौ' => "au",
        _ => return None,
    })
}

/// Roman Hindi number, time and date words in Devanagari: "kal saadhe das baje" → "कल साढ़े दस बजे". Every other word stays
/// as it is, English ones too; a word that may be another ("do", "sat") changes only beside a number.
#[must_use]
pub fn numbers_to_native(text: &str) -> String {
    let end = text.char_indices().nth(crate::TEXT_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    let words: Vec<&str> = text.get(..end).unwrap_or_default().split(' ').collect();
    let keys: Vec<String> =
        words.iter().map(|w| fold(w.trim_matches(|c: char| !crate::tokens::is_word_char(c)))).collect();
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let key = keys.get(at).map_or("", String::as_str);
        let native = crate::number_words::hindi_of_roman(&keys, at).or_else(|| {
            DATE_WORDS.iter().find(|(roman, _)| roman.split(' ').any(|r| r == key)).map(|(_, native)| *native)
        });
        match native {
            Some(native) if !key.is_empty() => {
                let lower = word.to_lowercase();
                let start = lower.find(key).unwrap_or(0);
                let head = word.get(..start).unwrap_or_default();
                let tail = word.get(start + key.len()..).unwrap_or_default();
                out.push(format!("{head}{native}{tail}"));
            }
            Some(_) | None => out.push((*word).to_owned()),
        }
    }
    out.join(" ")
}

/// Words around numbers, in Roman spellings.
const DATE_WORDS: &[(&str, &str)] = &[
    ("baje bajay", "बजे"),
    ("bajkar", "बजकर"),
    ("saadhe sadhe", "साढ़े"),
    ("sava savaa", "सवा"),
    ("paune", "पौने"),
    ("dedh", "डेढ़"),
    ("dhai adhai", "ढाई"),
    ("rupaye rupaya rupay", "रुपये"),
    ("paise", "पैसे"),
    ("subah", "सुबह"),
    ("dopahar", "दोपहर"),
    ("shaam", "शाम"),
    ("raat", "रात"),
    ("kal", "कल"),
    ("aaj", "आज"),
    ("parson parso", "परसों"),
    ("tareekh tarikh", "तारीख"),
    ("somvar somvaar somwar", "सोमवार"),
    ("mangalvar mangalwar mangalvaar", "मंगलवार"),
    ("budhvar budhwar budhvaar", "बुधवार"),
    ("guruvar guruwar guruvaar", "गुरुवार"),
    ("shukravar shukrawar shukravaar", "शुक्रवार"),
    ("shanivar shaniwar shanivaar", "शनिवार"),
    ("ravivar raviwar ravivaar itvaar itwar", "रविवार"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scripts() {
        for (text, want) in [
            ("Hello", Script::Latin),
            ("नमस्ते", Script::Native),
            ("आपका OTP तैयार है", Script::Native),
            ("Your doctor is डॉ. Rao", Script::Latin),
            ("123", Script::Latin),
            ("", Script::Latin),
            ("வணக்கம்", Script::Native),
        ] {
            assert_eq!(script_of(text), want, "{text:?}");
        }
    }

    #[test]
    fn latin() {
        for (text, want) in [
            ("नमस्ते", "namaste"),
            ("मेरा नाम अमित है।", "mera naam amit hai."),
            ("आपका", "aapka"),
            ("ठीक है", "theek hai"),
            ("मुझे कल आना है", "mujhe kal aana hai"),
            ("क्या हाल है?", "kya haal hai?"),
            ("दीजिए", "deejie"),
            ("सोमवार", "somvaar"),
            ("मंगलवार", "mangalvaar"),
            ("हज़ार", "hazaar"),
            ("लड़का", "ladka"),
            ("पाँच सौ", "paanch sau"),
            ("OTP १२३ है", "OTP 123 hai"),
            ("नंबर", "nambar"),
            ("सुबह दस बजे", "subah das baje"),
            ("शुक्रिया", "shukriya"),
            ("समय", "samay"),
            ("बोलना", "bolna"),
            ("", ""),
            ("Hello", "Hello"),
        ] {
            assert_eq!(to_latin(text), want, "{text:?}");
        }
    }

    #[test]
    fn native_numbers() {
        for (text, want) in [
            ("Kal saadhe das baje aaiye.", "कल साढ़े दस बजे aaiye."),
            ("paanch sau rupaye", "पाँच सौ रुपये"),
            ("do you know", "do you know"),
            ("do baje", "दो बजे"),
            ("ten people", "ten people"),
            ("", ""),
        ] {
            assert_eq!(numbers_to_native(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,80}") {
            let _ = (script_of(&text), numbers_to_native(&text));
            let _ = to_latin(&text);
        }

        #[test]
        fn no_devanagari_is_left(text in "[ऀ-ॿ a-z।]{0,60}") {
            let left = to_latin(&text).chars().any(|c| ('अ'..='ह').contains(&c));
            prop_assert!(!left);
        }
    }
}
