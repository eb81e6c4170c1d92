//! Requests to a carrier's REST API, as values: somebody else sends them. Who asks is said with HTTP Basic or two
//! headers, and never stands in here.

use crate::WireError;

/// What is to be done with the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `DELETE`.
    Delete,
}

/// What the request carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Nothing.
    None,
    /// `application/x-www-form-urlencoded`, in this order.
    Form(Vec<(&'static str, String)>),
    /// `application/json`.
    Json(serde_json::Value),
}

/// How the request says who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// HTTP Basic: the account's id and its token.
    Basic,
    /// One header with the account's id, one with its token.
    Headers {
        /// Name of the first.
        id: &'static str,
        /// Name of the second.
        token: &'static str,
    },
}

/// A request. Not for logs: it carries numbers.
#[derive(Clone, PartialEq)]
pub struct RestRequest {
    /// The method.
    pub method: Method,
    /// Below the API's host: begins with a slash.
    pub path: String,
    /// The body.
    pub body: Body,
    /// How it says who asks.
    pub credentials: Credentials,
}

impl std::fmt::Debug for RestRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Longest id put into a path, in bytes; carriers' have 20 to 36.
const ID_BYTES_MAX: usize = 128;

/// An id that may stand in a path as it is.
pub(crate) fn path_id<'a>(id: &'a str, name: &'static str) -> Result<&'a str, WireError> {
    let fits = !id.is_empty() && id.len() <= ID_BYTES_MAX;
    if fits && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        Ok(id)
    } else {
        Err(WireError::BadField(name))
    }
}

/// An address that the carrier is to call: `https`, or `http` in development.
pub(crate) fn callback(url: &str, name: &'static str) -> Result<String, WireError> {
    let parsed = url::Url::parse(url).map_err(|_| WireError::BadField(name))?;
    if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() {
        Ok(url.to_owned())
    } else {
        Err(WireError::BadField(name))
    }
}
