//! When words are said, as voices tell it: put in order, and put together from characters.
//!
//! Vendors tell times as numbers of any size and in messages of any length; here they become milliseconds since the
//! sentence's first sample that never run backwards.

/// Longest word, in bytes. A text without spaces (Thai, Japanese) is cut here, so that its words still have times.
pub const WORD_BYTES_MAX: usize = 256;

/// A word and when it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedWord {
    /// The word, with the punctuation that clings to it.
    pub text: String,
    /// Its beginning, ms since the sentence's first sample.
    pub from_ms: u32,
    /// Its end.
    pub to_ms: u32,
}

/// Keeps the words of one sentence in order: none begins before the one before it, none ends before it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordOrder {
    last_from_ms: u32,
}

impl WordOrder {
    /// The next word; times that are no times are put where the last word began.
    pub fn next(&mut self, text: String, from_ms: f64, to_ms: f64) -> TimedWord {
        let from_ms = whole_ms(from_ms).max(self.last_from_ms);
        self.last_from_ms = from_ms;
        TimedWord { text, from_ms, to_ms: whole_ms(to_ms).max(from_ms) }
    }
}

fn whole_ms(ms: f64) -> u32 {
    // NaN becomes 0, what is too large the largest: that is what the conversion does.
    ms.round() as u32
}

/// Puts words together from characters with times, also when a word goes on in the next message. Words end at white
/// space only: the signs of Devanagari and other scripts may come as characters of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CharacterWords {
    order: WordOrder,
    text: String,
    from_ms: f64,
    to_ms: f64,
}

impl CharacterWords {
    /// The next character, which may be a cluster of several code points.
    pub fn push(&mut self, character: &str, from_ms: f64, to_ms: f64, out: &mut Vec<TimedWord>) {
        for c in character.chars() {
            if c.is_whitespace() {
                out.extend(self.finish());
                continue;
            }
            if self.text.len() + c.len_utf8() > WORD_BYTES_MAX {
                out.extend(self.finish());
            }
            if self.text.is_empty() {
                self.from_ms = from_ms;
            }
            self.text.push(c);
            self.to_ms = to_ms;
        }
    }

    /// The word that no space has ended yet.
    pub fn finish(&mut self) -> Option<TimedWord> {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() { None } else { Some(self.order.next(text, self.from_ms, self.to_ms)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, from_ms: u32, to_ms: u32) -> TimedWord {
        TimedWord { text: text.to_owned(), from_ms, to_ms }
    }

    #[test]
    fn words_never_run_backwards() {
        let mut order = WordOrder::default();
        for (from, to, want) in [
            (10.4, 200.6, (10, 201)),
            (5.0, 20.0, (10, 20)),
            (300.0, 250.0, (300, 300)),
            (f64::NAN, f64::INFINITY, (300, u32::MAX)),
            (-7.0, -1.0, (300, 300)),
        ] {
            let got = order.next("x".into(), from, to);
            assert_eq!((got.from_ms, got.to_ms), want, "{from} {to}");
        }
    }

    #[test]
    fn devanagari_signs_stay_with_their_word() {
        let mut words = CharacterWords::default();
        let mut out = Vec::new();
        for (n, c) in "नमस्ते, क्यों? हाँ।".chars().enumerate() {
            words.push(c.encode_utf8(&mut [0; 4]), n as f64 * 10.0, n as f64 * 10.0 + 10.0, &mut out);
        }
        out.extend(words.finish());
        assert_eq!(out, [word("नमस्ते,", 0, 70), word("क्यों?", 80, 140), word("हाँ।", 150, 190)]);
        assert_eq!(words.finish(), None);
    }

    #[test]
    fn clusters_and_unbroken_text() {
        let mut words = CharacterWords::default();
        let mut out = Vec::new();
        // A cluster may hold the space that ends a word.
        for (n, cluster) in ["हि", "न्", "दी ", "भा", "षा"].iter().enumerate() {
            words.push(cluster, n as f64 * 100.0, n as f64 * 100.0 + 100.0, &mut out);
        }
        out.extend(words.finish());
        assert_eq!(out, [word("हिन्दी", 0, 300), word("भाषा", 300, 500)]);
        out.clear();
        for n in 0..300 {
            words.push("a", f64::from(n) + 1_000.0, f64::from(n) + 1_001.0, &mut out);
        }
        out.extend(words.finish());
        let lengths: Vec<usize> = out.iter().map(|w| w.text.len()).collect();
        assert_eq!(lengths, [WORD_BYTES_MAX, 300 - WORD_BYTES_MAX]);
    }
}
