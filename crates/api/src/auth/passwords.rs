//! Passwords at the edge: what a refusal says, and how a person shows again that the password is known.

use crate::auth::on_record::Deed;
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::{Account, Code, Problem};
use chrono::{DateTime, Utc};
use identity::{GateError, NewPasswordError, PasswordPolicy, Verdict};
use model::AuditKind;
use store::SystemTx;
use store::users::{self, User};

/// No organisation enforces a second factor, so a password must be good enough alone.
pub(crate) const POLICY: PasswordPolicy = PasswordPolicy { second_factor_enforced: false };
/// A busy gate is free again after this time: the longest wait in front of it.
const GATE_RETRY_S: u64 = 2;

/// E-mail address, password or second factor are not right.
pub(crate) fn not_right() -> Problem {
    Problem::new(Code::InvalidCredentials, "e-mail address, password or code are not right")
}

/// There was no verdict on a password.
pub(crate) fn no_verdict(error: GateError) -> Problem {
    match error {
        GateError::Busy => {
            Problem::new(Code::Overloaded, "too many password checks at once; try again").retry_after_s(GATE_RETRY_S)
        }
        GateError::Hash(_) | GateError::Stopped => ours(&error),
    }
}

/// Something that only a fault of ours explains. Its text carries no secrets.
pub(crate) fn ours(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(error = %error, "an identity could not be dealt with");
    Problem::new(Code::Internal, "something went wrong on our side").caused_by(error)
}

/// A chosen password was not taken.
pub(crate) fn not_taken(error: NewPasswordError) -> Problem {
    match error {
        NewPasswordError::Refused(why) => Problem::field("password", format!("is not taken. {why}")),
        NewPasswordError::Gate(error) => no_verdict(error),
    }
}

impl Account {
    /// The person, when this is the password. Guesses are counted, and put on record when wrong.
    pub(crate) async fn knows(&self, limits: &Limits, password: &Secret) -> Result<User, Problem> {
        let app = &self.app;
        limits.charge(&app.policies.login, &format!("account {}", self.user)).await?;
        let user = app.store.system_read("auth.account", async |tx| users::get(tx, self.user).await).await?;
        let verdict = app.passwords.verify(password.hidden(), user.password_hash.as_str()).await;
        match verdict.map_err(no_verdict)? {
            Verdict::Right { .. } => Ok(user),
            Verdict::Wrong => Err(self.refused().await?),
        }
    }

    /// Puts a wrong password or code on record.
    pub(crate) async fn refused(&self) -> Result<Problem, Problem> {
        let deed =
            Deed::against(self.user, AuditKind::LoginFailed, &self.origin).with("session", self.session.to_string());
        self.app.store.system("auth.refused", async |tx| deed.record(tx, self.now).await).await?;
        Ok(not_right())
    }
}

/// Until the end of the transaction nobody else changes this user, and the password is still the one that was verified
/// outside of it.
pub(crate) async fn unchanged(tx: &mut SystemTx, seen: &User, now: DateTime<Utc>) -> Result<User, Problem> {
    users::login_succeeded(tx, seen.id, now).await?;
    let user = users::get(tx, seen.id).await?;
    if user.password_hash.as_str() == seen.password_hash.as_str() { Ok(user) } else { Err(not_right()) }
}
