//! What is asked, after the host. Ids are checked, so that a request goes where its name says.

use super::{PAGE_SIZE, RECORDING_URL_VALIDITY_MIN, RestError, id};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use model::E164;
use url::form_urlencoded::Serializer;

/// How far after its beginning a search looks, in hours. Whoever searches does it within minutes.
const SEARCH_HOURS: i64 = 24;
/// Indian time, which Exotel's times without a zone are in, in seconds before UTC.
const INDIAN_S: i32 = (5 * 60 + 30) * 60;

/// Which calls to find.
#[derive(Clone, Copy, Debug)]
pub struct CallsQuery<'a> {
    /// Who was dialled (`From`).
    pub from: &'a E164,
    /// Created since then; the next 24 hours are looked at.
    pub since: DateTime<Utc>,
}

/// Places a call (POST, see [`super::Connect::form`]).
///
/// # Errors
/// The account is no id.
pub fn connect(account_id: &str) -> Result<String, RestError> {
    Ok(format!("/v1/Accounts/{}/Calls/connect.json", account(account_id)?))
}

/// The details of a call.
///
/// # Errors
/// Account or call are no ids.
pub fn call(account_id: &str, call_id: &str) -> Result<String, RestError> {
    Ok(format!("/v1/Accounts/{}/Calls/{}.json?details=true", account(account_id)?, id("call id", call_id)?))
}

/// The details of a call, with an address of its recording that works for an hour.
///
/// # Errors
/// Account or call are no ids.
pub fn call_recording(account_id: &str, call_id: &str) -> Result<String, RestError> {
    let (account, call) = (account(account_id)?, id("call id", call_id)?);
    Ok(format!("/v1/Accounts/{account}/Calls/{call}.json?RecordingUrlValidity={RECORDING_URL_VALIDITY_MIN}"))
}

/// The calls that answer a query, one page of them.
///
/// # Errors
/// The account is no id.
pub fn calls(account_id: &str, query: &CallsQuery<'_>) -> Result<String, RestError> {
    let until = query.since.checked_add_signed(TimeDelta::hours(SEARCH_HOURS)).unwrap_or(query.since);
    let created = format!("gte:{};lte:{}", indian(query.since), indian(until));
    let page_size = PAGE_SIZE.to_string();
    let asked = Serializer::new(String::new())
        .append_pair("From", query.from.as_str())
        .append_pair("DateCreated", &created)
        .append_pair("PageSize", &page_size)
        .finish();
    Ok(format!("/v1/Accounts/{}/Calls.json?{asked}", account(account_id)?))
}

/// One call out of the list, whose recordings have addresses that work for an hour.
///
/// # Errors
/// Account or call are no ids.
pub fn calls_recording(account_id: &str, call_id: &str) -> Result<String, RestError> {
    let (account, call) = (account(account_id)?, id("call id", call_id)?);
    Ok(format!("/v1/Accounts/{account}/Calls.json?Sid={call}&RecordingUrlValidity={RECORDING_URL_VALIDITY_MIN}"))
}

/// The account's numbers.
///
/// # Errors
/// The account is no id.
pub fn exophones(account_id: &str) -> Result<String, RestError> {
    Ok(format!("/v2_beta/Accounts/{}/IncomingPhoneNumbers", account(account_id)?))
}

/// How many media streams are open, and how many may be. The case of the path matters to Exotel.
///
/// # Errors
/// The account is no id.
pub fn active_streams(account_id: &str) -> Result<String, RestError> {
    Ok(format!("/v1/Accounts/{}/ActiveStreams", account(account_id)?))
}

fn account(account_id: &str) -> Result<&str, RestError> {
    id("account id", account_id)
}

/// `2026-08-25 12:07:09`, Indian time.
fn indian(at: DateTime<Utc>) -> String {
    match FixedOffset::east_opt(INDIAN_S) {
        Some(zone) => at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string(),
        // Never: the offset is a constant below a day.
        None => at.format("%Y-%m-%d %H:%M:%S").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_documentation() {
        for (got, want) in [
            (connect("acme1"), "/v1/Accounts/acme1/Calls/connect.json"),
            (call("acme1", "faccc8p"), "/v1/Accounts/acme1/Calls/faccc8p.json?details=true"),
            (call_recording("acme1", "faccc8p"), "/v1/Accounts/acme1/Calls/faccc8p.json?RecordingUrlValidity=60"),
            (calls_recording("acme1", "faccc8p"), "/v1/Accounts/acme1/Calls.json?Sid=faccc8p&RecordingUrlValidity=60"),
            (exophones("acme1"), "/v2_beta/Accounts/acme1/IncomingPhoneNumbers"),
            (active_streams("acme1"), "/v1/Accounts/acme1/ActiveStreams"),
        ] {
            assert_eq!(got.as_deref(), Ok(want));
        }
    }

    #[test]
    fn a_search_is_in_indian_time_and_whole_numbers() {
        let from = E164::parse("09876543210").expect("a number");
        let since = DateTime::parse_from_rfc3339("2026-08-24T18:37:09Z").expect("a time").to_utc();
        let path = calls("acme1", &CallsQuery { from: &from, since }).expect("a path");
        let (path, query) = path.split_once('?').expect("a query");
        assert_eq!(path, "/v1/Accounts/acme1/Calls.json");
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let created = "gte:2026-08-25 00:07:09;lte:2026-08-26 00:07:09";
        assert_eq!(pairs, [("From", "+919876543210"), ("DateCreated", created), ("PageSize", "100")]);
        for at in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
            assert!(calls("acme1", &CallsQuery { from: &from, since: at }).is_ok(), "no panic at the ends of time");
        }
    }

    #[test]
    fn ids_that_lead_elsewhere_are_refused() {
        for bad in ["../x", "a/b", "", "a?b=c", ".."] {
            assert_eq!(connect(bad), Err(RestError::NotAnId("account id")));
            assert_eq!(call("acme1", bad), Err(RestError::NotAnId("call id")));
            assert_eq!(calls_recording("acme1", bad), Err(RestError::NotAnId("call id")));
            assert_eq!(exophones(bad), Err(RestError::NotAnId("account id")));
        }
    }
}
