//! Exotel's REST API (v1): what we ask, and what it answers, in JSON or XML.
//!
//! Sources: developer.exotel.com (outgoing calls, call details, call details in bulk, list of ExoPhones, error codes),
//! support article 48278, the official samples `exotel/Agent-Stream` (Connect Voice AI). XML is what it answers unless
//! the path ends in `.json`, and errors may come in either, at times with status 200; everything is read leniently.

mod answer;
mod order;
mod path;
mod tree;

pub use answer::{
    ActiveStreams, CallDetails, ExoPhone, RestException, RestFault, read_active_streams, read_call, read_calls,
    read_exophones,
};
pub use order::{Connect, Target};
pub use path::{CallsQuery, active_streams, call, call_recording, calls, calls_recording, connect, exophones};

use std::fmt;
use std::str::FromStr;

/// Longest answer read. A page of 100 calls with their details has about 150 kB.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// Longest account id, call id or flow id that is sent; Exotel's call ids have 32 characters.
pub const ID_CHARS_MAX: usize = 128;
/// A media address is shorter than this (official samples: "whole URL < 600 chars").
pub const STREAM_URL_CHARS: usize = 600;
/// Most parameters of a media address (support article 3000108630).
pub const STREAM_PARAMETERS_MAX: usize = 3;
/// Longest query of a media address (support article 3000108630: all parameters together).
pub const STREAM_QUERY_CHARS_MAX: usize = 256;
/// Longest name of a stream.
pub const STREAM_NAME_CHARS_MAX: usize = 32;
/// Longest custom field.
pub const CUSTOM_FIELD_CHARS_MAX: usize = 128;
/// Longest address for status callbacks. Exotel names no limit; it is held to that of the media address.
pub const STATUS_CALLBACK_CHARS_MAX: usize = 600;
/// Longest call, in seconds (`TimeLimit`).
pub const TIME_LIMIT_MAX_S: u32 = 14_400;
/// Longest ringing, in seconds (`TimeOut`).
pub const RING_MAX_S: u32 = 60;
/// How long a signed recording address is asked to be good for, in minutes: the longest that Exotel allows.
pub const RECORDING_URL_VALIDITY_MIN: u32 = 60;
/// Calls asked for at once, the most that Exotel gives.
pub const PAGE_SIZE: u32 = 100;

/// Where an account lives. Credentials go to these hosts and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Region {
    /// India.
    Mumbai,
    /// Everywhere else, and older Indian accounts.
    Singapore,
}

impl Region {
    /// The word for it in settings and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mumbai => "mumbai",
            Self::Singapore => "singapore",
        }
    }

    /// The host of the API.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Mumbai => "api.in.exotel.com",
            Self::Singapore => "api.exotel.com",
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Region {
    type Err = RestError;

    fn from_str(word: &str) -> Result<Self, RestError> {
        match word {
            "mumbai" => Ok(Self::Mumbai),
            "singapore" => Ok(Self::Singapore),
            _ => Err(RestError::Region),
        }
    }
}

/// A request that Exotel would not take, and that is not sent therefore. Names the field, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// No region of Exotel.
    #[error("the region is mumbai or singapore")]
    Region,
    /// Nothing where something must be, or characters that no id of Exotel has.
    #[error("the {0} is not an id: letters, digits, - _ . and at most {ID_CHARS_MAX} of them")]
    NotAnId(&'static str),
    /// Not an address of the kind that the field takes.
    #[error("{field} is not a {expected} URL")]
    NotAUrl {
        /// Exotel's name of the field.
        field: &'static str,
        /// `ws(s)` or `http(s)`.
        expected: &'static str,
    },
    /// Longer than Exotel takes.
    #[error("{field} has {chars} characters, at most {limit} are taken")]
    TooLong {
        /// Exotel's name of the field.
        field: &'static str,
        /// Its length.
        chars: usize,
        /// The limit.
        limit: usize,
    },
    /// More parameters in the query of the media address than are passed on.
    #[error("StreamUrl has {0} parameters, at most {STREAM_PARAMETERS_MAX} are passed on")]
    TooManyParameters(usize),
    /// A number of seconds that Exotel does not take.
    #[error("{field} is {seconds} s, from 1 to {limit} are taken")]
    Seconds {
        /// Exotel's name of the field.
        field: &'static str,
        /// What was given.
        seconds: u32,
        /// The limit.
        limit: u32,
    },
}

/// The text, when it can stand in a path: nothing in it can lead anywhere else.
fn id<'a>(name: &'static str, text: &'a str) -> Result<&'a str, RestError> {
    let fits = (1..=ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && !text.bytes().all(|byte| byte == b'.');
    if fits { Ok(text) } else { Err(RestError::NotAnId(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_a_word_and_a_host() {
        for (word, host) in [("mumbai", "api.in.exotel.com"), ("singapore", "api.exotel.com")] {
            let region: Region = word.parse().expect("a region");
            assert_eq!((region.as_str(), region.host(), region.to_string()), (word, host, word.to_owned()));
        }
        for word in ["", "Mumbai", "in", "api.exotel.com", "evil.example"] {
            assert_eq!(word.parse::<Region>(), Err(RestError::Region), "{word}");
        }
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        for good in ["exotelaccount", "a", "faccc8dce91e426a398475de9fdb1a8p", "my-account_1.x", "...a"] {
            assert_eq!(id("account id", good), Ok(good));
        }
        for bad in ["", ".", "..", "a/b", "a?b", "a#b", "a b", "a%2fb", "ä", "a:b", "a@b", &"x".repeat(129)] {
            assert_eq!(id("account id", bad), Err(RestError::NotAnId("account id")), "{bad}");
        }
    }
}
