//! The installation's keys.

use super::{KEY_BYTES, Key};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// Bytes of a key's SHA-256 that name it.
const KEK_ID_BYTES: usize = 8;

/// The installation's keys: data keys are wrapped by the current one; the previous one still opens. Printing it shows
/// which keys they are, not the keys.
#[derive(Clone)]
pub struct Keyring {
    pub(super) current: Arc<Kek>,
    pub(super) previous: Option<Arc<Kek>>,
}

pub(super) struct Kek {
    pub(super) id: [u8; KEK_ID_BYTES],
    pub(super) key: Key,
}

/// A key that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an encryption key is 64 hexadecimal characters (32 random bytes): make one with `openssl rand -hex 32`")]
pub struct KeyringError;

impl Kek {
    fn new(key: [u8; KEY_BYTES]) -> Self {
        let hash: [u8; 32] = Sha256::digest(key).into();
        let mut id = [0; KEK_ID_BYTES];
        id.copy_from_slice(&hash[..KEK_ID_BYTES]);
        Self { id, key: SecretBox::new(Box::new(key)) }
    }
}

impl Keyring {
    /// From 32 random bytes each.
    #[must_use]
    pub fn new(current: [u8; 32], previous: Option<[u8; 32]>) -> Self {
        Self { current: Arc::new(Kek::new(current)), previous: previous.map(|key| Arc::new(Kek::new(key))) }
    }

    /// From 64 hexadecimal characters each.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn from_hex(current: &SecretString, previous: Option<&SecretString>) -> Result<Self, KeyringError> {
        let kek = |text| Ok(Arc::new(Kek::new(*parse_hex(text)?)));
        Ok(Self { current: kek(current)?, previous: previous.map(kek).transpose()? })
    }

    pub(super) fn by_id(&self, id: &[u8]) -> Option<&Kek> {
        std::iter::once(&self.current).chain(&self.previous).find(|kek| kek.id == id).map(AsRef::as_ref)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("current", &hex(&self.current.id))
            .field("previous", &self.previous.as_ref().map(|kek| hex(&kek.id)))
            .finish()
    }
}

fn parse_hex(text: &SecretString) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyringError> {
    let text = text.expose_secret().as_bytes();
    if text.len() != 2 * KEY_BYTES {
        return Err(KeyringError);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Err(KeyringError) };
        *byte = high << 4 | low;
    }
    Ok(key)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_characters_and_does_not_print() {
        let text = "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100";
        let keys = Keyring::from_hex(&SecretString::from(text), None).expect("a key");
        assert_eq!(keys.current.key.expose_secret()[..3], [0x00, 0x11, 0x22]);
        assert_eq!(keys.current.key.expose_secret()[31], 0x00);
        let printed = format!("{keys:?}").to_lowercase();
        assert!(!printed.contains("00112233") && printed.contains(&hex(&keys.current.id)), "{printed}");
        for wrong in [
            "",
            "00",
            &text[..63],
            &format!("{text}0"),
            &format!("{}g", &text[..63]),
            &format!(" {}", &text[..63]),
            &format!("{}é", &text[..62]),
        ] {
            let (right, wrong) = (SecretString::from(text), SecretString::from(wrong));
            assert_eq!(Keyring::from_hex(&wrong, None).map(|_| ()), Err(KeyringError));
            assert_eq!(Keyring::from_hex(&right, Some(&wrong)).map(|_| ()), Err(KeyringError));
        }
    }
}
