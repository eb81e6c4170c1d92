//! The switches as words, for command lines and files of other programs.

use super::{Branch, Coding, Fault, Human, MarksAfterClear, OversizePolicy, RequestShape, StreamAs};
use std::str::FromStr;
use std::time::Duration;

/// Frames or events of a fault when no number is said.
const COUNT: u32 = 20;
/// A conversation when no length is said.
const TALK: Duration = Duration::from_secs(60);

/// A word that is none of those asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of: {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

macro_rules! words {
    ($($kind:ty { $($word:literal => $value:expr),* $(,)? })*) => {
        $(impl FromStr for $kind {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok($value),)*
                    _ => Err(UnknownWord { word: word.to_owned(), known: [$($word),*].join(", ") }),
                }
            }
        })*
    };
}

words! {
    RequestShape {
        "2024-09" => Self::September2024, "2025-01" => Self::January2025, "2026-08" => Self::August2026,
    }
    MarksAfterClear { "echo" => Self::Echo, "drop" => Self::Drop }
    OversizePolicy { "ignore" => Self::Ignore, "close" => Self::Close, "drop" => Self::Drop }
    Coding { "multipart" => Self::Multipart, "urlencoded" => Self::Urlencoded, "json" => Self::Json }
    StreamAs { "escaped" => Self::EscapedKeys, "plain" => Self::Keys, "json" => Self::Text }
    Branch { "always" => Self::Always, "200" => Self::Ok, "302" => Self::Found }
    Human {
        "answers" => Self::Answers { talk: TALK }, "busy" => Self::Busy, "no-answer" => Self::NoAnswer,
        "fails" => Self::Fails,
    }
}

/// The names of [`Fault`]s; those with a time take `name:MILLISECONDS`, some `name:MILLISECONDS:COUNT`.
const FAULTS: &str = "no-start, silent, never-close, freeze:MS, stop-reading:MS, garbage:MS:COUNT, unknown:MS:COUNT, \
                      oversized:MS, odd:MS, clear:MS, second-start:MS, stopped:MS, close:MS, drop:MS";

impl FromStr for Fault {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord { word: text.to_owned(), known: FAULTS.to_owned() };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let at_ms: u64 = parts.next().map_or(Ok(0), str::parse).map_err(|_| unknown())?;
        let count: u32 = parts.next().map_or(Ok(COUNT), str::parse).map_err(|_| unknown())?;
        if parts.next().is_some() {
            return Err(unknown());
        }
        Ok(match name {
            "no-start" => Self::NoStart,
            "silent" => Self::SilentAfterStart,
            "never-close" => Self::NeverClose,
            "freeze" => Self::Freeze { at_ms },
            "stop-reading" => Self::StopReading { at_ms },
            "garbage" => Self::GarbageFrames { at_ms, count },
            "unknown" => Self::UnknownEvents { at_ms, count },
            "oversized" => Self::OversizedFrame { at_ms },
            "odd" => Self::OddFrame { at_ms },
            "clear" => Self::Clear { at_ms },
            "second-start" => Self::DuplicatedStart { at_ms },
            "stopped" => Self::StreamStopped { at_ms },
            "close" => Self::CloseWithoutStop { at_ms },
            "drop" => Self::DropMidCall { at_ms },
            _ => return Err(unknown()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_wrong_ones_answered_with_the_right_ones() {
        assert_eq!("2025-01".parse(), Ok(RequestShape::January2025));
        assert_eq!("plain".parse(), Ok(StreamAs::Keys));
        assert_eq!("302".parse(), Ok(Branch::Found));
        assert_eq!("drop:1500".parse(), Ok(Fault::DropMidCall { at_ms: 1_500 }));
        assert_eq!("garbage:100:3".parse(), Ok(Fault::GarbageFrames { at_ms: 100, count: 3 }));
        assert_eq!("unknown".parse(), Ok(Fault::UnknownEvents { at_ms: 0, count: 20 }));
        for wrong in ["explode", "drop:soon", "drop:1:2:3", ""] {
            assert!(wrong.parse::<Fault>().unwrap_err().to_string().contains("stop-reading:MS"), "{wrong}");
        }
        assert_eq!("x".parse::<Human>().unwrap_err().to_string(), "\"x\" is none of: answers, busy, no-answer, fails");
    }

    #[test]
    fn every_fault_has_a_word() {
        for word in FAULTS.split(", ") {
            let text = word.replace("MS", "5").replace("COUNT", "6");
            assert!(text.parse::<Fault>().is_ok(), "{word}");
        }
    }
}
