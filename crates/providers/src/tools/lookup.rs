//! The look-up before a call: the organisation is asked what it knows about the caller.

use super::answer::{self, Kind, values};
use super::clients::{Asked, ToolClients, Trouble};
use super::http::TIMEOUT_MS;
use crate::egress::EgressError;
use crate::http::kind_of_status;
use crate::{Error, ErrorKind};
use model::{CallDirection, CallId, Lookup, TenantId};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::destination;

/// Name used in errors of this file.
const NAME: &str = "look-up";
/// Variables taken of an answer.
pub const LOOKUP_VARIABLES_MAX: usize = 64;
/// Longest value; what is longer is cut.
pub const LOOKUP_VALUE_BYTES_MAX: usize = 4_096;
/// Largest answer: all variables at their longest, escaped.
const BODY_BYTES_MAX: usize = 512 * 1_024;

/// What the organisation is told.
#[derive(Clone, Serialize)]
pub struct LookupRequest {
    /// The call.
    pub call_id: CallId,
    /// Who placed it.
    pub direction: CallDirection,
    /// The person's number; empty when it is withheld.
    pub caller_number: String,
    /// The agent's number.
    pub agent_number: String,
    /// What is known already.
    pub variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for LookupRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LookupRequest").field("call_id", &self.call_id).finish_non_exhaustive()
    }
}

/// Asks, and gives the variables of the answer: `{"variables": {…}}`, or a flat object. Lists, objects and nulls are passed
/// over.
///
/// # Errors
/// Whatever went wrong; the call goes on without.
pub async fn look_up(
    clients: &ToolClients,
    tenant: TenantId,
    lookup: &Lookup,
    asked: &LookupRequest,
) -> Result<BTreeMap<String, String>, Error> {
    let url = destination::parse(&lookup.url, clients.allowed())
        .map_err(|refused| Error::new(ErrorKind::Rejected, NAME, format!("the address {refused}")))?;
    let body = serde_json::to_string(asked)
        .map_err(|error| Error::new(ErrorKind::Protocol, NAME, "the request cannot be written").caused_by(error))?;
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (ACCEPT, HeaderValue::from_static("application/json")),
    ]);
    let request = Asked { tenant, method: Method::POST, url, headers, body: Some(body), key: &lookup.key };
    let timeout = Duration::from_millis(lookup.timeout_ms.clamp(*TIMEOUT_MS.start(), *TIMEOUT_MS.end()));
    let exchange = async {
        let response = clients.send(request).await.map_err(|trouble| error_of(&trouble))?;
        read(response).await
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(ErrorKind::TimedOut, NAME, format!("no answer within {} ms", timeout.as_millis()))),
    }
}

async fn read(mut response: reqwest::Response) -> Result<BTreeMap<String, String>, Error> {
    let status = response.status();
    if !status.is_success() {
        return Err(Error::new(kind_of_status(status.as_u16()), NAME, format!("HTTP {}", status.as_u16())));
    }
    let odd = |detail: &str| Error::new(ErrorKind::Protocol, NAME, detail);
    let kind = answer::kind(&response);
    let body = answer::read(&mut response, BODY_BYTES_MAX).await.map_err(|trouble| error_of(&trouble))?;
    if body.cut {
        return Err(odd("the answer is too large"));
    }
    // Nothing to say is an answer, too.
    if body.bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(BTreeMap::new());
    }
    if !matches!(kind, Kind::Json | Kind::Unsaid) {
        return Err(odd("the answer is not JSON"));
    }
    let value: Value =
        serde_json::from_slice(&body.bytes).map_err(|error| odd("the answer is not JSON").caused_by(error))?;
    if !value.is_object() {
        return Err(odd("the answer is no object"));
    }
    let variables = value.get("variables").filter(|variables| variables.is_object()).unwrap_or(&value);
    Ok(values(variables, LOOKUP_VALUE_BYTES_MAX))
}

fn error_of(trouble: &Trouble) -> Error {
    let (kind, detail) = match trouble {
        Trouble::Budget => (ErrorKind::Overloaded, "the organisation has asked for too much in a minute".to_owned()),
        Trouble::Key => (ErrorKind::Unauthorized, "the organisation has no key of this name".to_owned()),
        Trouble::NotSent(error) | Trouble::Broken(error) => match error {
            EgressError::Refused(refused) => (ErrorKind::Rejected, format!("the address {refused}")),
            EgressError::Unreachable => (ErrorKind::Unavailable, error.to_string()),
            EgressError::TimedOut => (ErrorKind::TimedOut, "no connection in time".to_owned()),
        },
    };
    Error::new(kind, NAME, detail)
}
