//! What the tests of all language models share.

use super::PATIENCE;
use providers::Error;
use providers::language_model::{Message, Prompt, Thought, ToolCall, ToolSpec, Usage};
use serde_json::json;
use testkit::vendors::{Answers, FakeVendors, ToolStyle, VendorSettings};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// What the default answer of the fakes is.
pub(crate) const ORDER: &str = "Sure, I have found your order now. It is on its way and will arrive this afternoon.";

pub(crate) fn prompt() -> Prompt {
    Prompt {
        system: "Be brief.".into(),
        messages: vec![
            Message::Caller("Hello".into()),
            Message::agent("Hi. How can I help?"),
            Message::Caller("Where is \"my\" order?".into()),
        ],
        temperature: 0.4,
        tools: Vec::new(),
    }
}

pub(crate) fn tool(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        description: "Finds an order.".into(),
        parameters: json!({"type": "object", "properties": {"id": {"type": "string"}}}),
    }
}

/// Fakes that ask for two tools.
pub(crate) async fn with_tools(style: ToolStyle) -> FakeVendors {
    let calls = vec![("look_up".to_owned(), r#"{"id": "नमस्ते"}"#.to_owned()), ("weather".to_owned(), "{}".to_owned())];
    let answers = Answers::Tools { text: "One moment.".to_owned(), calls, style };
    FakeVendors::start(VendorSettings { answers, ..VendorSettings::instant() }).await.expect("a free port")
}

pub(crate) fn tool_prompt() -> Prompt {
    Prompt { tools: vec![tool("look_up"), tool("weather")], ..prompt() }
}

/// The conversation after an answer that asked for tools, with what they gave back.
pub(crate) fn after(mut prompt: Prompt, heard: &Heard) -> Prompt {
    prompt.messages.push(Message::Agent { text: heard.text.clone(), tool_calls: heard.calls.clone() });
    // The caller speaks while the tools run, and the second one is done first.
    prompt.messages.push(Message::Caller("Are you there?".into()));
    for call in heard.calls.iter().rev() {
        let text = format!("{} is done", call.name);
        prompt.messages.push(Message::ToolResult { id: call.id.clone(), name: call.name.clone(), text });
    }
    prompt
}

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<Error>,
}

/// Everything up to the end, in the order that is promised: text, tools, counts, the end.
pub(crate) async fn hear(mut thoughts: Receiver<Result<Thought, Error>>) -> Heard {
    let mut heard = Heard::default();
    let reading = async {
        let mut done = false;
        while let Some(thought) = thoughts.recv().await {
            assert!(!done, "nothing may follow the end");
            match thought {
                Ok(Thought::Audio(_)) => panic!("a model of text spoke"),
                Ok(Thought::Text(more)) => {
                    assert!(heard.usage.is_none(), "text after the counts");
                    heard.text.push_str(&more);
                }
                Ok(Thought::ToolCall(call)) => {
                    assert!(heard.usage.is_none(), "a tool after the counts");
                    heard.calls.push(call);
                }
                Ok(Thought::Usage(usage)) => assert!(heard.usage.replace(usage).is_none(), "counted twice"),
                Ok(Thought::Done) => done = true,
                Err(error) => {
                    heard.error = Some(error);
                    done = true;
                }
            }
        }
        assert!(done, "the end must be told");
    };
    timeout(PATIENCE, reading).await.expect("an end");
    heard
}

/// The whole text, and the error if it ended with one.
pub(crate) async fn listen(thoughts: Receiver<Result<Thought, Error>>) -> (String, Option<Error>) {
    let heard = hear(thoughts).await;
    (heard.text, heard.error)
}
