//! `POST /api/auth/resend-otp`.

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

/// Whose address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResendOtp, example = json!({ "email": "asha@clinic.example.org" }))]
pub(crate) struct ResendOtpBody {
    /// The address that was registered.
    email: EmailAddress,
}

/// Sends a new code to an address that waits for verification. Earlier codes are worth nothing then.
#[utoipa::path(
    post, path = "/api/auth/resend-otp", tag = "auth", operation_id = "resend_otp",
    request_body = ResendOtpBody,
    responses((status = 202, description = "A mail may be on its way", body = AcceptedBody)),
)]
pub(crate) async fn resend_otp(
    State(app): State<Arc<App>>,
    origin: Origin,
    limits: Limits,
    Valid(body): Valid<ResendOtpBody>,
) -> Result<Accepted, Problem> {
    limits.charge(&app.policies.code_resend, body.email.as_str()).await?;
    accept(&app, &Errand::ResendCode { email: body.email, from: errand_origin(&origin) }, "verification_required").await
}
