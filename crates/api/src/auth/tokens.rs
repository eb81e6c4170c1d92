//! What a login gives: an access token, a refresh token, and who one is.

use crate::auth::passwords::ours;
use crate::origin::Origin;
use crate::{App, Problem};
use chrono::{DateTime, Utc};
use identity::{RefreshToken, Subject, access, refresh, token};
use model::{EmailAddress, OrganisationId, Role, UserId};
use secrecy::ExposeSecret;
use serde::Serialize;
use store::SystemTx;
use store::memberships::Membership;
use store::sessions::{self, NewSession, Session};
use store::users::User;
use utoipa::ToSchema;

/// Tokens, and who they are for.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// How it is sent.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// How long the access token is good, in seconds.
    #[schema(example = 600)]
    expires_in_s: i64,
    /// Good for one `POST /api/auth/refresh`.
    refresh_token: String,
    /// Until when the refresh token is good: seven days, and never longer than thirty days after the login.
    refresh_expires_at: DateTime<Utc>,
    /// Who.
    user: UserBody,
    /// Where these tokens are good.
    organisation: OrganisationOfUser,
    /// Every organisation of the user, longest first.
    organisations: Vec<OrganisationOfUser>,
}

/// A person.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    /// Its id.
    id: UserId,
    /// The name to log in with.
    email: EmailAddress,
    /// Shown to people.
    #[schema(example = "Asha Rao")]
    name: String,
    /// Whether a code is asked for at login.
    second_factor: bool,
}

/// An organisation of a person.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct OrganisationOfUser {
    /// Its id.
    id: OrganisationId,
    /// Its name.
    #[schema(example = "Sunrise Dental Clinic")]
    name: String,
    /// As what.
    role: Role,
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            email: user.email.clone(),
            name: user.name.clone(),
            second_factor: user.has_second_factor(),
        }
    }
}

impl From<&Membership> for OrganisationOfUser {
    fn from(membership: &Membership) -> Self {
        Self { id: membership.tenant, name: membership.organisation_name.clone(), role: membership.role }
    }
}

/// A session with the refresh token that is good now.
pub(crate) struct Open {
    pub(crate) user: User,
    pub(crate) memberships: Vec<Membership>,
    /// Of these, the session's.
    pub(crate) membership: Membership,
    pub(crate) session: Session,
    pub(crate) refresh: RefreshToken,
}

impl Open {
    /// The answer.
    pub(crate) fn answer(&self, app: &App, now: DateTime<Utc>) -> Result<TokensBody, Problem> {
        let subject = Subject { user: self.user.id, tenant: self.membership.tenant, session: self.session.id };
        let access = app.tokens.issue(subject, now).map_err(|error| ours(&error))?;
        Ok(TokensBody {
            access_token: access.text.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in_s: access::LIFETIME_S,
            refresh_token: self.refresh.expose().to_owned(),
            refresh_expires_at: self.session.expires_at.min(now + refresh::IDLE_LIFETIME),
            user: (&self.user).into(),
            organisation: (&self.membership).into(),
            organisations: self.memberships.iter().map(OrganisationOfUser::from).collect(),
        })
    }
}

/// Begins a session of this member.
pub(crate) async fn begin(
    tx: &mut SystemTx,
    membership: &Membership,
    user: UserId,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<(Session, RefreshToken), Problem> {
    let refresh = RefreshToken::random().map_err(|error| ours(&error))?;
    let new = NewSession {
        user,
        token_hash: refresh.hash(),
        token_salt: token::session_salt().map_err(|error| ours(&error))?,
        expires_at: now + refresh::ABSOLUTE_LIFETIME,
        ip: origin.ip,
        user_agent: origin.user_agent.clone(),
    };
    let session = sessions::create(tx.tenant(membership.tenant).await?, new, now).await?;
    Ok((session, refresh))
}
