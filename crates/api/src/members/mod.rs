//! The members of one's organisation.

mod list;
mod remove;
mod set_role;

use crate::caller::{Identity, Who};
use crate::{App, Code, Problem};
use chrono::{DateTime, Utc};
use model::{EmailAddress, Role, UserId};
use serde::Serialize;
use std::sync::Arc;
use store::memberships::Member;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A member.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberBody {
    /// Who.
    user_id: UserId,
    /// Shown to people.
    #[schema(example = "Asha Rao")]
    name: String,
    /// The address.
    email: EmailAddress,
    /// As what.
    role: Role,
    /// The address has been proved.
    email_verified: bool,
    /// A code is asked for at login.
    second_factor: bool,
    /// Since when.
    created_at: DateTime<Utc>,
}

impl From<Member> for MemberBody {
    fn from(member: Member) -> Self {
        Self {
            user_id: member.user,
            name: member.name,
            email: member.email,
            role: member.role,
            email_verified: member.email_verified,
            second_factor: member.second_factor,
            created_at: member.created_at,
        }
    }
}

/// The person behind the caller, with the role held. Keys hold no scope that changes people.
pub(crate) fn person(identity: &Identity) -> Result<(UserId, Role), Problem> {
    match identity.who {
        Who::User { id, role, .. } => Ok((id, role)),
        Who::Key { .. } => {
            Err(Problem::new(Code::Forbidden, "this is done by people: log in instead of using an API key"))
        }
    }
}

/// Whether somebody of the one role may give or take the other.
pub(crate) fn may_grant(own: Role, other: Role) -> Result<(), Problem> {
    if own.may_grant(other) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, format!("a member of role {own} gives and takes no role {other}")))
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list::list_members)).routes(routes!(set_role::set_role, remove::remove_member))
}
