//! `POST /api/auth/register`.

use crate::auth::accepted::{Accepted, AcceptedBody, accept, errand_origin};
use crate::auth::passwords::{POLICY, not_taken};
use crate::auth::secret::Secret;
use crate::layers::Limits;
use crate::origin::Origin;
use crate::{App, Problem, Valid};
use axum::extract::State;
use identity::PasswordContext;
use model::EmailAddress;
use serde::Deserialize;
use std::sync::Arc;
use store::errands::Errand;
use utoipa::ToSchema;

/// Somebody signs up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Register, example = json!({
    "organisation_name": "Sunrise Dental Clinic",
    "name": "Asha Rao",
    "email": "asha@clinic.example.org",
    "password": "seven grumpy otters",
}))]
pub(crate) struct RegisterBody {
    /// Name of the new organisation.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters", example = "Sunrise Dental Clinic")]
    organisation_name: String,
    /// Your own name.
    #[schema(min_length = 1, max_length = 120, format = "no-special-characters", example = "Asha Rao")]
    name: String,
    /// Where the code is sent.
    email: EmailAddress,
    /// At least 15 characters, spaces allowed; nothing that is soon guessed.
    #[schema(value_type = String, format = "password", min_length = 1, max_length = 1024)]
    password: Secret,
}

/// Signs up: an organisation, its owner, and an e-mail address to be verified by the code that is sent to it.
///
/// The answer is the same when the address has an account; the mail then says so. The account exists once the code has
/// been used.
#[utoipa::path(
    post, path = "/api/auth/register", tag = "auth", operation_id = "register",
    request_body = RegisterBody,
    responses((status = 202, description = "A mail may be on its way", body = AcceptedBody)),
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<RegisterBody>,
) -> Result<Accepted, Problem> {
    limits.charge(&app.policies.register, &origin.address()).await?;
    let context = PasswordContext { organisation: body.organisation_name.clone(), email: body.email.clone() };
    // Hashed whether the address is known or not: the time must not tell.
    let hash = app.passwords.hash_new(POLICY, body.password.hidden(), context).await.map_err(not_taken)?;
    let errand = Errand::Register {
        organisation: body.organisation_name,
        name: body.name,
        email: body.email,
        password_hash: hash.into(),
        from: errand_origin(&origin),
    };
    accept(&app, &errand, "verification_required").await
}
