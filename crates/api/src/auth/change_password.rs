//! `POST /api/auth/change-password`.

use crate::auth::on_record::Deed;
use crate::auth::passwords::{POLICY, not_taken, unchanged};
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::{Account, Problem, Valid};
use axum::http::StatusCode;
use identity::PasswordContext;
use model::{AuditKind, Mail, MailKind};
use serde::Deserialize;
use store::errands::{self, Errand};
use store::sessions::{self, EndReason};
use store::{organisations, password_resets, users};
use utoipa::ToSchema;

/// The old one and the new one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangePassword, example = json!({
    "current_password": "seven grumpy otters",
    "password": "eight cheerful badgers",
}))]
pub(crate) struct ChangePasswordBody {
    /// The password so far.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    current_password: Secret,
    /// At least 15 characters, spaces allowed; nothing that is soon guessed.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    password: Secret,
}

/// Changes your password. All your other sessions end; this one goes on.
#[utoipa::path(
    post, path = "/api/auth/change-password", tag = "auth", operation_id = "change_password",
    request_body = ChangePasswordBody,
    responses((status = 204, description = "The password is changed")),
    security(("bearer" = [])),
)]
pub(crate) async fn change_password(
    account: Account,
    limits: Limits,
    Valid(body): Valid<ChangePasswordBody>,
) -> Result<StatusCode, Problem> {
    let (app, now) = (&account.app, account.now);
    let seen = account.knows(&limits, &body.current_password).await?;
    let tenant = account.identity.tenant;
    let organisation = app.store.read(tenant, "auth.organisation", async |tx| organisations::get_own(tx).await).await?;
    let context = PasswordContext { organisation: organisation.name, email: seen.email.clone() };
    let hash = app.passwords.hash_new(POLICY, body.password.hidden(), context).await.map_err(not_taken)?;
    app.store
        .system("auth.change_password", async |tx| {
            let user = unchanged(tx, &seen, now).await?;
            users::set_password(tx, user.id, &hash, now).await?;
            password_resets::revoke_of(tx, user.id, now).await?;
            let (kept, reason) = (Some(account.session), EndReason::PasswordChanged);
            let ended = sessions::end_all_of_user(tx, user.id, kept, reason, now).await?;
            let deed = Deed::by(user.id, AuditKind::PasswordChanged, &account.origin);
            deed.with("sessions_ended", ended).record(tx, now).await?;
            let mail = Mail { to: user.email, kind: MailKind::PasswordChanged };
            errands::enqueue(tx, &Errand::Mail(mail), now).await?;
            Ok::<_, Problem>(())
        })
        .await?;
    app.jobs_wake.notify_one();
    Ok(StatusCode::NO_CONTENT)
}
