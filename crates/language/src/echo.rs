//! Echo: our own voice that comes back over the caller's line and is transcribed as if the caller had said it.
//!
//! What was heard is compared with what is being said, word by word with room for a transcriber's faults and for its
//! choice of script. Taking an answer for echo loses what a caller said, taking echo for an answer only interrupts us: so
//! short answers, numbers and picks from a choice are never echo.

use crate::number_words::is_number_word;
use crate::script::to_latin;
use crate::tokens::answer_tokens;
use std::collections::BTreeSet;

/// Fewer words than this are echo only when they are a whole phrase that we say.
pub const WORDS_MIN: usize = 3;
/// Share of the heard words, in percent, that must stand in what we say, in order.
const MATCH_PERCENT: usize = 75;
/// Words heard beyond these are not looked at: a sentence we say is shorter.
const HEARD_WORDS_MAX: usize = 60;
/// Words said beyond these are not looked at.
const SAYING_WORDS_MAX: usize = 400;
/// A piece of a question as short as this may be an answer: "book it for tomorrow".
const ANSWER_WORDS_MAX: usize = 5;
/// A text with a number, a day or a time in it is echo only when it is as long as this: "Tuesday at ten" is an answer.
const WITH_VALUE_WORDS_MIN: usize = 7;

/// Words that answer: a text that begins with one we do not say ourselves is the caller's.
const ANSWERS: &str = "yes yeah yep no nope nah haan han ha ji nahin nahi bilkul sahi galat sure right correct wrong wait stop \
    sorry what hello okay ok actually";
/// Words with which somebody begins to speak of themselves.
const FIRST_PERSON: &str = "i im ive id my we main mai mujhe mujhko hum hame hamein mera meri";
/// Words that name a day or a part of it.
const VALUES: &str = "monday tuesday wednesday thursday friday saturday sunday today tomorrow tonight morning afternoon \
    evening night noon am pm kal aaj parson parso subah dopahar shaam raat somvar somvaar mangalvar mangalvaar budhvar \
    budhvaar guruvar guruvaar shukravar shukravaar shanivar shanivaar ravivar ravivaar baje january february march april \
    june july august september october november december";

/// Whether `heard` is (a part of) what the agent is saying now. `saying`: the sentences that sound or have just
/// sounded, in order. At least three words in order, or a whole short phrase; never a bare yes or no, a number, or an
/// answer that only repeats a few words of a question.
#[must_use]
pub fn is_echo(heard: &str, saying: &[&str]) -> bool {
    let mut heard = sounds(heard);
    heard.truncate(HEARD_WORDS_MAX);
    if heard.is_empty() || heard.iter().all(|w| is_value(w) || listed(ANSWERS, w)) {
        return false;
    }
    let mut said: Vec<(usize, String)> = Vec::new();
    for (sentence, text) in saying.iter().enumerate() {
        said.extend(sounds(text).into_iter().map(|w| (sentence, w)));
    }
    said.truncate(SAYING_WORDS_MAX);
    if heard.len() < WORDS_MIN {
        // "Thank you", "Good morning": a phrase of ours, whole. One word alone is anybody's.
        return heard.len() > 1
            && saying.iter().any(|text| {
                let phrase = sounds(text);
                phrase.len() == heard.len() && phrase.iter().zip(&heard).all(|(a, b)| alike(a, b))
            });
    }
    let all: BTreeSet<&str> = said.iter().map(|(_, w)| w.as_str()).collect();
    // "I would like to …" is no question of ours that came back.
    if heard.first().is_some_and(|w| listed(FIRST_PERSON, w) && !all.contains(w.as_str())) {
        return false;
    }
    let answers = heard.first().is_some_and(|w| listed(ANSWERS, w) && !all.contains(w.as_str()));
    let denies = heard
        .iter()
        .any(|w| matches!(w.as_str(), "not" | "nahi" | "nahin" | "no" | "dont") && !all.contains(w.as_str()));
    if answers || denies {
        return false;
    }
    let Some(place) = best_place(&heard, &said) else { return false };
    if place.matched < WORDS_MIN || place.matched * 100 < heard.len() * MATCH_PERCENT {
        return false;
    }
    // A sentence of ours from its first word on is not how one answers it.
    let opening = place.matched == heard.len() && heard.len() >= ANSWER_WORDS_MAX && from_start(&heard, &said, &place);
    if heard.iter().any(|w| is_value(w)) && heard.len() < WITH_VALUE_WORDS_MIN && !opening {
        return false;
    }
    !may_be_a_pick(&heard, &said, saying, &place)
}

/// Where in what is said the heard words fit best.
struct Place {
    matched: usize,
    first: usize,
}

/// The window of the said words, as long as the heard ones and a little more, that holds most of them in order.
fn best_place(heard: &[String], said: &[(usize, String)]) -> Option<Place> {
    let slack = heard.len() / 4 + 1;
    let mut best: Option<Place> = None;
    for first in 0..said.len() {
        let starts = heard.iter().take(slack + 1).any(|w| said.get(first).is_some_and(|(_, s)| alike(w, s)));
        if !starts {
            continue;
        }
        let end = said.len().min(first + heard.len() + slack);
        let window = said.get(first..end).unwrap_or_default();
        let matched = in_order(heard, window);
        if best.as_ref().is_none_or(|b| matched > b.matched) {
            best = Some(Place { matched, first });
        }
    }
    best
}

/// How many heard words stand in the window in the same order (longest common subsequence).
fn in_order(heard: &[String], window: &[(usize, String)]) -> usize {
    let mut row = vec![0_usize; window.len() + 1];
    for word in heard {
        let mut diagonal = 0;
        for (at, (_, said)) in window.iter().enumerate() {
            let left = row.get(at).copied().unwrap_or(0);
            let above = row.get(at + 1).copied().unwrap_or(0);
            let here = if alike(word, said) { diagonal + 1 } else { left.max(above) };
            diagonal = above;
            if let Some(slot) = row.get_mut(at + 1) {
                *slot = here;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Whether the place is the beginning of a sentence and the heard words begin like it.
fn from_start(heard: &[String], said: &[(usize, String)], place: &Place) -> bool {
    let Some((sentence, word)) = said.get(place.first) else { return false };
    let begins = place.first.checked_sub(1).and_then(|i| said.get(i)).is_none_or(|(before, _)| before != sentence);
    begins && heard.first().is_some_and(|w| alike(w, word))
}

/// A few words out of a question, not from its beginning, or one side of an "or": an answer in the question's words.
fn may_be_a_pick(heard: &[String], said: &[(usize, String)], saying: &[&str], place: &Place) -> bool {
    if heard.len() > ANSWER_WORDS_MAX {
        return false;
    }
    let Some((sentence, _)) = said.get(place.first) else { return false };
    let text = saying.get(*sentence).map_or("", |t| t.trim_end());
    let words = sounds(text);
    let is_or = |w: &str| matches!(w, "or" | "ya");
    let choice = words.iter().any(|w| is_or(w)) && !heard.iter().any(|w| is_or(w));
    let question = text.ends_with(['?', '؟']);
    (choice || question) && !from_start(heard, said, place)
}

fn listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|w| w == word)
}

fn is_value(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit()) || is_number_word(word) || listed(VALUES, word)
}

/// The words in Latin letters, so that a transcript in the other script compares.
fn sounds(text: &str) -> Vec<String> {
    answer_tokens(text).into_iter().map(|t| to_latin(&t)).filter(|t| !t.is_empty()).collect()
}

/// Equal, or so near that a transcriber may have meant the same word.
fn alike(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (a, b) = (skeleton(a), skeleton(b));
    if a == b {
        return true;
    }
    let shorter = a.len().min(b.len());
    let room = match shorter {
        0..=3 => 0,
        4..=6 => 1,
        _ => 2,
    };
    room > 0 && a.len().abs_diff(b.len()) <= room && distance(&a, &b) <= room
}

/// The letters that spellings of one word share: no doubled letters, no length of vowels.
fn skeleton(word: &str) -> Vec<char> {
    let mut out: Vec<char> = Vec::new();
    for c in word.chars().take(40) {
        let c = match c {
            'w' => 'v',
            'z' => 'j',
            'y' if out.is_empty() => 'y',
            'y' => 'i',
            other => other,
        };
        if out.last() != Some(&c) {
            out.push(c);
        }
    }
    let mut text: String = out.into_iter().collect();
    for (from, to) in [("ph", "f"), ("ea", "i"), ("e", "i"), ("o", "u"), ("ii", "i"), ("uu", "u")] {
        text = text.replace(from, to);
    }
    text.chars().collect()
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(0);
            let left = row.get(j).copied().unwrap_or(0);
            let here = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = above;
            if let Some(slot) = row.get_mut(j + 1) {
                *slot = here;
            }
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_cases() {
        let saying = ["Thank you for calling the clinic.", "How can I help you today?"];
        for (heard, want) in [
            ("thank you for calling the clinic", true),
            ("for calling the clinic", true),
            ("how can i help", true),
            ("thank you for coling the clinic", true),
            ("yes", false),
            ("help", false),
            ("", false),
            ("I want to book for my daughter", false),
        ] {
            assert_eq!(is_echo(heard, &saying), want, "{heard:?}");
        }
        assert!(!is_echo("thank you for calling", &[]));
    }

    proptest! {
        #[test]
        fn any_text(heard in ".{0,120}", one in ".{0,80}", two in ".{0,80}") {
            let _ = is_echo(&heard, &[&one, &two]);
        }

        #[test]
        fn a_whole_sentence_is_echo(words in proptest::collection::vec("[b-df-hj-np-tv-z]{3}[aeiou][a-z]{2}", 7..20)) {
            let sentence = format!("{}.", words.join(" "));
            prop_assert!(is_echo(&sentence, &["Hello there.", &sentence]));
        }
    }
}
