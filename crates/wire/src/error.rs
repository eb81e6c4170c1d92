//! Why a message of somebody else could not be read, or one of ours not be written.

/// A message that is not what its format says. Carries no content of the message: it may be somebody's speech.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than any honest message.
    #[error("message of {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("not a message of this protocol, at byte {column}")]
    Malformed {
        /// Where reading stopped, counted from 1; 0 when unknown.
        column: usize,
    },
    /// A field without which the message means nothing.
    #[error("missing field {0}")]
    MissingField(&'static str),
    /// A field that is there and cannot be used.
    #[error("unusable field {0}")]
    BadField(&'static str),
    /// Audio that is not base64.
    #[error("audio is not base64")]
    AudioNotBase64,
    /// 16-bit audio with half a sample at its end.
    #[error("16-bit audio with an odd number of bytes: {0}")]
    OddAudio(usize),
    /// A frame of ours larger than the carrier accepts.
    #[error("frame of {bytes} bytes, the carrier takes at most {limit}")]
    FrameTooLarge {
        /// Its length after padding.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed { column: error.column() }
    }
}
