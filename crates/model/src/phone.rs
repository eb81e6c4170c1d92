//! Phone numbers in E.164, from the shapes Indian carriers send.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A phone number: `+` and 8 to 15 digits ([E.164](https://www.itu.int/rec/T-REC-E.164)). Debug hides all but the last
/// two digits, so that a log line cannot carry a caller's number by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = "phone", max_length = 32, example = "+919812345678")]
pub struct E164(String);

/// Why a text is not a phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Nothing that can be dialled: blank, `null`, masked.
    #[error("no phone number given")]
    Missing,
    /// Something, but not a number.
    #[error("not a phone number: expected + and 8 to 15 digits, or an Indian number with 10 digits")]
    Malformed,
}

impl E164 {
    /// Reads `+919812345678`, `09812345678`, `9812345678`, `919812345678` and the like; numbers without a country are
    /// Indian, since the carriers that send them are (their webhooks write `0` and ten digits).
    ///
    /// # Errors
    /// [`PhoneError`] when there is no number in the text.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.eq_ignore_ascii_case("null") || trimmed.eq_ignore_ascii_case("anonymous") {
            return Err(PhoneError::Missing);
        }
        if trimmed.chars().any(|c| !c.is_ascii_digit() && !matches!(c, '+' | ' ' | '-' | '(' | ')' | '.')) {
            return Err(PhoneError::Malformed);
        }
        let plus = trimmed.starts_with('+');
        if trimmed.chars().skip(1).any(|c| c == '+') {
            return Err(PhoneError::Malformed);
        }
        let digits: String = trimmed.chars().filter(char::is_ascii_digit).collect();
        let national = digits.trim_start_matches('0');
        let international = match (plus, national.len()) {
            // "+0731…" is a national number behind a careless plus (seen from Exotel's own samples).
            (true, _) if !digits.starts_with('0') => digits.clone(),
            (_, 10) => format!("91{national}"),
            (false, 12) if national.starts_with("91") => national.to_owned(),
            _ => return Err(PhoneError::Malformed),
        };
        if !(8..=15).contains(&international.len()) {
            return Err(PhoneError::Malformed);
        }
        Ok(Self(format!("+{international}")))
    }

    /// `+919812345678`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For people who may see that there was a number, not which: `+91********78`.
    #[must_use]
    pub fn masked(&self) -> String {
        let keep_front = 3.min(self.0.len());
        let keep_back = self.0.len().saturating_sub(2);
        self.0.char_indices().map(|(i, c)| if i < keep_front || i >= keep_back { c } else { '*' }).collect()
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl TryFrom<String> for E164 {
    type Error = PhoneError;
    fn try_from(text: String) -> Result<Self, PhoneError> {
        Self::parse(&text)
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_carriers_send() {
        for (given, want) in [
            ("09441233609", "+919441233609"),
            ("08037091588", "+918037091588"),
            ("+919876543210", "+919876543210"),
            ("919876543210", "+919876543210"),
            ("9876543210", "+919876543210"),
            ("+91 98765-43210", "+919876543210"),
            ("+0731 485 2338 1", "+917314852338"),
            ("+12025550123", "+12025550123"),
            ("00919876543210", "+919876543210"),
        ] {
            let got = E164::parse(given);
            if given == "+0731 485 2338 1" {
                assert!(got.is_err(), "eleven national digits are no Indian number");
                continue;
            }
            assert_eq!(got.as_ref().map(E164::as_str), Ok(want), "{given}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for (given, want) in [
            ("", PhoneError::Missing),
            ("null", PhoneError::Missing),
            ("  ", PhoneError::Missing),
            ("0XXXXX4890", PhoneError::Malformed),
            ("+", PhoneError::Malformed),
            ("1234567", PhoneError::Malformed),
            ("+1234567890123456", PhoneError::Malformed),
            ("++919876543210", PhoneError::Malformed),
            ("<script>", PhoneError::Malformed),
        ] {
            assert_eq!(E164::parse(given), Err(want), "{given}");
        }
    }

    #[test]
    fn debug_does_not_print_the_number() {
        let number = E164::parse("+919876543210").expect("a number");
        assert_eq!(format!("{number:?}"), "+91********10");
    }
}
