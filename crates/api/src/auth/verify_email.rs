//! `POST /api/auth/verify-email`.

use crate::auth::on_record::{Deed, NOBODY, stranger};
use crate::auth::passwords::no_verdict;
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::origin::Origin;
use crate::{App, Code, Problem, Valid};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use identity::one_time_code::{self, OneTimeCode, Purpose, Standing, StoredCode};
use model::{AuditKind, EmailAddress, UserId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::one_time_codes::{self, Code as SentCode};
use store::{SystemTx, users};
use utoipa::ToSchema;
use uuid::Uuid;

/// The code from the mail.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VerifyEmail, example = json!({ "email": "asha@clinic.example.org", "code": "048213" }))]
pub(crate) struct VerifyEmailBody {
    /// The address it was sent to.
    email: EmailAddress,
    /// Six digits.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 16, example = "048213")]
    code: Secret,
}

/// It is verified.
#[derive(Serialize, ToSchema)]
#[schema(as = EmailVerified)]
pub(crate) struct VerifiedBody {
    /// Always `verified`.
    #[schema(example = "verified")]
    status: &'static str,
}

/// A code that may be compared; its try is counted.
struct Open {
    user: UserId,
    code: SentCode,
}

/// Proves that an e-mail address is yours, with the code sent to it: ten minutes, five tries, once.
///
/// A wrong code, one that is over, and an address without an account all get the same answer.
#[utoipa::path(
    post, path = "/api/auth/verify-email", tag = "auth", operation_id = "verify_email",
    request_body = VerifyEmailBody,
    responses((status = 200, description = "The address is verified: log in", body = VerifiedBody)),
)]
pub(crate) async fn verify_email(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<VerifyEmailBody>,
) -> Result<Json<VerifiedBody>, Problem> {
    limits.charge(&app.policies.email_verification, body.email.as_str()).await?;
    let now = app.now();
    let open =
        app.store.system("auth.verify_email.try", async |tx| count_try(tx, &body.email, &origin, now).await).await?;
    // Simultaneous tries have different numbers by now; the slow comparison needs no transaction.
    let right = match (open, OneTimeCode::parse(body.code.expose())) {
        (Some(open), Some(code)) => {
            let same = app.passwords.verify_code(Purpose::VerifyEmail, open.user, &code, &open.code.code_hash).await;
            same.map_err(no_verdict)?.then_some(open)
        }
        (Some(_) | None, _) => {
            app.passwords.verify_nobody(body.code.hidden()).await.map_err(no_verdict)?;
            None
        }
    };
    let Some(open) = right else { return Err(wrong()) };
    app.store.system("auth.verify_email", async |tx| verify(tx, &open, &origin, now).await).await?;
    Ok(Json(VerifiedBody { status: "verified" }))
}

fn wrong() -> Problem {
    Problem::new(Code::InvalidCode, "the code is wrong, used or over; have another sent")
}

/// The code of this address, if there is one that may still be tried. For every address the same is asked and one thing
/// is written: the try, or that there was nothing to try.
async fn count_try(
    tx: &mut SystemTx,
    email: &EmailAddress,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<Option<Open>, Problem> {
    let user = users::find_by_email(tx, email).await?.map_or(NOBODY, |user| user.id);
    let code = one_time_codes::current(tx, user, Purpose::VerifyEmail.as_str()).await?;
    let open = code.filter(|code| {
        let stored = StoredCode { expires_at: code.expires_at, tries: code.tries, used_at: code.used_at };
        match one_time_code::check(&stored, now) {
            Standing::Open => true,
            Standing::Expired | Standing::Spent | Standing::Used => false,
        }
    });
    let id = open.as_ref().map_or(Uuid::nil(), |code| code.id);
    match one_time_codes::count_try(tx, id).await {
        Ok(tries) if tries <= one_time_code::TRIES_MAX => return Ok(open.map(|code| Open { user, code })),
        // Nothing to try; or others were faster, or a new code was sent meanwhile.
        Ok(_) | Err(store::Error::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    stranger(tx, "code", origin, now).await?;
    Ok(None)
}

async fn verify(tx: &mut SystemTx, open: &Open, origin: &Origin, now: DateTime<Utc>) -> Result<(), Problem> {
    if !one_time_codes::use_once(tx, open.code.id, now).await? {
        return Err(wrong());
    }
    if users::verify_email(tx, open.user, now).await? {
        Deed::by(open.user, AuditKind::EmailVerified, origin).record(tx, now).await?;
    }
    Ok(())
}
