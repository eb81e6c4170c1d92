//! `GET /v1/speak` as developers.deepgram.com/reference/text-to-speech/speak-streaming describes it, 16 bit samples only.

use super::voices::{Desk, Dialect, Making, Shared, Step, VoiceFault, foreign_key, run};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Parameters that the reference knows.
const PARAMETERS: [&str; 8] =
    ["model", "encoding", "sample_rate", "speed", "mip_opt_out", "container", "tag", "priority"];
/// Flushes that are obeyed in [`FLUSH_WINDOW`].
const FLUSHES_MAX: usize = 20;
const FLUSH_WINDOW: Duration = Duration::from_secs(60);
/// Longest text of one message, in characters.
const TEXT_CHARS_MAX: usize = 2_000;

fn said(code: &str, message: &str) -> Value {
    json!({"err_code": code, "err_msg": message, "request_id": "fake"})
}

pub(super) async fn speak(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !shared.has_key(&headers, "authorization", "Token ") {
        return shared.refuse(401, &said("INVALID_AUTH", "Invalid credentials."));
    }
    if let Some(status) = shared.refusal() {
        return shared.refuse(status, &said("FAULT", "This was asked for."));
    }
    let get = |name: &str| query.get(name).map(String::as_str);
    let rate =
        get("sample_rate").and_then(|rate| rate.parse().ok()).filter(|rate| [8_000, 16_000, 24_000].contains(rate));
    let speed = get("speed").map_or(Some(1.0), |speed| speed.parse::<f64>().ok());
    let known = query.keys().all(|name| PARAMETERS.contains(&name.as_str()));
    let model = get("model").is_some_and(|model| model.starts_with("aura-"));
    let (Some(rate), true, true, Some("linear16"), Some(0.7..=1.5)) = (rate, known, model, get("encoding"), speed)
    else {
        return shared.refuse(400, &said("Bad Request", "Bad Request: a parameter is wrong."));
    };
    let voice = OneByOne { rate, text: String::new(), flushes: VecDeque::new(), sequence: 0 };
    upgrade.on_upgrade(move |socket| run(socket, shared, uri.to_string(), voice))
}

struct OneByOne {
    rate: usize,
    text: String,
    flushes: VecDeque<Instant>,
    sequence: u64,
}

impl OneByOne {
    fn flush(&mut self, desk: &mut Desk) {
        let now = Instant::now();
        self.flushes.retain(|flush| now.duration_since(*flush) < FLUSH_WINDOW);
        if self.flushes.len() == FLUSHES_MAX {
            desk.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            let warning = json!({"type": "Warning", "code": "FLUSH_LIMIT", "description": "Too many Flush messages."});
            desk.say.push(Message::text(warning.to_string()));
            return;
        }
        self.flushes.push_back(now);
        let text = std::mem::take(&mut self.text);
        desk.begin("", &text, self.rate);
    }
}

impl Dialect for OneByOne {
    fn hello(&self) -> Option<String> {
        Some(json!({"type": "Metadata", "request_id": "fake", "model_name": "fake", "model_version": "1"}).to_string())
    }

    fn take(&mut self, message: &Value, desk: &mut Desk) -> Step {
        let wrong = Step::Close { say: None, code: 1008, reason: "DATA-0000" };
        if foreign_key(message, &["type", "text"]).is_some() {
            return wrong;
        }
        match (message["type"].as_str(), message["text"].as_str()) {
            (Some("Speak"), Some(text)) if text.chars().count() <= TEXT_CHARS_MAX => self.text.push_str(text),
            (Some("Flush"), None) => self.flush(desk),
            (Some("Clear"), None) => {
                desk.shared.counters.cancelled.fetch_add(1, Ordering::Relaxed);
                self.text.clear();
                let deaf = desk.makings.iter().any(|making| making.fault == Some(VoiceFault::DeafToCancel));
                desk.makings.clear();
                if !deaf {
                    desk.say.push(Message::text(json!({"type": "Cleared", "sequence_id": self.sequence}).to_string()));
                }
            }
            (Some("Close"), None) => {
                desk.shared.counters.farewells.fetch_add(1, Ordering::Relaxed);
                return Step::Close { say: None, code: 1000, reason: "" };
            }
            _ => return wrong,
        }
        Step::On
    }

    fn piece(&mut self, _making: &Making, sound: &[u8]) -> Vec<Message> {
        vec![Message::binary(sound.to_vec())]
    }

    fn end(&mut self, _making: &Making) -> Vec<Message> {
        self.sequence += 1;
        vec![Message::text(json!({"type": "Flushed", "sequence_id": self.sequence - 1}).to_string())]
    }

    fn error(&self, _making: &Making, _status: u16) -> Message {
        Message::text(json!({"type": "Error", "code": "DATA-0002", "description": "secret words"}).to_string())
    }
}
