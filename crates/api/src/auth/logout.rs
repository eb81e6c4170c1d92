//! `POST /api/auth/logout`.

use crate::{Account, Problem};
use axum::http::StatusCode;
use model::AuditKind;
use serde_json::Map;
use store::sessions::{self, EndReason};

/// Ends this session. Its tokens are worth nothing from now on.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "auth", operation_id = "logout",
    responses((status = 204, description = "Logged out")),
    security(("bearer" = [])),
)]
pub(crate) async fn logout(account: Account) -> Result<StatusCode, Problem> {
    account
        .app
        .store
        .system("auth.logout", async |tx| {
            if sessions::end(tx, account.session, EndReason::LoggedOut, account.now).await? {
                let object = Some(("session", account.session.to_string()));
                let tx = tx.tenant(account.identity.tenant).await?;
                account.audit(tx, AuditKind::LoggedOut, object, Map::new()).await?;
            }
            Ok::<_, Problem>(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
