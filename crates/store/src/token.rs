//! Tokens that open doors: of media sockets, of a number's webhook. Only their hash is kept.

use sha2::{Digest, Sha256};

/// What is kept of a token. Tokens have 256 random bits, so a plain hash is enough.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
