//! How English is pronounced: misaki's dictionaries and rules, and a small network for words none of them knows
//! (names, mostly).

use super::network::{Network, row};
use crate::{Error, ErrorKind};
use misaki_rs::fallback::{Fallback, FallbackError};
use misaki_rs::{G2P, Language};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

const PROVIDER: &str = "builtin";
/// Longest unknown word that is read in one piece, whatever the network's own limit says.
const WORD_LETTERS_MAX: usize = 64;

/// Letters and phonemes of the network for unknown words; both are numbered from one, zero is the blank.
#[derive(Deserialize)]
struct Letters {
    #[serde(rename = "in")]
    letters: Vec<char>,
    #[serde(rename = "out")]
    phonemes: Vec<String>,
    #[serde(rename = "maxlen")]
    longest: usize,
}

/// Reads words no dictionary knows.
struct UnknownWords {
    network: Network,
    numbers: BTreeMap<char, i32>,
    phonemes: Vec<String>,
    longest: usize,
}

impl UnknownWords {
    fn read(&self, word: &str) -> Result<String, Error> {
        let ids: Vec<i32> = word.chars().filter_map(|c| self.numbers.get(&c).copied()).take(self.longest).collect();
        if ids.is_empty() {
            return Ok(String::new());
        }
        let input = self.network.node("chars")?;
        let mut values = self.network.run(vec![(input, row(ids))], self.network.outputs())?;
        Ok(collapsed(&self.network.integers(&mut values)?, &self.phonemes))
    }
}

/// One phoneme for each run of equal numbers, none for the blank.
fn collapsed(ids: &[i32], phonemes: &[String]) -> String {
    let mut last = 0;
    let mut text = String::new();
    for id in ids {
        if *id != last {
            let phoneme = usize::try_from(*id).ok().and_then(|i| i.checked_sub(1)).and_then(|i| phonemes.get(i));
            text.extend(phoneme.map(String::as_str));
        }
        last = *id;
    }
    text
}

impl Fallback for UnknownWords {
    fn phonemize(&self, word: &str) -> Result<String, FallbackError> {
        // A word that cannot be read is left out; the rest of the sentence is worth saying.
        Ok(self.read(word).unwrap_or_default())
    }
}

/// The pronunciation of English (US).
pub(super) struct Phonemes {
    rules: G2P,
}

impl Phonemes {
    pub(super) fn load(network: &Path, letters: &Path) -> Result<Self, Error> {
        let broken = || Error::new(ErrorKind::NotInstalled, PROVIDER, format!("{} cannot be read", letters.display()));
        let bytes = std::fs::read(letters).map_err(|e| broken().caused_by(e))?;
        let table: Letters = serde_json::from_slice(&bytes).map_err(|e| broken().caused_by(e))?;
        let unknown = UnknownWords {
            network: Network::load(network, "unknown words")?,
            numbers: table.letters.into_iter().zip(1..).collect(),
            phonemes: table.phonemes,
            longest: table.longest.min(WORD_LETTERS_MAX),
        };
        Ok(Self { rules: G2P::with_fallback(Language::EnglishUS, Some(Box::new(unknown))) })
    }

    /// The phonemes of a text.
    pub(super) fn of(&self, text: &str) -> Result<String, Error> {
        // `[word](…)` would be read as an instruction on how to pronounce a word; nobody speaks brackets.
        let plain: String = text.chars().map(|c| if matches!(c, '[' | ']') { ' ' } else { c }).collect();
        let (phonemes, _) = self
            .rules
            .g2p(&plain)
            .map_err(|e| Error::new(ErrorKind::Protocol, PROVIDER, "the text cannot be pronounced").caused_by(e))?;
        Ok(phonemes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_collapse_and_blanks_part_them() {
        let phonemes: Vec<String> = ["p", "ɹ", "i"].map(str::to_owned).to_vec();
        assert_eq!(collapsed(&[0, 1, 1, 2, 0, 2, 3, 3, 0], &phonemes), "pɹɹi");
        assert_eq!(collapsed(&[], &phonemes), "");
        assert_eq!(collapsed(&[9, -4, 1], &phonemes), "p", "numbers outside the table are left out");
    }
}
