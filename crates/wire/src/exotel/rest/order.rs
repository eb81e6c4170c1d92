//! The order to place a call: `POST /v1/Accounts/{sid}/Calls/connect.json`, a form.
//!
//! `From` is who is dialled, `CallerId` our number: not what the names suggest.

use super::{
    CUSTOM_FIELD_CHARS_MAX, RING_MAX_S, RestError, STATUS_CALLBACK_CHARS_MAX, STREAM_NAME_CHARS_MAX,
    STREAM_PARAMETERS_MAX, STREAM_QUERY_CHARS_MAX, STREAM_URL_CHARS, TIME_LIMIT_MAX_S, id,
};
use model::E164;
use std::fmt;
use url::Url;

/// The country of numbers that Exotel writes with a 0 in front.
const INDIA: &str = "+91";
/// Digits of an Indian number without its country.
const INDIAN_DIGITS: usize = 10;
/// Tells Exotel the rate of the sound; it is no parameter of ours.
const RATE_PARAMETER: &str = "sample-rate";

/// A call to place. Debug shows no address: there are tokens in them.
#[derive(Clone, Copy)]
pub struct Connect<'a> {
    /// Who is dialled.
    pub from: &'a E164,
    /// Our number at Exotel, which the person called sees.
    pub caller_id: &'a E164,
    /// What the call is connected to when it is answered.
    pub to: Target<'a>,
    /// Longest call, in seconds: 1 to [`TIME_LIMIT_MAX_S`].
    pub time_limit_s: u32,
    /// Longest ringing, in seconds: 1 to [`RING_MAX_S`].
    pub ring_s: u32,
    /// Shall Exotel record it, each side on its own channel?
    pub record: bool,
    /// Given back in callbacks; at most [`CUSTOM_FIELD_CHARS_MAX`] characters.
    pub custom_field: Option<&'a str>,
    /// Told when the call is answered and when it is over, in JSON.
    pub status_callback: Option<&'a str>,
}

/// What an outgoing call is connected to.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// A media socket of ours, without a flow (Connect Voice AI). Such a call cannot be transferred.
    Stream {
        /// `wss://…`, shorter than [`STREAM_URL_CHARS`].
        url: &'a str,
        /// At most [`STREAM_NAME_CHARS_MAX`] characters.
        name: Option<&'a str>,
    },
    /// A flow (app) of the account.
    Flow {
        /// The account.
        account_id: &'a str,
        /// The app's id.
        flow_id: &'a str,
    },
    /// Another number, dialled when the first has answered.
    Number(&'a E164),
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { .. } => f.write_str("Stream"),
            Self::Flow { account_id, flow_id } => {
                f.debug_struct("Flow").field("account_id", account_id).field("flow_id", flow_id).finish()
            }
            Self::Number(number) => f.debug_tuple("Number").field(number).finish(),
        }
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("from", self.from)
            .field("caller_id", self.caller_id)
            .field("to", &self.to)
            .field("time_limit_s", &self.time_limit_s)
            .field("ring_s", &self.ring_s)
            .field("record", &self.record)
            .field("status_callback", &self.status_callback.is_some())
            .finish_non_exhaustive()
    }
}

impl Connect<'_> {
    /// The fields of the form, in the order of the documentation. Nothing is cut to fit.
    ///
    /// # Errors
    /// The first thing that Exotel would not take.
    pub fn form(&self) -> Result<Vec<(String, String)>, RestError> {
        let mut form = Form(Vec::with_capacity(16));
        form.put("From", self.from.as_str());
        match self.to {
            Target::Number(number) => form.put("To", number.as_str()),
            Target::Flow { account_id, flow_id } => {
                let (account, flow) = (id("account id", account_id)?, id("flow id", flow_id)?);
                form.put("Url", format!("http://my.exotel.com/{account}/exoml/start_voice/{flow}"));
            }
            Target::Stream { url, name } => {
                form.put("StreamUrl", stream_url(url)?);
                form.put("StreamType", "bidirectional");
                if let Some(name) = name.filter(|name| !name.is_empty()) {
                    form.put("StreamName", at_most("StreamName", name, STREAM_NAME_CHARS_MAX)?);
                }
            }
        }
        form.put("CallerId", caller_id(self.caller_id));
        form.put("CallType", "trans");
        form.put("TimeLimit", seconds("TimeLimit", self.time_limit_s, TIME_LIMIT_MAX_S)?);
        form.put("TimeOut", seconds("TimeOut", self.ring_s, RING_MAX_S)?);
        form.put("Record", if self.record { "true" } else { "false" });
        if self.record {
            form.put("RecordingChannels", "dual");
        }
        if let Some(text) = self.custom_field.filter(|text| !text.is_empty()) {
            form.put("CustomField", at_most("CustomField", text, CUSTOM_FIELD_CHARS_MAX)?);
        }
        if let Some(url) = self.status_callback {
            let url = at_most("StatusCallback", url, STATUS_CALLBACK_CHARS_MAX)?;
            parsed("StatusCallback", url, "http(s)", &["http", "https"])?;
            form.put("StatusCallback", url);
            form.put("StatusCallbackContentType", "application/json");
            form.put("StatusCallbackEvents[0]", "terminal");
            form.put("StatusCallbackEvents[1]", "answered");
        }
        Ok(form.0)
    }
}

struct Form(Vec<(String, String)>);

impl Form {
    fn put(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }
}

/// `0` and ten digits for India, as the documentation writes it and the official integration sends it; E.164 otherwise.
fn caller_id(number: &E164) -> String {
    match number.as_str().strip_prefix(INDIA) {
        Some(national) if national.len() == INDIAN_DIGITS => format!("0{national}"),
        Some(_) | None => number.as_str().to_owned(),
    }
}

fn stream_url(url: &str) -> Result<&str, RestError> {
    let url = at_most("StreamUrl", url, STREAM_URL_CHARS - 1)?;
    let query = parsed("StreamUrl", url, "ws(s)", &["ws", "wss"])?;
    let ours = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != RATE_PARAMETER).count();
    if ours > STREAM_PARAMETERS_MAX {
        return Err(RestError::TooManyParameters(ours));
    }
    at_most("the query of StreamUrl", &query, STREAM_QUERY_CHARS_MAX)?;
    Ok(url)
}

/// The query of an address with one of these schemes.
fn parsed(
    field: &'static str,
    url: &str,
    expected: &'static str,
    schemes: &[&'static str],
) -> Result<String, RestError> {
    let parsed = Url::parse(url).ok().filter(|url| schemes.contains(&url.scheme()) && url.has_host());
    let parsed = parsed.ok_or(RestError::NotAUrl { field, expected })?;
    Ok(parsed.query().unwrap_or_default().to_owned())
}

fn at_most<'a>(field: &'static str, text: &'a str, limit: usize) -> Result<&'a str, RestError> {
    let chars = text.chars().count();
    if chars > limit { Err(RestError::TooLong { field, chars, limit }) } else { Ok(text) }
}

fn seconds(field: &'static str, seconds: u32, limit: u32) -> Result<String, RestError> {
    if (1..=limit).contains(&seconds) {
        Ok(seconds.to_string())
    } else {
        Err(RestError::Seconds { field, seconds, limit })
    }
}

#[cfg(test)]
mod tests;
