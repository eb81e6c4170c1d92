//! Answers understood: what a caller meant, out of transcribed text in English, Hindi or both, Latin or Devanagari.
//!
//! Each reader says only what the text itself says; whether a date may be in the past is for the asker to decide.
//! All take any text and never panic; at most the first 400 words are read.

pub mod choice;
pub mod codes;
pub mod dates;
pub mod durations;
pub mod money;
pub mod names;
pub mod numbers;
pub mod phone;
pub mod times;
pub mod yes_no;

/// What an utterance said about the thing asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    /// Exactly this.
    One(T),
    /// Several, and nothing says which: "Monday or Tuesday".
    Several,
    /// Something of the kind that cannot be: the 31st of February, half past twenty-seven.
    Impossible,
    /// Nothing of the kind.
    Nothing,
}

impl<T> Heard<T> {
    /// The one thing heard.
    pub fn one(self) -> Option<T> {
        match self {
            Self::One(value) => Some(value),
            Self::Several | Self::Impossible | Self::Nothing => None,
        }
    }
}

/// A thing mentioned at a place in the tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mention<T> {
    at: usize,
    end: usize,
    /// `None`: impossible.
    value: Option<T>,
}

/// Of several mentions the one that counts: those behind "not" are out, "or" between two leaves it open, else the last
/// corrects those before it ("Tuesday, no, Wednesday").
fn settle<T: Clone + PartialEq>(tokens: &[String], mentions: &[Mention<T>]) -> Heard<T> {
    let kept: Vec<&Mention<T>> = mentions.iter().filter(|m| !negated(tokens, m.at, m.end)).collect();
    let Some(last) = kept.last() else { return Heard::Nothing };
    if let Some(before) = kept.len().checked_sub(2).and_then(|i| kept.get(i)) {
        let between = tokens.get(before.end..last.at).unwrap_or_default();
        let open = between.len() <= 3 && between.iter().any(|t| matches!(t.as_str(), "or" | "ya" | "या"));
        if open && before.value != last.value {
            return Heard::Several;
        }
    }
    last.value.clone().map_or(Heard::Impossible, Heard::One)
}

/// "not Monday", "Monday nahi".
fn negated(tokens: &[String], at: usize, end: usize) -> bool {
    let before: Vec<&str> =
        tokens.get(at.saturating_sub(2)..at).unwrap_or_default().iter().map(String::as_str).collect();
    let not_before =
        matches!(before.as_slice(), [.., "not" | "isnt" | "cant"] | ["not", "on" | "at" | "for" | "the" | "in"]);
    let after = tokens.get(end).map_or("", String::as_str);
    let after_next = tokens.get(end + 1).map_or("", String::as_str);
    let not_after = matches!(after, "nahi" | "nahin" | "नहीं" | "नही")
        || (matches!(after, "ko" | "baje" | "को" | "बजे") && matches!(after_next, "nahi" | "nahin" | "नहीं" | "नही"));
    not_before || not_after
}

/// Whether `words` stand in `tokens` at `at`.
fn phrase_at(tokens: &[String], at: usize, words: &[&str]) -> bool {
    tokens.get(at..at + words.len()).is_some_and(|part| part.iter().zip(words).all(|(a, b)| a == b))
}

/// Whether a phrase, in any spelling of case and marks, stands in the text as whole words.
#[must_use]
pub fn has_phrase(text: &str, phrase: &str) -> bool {
    let tokens = crate::tokens::answer_tokens(text);
    let words = crate::tokens::answer_tokens(phrase);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    !words.is_empty() && (0..tokens.len()).any(|at| phrase_at(&tokens, at, &words))
}

/// The words of a text without the first occurrence of a phrase.
#[must_use]
pub fn without_phrase(text: &str, phrase: &str) -> String {
    let mut tokens = crate::tokens::answer_tokens(text);
    let words = crate::tokens::answer_tokens(phrase);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let Some(at) = (0..tokens.len()).find(|at| !words.is_empty() && phrase_at(&tokens, *at, &words)) {
        tokens.drain(at..at + words.len());
    }
    tokens.join(" ")
}

/// The words of an answer in lower case, folded, without punctuation: to count them or to compare with a list.
#[must_use]
pub fn plain_words(text: &str) -> Vec<String> {
    crate::tokens::answer_tokens(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases() {
        for (text, phrase, want) in [
            ("Could I speak to a human, please?", "speak to a human", true),
            ("SPEAK TO A HUMAN", "Speak to a human.", true),
            ("speak to a humanist", "speak to a human", false),
            ("ek minute", "ek minute", true),
            ("", "wait", false),
            ("wait", "", false),
            ("फिर से बोलिए", "फिर से", true),
        ] {
            assert_eq!(has_phrase(text, phrase), want, "{text:?} {phrase:?}");
        }
        for (text, phrase, want) in [
            ("Wait, Tuesday at ten", "wait", "tuesday at ten"),
            ("ek minute", "ek minute", ""),
            ("ten", "wait", "ten"),
            ("ten", "", "ten"),
        ] {
            assert_eq!(without_phrase(text, phrase), want, "{text:?} {phrase:?}");
        }
    }
}
