//! `POST /api/invitations`.

use super::InvitationBody;
use crate::auth::passwords::ours;
use crate::layers::Limits;
use crate::members::{may_grant, person};
use crate::{Caller, Problem, Valid, scopes};
use axum::Json;
use axum::http::StatusCode;
use chrono::Duration;
use identity::InvitationToken;
use model::{AuditKind, EmailAddress, Mail, MailKind, Role};
use serde::Deserialize;
use serde_json::{Map, json};
use store::errands::{self, Errand};
use store::invitations::{self, NewInvitation};
use store::{memberships, organisations};
use utoipa::ToSchema;

/// How long an invitation is good: people are on leave for a week.
const DAYS: u32 = 7;

/// Who is asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateInvitation, example = json!({ "email": "ravi@clinic.example.org", "role": "member" }))]
pub(crate) struct CreateInvitationBody {
    /// The address.
    email: EmailAddress,
    /// The role to have.
    role: Role,
}

/// Asks somebody by mail to join your organisation. Owners offer any role, admins those below their own.
#[utoipa::path(
    post, path = "/api/invitations", tag = "organisation", operation_id = "create_invitation",
    request_body = CreateInvitationBody,
    responses(
        (status = 201, description = "The mail is on its way", body = InvitationBody),
        (status = 409, description = "The address is a member's, or has an open invitation", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = ["members:write"])),
)]
pub(crate) async fn create_invitation(
    caller: Caller<scopes::MembersWrite>,
    limits: Limits,
    Valid(body): Valid<CreateInvitationBody>,
) -> Result<(StatusCode, Json<InvitationBody>), Problem> {
    let (user, own) = person(&caller.identity)?;
    may_grant(own, body.role)?;
    // Nobody's mailbox is filled by invitations that are taken back and sent again.
    limits.charge(&caller.app.policies.code_resend, &format!("invitation {}", body.email.as_str())).await?;
    let (now, token) = (caller.now, InvitationToken::random().map_err(|error| ours(&error))?);
    let link = format!("{}/accept-invitation#token={}", caller.app.edge.links_url, token.expose());
    let new = NewInvitation {
        email: body.email,
        role: body.role,
        token_hash: token.hash(),
        invited_by: user,
        expires_at: now + Duration::days(i64::from(DAYS)),
    };
    let made = caller
        .write("invitations.create", async |tx| {
            let made = invitations::create(tx, &new, now).await?;
            let organisation = organisations::get_own(tx).await?.name;
            let inviter_name = memberships::get(tx, user).await?.name;
            let kind = MailKind::Invitation { organisation, inviter_name, link: link.into(), days: DAYS };
            errands::enqueue(tx, &Errand::Mail(Mail { to: made.email.clone(), kind }), now).await?;
            let data = Map::from_iter([("role".to_owned(), json!(made.role))]);
            caller.audit(tx, AuditKind::InvitationCreated, Some(("invitation", made.id.to_string())), data).await?;
            Ok(made)
        })
        .await?;
    caller.app.jobs_wake.notify_one();
    Ok((StatusCode::CREATED, Json(InvitationBody::of(made, now))))
}
