//! Links by which one recording can be heard for some minutes: signed statements that name it, who made the link and
//! when it ends. Nothing of them is stored.
//!
//! The text is URL-safe base64 of 90 bytes, so that every character counts: version (1), kind of maker (1), maker (16),
//! tenant (16), recording (16), end in seconds since 1970 (8, big-endian), HMAC-SHA256 over all of that (32).

use crate::token::{TokenPepper, labelled};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use model::{ApiKeyId, RecordingId, TenantId, UserId};
use secrecy::SecretString;
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// The layout above.
const VERSION: u8 = 1;
/// Bytes of what is signed.
const SIGNED_BYTES: usize = 58;
/// Bytes of the signature.
const SIGNATURE_BYTES: usize = 32;
/// Characters of a link's text.
const CHARS: usize = (SIGNED_BYTES + SIGNATURE_BYTES) / 3 * 4;

/// Who made a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkMaker {
    /// A person.
    User(UserId),
    /// A program.
    Key(ApiKeyId),
}

impl fmt::Display for LinkMaker {
    /// As the audit log names actors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

/// What a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordingLink {
    /// Whose recording.
    pub tenant: TenantId,
    /// Which one.
    pub recording: RecordingId,
    /// Who made the link.
    pub maker: LinkMaker,
    /// When it ends, to the second.
    pub expires_at: DateTime<Utc>,
}

impl RecordingLink {
    /// Its text: whoever has it may hear the recording until it ends.
    #[must_use]
    pub fn sign(&self, pepper: &TokenPepper) -> SecretString {
        let signed = self.bytes();
        let mut all = Vec::with_capacity(SIGNED_BYTES + SIGNATURE_BYTES);
        all.extend_from_slice(&signed);
        all.extend_from_slice(&signature(pepper, &signed));
        URL_SAFE_NO_PAD.encode(all).into()
    }

    /// Reads what somebody presents. None when it is not ours, whatever is wrong with it; the comparison takes the same
    /// time wherever they differ. Whether it is over is for the reader to ask: [`RecordingLink::is_over`].
    #[must_use]
    pub fn read(text: &str, pepper: &TokenPepper) -> Option<Self> {
        if text.len() != CHARS {
            return None;
        }
        let all = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, given) = all.split_at_checked(SIGNED_BYTES)?;
        let genuine: bool = signature(pepper, signed).as_slice().ct_eq(given).into();
        if genuine { Self::parse(signed) } else { None }
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        now >= self.expires_at
    }

    fn bytes(&self) -> [u8; SIGNED_BYTES] {
        let (kind, maker) = match self.maker {
            LinkMaker::User(id) => (0, Uuid::from(id)),
            LinkMaker::Key(id) => (1, Uuid::from(id)),
        };
        let mut bytes = [0; SIGNED_BYTES];
        bytes[0] = VERSION;
        bytes[1] = kind;
        bytes[2..18].copy_from_slice(maker.as_bytes());
        bytes[18..34].copy_from_slice(Uuid::from(self.tenant).as_bytes());
        bytes[34..50].copy_from_slice(Uuid::from(self.recording).as_bytes());
        bytes[50..].copy_from_slice(&self.expires_at.timestamp().to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (maker, rest) = rest.split_first_chunk::<16>()?;
        let (tenant, rest) = rest.split_first_chunk::<16>()?;
        let (recording, rest) = rest.split_first_chunk::<16>()?;
        let maker = Uuid::from_bytes(*maker);
        let maker = match head {
            [VERSION, 0] => LinkMaker::User(maker.into()),
            [VERSION, 1] => LinkMaker::Key(maker.into()),
            _ => return None,
        };
        Some(Self {
            tenant: Uuid::from_bytes(*tenant).into(),
            recording: Uuid::from_bytes(*recording).into(),
            maker,
            expires_at: DateTime::from_timestamp(i64::from_be_bytes(rest.try_into().ok()?), 0)?,
        })
    }
}

/// Under a key of its own: no signature of another kind, made with the same secret, passes for a link.
fn signature(pepper: &TokenPepper, signed: &[u8]) -> [u8; SIGNATURE_BYTES] {
    labelled(&pepper.subkey(b"caly recording link key v1"), &[signed])
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn pepper() -> TokenPepper {
        TokenPepper::derive(&"a secret of the tests".into())
    }

    fn link(maker: LinkMaker) -> RecordingLink {
        RecordingLink {
            tenant: Uuid::from_u128(1).into(),
            recording: Uuid::from_u128(2).into(),
            maker,
            expires_at: DateTime::from_timestamp(1_795_000_300, 0).expect("a time"),
        }
    }

    #[test]
    fn what_is_signed_is_read_again() {
        for maker in [LinkMaker::User(Uuid::from_u128(3).into()), LinkMaker::Key(Uuid::from_u128(4).into())] {
            let (link, pepper) = (link(maker), pepper());
            let text = link.sign(&pepper);
            assert_eq!(text.expose_secret().len(), CHARS);
            assert!(text.expose_secret().chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
            assert_eq!(RecordingLink::read(text.expose_secret(), &pepper), Some(link));
        }
        let named = link(LinkMaker::User(Uuid::from_u128(3).into())).maker.to_string();
        assert_eq!(named, "user:00000000-0000-0000-0000-000000000003");
    }

    #[test]
    fn a_change_of_any_character_is_seen() {
        let pepper = pepper();
        let text = link(LinkMaker::Key(Uuid::from_u128(3).into())).sign(&pepper);
        let text = text.expose_secret();
        for place in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("text");
            assert_eq!(RecordingLink::read(&other, &pepper), None, "character {place}");
        }
        for other in [String::new(), text[1..].to_owned(), format!("{text}A"), format!("{text}="), "é".repeat(60)] {
            assert_eq!(RecordingLink::read(&other, &pepper), None, "{other}");
        }
    }

    #[test]
    fn only_the_secret_that_signed_it_opens_it() {
        let link = link(LinkMaker::User(Uuid::from_u128(3).into()));
        let text = link.sign(&pepper());
        let other = TokenPepper::derive(&"another secret".into());
        assert_eq!(RecordingLink::read(text.expose_secret(), &other), None);
        // Rightly signed, and of a layout that does not exist.
        for (place, byte) in [(0, 0), (0, 2), (1, 2)] {
            let mut signed = link.bytes();
            signed[place] = byte;
            let all = [signed.as_slice(), &signature(&pepper(), &signed)].concat();
            assert_eq!(RecordingLink::read(&URL_SAFE_NO_PAD.encode(all), &pepper()), None);
        }
    }

    #[test]
    fn it_ends_at_its_second() {
        let link = link(LinkMaker::User(Uuid::from_u128(3).into()));
        let second = chrono::Duration::seconds(1);
        assert!(!link.is_over(link.expires_at - second));
        assert!(link.is_over(link.expires_at) && link.is_over(link.expires_at + second));
    }
}
