//! `POST /api/auth/logout-all`.

use crate::auth::on_record::Deed;
use crate::{Account, Problem};
use axum::http::StatusCode;
use model::AuditKind;
use store::sessions::{self, EndReason};

/// Ends every session of yours, in every organisation, this one included.
#[utoipa::path(
    post, path = "/api/auth/logout-all", tag = "auth", operation_id = "logout_all",
    responses((status = 204, description = "Logged out everywhere")),
    security(("bearer" = [])),
)]
pub(crate) async fn logout_all(account: Account) -> Result<StatusCode, Problem> {
    let (user, now) = (account.user, account.now);
    account
        .app
        .store
        .system("auth.logout_all", async |tx| {
            let ended = sessions::end_all_of_user(tx, user, None, EndReason::AllLoggedOut, now).await?;
            let deed = Deed::by(user, AuditKind::AllSessionsEnded, &account.origin).with("sessions", ended);
            deed.record(tx, now).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
