//! `POST /api/auth/reset-password`.

use crate::auth::on_record::Deed;
use crate::auth::passwords::{POLICY, not_taken};
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::origin::Origin;
use crate::{App, Code, Problem, Valid};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use identity::{PasswordContext, ResetToken};
use model::{AuditKind, Mail, MailKind};
use serde::Deserialize;
use std::sync::Arc;
use store::errands::{self, Errand};
use store::sessions::{self, EndReason};
use store::users::User;
use store::{SystemTx, memberships, password_resets, users};
use utoipa::ToSchema;

/// A new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResetPassword, example = json!({ "token": "caly_reset_…", "password": "seven grumpy otters" }))]
pub(crate) struct ResetPasswordBody {
    /// What stands behind `#token=` in the link of the mail.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 200)]
    token: Secret,
    /// At least 15 characters, spaces allowed; nothing that is soon guessed.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    password: Secret,
}

/// Sets a new password by the token of a mail: 15 minutes, once. Every session of the account ends; log in afterwards. A
/// second factor stays as it is.
#[utoipa::path(
    post, path = "/api/auth/reset-password", tag = "auth", operation_id = "reset_password",
    request_body = ResetPasswordBody,
    responses(
        (status = 204, description = "The password is set"),
        (status = 401, description = "The token is unknown, used or over (`invalid_token`)", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn reset_password(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<ResetPasswordBody>,
) -> Result<StatusCode, Problem> {
    limits.charge(&app.policies.password_reset, &format!("token {}", origin.address())).await?;
    let now = app.now();
    let token = ResetToken::parse(body.token.expose()).ok_or_else(refused)?;
    let (user, organisation) =
        app.store.system_read("auth.reset.peek", async |tx| peek(tx, &token, now).await).await?.ok_or_else(refused)?;
    let context = PasswordContext { organisation, email: user.email.clone() };
    // A password that is not taken leaves the token good for another try.
    let hash = app.passwords.hash_new(POLICY, body.password.hidden(), context).await.map_err(not_taken)?;
    app.store.system("auth.reset", async |tx| set(tx, &token, &user, &hash, &origin, now).await).await?;
    app.jobs_wake.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

fn refused() -> Problem {
    Problem::new(Code::InvalidToken, "the link is unknown, used or over; ask for another")
}

/// Whose password the token may set, and the name of an organisation of his.
async fn peek(tx: &mut SystemTx, token: &ResetToken, now: DateTime<Utc>) -> Result<Option<(User, String)>, Problem> {
    let Some(id) = password_resets::peek(tx, token.hash(), now).await? else { return Ok(None) };
    let memberships = memberships::of_user(tx, id).await?;
    let organisation = memberships.into_iter().next().map(|first| first.organisation_name).unwrap_or_default();
    Ok(Some((users::get(tx, id).await?, organisation)))
}

async fn set(
    tx: &mut SystemTx,
    token: &ResetToken,
    seen: &User,
    hash: &str,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let user = password_resets::use_once(tx, token.hash(), now).await?.filter(|user| *user == seen.id);
    let user = user.ok_or_else(refused)?;
    users::set_password(tx, user, hash, now).await?;
    // The count of failures is about the password that is gone.
    users::login_succeeded(tx, user, now).await?;
    // The token was in the mailbox, as a code would have been.
    if users::verify_email(tx, user, now).await? {
        Deed::by(user, AuditKind::EmailVerified, origin).record(tx, now).await?;
    }
    let ended = sessions::end_all_of_user(tx, user, None, EndReason::PasswordReset, now).await?;
    Deed::by(user, AuditKind::PasswordReset, origin).with("sessions_ended", ended).record(tx, now).await?;
    let mail = Mail { to: seen.email.clone(), kind: MailKind::PasswordChanged };
    errands::enqueue(tx, &Errand::Mail(mail), now).await?;
    Ok(())
}
