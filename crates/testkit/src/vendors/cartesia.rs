//! `GET /tts/websocket` as docs.cartesia.ai/2026-03-01/api-reference/tts/websocket describes it, raw samples only.

use super::voices::{Desk, Dialect, Making, PIECE_MS, PIECES_AFTER_CANCEL, Shared, Step, foreign_key, run};
use axum::Json;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Uri};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Fields that a request may have.
const FIELDS: [&str; 16] = [
    "model_id",
    "transcript",
    "voice",
    "language",
    "context_id",
    "output_format",
    "add_timestamps",
    "add_phoneme_timestamps",
    "use_normalized_timestamps",
    "continue",
    "flush",
    "max_buffer_delay_ms",
    "generation_config",
    "pronunciation_dict_id",
    "speed",
    "duration",
];
/// Languages they list; some of them.
const LANGUAGES: [&str; 14] = ["en", "hi", "ta", "te", "gu", "kn", "ml", "mr", "pa", "bn", "fr", "de", "es", "tl"];

fn said(status: u16, code: &str) -> Value {
    json!({"error_code": code, "title": "Said by a fake", "message": "secret words", "request_id": "fake",
        "status_code": status})
}

fn refused(shared: &Shared, headers: &HeaderMap, version: Option<&str>) -> Option<Response> {
    if !shared.has_key(headers, "authorization", "Bearer ") && !shared.has_key(headers, "x-api-key", "") {
        return Some(shared.refuse(401, &said(401, "unauthorized")));
    }
    if version != Some("2026-03-01") {
        return Some(shared.refuse(400, &said(400, "invalid_version")));
    }
    let status = shared.refusal()?;
    Some(shared.refuse(status, &said(status, if status == 429 { "concurrency_limited" } else { "asked_for" })))
}

pub(super) async fn voices(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let version = headers.get("cartesia-version").and_then(|version| version.to_str().ok());
    if let Some(refusal) = refused(&shared, &headers, version) {
        return refusal;
    }
    shared.counters.checks.fetch_add(1, Ordering::Relaxed);
    Json(json!({"data": [], "has_more": false})).into_response()
}

pub(super) async fn websocket(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some(refusal) = refused(&shared, &headers, query.get("cartesia_version").map(String::as_str)) {
        return refusal;
    }
    let word_ms = shared.settings.word_ms;
    upgrade.on_upgrade(move |socket| run(socket, shared, uri.to_string(), Contexts { word_ms, used: BTreeSet::new() }))
}

struct Contexts {
    word_ms: usize,
    used: BTreeSet<String>,
}

impl Contexts {
    fn read(&mut self, message: &Value) -> Result<(String, String, usize), String> {
        if let Some(name) = foreign_key(message, &FIELDS) {
            return Err(format!("unknown field {name}"));
        }
        let text = |value: &Value, name: &str| {
            let text = value.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
            text.map(str::to_owned).ok_or_else(|| format!("{name} is missing"))
        };
        text(message, "model_id")?;
        text(&message["voice"], "id")?;
        let context = text(message, "context_id")?;
        let transcript = text(message, "transcript")?;
        let format = &message["output_format"];
        let rate = format["sample_rate"].as_u64().unwrap_or(0);
        if message["voice"]["mode"] != "id"
            || format["container"] != "raw"
            || format["encoding"] != "pcm_s16le"
            || ![8_000, 16_000, 22_050, 24_000, 44_100, 48_000].contains(&rate)
            || message["language"].as_str().is_some_and(|language| !LANGUAGES.contains(&language))
            || message["max_buffer_delay_ms"].as_u64().is_some_and(|ms| ms > 5_000)
        {
            return Err("invalid value".to_owned());
        }
        if message["continue"] == true || !self.used.insert(context.clone()) {
            return Err("one message for each context here".to_owned());
        }
        Ok((context, transcript, rate as usize))
    }
}

impl Dialect for Contexts {
    fn take(&mut self, message: &Value, desk: &mut Desk) -> Step {
        if message["cancel"] == true && foreign_key(message, &["context_id", "cancel"]).is_none() {
            desk.shared.counters.cancelled.fetch_add(1, Ordering::Relaxed);
            // Only what has not begun is stopped.
            for making in desk.makings.iter_mut().filter(|making| message["context_id"] == making.name) {
                making.pieces = making.pieces.min(making.next + PIECES_AFTER_CANCEL);
                making.cancelled = true;
            }
            return Step::On;
        }
        match self.read(message) {
            Ok((context, transcript, rate)) => desk.begin(&context, &transcript, rate),
            Err(why) => {
                desk.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
                let mut error = said(400, "invalid_request");
                error["type"] = json!("error");
                error["done"] = json!(true);
                error["message"] = json!(why);
                if let Some(context) = message["context_id"].as_str() {
                    error["context_id"] = json!(context);
                }
                desk.say.push(Message::text(error.to_string()));
            }
        }
        Step::On
    }

    fn piece(&mut self, making: &Making, sound: &[u8]) -> Vec<Message> {
        let (from, to) = (making.next * PIECE_MS, (making.next + 1) * PIECE_MS);
        let mut messages = Vec::new();
        let here: Vec<_> =
            making.words(self.word_ms).into_iter().filter(|(_, at, _)| (from..to).contains(at)).collect();
        if !here.is_empty() {
            let seconds = |ms: usize| ms as f64 / 1_000.0;
            let words: Vec<_> = here.iter().map(|(word, ..)| *word).collect();
            let start: Vec<_> = here.iter().map(|(_, from, _)| seconds(*from)).collect();
            let end: Vec<_> = here.iter().map(|(.., to)| seconds(*to)).collect();
            messages.push(json!({"type": "timestamps", "done": false, "status_code": 206, "context_id": making.name,
                "word_timestamps": {"words": words, "start": start, "end": end}}));
        }
        messages.push(json!({"type": "chunk", "data": STANDARD.encode(sound), "done": false, "status_code": 206,
            "step_time": 1.5, "context_id": making.name}));
        messages.into_iter().map(|message| Message::text(message.to_string())).collect()
    }

    fn end(&mut self, making: &Making) -> Vec<Message> {
        let done = json!({"type": "done", "done": true, "status_code": 206, "context_id": making.name});
        vec![Message::text(done.to_string())]
    }

    fn error(&self, making: &Making, status: u16) -> Message {
        let mut error = said(status, "asked_for");
        error["type"] = json!("error");
        error["done"] = json!(true);
        error["context_id"] = json!(making.name);
        Message::text(error.to_string())
    }
}
