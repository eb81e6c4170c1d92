//! Codes of the second factor, judged and used.

use crate::auth::passwords::ours;
use crate::auth::secret::Secret;
use crate::{App, Problem};
use chrono::{DateTime, Utc};
use identity::second_factor::SECRET_BYTES;
use identity::{RecoveryCode, TotpSecret};
use model::UserId;
use secrecy::ExposeSecret;
use std::array::TryFromSliceError;
use store::users::{self, Totp, User};
use store::vault::{self, Place};
use store::{SystemTx, recovery_codes};

/// A code that may be right; it counts when it has been spent.
pub(crate) enum Factor {
    /// Of the app, for this step of time.
    App { step: u64 },
    /// A recovery code, by its hash.
    Recovery([u8; 32]),
}

impl Factor {
    /// What this code is for the user's enabled second factor; none when it is wrong.
    pub(crate) async fn judge(
        app: &App,
        user: &User,
        code: &Secret,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, Problem> {
        let Some(totp) = user.totp.as_ref().filter(|totp| totp.enabled_at.is_some()) else { return Ok(None) };
        if let Some(code) = RecoveryCode::parse(code.expose()) {
            return Ok(Some(Self::Recovery(code.hash())));
        }
        let secret = open(app, user.id, totp).await?;
        Ok(secret.verify(code.expose(), now, totp.last_step).map(|step| Self::App { step }))
    }

    /// Uses it. Of any number of simultaneous uses one is `true`.
    pub(crate) async fn spend(
        &self,
        tx: &mut SystemTx,
        user: UserId,
        now: DateTime<Utc>,
    ) -> Result<bool, store::Error> {
        match self {
            Self::App { step } => users::use_totp_step(tx, user, *step).await,
            Self::Recovery(hash) => recovery_codes::use_once(tx, user, *hash, now).await,
        }
    }
}

/// Where the secret lies.
pub(crate) const fn place(user: UserId) -> Place {
    Place { table: "users", column: "totp_secret", row: user.0 }
}

/// The secret, enabled or being set up.
pub(crate) async fn open(app: &App, user: UserId, totp: &Totp) -> Result<TotpSecret, Problem> {
    let opened = app
        .store
        .system_read("auth.second_factor.open", async |tx| vault::open(tx, place(user), &totp.sealed_secret).await)
        .await?;
    let bytes: [u8; SECRET_BYTES] =
        opened.expose_secret().try_into().map_err(|error: TryFromSliceError| ours(&error))?;
    Ok(TotpSecret::from_bytes(bytes))
}
