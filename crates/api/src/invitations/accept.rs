//! `POST /api/auth/accept-invitation`.

use crate::auth::OrganisationOfUser;
use crate::auth::on_record::Deed;
use crate::auth::passwords::{POLICY, not_taken, ours};
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::origin::Origin;
use crate::problem::FieldFault;
use crate::{App, Code, Problem, Valid};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use identity::{InvitationToken, PasswordContext};
use model::{AuditKind, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use std::sync::Arc;
use store::invitations::{self, Invitation};
use store::users::{self, NewUser, User};
use store::{SystemTx, audit, memberships, organisations};
use utoipa::ToSchema;

/// Somebody joins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AcceptInvitation, example = json!({
    "token": "caly_invite_…",
    "name": "Ravi Iyer",
    "password": "seven grumpy otters",
}))]
pub(crate) struct AcceptInvitationBody {
    /// What stands behind `#token=` in the link of the mail.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 200)]
    token: Secret,
    /// Your name; needed without an account, ignored with one.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters", example = "Ravi Iyer")]
    name: Option<String>,
    /// A password; needed without an account, ignored with one. At least 15 characters.
    #[schema(value_type = Option<String>, format = "password", min_length = 1, max_length = 1024)]
    password: Option<Secret>,
}

/// Where one is a member now.
#[derive(Serialize, ToSchema)]
#[schema(as = InvitationAccepted)]
pub(crate) struct AcceptedInvitationBody {
    /// The organisation joined.
    organisation: OrganisationOfUser,
    /// An account was made; its address counts as verified.
    account_created: bool,
}

/// Name and password of a new account.
struct Account {
    name: String,
    password_hash: String,
}

/// Accepts an invitation by the token of the mail. Log in afterwards.
///
/// Who has an account joins with it. Who has none sends name and password as well; the mail has proved the address.
#[utoipa::path(
    post, path = "/api/auth/accept-invitation", tag = "auth", operation_id = "accept_invitation",
    request_body = AcceptInvitationBody,
    responses(
        (status = 200, description = "You are a member", body = AcceptedInvitationBody),
        (status = 401, description = "The token is unknown, used, taken back or over (`invalid_token`)", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn accept_invitation(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<AcceptInvitationBody>,
) -> Result<Json<AcceptedInvitationBody>, Problem> {
    limits.charge(&app.policies.register, &format!("invitation {}", origin.address())).await?;
    let now = app.now();
    let token = InvitationToken::parse(body.token.expose()).ok_or_else(refused)?;
    let (invitation, user, organisation) =
        app.store.system_read("auth.invitation", async |tx| look(tx, &token, now).await).await?;
    let account = match user {
        Some(user) if user.email_verified_at.is_some() => None,
        // What somebody typed who never proved the address does not count.
        Some(_) | None => Some(account(&app, body, &invitation, organisation).await?),
    };
    let joined = app
        .store
        .system("auth.accept_invitation", async |tx| join(tx, &token, account.as_ref(), &origin, now).await)
        .await?;
    Ok(Json(joined))
}

fn refused() -> Problem {
    Problem::new(Code::InvalidToken, "the invitation is unknown, used, taken back or over; ask for another")
}

/// The invitation, whose address it is for, and the organisation's name.
async fn look(
    tx: &mut SystemTx,
    token: &InvitationToken,
    now: DateTime<Utc>,
) -> Result<(Invitation, Option<User>, String), Problem> {
    let invitation = invitations::find_open(tx, token.hash(), now).await?.ok_or_else(refused)?;
    let user = users::find_by_email(tx, &invitation.email).await?;
    let organisation = organisations::get(tx, invitation.tenant).await?.name;
    Ok((invitation, user, organisation))
}

async fn account(
    app: &App,
    body: AcceptInvitationBody,
    invitation: &Invitation,
    organisation: String,
) -> Result<Account, Problem> {
    let missing = |field: &str| FieldFault { field: field.to_owned(), message: "is missing".to_owned() };
    let (name, password) = match (body.name, body.password) {
        (Some(name), Some(password)) => (name, password),
        (Some(_), None) => return Err(Problem::fields(vec![missing("password")])),
        (None, Some(_)) => return Err(Problem::fields(vec![missing("name")])),
        (None, None) => return Err(Problem::fields(vec![missing("name"), missing("password")])),
    };
    let context = PasswordContext { organisation, email: invitation.email.clone() };
    let password_hash = app.passwords.hash_new(POLICY, password.hidden(), context).await.map_err(not_taken)?;
    Ok(Account { name, password_hash })
}

async fn join(
    tx: &mut SystemTx,
    token: &InvitationToken,
    account: Option<&Account>,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<AcceptedInvitationBody, Problem> {
    let invitation = invitations::find_open(tx, token.hash(), now).await?.ok_or_else(refused)?;
    let (user, account_created) = user(tx, &invitation, account, now).await?;
    let tenant = tx.tenant(invitation.tenant).await?;
    if !invitations::accept(tenant, invitation.id, user, now).await? {
        return Err(refused());
    }
    let (actor, id) = (format!("user:{user}"), invitation.id.to_string());
    let object = Some(("invitation", id.as_str()));
    let event = origin.event(AuditKind::InvitationAccepted, model::Severity::Info, &actor, object, Map::new());
    audit::record(tenant, &event, now).await?;
    if account_created {
        Deed::by(user, AuditKind::EmailVerified, origin).record(tx, now).await?;
    }
    let memberships = memberships::of_user(tx, user).await?;
    let joined = memberships.iter().find(|membership| membership.tenant == invitation.tenant);
    Ok(AcceptedInvitationBody { organisation: joined.ok_or(store::Error::NotFound)?.into(), account_created })
}

/// Whose address the invitation is for; made when nobody has proved to have it.
async fn user(
    tx: &mut SystemTx,
    invitation: &Invitation,
    account: Option<&Account>,
    now: DateTime<Utc>,
) -> Result<(UserId, bool), Problem> {
    let found = users::find_by_email(tx, &invitation.email).await?;
    let verified = |user: &User| user.email_verified_at.is_some();
    let id = match (found, account) {
        (Some(user), _) if verified(&user) => return Ok((user.id, false)),
        (Some(user), Some(account)) => {
            users::replace_pending(tx, user.id, &account.name, &account.password_hash, now).await?;
            user.id
        }
        (None, Some(account)) => {
            let new = NewUser {
                email: invitation.email.clone(),
                name: account.name.clone(),
                password_hash: account.password_hash.clone().into(),
            };
            users::create(tx, &new, now).await?
        }
        // Verified a moment ago, and no account now: accounts are not deleted.
        (Some(_) | None, None) => return Err(ours(&store::Error::NotFound)),
    };
    users::verify_email(tx, id, now).await?;
    Ok((id, true))
}
