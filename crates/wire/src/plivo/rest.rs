//! The requests of Plivo's and Vobiz's REST APIs that we need (docs.plivo.com/docs/voice/api/call/make-a-call and
//! hangup; `plivo/plivo-python` `resources/calls.py` for `ring_timeout`; docs.vobiz.ai/call/make-call and hangup-call).
//! The paths are the same below another prefix.

use super::reply::bare;
use crate::WireError;
use crate::rest::{Body, Credentials, Method, RestRequest, callback, path_id};
use model::E164;
use serde_json::json;

/// Whose API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Plivo's: HTTP Basic.
    Plivo,
    /// Vobiz's: two headers.
    Vobiz,
}

impl Api {
    /// The API's host.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Plivo => "api.plivo.com",
            Self::Vobiz => "api.vobiz.ai",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Plivo => "/v1",
            Self::Vobiz => "/api/v1",
        }
    }

    const fn credentials(self) -> Credentials {
        match self {
            Self::Plivo => Credentials::Basic,
            Self::Vobiz => Credentials::Headers { id: "X-Auth-ID", token: "X-Auth-Token" },
        }
    }
}

/// A call to place.
#[derive(Clone, Copy, Debug)]
pub struct PlaceCall<'a> {
    /// Who is called.
    pub to: &'a E164,
    /// Our number, one of the account's.
    pub from: &'a E164,
    /// Asked for XML when it is answered.
    pub answer_url: &'a str,
    /// Told that it rings.
    pub ring_url: &'a str,
    /// Told that it is over.
    pub hangup_url: &'a str,
    /// How long it may ring.
    pub ring_s: u32,
    /// How long it may last.
    pub time_limit_s: u32,
}

impl PlaceCall<'_> {
    /// `POST …/Account/{account}/Call/`; answered with 201 and `request_uuid`, which the call's webhooks repeat as
    /// `ALegRequestUUID` ([`crate::report::Arrival::request_id`]).
    ///
    /// # Errors
    /// [`WireError::BadField`] names what would be refused.
    pub fn request(&self, api: Api, account_id: &str) -> Result<RestRequest, WireError> {
        for (seconds, name) in [(self.ring_s, "ring_s"), (self.time_limit_s, "time_limit_s")] {
            if seconds == 0 {
                return Err(WireError::BadField(name));
            }
        }
        let body = json!({
            "from": bare(self.from),
            "to": bare(self.to),
            "answer_url": callback(self.answer_url, "answer_url")?,
            "answer_method": "POST",
            "ring_url": callback(self.ring_url, "ring_url")?,
            "ring_method": "POST",
            "hangup_url": callback(self.hangup_url, "hangup_url")?,
            "hangup_method": "POST",
            "ring_timeout": self.ring_s,
            "time_limit": self.time_limit_s,
        });
        let account = path_id(account_id, "account_id")?;
        Ok(RestRequest {
            method: Method::Post,
            path: format!("{}/Account/{account}/Call/", api.prefix()),
            body: Body::Json(body),
            credentials: api.credentials(),
        })
    }
}

/// Ends a call: `DELETE …/Account/{account}/Call/{call}/`, answered with 204.
///
/// # Errors
/// [`WireError::BadField`] when one of the ids is none.
pub fn hang_up(api: Api, account_id: &str, call_id: &str) -> Result<RestRequest, WireError> {
    let (account, call) = (path_id(account_id, "account_id")?, path_id(call_id, "call_id")?);
    Ok(RestRequest {
        method: Method::Delete,
        path: format!("{}/Account/{account}/Call/{call}/", api.prefix()),
        body: Body::None,
        credentials: api.credentials(),
    })
}
