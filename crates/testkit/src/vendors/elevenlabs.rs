//! `GET /v1/text-to-speech/{voice_id}/multi-stream-input` as elevenlabs.io/docs/api-reference/text-to-speech/
//! v-1-text-to-speech-voice-id-multi-stream-input describes it, raw samples only.

use super::voices::{Desk, Dialect, Making, PIECE_MS, Shared, Step, foreign_key, run};
use axum::Json;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Parameters that the reference knows.
const PARAMETERS: [&str; 12] = [
    "authorization",
    "single_use_token",
    "model_id",
    "language_code",
    "enable_logging",
    "enable_ssml_parsing",
    "output_format",
    "inactivity_timeout",
    "sync_alignment",
    "auto_mode",
    "apply_text_normalization",
    "seed",
];
/// Fields that a message may have.
const FIELDS: [&str; 8] = [
    "text",
    "context_id",
    "voice_settings",
    "generation_config",
    "pronunciation_dictionary_locators",
    "flush",
    "close_context",
    "close_socket",
];
/// Fields of `voice_settings`.
const VOICE_FIELDS: [&str; 5] = ["stability", "similarity_boost", "style", "use_speaker_boost", "speed"];
/// Contexts at a time.
const CONTEXTS_MAX: usize = 5;

fn detail(status: &str) -> Value {
    json!({"detail": {"status": status, "message": "This was said by a fake."}})
}

fn refused(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    if !shared.has_key(headers, "xi-api-key", "") {
        return Some(shared.refuse(401, &detail("invalid_api_key")));
    }
    let status = shared.refusal()?;
    let code = match status {
        // A wrong key is refused above.
        401 => "missing_permissions",
        429 => "too_many_concurrent_requests",
        _ => "asked_for",
    };
    Some(shared.refuse(status, &detail(code)))
}

pub(super) async fn models(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refused(&shared, &headers) {
        return refusal;
    }
    shared.counters.checks.fetch_add(1, Ordering::Relaxed);
    Json(json!([{"model_id": "eleven_flash_v2_5"}])).into_response()
}

pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    Path(voice): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some(refusal) = refused(&shared, &headers) {
        return refusal;
    }
    let get = |name: &str| query.get(name).map(String::as_str);
    let model = get("model_id").unwrap_or_default();
    let rate = match get("output_format") {
        Some("pcm_8000") => 8_000,
        Some("pcm_16000") => 16_000,
        Some("pcm_24000") => 24_000,
        Some(_) | None => return shared.refuse(400, &detail("output_format_not_here")),
    };
    let timeout = get("inactivity_timeout").map_or(Some(20), |s| s.parse::<u32>().ok());
    let told_language = get("language_code").is_some() && !model.ends_with("_v2_5");
    if query.keys().any(|name| !PARAMETERS.contains(&name.as_str()))
        || model.is_empty()
        || told_language
        || timeout.is_none_or(|s| s > 180)
    {
        return shared.refuse(400, &detail("invalid_parameters"));
    }
    if voice == "missing" {
        return shared.refuse(404, &detail("voice_not_found"));
    }
    let alignments = get("sync_alignment") == Some("true");
    upgrade.on_upgrade(move |socket| {
        run(socket, shared, uri.to_string(), Contexts { rate, alignments, open: BTreeMap::new() })
    })
}

struct Contexts {
    rate: usize,
    alignments: bool,
    /// What is open, and the text that waits for a flush. `None` = closed, and speaking to its end.
    open: BTreeMap<String, Option<String>>,
}

fn invalid(error: &'static str) -> Step {
    let said = json!({"message": "This was said by a fake.", "error": error, "code": 1008});
    Step::Close { say: Some(said.to_string()), code: 1008, reason: "This was said by a fake." }
}

impl Contexts {
    fn open(&mut self, name: &str, message: &Value) -> Result<(), Step> {
        if self.open.len() == CONTEXTS_MAX {
            return Err(invalid("max_active_conversations"));
        }
        let settings = message.get("voice_settings").unwrap_or(&Value::Null);
        if message["text"] != " " || (!settings.is_null() && foreign_key(settings, &VOICE_FIELDS).is_some()) {
            return Err(invalid("invalid_input_message"));
        }
        self.open.insert(name.to_owned(), Some(String::new()));
        Ok(())
    }
}

impl Dialect for Contexts {
    fn take(&mut self, message: &Value, desk: &mut Desk) -> Step {
        if foreign_key(message, &FIELDS).is_some() {
            return invalid("invalid_input_message");
        }
        if message["close_socket"] == true {
            desk.shared.counters.farewells.fetch_add(1, Ordering::Relaxed);
            return Step::Close { say: None, code: 1000, reason: "" };
        }
        let Some(name) = message["context_id"].as_str() else { return invalid("invalid_input_message") };
        let Some(waiting) = self.open.get_mut(name) else {
            return self.open(name, message).err().unwrap_or(Step::On);
        };
        let Some(text) = waiting else { return invalid("context_closed") };
        if message.get("voice_settings").is_some() {
            return invalid("invalid_input_message");
        }
        text.push_str(message["text"].as_str().unwrap_or_default());
        let closes = message["close_context"] == true;
        if (message["flush"] == true || closes) && !text.trim().is_empty() {
            if !text.ends_with(' ') {
                return invalid("text_must_end_with_space");
            }
            let text = std::mem::take(text);
            desk.begin(name, &text, self.rate);
        }
        if closes {
            *waiting = None;
        }
        Step::On
    }

    fn piece(&mut self, making: &Making, sound: &[u8]) -> Vec<Message> {
        // Characters spread evenly; their times count from the beginning of the piece.
        let chars: Vec<char> = making.text.chars().collect();
        let each = (making.pieces.min(10_000) * PIECE_MS) as f64 / chars.len() as f64;
        let (from, to) = ((making.next * PIECE_MS) as f64, ((making.next + 1) * PIECE_MS) as f64);
        let here =
            chars.iter().enumerate().map(|(n, c)| (c, n as f64 * each)).filter(|(_, at)| (from..to).contains(at));
        let (chars, starts): (Vec<String>, Vec<u64>) = here.map(|(c, at)| (c.to_string(), (at - from) as u64)).unzip();
        let durations = vec![each as u64; chars.len()];
        let alignment = json!({"chars": chars, "charStartTimesMs": starts, "charDurationsMs": durations});
        let alignment = if self.alignments { alignment } else { Value::Null };
        let message = json!({"audio": STANDARD.encode(sound), "isFinal": null, "contextId": making.name,
            "alignment": alignment, "normalizedAlignment": alignment});
        vec![Message::text(message.to_string())]
    }

    fn end(&mut self, making: &Making) -> Vec<Message> {
        // Only a closed context is told to be final.
        match self.open.get(&making.name) {
            Some(None) => {
                self.open.remove(&making.name);
                vec![Message::text(json!({"audio": null, "isFinal": true, "contextId": making.name}).to_string())]
            }
            Some(Some(_)) | None => Vec::new(),
        }
    }

    fn error(&self, making: &Making, status: u16) -> Message {
        let code = match status {
            401 => "invalid_api_key",
            429 => "max_active_conversations",
            500 => "internal_error",
            _ => "something_else",
        };
        let message = json!({"message": "secret words", "error": code, "code": 1008, "contextId": making.name});
        Message::text(message.to_string())
    }
}
