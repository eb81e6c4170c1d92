//! Passwords: which are good enough, how they are kept, and the gate that bounds what checking them costs.

mod gate;
mod hasher;
mod policy;

pub use gate::{AT_ONCE, GateError, NewPasswordError, Passwords, WAIT_MAX, WAITING_MAX};
pub use hasher::{HashError, Hasher, MEMORY_KIB, PASSES, Verdict};
pub use policy::{
    BYTES_MAX, CHARS_MAX, CHARS_MIN, CHARS_MIN_WITH_SECOND_FACTOR, PasswordContext, PasswordPolicy, PasswordRefusal,
};

use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

/// The password as it is counted and hashed: Unicode Normalization Form C, as
/// [RFC 8265](https://www.rfc-editor.org/rfc/rfc8265#section-4.2) (OpaqueString) and NIST SP 800-63B-4 §3.1.1.2 ask.
/// Keyboards differ in whether é is one code point or two; to the person it is one password. Nothing else is changed:
/// spaces stay, case counts, nothing is cut.
fn normalised(password: &SecretString) -> SecretString {
    password.expose_secret().nfc().collect::<String>().into()
}
