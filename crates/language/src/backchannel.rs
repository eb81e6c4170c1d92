//! Noises a listener makes: "hmm", "haan ji", "achha". They do not take the turn.
//!
//! "Yes", "haan" or "ok" also answer questions: whoever calls this knows whether one is open.

use crate::tokens::answer_tokens;

/// More words than this are said to be heard, not to show listening.
const BACKCHANNEL_WORDS_MAX: usize = 6;
/// One word each, in folded spelling.
const NOISES: &[&str] = &[
    "hm",
    "hmm",
    "hmmm",
    "hmhm",
    "mm",
    "mmm",
    "mhm",
    "mmhm",
    "mmhmm",
    "mhmm",
    "uh",
    "huh",
    "uhhuh",
    "uhuh",
    "ah",
    "aha",
    "oh",
    "ooh",
    "um",
    "ok",
    "okay",
    "okey",
    "right",
    "haan",
    "haa",
    "ha",
    "han",
    "ji",
    "jee",
    "achha",
    "accha",
    "acha",
    "achchha",
    "acchha",
    "theek",
    "thik",
    "teek",
    "sahi",
    "yeah",
    "yep",
    "yup",
    "alright",
    "fine",
    "sure",
    "nice",
    "great",
    "oho",
    "arey",
    "arre",
    "bilkul",
    "बिल्कुल",
    "बिलकुल",
    "अरे",
    "ओहो",
    "हं",
    "आह",
    "हम्म्म",
    "हुं",
    "हम्म",
    "हूं",
    "हां",
    "हा",
    "जी",
    "अच्छा",
    "ओके",
    "ओह",
    "ठीक",
    "सही",
    "राइट",
    "अहा",
    "हम",
    "उम",
    "उह",
];
/// Words that belong to a noise but are none alone: "theek hai", "I see", "got it", "haan to".
const PHRASES: &[&[&str]] = &[
    &["i", "see"],
    &["got", "it"],
    &["theek", "hai"],
    &["thik", "hai"],
    &["sahi", "hai"],
    &["sahi", "baat", "hai"],
    &["achhi", "baat", "hai"],
    &["sahi", "baat"],
    &["all", "right"],
    &["very", "good"],
    &["teek", "hai"],
    &["theek", "h"],
    &["सही", "बात", "है"],
    &["अच्छी", "बात", "है"],
    &["ठीक", "है"],
    &["सही", "है"],
    &["ठीक", "हैं"],
];

/// True when the whole text is listening noise, repeated perhaps: "hmm", "haan haan", "ok, theek hai".
/// "Yes" and "no" alone are answers, not noise; empty text is neither.
#[must_use]
pub fn is_backchannel(text: &str) -> bool {
    let tokens = answer_tokens(text);
    if tokens.is_empty() || tokens.len() > BACKCHANNEL_WORDS_MAX {
        return false;
    }
    let mut rest: &[String] = &tokens;
    while !rest.is_empty() {
        let phrase = PHRASES
            .iter()
            .filter(|p| rest.len() >= p.len() && rest.iter().zip(p.iter()).all(|(a, b)| a == b))
            .max_by_key(|p| p.len());
        let taken = match phrase {
            Some(phrase) => phrase.len(),
            None if rest.first().is_some_and(|t| NOISES.contains(&t.as_str())) => 1,
            None => return false,
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn noises() {
        for text in [
            "hmm",
            "Hmm.",
            "mm-hmm",
            "Mm hmm",
            "uh huh",
            "Uh-huh.",
            "haan",
            "haan ji",
            "Haan haan haan",
            "achha",
            "accha",
            "theek hai",
            "Theek hai, theek hai.",
            "ok",
            "Okay.",
            "OK OK",
            "right",
            "I see.",
            "oh I see",
            "oh",
            "ji",
            "ji haan",
            "sahi",
            "sahi hai",
            "हाँ",
            "हां जी",
            "अच्छा",
            "ठीक है",
            "ओके",
            "हम्म",
            "जी",
            "Oh, okay.",
            "got it",
        ] {
            assert!(is_backchannel(text), "{text:?}");
        }
    }

    #[test]
    fn words() {
        for text in [
            "",
            "...",
            "yes",
            "no",
            "hello",
            "wait",
            "ok Tuesday",
            "haan kal",
            "right now",
            "I see him",
            "theek nahi hai",
            "stop",
            "ek minute",
            "नहीं",
            "one",
            "hmm I want to change it",
            "ok ok ok ok ok ok ok",
            "at ten",
            "what",
            "achha suno",
        ] {
            assert!(!is_backchannel(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = is_backchannel(&text);
        }
    }
}
