//! What of a chat request is taken, and what is refused with OpenAI's words.

use crate::vendors::answer::Asked;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

/// Parameters that the reference knows and a server may send.
const PARAMETERS: [&str; 24] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "n",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "store",
    "metadata",
    "prompt_cache_key",
];
/// Fields of a message.
const MESSAGE_FIELDS: [&str; 6] = ["role", "content", "name", "tool_calls", "tool_call_id", "refusal"];
/// Most tools.
const TOOLS_MAX: usize = 128;
/// Longest name of a tool.
const NAME_CHARS_MAX: usize = 64;

/// What of a request matters for its answer.
pub(super) struct Request {
    pub(super) model: String,
    pub(super) usage: bool,
    pub(super) asked: Asked,
}

pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Request, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    if !kind.starts_with("application/json") {
        return Err(format!("Unsupported content type '{kind}'"));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| format!("We could not parse the JSON body: {e}"))?;
    let object = value.as_object().ok_or("The body must be an object")?;
    if let Some(name) = object.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(format!("Unrecognized request argument supplied: {name}"));
    }
    let model = object.get("model").and_then(Value::as_str).filter(|m| !m.is_empty());
    let model = model.ok_or("you must provide a model parameter")?.to_owned();
    if object.get("stream") != Some(&Value::Bool(true)) {
        return Err("only streamed answers here".into());
    }
    if let Some(temperature) = object.get("temperature") {
        let fine = temperature.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t));
        if !fine {
            return Err("Invalid 'temperature': must be from 0 to 2".into());
        }
    }
    if object.contains_key("max_tokens") && object.contains_key("max_completion_tokens") {
        return Err("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.".into());
    }
    let messages = object.get("messages").and_then(Value::as_array).filter(|m| !m.is_empty());
    let mut asked = read_messages(messages.ok_or("Invalid 'messages': empty array")?)?;
    asked.tools = read_tools(object)?;
    let usage = object.get("stream_options").and_then(|o| o.get("include_usage")) == Some(&Value::Bool(true));
    Ok(Request { model, usage, asked })
}

fn read_tools(object: &Map<String, Value>) -> Result<Vec<String>, String> {
    let Some(tools) = object.get("tools") else {
        let choice = object.contains_key("tool_choice");
        let message =
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.".to_owned();
        return if choice { Err(message) } else { Ok(Vec::new()) };
    };
    let tools = tools.as_array().filter(|t| !t.is_empty()).ok_or("Invalid 'tools': empty array")?;
    if tools.len() > TOOLS_MAX {
        return Err(format!("Invalid 'tools': array too long. Expected at most {TOOLS_MAX}"));
    }
    let mut names = Vec::new();
    for (n, tool) in tools.iter().enumerate() {
        if tool.get("type").and_then(Value::as_str) != Some("function") {
            return Err(format!("Missing required parameter: 'tools[{n}].type'."));
        }
        let name = tool.pointer("/function/name").and_then(Value::as_str).unwrap_or("");
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(fine) {
            return Err(format!("Invalid 'tools[{n}].function.name': string does not match pattern."));
        }
        let schema = tool.pointer("/function/parameters");
        if schema.is_some_and(|s| s.get("type").and_then(Value::as_str) != Some("object")) {
            return Err(format!(
                "Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'."
            ));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn read_messages(messages: &[Value]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    // Calls that have no result yet.
    let mut waiting: Vec<String> = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let fields = message.as_object().ok_or_else(|| format!("Invalid type for 'messages[{n}]'"))?;
        if let Some(name) = fields.keys().find(|name| !MESSAGE_FIELDS.contains(&name.as_str())) {
            return Err(format!("Unknown parameter: 'messages[{n}].{name}'."));
        }
        let role = message.get("role").and_then(Value::as_str).unwrap_or("");
        let content = message.get("content").and_then(Value::as_str);
        if role != "tool" && !waiting.is_empty() {
            return Err(unanswered(&waiting));
        }
        match role {
            "system" | "developer" | "user" | "assistant" | "tool" => {}
            _ => return Err(format!("Invalid value: '{role}' for messages[{n}].role")),
        }
        if role == "assistant" {
            waiting = read_calls(message, n)?;
            asked.results.clear();
        }
        let Some(content) = content else {
            if role == "assistant" && !waiting.is_empty() {
                continue;
            }
            return Err(format!("Invalid value for 'content': expected a string, messages[{n}]"));
        };
        if role == "user" {
            asked.said.push(content.to_owned());
        } else if role == "tool" {
            let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or("");
            let Some(at) = waiting.iter().position(|w| w == id) else {
                return Err(
                    "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.".into()
                );
            };
            waiting.remove(at);
            asked.results.push(content.to_owned());
        }
    }
    if waiting.is_empty() { Ok(asked) } else { Err(unanswered(&waiting)) }
}

fn unanswered(ids: &[String]) -> String {
    let ids = ids.join(", ");
    format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {ids}"
    )
}

fn read_calls(message: &Value, n: usize) -> Result<Vec<String>, String> {
    let Some(calls) = message.get("tool_calls") else { return Ok(Vec::new()) };
    let calls = calls.as_array().filter(|c| !c.is_empty());
    let calls = calls.ok_or_else(|| format!("Invalid 'messages[{n}].tool_calls': empty array."))?;
    let mut ids = Vec::new();
    for (k, call) in calls.iter().enumerate() {
        let text = |path: &str| call.pointer(path).and_then(Value::as_str);
        let (Some(id), Some("function"), Some(_), Some(_)) =
            (text("/id"), text("/type"), text("/function/name"), text("/function/arguments"))
        else {
            return Err(format!("Missing required parameter in 'messages[{n}].tool_calls[{k}]'."));
        };
        ids.push(id.to_owned());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
