//! A person's name: "my name is Charlie", "Priya Sharma", "mera naam Amit hai".

use crate::number_words::is_number_word;
use crate::tokens::{answer_tokens, fold};

/// A bare answer with more words than this is a sentence, not a name.
const BARE_WORDS_MAX: usize = 3;
/// A name after "my name is" may have so many words.
const NAME_WORDS_MAX: usize = 4;

/// Words before a name, longest first.
const INTRODUCTIONS: &[&str] = &[
    "my good name is",
    "my full name is",
    "my name is",
    "my names",
    "the name is",
    "name is",
    "names",
    "the name would be",
    "name will be",
    "patient name is",
    "the patient is",
    "this is",
    "i am",
    "im",
    "it is",
    "its",
    "call me",
    "mera naam",
    "mera nam",
    "mera shubh naam",
    "naam hai",
    "naam",
    "main",
    "mai",
    "मेरा नाम",
    "मेरा शुभ नाम",
    "नाम",
    "मैं",
    "it would be",
    "for",
];
/// Introductions that other sentences begin with as well: what follows must look like a bare name.
const WEAK: &[&str] =
    &["this is", "i am", "im", "it is", "its", "main", "mai", "मैं", "naam", "नाम", "for", "it would be"];
/// Words that end a name.
const ENDS: &[&str] = &[
    "hai",
    "hoon",
    "hun",
    "hu",
    "here",
    "speaking",
    "calling",
    "and",
    "from",
    "bol",
    "bolraha",
    "please",
    "thanks",
    "thank",
    "aur",
    "है",
    "हूं",
    "बोल",
    "और",
    "sir",
    "madam",
    "maam",
    "ji",
    "जी",
    "i",
    "but",
    "with",
    "my",
    "the",
    "only",
];
/// Words before a bare name that carry nothing.
const LEADS: &[&str] = &[
    "hello",
    "hi",
    "hey",
    "yes",
    "yeah",
    "sure",
    "ok",
    "okay",
    "um",
    "umm",
    "uh",
    "well",
    "so",
    "haan",
    "ji",
    "namaste",
    "namaskar",
    "no",
    "sorry",
    "oh",
    "right",
    "हां",
    "जी",
    "नमस्ते",
    "the",
    "mister",
    "missus",
    "mr",
    "mrs",
    "ms",
    "miss",
    "dr",
    "doctor",
    "actually",
    "nahi",
    "good",
    "morning",
    "shri",
    "smt",
    "correct",
];
/// Words that are no name and no part of one.
const NOT_NAMES: &str = "\
    yes no yeah yep nope not nothing none correct incorrect right wrong sure fine ok okay true false \
    hello hi hey bye goodbye thank thanks thankyou please sorry what who why when where which how repeat \
    again pardon wait stop help human agent operator person someone somebody today tomorrow yesterday \
    monday tuesday wednesday thursday friday saturday sunday january february september october november \
    december morning afternoon evening night noon midnight am pm oclock half quarter week day month year \
    minute moment second hour is are was be been do does did have has had will would can could should \
    may must i you he she it we they me my your his her their our this that these those there here a an \
    the and or but if so because of to in on at for with from by about into up down out name number \
    phone mobile appointment booking book visit doctor clinic hospital call calling called speak \
    speaking talk want wanted need like looking going go come coming know think say said tell give get \
    got make see um uh hmm mm huh oh ah umm good bad great nice busy free late ready done interested \
    available open closed cancel change same other another next last now later never always very just \
    only also too well haan nahi nahin ji achha accha acha theek thik sahi galat kya kaun kab kahan kyun \
    kaise kal aaj parson subah shaam dopahar raat baje hai hain ho hoon hun mera meri mere aap tum main \
    mai mujhe naam phir se ko ki ka ke aur ya lekin bilkul ruko rukiye bolo boliye suno chahiye ek \
    double triple plus zero hold back way time date correctly exactly absolutely problem worries course \
    doing excuse question answer english hindi anything everything something lo di batao bataiye samajh \
    samjha हां नहीं नही जी ठीक है हैं क्या कौन कल आज परसों मैं मेरा नाम हूं और को से फिर सही गलत सुबह \
    शाम बजे सोमवार मंगलवार बुधवार गुरुवार शुक्रवार शनिवार रविवार somvar mangalvar budhvar guruvar \
    shukravar shanivar ravivar recorded line";

/// Reads a name, in title case. A bare answer of one to three words counts when none of them is plainly no name; so
/// "Charlie." is a name and "what", "Tuesday" or "nine eight" are not.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    introduced(text).or_else(|| bare(text))
}

/// Reads a name only where the text introduces it strongly: "my name is …", "mera naam … hai".
#[must_use]
pub fn introduced_name(text: &str) -> Option<String> {
    let words = original_words(text);
    find_introduced(&words, false)
}

fn introduced(text: &str) -> Option<String> {
    let words = original_words(text);
    find_introduced(&words, true).or_else(|| before_here(&words))
}

/// The words as written, without marks around them. Letters apart ("R A V I") stay apart here.
fn original_words(text: &str) -> Vec<String> {
    let limited = answer_tokens(text).len();
    text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '/' | '!' | '?' | '।' | '"' | '“' | '”'))
        .map(|w| w.trim_matches(|c: char| !crate::tokens::is_word_char(c)).to_owned())
        .filter(|w| !w.is_empty())
        .take(limited)
        .collect()
}

/// Lower case, folded, without apostrophes: the form the lists use.
fn key(word: &str) -> String {
    fold(word).replace('\'', "")
}

fn find_introduced(words: &[String], weak_too: bool) -> Option<String> {
    let keys: Vec<String> = words.iter().map(|w| key(w)).collect();
    let mut best: Option<String> = None;
    for at in 0..words.len() {
        let longest = INTRODUCTIONS
            .iter()
            .filter(|phrase| weak_too || !WEAK.contains(phrase))
            .map(|phrase| (phrase, phrase.split(' ').collect::<Vec<_>>()))
            .filter(|(_, parts)| super::phrase_at(&keys, at, parts))
            .max_by_key(|(_, parts)| parts.len());
        let Some((phrase, parts)) = longest else { continue };
        let weak = WEAK.contains(phrase);
        let rest = words.get(at + parts.len()..).unwrap_or_default();
        let skip = rest
            .iter()
            .take_while(|w| {
                matches!(key(w).as_str(), "mr" | "mrs" | "ms" | "miss" | "mister" | "um" | "uh" | "dr" | "doctor")
            })
            .count();
        let rest = rest.get(skip..).unwrap_or_default();
        if let Some(found) = leading_name(rest, weak) {
            best = Some(found);
        }
    }
    best
}

/// "Charlie here", "Victor speaking".
fn before_here(words: &[String]) -> Option<String> {
    let end = words.iter().position(|w| matches!(key(w).as_str(), "here" | "speaking"))?;
    let start = words.iter().take(end).rposition(|w| LEADS.contains(&key(w).as_str())).map_or(0, |i| i + 1);
    let part = words.get(start..end).filter(|p| !p.is_empty() && p.len() <= BARE_WORDS_MAX)?;
    leading_name(part, true)
}

/// The name that `words` begin with. `strict`: every word up to the end must belong to it.
fn leading_name(words: &[String], strict: bool) -> Option<String> {
    let mut taken: Vec<&String> = Vec::new();
    for word in words {
        let key = key(word);
        if ENDS.contains(&key.as_str()) {
            break;
        }
        if !is_name_word(word) {
            if strict || taken.is_empty() {
                return None;
            }
            break;
        }
        taken.push(word);
        if taken.len() > NAME_WORDS_MAX {
            return None;
        }
    }
    compose(&taken)
}

fn bare(text: &str) -> Option<String> {
    let words = original_words(text);
    let lead = words.iter().take_while(|w| LEADS.contains(&key(w).as_str())).count();
    let rest = words.get(lead..).unwrap_or_default();
    let tail = rest
        .iter()
        .rev()
        .take_while(|w| {
            matches!(key(w).as_str(), "please" | "sir" | "madam" | "maam" | "hai" | "है" | "ji" | "जी" | "thanks")
        })
        .count();
    let rest = rest.get(..rest.len() - tail).unwrap_or_default();
    let letters = rest.len() >= 2 && rest.iter().all(|w| w.chars().count() == 1 && w.chars().all(char::is_alphabetic));
    if letters && rest.len() <= 20 {
        let joined: String = rest.concat();
        return (rest.len() >= 3).then(|| title_case(&joined.to_lowercase()));
    }
    if rest.is_empty() || rest.len() > BARE_WORDS_MAX || !rest.iter().all(|w| is_name_word(w)) {
        return None;
    }
    compose(&rest.iter().collect::<Vec<_>>())
}

fn is_name_word(word: &str) -> bool {
    let key = key(word);
    let letters = word.chars().all(|c| crate::tokens::is_word_char(c) || matches!(c, '\'' | '’' | '-' | '.'))
        && !word.chars().any(char::is_numeric);
    // "Das" is ten and a family name.
    letters && !NOT_NAMES.split_whitespace().any(|w| w == key) && (!is_number_word(&key) || key == "das")
}

fn compose(words: &[&String]) -> Option<String> {
    let name = words.iter().map(|w| title_case(w)).collect::<Vec<_>>().join(" ");
    // One letter is no name, an initial beside a name is.
    (name.chars().filter(|c| c.is_alphabetic()).count() >= 2).then_some(name)
}

/// First letter of each part large; a word with a capital inside keeps its shape (McDonald).
fn title_case(word: &str) -> String {
    let inner_capital = word.chars().skip(1).any(char::is_uppercase) && word.chars().any(char::is_lowercase);
    let mut out = String::with_capacity(word.len());
    let mut start = true;
    for c in word.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else if inner_capital {
            out.push(c);
        } else {
            out.extend(c.to_lowercase());
        }
        start = matches!(c, '-' | '\'' | '’');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        for (text, want) in [
            ("Charlie.", "Charlie"),
            ("Victor", "Victor"),
            ("victor.", "Victor"),
            ("My name is Charlie.", "Charlie"),
            ("my name is priya sharma", "Priya Sharma"),
            ("Hello, my name is Priya Sharma and I want to come on Tuesday", "Priya Sharma"),
            ("This is Victor", "Victor"),
            ("I am Ravi Kumar", "Ravi Kumar"),
            ("I'm Ravi", "Ravi"),
            ("It's Anita", "Anita"),
            ("Charlie here", "Charlie"),
            ("Hello, Charlie speaking", "Charlie"),
            ("mera naam Amit hai", "Amit"),
            ("Mera naam Amit Das hai", "Amit Das"),
            ("मेरा नाम अमित है", "अमित"),
            ("main Sunita bol rahi hoon", "Sunita"),
            ("Um, Charlie", "Charlie"),
            ("Hello. Charlie.", "Charlie"),
            ("Yes, Victor", "Victor"),
            ("Sean O'Brien", "Sean O'Brien"),
            ("MARY-JANE", "Mary-Jane"),
            ("call me Bob", "Bob"),
            ("R A V I", "Ravi"),
            ("Priya Sharma Rao", "Priya Sharma Rao"),
            ("the name is Bond", "Bond"),
            ("Ronald McDonald", "Ronald McDonald"),
            ("Amit ji", "Amit"),
            ("Charlie please", "Charlie"),
            ("My name is Dr. Rao", "Rao"),
            ("June", "June"),
        ] {
            assert_eq!(name(text).as_deref(), Some(want), "{text:?}");
        }
    }

    #[test]
    fn no_names() {
        for text in [
            "",
            "yes",
            "No.",
            "This is correct.",
            "I am busy",
            "It is Tuesday",
            "nine eight seven",
            "Tuesday",
            "tomorrow",
            "what",
            "Please repeat",
            "Hello",
            "9876",
            "I want to speak to a human",
            "at ten",
            "thank you",
            "hmm",
            "haan",
            "kal subah",
            "nahi",
            "x",
            "my name is",
            "it's not right",
            "theek hai",
            "मैं कल",
            "a long sentence about nothing at all",
            "This is a recorded line",
        ] {
            assert_eq!(name(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_introduced() {
        assert_eq!(introduced_name("my name is Charlie, Tuesday please").as_deref(), Some("Charlie"));
        assert_eq!(introduced_name("Charlie"), None);
        assert_eq!(introduced_name("this is correct"), None);
        assert_eq!(introduced_name("this is fun"), None);
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = (name(&text), introduced_name(&text));
        }
    }
}
