//! `POST /api/auth/second-factor/confirm`.

use crate::auth::second_factor::code::open;
use crate::auth::second_factor::{RecoveryCodesBody, renew};
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::{Account, Code, Problem, Valid};
use axum::Json;
use model::{AuditKind, Mail, MailKind};
use serde::Deserialize;
use store::SystemTx;
use store::errands::{self, Errand};
use store::sessions::{self, EndReason};
use store::users::{self, Totp};
use utoipa::ToSchema;

/// A code of the app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConfirmSecondFactor, example = json!({ "code": "492039" }))]
pub(crate) struct ConfirmBody {
    /// Six digits.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 64, example = "492039")]
    code: Secret,
}

/// Enables the second factor that was begun, with a code that shows that the app has it. From now on login asks for
/// one.
#[utoipa::path(
    post, path = "/api/auth/second-factor/confirm", tag = "auth", operation_id = "confirm_second_factor",
    request_body = ConfirmBody,
    responses(
        (status = 200, description = "Enabled; keep the recovery codes", body = RecoveryCodesBody),
        (status = 409, description = "None was begun, or one is enabled already", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn confirm(
    account: Account,
    limits: Limits,
    Valid(body): Valid<ConfirmBody>,
) -> Result<Json<RecoveryCodesBody>, Problem> {
    let (app, now) = (&account.app, account.now);
    limits.charge(&app.policies.login, &format!("account {}", account.user)).await?;
    let user = app.store.system_read("auth.account", async |tx| users::get(tx, account.user).await).await?;
    let begun = user.totp.filter(|totp| totp.enabled_at.is_none()).ok_or_else(none_begun)?;
    let secret = open(app, account.user, &begun).await?;
    let step = secret.verify(body.code.expose(), now, begun.last_step).ok_or_else(wrong)?;
    let codes =
        app.store.system("auth.second_factor.confirm", async |tx| enable(tx, &account, &begun, step).await).await?;
    app.jobs_wake.notify_one();
    Ok(Json(codes))
}

fn none_begun() -> Problem {
    Problem::new(Code::Conflict, "no second factor is being set up")
}

fn wrong() -> Problem {
    Problem::new(Code::InvalidCode, "the code is wrong; is the telephone's clock right?")
}

async fn enable(tx: &mut SystemTx, account: &Account, begun: &Totp, step: u64) -> Result<RecoveryCodesBody, Problem> {
    let now = account.now;
    // The code must not be good for a login as well. It also takes the lock of the user: what is read next stays.
    if !users::use_totp_step(tx, account.user, step).await? {
        return Err(wrong());
    }
    let user = users::get(tx, account.user).await?;
    let same = |totp: &Totp| totp.enabled_at.is_none() && totp.sealed_secret == begun.sealed_secret;
    if !user.totp.as_ref().is_some_and(same) {
        return Err(none_begun());
    }
    users::enable_totp(tx, user.id, now).await?;
    // Whoever came in without it leaves.
    sessions::end_all_of_user(tx, user.id, Some(account.session), EndReason::AllLoggedOut, now).await?;
    let codes = renew(tx, user.id, now).await?;
    account.record(tx, AuditKind::SecondFactorEnabled).await?;
    let mail = Mail { to: user.email, kind: MailKind::SecondFactorChanged { enabled: true } };
    errands::enqueue(tx, &Errand::Mail(mail), now).await?;
    Ok(codes)
}
