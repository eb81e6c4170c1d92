//! `POST /api/auth/second-factor/disable`. No `DELETE`, since proof is asked for and a body there is nobody's habit.

use crate::auth::passwords::{not_right, unchanged};
use crate::auth::second_factor::BothFactorsBody;
use crate::layers::Limits;
use crate::{Account, Problem, Valid};
use axum::http::StatusCode;
use model::{AuditKind, Mail, MailKind};
use store::errands::{self, Errand};
use store::{recovery_codes, users};

/// Switches the second factor off and drops the recovery codes.
#[utoipa::path(
    post, path = "/api/auth/second-factor/disable", tag = "auth", operation_id = "disable_second_factor",
    request_body = BothFactorsBody,
    responses(
        (status = 204, description = "Login asks for the password alone"),
        (status = 409, description = "No second factor is enabled", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn disable(
    account: Account,
    limits: Limits,
    Valid(body): Valid<BothFactorsBody>,
) -> Result<StatusCode, Problem> {
    let (seen, factor) = account.proves(&limits, &body).await?;
    let now = account.now;
    account
        .app
        .store
        .system("auth.second_factor.disable", async |tx| {
            let user = unchanged(tx, &seen, now).await?;
            if !factor.spend(tx, user.id, now).await? {
                return Err(not_right());
            }
            users::set_totp(tx, user.id, None, now).await?;
            recovery_codes::replace(tx, user.id, &[], now).await?;
            account.record(tx, AuditKind::SecondFactorDisabled).await?;
            let mail = Mail { to: user.email, kind: MailKind::SecondFactorChanged { enabled: false } };
            errands::enqueue(tx, &Errand::Mail(mail), now).await?;
            Ok(())
        })
        .await?;
    account.app.jobs_wake.notify_one();
    Ok(StatusCode::NO_CONTENT)
}
