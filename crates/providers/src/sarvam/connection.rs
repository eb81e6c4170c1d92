//! What is particular to Sarvam's connections: the key's header, and its errors put into ours.

use super::NAME;
use crate::http::{Http, join_url, kind_of_status};
use crate::live::{Address, Vendor};
use crate::{Error, ErrorKind};
use http::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use wire::sarvam::{KEY_HEADER, ServerError};

pub(super) static VENDOR: Vendor = Vendor { name: NAME, refusal, closed };

pub(super) fn address(
    http: &Http,
    base_url: &str,
    path: &str,
    query: &str,
    key: &SecretString,
) -> Result<Address, Error> {
    let header = (HeaderName::from_static(KEY_HEADER), key.expose_secret().trim().to_owned());
    Address::new(&VENDOR, http, &join_url(base_url, path), query, header)
}

/// Before there is a session no request of a caller can be quoted.
fn refusal(body: &[u8]) -> String {
    let said = ServerError::parse(body);
    format!("{} {}", said.code, said.text)
}

/// docs.sarvam.ai names 1003 (limit, quota, or key), 1008 (inactivity), 1011 and 4000 (the session is refused).
fn closed(code: u16, reason: &str) -> ErrorKind {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match code {
        1003 if says(&["key", "auth", "credential", "forbidden"]) => ErrorKind::Unauthorized,
        1003 | 1013 => ErrorKind::Overloaded,
        4000 if says(&["unavailable"]) => ErrorKind::Unavailable,
        4000 if says(&["denied", "access"]) => ErrorKind::Unauthorized,
        4000 | 1007 => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    }
}

/// An error that came as a message. Of their words only the code is shown: the rest may quote what was said.
pub(super) fn told(said: &ServerError) -> Error {
    let kind = match (said.status, said.code.as_str()) {
        (Some(status), _) => kind_of_status(status),
        (None, "invalid_api_key_error" | "authentication_error") => ErrorKind::Unauthorized,
        (None, "rate_limit_exceeded_error" | "insufficient_quota_error") => ErrorKind::Overloaded,
        (None, "invalid_request_error" | "unprocessable_entity_error" | "not_found_error") => ErrorKind::Rejected,
        (None, "gateway_timeout_error") => ErrorKind::TimedOut,
        (None, _) => ErrorKind::Unavailable,
    };
    let code: String = said.code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
    VENDOR.error(kind, format!("said error {code}").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_code_has_its_kind() {
        for (code, reason, want) in [
            (1000, "", ErrorKind::Unavailable),
            (1003, "Rate limit exceeded", ErrorKind::Overloaded),
            (1003, "Invalid subscription key", ErrorKind::Unauthorized),
            (1008, "Inactivity timeout", ErrorKind::Unavailable),
            (1011, "Internal server error", ErrorKind::Unavailable),
            (1013, "", ErrorKind::Overloaded),
            (4000, "Unsupported language_code", ErrorKind::Rejected),
            (4000, "gRPC backend unavailable", ErrorKind::Unavailable),
            (4000, "beta denied", ErrorKind::Unauthorized),
        ] {
            assert_eq!(closed(code, reason), want, "{code} {reason}");
        }
    }

    #[test]
    fn an_error_message_has_its_kind_and_quotes_nobody() {
        let said = |status, code: &str| ServerError {
            code: code.into(), text: "नमस्ते".into(), status, is_fatal: true
        };
        for (status, code, want) in [
            (Some(401), "x", ErrorKind::Unauthorized),
            (Some(422), "422", ErrorKind::Rejected),
            (Some(503), "model_unavailable", ErrorKind::Overloaded),
            (None, "invalid_api_key_error", ErrorKind::Unauthorized),
            (None, "rate_limit_exceeded_error", ErrorKind::Overloaded),
            (None, "unprocessable_entity_error", ErrorKind::Rejected),
            (None, "gateway_timeout_error", ErrorKind::TimedOut),
            (None, "something new", ErrorKind::Unavailable),
            (None, "", ErrorKind::Unavailable),
        ] {
            let error = told(&said(status, code));
            assert_eq!(error.kind, want, "{code}");
            assert!(!error.to_string().contains("नमस्ते"), "{error}");
        }
    }
}
