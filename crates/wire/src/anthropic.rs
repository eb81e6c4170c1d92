//! Anthropic's Messages API as far as a phone call needs it: streamed answers with tools.
//!
//! Sources: platform.claude.com/docs/en/api/messages, …/build-with-claude/streaming, …/build-with-claude/prompt-caching,
//! …/api/errors, …/about-claude/models/migration-guide; github.com/anthropics/anthropic-sdk-python
//! src/anthropic/types/message_create_params.py, message_delta_usage.py, stop_reason.py. Other services speak it too, so
//! reading is lenient: what is unknown is skipped, what is missing gets a default, nothing panics.

mod request;
mod stream;

pub use request::{CALL_BEGINS, CALLER_SILENT, MessagesRequest};
pub use stream::MessageStream;

/// The `anthropic-version` header; without one every request is refused (platform.claude.com/docs/en/api/versioning).
pub const VERSION: &str = "2023-06-01";

#[cfg(test)]
mod tests;
