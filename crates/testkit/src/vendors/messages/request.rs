//! What of a messages request is taken, and what is refused with Anthropic's words.

use crate::vendors::answer::Asked;
use http::{HeaderMap, header};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Parameters that the reference knows.
const PARAMETERS: [&str; 17] = [
    "model",
    "messages",
    "max_tokens",
    "system",
    "stream",
    "temperature",
    "top_k",
    "top_p",
    "tools",
    "tool_choice",
    "thinking",
    "stop_sequences",
    "metadata",
    "service_tier",
    "container",
    "cache_control",
    "output_config",
];
/// Longest name of a tool.
const NAME_CHARS_MAX: usize = 128;

/// What of a request matters for its answer.
pub(super) struct Request {
    pub(super) model: String,
    /// Instructions that are to be cached.
    pub(super) cached_system: Option<String>,
    pub(super) asked: Asked,
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Request, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !kind.starts_with("application/json") {
        return Err("content-type: must be application/json".into());
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("The request body is not valid JSON: {e}"))?;
    let object = value.as_object().ok_or("Input should be a valid dictionary")?;
    if let Some(name) = object.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(format!("{name}: Extra inputs are not permitted"));
    }
    let model = object.get("model").ok_or("model: Field required")?.as_str();
    let model = model.filter(|m| !m.is_empty()).ok_or("model: String should have at least 1 character")?.to_owned();
    let tokens = object.get("max_tokens").ok_or("max_tokens: Field required")?;
    if tokens.as_u64().is_none_or(|n| n == 0) {
        return Err("max_tokens: Input should be greater than or equal to 1".into());
    }
    if object.get("temperature").is_some_and(|t| !t.as_f64().is_some_and(|t| (0.0..=1.0).contains(&t))) {
        return Err("temperature: range: 0..1".into());
    }
    if object.get("stream") != Some(&Value::Bool(true)) {
        return Err("only streamed answers here".into());
    }
    let messages = object.get("messages").ok_or("messages: Field required")?;
    let messages = messages.as_array().ok_or("messages: Input should be a valid list")?;
    let mut asked = read_messages(messages)?;
    asked.tools = read_tools(object)?;
    Ok(Request { model, cached_system: read_system(object)?, asked })
}

fn read_system(object: &Map<String, Value>) -> Result<Option<String>, String> {
    let blocks = match object.get("system") {
        None | Some(Value::String(_)) => return Ok(None),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => return Err("system: Input should be a valid list".into()),
    };
    let mut cached = None;
    for (n, block) in blocks.iter().enumerate() {
        let text = text_of(block, &format!("system.{n}"), &["type", "text", "cache_control"])?;
        if text.is_empty() {
            return Err("system: text content blocks must be non-empty".into());
        }
        match block.get("cache_control").map(|c| c.get("type").and_then(Value::as_str)) {
            None => {}
            Some(Some("ephemeral")) => cached = Some(text),
            Some(_) => return Err(format!("system.{n}.cache_control.type: Input should be 'ephemeral'")),
        }
    }
    Ok(cached)
}

fn read_tools(object: &Map<String, Value>) -> Result<Vec<String>, String> {
    let Some(tools) = object.get("tools") else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for (n, tool) in tools.as_array().ok_or("tools: Input should be a valid list")?.iter().enumerate() {
        let fields = tool.as_object().ok_or_else(|| format!("tools.{n}: Input should be a valid dictionary"))?;
        let known = ["name", "description", "input_schema", "type", "cache_control", "strict"];
        if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("tools.{n}.custom.{name}: Extra inputs are not permitted"));
        }
        let name = tool.get("name").and_then(Value::as_str).unwrap_or("");
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !is_id(name) {
            return Err(format!("tools.{n}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"));
        }
        if tool.pointer("/input_schema/type").and_then(Value::as_str) != Some("object") {
            return Err(format!("tools.{n}.custom.input_schema.type: Input should be 'object'"));
        }
        if names.contains(&name.to_owned()) {
            return Err("tools: Tool names must be unique.".into());
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn text_of(block: &Value, at: &str, known: &[&str]) -> Result<String, String> {
    let fields = block.as_object().ok_or_else(|| format!("{at}: Input should be a valid dictionary"))?;
    if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("{at}.{name}: Extra inputs are not permitted"));
    }
    let text = block.get("text").and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("{at}.text: Field required"))?.to_owned())
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    asked: Asked,
    last_role: String,
    /// Calls of the message before this one.
    waiting: Vec<String>,
    ids: BTreeSet<String>,
}

fn read_messages(messages: &[Value]) -> Result<Asked, String> {
    let mut reading = Reading::default();
    if messages.is_empty() {
        return Err("messages: at least one message is required".into());
    }
    for (n, message) in messages.iter().enumerate() {
        let fields = message.as_object().ok_or_else(|| format!("messages.{n}: Input should be a valid dictionary"))?;
        if let Some(name) = fields.keys().find(|name| *name != "role" && *name != "content") {
            return Err(format!("messages.{n}.{name}: Extra inputs are not permitted"));
        }
        let role = message.get("role").and_then(Value::as_str).unwrap_or("");
        reading.turn_of(n, role)?;
        let blocks = match message.get("content") {
            Some(Value::Array(blocks)) if !blocks.is_empty() => blocks.clone(),
            Some(Value::String(text)) if !text.is_empty() => vec![serde_json::json!({"type":"text","text":text})],
            _ => return Err(format!("messages.{n}: all messages must have non-empty content")),
        };
        let waiting = std::mem::take(&mut reading.waiting);
        let answered = reading.blocks(n, role, &blocks, &waiting)?;
        let missing: Vec<&str> = waiting.iter().filter(|id| !answered.contains(*id)).map(String::as_str).collect();
        if !missing.is_empty() {
            return Err(unanswered(n - 1, &missing.join(", ")));
        }
    }
    if reading.last_role == "assistant" {
        return Err("This model does not support assistant message prefill. \
                    The conversation must end with a user message."
            .into());
    }
    Ok(reading.asked)
}

fn unanswered(n: usize, ids: &str) -> String {
    format!(
        "messages.{n}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. \
         Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )
}

impl Reading {
    fn turn_of(&mut self, n: usize, role: &str) -> Result<(), String> {
        match role {
            "user" | "assistant" => {}
            _ => return Err(format!("messages.{n}.role: Input should be 'user' or 'assistant'")),
        }
        if n == 0 && role != "user" {
            return Err("messages: first message must use the \"user\" role".into());
        }
        if self.last_role == role {
            return Err(format!(
                "messages: roles must alternate between \"user\" and \"assistant\", \
                 but found multiple \"{role}\" roles in a row"
            ));
        }
        role.clone_into(&mut self.last_role);
        if role == "assistant" {
            self.asked.results.clear();
        }
        Ok(())
    }

    /// Reads the blocks of a message; gives the ids of the results among them.
    fn blocks(&mut self, n: usize, role: &str, blocks: &[Value], waiting: &[String]) -> Result<Vec<String>, String> {
        let mut answered = Vec::new();
        let mut said = Vec::new();
        for (k, block) in blocks.iter().enumerate() {
            let at = format!("messages.{n}.content.{k}");
            match (role, block.get("type").and_then(Value::as_str).unwrap_or("")) {
                (_, "text") => {
                    let text = text_of(block, &at, &["type", "text", "cache_control"])?;
                    if text.is_empty() {
                        return Err("messages: text content blocks must be non-empty".into());
                    }
                    if text.trim().is_empty() {
                        return Err("messages: text content blocks must contain non-whitespace text".into());
                    }
                    said.push(text);
                }
                ("assistant", "tool_use") => self.tool_use(block, &at)?,
                ("user", "tool_result") => {
                    let id = block.get("tool_use_id").and_then(Value::as_str).unwrap_or("").to_owned();
                    if !waiting.contains(&id) {
                        return Err(format!(
                            "{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` \
                             block must have a corresponding `tool_use` block in the previous message."
                        ));
                    }
                    if !said.is_empty() {
                        return Err(unanswered(n - 1, &id));
                    }
                    let content = block.get("content").and_then(Value::as_str).unwrap_or("");
                    self.asked.results.push(content.to_owned());
                    answered.push(id);
                }
                (_, kind) => return Err(format!("{at}: Input tag '{kind}' found using 'type' is not expected")),
            }
        }
        if role == "user" && !said.is_empty() {
            self.asked.said.push(said.join(" "));
        }
        Ok(answered)
    }

    fn tool_use(&mut self, block: &Value, at: &str) -> Result<(), String> {
        let id = block.get("id").and_then(Value::as_str).unwrap_or("");
        if !is_id(id) {
            return Err(format!("{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"));
        }
        if !block.get("input").is_some_and(Value::is_object) {
            return Err(format!("{at}.tool_use.input: Input should be a valid dictionary"));
        }
        if !self.ids.insert(id.to_owned()) {
            return Err("messages: `tool_use` ids must be unique".into());
        }
        self.waiting.push(id.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
