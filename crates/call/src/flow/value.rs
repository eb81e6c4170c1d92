//! What a slot holds.

use chrono::{NaiveDate, NaiveTime};
use language::{Tongue, dates, numbers};
use serde::{Deserialize, Serialize};

/// A value collected in a call. Serialised as `{"kind": "date", "value": "2026-11-24"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
pub enum SlotValue {
    /// Words as heard.
    Text(String),
    /// A name, in title case.
    Name(String),
    /// Ten digits.
    Phone(String),
    /// A day.
    Date(NaiveDate),
    /// A time of day.
    Time(NaiveTime),
    /// Yes or no.
    YesNo(bool),
    /// A whole number.
    Number(u64),
    /// Name of the option chosen.
    Choice(String),
    /// Letters and digits, said one by one.
    Code(String),
    /// Rupees as written: `1200` or `1200.50`.
    Money(String),
}

impl SlotValue {
    /// For machines: tool arguments, branches. Dates `2026-11-24`, times `10:00`, phones as ten digits, yes or no.
    #[must_use]
    pub fn plain(&self) -> String {
        match self {
            Self::Text(text)
            | Self::Name(text)
            | Self::Phone(text)
            | Self::Choice(text)
            | Self::Code(text)
            | Self::Money(text) => text.clone(),
            Self::Date(date) => date.format("%Y-%m-%d").to_string(),
            Self::Time(time) => time.format("%H:%M").to_string(),
            Self::YesNo(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Self::Number(n) => n.to_string(),
        }
    }

    /// For ears: "Tuesday the twenty-fourth of November", digits one by one.
    #[must_use]
    pub fn spoken(&self, tongue: Tongue) -> String {
        match self {
            Self::Text(text) | Self::Name(text) | Self::Choice(text) => language::speakable(text, tongue),
            Self::Phone(digits) => numbers::phone(digits, tongue),
            Self::Date(date) => dates::date(*date, tongue),
            Self::Time(time) => dates::time(*time, tongue),
            Self::YesNo(yes) => match (yes, tongue) {
                (true, Tongue::English) => "yes",
                (false, Tongue::English) => "no",
                (true, Tongue::Hindi) => "हाँ",
                (false, Tongue::Hindi) => "नहीं",
            }
            .to_owned(),
            Self::Number(n) => numbers::cardinal(*n, tongue),
            Self::Code(code) => spelled(code, tongue),
            Self::Money(amount) => {
                language::money::rupees(amount, None, tongue).unwrap_or_else(|| language::speakable(amount, tongue))
            }
        }
    }
}

fn spelled(code: &str, tongue: Tongue) -> String {
    let parts: Vec<String> = code
        .chars()
        .filter(|c| c.is_alphanumeric())
        .map(|c| if c.is_ascii_digit() { numbers::digits(&c.to_string(), tongue) } else { c.to_uppercase().collect() })
        .collect();
    parts.join(" ")
}
