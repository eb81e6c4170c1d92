//! Which words of a sentence were heard, for vendors that tell when each word is said.

use call::SpeechId;
use providers::speaker::WordTime;
use std::collections::VecDeque;

/// Sentences that are spoken and not yet played; the call keeps fewer.
const SENTENCES_MAX: usize = 64;
/// Words kept of one sentence; a sentence is cut long before.
const WORDS_MAX: usize = 500;

/// The words of sentences that have not been played to their end.
#[derive(Default)]
pub(super) struct Told {
    sentences: VecDeque<Sentence>,
}

struct Sentence {
    speech: SpeechId,
    text: String,
    words: Vec<WordTime>,
}

impl Told {
    pub(super) fn begin(&mut self, speech: SpeechId, text: &str) {
        if self.sentences.len() == SENTENCES_MAX {
            self.sentences.pop_front();
        }
        self.sentences.push_back(Sentence { speech, text: text.to_owned(), words: Vec::new() });
    }

    pub(super) fn words(&mut self, speech: SpeechId, words: Vec<WordTime>) {
        if let Some(sentence) = self.sentences.iter_mut().rev().find(|sentence| sentence.speech == speech) {
            let room = WORDS_MAX.saturating_sub(sentence.words.len());
            sentence.words.extend(words.into_iter().take(room));
        }
    }

    /// It and all before it were played.
    pub(super) fn played(&mut self, speech: SpeechId) {
        if let Some(index) = self.sentences.iter().position(|sentence| sentence.speech == speech) {
            self.sentences.drain(..=index);
        }
    }

    pub(super) fn forget(&mut self) {
        self.sentences.clear();
    }

    /// How many words of the sentence's text were heard; `None` when the vendor's words are not the text's, as after
    /// «500» was read out.
    pub(super) fn heard_words(&self, speech: SpeechId, heard_ms: u64) -> Option<u32> {
        let sentence = self.sentences.iter().find(|sentence| sentence.speech == speech)?;
        heard_words(&sentence.text, &sentence.words, heard_ms)
    }
}

/// A word counts when half of it was played.
fn heard_words(text: &str, words: &[WordTime], heard_ms: u64) -> Option<u32> {
    if words.is_empty() {
        return None;
    }
    let heard = words.iter().take_while(|word| u64::from(word.from_ms.midpoint(word.to_ms)) <= heard_ms);
    let mut text = text.split_whitespace();
    let mut count = 0;
    for said in heard.map(|word| letters(&word.text)).filter(|said| !said.is_empty()) {
        // A dash of its own is a word of the text, and is not said.
        loop {
            let written = letters(text.next()?);
            count += 1;
            if written == said {
                break;
            }
            if !written.is_empty() {
                return None;
            }
        }
    }
    Some(count)
}

fn letters(word: &str) -> String {
    // Vowel signs of Devanagari are no letters by themselves; whatever is not punctuation counts.
    word.chars()
        .filter(|c| !c.is_ascii_punctuation() && !"।॥“”‘’…–—".contains(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(said: &[(&str, u32, u32)]) -> Vec<WordTime> {
        said.iter()
            .map(|(text, from_ms, to_ms)| WordTime { text: (*text).to_owned(), from_ms: *from_ms, to_ms: *to_ms })
            .collect()
    }

    #[test]
    fn words_are_heard_when_half_of_each_was_played() {
        let said = words(&[("we", 0, 200), ("are", 200, 400), ("open", 500, 900), ("today", 900, 1_300)]);
        for (heard_ms, want) in
            [(0, 0), (99, 0), (100, 1), (350, 2), (600, 2), (700, 4), (1_099, 4), (1_100, 5), (9_000, 5)]
        {
            assert_eq!(heard_words("We are — open, today.", &said, heard_ms), Some(want), "{heard_ms}");
        }
    }

    #[test]
    fn hindi_words_are_words() {
        let said = words(&[("नमस्ते", 0, 400), ("मैं", 400, 600), ("हूँ", 600, 900)]);
        assert_eq!(heard_words("नमस्ते। मैं हूँ।", &said, 520), Some(2));
    }

    #[test]
    fn other_words_than_the_texts_tell_nothing() {
        let said = words(&[("five", 0, 300), ("hundred", 300, 700)]);
        assert_eq!(heard_words("500 rupees", &said, 1_000), None);
        assert_eq!(heard_words("Hello", &[], 1_000), None);
        assert_eq!(heard_words("Hello", &words(&[("hello", 0, 10), ("there", 10, 20)]), 1_000), None);
    }

    #[test]
    fn sentences_go_when_they_were_played() {
        let mut told = Told::default();
        for id in 0..3 {
            told.begin(SpeechId(id), "Hello");
            told.words(SpeechId(id), words(&[("hello", 0, 100)]));
        }
        told.played(SpeechId(1));
        assert_eq!(told.heard_words(SpeechId(1), 100), None);
        assert_eq!(told.heard_words(SpeechId(2), 100), Some(1));
        told.forget();
        assert_eq!(told.heard_words(SpeechId(2), 100), None);
    }
}
