//! Yes and no.

use super::phrase_at;
use crate::tokens::answer_tokens;

/// An answer to a question that wants yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YesNo {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// Phrases that settle it against their own words, longest first.
const NO_PHRASES: &[&[&str]] = &[
    &["sahi", "nahi", "hai"],
    &["sahi", "nahi"],
    &["theek", "nahi"],
    &["not", "correct"],
    &["not", "right"],
    &["not", "ok"],
    &["not", "okay"],
    &["not", "at", "all"],
    &["not", "really"],
    &["ji", "nahi"],
    &["isnt", "right"],
    &["isnt", "correct"],
    &["dont"],
    &["do", "not"],
    &["सही", "नहीं"],
    &["ठीक", "नहीं"],
    &["जी", "नहीं"],
];
const YES_PHRASES: &[&[&str]] = &[
    &["no", "problem"],
    &["koi", "baat", "nahi"],
    &["why", "not"],
    &["of", "course"],
    &["go", "ahead"],
    &["please", "do"],
    &["uh", "huh"],
    &["mm", "hmm"],
    &["thats", "it"],
    &["i", "do"],
    &["i", "am"],
    &["it", "is"],
    &["theek", "hai"],
    &["ठीक", "है"],
    &["कोई", "बात", "नहीं"],
];
/// Answers that are neither, whatever words they hold.
const UNDECIDED: &[&[&str]] = &[
    &["not", "sure"],
    &["i", "dont", "know"],
    &["dont", "know"],
    &["do", "not", "know"],
    &["pata", "nahi"],
    &["maloom", "nahi"],
    &["right", "now"],
    &["all", "right", "but"],
    &["पता", "नहीं"],
];
const YES: &[&str] = &[
    "yes",
    "yeah",
    "yep",
    "yup",
    "yah",
    "yea",
    "yess",
    "aye",
    "correct",
    "right",
    "true",
    "exactly",
    "absolutely",
    "definitely",
    "certainly",
    "sure",
    "fine",
    "ok",
    "okay",
    "alright",
    "perfect",
    "haan",
    "haa",
    "ha",
    "han",
    "ji",
    "jee",
    "bilkul",
    "sahi",
    "theek",
    "thik",
    "teek",
    "achha",
    "accha",
    "acha",
    "zaroor",
    "zarur",
    "confirm",
    "confirmed",
    "mmhmm",
    "mhm",
    "uhhuh",
    "हां",
    "हा",
    "जी",
    "बिल्कुल",
    "बिलकुल",
    "सही",
    "ठीक",
    "अच्छा",
    "ओके",
    "यस",
    "जरूर",
    "affirmative",
    "good",
];
const NO: &[&str] = &[
    "no",
    "nope",
    "nah",
    "naah",
    "not",
    "wrong",
    "incorrect",
    "false",
    "never",
    "negative",
    "nahi",
    "nahin",
    "nai",
    "mat",
    "galat",
    "नहीं",
    "नही",
    "मत",
    "गलत",
    "नो",
    "cannot",
    "cant",
    "wont",
];
/// "No" only as the first word: elsewhere they are particles ("theek hai na").
const NO_FIRST: &[&str] = &["na", "naa", "ना", "न"];

/// Reads yes or no. `None` when the text says neither, both in a way that leaves it open, or that the caller does not
/// know. "No, Wednesday" is no; "yes, but no" is open.
#[must_use]
pub fn yes_no(text: &str) -> Option<YesNo> {
    let tokens = answer_tokens(text);
    let mut first = None;
    let (mut yes, mut no) = (0_u32, 0_u32);
    let mut at = 0;
    while at < tokens.len() {
        let longest = |phrases: &[&[&str]]| phrases.iter().filter(|p| phrase_at(&tokens, at, p)).map(|p| p.len()).max();
        if let Some(len) = longest(UNDECIDED) {
            if phrase_at(&tokens, at, &["right", "now"]) {
                at += len;
                continue;
            }
            return None;
        }
        let token = tokens.get(at).map_or("", String::as_str);
        let found = if let Some(len) = longest(NO_PHRASES) {
            Some((YesNo::No, len))
        } else if let Some(len) = longest(YES_PHRASES) {
            Some((YesNo::Yes, len))
        } else if NO.contains(&token) || (at == 0 && NO_FIRST.contains(&token)) {
            Some((YesNo::No, 1))
        } else if YES.contains(&token) || (tokens.len() == 1 && matches!(token, "ya" | "yaa")) {
            Some((YesNo::Yes, 1))
        } else {
            None
        };
        match found {
            Some((answer, len)) => {
                first = first.or(Some(answer));
                match answer {
                    YesNo::Yes => yes += 1,
                    YesNo::No => no += 1,
                }
                at += len;
            }
            None => at += 1,
        }
    }
    match (yes, no, first) {
        (_, 0, answer) | (0, _, answer) => answer,
        // "No, that is not right, ok?": what begins with no means no.
        (_, _, Some(YesNo::No)) => Some(YesNo::No),
        (_, _, Some(YesNo::Yes) | None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn yes() {
        for text in [
            "yes",
            "Yes.",
            "Yeah",
            "yep",
            "correct",
            "That's right.",
            "This is correct.",
            "That is correct",
            "haan",
            "ji haan",
            "bilkul",
            "sahi",
            "sahi hai",
            "theek hai",
            "ok",
            "Okay.",
            "sure",
            "of course",
            "go ahead",
            "exactly",
            "yes please",
            "no problem",
            "हाँ",
            "जी हाँ",
            "ठीक है",
            "बिल्कुल सही",
            "haan ji sahi hai",
            "uh huh",
            "Mm-hmm.",
            "ya",
            "yes yes",
            "Right.",
            "perfect",
            "haan theek hai na",
            "I do",
            "why not",
        ] {
            assert_eq!(yes_no(text), Some(YesNo::Yes), "{text:?}");
        }
    }

    #[test]
    fn no() {
        for text in [
            "no",
            "No.",
            "nope",
            "wrong",
            "That's wrong",
            "not correct",
            "that is not right",
            "It isn't right",
            "nahi",
            "nahin",
            "ji nahi",
            "galat",
            "galat hai",
            "sahi nahi hai",
            "mat karo",
            "नहीं",
            "जी नहीं",
            "ना",
            "गलत",
            "No, Wednesday.",
            "no no",
            "no that is wrong",
            "not at all",
            "No, it's okay the other way",
            "don't",
            "na",
            "nahi, kal",
            "never",
        ] {
            assert_eq!(yes_no(text), Some(YesNo::No), "{text:?}");
        }
    }

    #[test]
    fn neither() {
        for text in [
            "",
            "Tuesday",
            "at ten",
            "one",
            "not sure",
            "I don't know",
            "pata nahi",
            "hello",
            "yes but no",
            "Charlie",
            "what",
            "none of it",
            "I know",
            "right now",
            "nine eight seven",
        ] {
            assert_eq!(yes_no(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = yes_no(&text);
        }
    }
}
