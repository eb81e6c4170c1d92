//! One of several named things.

use super::{Heard, Mention, phrase_at, settle};
use crate::number_words::cardinal_at;
use crate::tokens::answer_tokens;

/// A thing that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it is called, also in the result.
    pub name: String,
    /// Other words for it.
    pub words: Vec<String>,
}

/// Which of `options` was said, as its index: by name or another word for it, as whole words, or by place ("the second
/// one", "option two"). The longest match at a place counts.
#[must_use]
pub fn choice(text: &str, options: &[Named]) -> Heard<usize> {
    let tokens = answer_tokens(text);
    let phrases: Vec<(usize, Vec<String>)> = options
        .iter()
        .enumerate()
        .flat_map(|(i, option)| {
            std::iter::once(&option.name).chain(&option.words).map(move |phrase| (i, answer_tokens(phrase)))
        })
        .filter(|(_, words)| !words.is_empty())
        .collect();
    let mut mentions = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let found = phrases
            .iter()
            .filter(|(_, words)| {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                phrase_at(&tokens, at, &words)
            })
            .max_by_key(|(_, words)| words.len());
        match found {
            Some((index, words)) => {
                mentions.push(Mention { at, end: at + words.len(), value: Some(*index) });
                at += words.len();
            }
            None => at += 1,
        }
    }
    if mentions.is_empty() {
        return by_place(&tokens, options.len());
    }
    settle(&tokens, &mentions)
}

fn by_place(tokens: &[String], count: usize) -> Heard<usize> {
    for at in 0..tokens.len() {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i)).map_or("", String::as_str);
        let place = match tokens.get(at).map_or("", String::as_str) {
            "pehla" | "pehli" | "pahla" | "पहला" | "पहली" => Some(1),
            "doosra" | "dusra" | "doosri" | "dusri" | "दूसरा" | "दूसरी" => Some(2),
            "teesra" | "tisra" | "teesri" | "तीसरा" | "तीसरी" => Some(3),
            "last" => Some(count),
            _ => cardinal_at(tokens, at)
                .filter(|n| n.ordinal || matches!(before, "option" | "number" | "choice"))
                .and_then(|n| usize::try_from(n.value()?).ok()),
        };
        if let Some(place) = place {
            return match place.checked_sub(1).filter(|i| *i < count) {
                Some(index) => Heard::One(index),
                None => Heard::Impossible,
            };
        }
    }
    Heard::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options() -> Vec<Named> {
        [("dental", "teeth|tooth|daant"), ("eye", "eyes|vision|aankh"), ("eye surgery", "operation")]
            .into_iter()
            .map(|(name, words)| Named { name: name.into(), words: words.split('|').map(str::to_owned).collect() })
            .collect()
    }

    #[test]
    fn choices() {
        for (text, want) in [
            ("dental", Heard::One(0)),
            ("It's about my tooth.", Heard::One(0)),
            ("the eye", Heard::One(1)),
            ("eye surgery please", Heard::One(2)),
            ("aankh ka", Heard::One(1)),
            ("dental or eye", Heard::Several),
            ("not dental, eye", Heard::One(1)),
            ("dental, no, eye", Heard::One(1)),
            ("the second one", Heard::One(1)),
            ("option three", Heard::One(2)),
            ("doosra", Heard::One(1)),
            ("the ninth", Heard::Impossible),
            ("hello", Heard::Nothing),
            ("", Heard::Nothing),
            ("dentalcare", Heard::Nothing),
        ] {
            assert_eq!(choice(text, &options()), want, "{text:?}");
        }
        assert_eq!(choice("first", &[]), Heard::Impossible);
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}", name in ".{0,9}") {
            let _ = choice(&text, &[Named { name, words: vec![String::new()] }]);
        }
    }
}
