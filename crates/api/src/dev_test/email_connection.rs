//! `POST /api/test/email-connection`: does mail leave this installation?

use crate::{App, Code, Problem, Valid, caller};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use model::EmailAddress;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Whom to write to.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = EmailConnectionTest, example = json!({ "to": "asha@clinic.example.org" }))]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {
    /// Gets a test mail.
    to: EmailAddress,
}

/// The mail service has taken it.
#[derive(Serialize, ToSchema)]
#[schema(as = EmailConnectionTested)]
pub(crate) struct TestedBody {
    /// Always `sent`.
    #[schema(example = "sent")]
    status: &'static str,
}

/// Whoever has the token of developers.
pub(crate) struct Developer;

impl FromRequestParts<Arc<App>> for Developer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let refused = |code| Problem::new(code, "this needs the developer's token");
        let given = caller::bearer(&parts.headers)?.ok_or_else(|| refused(Code::Unauthenticated))?;
        if caller::same_secret(app.edge.dev_test_token.as_ref(), &given) {
            Ok(Self)
        } else {
            Err(refused(Code::Forbidden))
        }
    }
}

/// Sends a test mail, at once. Development only: in production there is no such route.
#[utoipa::path(
    post, path = "/api/test/email-connection", tag = "test", operation_id = "test_email_connection",
    request_body = TestBody,
    responses(
        (status = 200, description = "The mail service has taken it", body = TestedBody),
        (status = 502, description = "It has not", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    ),
    security(("development" = [])),
)]
pub(crate) async fn test_email_connection(
    _: Developer,
    State(app): State<Arc<App>>,
    Valid(body): Valid<TestBody>,
) -> Result<Json<TestedBody>, Problem> {
    app.mail.send_test(body.to).await.map_err(|why| {
        tracing::warn!(reason = %why, "a test mail could not be sent");
        Problem::new(Code::ExternalServiceFailed, why)
    })?;
    Ok(Json(TestedBody { status: "sent" }))
}
