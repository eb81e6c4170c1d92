//! What every answer has: security headers, what limits are left, and one shape for errors.

use super::{Edge, Notes, RequestId};
use crate::origin::Client;
use crate::problem::IsProblem;
use crate::{Code, Problem};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use limiter::{Decision, Policy};

/// A year, and every host below ours.
const TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");
/// The API's answers are data: nothing in them may load or run.
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The pages of the description: scripts of their own files only. Their viewer sets styles from its script, which counts
/// as inline; its pictures are part of its style sheet.
const PAGES_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' \
     data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Sound behind a link: a browser makes a page of its own around it, with a player.
const SOUND_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'");
/// The link is the right to hear it, from whatever page.
const ANY_PAGE: HeaderValue = HeaderValue::from_static("cross-origin");
/// On every answer as they are, but for [`ANY_PAGE`].
const FIXED: [(HeaderName, HeaderValue); 7] = [
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // The filter that this header once switched on could itself be used to attack pages. Old browsers that still have
    // it are told to leave it off; the policy above does what it was for.
    (header::X_XSS_PROTECTION, HeaderValue::from_static("0")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Headers that an answer has, at most: what is there already, and those of this file.
const HEADERS: usize = 24;

/// Which of these headers an answer gets.
pub(super) struct Security {
    policy: HeaderValue,
    transport: bool,
    sound: bool,
    /// The description is the same for everybody, like its pages.
    open: bool,
}

impl Security {
    pub(super) fn of(edge: &Edge, path: &str, client: Option<Client>) -> Self {
        let pages = path == "/docs" || path.starts_with("/docs/");
        let sound = path.starts_with("/api/recordings/audio/");
        let policy = if pages {
            PAGES_POLICY
        } else if sound {
            SOUND_POLICY
        } else {
            DATA_POLICY
        };
        let transport = edge.app.edge.production || client.is_some_and(|client| client.secure);
        Self { policy, transport, sound, open: pages || path == "/openapi.json" }
    }

    pub(super) fn put(self, response: &mut Response) {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // A socket is no page.
            return;
        }
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        if self.transport {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, TRANSPORT);
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy);
        for (name, value) in FIXED {
            headers.insert(name, value);
        }
        if self.sound {
            headers.insert(HeaderName::from_static("cross-origin-resource-policy"), ANY_PAGE);
        }
        if !self.open && !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, NO_STORE);
        }
    }
}

/// What is left of every limit that the request was counted to.
pub(super) fn limit_fields(notes: &Notes, response: &mut Response) {
    let charges = notes.charges();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS || charges.is_empty() {
        return;
    }
    let charges: Vec<(&Policy, Decision)> = charges.iter().map(|(policy, decision)| (policy, *decision)).collect();
    for (name, value) in limiter::fields(&charges) {
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// Errors of the framework itself (a body too large, a bad path) become problems, too; ours get the request's id.
pub(super) fn problems(edge: &Edge, id: &RequestId, response: Response) -> Response {
    let Some(problem) = problem_of(&response) else { return response };
    let problem = if edge.app.edge.production { problem.without_causes() } else { problem };
    let mut answer = problem.in_request(&id.0).render();
    keep(response.headers(), answer.headers_mut());
    answer
}

fn problem_of(response: &Response) -> Option<Problem> {
    if let Some(IsProblem(problem)) = response.extensions().get::<IsProblem>() {
        return Some(problem.clone());
    }
    let status = response.status();
    // The framework's errors are plain text; an answer in JSON (a node that is not ready) is a handler's own.
    let json = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/json");
    let own = response.headers().get(header::CONTENT_TYPE).is_some_and(json);
    ((status.is_client_error() || status.is_server_error()) && !own).then(|| foreign(status))
}

/// The text is not taken over: it may quote the request.
fn foreign(status: StatusCode) -> Problem {
    let (code, detail) = match status.as_u16() {
        401 => (Code::Unauthenticated, "this needs credentials"),
        403 => (Code::Forbidden, "this is not allowed"),
        404 => (Code::NotFound, "there is no such thing"),
        405 => (Code::MethodNotAllowed, "this route does not take this method"),
        410 => (Code::InvalidToken, "what was to be had with this token is over"),
        413 => (Code::BodyTooLarge, "the body is too large"),
        415 => (Code::UnsupportedMediaType, "the body is of a kind that this route does not take"),
        503 => (Code::Overloaded, "not now; try again"),
        500.. => (Code::Internal, "something went wrong on our side"),
        _ => (Code::MalformedBody, "the request could not be read"),
    };
    Problem::new(code, detail).answered_with(status)
}

/// Headers that say more than the problem does: `Allow`, `Sec-WebSocket-Version`.
fn keep(from: &HeaderMap, to: &mut HeaderMap) {
    let own: Vec<HeaderName> = to.keys().cloned().collect();
    for (name, value) in from {
        if name != header::CONTENT_LENGTH && !own.contains(name) {
            to.append(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[test]
    fn a_foreign_error_keeps_its_status_and_gets_a_code() {
        for status in 400..600 {
            let status = StatusCode::from_u16(status).expect("a status");
            let response = (status, "quotes the request: 9876543210").into_response();
            let answer = problem_of(&response).expect("an error").render();
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        assert!(problem_of(&(StatusCode::OK, "fine").into_response()).is_none());
        assert!(problem_of(&StatusCode::SWITCHING_PROTOCOLS.into_response()).is_none());
        let own = (StatusCode::SERVICE_UNAVAILABLE, axum::Json("not ready")).into_response();
        assert!(problem_of(&own).is_none());
    }

    #[test]
    fn headers_that_say_more_stay() {
        let response = (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "GET,HEAD"), (header::CONTENT_TYPE, "text/plain"), (header::CONTENT_LENGTH, "7")],
            "a text",
        );
        let mut answer = Problem::new(Code::MethodNotAllowed, "no").render();
        keep(response.into_response().headers(), answer.headers_mut());
        assert_eq!(answer.headers()["allow"], "GET,HEAD");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert!(!answer.headers().contains_key("content-length"));
    }
}
