//! One connection: its session, its conversation, its answers.

use super::super::voices::foreign_key;
use super::{RealtimeFault, Reply, Shared};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Bytes of one millisecond of sound.
const BYTES_PER_MS: usize = 48;
/// Sound of one word, in milliseconds.
const WORD_MS: usize = 200;

/// An item of the conversation.
struct Item {
    id: String,
    shown: String,
    sound_ms: usize,
    is_answer: bool,
}

/// An answer under way.
struct Making {
    response: String,
    name: Value,
    in_conversation: bool,
    item: String,
    words: VecDeque<String>,
    function: Option<(String, String)>,
    fault: Option<RealtimeFault>,
    sent: usize,
    at: Instant,
}

pub(super) struct Session {
    shared: Arc<Shared>,
    fault: Option<RealtimeFault>,
    is_set_up: bool,
    appended: usize,
    items: Vec<Item>,
    making: Vec<Making>,
    numbers: usize,
    commits: usize,
    answers: usize,
}

type Said = Vec<Value>;

impl Session {
    pub(super) fn new(shared: Arc<Shared>, fault: Option<RealtimeFault>) -> Self {
        let (items, making) = (Vec::new(), Vec::new());
        Self { shared, fault, is_set_up: false, appended: 0, items, making, numbers: 0, commits: 0, answers: 0 }
    }

    pub(super) async fn run(mut self, mut socket: WebSocket) {
        let created = json!({"type": "session.created", "event_id": "e", "session": {"type": "realtime"}});
        if !self.send(&mut socket, vec![created]).await {
            return;
        }
        loop {
            let due =
                self.making.iter().enumerate().min_by_key(|(_, making)| making.at).map(|(n, making)| (n, making.at));
            let wake = async {
                match due {
                    Some((n, at)) => {
                        sleep_until(at).await;
                        n
                    }
                    None => std::future::pending().await,
                }
            };
            let said = tokio::select! {
                biased;
                message = socket.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.take(&text),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Vec::new(),
                    Some(Ok(Message::Binary(_))) => vec![self.refuse(&Value::Null, "binary")],
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
                n = wake => match self.make(n) {
                    Some(said) => said,
                    // The connection breaks.
                    None => return,
                },
            };
            let ends = said.iter().any(|said| said["caly_end"] == true);
            if !self.send(&mut socket, said).await {
                return;
            }
            if ends {
                let frame = CloseFrame { code: 3_000, reason: "invalid_request_error".into() };
                let _ = socket.send(Message::Close(Some(frame))).await;
                return;
            }
        }
    }

    async fn send(&self, socket: &mut WebSocket, said: Said) -> bool {
        if self.fault == Some(RealtimeFault::Mute) {
            return true;
        }
        for mut said in said {
            if self.fault == Some(RealtimeFault::Garbage) {
                for garbage in ["{oops", "[]", r#"{"type":"novelty","x":1}"#, r#"{"type":"response.done"}"#] {
                    if socket.send(Message::text(garbage)).await.is_err() {
                        return false;
                    }
                }
            }
            if let Some(object) = said.as_object_mut() {
                object.remove("caly_end");
            }
            if socket.send(Message::text(said.to_string())).await.is_err() {
                return false;
            }
        }
        true
    }

    fn refuse(&self, event: &Value, why: &str) -> Value {
        self.shared.count(|stats| {
            stats.refused += 1;
            why.clone_into(&mut stats.last_refusal);
        });
        json!({"type": "error", "event_id": "e", "error": {"type": "invalid_request_error", "code": why,
            "message": "secret words", "param": null, "event_id": event.get("event_id")}})
    }

    fn number(&mut self, what: &str) -> String {
        self.numbers += 1;
        format!("{what}_{}", self.numbers)
    }

    fn take(&mut self, text: &str) -> Said {
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        let known: &[&str] = match event["type"].as_str() {
            Some("session.update") => &["type", "event_id", "session"],
            Some("input_audio_buffer.append") => &["type", "event_id", "audio"],
            Some("input_audio_buffer.commit" | "input_audio_buffer.clear") => &["type", "event_id"],
            Some("conversation.item.create") => &["type", "event_id", "previous_item_id", "item"],
            Some("conversation.item.delete") => &["type", "event_id", "item_id"],
            Some("conversation.item.truncate") => &["type", "event_id", "item_id", "content_index", "audio_end_ms"],
            Some("response.create") => &["type", "event_id", "response"],
            Some("response.cancel") => &["type", "event_id", "response_id"],
            _ => return vec![self.refuse(&event, "unknown_event")],
        };
        if foreign_key(&event, known).is_some() {
            return vec![self.refuse(&event, "unknown_parameter")];
        }
        let done = match event["type"].as_str().unwrap_or_default() {
            "session.update" => self.session_update(&event),
            _ if !self.is_set_up => Err("session_not_set_up"),
            "input_audio_buffer.append" => self.append(&event),
            "input_audio_buffer.commit" => self.commit(),
            "input_audio_buffer.clear" => {
                self.appended = 0;
                Ok(vec![json!({"type": "input_audio_buffer.cleared", "event_id": "e"})])
            }
            "conversation.item.create" => self.create(&event),
            "conversation.item.delete" => self.delete(&event),
            "conversation.item.truncate" => self.truncate(&event),
            "response.create" => self.respond(&event),
            _ => self.cancel(&event),
        };
        done.unwrap_or_else(|why| vec![self.refuse(&event, why)])
    }

    fn session_update(&mut self, event: &Value) -> Result<Said, &'static str> {
        let session = &event["session"];
        let known = ["type", "output_modalities", "instructions", "max_output_tokens", "audio", "tools", "tool_choice"];
        let tools_fit = |tool: &Value| {
            tool["type"] == "function"
                && tool["parameters"].is_object()
                && foreign_key(tool, &["type", "name", "description", "parameters"]).is_none()
        };
        let tools = session["tools"].as_array().is_none_or(|tools| tools.iter().all(tools_fit));
        if session["type"] != "realtime" || foreign_key(session, &known).is_some() || !tools {
            return Err("invalid_session");
        }
        if let Some(RealtimeFault::NoSession(code)) = self.fault {
            let mut refusal = self.refuse(event, code);
            refusal["caly_end"] = true.into();
            return Ok(vec![refusal]);
        }
        if !self.is_set_up {
            let (input, output) = (&session["audio"]["input"], &session["audio"]["output"]);
            let pcm = json!({"type": "audio/pcm", "rate": 24000});
            let fits = input["format"] == pcm
                && output["format"] == pcm
                && input.get("turn_detection") == Some(&Value::Null)
                && input["transcription"]["model"].is_string()
                && output["voice"].is_string()
                && session["output_modalities"] == json!(["audio"]);
            if !fits {
                return Err("invalid_session");
            }
            self.is_set_up = true;
        }
        let mut whole = self.shared.session.lock().expect("no holder panics");
        if !whole.is_object() || session.get("audio").is_some() {
            *whole = session.clone();
        } else if let Some(changed) = session.as_object() {
            for (name, value) in changed {
                whole[name] = value.clone();
            }
        }
        Ok(vec![json!({"type": "session.updated", "event_id": "e", "session": *whole})])
    }

    fn append(&mut self, event: &Value) -> Result<Said, &'static str> {
        let audio = event["audio"].as_str().and_then(|audio| STANDARD.decode(audio).ok());
        let pcm = audio.filter(|pcm| pcm.len().is_multiple_of(2)).ok_or("invalid_audio")?;
        self.appended += pcm.len();
        self.shared.count(|stats| stats.bytes += pcm.len() as u64);
        Ok(Vec::new())
    }

    fn commit(&mut self) -> Result<Said, &'static str> {
        if self.appended < 100 * BYTES_PER_MS {
            return Err("input_audio_buffer_commit_empty");
        }
        self.appended = 0;
        self.shared.count(|stats| stats.commits += 1);
        let texts = &self.shared.transcripts;
        let text = texts.get(self.commits).or(texts.last()).cloned().unwrap_or_default();
        self.commits += 1;
        let (id, previous) = (self.number("item"), self.items.last().map(|item| item.id.clone()));
        self.items.push(Item { id: id.clone(), shown: format!("caller audio: {text}"), sound_ms: 0, is_answer: false });
        let mut said = vec![
            json!({"type": "input_audio_buffer.committed", "event_id": "e", "previous_item_id": previous, "item_id": id}),
            json!({"type": "conversation.item.added", "event_id": "e", "item": {"id": id, "type": "message", "role": "user"}}),
        ];
        if self.fault != Some(RealtimeFault::NoTranscript) {
            let half: String = text.chars().take(text.chars().count() / 2).collect();
            let kind = "conversation.item.input_audio_transcription";
            said.push(json!({"type": format!("{kind}.delta"), "event_id": "e", "item_id": id, "content_index": 0, "delta": half}));
            said.push(json!({"type": format!("{kind}.completed"), "event_id": "e", "item_id": id, "content_index": 0,
                "transcript": text, "usage": {"type": "tokens", "total_tokens": 1}}));
        }
        Ok(said)
    }

    fn create(&mut self, event: &Value) -> Result<Said, &'static str> {
        let item = &event["item"];
        let text = |kind: &str| {
            let content = item["content"].as_array().filter(|content| content.len() == 1)?;
            content[0]["text"].as_str().filter(|_| content[0]["type"] == kind)
        };
        let shown = match (item["type"].as_str(), item["role"].as_str()) {
            (Some("message"), Some("user")) => format!("caller: {}", text("input_text").ok_or("invalid_content")?),
            (Some("message"), Some("assistant")) => format!("agent: {}", text("output_text").ok_or("invalid_content")?),
            (Some("function_call"), None) => {
                format!("call {} {}", item["call_id"].as_str().ok_or("call_id")?, item["name"].as_str().ok_or("name")?)
            }
            (Some("function_call_output"), None) => {
                let known = self
                    .items
                    .iter()
                    .any(|held| held.shown.starts_with(&format!("call {} ", item["call_id"].as_str().unwrap_or("?"))));
                if !known {
                    return Err("call_id_not_found");
                }
                format!("result {}", item["output"].as_str().ok_or("output")?)
            }
            _ => return Err("invalid_item"),
        };
        let id = item["id"].as_str().filter(|id| id.len() <= 32).ok_or("invalid_id")?.to_owned();
        let at = match event["previous_item_id"].as_str() {
            Some("root") => 0,
            Some(previous) => self.items.iter().position(|item| item.id == previous).ok_or("previous_not_found")? + 1,
            None => self.items.len(),
        };
        if self.items.iter().any(|item| item.id == id) {
            return Err("id_taken");
        }
        self.items.insert(at, Item { id: id.clone(), shown, sound_ms: 0, is_answer: false });
        Ok(vec![json!({"type": "conversation.item.added", "event_id": "e", "item": {"id": id}})])
    }

    fn delete(&mut self, event: &Value) -> Result<Said, &'static str> {
        let id = event["item_id"].as_str().unwrap_or_default();
        let at = self.items.iter().position(|item| item.id == id).ok_or("item_delete_invalid_item_id")?;
        self.items.remove(at);
        Ok(vec![json!({"type": "conversation.item.deleted", "event_id": "e", "item_id": id})])
    }

    fn truncate(&mut self, event: &Value) -> Result<Said, &'static str> {
        let id = event["item_id"].as_str().unwrap_or_default();
        let end_ms = event["audio_end_ms"].as_u64().ok_or("audio_end_ms")? as usize;
        let item = self.items.iter_mut().find(|item| item.id == id).ok_or("item_truncate_invalid_item_id")?;
        if !item.is_answer || end_ms == 0 {
            return Err("unsupported_content_type");
        }
        if end_ms > item.sound_ms {
            return Err("invalid_value");
        }
        (item.sound_ms, item.shown) = (end_ms, format!("agent heard {end_ms} ms"));
        Ok(vec![json!({"type": "conversation.item.truncated", "event_id": "e", "item_id": id, "content_index": 0,
            "audio_end_ms": end_ms})])
    }

    fn respond(&mut self, event: &Value) -> Result<Said, &'static str> {
        let response = &event["response"];
        let known = ["conversation", "output_modalities", "instructions", "input", "tools", "tool_choice", "metadata"];
        if foreign_key(response, &known).is_some() {
            return Err("unknown_parameter");
        }
        let in_conversation = response["conversation"] != "none";
        if in_conversation && self.making.iter().any(|making| making.in_conversation) {
            return Err("conversation_already_has_active_response");
        }
        let reply = if in_conversation {
            *self.shared.conversation.lock().expect("no holder panics") =
                self.items.iter().map(|item| item.shown.clone()).collect();
            self.shared.count(|stats| stats.answers += 1);
            let replies = &self.shared.replies;
            let reply = replies.get(self.answers).or(replies.last()).cloned().unwrap_or(Reply::Words("Yes".into()));
            self.answers += 1;
            reply
        } else {
            self.shared.count(|stats| stats.said += 1);
            Reply::Words(response["input"][0]["content"][0]["text"].as_str().ok_or("input")?.to_owned())
        };
        let fault = self.shared.faults.take_if(RealtimeFault::is_of_answer);
        let (id, item, name) = (self.number("resp"), self.number("item"), response["metadata"].clone());
        let (words, function) = match reply {
            Reply::Words(text) => (text.split_whitespace().map(str::to_owned).collect(), None),
            Reply::Function(name, arguments) => (VecDeque::new(), Some((name, arguments))),
        };
        if fault == Some(RealtimeFault::Silent) {
            return Ok(Vec::new());
        }
        let mut said = vec![json!({"type": "response.created", "event_id": "e", "response":
            {"id": id, "object": "realtime.response", "status": "in_progress", "metadata": name, "output": []}})];
        if function.is_none() {
            said.push(
                json!({"type": "response.output_item.added", "event_id": "e", "response_id": id, "output_index": 0,
                "item": {"id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": []}}),
            );
            if in_conversation {
                self.items.push(Item { id: item.clone(), shown: "agent:".into(), sound_ms: 0, is_answer: true });
            }
        }
        let at = Instant::now();
        self.making.push(Making { response: id, name, in_conversation, item, words, function, fault, sent: 0, at });
        Ok(said)
    }

    fn cancel(&mut self, event: &Value) -> Result<Said, &'static str> {
        let id = event["response_id"].as_str().unwrap_or_default();
        let at = self.making.iter().position(|making| making.response == id).ok_or("response_cancel_not_active")?;
        self.shared.count(|stats| stats.cancelled += 1);
        let making = self.making.remove(at);
        Ok(vec![done(&making, "cancelled", json!({"type": "cancelled", "reason": "client_cancelled"}))])
    }

    /// The next word of an answer, or its end. `None` = the connection breaks.
    fn make(&mut self, n: usize) -> Option<Said> {
        let making = &mut self.making[n];
        match making.fault {
            Some(RealtimeFault::StallAfter(words)) if making.sent >= words => {
                making.at += Duration::from_secs(3_600);
                return Some(Vec::new());
            }
            Some(RealtimeFault::CutAfter(words)) if making.sent >= words => return None,
            Some(RealtimeFault::FailAfter(words, code)) if making.sent >= words => {
                let making = self.making.remove(n);
                let error = json!({"type": "failed", "error": {"type": "server_error", "code": code, "message": "secret words"}});
                return Some(vec![done(&making, "failed", error)]);
            }
            Some(RealtimeFault::Drip(ms)) => making.at += Duration::from_millis(ms),
            Some(RealtimeFault::Endless) => making.words.push_back("on".into()),
            Some(_) | None => {}
        }
        if let Some(word) = making.words.pop_front() {
            let (response, item) = (making.response.clone(), making.item.clone());
            let word = if making.sent == 0 { word } else { format!(" {word}") };
            making.sent += 1;
            if let Some(held) = self.items.iter_mut().find(|held| held.id == item) {
                held.sound_ms += WORD_MS;
                if !word.starts_with(' ') {
                    held.shown.push(' ');
                }
                held.shown.push_str(&word);
            }
            let sound: Vec<u8> =
                (0..WORD_MS * 24).flat_map(|n| (if n % 48 < 24 { 4_000_i16 } else { -4_000 }).to_le_bytes()).collect();
            let about = |kind: &str, delta: String| {
                json!({"type": kind, "event_id": "e", "response_id": response,
                "item_id": item, "output_index": 0, "content_index": 0, "delta": delta})
            };
            return Some(vec![
                about("response.output_audio_transcript.delta", word),
                about("response.output_audio.delta", STANDARD.encode(sound)),
            ]);
        }
        let making = self.making.remove(n);
        let mut said = Vec::new();
        if let Some((name, arguments)) = &making.function {
            let call = self.number("call");
            let item = |arguments: &str| {
                json!({"id": making.item, "type": "function_call", "call_id": call, "name": name,
                "arguments": arguments, "status": "completed"})
            };
            said.push(json!({"type": "response.output_item.added", "event_id": "e", "response_id": making.response,
                "output_index": 0, "item": item("")}));
            said.push(json!({"type": "response.output_item.done", "event_id": "e", "response_id": making.response,
                "output_index": 0, "item": item(arguments)}));
            let shown = format!("call {call} {name}");
            self.items.push(Item { id: making.item.clone(), shown, sound_ms: 0, is_answer: false });
        }
        said.push(done(&making, "completed", Value::Null));
        Some(said)
    }
}

fn done(making: &Making, status: &str, details: Value) -> Value {
    json!({"type": "response.done", "event_id": "e", "response": {"id": making.response, "object": "realtime.response",
        "status": status, "status_details": details, "metadata": making.name, "output": [],
        "usage": {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10, "input_token_details": {"cached_tokens": 5}}}})
}
