//! The one shape of every error: `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with
//! a stable code from a closed list.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
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
    /// No signature where one is needed.
    SignatureMissing = "signature_missing" UNAUTHORIZED,
    /// A signature that is not ours.
    SignatureWrong = "signature_wrong" UNAUTHORIZED,
    /// Rightly signed, but too long ago: a replay.
    SignatureExpired = "signature_expired" UNAUTHORIZED,
    /// No such route, or nothing there that this caller may see.
    NotFound = "not_found" NOT_FOUND,
    /// No agent answers this number.
    UnknownNumber = "unknown_number" NOT_FOUND,
    /// The route exists, with other methods.
    MethodNotAllowed = "method_not_allowed" METHOD_NOT_ALLOWED,
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Field {
    field: String,
    message: String,
}

/// An error on its way to the client. Its detail is for the client: no internals, no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// Not the code's own, when the framework has chosen one.
    status: Option<StatusCode>,
    detail: String,
    fields: Vec<Field>,
    request_id: Option<String>,
}

/// Clients that are told to come back wait this long.
const RETRY_AFTER_S: u64 = 2;

impl Problem {
    /// With a sentence for the client.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, status: None, detail: detail.into(), fields: Vec::new(), request_id: None }
    }

    /// With the status that the framework has chosen.
    #[must_use]
    pub(crate) fn answered_with(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Says in which request it happened.
    #[must_use]
    pub fn in_request(mut self, id: &str) -> Self {
        self.request_id = Some(id.to_owned());
        self
    }
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        let mut problem = Self::new(Code::InvalidFields, errors.to_string());
        problem.fields = errors
            .0
            .into_iter()
            .map(|error| Field {
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
                Self::new(Code::Internal, "something went wrong on our side")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status.unwrap_or(self.code.status());
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "code": self.code.as_str(),
            "detail": self.detail,
        });
        if !self.fields.is_empty() {
            body["errors"] = json!(self.fields);
        }
        if let Some(id) = self.request_id {
            body["request_id"] = json!(id);
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response.extensions_mut().insert(IsProblem);
        response
    }
}

/// Marks a response that is a problem already.
#[derive(Clone, Copy)]
pub(crate) struct IsProblem;

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
