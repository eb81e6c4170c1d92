//! Whether words stand in what was said, however they are written: case, marks, numbers as digits or words, and Hindi in
//! either script.

use language::words::normalize;

/// A wanted text, ready to be looked for.
pub(super) fn stands_in(wanted: &str, said: &str) -> bool {
    let (wanted, said) = (normalize(wanted), normalize(said));
    if wanted.is_empty() || wanted.len() > said.len() {
        return false;
    }
    said.windows(wanted.len()).any(|part| part.iter().zip(&wanted).all(|(a, b)| same_word(a, b)))
}

/// The same text, by the same rules.
pub(super) fn same(a: &str, b: &str) -> bool {
    let (words_a, words_b) = (normalize(a), normalize(b));
    if words_a.is_empty() && words_b.is_empty() {
        return a.trim() == b.trim();
    }
    words_a.len() == words_b.len() && words_a.iter().zip(&words_b).all(|(a, b)| same_word(a, b))
}

fn same_word(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (is_devanagari(a), is_devanagari(b)) {
        (true, false) => same_bones(a, b),
        (false, true) => same_bones(b, a),
        (true, true) | (false, false) => false,
    }
}

fn is_devanagari(word: &str) -> bool {
    word.chars().any(|c| ('\u{900}'..='\u{97f}').contains(&c))
}

/// Nobody writes Hindi vowels in Latin letters the same way twice, so the consonants decide.
fn same_bones(devanagari: &str, latin: &str) -> bool {
    let bones = bones(devanagari.chars().flat_map(|c| consonant(c).chars()));
    !bones.is_empty() && bones == self::bones(latin.chars())
}

/// Consonants by their sound class: aspiration, doubling and `y` do not count.
fn bones(letters: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    for letter in letters {
        let class = match letter.to_ascii_lowercase() {
            'q' | 'c' | 'k' => 'k',
            'w' | 'v' => 'v',
            'z' | 'j' => 'j',
            'f' | 'p' => 'p',
            // Aspiration, unless the word begins with it.
            'h' if out.is_empty() => 'h',
            other if other.is_ascii_alphabetic() && !"aeiouyh".contains(other) => other,
            _ => continue,
        };
        if !out.ends_with(class) {
            out.push(class);
        }
    }
    out
}

/// The Latin consonant of a Devanagari letter; empty for vowels and marks.
fn consonant(letter: char) -> &'static str {
    match letter {
        'क' | 'ख' => "k",
        'ग' | 'घ' => "g",
        'ङ' | 'ञ' | 'ण' | 'न' | 'ं' | 'ँ' => "n",
        // «ch», whose h does not count.
        'च' | 'छ' => "c",
        'ज' | 'झ' => "j",
        'ट' | 'ठ' | 'त' | 'थ' => "t",
        'ड' | 'ढ' | 'द' | 'ध' => "d",
        'प' | 'फ' => "p",
        'ब' | 'भ' => "b",
        'म' => "m",
        'र' => "r",
        'ल' => "l",
        'व' => "v",
        'श' | 'ष' | 'स' => "s",
        'ह' => "h",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_however_they_are_written() {
        for (wanted, said, want) in [
            ("what time", "And WHAT time on Tuesday?", true),
            ("ten a.m.", "See you at 10 AM.", true),
            ("₹500", "That is five hundred rupees.", true),
            ("namaste", "नमस्ते, यह सहारा फ़ाइनेंस है।", true),
            ("नमस्ते", "Namaste, welcome.", true),
            ("dhanyavaad", "बहुत धन्यवाद।", true),
            ("haan", "हाँ, ठीक है", true),
            ("theek hai", "हाँ, ठीक है", true),
            ("kya", "क्या यह सही है?", true),
            ("achha", "अच्छा", true),
            ("book", "I have booked it.", false),
            ("ten", "eleven", false),
            ("namaste", "किस्त", false),
            ("", "anything", false),
            ("?!", "anything", false),
            ("a b c", "a b", false),
            // Within one script letters count.
            ("bat", "boot", false),
        ] {
            assert_eq!(stands_in(wanted, said), want, "{wanted:?} in {said:?}");
        }
    }

    #[test]
    fn whole_texts() {
        for (a, b, want) in [
            ("Asha", "asha", true),
            ("2026-11-24", "2026-11-24", true),
            ("2026-11-24", "2026-11-25", false),
            ("Asha Rao", "Asha", false),
            ("", "", true),
            ("", "x", false),
            ("+", "-", false),
        ] {
            assert_eq!(same(a, b), want, "{a:?} {b:?}");
        }
    }
}
