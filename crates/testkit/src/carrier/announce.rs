//! The HTTP side: announcing a call, reporting its end.

use super::{Announce, CallObservation, Closed, Options, Passthru};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde_json::json;
use sha1::Sha1;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

/// A webhook is answered within this or not at all. Exotel's own budget for the whole hop is 10 s.
pub(super) const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer shown in an error, in characters.
const ANSWER_SHOWN_CHARS: usize = 300;

/// Why there was no call.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The server does not answer.
    #[error("the server does not answer the webhook: {0}")]
    Unreachable(String),
    /// The server refused the call.
    #[error("the server refused the call: {status} {answer}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        answer: String,
    },
    /// The answer is not `{"url": "ws…"}`.
    #[error("the server's answer has no usable url: {0}")]
    NoUrl(String),
}

/// The ids of one call.
#[derive(Clone, Debug)]
pub(super) struct CallIds {
    pub(super) call_id: String,
    pub(super) stream_id: String,
    pub(super) created: DateTime<Utc>,
}

impl CallIds {
    pub(super) fn fresh() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        // Exotel's call ids end in what is no hexadecimal digit.
        let call_id = format!("{:016x}{:015x}p", random(), random() >> 4);
        Self { call_id, stream_id: format!("{:016x}{:016x}", random(), random()), created: now() }
    }
}

/// A carrier's clock is its own: nothing under test hands it in.
#[expect(clippy::disallowed_methods, reason = "the one place where this carrier reads the clock")]
pub(super) fn now() -> DateTime<Utc> {
    DateTime::from(SystemTime::now())
}

pub(super) fn indian(at: DateTime<Utc>, format: &str) -> String {
    (at + TimeDelta::minutes(330)).format(format).to_string()
}

/// The twelve parameters of a captured request (August 2026), blank ones included; no account; `To` is not the number
/// called.
fn start_fields(options: &Options, ids: &CallIds) -> Vec<(&'static str, String)> {
    vec![
        ("CallSid", ids.call_id.clone()),
        ("CallFrom", options.caller_number.clone()),
        ("CallTo", options.called_number.clone()),
        ("Direction", "incoming".to_owned()),
        ("Created", indian(ids.created, "%a, %d %b %Y %H:%M:%S")),
        ("DialWhomNumber", String::new()),
        ("HangupLatencyStartTimeExocc", String::new()),
        ("HangupLatencyStartTime", String::new()),
        ("ServerCode", String::new()),
        ("From", options.caller_number.clone()),
        ("To", "09513886363".to_owned()),
        ("CurrentTime", indian(now(), "%Y-%m-%d %H:%M:%S")),
    ]
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signed_post(http: &reqwest::Client, options: &Options, path: &str, body: String) -> reqwest::RequestBuilder {
    let signature = match &options.announce {
        Announce::Signed { secret } => Some(sign(secret.expose_secret(), body.as_bytes())),
        Announce::Forged { signature } => signature.clone(),
        Announce::DynamicUrl { .. } | Announce::Direct { .. } => None,
    };
    let mut request = http
        .post(format!("{}{path}", options.base_url.trim_end_matches('/')))
        .header("content-type", "application/json")
        .header("x-exotel-timestamp", now().timestamp().to_string());
    if let Some(signature) = signature {
        request = request.header("x-exotel-signature", signature);
    }
    request.body(body)
}

/// Appends urlencoded parameters to whatever query the URL has.
fn with_query(url: &str, fields: &[(&str, String)]) -> String {
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{query}")
}

/// Asks where the media shall go.
pub(super) async fn ask(http: &reqwest::Client, options: &Options, ids: &CallIds) -> Result<String, AnnounceError> {
    let fields = start_fields(options, ids);
    let request = match &options.announce {
        Announce::Direct { url } => return Ok(url.clone()),
        Announce::DynamicUrl { url, .. } => http.get(with_query(url, &fields)),
        Announce::Signed { .. } | Announce::Forged { .. } => {
            let body: serde_json::Map<String, serde_json::Value> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            signed_post(http, options, "/webhooks/exotel/call-start", serde_json::Value::Object(body).to_string())
        }
    };
    let response = request.send().await.map_err(|error| AnnounceError::Unreachable(chain(&error)))?;
    let status = response.status().as_u16();
    let answer = response.text().await.map_err(|error| AnnounceError::Unreachable(chain(&error)))?;
    let shown = || answer.chars().take(ANSWER_SHOWN_CHARS).collect::<String>();
    if status != 200 {
        return Err(AnnounceError::Refused { status, answer: shown() });
    }
    let url = serde_json::from_str::<serde_json::Value>(&answer)
        .ok()
        .and_then(|body| body.get("url").and_then(|url| url.as_str()).map(str::to_owned))
        .filter(|url| url.starts_with("ws://") || url.starts_with("wss://"));
    url.ok_or_else(|| AnnounceError::NoUrl(shown()))
}

/// Tells the server that the call is over. `None` when this announcement has no such report.
pub(super) async fn report_end(
    http: &reqwest::Client,
    options: &Options,
    ids: &CallIds,
    seen: &CallObservation,
) -> Option<Result<u16, String>> {
    let (stream_status, by) = match &seen.closed {
        Closed::NeverConnected { .. } | Closed::Failed { .. } | Closed::Dropped | Closed::ServerStalled => {
            ("failed", "NA")
        }
        Closed::ByCaller { .. } => ("cancelled", "user"),
        Closed::ByServer { .. } => ("completed", "bot"),
    };
    let duration_s = seen.duration_ms.div_ceil(1000).to_string();
    let request = match &options.announce {
        Announce::Direct { .. } => return None,
        Announce::DynamicUrl { passthru_url: None, .. } => return None,
        Announce::DynamicUrl { passthru_url: Some(url), .. } => {
            let owned = |(name, value): (&str, String)| (name.to_owned(), value);
            let mut stream = vec![
                ("StreamSID", ids.stream_id.clone()),
                ("Status", stream_status.to_owned()),
                ("Duration", duration_s),
                ("DisconnectedBy", by.to_owned()),
            ];
            if let Closed::NeverConnected { error } = &seen.closed {
                stream.push(("Error", format!("3009 failed to establish ws conn {error}")));
            }
            let call = start_fields(options, ids).into_iter().map(owned).collect();
            let passthru = Passthru { call, stream: stream.into_iter().map(owned).collect() };
            http.get(passthru.url(url, options.stream_as))
        }
        Announce::Signed { .. } | Announce::Forged { .. } => {
            let status = if stream_status == "failed" { "failed" } else { "completed" };
            let body = json!({
                "CallSid": ids.call_id,
                "CallFrom": options.caller_number,
                "CallTo": options.called_number,
                "Direction": "incoming",
                "CallStatus": status,
                "Status": status,
                "Duration": duration_s,
                "StartTime": indian(ids.created, "%Y-%m-%d %H:%M:%S"),
                "EndTime": indian(now(), "%Y-%m-%d %H:%M:%S"),
                "RecordingUrl": format!("https://recordings.exotel.com/exotelrecordings/{}/{}.mp3", options.account_id, ids.call_id),
            });
            signed_post(http, options, "/webhooks/exotel/call-end", body.to_string())
        }
    };
    Some(request.send().await.map(|response| response.status().as_u16()).map_err(|error| chain(&error)))
}

/// An error and what caused it: the first line alone says only "error sending request".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
