//! The mouth: what is being said, and how much of it was heard.

use crate::HeardSpeech;
use crate::timing::{CLEAR_DEADLINE_MS, ECHO_WITHIN_MS, MARK_GRACE_MS, SENTENCES_MAX, SPEAK_DEADLINE_MS};
use model::CallTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Names a sentence. The mark sent after its audio carries the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpeechId(pub u64);

/// A sentence on its way to the caller.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sentence {
    pub(crate) speech: SpeechId,
    pub(crate) text: String,
    pub(crate) interruptible: bool,
    /// It only bridges a wait: no beginning of an answer.
    pub(crate) filler: bool,
    pub(crate) asked_at: CallTime,
    pub(crate) started_at: Option<CallTime>,
    pub(crate) total_ms: Option<u64>,
}

/// What the agent is saying.
#[derive(Debug, Default)]
pub(crate) struct Mouth {
    queue: VecDeque<Sentence>,
    /// Sentences of this turn that the caller has heard to the end.
    heard: Vec<String>,
    turn_started: Option<CallTime>,
    /// The first sound of the answer itself went out.
    answer_started: bool,
    /// The last sentence that was heard to its end: its echo may still come.
    last_heard: String,
    /// Words could not be spoken, and none were heard since.
    lost: bool,
    /// Since when playback is being cleared: the shell has not yet said how far it was heard.
    clearing: Option<CallTime>,
    last_played: CallTime,
}

/// An agent's turn, finished or cut short.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) heard: String,
    pub(crate) intended: String,
    /// Sentences (or their rest) that were not heard.
    pub(crate) rest: Vec<Rest>,
    pub(crate) started: CallTime,
}

/// What was left unsaid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rest {
    pub(crate) text: String,
    pub(crate) interruptible: bool,
}

impl Mouth {
    pub(crate) fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Something of this turn has reached, or is reaching, the caller's ear.
    pub(crate) fn is_audible(&self) -> bool {
        !self.heard.is_empty() || self.queue.iter().any(|s| s.started_at.is_some())
    }

    pub(crate) fn may_be_interrupted(&self) -> bool {
        self.clearing.is_none() && self.queue.front().is_some_and(|s| s.interruptible)
    }

    /// A model that does not come to an end is not listened to for ever.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= SENTENCES_MAX
    }

    pub(crate) fn push(&mut self, sentence: Sentence) {
        self.queue.push_back(sentence);
    }

    /// True when it is the first sound of the answer.
    pub(crate) fn started(&mut self, speech: SpeechId, now: CallTime) -> bool {
        let Some(sentence) = self.queue.iter_mut().find(|s| s.speech == speech && s.started_at.is_none()) else {
            return false;
        };
        sentence.started_at = Some(now);
        self.turn_started.get_or_insert(now);
        let first = !self.answer_started && !sentence.filler;
        self.answer_started |= first;
        first
    }

    /// More words of a sentence whose sound comes from a model that speaks by itself.
    pub(crate) fn append(&mut self, speech: SpeechId, text: &str) {
        if let Some(sentence) = self.queue.iter_mut().find(|s| s.speech == speech) {
            let room = model::limits::TURN_TEXT_BYTES_MAX.saturating_sub(sentence.text.len());
            sentence.text.push_str(&text[..text.floor_char_boundary(room)]);
        }
    }

    /// When the last sentence of the turn will have been heard, once that is known.
    pub(crate) fn ends_at(&self) -> Option<CallTime> {
        match self.queue.iter().collect::<Vec<_>>().as_slice() {
            [last] => Some(last.started_at? + last.total_ms?),
            _ => None,
        }
    }

    /// What is being said now, and what was just said.
    pub(crate) fn saying(&self, now: CallTime) -> Vec<&str> {
        let recent = now.since(self.last_played) <= ECHO_WITHIN_MS && !self.last_heard.is_empty();
        let spoken = self.queue.iter().filter(|s| s.started_at.is_some()).map(|s| s.text.as_str());
        recent.then_some(self.last_heard.as_str()).into_iter().chain(spoken).collect()
    }

    /// What was said in this turn so far, heard or on its way.
    pub(crate) fn words_so_far(&self) -> String {
        let parts: Vec<&str> =
            self.heard.iter().map(String::as_str).chain(self.queue.iter().map(|s| s.text.as_str())).collect();
        parts.join(" ").trim().to_owned()
    }

    pub(crate) fn synthesized(&mut self, speech: SpeechId, total_ms: u64, now: CallTime) {
        if let Some(sentence) = self.queue.iter_mut().find(|s| s.speech == speech) {
            sentence.total_ms = Some(total_ms);
            // An empty sentence makes no sound and no frame: it has «begun».
            if total_ms == 0 {
                sentence.started_at.get_or_insert(now);
            }
        }
    }

    /// The sentence, and all before it, were heard. True when there were words among them; none when there is no such
    /// sentence.
    pub(crate) fn played(&mut self, speech: SpeechId, now: CallTime) -> Option<bool> {
        let at = self.queue.iter().position(|s| s.speech == speech)?;
        let mut words = false;
        for sentence in self.queue.drain(..=at).filter(|sentence| !sentence.text.is_empty()) {
            words = true;
            self.lost = false;
            self.last_heard.clone_from(&sentence.text);
            self.heard.push(sentence.text);
        }
        self.last_played = now;
        if self.queue.is_empty() && self.heard.is_empty() {
            self.turn_started = None;
        } else {
            self.turn_started.get_or_insert(now);
        }
        Some(words)
    }

    /// A sentence that cannot be spoken is taken out. False when there is no such sentence.
    pub(crate) fn remove(&mut self, speech: SpeechId, now: CallTime) -> bool {
        let Some(at) = self.queue.iter().position(|s| s.speech == speech) else { return false };
        // The next one gets its whole time.
        self.last_played = now;
        self.lost |= self.queue.remove(at).is_some_and(|sentence| !sentence.text.is_empty());
        true
    }

    /// Were words lost? Asked once.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    pub(crate) fn begin_clearing(&mut self, now: CallTime) {
        self.clearing.get_or_insert(now);
    }

    pub(crate) const fn is_clearing(&self) -> bool {
        self.clearing.is_some()
    }

    pub(crate) fn clear_overdue(&self, now: CallTime) -> bool {
        self.clearing.is_some_and(|since| now >= since + CLEAR_DEADLINE_MS)
    }

    /// Drops everything, unheard.
    pub(crate) fn forget(&mut self) {
        self.queue.clear();
        self.heard.clear();
        self.turn_started = None;
        self.answer_started = false;
        self.lost = false;
        self.clearing = None;
    }

    /// Nothing is left to play, but what was played has not been recorded as a turn.
    pub(crate) fn has_finished(&self) -> bool {
        self.queue.is_empty() && !self.heard.is_empty()
    }

    /// Ends the turn: `heard` says how far each unfinished sentence was heard.
    pub(crate) fn cut(&mut self, heard: impl Fn(SpeechId) -> Option<HeardSpeech>, now: CallTime) -> Option<Said> {
        self.clearing = None;
        self.answer_started = false;
        self.lost = false;
        if self.queue.is_empty() && self.heard.is_empty() {
            self.turn_started = None;
            return None;
        }
        self.last_played = now;
        let mut parts = std::mem::take(&mut self.heard);
        let mut intended = parts.clone();
        let mut rest = Vec::new();
        for sentence in self.queue.drain(..) {
            let cut = heard(sentence.speech).map_or(0, |heard| match heard.heard_words {
                Some(words) => after_words(&sentence.text, words),
                None => words_heard(&sentence.text, heard.heard_ms, heard.total_ms.or(sentence.total_ms)),
            });
            let (before, after) = sentence.text.split_at(cut);
            if !before.trim().is_empty() {
                before.trim().clone_into(&mut self.last_heard);
                parts.push(before.trim().to_owned());
            }
            if !after.trim().is_empty() {
                rest.push(Rest { text: after.trim().to_owned(), interruptible: sentence.interruptible });
            }
            if !sentence.text.is_empty() {
                intended.push(sentence.text);
            }
        }
        if intended.is_empty() {
            // Only tones of keys: nothing was said.
            self.turn_started = None;
            return None;
        }
        let started = self.turn_started.take().unwrap_or(now);
        Some(Said { heard: parts.join(" "), intended: intended.join(" "), rest, started })
    }

    /// The sentence now being played, and whether it overran: when it must have begun, or must have been played.
    pub(crate) fn overdue(&self) -> Option<(SpeechId, CallTime, bool)> {
        let front = self.queue.front()?;
        match (front.started_at, front.total_ms) {
            (Some(started), Some(total)) => Some((front.speech, started + total + MARK_GRACE_MS, true)),
            // Synthesis stalled in the middle counts from the last sign of life we have: its start.
            (Some(started), None) => {
                let long_ms = (SPEAK_DEADLINE_MS * 6).max(crate::ending::saying_ms(&front.text));
                Some((front.speech, started + long_ms, false))
            }
            (None, _) => Some((front.speech, front.asked_at.max(self.last_played) + SPEAK_DEADLINE_MS, false)),
        }
    }

    pub(crate) fn deadline(&self) -> Option<CallTime> {
        if let Some(since) = self.clearing {
            return Some(since + CLEAR_DEADLINE_MS);
        }
        self.overdue().map(|(_, at, _)| at)
    }
}

/// Byte index up to which `text` was heard, at a word boundary: a word counts when most of it was played. Without the
/// sentence's length, speech is taken to run at 15 characters a second.
fn words_heard(text: &str, heard_ms: u64, total_ms: Option<u64>) -> usize {
    let chars = text.chars().count() as u64;
    let total_ms = total_ms.filter(|t| *t > 0).unwrap_or(chars.saturating_mul(1_000) / 15).max(1);
    if heard_ms >= total_ms {
        return text.len();
    }
    let heard_chars = chars.saturating_mul(heard_ms) / total_ms;
    let mut cut = 0;
    let mut seen = 0u64;
    let mut start = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let length = word.chars().count() as u64;
        if seen + length.div_ceil(2) > heard_chars {
            break;
        }
        seen += length;
        start += word.len();
        cut = start;
    }
    cut
}

/// Byte index after so many words of `text`.
fn after_words(text: &str, words: u32) -> usize {
    let words = usize::try_from(words).unwrap_or(usize::MAX);
    text.split_inclusive(char::is_whitespace)
        .scan(0, |end, piece| {
            *end += piece.len();
            Some((*end, !piece.trim().is_empty()))
        })
        .filter(|(_, is_word)| *is_word)
        .take(words)
        .last()
        .map_or(0, |(end, _)| end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_words_are_counted_over_any_space() {
        let text = "We  are open\u{a0}today.";
        for (words, want) in [(0, ""), (1, "We "), (2, "We  are "), (3, "We  are open\u{a0}"), (4, text), (9, text)] {
            assert_eq!(&text[..after_words(text, words)], want, "{words}");
        }
    }

    #[test]
    fn heard_words_are_cut_at_word_boundaries() {
        let text = "We are open from nine to six.";
        for (heard_ms, want) in [
            (0, ""),
            (90, ""),
            (350, "We are "),
            (1_050, "We are open from "),
            (1_999, "We are open from nine to six."),
            (2_000, text),
            (9_000, text),
        ] {
            let cut = words_heard(text, heard_ms, Some(2_000));
            assert_eq!(&text[..cut], want, "{heard_ms} ms");
        }
    }

    #[test]
    fn cuts_devanagari_without_panic() {
        let text = "नमस्ते। मैं आपकी क्या मदद कर सकती हूँ?";
        for heard_ms in (0..3_000).step_by(37) {
            let cut = words_heard(text, heard_ms, None);
            assert!(text.is_char_boundary(cut));
        }
    }
}
