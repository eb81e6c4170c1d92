//! What can go wrong with the store of recordings.

use std::fmt;

/// What kind of failure; decides whether a job tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectErrorKind {
    /// There is no such object.
    NotFound,
    /// The key has a form that we never make.
    Key,
    /// The range is empty, too large, or beyond the end.
    Range,
    /// The settings cannot work.
    Settings,
    /// The store does not let us in.
    Denied,
    /// A file of this machine cannot be read or written.
    File,
    /// The store has another size than was sent.
    SizeMismatch,
    /// No answer in time.
    TimedOut,
    /// Could not be reached, or failed.
    Unavailable,
    /// The store refused, or answered what cannot be understood.
    Refused,
}

impl ObjectErrorKind {
    /// The word used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Key => "key",
            Self::Range => "range",
            Self::Settings => "settings",
            Self::Denied => "denied",
            Self::File => "file",
            Self::SizeMismatch => "size-mismatch",
            Self::TimedOut => "timed-out",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
        }
    }
}

/// A failure of the store. `Display` never contains secrets.
#[derive(Debug)]
pub struct ObjectError {
    /// What kind.
    pub kind: ObjectErrorKind,
    /// For an operator.
    pub detail: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ObjectError {
    pub(super) fn new(kind: ObjectErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), source: None }
    }

    pub(super) fn file(detail: &str, error: std::io::Error) -> Self {
        Self { kind: ObjectErrorKind::File, detail: detail.to_owned(), source: Some(Box::new(error)) }
    }

    pub(super) fn late(what: &str) -> Self {
        Self::new(ObjectErrorKind::TimedOut, format!("{what}: no answer in time"))
    }

    pub(super) fn of_store(what: &str, error: object_store::Error) -> Self {
        use object_store::Error as Store;
        let (kind, detail) = match &error {
            // Must not pass for an object that is not there: deleting that is a success.
            Store::NotFound { source, .. } if source.to_string().contains("NoSuchBucket") => {
                (ObjectErrorKind::Settings, "there is no such bucket")
            }
            Store::NotFound { .. } => (ObjectErrorKind::NotFound, "no such object"),
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
                (ObjectErrorKind::Denied, "the store does not let us in")
            }
            Store::InvalidPath { .. } => (ObjectErrorKind::Key, "the key is not allowed"),
            Store::NotSupported { .. } | Store::NotImplemented { .. } | Store::UnknownConfigurationKey { .. } => {
                (ObjectErrorKind::Refused, "the store cannot do this")
            }
            Store::Precondition { .. } | Store::NotModified { .. } | Store::AlreadyExists { .. } => {
                (ObjectErrorKind::Refused, "the store refused")
            }
            // The library keeps statuses to itself. Refusals that will not heal say so in their text.
            Store::Generic { source, .. } if is_refusal(&source.to_string()) => {
                (ObjectErrorKind::Refused, "the store refused")
            }
            _ => (ObjectErrorKind::Unavailable, "the store failed"),
        };
        Self { kind, detail: format!("{what}: {detail}"), source: Some(Box::new(error)) }
    }

    /// Worth another try.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self.kind {
            ObjectErrorKind::TimedOut | ObjectErrorKind::Unavailable | ObjectErrorKind::SizeMismatch => true,
            ObjectErrorKind::NotFound
            | ObjectErrorKind::Key
            | ObjectErrorKind::Range
            | ObjectErrorKind::Settings
            | ObjectErrorKind::Denied
            | ObjectErrorKind::File
            | ObjectErrorKind::Refused => false,
        }
    }
}

/// A client error other than "too many requests" and "request timeout", by the library's wording of a status.
fn is_refusal(text: &str) -> bool {
    text.contains("status code: 4") && !text.contains("status code: 429") && !text.contains("status code: 408")
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "objects {}: {}", self.kind.as_str(), self.detail)
    }
}

impl std::error::Error for ObjectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| &**e as &(dyn std::error::Error + 'static))
    }
}
