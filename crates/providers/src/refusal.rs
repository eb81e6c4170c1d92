//! What a vendor says when it refuses or fails, told so that an operator can act on it and nobody is quoted.

use crate::http::{error_body, kind_of_status};
use crate::{Error, ErrorKind};
use reqwest::header::RETRY_AFTER;
use wire::ApiError;

/// The failure that an answer with another status than 200 is.
pub(crate) async fn refusal(provider: &'static str, response: reqwest::Response) -> Error {
    let status = response.status().as_u16();
    let wait = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u32>().ok());
    let said = ApiError::parse(&error_body(response).await);
    let mut detail = describe(&format!("HTTP {status}"), &said);
    // Model names and limits are for the operator. Other messages may quote the request or part of the key.
    if matches!(status, 404 | 429 | 500..=599) && !said.message.is_empty() {
        detail = format!("{detail}: {}", said.message);
    }
    if let Some(seconds) = wait {
        detail = format!("{detail} (retry after {seconds} s)");
    }
    Error::new(kind_of_status(status), provider, detail)
}

/// The failure that an error in the middle of an answer is.
pub(crate) fn failure(provider: &'static str, said: &ApiError) -> Error {
    let kind = match said.kind.as_str() {
        "overloaded_error" | "rate_limit_error" | "rate_limit_exceeded" => ErrorKind::Overloaded,
        "authentication_error" | "permission_error" => ErrorKind::Unauthorized,
        "timeout_error" => ErrorKind::TimedOut,
        "invalid_request_error" | "not_found_error" | "request_too_large" => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, provider, describe("failed in the middle:", said))
}

/// `what`, with the vendor's own words for the kind of error, which never quote anybody.
fn describe(what: &str, said: &ApiError) -> String {
    match (said.kind.as_str(), said.code.as_str()) {
        ("", "") => what.to_owned(),
        (one, "") | ("", one) => format!("{what} {one}"),
        (kind, code) if kind == code => format!("{what} {kind}"),
        (kind, code) => format!("{what} {kind}/{code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_the_middle_have_their_kind() {
        for (said, kind) in [
            ("overloaded_error", ErrorKind::Overloaded),
            ("rate_limit_error", ErrorKind::Overloaded),
            ("authentication_error", ErrorKind::Unauthorized),
            ("timeout_error", ErrorKind::TimedOut),
            ("invalid_request_error", ErrorKind::Rejected),
            ("api_error", ErrorKind::Unavailable),
            ("", ErrorKind::Unavailable),
        ] {
            let said = ApiError { kind: said.into(), ..ApiError::default() };
            assert_eq!(failure("x", &said).kind, kind, "{}", said.kind);
        }
    }

    #[test]
    fn what_was_said_is_named_and_not_quoted() {
        let said = |kind: &str, code: &str| ApiError { kind: kind.into(), code: code.into(), message: "secret".into() };
        for (kind, code, want) in [
            ("", "", "HTTP 400"),
            ("a", "", "HTTP 400 a"),
            ("", "b", "HTTP 400 b"),
            ("a", "a", "HTTP 400 a"),
            ("a", "b", "HTTP 400 a/b"),
        ] {
            assert_eq!(describe("HTTP 400", &said(kind, code)), want);
        }
    }
}
