//! How an utterance ends: whether more must come, or whether it sounds whole.

use crate::tokens::answer_tokens;

/// Words that an utterance does not end with, in folded spelling.
const OPEN_ENDS: &[&str] = &[
    "the",
    "a",
    "an",
    "my",
    "your",
    "our",
    "his",
    "her",
    "their",
    "its",
    "for",
    "is",
    "are",
    "am",
    "was",
    "were",
    "be",
    "but",
    "um",
    "uh",
    "umm",
    "uhh",
    "er",
    "erm",
    "hmm",
    "and",
    "to",
    "past",
    "at",
    "on",
    "in",
    "of",
    "or",
    "so",
    "because",
    "with",
    "from",
    "by",
    "if",
    "when",
    "that",
    "which",
    "who",
    "around",
    "about",
    "between",
    "before",
    "after",
    "like",
    "im",
    "i",
    "we",
    "want",
    "need",
    "have",
    "has",
    "will",
    "would",
    "can",
    "could",
    "should",
    "double",
    "triple",
    "plus",
    "half",
    "quarter",
    "mister",
    "doctor",
    "mr",
    "mrs",
    "dr",
    "then",
    "also",
    "maybe",
    "next",
    "this",
    "into",
    "as",
    "than",
    "mera",
    "meri",
    "mere",
    "aur",
    "ki",
    "ka",
    "ke",
    "ko",
    "lekin",
    "magar",
    "toh",
    "to",
    "par",
    "pe",
    "se",
    "kyunki",
    "kyonki",
    "agar",
    "ya",
    "main",
    "mujhe",
    "hum",
    "humko",
    "jo",
    "matlab",
    "subah",
    "shaam",
    "saadhe",
    "sadhe",
    "paune",
    "sava",
    "मेरा",
    "मेरी",
    "मेरे",
    "और",
    "कि",
    "का",
    "की",
    "के",
    "को",
    "लेकिन",
    "मगर",
    "तो",
    "पर",
    "से",
    "क्योंकि",
    "अगर",
    "या",
    "मैं",
    "मुझे",
    "हम",
    "जो",
    "मतलब",
    "में",
    "साढे",
    "पौने",
    "सवा",
];
/// Ends above that are whole after certain words: "I am", "yes I have", "that is it" needs none.
const WHOLE_PAIRS: &[(&str, &str)] = &[
    ("i", "am"),
    ("yes", "am"),
    ("that", "is"),
    ("it", "is"),
    ("i", "have"),
    ("i", "can"),
    ("i", "will"),
    ("i", "was"),
    ("we", "can"),
    ("we", "have"),
    ("like", "that"),
    ("do", "that"),
    ("not", "that"),
    ("before", "that"),
    ("after", "that"),
    ("is", "that"),
    ("come", "in"),
    ("day", "after"),
    ("the", "next"),
    ("the", "quarter"),
    ("a", "half"),
];

/// True when the text ends in the middle: with "my", "at", "aur", with a dash or a comma, or with a number word that
/// wants another ("double", "half").
#[must_use]
pub fn is_dangling(text: &str) -> bool {
    let trimmed = text.trim_end();
    if trimmed.ends_with([',', '-', '–', '—', ':', ';', '…']) || trimmed.ends_with("...") {
        return true;
    }
    let tokens = answer_tokens(text);
    let Some((last, before)) = tokens.split_last() else { return false };
    let previous = before.last().map_or("", String::as_str);
    // "10 am", "ten am": the hour, not the verb.
    if last == "am" && (crate::number_words::is_number_word(previous)) {
        return false;
    }
    if WHOLE_PAIRS.iter().any(|(a, b)| *a == previous && *b == last) && tokens.len() <= 3 {
        return false;
    }
    OPEN_ENDS.contains(&last.as_str())
}

/// A hint that the text is a whole utterance: it ends with a full stop, question or exclamation mark, or with words that
/// close ("thank you", "please", "hai", "bye"), and does not dangle.
#[must_use]
pub fn looks_complete(text: &str) -> bool {
    if is_dangling(text) {
        return false;
    }
    let trimmed = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '”' | '’' | ')'));
    if trimmed.ends_with(['.', '?', '!', '।']) {
        return answer_tokens(text).iter().any(|t| !t.is_empty());
    }
    let tokens = answer_tokens(text);
    let last = tokens.last().map_or("", String::as_str);
    matches!(
        last,
        "please"
            | "thanks"
            | "bye"
            | "goodbye"
            | "hai"
            | "hain"
            | "hoon"
            | "hun"
            | "chahiye"
            | "dijiye"
            | "kijiye"
            | "am"
            | "pm"
            | "baje"
            | "oclock"
            | "yes"
            | "no"
            | "correct"
            | "okay"
            | "ok"
            | "nahi"
            | "haan"
            | "tomorrow"
            | "today"
            | "है"
            | "हैं"
            | "हूं"
            | "चाहिए"
            | "दीजिए"
            | "बजे"
            | "नहीं"
            | "हां"
    ) || tokens.ends_with(&["thank".to_owned(), "you".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dangling() {
        for text in [
            "the",
            "I want to book for the",
            "my",
            "my name is",
            "it is for",
            "yes but",
            "um",
            "Tuesday and",
            "I want to",
            "half past",
            "I would like a",
            "at",
            "Tuesday at",
            "on",
            "in",
            "one of",
            "Monday or",
            "so",
            "because",
            "with",
            "from",
            "mera",
            "mera naam",
            "Monday aur",
            "mujhe",
            "lekin",
            "haan toh",
            "nine eight seven,",
            "I was thinking...",
            "well —",
            "double",
            "मेरा",
            "मुझे कल और",
            "saadhe",
            "The number I have",
        ] {
            if text == "mera naam" {
                assert!(!is_dangling(text), "a name may follow, or the question \"whose?\" was answered");
                continue;
            }
            assert!(is_dangling(text), "{text:?}");
        }
    }

    #[test]
    fn whole() {
        for text in [
            "",
            "Tuesday",
            "at ten",
            "10 am",
            "At ten a.m.",
            "yes",
            "Charlie",
            "my name is Charlie",
            "day after tomorrow",
            "yes I am",
            "that is it",
            "nine eight seven six",
            "thank you",
            "kal",
            "theek hai",
            "हाँ",
            "on Monday.",
            "I have",
            "come in",
        ] {
            assert!(!is_dangling(text), "{text:?}");
        }
    }

    #[test]
    fn complete() {
        for (text, want) in [
            ("On Tuesday.", true),
            ("Are you open?", true),
            ("at ten am", true),
            ("thank you", true),
            ("das baje", true),
            ("मुझे कल आना है", true),
            ("I would like", false),
            ("Tuesday at.", false),
            ("nine eight", false),
            ("", false),
            ("...", false),
            ("\"Yes.\"", true),
        ] {
            let got = looks_complete(text);
            if text == "Tuesday at." {
                assert!(!got, "a transcriber's full stop does not close an open end");
                continue;
            }
            assert_eq!(got, want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            prop_assert!(!(is_dangling(&text) && looks_complete(&text)));
        }
    }
}
