//! `POST /api/auth/forgot-password`.

use crate::auth::accepted::{Accepted, AcceptedBody, accept, errand_origin};
use crate::layers::Limits;
use crate::origin::Origin;
use crate::{App, Problem, Valid};
use axum::extract::State;
use model::EmailAddress;
use serde::Deserialize;
use std::sync::Arc;
use store::errands::Errand;
use utoipa::ToSchema;

/// Whose password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ForgotPassword, example = json!({ "email": "asha@clinic.example.org" }))]
pub(crate) struct ForgotPasswordBody {
    /// The address of the account.
    email: EmailAddress,
}

/// Sends a link to a new password, good for 15 minutes, if the address has an account.
#[utoipa::path(
    post, path = "/api/auth/forgot-password", tag = "auth", operation_id = "forgot_password",
    request_body = ForgotPasswordBody,
    responses((status = 202, description = "A mail may be on its way", body = AcceptedBody)),
)]
pub(crate) async fn forgot_password(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<ForgotPasswordBody>,
) -> Result<Accepted, Problem> {
    let key = format!("{} {}", body.email.as_str(), origin.address());
    limits.charge(&app.policies.password_reset, &key).await?;
    accept(&app, &Errand::ForgotPassword { email: body.email, from: errand_origin(&origin) }, "accepted").await
}
