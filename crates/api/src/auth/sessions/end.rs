//! `DELETE /api/auth/sessions/{id}`.

use crate::auth::path_id::PathId;
use crate::{Account, Problem};
use axum::http::StatusCode;
use model::{AuditKind, SessionId};
use serde_json::Map;
use store::sessions;

/// Ends one of your sessions in this organisation.
#[utoipa::path(
    delete, path = "/api/auth/sessions/{id}", tag = "auth", operation_id = "end_session",
    params(("id" = SessionId, Path, description = "The session")),
    responses((status = 204, description = "It has ended")),
    security(("bearer" = [])),
)]
pub(crate) async fn end_session(account: Account, PathId(id): PathId<SessionId>) -> Result<StatusCode, Problem> {
    account
        .app
        .store
        .write(account.identity.tenant, "auth.end_session", async |tx| {
            if sessions::end_own(tx, account.user, id, account.now).await? {
                account.audit(tx, AuditKind::SessionEnded, Some(("session", id.to_string())), Map::new()).await?;
            }
            Ok::<_, Problem>(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
