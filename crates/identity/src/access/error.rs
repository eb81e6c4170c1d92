//! What can go wrong with access tokens.

use super::{PREVIOUS_SECRETS_MAX, SECRET_BYTES_MIN};
use crate::random::NoRandomness;

/// The signing secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too short to withstand guessing.
    #[error("the signing secret has {bytes} bytes; it needs {SECRET_BYTES_MIN} or more, made at random")]
    Weak {
        /// How long it is.
        bytes: usize,
    },
    /// More earlier secrets than a rotation needs.
    #[error("more than {PREVIOUS_SECRETS_MAX} earlier signing secrets")]
    TooMany,
}

/// No token could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// No random token id.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The signature library refused.
    #[error("the access token could not be signed")]
    Signing,
}

/// Why a token is refused. To whoever presents it all are one answer; `Expired` may be told, so that a client renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Longer than [`super::TOKEN_BYTES_MAX`].
    #[error("the access token is too long")]
    TooLong,
    /// No three parts of base64url, or a header that is no JSON of a known algorithm (`none` is none).
    #[error("the access token cannot be read")]
    Malformed,
    /// Not HS256.
    #[error("the access token is signed by another algorithm")]
    Algorithm,
    /// Not `at+jwt`.
    #[error("the token is no access token")]
    Type,
    /// The header says more than algorithm, type and key id: keys to fetch, extensions that must be understood.
    #[error("the header of the access token says what it may not say")]
    Header,
    /// Signed with a secret that is not or no longer ours.
    #[error("the access token names an unknown key")]
    UnknownKey,
    /// Not signed by us, or changed since.
    #[error("the signature of the access token is wrong")]
    Signature,
    /// A claim is missing, twice there, or of the wrong type.
    #[error("the claims of the access token cannot be read")]
    Claims,
    /// Issued by somebody else.
    #[error("the access token has another issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("the access token is meant for another service")]
    Audience,
    /// Not yet good.
    #[error("the access token is not good yet")]
    NotYet,
    /// No longer good.
    #[error("the access token has expired")]
    Expired,
}
