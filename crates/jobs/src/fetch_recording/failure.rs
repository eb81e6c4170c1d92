//! What follows from a download that failed.

use crate::attempts::Tried;
use chrono::Duration;
use providers::carrier_file::{FileError, NotAudio};

/// Why there is no file.
#[derive(Debug)]
pub(super) enum Unfetched {
    /// The carrier has failed too often; nothing was tried.
    Open(Duration),
    /// Not now.
    Later(String),
    /// No try will help.
    Never(String),
    /// This machine's disk.
    Disk(String),
}

impl Unfetched {
    /// The same, with what stood in the way of a fresh address.
    pub(super) fn and(self, why: &str) -> Self {
        match self {
            Self::Later(error) => Self::Later(format!("{error}; {why}")),
            // The fresh address might have been another host's.
            Self::Never(error) => Self::Later(format!("{error}; {why}")),
            Self::Open(wait) => Self::Open(wait),
            Self::Disk(error) => Self::Disk(error),
        }
    }
}

impl From<Tried<FileError>> for Unfetched {
    fn from(tried: Tried<FileError>) -> Self {
        match tried {
            Tried::Open(wait) => Self::Open(wait),
            Tried::Failed(error) => error.into(),
        }
    }
}

impl From<FileError> for Unfetched {
    fn from(error: FileError) -> Self {
        let text = error.to_string();
        match error {
            FileError::NotAudio(NotAudio::TooLong) => Self::Never(text),
            // Pages and errors stand where the file will be.
            FileError::NotReady(_)
            | FileError::Empty
            | FileError::Expired(_)
            | FileError::NeedsAuth
            | FileError::NotAudio(_)
            | FileError::Truncated
            | FileError::Transient(_) => Self::Later(text),
            FileError::Refused(_) | FileError::TooLarge(_) => Self::Never(text),
            FileError::Disk(_) => Self::Disk(text),
        }
    }
}

/// Whether another address may lead to the file.
pub(super) const fn wants_fresh_address(error: &FileError) -> bool {
    match error {
        FileError::NotAudio(NotAudio::TooLong) => false,
        FileError::NotReady(_)
        | FileError::Empty
        | FileError::Expired(_)
        | FileError::NeedsAuth
        | FileError::NotAudio(_)
        | FileError::Refused(_) => true,
        FileError::TooLarge(_) | FileError::Truncated | FileError::Transient(_) | FileError::Disk(_) => false,
    }
}
