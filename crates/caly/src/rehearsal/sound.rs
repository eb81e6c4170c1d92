//! Both voices, reckoned: when which word was said.

use call::{HeardSpeech, SpeechId};
use std::collections::VecDeque;

/// How fast people, and voices on the telephone, speak: characters a second.
const CHARS_PER_SECOND: u64 = 15;
/// The shortest utterance, ms: a spoken «no».
const UTTERANCE_MS_MIN: u64 = 300;
/// A key's tone with its pause, ms, when the agent presses it.
const TONE_MS: u64 = 200;
/// What `w` between keys stands for, ms.
const TONE_WAIT_MS: u64 = 500;

/// How long a text is spoken, ms.
fn spoken_ms(text: &str) -> u64 {
    let chars = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    chars.saturating_mul(1_000) / CHARS_PER_SECOND
}

/// How long the tones of these keys are, ms.
pub(super) fn tones_ms(keys: &str) -> u64 {
    keys.chars().map(|key| if key == 'w' { TONE_WAIT_MS } else { TONE_MS }).sum()
}

/// The words of a text with the time from its beginning at which each is over, ms.
fn word_ends(text: &str, total_ms: u64) -> impl Iterator<Item = (&str, u64)> {
    let chars = u64::try_from(text.chars().count().max(1)).unwrap_or(u64::MAX);
    let mut seen = 0u64;
    text.split_inclusive(char::is_whitespace).filter_map(move |piece| {
        let word = piece.trim_end();
        let before = seen;
        seen += u64::try_from(piece.chars().count()).unwrap_or(0);
        let end = before + u64::try_from(word.chars().count()).unwrap_or(0);
        (!word.trim().is_empty()).then(|| (word.trim(), end.saturating_mul(total_ms) / chars))
    })
}

/// What the caller has said and the call has not yet dealt with.
#[derive(Debug, Default)]
pub(super) struct CallerVoice {
    words: VecDeque<(String, u64)>,
    /// When the sound of what was said last is over, ms.
    pub(super) until_ms: u64,
}

impl CallerVoice {
    /// The caller begins to say this now. Returns when it is over.
    pub(super) fn say(&mut self, text: &str, now_ms: u64) -> u64 {
        let total_ms = spoken_ms(text).max(UTTERANCE_MS_MIN);
        self.words.extend(word_ends(text, total_ms).map(|(word, end)| (word.to_owned(), now_ms + end)));
        self.until_ms = now_ms + total_ms;
        self.until_ms
    }

    /// The words so far. Once the sound is over all of them are.
    pub(super) fn heard(&self, now_ms: u64) -> String {
        let words: Vec<&str> =
            self.words.iter().filter(|(_, end)| *end <= now_ms).map(|(word, _)| word.as_str()).collect();
        words.join(" ")
    }

    /// Forgets the words so far.
    pub(super) fn discard(&mut self, now_ms: u64) {
        self.words.retain(|(_, end)| *end > now_ms);
    }

    /// Everything that was said has been dealt with.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// A sentence of the agent on its way to the caller.
#[derive(Debug)]
pub(super) struct Sentence {
    pub(super) speech: SpeechId,
    /// Which of the things seen it is.
    pub(super) seen: usize,
    text: String,
    total_ms: u64,
    began_ms: Option<u64>,
}

/// The agent's voice: one sentence after the other.
#[derive(Debug, Default)]
pub(super) struct AgentVoice {
    sentences: VecDeque<Sentence>,
    /// Words heard to their end since the caller's last turn began.
    words_before: u32,
}

impl AgentVoice {
    /// To be said after what is there.
    pub(super) fn push(&mut self, speech: SpeechId, seen: usize, text: &str) {
        self.push_sound(speech, seen, text, spoken_ms(text));
    }

    /// To be heard after what is there, for so long.
    pub(super) fn push_sound(&mut self, speech: SpeechId, seen: usize, text: &str, total_ms: u64) {
        self.sentences.push_back(Sentence { speech, seen, text: text.to_owned(), total_ms, began_ms: None });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }

    /// Begins the sentence whose turn it is, unless it has begun. Its name and length.
    pub(super) fn begin_next(&mut self, now_ms: u64) -> Option<(SpeechId, usize, u64)> {
        let front = self.sentences.front_mut().filter(|front| front.began_ms.is_none())?;
        front.began_ms = Some(now_ms);
        Some((front.speech, front.seen, front.total_ms))
    }

    /// When the sentence that is being said is over.
    pub(super) fn ends_at(&self) -> Option<u64> {
        let front = self.sentences.front()?;
        front.began_ms.map(|began| began + front.total_ms)
    }

    /// The sentence that is over now.
    pub(super) fn finish(&mut self, now_ms: u64) -> Option<Sentence> {
        if self.ends_at().is_none_or(|end| end > now_ms) {
            return None;
        }
        let sentence = self.sentences.pop_front()?;
        self.words_before += count(sentence.text.split_whitespace().count());
        Some(sentence)
    }

    /// Takes a sentence out, unheard.
    pub(super) fn cancel(&mut self, speech: SpeechId) {
        self.sentences.retain(|sentence| sentence.speech != speech);
    }

    /// Stops. How far each sentence was heard, which one it is among the things seen, and what was heard of it.
    pub(super) fn clear(&mut self, now_ms: u64) -> Vec<(HeardSpeech, usize, String)> {
        self.sentences
            .drain(..)
            .map(|sentence| {
                let heard_ms = sentence.began_ms.map_or(0, |began| now_ms.saturating_sub(began)).min(sentence.total_ms);
                let heard: Vec<&str> = word_ends(&sentence.text, sentence.total_ms)
                    .filter(|(_, end)| *end <= heard_ms && heard_ms > 0)
                    .map(|(word, _)| word)
                    .collect();
                let told = HeardSpeech {
                    speech: sentence.speech,
                    heard_ms,
                    total_ms: Some(sentence.total_ms),
                    heard_words: Some(count(heard.len())),
                };
                (told, sentence.seen, heard.join(" "))
            })
            .collect()
    }

    /// From now on words are counted anew.
    pub(super) fn count_words_anew(&mut self) {
        self.words_before = 0;
    }

    /// Words heard to their end so far.
    pub(super) fn words_heard(&self) -> u32 {
        self.words_before
    }

    /// When so many words will have been heard, as far as that lies in the sentence being said.
    pub(super) fn words_heard_at(&self, words: u32) -> Option<u64> {
        let front = self.sentences.front()?;
        let began = front.began_ms?;
        let missing = words.saturating_sub(self.words_before).max(1);
        let nth = usize::try_from(missing - 1).ok()?;
        word_ends(&front.text, front.total_ms).nth(nth).map(|(_, end)| began + end)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_one_after_the_other() {
        let mut caller = CallerVoice::default();
        let over = caller.say("on Tuesday at ten", 1_000);
        assert_eq!(over, 1_000 + 17 * 1_000 / 15);
        for (at, want) in [(1_000, ""), (1_140, "on"), (1_700, "on Tuesday"), (over, "on Tuesday at ten")] {
            assert_eq!(caller.heard(at), want, "{at}");
        }
        caller.discard(1_700);
        assert_eq!(caller.heard(over), "at ten");
        assert!(!caller.is_empty());
        caller.discard(over);
        assert!(caller.is_empty());
        assert_eq!(caller.say("no", 0), UTTERANCE_MS_MIN);
    }

    #[test]
    fn what_was_heard_is_cut_between_words() {
        let mut agent = AgentVoice::default();
        agent.push(SpeechId(1), 0, "We are open from nine to six.");
        agent.push(SpeechId(2), 1, "Goodbye.");
        assert_eq!(agent.ends_at(), None);
        assert_eq!(agent.begin_next(100), Some((SpeechId(1), 0, 1_933)));
        assert_eq!(agent.begin_next(100), None, "it has begun");
        let third = agent.words_heard_at(3).expect("it has three words");
        assert_eq!(agent.words_heard_at(8), None, "it has seven");
        let cleared = agent.clear(third);
        let heard: Vec<&str> = cleared.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(heard, ["We are open", ""]);
        assert_eq!(cleared.iter().map(|(told, ..)| told.heard_words).collect::<Vec<_>>(), [Some(3), Some(0)]);
        assert!(agent.is_empty());
    }

    #[test]
    fn finished_sentences_count() {
        let mut agent = AgentVoice::default();
        agent.push(SpeechId(1), 0, "One two.");
        agent.push(SpeechId(2), 1, "Three four.");
        agent.begin_next(0);
        let end = agent.ends_at().expect("it is being said");
        assert!(agent.finish(end - 1).is_none());
        assert_eq!(agent.finish(end).map(|sentence| sentence.speech), Some(SpeechId(1)));
        assert_eq!(agent.words_heard(), 2);
        agent.begin_next(end);
        assert!(agent.words_heard_at(3).is_some_and(|at| at > end));
        agent.count_words_anew();
        assert_eq!(agent.words_heard(), 0);
        assert_eq!(tones_ms("12w#"), 3 * TONE_MS + TONE_WAIT_MS);
    }
}
