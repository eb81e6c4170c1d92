//! Invitations to one's organisation.

mod accept;
mod create;
mod list;
mod revoke;

use crate::App;
use chrono::{DateTime, Utc};
use model::{EmailAddress, InvitationId, Role, UserId};
use serde::Serialize;
use std::sync::Arc;
use store::invitations::Invitation;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Somebody was asked to join.
#[derive(Serialize, ToSchema)]
#[schema(as = Invitation)]
pub(crate) struct InvitationBody {
    /// Its id.
    id: InvitationId,
    /// Who.
    email: EmailAddress,
    /// As what.
    role: Role,
    /// By whom.
    invited_by: UserId,
    /// Where it stands.
    status: InvitationStatus,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
}

/// Where an invitation stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InvitationStatus {
    /// It can be accepted.
    Open,
    /// Somebody joined.
    Accepted,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
}

impl InvitationBody {
    fn of(invitation: Invitation, now: DateTime<Utc>) -> Self {
        let status = if invitation.accepted_at.is_some() {
            InvitationStatus::Accepted
        } else if invitation.revoked_at.is_some() {
            InvitationStatus::Revoked
        } else if invitation.is_open(now) {
            InvitationStatus::Open
        } else {
            InvitationStatus::Expired
        };
        Self {
            id: invitation.id,
            email: invitation.email,
            role: invitation.role,
            invited_by: invitation.invited_by,
            status,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_invitations, create::create_invitation))
        .routes(routes!(revoke::revoke_invitation))
        .routes(routes!(accept::accept_invitation))
}
