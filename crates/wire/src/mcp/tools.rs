//! Tools as a server lists them, and what they give back.

use super::cut;
use serde_json::{Map, Value};

/// Tools read of one page. A server with more sends its list in pages.
pub const PAGE_TOOLS_MAX: usize = 200;
/// Longest name of a tool; the specification's own advice.
pub const TOOL_NAME_BYTES_MAX: usize = 128;
/// Longest description that is kept. It is a stranger's text in our prompt.
pub const DESCRIPTION_BYTES_MAX: usize = 1_000;
/// Longest cursor that is sent back.
pub const CURSOR_BYTES_MAX: usize = 2_048;
/// Items of a result that are read.
pub const CONTENT_ITEMS_MAX: usize = 50;

/// A tool, as its server describes it. Nothing of it is to be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    /// Its name, unchanged.
    pub name: String,
    /// What it is for, cut; without control characters.
    pub description: String,
    /// JSON schema of its arguments.
    pub schema: Map<String, Value>,
    /// The server says that it changes nothing.
    pub reads_only: bool,
}

/// A page of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolPage {
    /// The tools on it; those that cannot be read are left out.
    pub tools: Vec<ToolDefinition>,
    /// Where the next one begins.
    pub next: Option<String>,
}

impl ToolPage {
    /// `None`: no list.
    #[must_use]
    pub fn read(result: &Map<String, Value>) -> Option<Self> {
        if !is_complete(result) {
            return None;
        }
        let tools = result.get("tools")?.as_array()?.iter().take(PAGE_TOOLS_MAX).filter_map(definition).collect();
        let next = result.get("nextCursor").and_then(Value::as_str);
        Some(Self { tools, next: next.filter(|next| next.len() <= CURSOR_BYTES_MAX).map(str::to_owned) })
    }
}

fn definition(tool: &Value) -> Option<ToolDefinition> {
    let text = |name: &str| tool.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let name = text("name").filter(|name| name.len() <= TOOL_NAME_BYTES_MAX)?;
    let schema = tool.get("inputSchema")?.as_object()?;
    let described = text("description").or_else(|| text("title")).unwrap_or(name);
    Some(ToolDefinition {
        name: name.to_owned(),
        description: cut(described, DESCRIPTION_BYTES_MAX),
        schema: schema.clone(),
        reads_only: tool.pointer("/annotations/readOnlyHint").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// Older revisions do not say it: then it is complete.
fn is_complete(result: &Map<String, Value>) -> bool {
    result.get("resultType").is_none_or(|kind| kind == "complete")
}

/// What a tool gave back.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolResult {
    /// It is done, or has failed by its own words.
    Done {
        /// All text of it.
        text: String,
        /// The same for programs, when there is one.
        structured: Option<Value>,
        /// The text says why it failed.
        is_error: bool,
    },
    /// It wants to ask somebody first.
    NeedsInput,
}

impl ToolResult {
    /// `None`: no result of a tool.
    #[must_use]
    pub fn read(result: &Map<String, Value>) -> Option<Self> {
        if result.get("resultType").is_some_and(|kind| kind == "input_required") {
            return Some(Self::NeedsInput);
        }
        let structured = result.get("structuredContent");
        let content = result.get("content").and_then(Value::as_array);
        if !is_complete(result) || (content.is_none() && structured.is_none()) {
            return None;
        }
        let texts: Vec<&str> = content.into_iter().flatten().take(CONTENT_ITEMS_MAX).filter_map(item).collect();
        let text = match structured {
            Some(structured) if texts.is_empty() => structured.to_string(),
            Some(_) | None => texts.join("\n"),
        };
        let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
        Some(Self::Done { text, structured: structured.cloned(), is_error })
    }
}

/// The text of an item; pictures and sounds have none for a telephone.
fn item(item: &Value) -> Option<&str> {
    match item.get("type")?.as_str()? {
        "text" => item.get("text")?.as_str(),
        "resource" => item.get("resource")?.get("text")?.as_str(),
        "resource_link" => item.get("description").or_else(|| item.get("name"))?.as_str(),
        _ => None,
    }
}
