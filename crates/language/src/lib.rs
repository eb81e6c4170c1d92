//! Text for speech and spoken text understood, in English and Hindi and the mix of both that callers in India speak.
//!
//! Outward: [`sentence`] cuts streamed text into pieces a voice can begin with, [`speakable`](mod@speakable) writes
//! numbers, money, dates and times as words, [`script`] changes the letters for a voice that reads only some. Inward:
//! [`understand`] reads answers out of transcribed text, [`backchannel`] and [`tail`] say whether the caller only listens
//! or is not finished, [`echo`] whether it was the caller at all, [`announcement`] who answered a call we placed,
//! [`switch`] which language is spoken; [`words`] compares transcripts.
//!
//! All functions take any text and never panic.

use serde::{Deserialize, Serialize};

pub mod announcement;
pub mod backchannel;
pub mod dates;
pub mod echo;
pub mod money;
mod number_words;
pub mod numbers;
pub mod script;
pub mod sentence;
pub mod speakable;
pub mod switch;
pub mod tail;
mod tokens;
pub mod understand;
pub mod words;

pub use speakable::speakable;

/// Longest text that is rewritten for a voice, in characters: about twenty minutes of speech. What is behind is left out.
pub const TEXT_CHARS_MAX: usize = 20_000;

/// A language that text is spoken in. Hinglish is not a third one: understanding always takes both languages and both
/// scripts, speaking needs one choice for number words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tongue {
    /// English as spoken in India: lakh and crore.
    #[default]
    #[serde(rename = "en-IN")]
    English,
    /// Hindi in Devanagari.
    #[serde(rename = "hi-IN")]
    Hindi,
}

impl Tongue {
    /// Reads a BCP 47 tag: `en-IN`, `en`, `hi-IN`, `hi`, in any case. `None` for other languages.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("en") {
            Some(Self::English)
        } else if primary.eq_ignore_ascii_case("hi") {
            Some(Self::Hindi)
        } else {
            None
        }
    }

    /// `en-IN` or `hi-IN`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en-IN",
            Self::Hindi => "hi-IN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tongue;

    #[test]
    fn tags() {
        for (tag, want) in [
            ("en-IN", Some(Tongue::English)),
            ("EN", Some(Tongue::English)),
            ("en_US", Some(Tongue::English)),
            ("hi-IN", Some(Tongue::Hindi)),
            (" hi ", Some(Tongue::Hindi)),
            ("", None),
            ("ta-IN", None),
            ("english", None),
        ] {
            assert_eq!(Tongue::from_tag(tag), want, "{tag:?}");
        }
        assert_eq!(Tongue::from_tag(Tongue::Hindi.tag()), Some(Tongue::Hindi));
    }
}
