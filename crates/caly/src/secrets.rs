//! Secrets that a development machine makes for itself, so that nothing has to be set to begin. In production they are
//! settings, and a missing one is refused before this is asked.

use anyhow::Context;
use secrecy::SecretString;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Random bytes of a secret: 256 bits.
const SECRET_BYTES: usize = 32;

/// The secret of this name, made at first use and kept in `folder`, readable by this user alone.
///
/// # Errors
/// When it can be neither read nor made.
pub(crate) fn development(folder: &Path, name: &str) -> anyhow::Result<SecretString> {
    let path = folder.join(format!("development-{name}"));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(mut file) => {
            let secret = random_hex()?;
            file.write_all(secret.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
            Ok(SecretString::from(secret))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let kept = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            anyhow::ensure!(
                kept.trim().len() == SECRET_BYTES * 2,
                "{} is damaged; what it protected cannot be read without it",
                path.display()
            );
            Ok(SecretString::from(kept.trim()))
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be made", path.display())),
    }
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).ok().context("the operating system gives no randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = development(folder.path(), "key").expect("made");
        let second = development(folder.path(), "key").expect("read");
        assert_eq!(first.expose_secret(), second.expose_secret());
        assert_ne!(first.expose_secret(), development(folder.path(), "other").expect("made").expose_secret());
        let path = folder.path().join("development-key");
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "cut").expect("written");
        assert!(development(folder.path(), "key").is_err());
    }
}
