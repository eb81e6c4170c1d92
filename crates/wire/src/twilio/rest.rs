//! The requests of Twilio's REST API that we need, at [`HOST`] (twilio.com/docs/voice/api/call-resource: create a call,
//! update a call).

use crate::WireError;
use crate::rest::{Body, Credentials, Method, RestRequest, callback, path_id};
use model::E164;

/// The API's host in its default region.
pub const HOST: &str = "api.twilio.com";
/// Longest ringing, in seconds.
pub const RING_S_MAX: u32 = 600;
/// The events that a call's status callback is asked to tell.
pub const STATUS_EVENTS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];

/// A call to place.
#[derive(Clone, Copy, Debug)]
pub struct PlaceCall<'a> {
    /// Who is called.
    pub to: &'a E164,
    /// Our number, one of the account's.
    pub from: &'a E164,
    /// Asked for TwiML when it is answered.
    pub answer_url: &'a str,
    /// Told how it goes: [`STATUS_EVENTS`].
    pub status_url: &'a str,
    /// How long it may ring, at most [`RING_S_MAX`].
    pub ring_s: u32,
    /// How long it may last.
    pub time_limit_s: u32,
    /// Whether Twilio records it.
    pub record: bool,
}

impl PlaceCall<'_> {
    /// `POST /2010-04-01/Accounts/{account}/Calls.json`; answered with 201 and the call (`sid`, `status`).
    ///
    /// # Errors
    /// [`WireError::BadField`] names what Twilio would refuse.
    pub fn request(&self, account_id: &str) -> Result<RestRequest, WireError> {
        if self.ring_s == 0 || self.ring_s > RING_S_MAX {
            return Err(WireError::BadField("ring_s"));
        }
        if self.time_limit_s == 0 {
            return Err(WireError::BadField("time_limit_s"));
        }
        let mut form = vec![
            ("To", self.to.as_str().to_owned()),
            ("From", self.from.as_str().to_owned()),
            ("Url", callback(self.answer_url, "answer_url")?),
            ("Method", "POST".to_owned()),
            ("StatusCallback", callback(self.status_url, "status_url")?),
            ("StatusCallbackMethod", "POST".to_owned()),
            ("Timeout", self.ring_s.to_string()),
            ("TimeLimit", self.time_limit_s.to_string()),
        ];
        form.extend(STATUS_EVENTS.map(|event| ("StatusCallbackEvent", event.to_owned())));
        if self.record {
            form.push(("Record", "true".to_owned()));
        }
        let account = path_id(account_id, "account_id")?;
        Ok(post(format!("/2010-04-01/Accounts/{account}/Calls.json"), form))
    }
}

/// Ends a call, ringing or answered: `POST /2010-04-01/Accounts/{account}/Calls/{call}.json`, `Status=completed`.
///
/// # Errors
/// [`WireError::BadField`] when one of the ids is none.
pub fn hang_up(account_id: &str, call_id: &str) -> Result<RestRequest, WireError> {
    let (account, call) = (path_id(account_id, "account_id")?, path_id(call_id, "call_id")?);
    let form = vec![("Status", "completed".to_owned())];
    Ok(post(format!("/2010-04-01/Accounts/{account}/Calls/{call}.json"), form))
}

fn post(path: String, form: Vec<(&'static str, String)>) -> RestRequest {
    RestRequest { method: Method::Post, path, body: Body::Form(form), credentials: Credentials::Basic }
}
