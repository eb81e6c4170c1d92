//! `Retry-After` (RFC 9110 §10.2.3): seconds, or a date, which is measured by the sender's own clock (`Date`).

use chrono::DateTime;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use std::time::Duration;

/// How long the sender wants to be left alone.
pub(super) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let said = text(RETRY_AFTER)?;
    if let Ok(seconds) = said.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(said).ok()?;
    let now = DateTime::parse_from_rfc2822(text(DATE)?).ok()?;
    Some((until - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now = "Tue, 25 Aug 2026 12:07:00 GMT";
        for (said, date, want) in [
            (Some("7"), None, Some(7)),
            (Some(" 0 "), None, Some(0)),
            (Some("Tue, 25 Aug 2026 12:07:30 GMT"), Some(now), Some(30)),
            (Some("Tue, 25 Aug 2026 12:06:30 GMT"), Some(now), Some(0)),
            (Some("Tue, 25 Aug 2026 12:07:30 GMT"), None, None),
            (Some("-1"), Some(now), None),
            (Some("soon"), Some(now), None),
            (Some("99999999999999999999999"), Some(now), None),
            (None, Some(now), None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(RETRY_AFTER, said), (DATE, date)] {
                value.map(|value| headers.insert(name, value.parse().expect("a header")));
            }
            assert_eq!(read(&headers), want.map(Duration::from_secs), "{said:?} {date:?}");
        }
    }
}
