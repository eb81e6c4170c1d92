//! `GET /api/auth/sessions`.

use crate::listing::ListBody;
use crate::{Account, Problem};
use axum::Json;
use chrono::{DateTime, Utc};
use identity::refresh::IDLE_LIFETIME;
use model::SessionId;
use serde::Serialize;
use std::net::IpAddr;
use store::sessions::{self, Session};
use utoipa::ToSchema;

/// A login that still stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    /// Its id.
    id: SessionId,
    /// It is the one that asks.
    current: bool,
    /// When it began.
    created_at: DateTime<Utc>,
    /// When its tokens were last renewed.
    last_used_at: DateTime<Utc>,
    /// When it ends, unless its tokens are renewed before; never later than thirty days after it began.
    expires_at: DateTime<Utc>,
    /// From where it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    ip: Option<IpAddr>,
    /// What the program said about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// A session that nobody renews ends before its time.
fn ends_at(session: &Session) -> DateTime<Utc> {
    session.expires_at.min(session.last_used_at + IDLE_LIFETIME)
}

impl SessionBody {
    fn of(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id,
            current: session.id == current,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: ends_at(&session),
            ip: session.ip,
            user_agent: session.user_agent,
        }
    }
}

/// Your sessions in this organisation, the most recently used first; there are ten at most.
#[utoipa::path(
    get, path = "/api/auth/sessions", tag = "auth", operation_id = "list_sessions",
    responses((status = 200, description = "All of them", body = ListBody<SessionBody>)),
    security(("bearer" = [])),
)]
pub(crate) async fn list_sessions(account: Account) -> Result<Json<ListBody<SessionBody>>, Problem> {
    let (user, now) = (account.user, account.now);
    let tenant = account.identity.tenant;
    let sessions =
        account.app.store.read(tenant, "auth.sessions", async |tx| sessions::list_of_user(tx, user, now).await).await?;
    let standing = sessions.into_iter().filter(|session| ends_at(session) > now);
    let items = standing.map(|session| SessionBody::of(session, account.session)).collect();
    Ok(Json(ListBody { items, next_cursor: None }))
}
