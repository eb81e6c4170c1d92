//! What the protocols of language models have in common: the turns of a conversation, tools, and what a streamed
//! answer brings.
//!
//! Both protocols we speak refuse a conversation in which a tool call has no result right behind it (OpenAI: "An
//! assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'"; Anthropic:
//! "`tool_use` ids were found without `tool_result` blocks immediately after"), and on the phone a caller speaks while
//! a tool still runs. [`in_order`] puts it right.

mod tool_calls;

pub use tool_calls::ToolCallLimits;
pub(crate) use tool_calls::{Piece, ToolCalls};

use crate::api_error::ApiError;
use serde_json::Value;

/// What stands for the result of a tool call that has none: the caller spoke before it came.
pub const NO_RESULT: &str = "No result: it was interrupted.";

/// A tool that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The vendor's name for this call.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// A tool call in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedTool<'a> {
    /// The vendor's name for this call.
    pub id: &'a str,
    /// Which tool.
    pub name: &'a str,
    /// JSON, as the model wrote it.
    pub arguments: &'a str,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn<'a> {
    /// The person.
    User(&'a str),
    /// The model.
    Assistant {
        /// What it said; may be empty.
        text: &'a str,
        /// What it asked for.
        tool_calls: Vec<AskedTool<'a>>,
    },
    /// What a tool gave back.
    ToolResult {
        /// Of which call.
        id: &'a str,
        /// What it says.
        text: &'a str,
    },
}

/// A tool that is offered.
#[derive(Clone, Copy, Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// JSON schema of its arguments.
    pub parameters: &'a Value,
}

/// Puts every tool result right behind its call: a result that came later is moved, one that never came is replaced by
/// [`NO_RESULT`], one without a call is dropped.
#[must_use]
pub fn in_order<'a>(turns: &[Turn<'a>]) -> Vec<Turn<'a>> {
    let mut ordered = Vec::with_capacity(turns.len());
    for (at, turn) in turns.iter().enumerate() {
        match turn {
            Turn::User(_) => ordered.push(turn.clone()),
            Turn::Assistant { tool_calls, .. } => {
                ordered.push(turn.clone());
                for call in tool_calls {
                    let text = result_of(call.id, &turns[at + 1..]).unwrap_or(NO_RESULT);
                    ordered.push(Turn::ToolResult { id: call.id, text });
                }
            }
            Turn::ToolResult { .. } => {}
        }
    }
    ordered
}

/// The result of a call in what came after it, up to where its name is used again.
fn result_of<'a>(call: &str, after: &[Turn<'a>]) -> Option<&'a str> {
    for turn in after {
        match turn {
            Turn::ToolResult { id, text } if *id == call => return Some(text),
            Turn::Assistant { tool_calls, .. } if tool_calls.iter().any(|c| c.id == call) => return None,
            Turn::ToolResult { .. } | Turn::Assistant { .. } | Turn::User(_) => {}
        }
    }
    None
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It was finished.
    Stop,
    /// The longest answer was reached.
    Length,
    /// The vendor's filter cut it.
    ContentFilter,
    /// It wants a tool.
    ToolCalls,
    /// Something newer.
    Other,
}

/// Token counts of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read, from the vendor's cache or not.
    pub prompt_tokens: u64,
    /// Of these from the vendor's cache.
    pub cached_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
}

/// What one event of a streamed answer means.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerEvent {
    /// More of the answer.
    Text(String),
    /// A tool is asked for; complete.
    ToolCall(ToolCall),
    /// The answer is complete. Token counts may follow.
    Finished(FinishReason),
    /// Token counts so far; the last one counts.
    Usage(Usage),
    /// Nothing follows.
    Done,
    /// The vendor failed in the middle.
    Error(ApiError),
    /// More tool calls, or longer arguments, than the limits allow.
    TooMuch,
    /// An event that is not JSON or was too long. One may be skipped; a server that sends many is broken.
    Malformed,
}

/// Reads the body of a streamed answer, in pieces of any size.
pub trait AnswerReader {
    /// Takes the next bytes of the body and adds what they complete.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<AnswerEvent>);
    /// The body is over: an event without its closing empty line still counts (some servers leave it out).
    fn finish(&mut self, out: &mut Vec<AnswerEvent>);
    /// Bytes of tool calls read so far: the answer moves on although no text comes.
    fn tool_bytes(&self) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks<'a>(ids: &[&'a str]) -> Turn<'a> {
        let tool_calls = ids.iter().map(|id| AskedTool { id, name: "look", arguments: "{}" }).collect();
        Turn::Assistant { text: "", tool_calls }
    }

    fn result<'a>(id: &'a str, text: &'a str) -> Turn<'a> {
        Turn::ToolResult { id, text }
    }

    #[test]
    fn results_stand_right_behind_their_calls() {
        let hello = Turn::User("hello");
        let wait = Turn::User("wait");
        for (name, given, want) in [
            ("no tools", vec![hello.clone()], vec![hello.clone()]),
            ("in order", vec![asks(&["a"]), result("a", "1")], vec![asks(&["a"]), result("a", "1")]),
            (
                "the caller spoke first",
                vec![asks(&["a"]), wait.clone(), result("a", "1")],
                vec![asks(&["a"]), result("a", "1"), wait.clone()],
            ),
            (
                "results in another order",
                vec![asks(&["a", "b"]), result("b", "2"), result("a", "1")],
                vec![asks(&["a", "b"]), result("a", "1"), result("b", "2")],
            ),
            (
                "never came",
                vec![asks(&["a", "b"]), result("b", "2"), wait.clone()],
                vec![asks(&["a", "b"]), result("a", NO_RESULT), result("b", "2"), wait.clone()],
            ),
            ("never asked", vec![hello.clone(), result("x", "1")], vec![hello.clone()]),
            (
                "came twice",
                vec![asks(&["a"]), result("a", "1"), result("a", "2")],
                vec![asks(&["a"]), result("a", "1")],
            ),
            (
                "the same name again",
                vec![asks(&["a"]), wait.clone(), asks(&["a"]), result("a", "2")],
                vec![asks(&["a"]), result("a", NO_RESULT), wait.clone(), asks(&["a"]), result("a", "2")],
            ),
        ] {
            assert_eq!(in_order(&given), want, "{name}");
            assert_eq!(in_order(&want), want, "{name}, once more");
        }
    }
}
