//! `POST /api/auth/second-factor`.

use crate::auth::passwords::{ours, unchanged};
use crate::auth::second_factor::code::place;
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::{Account, Problem, Valid};
use axum::Json;
use identity::TotpSecret;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::{users, vault};
use utoipa::ToSchema;

/// Your password again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BeginSecondFactor, example = json!({ "password": "seven grumpy otters" }))]
pub(crate) struct BeginBody {
    /// The password.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    password: Secret,
}

/// What an authenticator app needs. Shown this one time.
#[derive(Serialize, ToSchema)]
#[schema(as = SecondFactorSecret)]
pub(crate) struct SecretBody {
    /// The secret to type in: base32.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// The same as an address, for a picture to scan.
    otpauth_url: String,
}

/// Begins to set up a second factor (TOTP). It is asked for at login once a code of it has been confirmed.
#[utoipa::path(
    post, path = "/api/auth/second-factor", tag = "auth", operation_id = "begin_second_factor",
    request_body = BeginBody,
    responses(
        (status = 200, description = "Enter it into the app, then confirm a code", body = SecretBody),
        (status = 409, description = "A second factor is enabled already", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = [])),
)]
pub(crate) async fn begin(
    account: Account,
    limits: Limits,
    Valid(body): Valid<BeginBody>,
) -> Result<Json<SecretBody>, Problem> {
    let seen = account.knows(&limits, &body.password).await?;
    let secret = TotpSecret::random().map_err(|error| ours(&error))?;
    account
        .app
        .store
        .system("auth.second_factor.begin", async |tx| {
            let user = unchanged(tx, &seen, account.now).await?.id;
            let sealed = vault::seal(tx, place(user), secret.expose(), account.now).await?;
            users::set_totp(tx, user, Some(&sealed), account.now).await?;
            Ok::<_, Problem>(())
        })
        .await?;
    Ok(Json(SecretBody {
        secret: secret.base32().expose_secret().to_owned(),
        otpauth_url: secret.otpauth_url(&seen.email).expose_secret().to_owned(),
    }))
}
