//! Announcing a call: the captured requests, and the signed message of our own.

use super::{Announce, Options, RequestShape};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
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

    /// The ids of the `number`th call of a carrier with this seed.
    pub(super) fn seeded(seed: u64, number: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03);
        let mut random = || next_random(&mut state);
        let call_id = format!("{:016x}{:015x}p", random(), random() >> 4);
        Self { call_id, stream_id: format!("{:016x}{:016x}", random(), random()), created: now() }
    }
}

/// SplitMix64: small, and the same everywhere.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A carrier's clock is its own: nothing under test hands it in.
#[expect(clippy::disallowed_methods, reason = "the one place where this carrier reads the clock")]
pub(super) fn now() -> DateTime<Utc> {
    DateTime::from(SystemTime::now())
}

pub(super) fn indian(at: DateTime<Utc>, format: &str) -> String {
    (at + TimeDelta::minutes(330)).format(format).to_string()
}

/// The number that stood in `To` of captures of different accounts, whatever number had been called.
const SHARED_TO: &str = "09513886363";
/// Longest written form of a time in a webhook.
pub(super) const LONG_TIME: &str = "%a, %d %b %Y %H:%M:%S";
/// The other one.
pub(super) const SHORT_TIME: &str = "%Y-%m-%d %H:%M:%S";

/// The twelve parameters of a captured request in their order, blank ones included; no account in any of them.
pub(super) fn start_fields(options: &Options, ids: &CallIds) -> Vec<(&'static str, String)> {
    let shape = options.request_shape;
    let outgoing = options.outgoing || shape == RequestShape::January2025;
    let mut fields = vec![
        ("CallSid", ids.call_id.clone()),
        ("CallFrom", options.caller_number.clone()),
        ("CallTo", options.called_number.clone()),
        ("Direction", if outgoing { "outbound-dial" } else { "incoming" }.to_owned()),
        ("Created", indian(ids.created, LONG_TIME)),
        ("DialWhomNumber", String::new()),
        ("HangupLatencyStartTimeExocc", String::new()),
        ("HangupLatencyStartTime", String::new()),
    ];
    match (&options.passthru_field, shape) {
        (Some(text), _) => fields.push(("passthru", text.clone())),
        // As captured: a JSON string, its slashes escaped, its digits in quotes.
        (None, RequestShape::September2024) => fields.push((
            "passthru",
            format!("\"https:\\/\\/flow.example\\/exotel\\/dtmf-input?CallSid={}&digits=%228%22\"", ids.call_id),
        )),
        (None, RequestShape::January2025 | RequestShape::August2026) => {}
    }
    if shape == RequestShape::August2026 {
        fields.push(("ServerCode", String::new()));
    }
    fields.push(("From", options.caller_number.clone()));
    let to = if shape == RequestShape::September2024 { &options.called_number } else { SHARED_TO };
    fields.push(("To", to.to_owned()));
    match (&options.custom_field, shape) {
        (Some(text), _) => fields.push(("CustomField", text.clone())),
        (None, RequestShape::January2025) => fields.push(("CustomField", String::new())),
        (None, RequestShape::September2024 | RequestShape::August2026) => {}
    }
    fields.push(("CurrentTime", indian(now(), SHORT_TIME)));
    fields
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn signed_post(
    http: &reqwest::Client,
    options: &Options,
    path: &str,
    body: String,
) -> reqwest::RequestBuilder {
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
pub(super) fn with_query(url: &str, fields: &[(&str, String)]) -> String {
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

/// The address without user and password, which no report names.
pub(super) fn without_password(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return String::new() };
    let _ = (parsed.set_username(""), parsed.set_password(None));
    parsed.into()
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
