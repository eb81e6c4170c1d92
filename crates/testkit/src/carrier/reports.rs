//! What Exotel tells of a call besides its media, in every coding that has been seen: status callbacks, thin and full,
//! and the Passthru applet behind the Voicebot applet.

use super::FakeExotel;
use super::announce::{chain, indian, now};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// As captured: longer than others', with words in it.
const BOUNDARY: &str = "form-data-boundary-lebu8d9e3h8xzvhf";
/// A full callback's recording is there after this, as captured.
const RECORDING_AFTER: TimeDelta = TimeDelta::minutes(5);

/// How a status callback is coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// What Exotel does unless asked for JSON.
    #[default]
    Multipart,
    /// As some of its pages say.
    Urlencoded,
    /// `StatusCallbackContentType=application/json`.
    Json,
}

/// How a Passthru carries what became of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamAs {
    /// `Stream%5BStatus%5D=completed`.
    #[default]
    EscapedKeys,
    /// `Stream[Status]=completed`, brackets as they are.
    Keys,
    /// `Stream={"Status":"completed"}`: "sometimes, all parameters are sent in a single JSON string".
    Text,
}

/// What a status callback says.
#[derive(Clone, Debug)]
pub struct StatusCallback {
    /// The call.
    pub call_id: String,
    /// `in-progress`, `completed`, `busy`, `no-answer`, `failed`.
    pub status: String,
    /// `answered`, `terminal`: events were asked for, so that everything is told; none: four fields.
    pub event: Option<String>,
    /// Who was called, and by which number of ours.
    pub numbers: (String, String),
    /// When the call began.
    pub started_at: DateTime<Utc>,
    /// How long both sides were there.
    pub duration_s: u32,
    /// Where its recording is.
    pub recording_url: Option<String>,
    /// What the order said of itself; told with an event only.
    pub custom_field: Option<String>,
}

impl StatusCallback {
    /// A call that ended well, told in four fields.
    #[must_use]
    pub fn thin(call_id: &str, status: &str) -> Self {
        Self {
            call_id: call_id.to_owned(),
            status: status.to_owned(),
            event: None,
            numbers: ("09876543210".to_owned(), "08047491899".to_owned()),
            started_at: now() - TimeDelta::seconds(60),
            duration_s: 0,
            recording_url: None,
            custom_field: None,
        }
    }

    /// The same with everything: `StatusCallbackEvents` were asked for.
    #[must_use]
    pub fn full(call_id: &str, event: &str, status: &str) -> Self {
        Self { event: Some(event.to_owned()), ..Self::thin(call_id, status) }
    }

    /// Its fields, nested ones too.
    fn json(&self) -> Map<String, Value> {
        let time = |at: DateTime<Utc>| Value::from(indian(at, "%Y-%m-%d %H:%M:%S"));
        let ended = self.started_at + TimeDelta::seconds(i64::from(self.duration_s));
        let mut fields = Map::from_iter([
            ("CallSid".to_owned(), self.call_id.as_str().into()),
            ("Status".to_owned(), self.status.as_str().into()),
            ("DateUpdated".to_owned(), time(now())),
        ]);
        // Without a recording the field is simply absent.
        if let Some(url) = &self.recording_url {
            fields.insert("RecordingUrl".to_owned(), url.as_str().into());
        }
        let Some(event) = &self.event else { return fields };
        let over = event == "terminal";
        let leg =
            |seconds: u32, by: &str| json!({ "OnCallDuration": seconds, "Status": self.status, "AnsweredBy": by });
        fields.extend([
            ("EventType".to_owned(), event.as_str().into()),
            ("DateCreated".to_owned(), time(self.started_at)),
            ("To".to_owned(), self.numbers.0.as_str().into()),
            ("From".to_owned(), self.numbers.1.as_str().into()),
            ("PhoneNumberSid".to_owned(), self.numbers.1.as_str().into()),
            ("StartTime".to_owned(), time(self.started_at)),
            ("EndTime".to_owned(), if over { time(ended) } else { "1970-01-01 05:30:00".into() }),
            ("ConversationDuration".to_owned(), self.duration_s.into()),
            ("Direction".to_owned(), "outbound-api".into()),
            ("CustomField".to_owned(), self.custom_field.as_deref().unwrap_or("null").into()),
            ("Legs".to_owned(), json!([leg(self.duration_s + 15, "NA"), leg(self.duration_s, "HUMAN")])),
        ]);
        fields
    }

    /// Content type and body.
    pub(super) fn coded(&self, coding: Coding) -> (String, String) {
        let fields = self.json();
        match coding {
            Coding::Json => ("application/json".to_owned(), Value::Object(fields).to_string()),
            Coding::Urlencoded => {
                let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(flat(&fields)).finish();
                ("application/x-www-form-urlencoded".to_owned(), body)
            }
            Coding::Multipart => {
                let mut body = String::new();
                for (name, value) in flat(&fields) {
                    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
                    let _ = write!(body, "{head}{value}\r\n");
                }
                let _ = write!(body, "--{BOUNDARY}--\r\n");
                (format!("multipart/form-data; boundary={BOUNDARY}"), body)
            }
        }
    }
}

/// `Legs[0][OnCallDuration]`.
pub(super) fn flat(fields: &Map<String, Value>) -> Vec<(String, String)> {
    fn put(out: &mut Vec<(String, String)>, name: String, value: &Value) {
        match value {
            Value::Object(inner) => inner.iter().for_each(|(key, value)| put(out, format!("{name}[{key}]"), value)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(n, value)| put(out, format!("{name}[{n}]"), value))
            }
            Value::String(text) => out.push((name, text.clone())),
            Value::Null | Value::Bool(_) | Value::Number(_) => out.push((name, value.to_string())),
        }
    }
    let mut out = Vec::new();
    fields.iter().for_each(|(name, value)| put(&mut out, name.clone(), value));
    out
}

/// What the Passthru applet behind the Voicebot applet says.
#[derive(Clone, Debug)]
pub struct Passthru {
    /// The standard parameters.
    pub call: Vec<(String, String)>,
    /// What became of the stream: `Status`, `Duration`, `DisconnectedBy`, …
    pub stream: Vec<(String, String)>,
}

impl Passthru {
    /// Behind a stream that ended so.
    #[must_use]
    pub fn after(call_id: &str, status: &str, disconnected_by: &str, duration_s: u64) -> Self {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            call: vec![
                pair("CallSid", call_id),
                pair("flow_id", "123"),
                pair("Direction", "incoming"),
                pair("ForwardedFrom", "null"),
                pair("digits", "\"8\""),
                pair("EndTime", "1970-01-01 05:30:00"),
                pair("CurrentTime", &indian(now(), "%Y-%m-%d %H:%M:%S")),
            ],
            stream: vec![
                pair("StreamSID", "6f048d2e897a0d2d4029560f3f541947"),
                pair("Status", status),
                pair("Duration", &duration_s.to_string()),
                pair("StreamUrl", "wss://stream.example/media"),
                pair("DisconnectedBy", disconnected_by),
            ],
        }
    }

    /// With a recording that will be there later.
    #[must_use]
    pub fn recorded(mut self, url: &str) -> Self {
        self.stream.push(("RecordingUrl".to_owned(), url.to_owned()));
        let due = indian(now() + RECORDING_AFTER, "%a, %d %b %Y %H:%M:%S");
        self.call.push(("RecordingAvailableBy".to_owned(), due));
        self
    }

    /// The whole address.
    #[must_use]
    pub fn url(&self, url: &str, stream_as: StreamAs) -> String {
        let mut pairs = self.call.clone();
        match stream_as {
            StreamAs::EscapedKeys | StreamAs::Keys => {
                pairs.extend(self.stream.iter().map(|(name, value)| (format!("Stream[{name}]"), value.clone())));
            }
            StreamAs::Text if self.stream.is_empty() => {}
            StreamAs::Text => {
                let object: Map<String, Value> =
                    self.stream.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                // Slashes are escaped there.
                pairs.push(("Stream".to_owned(), Value::Object(object).to_string().replace('/', "\\/")));
            }
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let query = if stream_as == StreamAs::Keys { query.replace("%5B", "[").replace("%5D", "]") } else { query };
        format!("{url}{}{query}", if url.contains('?') { '&' } else { '?' })
    }
}

impl FakeExotel {
    /// Posts a status callback; the status of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call_back(&self, url: &str, callback: &StatusCallback, coding: Coding) -> Result<u16, String> {
        self.post_callback(url, callback, coding).await
    }

    /// Passes through; the status of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn pass_through(&self, url: &str, passthru: &Passthru, stream_as: StreamAs) -> Result<u16, String> {
        let request = self.http.get(passthru.url(url, stream_as));
        request.send().await.map(|response| response.status().as_u16()).map_err(|error| chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_coded_as_captured() {
        let (content_type, body) = StatusCallback::thin("c1", "completed").coded(Coding::Multipart);
        assert_eq!(content_type, format!("multipart/form-data; boundary={BOUNDARY}"));
        let front =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"CallSid\"\r\n\r\nc1\r\n--{BOUNDARY}\r\n");
        assert!(body.starts_with(&front), "{body}");
        assert!(body.ends_with(&format!("--{BOUNDARY}--\r\n")) && !body.contains("RecordingUrl"), "{body}");
        let (_, body) = StatusCallback::full("c1", "terminal", "busy").coded(Coding::Urlencoded);
        assert!(body.contains("Legs%5B1%5D%5BAnsweredBy%5D=HUMAN"), "{body}");
    }

    #[test]
    fn a_passthru_has_three_codings() {
        let passthru = Passthru::after("c1", "completed", "bot", 28).recorded("https://recordings.exotel.com/a.mp3");
        let of = |stream_as| passthru.url("http://x/p?a=1", stream_as);
        assert!(of(StreamAs::EscapedKeys).starts_with("http://x/p?a=1&CallSid=c1&"));
        assert!(of(StreamAs::EscapedKeys).contains("&Stream%5BStatus%5D=completed"));
        assert!(of(StreamAs::Keys).contains("&Stream[Status]=completed"));
        assert!(of(StreamAs::Text).contains("&Stream=%7B%22"));
        assert!(of(StreamAs::Text).contains("https%3A%5C%2F%5C%2Frecordings"));
    }
}
