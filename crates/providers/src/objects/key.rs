//! Names of objects. Made by us; a stored one is checked again before it is used.

use super::{ObjectError, ObjectErrorKind};
use crate::carrier_file::AudioFormat;
use model::{CallId, TenantId};
use object_store::path::Path as StorePath;
use std::fmt;

/// Longest key in bytes; ours are about 110, S3 allows 1 024.
const KEY_BYTES_MAX: usize = 512;

/// The name of an object: parts of letters, digits, `-`, `_` and `.`, with slashes between.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Where the recording of a call is kept: `recordings/{tenant}/{yyyy}/{mm}/{dd}/{call}.wav`.
    #[must_use]
    pub fn recording(tenant: TenantId, day: chrono::NaiveDate, call: CallId) -> Self {
        Self(format!("recordings/{tenant}/{}/{call}.wav", day.format("%Y/%m/%d")))
    }

    /// Where the carrier's recording of a call is kept, beside our own: `….mp3` becomes
    /// `recordings/{tenant}/{yyyy}/{mm}/{dd}/{call}-carrier.mp3`.
    #[must_use]
    pub fn carrier_recording(tenant: TenantId, day: chrono::NaiveDate, call: CallId, format: AudioFormat) -> Self {
        let ends = format.extension();
        Self(format!("recordings/{tenant}/{}/{call}-carrier.{ends}", day.format("%Y/%m/%d")))
    }

    /// A key that was stored before.
    ///
    /// # Errors
    /// When it has a form that is never made: `..`, an empty part, a slash at an end, other characters.
    pub fn parse(text: &str) -> Result<Self, ObjectError> {
        let part_is_fine = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if text.len() > KEY_BYTES_MAX || !text.split('/').all(part_is_fine) {
            // The text is left out: it may be anything.
            return Err(ObjectError::new(ObjectErrorKind::Key, "not a key of ours"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A key that is never used, to ask for.
    pub(super) fn probe() -> Self {
        Self("probe".to_owned())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&ObjectKey> for StorePath {
    fn from(key: &ObjectKey) -> Self {
        // All characters are allowed ones: nothing is escaped.
        Self::from(key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_that_we_never_make_are_refused() {
        for bad in [
            "", "/", "a/", "/a", "a//b", "..", "a/../b", "a/..", "./a", "a/.", "a\\b", "a b", "a%2e", "é", "a\0",
            "a\n", "C:", "a?b", "~",
        ] {
            assert_eq!(ObjectKey::parse(bad).expect_err("refused").kind, ObjectErrorKind::Key, "{bad:?}");
        }
        assert!(ObjectKey::parse(&"a".repeat(KEY_BYTES_MAX + 1)).is_err());
        for good in ["a", "recordings/0/2026/01/02/x.wav", "a..b/c", "...", "A-1_z.tar.gz"] {
            assert_eq!(ObjectKey::parse(good).expect("fine").as_str(), good);
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_stored_under_that_name_and_below_the_root(text in "[a./~ %é-]{0,20}") {
            if let Ok(key) = ObjectKey::parse(&text) {
                let path = StorePath::from(&key);
                prop_assert_eq!(path.as_ref(), text.as_str());
                prop_assert!(!text.split('/').any(|part| part == ".."));
            }
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = ObjectKey::parse(&text);
        }
    }
}
