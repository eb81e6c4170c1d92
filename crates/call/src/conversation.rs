//! The conversation as a language model is told it: what was said and heard, and what tools gave.
//!
//! A tool's result never stands without the request it answers, nor a request without its result, whatever was
//! interrupted: both are written at once, when the result is there. (Vendors refuse a conversation with either alone.)

use crate::effect::{Message, ToolCall};
use crate::timing::MESSAGES_MAX;
use std::collections::VecDeque;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation {
    messages: VecDeque<Message>,
}

impl Conversation {
    /// The caller's turn.
    pub(crate) fn caller(&mut self, said: &str) {
        if said.is_empty() {
            return;
        }
        // Two parts of one side are one message: models expect the roles to alternate.
        if let Some(Message::Caller { text }) = self.messages.back_mut() {
            text.push(' ');
            text.push_str(said);
        } else {
            self.push(Message::Caller { text: said.to_owned() });
        }
    }

    /// What the caller heard of the agent.
    pub(crate) fn agent(&mut self, heard: &str) {
        if heard.is_empty() {
            return;
        }
        if let Some(Message::Agent { text, tool_calls }) = self.messages.back_mut()
            && tool_calls.is_empty()
        {
            text.push(' ');
            text.push_str(heard);
        } else {
            self.push(Message::Agent { text: heard.to_owned(), tool_calls: Vec::new() });
        }
    }

    /// Tools that ran, each with what it gave.
    pub(crate) fn tools(&mut self, done: &[(ToolCall, String)]) {
        if done.is_empty() {
            return;
        }
        let tool_calls = done.iter().map(|(call, _)| call.clone()).collect();
        self.push(Message::Agent { text: String::new(), tool_calls });
        for (call, text) in done {
            self.push(Message::ToolResult { id: call.id.clone(), name: call.name.clone(), text: text.clone() });
        }
    }

    /// All of it.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.iter().cloned().collect()
    }

    fn push(&mut self, message: Message) {
        self.messages.push_back(message);
        if self.messages.len() <= MESSAGES_MAX {
            return;
        }
        self.messages.pop_front();
        // What is left may not begin with the result of a request that was dropped.
        while let Some(Message::ToolResult { .. }) = self.messages.front() {
            self.messages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: u32) -> ToolCall {
        ToolCall { id: format!("c{id}"), name: "slots".into(), arguments: "{}".into() }
    }

    #[test]
    fn a_long_conversation_forgets_requests_with_their_results() {
        let mut conversation = Conversation::default();
        for turn in 0..200 {
            conversation.caller("And then?");
            conversation.tools(&[(call(turn), "1".into()), (call(turn + 1_000), "2".into())]);
            conversation.agent("Then this.");
            let messages = conversation.messages();
            assert!(messages.len() <= MESSAGES_MAX);
            let mut open: Vec<&str> = Vec::new();
            for message in &messages {
                match message {
                    Message::Agent { tool_calls, .. } => {
                        assert!(open.is_empty(), "results are missing");
                        open = tool_calls.iter().map(|call| call.id.as_str()).collect();
                    }
                    Message::ToolResult { id, .. } => {
                        assert_eq!(open.first(), Some(&id.as_str()), "a result without its request");
                        open.remove(0);
                    }
                    Message::Caller { .. } => assert!(open.is_empty(), "results are missing"),
                }
            }
            assert!(open.is_empty());
        }
    }

    #[test]
    fn parts_of_one_side_are_one_message_but_never_across_tools() {
        let mut conversation = Conversation::default();
        conversation.agent("Hello.");
        conversation.caller("Is Tuesday");
        conversation.caller("free?");
        conversation.tools(&[(call(1), "yes".into())]);
        conversation.agent("One moment.");
        conversation.agent("It is.");
        assert_eq!(
            conversation.messages(),
            [
                Message::Agent { text: "Hello.".into(), tool_calls: Vec::new() },
                Message::Caller { text: "Is Tuesday free?".into() },
                Message::Agent { text: String::new(), tool_calls: vec![call(1)] },
                Message::ToolResult { id: "c1".into(), name: "slots".into(), text: "yes".into() },
                Message::Agent { text: "One moment. It is.".into(), tool_calls: Vec::new() },
            ]
        );
    }
}
