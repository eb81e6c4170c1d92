//! Cuts text that arrives piece by piece into sentences, so that a voice can begin before the rest is written.
//!
//! A sentence ends at `.`, `!`, `?` before a space, at a danda (`।`, `॥`, or `|` typed for it), and at a line break; not
//! inside numbers (`3.5`, `1,200.50`), after abbreviations (`Dr.`, `a.m.`, `Rs.`, `डॉ.`, `रु.`, `कि.मी.`), initials (`A. P.`,
//! `ए. पी.`) or inside an ellipsis. The first sentence may end early, at a comma.
//!
//! The cutter looks at one character after the other, so how a text was cut into pieces on its way changes nothing.

/// Longest sentence, in bytes: about 15 s of English speech. Beyond, it is cut at a comma or a space; a voice given more
/// answers late.
pub const SENTENCE_BYTES_MAX: usize = 240;
/// The first sentence may be cut at a comma after so many characters: enough for a voice to begin (1.5 s) while the
/// rest arrives, and too long for "Yes,".
pub const FIRST_CLAUSE_CHARS_MIN: usize = 25;

/// Abbreviations before which or after which a full stop never ends a sentence.
const ABBREVIATIONS_INSIDE: &[&str] = &[
    "dr",
    "mr",
    "mrs",
    "ms",
    "prof",
    "st",
    "rs",
    "vs",
    "smt",
    "shri",
    "gen",
    "col",
    "capt",
    "hon",
    "rev",
    "e.g",
    "i.e",
    "eg",
    "ie",
    "approx",
    "mt",
    "sh",
    "er",
    "adv",
    "lt",
    "maj",
    "pt",
    "डॉ",
    "डा",
    "श्री",
    "रु",
    "रू",
    "प्रो",
    "पं",
    "कु",
    "सुश्री",
    "इं",
    "एड",
    "कि",
    "कि.मी",
    "कि.ग्रा",
    "मो",
    "नं",
    "सं",
    "क्र",
    "दि",
    "पृ",
    "ले",
    "मे",
];
/// Abbreviations that may end a sentence: they do when a capital follows.
const ABBREVIATIONS_EITHER: &[&str] =
    &["a.m", "p.m", "am", "pm", "etc", "jr", "sr", "ltd", "pvt", "co", "inc", "dept", "govt", "ext", "u.s", "u.k"];
/// Abbreviations as long as a word that may end a sentence.
const ABBREVIATIONS_LONG: &[&str] = &["sept", "tues", "thur", "thurs", "extn", "addl", "secy", "bros", "gram", "dist"];
/// Letters of a word whose full stop ends a sentence without a look at what follows. Shorter ones may be abbreviations.
const WORD_CHARS_MIN: usize = 4;
/// Names of Latin letters in Devanagari: initials. Those that are words as well ("के", "जी") count only behind another.
const LETTER_NAMES: &[&str] = &[
    "ए",
    "बी",
    "सी",
    "डी",
    "ई",
    "एफ",
    "एच",
    "आई",
    "जे",
    "एल",
    "एम",
    "एन",
    "ओ",
    "पी",
    "क्यू",
    "आर",
    "एस",
    "टी",
    "यू",
    "वी",
    "एक्स",
    "वाई",
    "जेड",
];
const LETTER_NAMES_BEHIND: &[&str] = &["जी", "के"];

/// Incremental cutter: feed it what a language model streams.
#[derive(Clone, Debug, Default)]
pub struct SentenceCutter {
    buffer: String,
    begun: bool,
}

impl SentenceCutter {
    /// An empty cutter.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more text; returns the sentences that are whole now, without spaces around them.
    ///
    /// The same text gives the same sentences in whatever pieces it comes. What is kept is at most
    /// [`SENTENCE_BYTES_MAX`] and a character.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        for c in text.chars() {
            if self.buffer.is_empty() && c.is_whitespace() {
                continue;
            }
            self.buffer.push(c);
            while let Some(end) = self.next_cut() {
                let rest = self.buffer.split_off(end).trim_start().to_owned();
                let sentence = std::mem::replace(&mut self.buffer, rest);
                if let Some(sentence) = worth_saying(&sentence) {
                    self.begun = true;
                    out.push(sentence);
                }
            }
        }
        out
    }

    /// To be asked after each piece that a language model writes: the sentence in the buffer, when the piece surely ended
    /// it, so that a voice begins one piece earlier. A model's pieces are words and marks: none ends between a full stop
    /// and what belongs to it (`.com`, `."`). Where a mark may mean something else, the next piece tells.
    pub fn at_end_of_piece(&mut self) -> Option<String> {
        let (at, mark) = self.buffer.char_indices().next_back()?;
        let head = self.buffer.get(..at).unwrap_or_default();
        let word = last_word(head);
        let spoken = word.chars().next_back().is_some_and(char::is_alphanumeric);
        let whole = match mark {
            '।' | '!' | '?' => spoken,
            '.' => {
                let lower = crate::tokens::fold(word);
                let known = [ABBREVIATIONS_INSIDE, ABBREVIATIONS_EITHER, ABBREVIATIONS_LONG];
                word.chars().count() >= WORD_CHARS_MIN
                    && word.chars().all(|c| c.is_alphabetic() || ('\u{0900}'..='\u{097F}').contains(&c))
                    && !known.iter().any(|list| list.contains(&lower.as_str()))
            }
            _ => false,
        };
        if !whole {
            return None;
        }
        self.begun = true;
        worth_saying(&std::mem::take(&mut self.buffer))
    }

    /// The text has ended: what is left, if it can be said.
    pub fn finish(&mut self) -> Option<String> {
        self.begun = false;
        worth_saying(&std::mem::take(&mut self.buffer))
    }

    /// Byte offset behind the first sentence in the buffer, which does not begin with white space.
    fn next_cut(&self) -> Option<usize> {
        let mut chars = self.buffer.char_indices().peekable();
        let mut count = 0_usize;
        while let Some((at, c)) = chars.next() {
            let end = at + c.len_utf8();
            count += 1;
            match c {
                '\n' => return Some(end),
                '|' if !self.is_danda(at) => {}
                '.' | '!' | '?' | '।' | '॥' | '|' | '…' => {
                    let Some(after_closers) = self.closers_end(end) else { continue };
                    if self.ends_sentence(at, c, after_closers) {
                        return Some(after_closers);
                    }
                }
                ',' | ';' | ':' | '—'
                    if !self.begun
                        && count >= FIRST_CLAUSE_CHARS_MIN
                        && chars.peek().is_some_and(|(_, next)| next.is_whitespace()) =>
                {
                    return Some(end);
                }
                _ => {}
            }
        }
        (self.buffer.len() > SENTENCE_BYTES_MAX).then(|| self.forced_cut())
    }

    /// A bar behind Devanagari stands for a danda.
    fn is_danda(&self, at: usize) -> bool {
        let head = self.buffer.get(..at).unwrap_or_default();
        head.trim_end().ends_with(|c: char| ('\u{0900}'..='\u{097F}').contains(&c))
    }

    /// Behind further end marks, quotes and brackets; `None` while it is not known what follows.
    fn closers_end(&self, from: usize) -> Option<usize> {
        let tail = self.buffer.get(from..)?;
        for (at, c) in tail.char_indices() {
            if !matches!(c, '.' | '!' | '?' | '…' | '।' | '॥' | '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '*' | '_')
            {
                return Some(from + at);
            }
        }
        None
    }

    /// Whether the mark `c` at byte `at`, with its closers up to `end`, closes a sentence.
    fn ends_sentence(&self, at: usize, c: char, end: usize) -> bool {
        let head = self.buffer.get(..at).unwrap_or_default();
        let tail = self.buffer.get(end..).unwrap_or_default();
        if matches!(c, '।' | '॥' | '|') {
            // A verse's number stands between two of them: "॥१॥".
            return !tail.starts_with(|n: char| n.is_ascii_digit() || ('०'..='९').contains(&n));
        }
        if !tail.starts_with(char::is_whitespace) {
            return false;
        }
        if tail.starts_with('\n') || matches!(c, '!' | '?') {
            return true;
        }
        let word = last_word(head);
        let lower = crate::tokens::fold(word);
        let next = tail.trim_start().chars().next();
        let dots =
            self.buffer.get(at..end).is_some_and(|marks| marks.contains("..")) || c == '…' || word.ends_with('.');
        if dots && !ABBREVIATIONS_INSIDE.contains(&lower.as_str()) {
            // An ellipsis is a pause unless a new sentence follows.
            return next.is_some_and(starts_sentence);
        }
        if ABBREVIATIONS_INSIDE.contains(&lower.as_str()) {
            return false;
        }
        if ABBREVIATIONS_EITHER.contains(&lower.as_str()) {
            return next.is_some_and(starts_sentence);
        }
        if lower == "no" {
            // "No. 5" is number five.
            return next.is_some_and(|n| !n.is_ascii_digit());
        }
        let initial = (word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I")
            || LETTER_NAMES.contains(&lower.as_str())
            || (LETTER_NAMES_BEHIND.contains(&lower.as_str()) && head.trim_end_matches(word).trim_end().ends_with('.'));
        let list_number = word.bytes().all(|b| b.is_ascii_digit()) && head.trim() == word && !word.is_empty();
        !initial && !list_number
    }

    /// Where to cut text without an end mark: the last comma in reach, else the last space, else the limit itself.
    fn forced_cut(&self) -> usize {
        let mut limit = SENTENCE_BYTES_MAX.min(self.buffer.len());
        while !self.buffer.is_char_boundary(limit) {
            limit -= 1;
        }
        let head = self.buffer.get(..limit).unwrap_or_default();
        let comma = head.rfind(", ").filter(|at| *at > SENTENCE_BYTES_MAX / 3).map(|at| at + 1);
        let space = head.rfind(char::is_whitespace).filter(|at| *at > 0);
        comma.or(space).unwrap_or(limit)
    }
}

fn last_word(text: &str) -> &str {
    text.rsplit(|x: char| x.is_whitespace() || matches!(x, '(' | '"' | '“' | '‘' | '-' | ','))
        .next()
        .unwrap_or_default()
}

/// A capital, a digit, a quotation. A letter of a script without capitals does not show it: after "10 a.m." a Hindi
/// sentence mostly goes on.
fn starts_sentence(c: char) -> bool {
    c.is_uppercase() || c.is_ascii_digit() || matches!(c, '"' | '“' | '₹')
}

fn worth_saying(text: &str) -> Option<String> {
    let trimmed = text.trim();
    trimmed.chars().any(char::is_alphanumeric).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &str, piece: usize) -> Vec<String> {
        let mut cutter = SentenceCutter::new();
        let chars: Vec<char> = text.chars().collect();
        let mut out = Vec::new();
        for chunk in chars.chunks(piece) {
            out.extend(cutter.push(&chunk.iter().collect::<String>()));
        }
        out.extend(cutter.finish());
        out
    }

    #[test]
    fn sentences() {
        for (text, want) in [
            ("Hello. How are you?", "Hello.|How are you?"),
            ("It costs ₹1,200.50 today. Fine?", "It costs ₹1,200.50 today.|Fine?"),
            ("It is 3.5 km. Go.", "It is 3.5 km.|Go."),
            ("Dr. Sharma is in. Mr. Rao is not.", "Dr. Sharma is in.|Mr. Rao is not."),
            ("Come at 10 a.m. tomorrow. Thanks!", "Come at 10 a.m. tomorrow.|Thanks!"),
            ("Come at 10 a.m. We open then.", "Come at 10 a.m.|We open then."),
            ("Pay Rs. 500 now. Ok.", "Pay Rs. 500 now.|Ok."),
            ("Fruit, e.g. apples. Yes.", "Fruit, e.g. apples.|Yes."),
            ("Well... let me see. Yes.", "Well... let me see.|Yes."),
            ("Well... Let me see.", "Well...|Let me see."),
            ("Really?! Yes.", "Really?!|Yes."),
            ("He said \"Go.\" Then left.", "He said \"Go.\"|Then left."),
            ("नमस्ते। आप कैसे हैं? ठीक।", "नमस्ते।|आप कैसे हैं?|ठीक।"),
            ("First line\nSecond line", "First line|Second line"),
            ("डॉ. शर्मा कल आएँगे। ठीक है?", "डॉ. शर्मा कल आएँगे।|ठीक है?"),
            ("फीस रु. 500 है। धन्यवाद।", "फीस रु. 500 है।|धन्यवाद।"),
            ("दूरी 3.5 कि.मी. है। चलिए।", "दूरी 3.5 कि.मी. है।|चलिए।"),
            ("ब्याज 8.5 प्रतिशत है।और कुछ?", "ब्याज 8.5 प्रतिशत है।|और कुछ?"),
            ("उन्होंने कहा, “ठीक है।” फिर चले गए।", "उन्होंने कहा, “ठीक है।”|फिर चले गए।"),
            ("ए. पी. जे. अब्दुल कलाम आए। अच्छा।", "ए. पी. जे. अब्दुल कलाम आए।|अच्छा।"),
            ("अच्छा... देखते हैं। हाँ जी. बताइए.", "अच्छा... देखते हैं।|हाँ जी.|बताइए."),
            ("राम राम ॥१॥ श्याम ॥२॥ इति", "राम राम ॥१॥|श्याम ॥२॥|इति"),
            ("नमस्ते | आप कैसे हैं | ठीक", "नमस्ते ||आप कैसे हैं ||ठीक"),
            ("आपका OTP 1234 है। Please note it. धन्यवाद!", "आपका OTP 1234 है।|Please note it.|धन्यवाद!"),
            ("Dr. शर्मा 10:30 a.m. पर मिलेंगे। Ok.", "Dr. शर्मा 10:30 a.m. पर मिलेंगे।|Ok."),
            ("क्या आप आएँगे?! ज़रूर!", "क्या आप आएँगे?!|ज़रूर!"),
            ("पं. नेहरू और प्रो. राव। हाँ।", "पं. नेहरू और प्रो. राव।|हाँ।"),
            ("A. P. J. Kalam came. Good.", "A. P. J. Kalam came.|Good."),
            ("It was I. You know.", "It was I.|You know."),
            ("1. Take this. 2. Take that.", "1. Take this.|2. Take that."),
            ("Room no. 5 is free. Ok.", "Room no. 5 is free.|Ok."),
            ("I said no. You heard.", "I said no.|You heard."),
            ("Visit example.com today. Ok.", "Visit example.com today.|Ok."),
            ("   ", ""),
            ("...", ""),
            ("No end mark", "No end mark"),
            ("We open at 10. You can come.", "We open at 10.|You can come."),
            ("Smt. Devi and Shri. Ram. Ok.", "Smt. Devi and Shri. Ram.|Ok."),
            (
                "Thank you for calling the clinic, we are open now. Ok.",
                "Thank you for calling the clinic,|we are open now.|Ok.",
            ),
            (
                "Yes, of course. Ok, then, it will be so, I promise that.",
                "Yes, of course.|Ok, then, it will be so, I promise that.",
            ),
            ("The amount is exactly ₹1,20,000 in all. Ok.", "The amount is exactly ₹1,20,000 in all.|Ok."),
        ] {
            for piece in [1, 3, 7, 1000] {
                assert_eq!(cut(text, piece).join("|"), want, "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_piece_that_surely_ends_a_sentence_is_not_waited_for() {
        for (pieces, want) in [
            (&["Okay", ",", " it is", " noted", ".", " Your", " order"][..], "4 Okay, it is noted."),
            (&["नमस्ते", "।", " आप"], "1 नमस्ते।"),
            (&["ठीक", " है", "?"], "2 ठीक है?"),
            (&["हाँ जी बताइए", "."], "1 हाँ जी बताइए."),
            (&["It costs Rs", ".", " 500"], ""),
            (&["Ask Prof", ".", " Rao"], ""),
            (&["On 3 Sept", "."], ""),
            (&["It is 3", ".", "5 km"], ""),
            (&["We open at 10", ".", "30"], ""),
            (&["Mr. A", "."], ""),
            (&["Wait", "..."], ""),
            (&["Room no", ".", " 5"], ""),
            (&["at example", ".com"], ""),
            (&["https://caly.example", "."], ""),
            (&["राम ॥१", "॥"], ""),
            (&[".", "!"], ""),
            (&["Really", "?", "!", " Yes"], "1 Really?"),
        ] {
            let mut cutter = SentenceCutter::new();
            let mut out = Vec::new();
            for (n, piece) in pieces.iter().enumerate() {
                assert_eq!(cutter.push(piece), Vec::<String>::new(), "{pieces:?}");
                out.extend(cutter.at_end_of_piece().map(|sentence| format!("{n} {sentence}")));
            }
            assert_eq!(out.join("|"), want, "{pieces:?}");
        }
        let mut cutter = SentenceCutter::new();
        cutter.push("It is noted.");
        assert_eq!(cutter.at_end_of_piece().as_deref(), Some("It is noted."));
        assert_eq!(cutter.push(" Your order, which is on its way"), Vec::<String>::new(), "the first one was said");
        assert_eq!(cutter.finish().as_deref(), Some("Your order, which is on its way"));
    }

    #[test]
    fn early_first_clause_comes_before_the_end() {
        let mut cutter = SentenceCutter::new();
        assert_eq!(cutter.push("Your appointment is on Tuesday, "), ["Your appointment is on Tuesday,"]);
        assert_eq!(cutter.push("and the doctor is waiting for you there, as I said"), Vec::<String>::new());
    }

    #[test]
    fn long_text_is_cut() {
        let words = "word ".repeat(200);
        for sentence in cut(&words, 11) {
            assert!(sentence.len() <= SENTENCE_BYTES_MAX, "{}", sentence.len());
        }
        let solid = "क".repeat(1_000);
        assert!(cut(&solid, 5).iter().all(|s| s.len() <= SENTENCE_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-zA-Z0-9क-ह .,!?।\n₹\"-]{0,400}", piece in 1_usize..40) {
            let letters = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(letters(&cut(&text, piece).concat()), letters(&text));
        }

        #[test]
        fn pieces_change_nothing(text in "([a-zA-Zक-ह0-9]{1,8}[.,!?।॥…\"”| \n₹-]{0,3}|Dr\\. |डॉ\\. |a\\.m\\. |no\\. 5 |3\\.5){0,80}", cuts in proptest::collection::vec(1_usize..30, 1..40)) {
            let whole = cut(&text, usize::MAX);
            let mut cutter = SentenceCutter::new();
            let mut out = Vec::new();
            let mut rest: Vec<char> = text.chars().collect();
            for size in cuts.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let piece: String = rest.drain(..size.min(rest.len())).collect();
                out.extend(cutter.push(&piece));
            }
            out.extend(cutter.finish());
            prop_assert_eq!(out, whole);
        }

        #[test]
        fn any_text(text in ".{0,300}", piece in 1_usize..40) {
            for sentence in cut(&text, piece) {
                prop_assert!(sentence.len() <= SENTENCE_BYTES_MAX + 8);
            }
        }
    }
}
