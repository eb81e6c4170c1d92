//! The messages of the media socket, as this carrier writes them and as the switches bend them.

use super::Options;
use super::announce::CallIds;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Names in the other spelling.
const CAMEL_CASE: [(&str, &str); 8] = [
    ("stream_sid", "streamSid"),
    ("call_sid", "callSid"),
    ("account_sid", "accountSid"),
    ("sequence_number", "sequenceNumber"),
    ("custom_parameters", "customParameters"),
    ("media_format", "mediaFormat"),
    ("sample_rate", "sampleRate"),
    ("bit_rate", "bitRate"),
];
/// What is in no document. A server that ends a call over one of these ends calls over nothing.
const UNKNOWN: [&str; 6] = [
    r#"{"event":"heartbeat","stream_sid":"0"}"#,
    r#"{"event":"error","error":{"code":"3001","message":"internal"}}"#,
    r#"{"event":"playedStream","name":"x","streamId":"y"}"#,
    r#"{"event":"agent-assist","nested":{"list":[1,{"a":null}],"text":"\u0928"}}"#,
    r#"{"event":""}"#,
    r#"{"event":null,"media":{}}"#,
];
/// What is no message at all.
const GARBAGE: [&str; 5] =
    ["", "not json", "{\"event\":", "{\"event\":\"media\",\"media\":{\"payload\":\"%%\"}}", "[1,2,3]"];

/// Writes messages and counts them.
pub(super) struct Messages<'a> {
    options: &'a Options,
    ids: &'a CallIds,
    sequence: u64,
    chunk: u64,
}

impl<'a> Messages<'a> {
    pub(super) fn new(options: &'a Options, ids: &'a CallIds) -> Self {
        Self { options, ids, sequence: 0, chunk: 0 }
    }

    /// A counter as the options want it written.
    fn id(&self, number: u64) -> Value {
        if self.options.numeric_ids { number.into() } else { number.to_string().into() }
    }

    /// The envelope around what only this event has.
    fn event(&mut self, event: &str, content: Value) -> String {
        self.sequence += 1;
        let mut message = json!({"event": event, "sequence_number": self.id(self.sequence),
            "stream_sid": self.ids.stream_id});
        message[event] = content;
        self.bent(message)
    }

    fn bent(&self, message: Value) -> String {
        if self.options.omitted.is_empty() && !self.options.camel_case {
            return message.to_string();
        }
        self.bend(message).to_string()
    }

    fn bend(&self, value: Value) -> Value {
        let Value::Object(fields) = value else { return value };
        let mut bent = Map::new();
        for (name, value) in fields {
            if self.options.omitted.contains(&name) {
                continue;
            }
            // What the server put into its URL comes back as it was.
            let value = if name == "custom_parameters" { value } else { self.bend(value) };
            let camel = CAMEL_CASE.iter().find(|(snake, _)| self.options.camel_case && *snake == name);
            bent.insert(camel.map_or(name, |(_, camel)| (*camel).to_owned()), value);
        }
        Value::Object(bent)
    }

    pub(super) fn connected(&self) -> String {
        if self.options.connected_details {
            return self.bent(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}));
        }
        self.bent(json!({"event": "connected"}))
    }

    pub(super) fn start(&mut self, custom_parameters: &Map<String, Value>) -> String {
        let format = &self.options.media_format;
        let start = json!({
            "stream_sid": self.ids.stream_id,
            "call_sid": self.ids.call_id,
            "account_sid": self.options.account_id,
            "from": self.options.caller_number,
            "to": self.options.called_number,
            "custom_parameters": custom_parameters,
            "media_format": {
                "encoding": format.encoding,
                "sample_rate": format!("{}{}", self.options.sample_rate_hz, format.rate_suffix),
                "bit_rate": format.bit_rate,
            },
        });
        self.event("start", start)
    }

    pub(super) fn media(&mut self, pcm: &[i16], at_ms: u64) -> String {
        let bytes: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        self.media_of(&STANDARD.encode(bytes), at_ms)
    }

    fn media_of(&mut self, payload: &str, at_ms: u64) -> String {
        self.chunk += 1;
        let media = json!({"chunk": self.id(self.chunk), "timestamp": self.id(at_ms), "payload": payload});
        self.event("media", media)
    }

    pub(super) fn oversized(&mut self, at_ms: u64) -> String {
        self.media_of(&"A".repeat(1 << 20), at_ms)
    }

    pub(super) fn odd(&mut self, at_ms: u64) -> String {
        self.media_of(&STANDARD.encode([0_u8; 321]), at_ms)
    }

    pub(super) fn dtmf(&mut self, digit: char) -> String {
        self.event("dtmf", json!({"digit": digit.to_string(), "duration": "100"}))
    }

    pub(super) fn mark(&mut self, name: &str) -> String {
        self.event("mark", json!({"name": name}))
    }

    pub(super) fn stop(&mut self, reason: &str) -> String {
        let stop = json!({"call_sid": self.ids.call_id, "account_sid": self.options.account_id, "reason": reason});
        self.event("stop", stop)
    }

    pub(super) fn clear(&self) -> String {
        self.bent(json!({"event": "clear", "stream_sid": self.ids.stream_id}))
    }

    pub(super) fn garbage(count: u32) -> impl Iterator<Item = &'static str> {
        GARBAGE.into_iter().cycle().take(count as usize)
    }

    pub(super) fn unknown(count: u32) -> impl Iterator<Item = &'static str> {
        UNKNOWN.into_iter().cycle().take(count as usize)
    }
}
