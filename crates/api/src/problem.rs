//! The one shape of every error: `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with
//! a stable code from a closed list.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use wire::fields::{BodyError, FieldErrors, FieldProblem};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal $status:ident),* $(,)?) => {
        /// What went wrong: stable words that programs may rely on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $name),* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable word.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $word),* } }

            /// The HTTP status it is answered with.
            #[must_use]
            pub const fn status(self) -> StatusCode { match self { $(Self::$name => StatusCode::$status),* } }
        }
    };
}

codes! {
    /// The body cannot be read at all.
    MalformedBody = "malformed_body" BAD_REQUEST,
    /// Fields are missing or unusable; `errors` names each.
    InvalidFields = "invalid_fields" BAD_REQUEST,
    /// The body is of a kind that this route does not take.
    UnsupportedMediaType = "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE,
    /// No credentials, or none that are ours.
    Unauthenticated = "unauthenticated" UNAUTHORIZED,
    /// The access token is over, or its session has ended: refresh, or log in again.
    TokenExpired = "token_expired" UNAUTHORIZED,
    /// E-mail address, password or second factor are not right; which, is not told.
    InvalidCredentials = "invalid_credentials" UNAUTHORIZED,
    /// The password is right; the code of the second factor is needed, too.
    SecondFactorRequired = "second_factor_required" UNAUTHORIZED,
    /// A refresh, reset or invitation token that is unknown, used or over.
    InvalidToken = "invalid_token" UNAUTHORIZED,
    /// A one-time code that is wrong, used or over.
    InvalidCode = "invalid_code" BAD_REQUEST,
    /// The e-mail address has not been verified.
    EmailNotVerified = "email_not_verified" FORBIDDEN,
    /// The role or the API key does not allow this.
    Forbidden = "forbidden" FORBIDDEN,
    /// This route is served over https only.
    HttpsRequired = "https_required" FORBIDDEN,
    /// Too often; again after `Retry-After`.
    RateLimited = "rate_limited" TOO_MANY_REQUESTS,
    /// The idempotency key came with another request before.
    IdempotencyKeyReused = "idempotency_key_reused" UNPROCESSABLE_ENTITY,
    /// A service that Caly depends on (mail, object store) did not do its part.
    ExternalServiceFailed = "external_service_failed" BAD_GATEWAY,
    /// No signature where one is needed.
    SignatureMissing = "signature_missing" UNAUTHORIZED,
    /// A signature that is not ours.
    SignatureWrong = "signature_wrong" UNAUTHORIZED,
    /// Rightly signed, but too long ago: a replay.
    SignatureExpired = "signature_expired" UNAUTHORIZED,
    /// Rightly signed, with a time, and received before: a replay.
    SignatureReplayed = "signature_replayed" UNAUTHORIZED,
    /// No such route, or nothing there that this caller may see.
    NotFound = "not_found" NOT_FOUND,
    /// No agent answers this number.
    UnknownNumber = "unknown_number" NOT_FOUND,
    /// The route exists, with other methods.
    MethodNotAllowed = "method_not_allowed" METHOD_NOT_ALLOWED,
    /// A link that worked for some minutes, which are over.
    LinkExpired = "link_expired" GONE,
    /// A range of bytes that lies beyond the end.
    RangeNotSatisfiable = "range_not_satisfiable" RANGE_NOT_SATISFIABLE,
    /// It contradicts what is there.
    Conflict = "conflict" CONFLICT,
    /// The call's media has begun, or it is over: it cannot be started again.
    CallAlreadyStarted = "call_already_started" CONFLICT,
    /// The body is larger than this route takes.
    BodyTooLarge = "body_too_large" PAYLOAD_TOO_LARGE,
    /// The request took longer than it may.
    RequestTimeout = "request_timeout" SERVICE_UNAVAILABLE,
    /// Too much to do; try again after the time given.
    Overloaded = "overloaded" SERVICE_UNAVAILABLE,
    /// The node stops and takes no new calls.
    Stopping = "stopping" SERVICE_UNAVAILABLE,
    /// The database cannot be reached or is too busy.
    DatabaseUnavailable = "database_unavailable" SERVICE_UNAVAILABLE,
    /// A fault of ours.
    Internal = "internal" INTERNAL_SERVER_ERROR,
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldFault {
    /// Where: `email`, `config.turn_taking.pause_short_ms`, `scopes.2`.
    #[schema(example = "email")]
    pub field: String,
    /// What is wrong with it. Never repeats the value.
    #[schema(example = "is missing")]
    pub message: String,
}

/// Every error of the API ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: `code` is what programs go by.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: String,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// Stable word.
    #[schema(example = "invalid_fields")]
    code: String,
    /// One sentence for people.
    detail: String,
    /// The request, for questions to the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// Each field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldFault>,
    /// Development only: what led to it, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    causes: Vec<String>,
}

/// An error on its way to the client. Its detail is for the client: no internals, no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// Not the code's own, when the framework has chosen one.
    status: Option<StatusCode>,
    detail: String,
    fields: Vec<FieldFault>,
    request_id: Option<String>,
    causes: Vec<String>,
    retry_after_s: Option<u64>,
}

/// Clients that are told to come back wait this long.
const RETRY_AFTER_S: u64 = 2;
/// Causes shown: a longer chain is a loop.
const CAUSES_MAX: usize = 8;

impl Problem {
    /// With a sentence for the client.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            status: None,
            detail: detail.into(),
            fields: Vec::new(),
            request_id: None,
            causes: Vec::new(),
            retry_after_s: None,
        }
    }

    /// With the status that the framework has chosen.
    #[must_use]
    pub(crate) fn answered_with(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Names the fields that are wrong, and nothing else.
    #[must_use]
    pub fn fields(fields: Vec<FieldFault>) -> Self {
        let detail = match fields.as_slice() {
            [one] => format!("{} {}", one.field, one.message),
            many => format!("{} fields cannot be used", many.len()),
        };
        let mut problem = Self::new(Code::InvalidFields, detail);
        problem.fields = fields;
        problem
    }

    /// One field that is wrong.
    #[must_use]
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldFault { field: field.to_owned(), message: message.into() }])
    }

    /// With what led to it; shown in development only.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next.filter(|_| self.causes.len() < CAUSES_MAX) {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// With the time after which another try makes sense.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The fields that are wrong.
    #[cfg(test)]
    pub(crate) fn faults(&self) -> &[FieldFault] {
        &self.fields
    }

    /// Hides what only developers may see.
    pub(crate) fn without_causes(mut self) -> Self {
        self.causes.clear();
        self
    }

    /// Says in which request it happened.
    #[must_use]
    pub fn in_request(mut self, id: &str) -> Self {
        self.request_id = Some(id.to_owned());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        let mut problem = Self::new(Code::InvalidFields, errors.to_string());
        problem.fields = errors
            .0
            .into_iter()
            .map(|error| FieldFault {
                message: match error.problem {
                    FieldProblem::Missing => "is missing".to_owned(),
                    FieldProblem::Bad(expected) => format!("is not {expected}"),
                },
                field: error.field,
            })
            .collect();
        problem
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge => Code::BodyTooLarge,
            BodyError::TooManyFields | BodyError::NotAnObject | BodyError::NotMultipart | BodyError::NotText => {
                Code::MalformedBody
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound => Self::new(Code::NotFound, "there is no such thing"),
            store::Error::Conflict(what) => Self::new(Code::Conflict, what),
            store::Error::Busy | store::Error::Unavailable => {
                tracing::error!(error = %error, "the database did not answer");
                Self::new(Code::DatabaseUnavailable, "the database is not available; try again")
            }
            store::Error::Broken(cause) => {
                tracing::error!(cause = %cause, "the database refused a statement");
                let mut problem = Self::new(Code::Internal, "something went wrong on our side");
                problem.causes.push(cause.to_string());
                problem
            }
        }
    }
}

impl IntoResponse for Problem {
    /// The whole problem also travels beside the body: the outermost layer adds the request's id and decides what may
    /// be seen, see [`Problem::render`].
    fn into_response(self) -> Response {
        let mut response = self.clone().render();
        response.extensions_mut().insert(IsProblem(self));
        response
    }
}

impl Problem {
    /// The response as it leaves.
    pub(crate) fn render(self) -> Response {
        let status = self.status.unwrap_or(self.code.status());
        let body = ProblemBody {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: self.code.as_str().to_owned(),
            detail: self.detail,
            request_id: self.request_id,
            errors: self.fields,
            causes: self.causes,
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let wait_s = self.retry_after_s.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S));
        if let Some(wait_s) = wait_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        response
    }
}

/// Marks a response that is a problem already.
#[derive(Clone)]
pub(crate) struct IsProblem(pub(crate) Problem);

pub(crate) async fn no_such_route(uri: Uri) -> Problem {
    tracing::debug!(path_bytes = uri.path().len(), "no such route");
    Problem::new(Code::NotFound, "there is no such route")
}

pub(crate) async fn wrong_method(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("this route does not take {method}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_are_errors() {
        let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(Code::ALL.len() >= 15);
        assert!(Code::ALL.iter().all(|c| c.status().is_client_error() || c.status().is_server_error()));
    }

    #[test]
    fn a_problem_says_when_to_come_back() {
        let response = Problem::new(Code::Overloaded, "later").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
