//! `POST /api/auth/refresh`.

use crate::auth::on_record::Deed;
use crate::auth::secret::Secret;
use crate::auth::tokens::{Open, TokensBody};
use crate::layers::Limits;
use crate::origin::Origin;
use crate::{App, Code, Problem, Valid};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use identity::RefreshToken;
use identity::refresh::{self, Decision, Family};
use model::{AuditKind, Mail, MailKind, Severity};
use serde::Deserialize;
use std::sync::Arc;
use store::errands::{self, Errand};
use store::sessions::{self, EndReason, Session, TokenFound, TokenState};
use store::{SystemTx, memberships, users};
use utoipa::ToSchema;

/// Looks at a token while others rotate it at the same moment: the second look sees what the winner has done.
const LOOKS_MAX: usize = 3;

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Refresh, example = json!({ "refresh_token": "caly_rt_…" }))]
pub(crate) struct RefreshBody {
    /// The one from the last login or refresh.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 200)]
    refresh_token: Secret,
}

/// What became of a token.
enum Outcome {
    Renewed(Box<Open>),
    /// A copy is about; its session has been ended.
    Reused,
    Refused,
}

/// Exchanges a refresh token for new tokens. It is good once.
///
/// A token that was exchanged before ends its session, since somebody holds a copy. Only the token exchanged last is
/// answered once more within ten seconds, with the same successor: an answer may have been lost.
#[utoipa::path(
    post, path = "/api/auth/refresh", tag = "auth", operation_id = "refresh",
    request_body = RefreshBody,
    responses(
        (status = 200, description = "New tokens", body = TokensBody),
        (status = 401, description = "Unknown, used or over (`invalid_token`): log in again", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn refresh(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<RefreshBody>,
) -> Result<Json<TokensBody>, Problem> {
    let now = app.now();
    let Some(token) = RefreshToken::parse(body.refresh_token.expose()) else {
        limits.charge(&app.policies.unauthenticated, &origin.address()).await?;
        return Err(refused());
    };
    // By the token: each is good once, so only who repeats one meets the limit, not all who share an address.
    let token_key = token.hash().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    limits.charge(&app.policies.unauthenticated, &format!("refresh {token_key}")).await?;
    let outcome = app.store.system("auth.refresh", async |tx| exchange(tx, &app, &token, &origin, now).await).await?;
    match outcome {
        Outcome::Renewed(open) => open.answer(&app, now).map(Json),
        Outcome::Reused => {
            app.jobs_wake.notify_one();
            Err(refused())
        }
        Outcome::Refused => {
            limits.charge(&app.policies.unauthenticated, &origin.address()).await?;
            Err(refused())
        }
    }
}

fn refused() -> Problem {
    Problem::new(Code::InvalidToken, "the refresh token is unknown, used or over; log in again")
}

async fn exchange(
    tx: &mut SystemTx,
    app: &App,
    token: &RefreshToken,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<Outcome, Problem> {
    for _ in 0..LOOKS_MAX {
        let Some(found) = sessions::find_by_token(tx, token.hash()).await? else { return Ok(Outcome::Refused) };
        let (family, spent) = family(&found);
        match refresh::decide(token, family.place(token, spent), &family, &app.pepper, now) {
            Decision::Rotate { next, .. } => {
                if sessions::rotate(tx, found.session.id, token.hash(), next.hash(), now).await? {
                    return renewed(tx, found.session, next, now).await;
                }
            }
            Decision::Repeat { next } => return renewed(tx, found.session, next, now).await,
            Decision::Reuse => return reused(tx, &found.session, origin, now).await,
            Decision::Refuse(why) => {
                tracing::debug!(reason = %why, "a refresh was refused");
                return Ok(Outcome::Refused);
            }
        }
    }
    Err(store::Error::Busy.into())
}

/// The row as `identity` judges it, and which of the session's tokens this one was.
fn family(found: &TokenFound) -> (Family, Option<u32>) {
    let session = &found.session;
    let generation = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let family = Family {
        session_salt: session.token_salt,
        generation: generation(session.generation),
        current_hash: session.token_hash,
        rotated_at: session.rotated_at.unwrap_or(session.created_at),
        created_at: session.created_at,
        last_used_at: session.last_used_at,
        ended_at: session.ended_at,
    };
    let spent = match found.what {
        TokenState::Current => None,
        TokenState::Blacklisted { generation: spent, .. } => Some(generation(spent)),
    };
    (family, spent)
}

async fn renewed(
    tx: &mut SystemTx,
    session: Session,
    next: RefreshToken,
    now: DateTime<Utc>,
) -> Result<Outcome, Problem> {
    // The membership may be gone: then the exchange is undone, and the token is worth nothing anyway.
    let who = sessions::authenticate(tx, session.id, now).await?.ok_or_else(refused)?;
    let user = users::get(tx, who.user).await?;
    let memberships = memberships::of_user(tx, who.user).await?;
    let membership = memberships.iter().find(|membership| membership.tenant == who.tenant).cloned();
    let membership = membership.ok_or_else(refused)?;
    Ok(Outcome::Renewed(Box::new(Open { user, memberships, membership, session, refresh: next })))
}

async fn reused(tx: &mut SystemTx, session: &Session, origin: &Origin, now: DateTime<Utc>) -> Result<Outcome, Problem> {
    // Of several copies that come back at once, one is told of.
    if !sessions::end(tx, session.id, EndReason::TokenReused, now).await? {
        return Ok(Outcome::Refused);
    }
    let user = users::get(tx, session.user).await?;
    Deed::against(user.id, AuditKind::TokenReused, origin)
        .severity(Severity::Critical)
        .with("session", session.id.to_string())
        .record_in(tx, session.tenant, now)
        .await?;
    let mail = Mail { to: user.email, kind: MailKind::TokenReused };
    errands::enqueue(tx, &Errand::Mail(mail), now).await?;
    Ok(Outcome::Reused)
}
