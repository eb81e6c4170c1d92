//! Which part of a recording a request wants ([RFC 9110, section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)).
//! Players ask for parts. One part at a time is given; whoever asks for several gets the whole, as the standard allows.

use axum::http::{HeaderMap, header};
use std::ops::Range;

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, or none that can be followed.
    Whole,
    /// These bytes; never none.
    Part(Range<u64>),
    /// What lies beyond the end.
    Beyond,
}

/// Of a file of `bytes` bytes that is known by `etag`.
pub(super) fn wanted(headers: &HeaderMap, etag: Option<&str>, bytes: u64) -> Wanted {
    let mut lines = headers.get_all(header::RANGE).iter();
    let Some(line) = lines.next() else { return Wanted::Whole };
    // A date never fits, since none is sent; nor does a weak tag.
    let same = headers.get(header::IF_RANGE).is_none_or(|given| etag.is_some_and(|etag| given == etag));
    let text = line.to_str().ok().filter(|_| same && lines.next().is_none());
    text.and_then(|text| read(text, bytes)).unwrap_or(Wanted::Whole)
}

/// None when it cannot be followed.
fn read(text: &str, bytes: u64) -> Option<Wanted> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let range = match (first, last) {
        ("", last) => bytes.saturating_sub(number(last)?)..bytes,
        (first, "") => number(first)?..bytes,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(bytes)
        }
    };
    Some(if range.is_empty() { Wanted::Beyond } else { Wanted::Part(range) })
}

/// Digits only. What is larger than any file is as good as the largest number.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const ETAG: &str = "\"abcd\"";

    fn asked(lines: &[&'static str], if_range: Option<&'static str>, bytes: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::RANGE, HeaderValue::from_static(line));
        }
        if let Some(tag) = if_range {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(tag));
        }
        wanted(&headers, Some(ETAG), bytes)
    }

    #[test]
    fn one_range_is_followed() {
        for (line, want) in [
            ("bytes=0-", Wanted::Part(0..1_000)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=0-499", Wanted::Part(0..500)),
            ("bytes=500-999", Wanted::Part(500..1_000)),
            ("bytes=500-5000", Wanted::Part(500..1_000)),
            ("bytes=999-", Wanted::Part(999..1_000)),
            ("bytes=-1", Wanted::Part(999..1_000)),
            ("bytes=-1000", Wanted::Part(0..1_000)),
            ("bytes=-5000", Wanted::Part(0..1_000)),
            ("BYTES=10-19", Wanted::Part(10..20)),
            ("bytes= 10-19 ", Wanted::Part(10..20)),
            ("bytes=0-99999999999999999999999999", Wanted::Part(0..1_000)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..1_000)),
            ("bytes=1000-", Wanted::Beyond),
            ("bytes=1000-2000", Wanted::Beyond),
            ("bytes=99999999999999999999999999-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
        ] {
            assert_eq!(asked(&[line], None, 1_000), want, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_followed_gives_the_whole() {
        for line in [
            "bytes=5-4",
            "bytes=-",
            "bytes=",
            "bytes",
            "",
            "bytes=a-b",
            "bytes=0x1-5",
            "bytes=+1-5",
            "bytes=1--5",
            "bytes=0-1,4-5",
            "bytes=-1,0-1",
            "items=0-5",
            "bytes=1 - 5",
            "bytes=1.5-3",
        ] {
            assert_eq!(asked(&[line], None, 1_000), Wanted::Whole, "{line}");
        }
        assert_eq!(asked(&[], None, 1_000), Wanted::Whole);
        assert_eq!(asked(&["bytes=0-1", "bytes=4-5"], None, 1_000), Wanted::Whole);
        assert_eq!(asked(&["bytes=0-1"], None, 0), Wanted::Beyond);
    }

    #[test]
    fn a_part_is_given_only_of_the_file_that_is_meant() {
        for (tag, want) in [
            (ETAG, Wanted::Part(0..2)),
            ("\"abce\"", Wanted::Whole),
            ("W/\"abcd\"", Wanted::Whole),
            ("abcd", Wanted::Whole),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Wanted::Whole),
        ] {
            assert_eq!(asked(&["bytes=0-1"], Some(tag), 1_000), want, "{tag}");
        }
        // A file without a tag is never surely the same; a range beyond the end of another file is none.
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static(ETAG));
        assert_eq!(wanted(&headers, None, 1_000), Wanted::Whole);
        assert_eq!(asked(&["bytes=5000-"], Some("\"abce\""), 1_000), Wanted::Whole);
    }
}
