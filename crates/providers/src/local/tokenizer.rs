//! The words of Moonshine's tokens. `tokenizer.bin` is a row of byte strings, each after its length: one byte below
//! 128, else two (low seven bits first). The number of a token is its place; U+2581 stands for a space.

use crate::{Error, ErrorKind};

const PROVIDER: &str = "builtin";
/// Tokens at most. Moonshine has 32 768; a file with many more is something else.
const TOKENS_MAX: usize = 262_144;
/// What stands for a space inside a token.
const SPACE: &str = "\u{2581}";

/// Begins a text.
pub(super) const START: i32 = 1;
/// Ends a text.
pub(super) const END: i32 = 2;

/// All tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tokenizer {
    tokens: Vec<Vec<u8>>,
}

impl Tokenizer {
    /// Reads the file's bytes.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, Error> {
        let broken = |why| Error::new(ErrorKind::NotInstalled, PROVIDER, format!("tokenizer.bin {why}"));
        let mut tokens = Vec::new();
        while let [first, rest @ ..] = bytes {
            let (length, rest) = match (*first, rest) {
                (short @ ..128, rest) => (usize::from(short), rest),
                (low, [high, rest @ ..]) => (usize::from(low) - 128 + usize::from(*high) * 128, rest),
                (_, []) => return Err(broken("ends inside a length")),
            };
            let (token, rest) = rest.split_at_checked(length).ok_or_else(|| broken("ends inside a token"))?;
            if tokens.len() == TOKENS_MAX {
                return Err(broken("has too many tokens"));
            }
            tokens.push(token.to_vec());
            bytes = rest;
        }
        if tokens.is_empty() { Err(broken("is empty")) } else { Ok(Self { tokens }) }
    }

    /// The text of tokens. What is no text (the start, the end, a number too high) is left out.
    pub(super) fn text(&self, ids: &[i32]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .filter(|id| **id > END)
            .filter_map(|id| usize::try_from(*id).ok().and_then(|index| self.tokens.get(index)))
            .flatten()
            .copied()
            .collect();
        once_each(String::from_utf8_lossy(&bytes).replace(SPACE, " ").trim())
    }
}

/// The model likes to end "ten a m.." and "correct,,": one mark is enough.
fn once_each(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !(matches!(c, '.' | ',' | '!' | '?') && out.ends_with(['.', ',', '!', '?'])) {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these tokens.
    fn file(tokens: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for token in tokens {
            if token.len() < 128 {
                bytes.push(token.len() as u8);
            } else {
                bytes.push((token.len() % 128 + 128) as u8);
                bytes.push((token.len() / 128) as u8);
            }
            bytes.extend_from_slice(token);
        }
        bytes
    }

    #[test]
    fn tokens_of_any_length_keep_their_places() {
        let long = vec![b'x'; 300];
        let tokens: [&[u8]; 6] = [b"<unk>", b"<s>", b"</s>", "\u{2581}Hello".as_bytes(), b"", &long];
        let tokenizer = Tokenizer::parse(&file(&tokens)).unwrap();
        assert_eq!(tokenizer.tokens.len(), 6);
        assert_eq!(tokenizer.text(&[1, 3, 5, 2]), format!("Hello{}", "x".repeat(300)));
    }

    #[test]
    fn a_character_may_be_spread_over_tokens() {
        let sign = "₹".as_bytes();
        let tokens: [&[u8]; 6] = [b"", b"", b"", &sign[..1], &sign[1..], "\u{2581}500".as_bytes()];
        assert_eq!(Tokenizer::parse(&file(&tokens)).unwrap().text(&[3, 4, 5]), "₹ 500");
    }

    #[test]
    fn numbers_outside_the_table_are_left_out() {
        let tokenizer = Tokenizer::parse(&file(&[b"", b"", b"", b"yes"])).unwrap();
        assert_eq!(tokenizer.text(&[-1, 0, 3, 4, i32::MAX]), "yes");
    }

    #[test]
    fn doubled_marks_become_one() {
        for (text, wanted) in
            [("Ten a m..", "Ten a m."), ("Correct,, press", "Correct, press"), ("Yes?", "Yes?"), ("", "")]
        {
            assert_eq!(once_each(text), wanted);
        }
    }

    #[test]
    fn broken_files_are_refused() {
        for bytes in [&[][..], &[5, b'a'], &[200], &[129, 1, b'a']] {
            assert_eq!(Tokenizer::parse(bytes).unwrap_err().kind, ErrorKind::NotInstalled, "{bytes:?}");
        }
    }
}
