//! Who somebody is: passwords, one-time codes, access and refresh tokens, second factor.
//!
//! Architecture Invariant: this crate does no I/O and reads no clock; `now` is a parameter. Randomness is drawn in one
//! place (`random`). What costs much (password hashes) runs behind one gate, [`Passwords`]. Nothing here knows the
//! database: decisions take what was read and say what to write.

mod random;

pub mod access;
pub mod login_delay;
pub mod one_time_code;
pub mod password;
pub mod recording_link;
pub mod refresh;
pub mod second_factor;
pub mod token;

pub use access::{AccessError, AccessToken, AccessTokens, Claims, IssueError, SecretError, Subject};
pub use login_delay::{Attempts, LoginGate};
pub use one_time_code::{OneTimeCode, Purpose, Standing, StoredCode};
pub use password::{
    GateError, HashError, Hasher, NewPasswordError, PasswordContext, PasswordPolicy, PasswordRefusal, Passwords,
    Verdict,
};
pub use random::NoRandomness;
pub use recording_link::{LinkMaker, RecordingLink};
pub use refresh::{Decision, Family, Presented, Refusal};
pub use second_factor::{RecoveryCode, TotpSecret};
pub use token::{
    ApiKey, InvitationToken, PathToken, RefreshToken, ResetToken, SessionSalt, TokenHash, TokenPepper, random_token,
};
