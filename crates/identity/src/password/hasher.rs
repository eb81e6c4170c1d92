//! How passwords are kept: Argon2id, as text that carries its own parameters
//! ([PHC string format](https://github.com/P-H-C/phc-string-format)).

use super::{BYTES_MAX, normalised};
use crate::random::{self, NoRandomness};
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};

/// Memory of one hash, in KiB (OWASP Password Storage Cheat Sheet: 19 MiB with two passes).
pub const MEMORY_KIB: u32 = 19_456;
/// Passes over the memory.
pub const PASSES: u32 = 2;

const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// A kept hash that asks for more than this many times our own memory or passes was not written by us, now or earlier;
/// computing it could stop the machine.
const FOREIGN_FACTOR: u32 = 4;

/// What became of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password.
    Right {
        /// It was hashed with less effort than is asked for today: hash it again and keep that.
        rehash: bool,
    },
    /// It is not.
    Wrong,
}

/// A hash could not be made or compared. Never a verdict about the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// No salt.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// What is kept is no Argon2id hash of ours.
    #[error("the kept password hash cannot be read")]
    Unreadable,
    /// The password has more than [`BYTES_MAX`] bytes, which no policy lets pass.
    #[error("the password is too long to be hashed")]
    TooLong,
    /// The function refused, for want of memory.
    #[error("the password hash could not be computed")]
    Failed,
}

/// Hashes passwords and one-time codes. Every call blocks for tens of milliseconds: use [`super::Passwords`].
#[derive(Debug)]
pub struct Hasher {
    argon2: Argon2<'static>,
    /// Hash of no password at all, with today's parameters.
    nobody: PasswordHash,
}

impl Hasher {
    /// With the parameters above.
    #[must_use]
    pub fn new() -> Self {
        Self::with(MEMORY_KIB, PASSES)
    }

    fn with(memory_kib: u32, passes: u32) -> Self {
        let params =
            Params::new(memory_kib, passes, LANES, Some(HASH_BYTES)).expect("constants within Argon2's limits");
        let nobody = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).expect("three numbers fit"),
            salt: Some(Salt::new(&[0; SALT_BYTES]).expect("sixteen bytes are a salt")),
            hash: Some(Output::new(&[0; HASH_BYTES]).expect("32 bytes are a hash")),
        };
        Self { argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params), nobody }
    }

    /// What to keep of a password.
    ///
    /// # Errors
    /// [`HashError`], except `Unreadable`.
    pub fn hash(&self, password: &SecretString) -> Result<String, HashError> {
        if password.expose_secret().len() > BYTES_MAX {
            return Err(HashError::TooLong);
        }
        let salt = random::bytes::<SALT_BYTES>()?;
        let password = normalised(password);
        self.argon2
            .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
            .map(|hash| hash.to_string())
            .map_err(|_| HashError::Failed)
    }

    /// Whether this is the password, the whole of it, that was hashed.
    ///
    /// # Errors
    /// [`HashError::Unreadable`], [`HashError::Failed`].
    pub fn verify(&self, password: &SecretString, kept: &str) -> Result<Verdict, HashError> {
        let hash = PasswordHash::new(kept).map_err(|_| HashError::Unreadable)?;
        let params = self.readable(&hash).ok_or(HashError::Unreadable)?;
        if self.matches(password, &hash)? {
            let ours = self.argon2.params();
            let rehash = params.m_cost() < ours.m_cost() || params.t_cost() < ours.t_cost();
            return Ok(Verdict::Right { rehash });
        }
        Ok(Verdict::Wrong)
    }

    /// For an account that does not exist: the same work as [`Self::verify`], so that the time does not tell.
    ///
    /// # Errors
    /// [`HashError::Failed`].
    pub fn verify_nobody(&self, password: &SecretString) -> Result<(), HashError> {
        self.matches(password, &self.nobody).map(|_| ())
    }

    fn matches(&self, password: &SecretString, hash: &PasswordHash) -> Result<bool, HashError> {
        use argon2::password_hash::Error;
        // No longer password was ever set. The work is done all the same, on nothing.
        let possible = password.expose_secret().len() <= BYTES_MAX;
        let password = if possible { normalised(password) } else { SecretString::default() };
        match PasswordVerifier::<PasswordHash>::verify_password(&self.argon2, password.expose_secret().as_bytes(), hash)
        {
            Ok(()) => Ok(possible),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(HashError::Failed),
        }
    }

    /// Its parameters, if we could have written it.
    fn readable(&self, hash: &PasswordHash) -> Option<Params> {
        let params = Params::try_from(hash).ok()?;
        let ours = self.argon2.params();
        let fine = hash.algorithm == ARGON2ID_IDENT
            && hash.version == Some(Version::V0x13.into())
            && hash.salt.as_ref().is_some_and(|salt| salt.len() == SALT_BYTES)
            && hash.hash.as_ref().is_some_and(|output| output.len() == HASH_BYTES)
            && params.p_cost() == LANES
            && params.m_cost() / FOREIGN_FACTOR <= ours.m_cost()
            && params.t_cost() / FOREIGN_FACTOR <= ours.t_cost();
        fine.then_some(params)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As little work as Argon2 allows, for tests of everything but the parameters.
    fn quick() -> Hasher {
        Hasher::with(64, 1)
    }

    #[test]
    fn what_is_kept_says_how_it_was_made() {
        let hasher = Hasher::new();
        let kept = hasher.hash(&"correct horse battery staple".into()).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        let hash = PasswordHash::new(&kept).unwrap();
        assert_eq!((hash.salt.unwrap().len(), hash.hash.unwrap().len()), (16, 32));
        assert_eq!(hasher.verify(&"correct horse battery staple".into(), &kept), Ok(Verdict::Right { rehash: false }));
        assert_eq!(hasher.verify(&"correct horse battery stapl".into(), &kept), Ok(Verdict::Wrong));
        assert_eq!(hasher.verify_nobody(&"correct horse battery staple".into()), Ok(()));
    }

    #[test]
    fn salts_differ() {
        let hasher = quick();
        assert_ne!(hasher.hash(&"same".into()).unwrap(), hasher.hash(&"same".into()).unwrap());
    }

    #[test]
    fn agrees_with_the_reference_program() {
        // `echo -n password | argon2 somesaltsomesalt -id -t 2 -k 19456 -p 1 -l 32`, from the Python binding of the
        // reference C library.
        let kept = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$K13EBUiG7JV+9ZxztmHFTdb7J0WQsnj2V8bZaqyPptE";
        assert_eq!(Hasher::new().verify(&"password".into(), kept), Ok(Verdict::Right { rehash: false }));
    }

    #[test]
    fn the_whole_password_counts() {
        let hasher = quick();
        for (password, wrong) in [
            (
                "Correct Horse",
                vec!["correct horse", "Correct Horse ", " Correct Horse", "CorrectHorse", "Correct Hors"],
            ),
            ("  ", vec![" ", "", "   ", "\u{a0} "]),
            ("😀😁", vec!["😀", "😁😀", "😀😁\u{fe0f}"]),
            ("nul\0after", vec!["nul", "nul\0", "nul\0afte"]),
        ] {
            let kept = hasher.hash(&password.into()).unwrap();
            assert_eq!(hasher.verify(&password.into(), &kept), Ok(Verdict::Right { rehash: false }), "{password:?}");
            for wrong in wrong {
                assert_eq!(hasher.verify(&wrong.into(), &kept), Ok(Verdict::Wrong), "{wrong:?}");
            }
        }
    }

    #[test]
    fn nothing_is_cut_off() {
        let hasher = quick();
        for bytes in [8, 64, 71, 72, 73, 128, 255, 256, 1023, 1024] {
            let password = "x".repeat(bytes);
            let kept = hasher.hash(&password.as_str().into()).unwrap();
            assert_eq!(hasher.verify(&password.as_str().into(), &kept), Ok(Verdict::Right { rehash: false }));
            assert_eq!(hasher.verify(&password[1..].into(), &kept), Ok(Verdict::Wrong), "{bytes}");
            assert_eq!(hasher.verify(&format!("{password}x").as_str().into(), &kept), Ok(Verdict::Wrong), "{bytes}");
            let end = format!("{}y", &password[1..]);
            assert_eq!(hasher.verify(&end.as_str().into(), &kept), Ok(Verdict::Wrong), "{bytes}");
        }
        assert_eq!(hasher.hash(&"x".repeat(1_025).as_str().into()), Err(HashError::TooLong));
        // Longer ones are compared as nothing, and are not nothing.
        let (megabyte, empty) = ("x".repeat(1_000_000), hasher.hash(&"".into()).unwrap());
        assert_eq!(hasher.verify(&megabyte.as_str().into(), &empty), Ok(Verdict::Wrong));
        assert_eq!(hasher.verify(&"".into(), &empty), Ok(Verdict::Right { rehash: false }));
    }

    #[test]
    fn composed_and_decomposed_letters_are_one_password() {
        let hasher = quick();
        let kept = hasher.hash(&"caf\u{e9} \u{1e69}".into()).unwrap();
        assert_eq!(hasher.verify(&"cafe\u{301} s\u{307}\u{323}".into(), &kept), Ok(Verdict::Right { rehash: false }));
        // Look-alikes are others: nothing is folded.
        assert_eq!(hasher.verify(&"cafe \u{1e69}".into(), &kept), Ok(Verdict::Wrong));
        let kept = hasher.hash(&"\u{ff21}\u{2460}".into()).unwrap();
        assert_eq!(hasher.verify(&"A1".into(), &kept), Ok(Verdict::Wrong));
    }

    #[test]
    fn weaker_hashes_are_made_anew() {
        let password: SecretString = "a password".into();
        let today = Hasher::with(128, 2);
        for (memory_kib, passes, rehash) in
            [(64, 2, true), (128, 1, true), (64, 3, true), (128, 2, false), (256, 2, false)]
        {
            let kept = Hasher::with(memory_kib, passes).hash(&password).unwrap();
            assert_eq!(today.verify(&password, &kept), Ok(Verdict::Right { rehash }), "{memory_kib} {passes}");
            assert_eq!(today.verify(&"other".into(), &kept), Ok(Verdict::Wrong));
        }
    }

    #[test]
    fn what_we_did_not_write_is_no_verdict() {
        let hasher = quick();
        let kept = hasher.hash(&"p".into()).unwrap();
        let fields: Vec<&str> = kept.split('$').collect();
        for foreign in [
            String::new(),
            "p".to_owned(),
            kept.replace("argon2id", "argon2i"),
            kept.replace("argon2id", "argon2d"),
            kept.replace("argon2id", "scrypt"),
            kept.replace("v=19", "v=16"),
            kept.replace("$v=19", ""),
            kept.replace("m=64", "m=4194304"),
            kept.replace("m=64", "m=1"),
            kept.replace("t=1", "t=4000000"),
            kept.replace("p=1", "p=4"),
            kept.replace(fields[4], "c2hvcnRzYWx0"),
            kept.replace(fields[5], &fields[5][..20]),
            fields[..5].join("$"),
            fields[..4].join("$"),
            format!("{kept}$"),
            "$2y$10$abcdefghijklmnopqrstuuC0Yx0m2QbG1GqJm6Yk0Yx0m2QbG1GqJ".to_owned(),
        ] {
            assert_eq!(hasher.verify(&"p".into(), &foreign), Err(HashError::Unreadable), "{foreign}");
        }
    }
}
