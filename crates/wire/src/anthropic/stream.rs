//! The answer: events of a message and of its blocks. Thinking is not spoken and is skipped.

use crate::api_error::ApiError;
use crate::conversation::{AnswerEvent, AnswerReader, FinishReason, Piece, ToolCallLimits, ToolCalls, Usage};
use crate::sse::EventStream;
use serde_json::Value;

/// Reads the body of a streamed answer, in pieces of any size.
#[derive(Debug)]
pub struct MessageStream {
    events: EventStream,
    message: Message,
}

impl MessageStream {
    /// A fresh reader.
    #[must_use]
    pub fn new(limits: ToolCallLimits) -> Self {
        let message = Message { calls: ToolCalls::new(limits), input: Value::Null, counts: Counts::default() };
        Self { events: EventStream::new(), message }
    }
}

impl AnswerReader for MessageStream {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<AnswerEvent>) {
        let Self { events, message } = self;
        events.push(bytes, &mut |data| message.read(data, out));
    }

    fn finish(&mut self, out: &mut Vec<AnswerEvent>) {
        let Self { events, message } = self;
        events.finish(&mut |data| message.read(data, out));
    }

    fn tool_bytes(&self) -> usize {
        self.message.calls.bytes()
    }
}

/// Counts so far. Tokens from the cache and for it are not among `input`.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    input: u64,
    cache_read: u64,
    cache_written: u64,
    output: u64,
}

#[derive(Debug)]
struct Message {
    calls: ToolCalls,
    /// The input of a block that came whole with its beginning, as some services send it.
    input: Value,
    counts: Counts,
}

impl Message {
    fn read(&mut self, data: Option<&str>, out: &mut Vec<AnswerEvent>) {
        let Some(data) = data else { return out.push(AnswerEvent::Malformed) };
        if data.trim().is_empty() {
            return;
        }
        let Ok(event) = serde_json::from_str::<Value>(data) else { return out.push(AnswerEvent::Malformed) };
        let Some(kind) = event.get("type").and_then(Value::as_str) else { return out.push(AnswerEvent::Malformed) };
        match kind {
            "content_block_delta" => self.delta(&event, out),
            "content_block_start" => self.block_starts(&event, out),
            "content_block_stop" => self.block_stops(&event, out),
            "message_start" => {
                if let Some(usage) = event.get("message").and_then(|m| m.get("usage")) {
                    self.count(usage);
                }
            }
            "message_delta" => self.message_delta(&event, out),
            "message_stop" => {
                self.calls.complete(FinishReason::Other, out);
                out.push(AnswerEvent::Done);
            }
            "error" => out.push(AnswerEvent::Error(ApiError::from_value(event.get("error").unwrap_or(&event)))),
            // `ping`, and what is newer.
            _ => {}
        }
    }

    fn block_starts(&mut self, event: &Value, out: &mut Vec<AnswerEvent>) {
        let Some(block) = event.get("content_block") else { return };
        match text(block, "type") {
            "text" => push_text(text(block, "text"), out),
            "tool_use" => {
                self.input = block.get("input").cloned().unwrap_or(Value::Null);
                let piece =
                    Piece { index: index(event), id: text(block, "id"), name: text(block, "name"), arguments: "" };
                self.calls.push(piece, out);
            }
            // Thinking, and tools of the vendor's own.
            _ => {}
        }
    }

    fn delta(&mut self, event: &Value, out: &mut Vec<AnswerEvent>) {
        let Some(delta) = event.get("delta") else { return };
        match text(delta, "type") {
            "text_delta" => push_text(text(delta, "text"), out),
            "input_json_delta" if !text(delta, "partial_json").is_empty() => {
                self.input = Value::Null;
                let arguments = text(delta, "partial_json");
                self.calls.push(Piece { index: index(event), arguments, ..Piece::default() }, out);
            }
            // `thinking_delta`, `signature_delta`, `citations_delta`.
            _ => {}
        }
    }

    fn block_stops(&mut self, event: &Value, out: &mut Vec<AnswerEvent>) {
        let input = std::mem::take(&mut self.input);
        if input.as_object().is_some_and(|fields| !fields.is_empty()) {
            let arguments = input.to_string();
            self.calls.push(Piece { index: index(event), arguments: &arguments, ..Piece::default() }, out);
        }
    }

    fn message_delta(&mut self, event: &Value, out: &mut Vec<AnswerEvent>) {
        if let Some(usage) = event.get("usage") {
            self.count(usage);
        }
        let Some(reason) = event.get("delta").and_then(|d| d.get("stop_reason")).and_then(Value::as_str) else {
            return;
        };
        let reason = match reason {
            "end_turn" | "stop_sequence" => FinishReason::Stop,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "tool_use" => FinishReason::ToolCalls,
            "refusal" => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        };
        let Counts { input, cache_read, cache_written, output } = self.counts;
        out.push(AnswerEvent::Usage(Usage {
            prompt_tokens: input.saturating_add(cache_read).saturating_add(cache_written),
            cached_tokens: cache_read,
            completion_tokens: output,
        }));
        self.calls.complete(reason, out);
        out.push(AnswerEvent::Finished(reason));
    }

    /// Counts are of the whole message so far; one that is missing stays as it was.
    fn count(&mut self, usage: &Value) {
        let Counts { input, cache_read, cache_written, output } = &mut self.counts;
        for (name, count) in [
            ("input_tokens", input),
            ("cache_read_input_tokens", cache_read),
            ("cache_creation_input_tokens", cache_written),
            ("output_tokens", output),
        ] {
            if let Some(tokens) = usage.get(name).and_then(Value::as_u64) {
                *count = tokens;
            }
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn index(event: &Value) -> Option<u64> {
    event.get("index").and_then(Value::as_u64)
}

fn push_text(text: &str, out: &mut Vec<AnswerEvent>) {
    if !text.is_empty() {
        out.push(AnswerEvent::Text(text.to_owned()));
    }
}
