//! The request: instructions apart, messages that alternate and begin with the person, results of tools first.

use crate::conversation::{AskedTool, Tool, Turn, in_order};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};

/// Stands before an agent that speaks first: a conversation must begin with the person.
pub const CALL_BEGINS: &str = "(The call begins.)";
/// Stands after an agent that spoke last: the newer models refuse to go on with their own words.
pub const CALLER_SILENT: &str = "(The caller says nothing.)";
/// Highest temperature; other protocols go up to 2.
const TEMPERATURE_MAX: f64 = 1.0;

/// A messages request; always streamed.
#[derive(Clone, Debug)]
pub struct MessagesRequest<'a> {
    /// Model name.
    pub model: &'a str,
    /// Instructions; empty = none.
    pub system: &'a str,
    /// The conversation. It need not alternate, and results of tools need not stand where the protocol wants them.
    pub turns: Vec<Turn<'a>>,
    /// What the model may ask for; it decides by itself whether to.
    pub tools: Vec<Tool<'a>>,
    /// Longest answer; the protocol wants one.
    pub max_tokens: u32,
    /// Sampling temperature; held to 1. `None` for models that refuse it.
    pub temperature: Option<f64>,
    /// Keep tools and instructions in the vendor's cache for five minutes. Shorter ones than the model's minimum (512 to
    /// 4,096 tokens) are read as if this were not asked for.
    pub cache_system: bool,
}

impl MessagesRequest<'_> {
    /// The JSON body of `POST {base}/messages`.
    #[must_use]
    pub fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            max_tokens: u32,
            stream: bool,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            system: Vec<Value>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            tools: Vec<Value>,
            messages: Vec<Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            temperature: Option<f64>,
        }
        let body = Body {
            model: self.model,
            max_tokens: self.max_tokens,
            stream: true,
            system: self.system(),
            tools: self
                .tools
                .iter()
                .map(|t| json!({"name": t.name, "description": t.description, "input_schema": t.parameters}))
                .collect(),
            messages: messages(&self.turns),
            temperature: self.temperature.filter(|t| t.is_finite()).map(|t| t.clamp(0.0, TEMPERATURE_MAX)),
        };
        serde_json::to_string(&body).expect("strings, numbers and booleans always serialize")
    }

    /// The mark on the instructions covers the tools, which stand before them in what the cache compares.
    fn system(&self) -> Vec<Value> {
        if self.system.trim().is_empty() {
            return Vec::new();
        }
        let mut block = text_block(self.system);
        if self.cache_system {
            block["cache_control"] = json!({"type": "ephemeral"});
        }
        vec![block]
    }
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Alternating messages: neighbours of one side become one, blank texts are left out (they are refused).
fn messages(turns: &[Turn<'_>]) -> Vec<Value> {
    let mut sides: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut add = |role, blocks: Vec<Value>| match sides.last_mut() {
        _ if blocks.is_empty() => {}
        Some((last, content)) if *last == role => content.extend(blocks),
        Some(_) | None => sides.push((role, blocks)),
    };
    let text = |text: &str| (!text.trim().is_empty()).then(|| text_block(text.trim_end()));
    let mut ids = ToolIds::default();
    for turn in in_order(turns) {
        match turn {
            Turn::User(said) => add("user", text(said).into_iter().collect()),
            Turn::Assistant { text: said, tool_calls } => {
                let calls = tool_calls.iter().map(|call| tool_use(call, ids.begin(call.id)));
                add("assistant", text(said).into_iter().chain(calls).collect());
            }
            Turn::ToolResult { text, .. } => {
                add("user", vec![json!({"type": "tool_result", "tool_use_id": ids.end(), "content": text})]);
            }
        }
    }
    if sides.first().is_none_or(|(role, _)| *role == "assistant") {
        sides.insert(0, ("user", vec![text_block(CALL_BEGINS)]));
    }
    if sides.last().is_some_and(|(role, _)| *role == "assistant") {
        sides.push(("user", vec![text_block(CALLER_SILENT)]));
    }
    sides.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

fn tool_use(call: &AskedTool<'_>, id: String) -> Value {
    // Only an object is taken; a model that wrote something else is shown to have given nothing.
    let input = serde_json::from_str(call.arguments).ok().filter(Value::is_object).unwrap_or_else(|| json!({}));
    json!({"type": "tool_use", "id": id, "name": call.name, "input": input})
}

/// Ids as this protocol wants them: letters, digits, `_` and `-`, and none twice. Another vendor's may differ.
#[derive(Default)]
struct ToolIds {
    used: BTreeSet<String>,
    /// Calls whose results come next, in order.
    open: VecDeque<String>,
}

impl ToolIds {
    fn begin(&mut self, id: &str) -> String {
        let clean: String = id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let mut unique = if clean.is_empty() { "_".to_owned() } else { clean.clone() };
        while !self.used.insert(unique.clone()) {
            unique = format!("{clean}_{}", self.used.len());
        }
        self.open.push_back(unique.clone());
        unique
    }

    fn end(&mut self) -> String {
        self.open.pop_front().unwrap_or_default()
    }
}
