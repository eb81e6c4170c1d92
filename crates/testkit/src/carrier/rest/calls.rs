//! Questions: a call, many calls, the account's numbers and streams.

use super::answers::{Refusal, answer, text};
use super::{ApiCall, Inner, OrderMode, national};
use crate::carrier::announce::{SHORT_TIME, indian};
use axum::response::Response;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Documented limits of a list.
const PAGE_SIZE_MAX: usize = 100;
const NUMBERS_MAX: usize = 5;
const CALL_IDS_MAX: usize = 100;
const VALID_MINUTES: std::ops::RangeInclusive<u64> = 5..=60;
/// What a list has when no size is asked for.
const PAGE_SIZE: usize = 50;

/// A call as call details tell it. Numbers of seconds and prices are strings there.
pub(super) fn json_of(inner: &Inner, call: &ApiCall) -> Map<String, Value> {
    let time = |at: Option<DateTime<Utc>>| at.map_or(Value::Null, |at| indian(at, SHORT_TIME).into());
    let account = &inner.options.account_id;
    let lagging = inner.lock().ended.get(&call.call_id).is_some_and(|at| at.elapsed() < inner.options.details_lag);
    let over = call.ended_at.filter(|_| !lagging);
    let to = match &call.mode {
        OrderMode::Numbers { to } => zero_prefixed(to).into(),
        OrderMode::Flow { .. } | OrderMode::Stream { .. } => Value::Null,
    };
    let told = |value: Value| if over.is_some() { value } else { Value::Null };
    let fields = [
        ("Sid", call.call_id.as_str().into()),
        ("ParentCallSid", Value::Null),
        ("DateCreated", time(Some(call.created_at))),
        ("DateUpdated", time(over.or(Some(call.created_at)))),
        ("AccountSid", account.as_str().into()),
        ("To", to),
        ("From", zero_prefixed(&call.from).into()),
        ("PhoneNumberSid", zero_prefixed(&call.caller_id).into()),
        ("Status", if over.is_some() { call.status.as_str() } else { inner.options.status_at_once.as_str() }.into()),
        ("StartTime", time(Some(call.answered_at.unwrap_or(call.created_at)))),
        ("EndTime", time(over)),
        ("Duration", told(call.duration_s.to_string().into())),
        ("Price", told("0.500".into())),
        ("Direction", "outbound-api".into()),
        ("AnsweredBy", Value::Null),
        ("Uri", format!("/v1/Accounts/{account}/Calls.json/{}", call.call_id).into()),
        ("RecordingUrl", told(call.recording_url.as_deref().map_or(Value::Null, Value::from))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `0XXXXXXXXXX`.
pub(super) fn zero_prefixed(number: &str) -> String {
    national(number).map_or_else(|| number.to_owned(), |digits| format!("0{digits}"))
}

pub(super) fn details(inner: &Inner, call_id: &str, query: Option<&str>, as_json: bool) -> Response {
    let call = inner.lock().calls.iter().find(|call| call.call_id == call_id).cloned();
    let Some(call) = call else {
        return Refusal::new(404, "The requested call was not found").answer(as_json);
    };
    let mut fields = json_of(inner, &call);
    if query.is_some_and(|query| query.split('&').any(|pair| pair == "details=true")) {
        let answered = if call.answered_at.is_some() { "completed" } else { call.status.as_str() };
        let details = json!({"ConversationDuration": call.duration_s, "Leg1Status": answered, "Leg2Status": answered,
            "Legs": [{"Leg": {"Id": 1, "OnCallDuration": call.duration_s}},
                {"Leg": {"Id": 2, "OnCallDuration": call.duration_s}}]});
        fields.insert("Details".to_owned(), details);
    }
    answer(200, &json!({ "Call": fields }), as_json)
}

/// What a list is narrowed to.
#[derive(Default)]
struct Filter {
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    status: Option<String>,
    from: Vec<String>,
    to: Vec<String>,
    call_ids: Vec<String>,
    page_size: Option<usize>,
    after: Option<String>,
    valid: Option<Duration>,
}

impl Filter {
    fn read(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let bad = || format!("Invalid parameter: {name}");
            let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
            match &*name {
                "DateCreated" => {
                    for part in value.split(';') {
                        let (which, at) = part.split_once(':').ok_or_else(bad)?;
                        let at = Some(read_indian(at).ok_or_else(bad)?);
                        match which {
                            "gte" => filter.since = at,
                            "lte" => filter.until = at,
                            _ => return Err(bad()),
                        }
                    }
                }
                "Status" => filter.status = Some(value.into_owned()),
                "From" | "To" => {
                    let numbers: Option<Vec<String>> = list().iter().map(|number| national(number)).collect();
                    let numbers = numbers.filter(|numbers| numbers.len() <= NUMBERS_MAX).ok_or_else(bad)?;
                    if name == "From" { filter.from = numbers } else { filter.to = numbers }
                }
                "Sid" => filter.call_ids = Some(list()).filter(|ids| ids.len() <= CALL_IDS_MAX).ok_or_else(bad)?,
                "PageSize" => {
                    let size = value.parse().ok().filter(|size| (1..=PAGE_SIZE_MAX).contains(size));
                    filter.page_size = Some(size.ok_or_else(bad)?);
                }
                "After" => filter.after = Some(value.into_owned()),
                "RecordingUrlValidity" => {
                    let minutes = value.parse().ok().filter(|minutes| VALID_MINUTES.contains(minutes));
                    filter.valid = Some(Duration::from_secs(60 * minutes.ok_or_else(bad)?));
                }
                "SortBy" | "Before" | "details" => {}
                _ => return Err(bad()),
            }
        }
        Ok(filter)
    }

    fn takes(&self, call: &ApiCall, status: &str) -> bool {
        let number = |wanted: &[String], number: &str| {
            wanted.is_empty() || national(number).is_some_and(|number| wanted.contains(&number))
        };
        let to = match &call.mode {
            OrderMode::Numbers { to } => to.as_str(),
            OrderMode::Flow { .. } | OrderMode::Stream { .. } => call.caller_id.as_str(),
        };
        // Times are told in whole seconds.
        let created = call.created_at - TimeDelta::nanoseconds(i64::from(call.created_at.timestamp_subsec_nanos()));
        self.since.is_none_or(|since| created >= since)
            && self.until.is_none_or(|until| created <= until)
            && self.status.as_ref().is_none_or(|wanted| wanted == status)
            && number(&self.from, &call.from)
            && number(&self.to, to)
            && (self.call_ids.is_empty() || self.call_ids.contains(&call.call_id))
    }
}

fn read_indian(text: &str) -> Option<DateTime<Utc>> {
    let naive = NaiveDateTime::parse_from_str(text.trim(), SHORT_TIME).ok()?;
    Some(naive.and_utc() - TimeDelta::minutes(330))
}

/// Many calls, the latest first.
pub(super) fn list(inner: &Inner, query: &str, as_json: bool) -> Response {
    let filter = match Filter::read(query) {
        Ok(filter) => filter,
        Err(message) => return Refusal::new(400, &message).answer(as_json),
    };
    let calls: Vec<ApiCall> = inner.lock().calls.iter().rev().cloned().collect();
    let all: Vec<(ApiCall, Map<String, Value>)> = calls
        .into_iter()
        .map(|call| (json_of(inner, &call), call))
        .filter(|(fields, call)| filter.takes(call, fields.get("Status").and_then(Value::as_str).unwrap_or_default()))
        .map(|(fields, call)| (call, fields))
        .collect();
    let begin = filter.after.as_ref().and_then(|id| all.iter().position(|(call, _)| call.call_id == *id));
    let begin = begin.map_or(0, |position| position + 1);
    let size = filter.page_size.unwrap_or(PAGE_SIZE);
    let end = (begin + size).min(all.len());
    let page: Vec<Value> = all[begin..end]
        .iter()
        .map(|(call, fields)| {
            let mut fields = fields.clone();
            let told = fields.get("RecordingUrl").is_some_and(|url| !url.is_null());
            if let (Some(valid), Some(host), Some(url), true) =
                (filter.valid, &inner.options.recordings, &call.recording_url, told)
                && let Some(link) = host.presigned(url, valid)
            {
                fields.insert("RecordingUrl".to_owned(), link.into());
            }
            Value::Object(fields)
        })
        .collect();
    let base = format!("/v1/Accounts/{}/Calls.json", inner.options.account_id);
    let next = match all.get(end.wrapping_sub(1)) {
        Some((call, _)) if end < all.len() => format!("{base}?PageSize={size}&After={}", call.call_id).into(),
        Some(_) | None => Value::Null,
    };
    let metadata = json!({"Total": all.len(), "PageSize": size, "FirstPageUri": format!("{base}?PageSize={size}"),
        "PrevPageUri": null, "NextPageUri": next});
    answer(200, &json!({ "Metadata": metadata, "Calls": page }), as_json)
}

/// XML as documented; with `.json` what an older page shows.
pub(super) fn active_streams(inner: &Inner, as_json: bool) -> Response {
    let (active, max) = (inner.lock().streams, inner.options.streams_max);
    if as_json {
        let body = json!({"status": "success", "active_streams": active, "max_allowed_streams": max,
            "account_sid": inner.options.account_id});
        return answer(200, &body, true);
    }
    answer(200, &json!({"Stream": {"ActiveStreamCount": active, "ThrottleLimit": max}}), false)
}

pub(super) fn exophones(inner: &Inner) -> Response {
    let numbers: Vec<Value> = inner
        .options
        .exophones
        .iter()
        .map(|number| json!({"phone_number": zero_prefixed(number), "friendly_name": number}))
        .collect();
    text(200, "application/json", json!({ "incoming_phone_numbers": numbers }).to_string())
}

pub(super) fn number(number: &str, as_json: bool) -> Response {
    if national(number).is_none() {
        return Refusal::new(400, "Invalid number").answer(as_json);
    }
    let body = json!({"Numbers": {"PhoneNumber": zero_prefixed(number), "Circle": "KA", "CircleName": "Karnataka",
        "Type": "Mobile", "Operator": "AC", "OperatorName": "Aircel", "DND": "No"}});
    answer(200, &body, as_json)
}
