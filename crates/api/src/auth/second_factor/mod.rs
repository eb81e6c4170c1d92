//! The second factor of one's own account: set up, confirmed, taken away.

pub(crate) mod begin;
pub(crate) mod code;
pub(crate) mod confirm;
pub(crate) mod disable;
pub(crate) mod recovery_codes;

use crate::auth::passwords::ours;
use crate::auth::second_factor::code::Factor;
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::{Account, Code, Problem};
use chrono::{DateTime, Utc};
use model::UserId;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::users::User;
use store::{SystemTx, recovery_codes as kept};
use utoipa::ToSchema;

/// Proof that one is oneself: both factors.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BothFactors, example = json!({ "password": "seven grumpy otters", "code": "492039" }))]
pub(crate) struct BothFactorsBody {
    /// The password.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    password: Secret,
    /// The six digits of the app, or a recovery code.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 64, example = "492039")]
    code: Secret,
}

/// Codes that let you in when the app is gone, each once. They are shown this one time.
#[derive(Serialize, ToSchema)]
#[schema(as = RecoveryCodes)]
pub(crate) struct RecoveryCodesBody {
    /// Ten of them. Earlier ones are worth nothing now.
    #[schema(example = json!(["7Q2ZK-8M4TA-0V9XE-HC5RB-PD1WN"]))]
    recovery_codes: Vec<String>,
}

impl Account {
    /// The person, when both factors are right.
    async fn proves(&self, limits: &Limits, body: &BothFactorsBody) -> Result<(User, Factor), Problem> {
        let user = self.knows(limits, &body.password).await?;
        if !user.has_second_factor() {
            return Err(Problem::new(Code::Conflict, "no second factor is enabled"));
        }
        match Factor::judge(&self.app, &user, &body.code, self.now).await? {
            Some(factor) => Ok((user, factor)),
            None => Err(self.refused().await?),
        }
    }
}

/// Makes and keeps a new set of recovery codes.
async fn renew(tx: &mut SystemTx, user: UserId, now: DateTime<Utc>) -> Result<RecoveryCodesBody, Problem> {
    let codes = identity::second_factor::recovery_codes().map_err(|error| ours(&error))?;
    let hashes: Vec<[u8; 32]> = codes.iter().map(identity::RecoveryCode::hash).collect();
    kept::replace(tx, user, &hashes, now).await?;
    let shown = codes.iter().map(|code| code.display().expose_secret().to_owned()).collect();
    Ok(RecoveryCodesBody { recovery_codes: shown })
}
