//! `GET` and `PATCH /api/auth/me`.

use crate::{Account, Problem, Valid};
use axum::Json;
use chrono::{DateTime, Utc};
use model::{AuditKind, EmailAddress, OrganisationId, Role, Scope, SessionId, UserId};
use serde::{Deserialize, Serialize};
use store::{SystemTx, organisations, recovery_codes, users};
use utoipa::ToSchema;

/// Who asks.
#[derive(Serialize, ToSchema)]
#[schema(as = Me)]
pub(crate) struct MeBody {
    /// Your id.
    id: UserId,
    /// The name to log in with.
    email: EmailAddress,
    /// Shown to people.
    #[schema(example = "Asha Rao")]
    name: String,
    /// Since when there is the account.
    created_at: DateTime<Utc>,
    /// This login.
    session_id: SessionId,
    /// Where it works.
    organisation: OwnOrganisation,
    /// As what.
    role: Role,
    /// What that role may do.
    scopes: Vec<Scope>,
    /// Whether a code is asked for at login.
    second_factor: SecondFactorState,
}

/// The organisation of this login.
#[derive(Serialize, ToSchema)]
pub(crate) struct OwnOrganisation {
    /// Its id.
    id: OrganisationId,
    /// Its name.
    #[schema(example = "Sunrise Dental Clinic")]
    name: String,
}

/// The second factor.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecondFactorState {
    /// A code is asked for at login.
    enabled: bool,
    /// Begun, and not yet confirmed.
    pending: bool,
    /// Recovery codes that are still good.
    #[schema(example = 10)]
    recovery_codes_left: u32,
}

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateMe, example = json!({ "name": "Asha Rao" }))]
pub(crate) struct UpdateMeBody {
    /// Your name.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters", example = "Asha Rao")]
    name: String,
}

/// Who you are, and what you may do.
#[utoipa::path(
    get, path = "/api/auth/me", tag = "auth", operation_id = "get_me",
    responses((status = 200, description = "You", body = MeBody)),
    security(("bearer" = [])),
)]
pub(crate) async fn get_me(account: Account) -> Result<Json<MeBody>, Problem> {
    account.app.store.system_read("auth.me", async |tx| me(tx, &account).await).await.map(Json)
}

/// Changes your name.
#[utoipa::path(
    patch, path = "/api/auth/me", tag = "auth", operation_id = "update_me",
    request_body = UpdateMeBody,
    responses((status = 200, description = "You", body = MeBody)),
    security(("bearer" = [])),
)]
pub(crate) async fn update_me(account: Account, Valid(body): Valid<UpdateMeBody>) -> Result<Json<MeBody>, Problem> {
    account
        .app
        .store
        .system("auth.update_me", async |tx| {
            users::set_name(tx, account.user, &body.name, account.now).await?;
            account.record(tx, AuditKind::SettingsChanged).await?;
            me(tx, &account).await
        })
        .await
        .map(Json)
}

async fn me(tx: &mut SystemTx, account: &Account) -> Result<MeBody, Problem> {
    let user = users::get(tx, account.user).await?;
    let recovery_codes_left = recovery_codes::left(tx, user.id).await?;
    let organisation = organisations::get_own(tx.tenant(account.identity.tenant).await?).await?;
    let enabled = user.has_second_factor();
    Ok(MeBody {
        id: user.id,
        second_factor: SecondFactorState { enabled, pending: user.totp.is_some() && !enabled, recovery_codes_left },
        email: user.email,
        name: user.name,
        created_at: user.created_at,
        session_id: account.session,
        organisation: OwnOrganisation { id: organisation.id, name: organisation.name },
        role: account.role,
        scopes: Scope::ALL.iter().copied().filter(|scope| account.role.holds(*scope)).collect(),
    })
}
