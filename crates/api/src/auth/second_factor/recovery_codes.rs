//! `POST /api/auth/second-factor/recovery-codes`.

use crate::auth::passwords::{not_right, unchanged};
use crate::auth::second_factor::{BothFactorsBody, RecoveryCodesBody, renew};
use crate::layers::Limits;
use crate::{Account, Problem, Valid};
use axum::Json;
use model::AuditKind;

/// Makes new recovery codes. The ones before are worth nothing then.
#[utoipa::path(
    post, path = "/api/auth/second-factor/recovery-codes", tag = "auth", operation_id = "renew_recovery_codes",
    request_body = BothFactorsBody,
    responses(
        (status = 200, description = "Keep them", body = RecoveryCodesBody),
        (status = 409, description = "No second factor is enabled", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn renew_recovery_codes(
    account: Account,
    limits: Limits,
    Valid(body): Valid<BothFactorsBody>,
) -> Result<Json<RecoveryCodesBody>, Problem> {
    let (seen, factor) = account.proves(&limits, &body).await?;
    account
        .app
        .store
        .system("auth.second_factor.recovery_codes", async |tx| {
            let user = unchanged(tx, &seen, account.now).await?.id;
            if !factor.spend(tx, user, account.now).await? {
                return Err(not_right());
            }
            let codes = renew(tx, user, account.now).await?;
            account.record(tx, AuditKind::RecoveryCodesRenewed).await?;
            Ok(Json(codes))
        })
        .await
}
