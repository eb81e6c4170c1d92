//! Access tokens: signed statements, good for ten minutes, that a request comes from a session. Whether that session
//! still stands is asked of the database; a token alone never outlives a logout.
//!
//! JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) of one algorithm, HS256, typed `at+jwt`
//! ([RFC 9068](https://www.rfc-editor.org/rfc/rfc9068)), checked as
//! [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725) asks.

mod error;
mod hs256;

pub use error::{AccessError, IssueError, SecretError};

use crate::random;
use crate::token::labelled;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use model::{SessionId, TenantId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// How long a token is good.
pub const LIFETIME_S: i64 = 600;
/// How far the clocks of two machines may be apart.
pub const LEEWAY_S: i64 = 10;
/// Longest token looked at. Ours have about 500 bytes; headers as a whole are limited to 16 KiB.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Least length of the signing secret: HS256 wants a key as long as its hash
/// ([RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
pub const SECRET_BYTES_MIN: usize = 32;
/// Most earlier secrets that still verify. One is enough for a rotation, since tokens live ten minutes.
pub const PREVIOUS_SECRETS_MAX: usize = 4;

/// Who issues and who is addressed: tokens of another system that shares the secret by mistake are none of ours.
const ISSUER: &str = "caly";
const AUDIENCE: &str = "caly-api";
const TYPE: &str = "at+jwt";

/// On whose behalf a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The person.
    pub user: UserId,
    /// The organisation this login works in.
    pub tenant: TenantId,
    /// The login.
    pub session: SessionId,
}

/// A verified token says this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// On whose behalf.
    pub subject: Subject,
    /// The token's own id.
    pub token_id: Uuid,
    /// When it was issued, to the second.
    pub issued_at: DateTime<Utc>,
    /// When it ends, [`LEEWAY_S`] not counted.
    pub expires_at: DateTime<Utc>,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// What the client sends as `Authorization: Bearer …`.
    pub text: SecretString,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Issues and verifies access tokens.
pub struct AccessTokens {
    current: Key,
    previous: Vec<Key>,
}

struct Key {
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The claims as they stand in the token. Every one is required; a repeated one is refused by `serde`.
#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    sub: UserId,
    org: TenantId,
    sid: SessionId,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl AccessTokens {
    /// Signs with this secret.
    ///
    /// # Errors
    /// [`SecretError::Weak`].
    pub fn new(secret: &SecretString) -> Result<Self, SecretError> {
        hs256::install();
        Ok(Self { current: Key::of(secret)?, previous: Vec::new() })
    }

    /// Also verifies what was signed with an earlier secret. Keep it for [`LIFETIME_S`] after a change, then drop it.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn with_previous(mut self, secret: &SecretString) -> Result<Self, SecretError> {
        if self.previous.len() >= PREVIOUS_SECRETS_MAX {
            return Err(SecretError::TooMany);
        }
        self.previous.push(Key::of(secret)?);
        Ok(self)
    }

    /// A token for this subject, good from now on for [`LIFETIME_S`].
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(&self, subject: Subject, now: DateTime<Utc>) -> Result<AccessToken, IssueError> {
        let issued_s = now.timestamp();
        let expires_s = issued_s.saturating_add(LIFETIME_S);
        let payload = Payload {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.user,
            org: subject.tenant,
            sid: subject.session,
            jti: uuid::Builder::from_random_bytes(random::bytes()?).into_uuid(),
            iat: issued_s,
            nbf: issued_s,
            exp: expires_s,
        };
        let text = jsonwebtoken::encode(&self.current.header(), &payload, &self.current.encoding)
            .map_err(|_| IssueError::Signing)?;
        let expires_at = DateTime::from_timestamp(expires_s, 0).unwrap_or(now);
        Ok(AccessToken { text: text.into(), expires_at })
    }

    /// What the token says, if it is ours and good at this time.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn verify(&self, text: &str, now: DateTime<Utc>) -> Result<Claims, AccessError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(AccessError::TooLong);
        }
        let key = self.key_for(text)?;
        let payload = jsonwebtoken::decode::<Payload>(text, &key.decoding, &signature_alone())
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => AccessError::Signature,
                ErrorKind::Json(_) => AccessError::Claims,
                _ => AccessError::Malformed,
            })?
            .claims;
        payload.judge(now)
    }

    /// The header is read before anything is verified, so it may only choose among our own keys.
    fn key_for(&self, text: &str) -> Result<&Key, AccessError> {
        let header = jsonwebtoken::decode_header(text).map_err(|_| AccessError::Malformed)?;
        if header.alg != Algorithm::HS256 {
            return Err(AccessError::Algorithm);
        }
        if header.typ.as_deref() != Some(TYPE) {
            return Err(AccessError::Type);
        }
        let named = |key: &&Key| header.kid.as_deref() == Some(key.id.as_str());
        let key = std::iter::once(&self.current).chain(&self.previous).find(named).ok_or(AccessError::UnknownKey)?;
        if header == key.header() { Ok(key) } else { Err(AccessError::Header) }
    }
}

/// The library checks the signature; claims are checked here, where the time is a parameter and nothing is optional.
fn signature_alone() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

impl Payload {
    fn judge(self, now: DateTime<Utc>) -> Result<Claims, AccessError> {
        if self.iss != ISSUER {
            return Err(AccessError::Issuer);
        }
        if self.aud != AUDIENCE {
            return Err(AccessError::Audience);
        }
        let now_s = now.timestamp();
        if now_s.saturating_add(LEEWAY_S) < self.nbf.max(self.iat) {
            return Err(AccessError::NotYet);
        }
        if now_s >= self.exp.saturating_add(LEEWAY_S) {
            return Err(AccessError::Expired);
        }
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(AccessError::Claims);
        Ok(Claims {
            subject: Subject { user: self.sub, tenant: self.org, session: self.sid },
            token_id: self.jti,
            issued_at: time(self.iat)?,
            expires_at: time(self.exp)?,
        })
    }
}

impl Key {
    fn of(secret: &SecretString) -> Result<Self, SecretError> {
        let bytes = secret.expose_secret().as_bytes();
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(SecretError::Weak { bytes: bytes.len() });
        }
        // 64 bits name a key; they stand in every token and tell nothing about the secret.
        let id = URL_SAFE_NO_PAD.encode(&labelled(bytes, &[b"caly access key id v1"])[..8]);
        Ok(Self { id, encoding: EncodingKey::from_secret(bytes), decoding: DecodingKey::from_secret(bytes) })
    }

    fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.id.clone());
        header
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens").field("current", &self.current.id).finish_non_exhaustive()
    }
}
