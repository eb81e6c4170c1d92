//! What can go wrong with a provider: enough to decide whether to retry, fall back, or tell the caller.

use std::fmt;

/// What kind of failure; decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// Could not be reached, or the connection broke.
    Unavailable,
    /// No answer within the deadline.
    TimedOut,
    /// It has too much to do, or we sent too much (429, 503, a full queue of ours).
    Overloaded,
    /// It understood and refused (400, 404, 422).
    Rejected,
    /// The key is missing or wrong (401, 403).
    Unauthorized,
    /// It answered what its protocol does not allow.
    Protocol,
    /// A built-in model is not on this machine; the detail says how to get it.
    NotInstalled,
}

impl ErrorKind {
    /// The word used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Overloaded => "overloaded",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::Protocol => "protocol",
            Self::NotInstalled => "not-installed",
        }
    }
}

/// A provider's failure. `Display` never contains keys or what the caller said.
#[derive(Debug)]
pub struct Error {
    /// What kind.
    pub kind: ErrorKind,
    /// Which provider.
    pub provider: &'static str,
    /// For an operator: what happened, without secrets or transcripts.
    pub detail: String,
    /// The cause, when there is one.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure without a cause below it.
    #[must_use]
    pub fn new(kind: ErrorKind, provider: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, provider, detail: detail.into(), source: None }
    }

    /// The same, with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Worth another try.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Overloaded)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.provider, self.kind.as_str(), self.detail)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| &**e as &(dyn std::error::Error + 'static))
    }
}
