use super::*;
use crate::ApiError;
use crate::conversation::{
    AnswerEvent, AnswerReader, AskedTool, FinishReason, NO_RESULT, Tool, ToolCall, ToolCallLimits, Turn, Usage,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const LIMITS: ToolCallLimits = ToolCallLimits { calls: 8, arguments_bytes: 1_000 };

fn request<'a>() -> MessagesRequest<'a> {
    MessagesRequest {
        model: "claude-x",
        system: "Be brief.",
        turns: vec![Turn::User("Hello")],
        tools: Vec::new(),
        max_tokens: 500,
        temperature: None,
        cache_system: true,
    }
}

fn body(request: &MessagesRequest<'_>) -> Value {
    serde_json::from_str(&request.body()).expect("JSON")
}

fn said(text: &str) -> Turn<'_> {
    Turn::Assistant { text, tool_calls: Vec::new() }
}

#[test]
fn the_body_is_what_the_reference_shows() {
    let schema = json!({"type": "object", "properties": {"id": {"type": "string"}}});
    let tools = vec![Tool { name: "look_up", description: "Finds an order.", parameters: &schema }];
    assert_eq!(
        body(&MessagesRequest { tools, temperature: Some(1.7), ..request() }),
        json!({
            "model": "claude-x",
            "max_tokens": 500,
            "stream": true,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "look_up", "description": "Finds an order.", "input_schema": schema}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "temperature": 1.0,
        })
    );
    let bare = body(&MessagesRequest { system: " ", temperature: Some(f64::NAN), ..request() });
    assert_eq!(
        bare.as_object().expect("an object").keys().collect::<Vec<_>>(),
        ["max_tokens", "messages", "model", "stream"]
    );
    assert_eq!(
        body(&MessagesRequest { cache_system: false, ..request() })["system"],
        json!([
            {"type": "text", "text": "Be brief."}
        ])
    );
}

/// Messages in short: the role's first letter, and each block.
fn short(turns: Vec<Turn<'_>>) -> Vec<String> {
    let body = body(&MessagesRequest { turns, ..request() });
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let block = |block: &Value| match block["type"].as_str() {
        Some("text") => text(&block["text"]),
        Some("tool_use") => format!("use {} {}", text(&block["id"]), block["input"]),
        Some("tool_result") => format!("result {} {}", text(&block["tool_use_id"]), text(&block["content"])),
        _ => panic!("{block}"),
    };
    let message = |m: &Value| {
        let blocks: Vec<_> = m["content"].as_array().expect("blocks").iter().map(block).collect();
        format!("{}: {}", &text(&m["role"])[..1], blocks.join(" | "))
    };
    body["messages"].as_array().expect("messages").iter().map(message).collect()
}

#[test]
fn messages_alternate_and_begin_and_end_with_the_person() {
    let asks = |id: &'static str, arguments: &'static str| Turn::Assistant {
        text: "One moment. ",
        tool_calls: vec![AskedTool { id, name: "look_up", arguments }],
    };
    let began = format!("u: {CALL_BEGINS}");
    let silent = format!("u: {CALLER_SILENT}");
    for (name, turns, want) in [
        ("nothing yet", vec![], vec![began.as_str()]),
        ("the agent began", vec![said("Hi."), Turn::User("Hello")], vec![&began, "a: Hi.", "u: Hello"]),
        (
            "neighbours",
            vec![Turn::User("a"), Turn::User("b"), said("c"), said("d"), Turn::User("e")],
            vec!["u: a | b", "a: c | d", "u: e"],
        ),
        ("blank texts", vec![Turn::User("a"), said(" \n"), Turn::User(""), Turn::User("b")], vec!["u: a | b"]),
        ("the agent was last", vec![Turn::User("a"), said("b ")], vec!["u: a", "a: b", &silent]),
        (
            "a tool",
            vec![Turn::User("a"), asks("t:1", r#"{"id":7}"#), Turn::ToolResult { id: "t:1", text: "found" }],
            vec!["u: a", r#"a: One moment. | use t_1 {"id":7}"#, "u: result t_1 found"],
        ),
        (
            "the caller spoke before the result",
            vec![
                Turn::User("a"),
                asks("t1", "oops"),
                Turn::User("wait"),
                Turn::ToolResult { id: "t1", text: "found" },
                Turn::ToolResult { id: "nobody", text: "asked" },
            ],
            vec!["u: a", "a: One moment. | use t1 {}", "u: result t1 found | wait"],
        ),
        (
            "no result",
            vec![Turn::User("a"), asks("", "[1]"), Turn::User("wait")],
            vec!["u: a", "a: One moment. | use _ {}", &format!("u: result _ {NO_RESULT} | wait")],
        ),
        (
            "the same id twice",
            vec![
                asks("c", "{}"),
                Turn::ToolResult { id: "c", text: "1" },
                asks("c", "{}"),
                Turn::ToolResult { id: "c", text: "2" },
            ],
            vec![
                &began,
                "a: One moment. | use c {}",
                "u: result c 1",
                "a: One moment. | use c_1 {}",
                "u: result c_1 2",
            ],
        ),
    ] {
        assert_eq!(short(turns), want, "{name}");
    }
}

fn read(body: &str) -> Vec<AnswerEvent> {
    let (mut out, mut stream) = (Vec::new(), MessageStream::new(LIMITS));
    stream.push(body.as_bytes(), &mut out);
    stream.finish(&mut out);
    out
}

fn text(text: &str) -> AnswerEvent {
    AnswerEvent::Text(text.to_owned())
}

fn call(id: &str, name: &str, arguments: &str) -> AnswerEvent {
    AnswerEvent::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
}

/// As the streaming page shows it: text, then a tool; thinking before both.
const ANSWER: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-x","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":472,"cache_creation_input_tokens":20,"cache_read_input_tokens":1000,"output_tokens":2}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Eq"}}"#,
    "\n\nevent: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: ping\n",
    r#"data: {"type": "ping"}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Okay"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":", let's see."}}"#,
    "\n\nevent: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":1}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"look_up","input":{}}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"id\":"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":" \"7\"}"}}"#,
    "\n\nevent: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":2}"#,
    "\n\nevent: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}"#,
    "\n\nevent: message_stop\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n",
);

fn answer() -> Vec<AnswerEvent> {
    vec![
        text("Okay"),
        text(", let's see."),
        AnswerEvent::Usage(Usage { prompt_tokens: 1_492, cached_tokens: 1_000, completion_tokens: 89 }),
        call("toolu_1", "look_up", r#"{"id": "7"}"#),
        AnswerEvent::Finished(FinishReason::ToolCalls),
        AnswerEvent::Done,
    ]
}

#[test]
fn a_streamed_answer_is_read_cut_at_every_byte() {
    assert_eq!(read(ANSWER), answer());
    for at in 0..ANSWER.len() {
        let (mut out, mut stream) = (Vec::new(), MessageStream::new(LIMITS));
        stream.push(&ANSWER.as_bytes()[..at], &mut out);
        stream.push(&ANSWER.as_bytes()[at..], &mut out);
        assert_eq!(out, answer(), "cut at {at}");
    }
}

#[test]
fn what_differs_is_read() {
    let finished = |reason| vec![AnswerEvent::Usage(Usage::default()), AnswerEvent::Finished(reason)];
    let ends = |reason: &str| format!(r#"data: {{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
    for (reason, want) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("tool_use", FinishReason::ToolCalls),
        ("refusal", FinishReason::ContentFilter),
        ("pause_turn", FinishReason::Other),
    ] {
        assert_eq!(read(&ends(reason)), finished(want), "{reason}");
    }
    let begins = r#"data: {"type":"content_block_start","index":0,"content_block":"#;
    for (name, body, want) in [
        ("text at once", format!(r#"{begins}{{"type":"text","text":"Hi"}}}}"#), vec![text("Hi")]),
        (
            "a tool at once",
            format!(
                "{begins}{}}}\n\ndata: {}\n\ndata: {}\n\n",
                r#"{"type":"tool_use","id":"t","name":"n","input":{"a":1}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"message_stop"}"#
            ),
            vec![call("t", "n", r#"{"a":1}"#), AnswerEvent::Done],
        ),
        (
            "a tool without input",
            format!(
                "{begins}{}}}\n\ndata: {}\n\n",
                r#"{"type":"tool_use","id":"t","name":"n","input":{}}"#, r#"{"type":"message_stop"}"#
            ),
            vec![call("t", "n", "{}"), AnswerEvent::Done],
        ),
        ("unknown kinds", "data: {\"type\":\"fallback\"}\n\n".to_owned(), vec![]),
        ("not JSON", "data: {oops\n\n".to_owned(), vec![AnswerEvent::Malformed]),
        ("no type", "data: {\"a\":1}\n\n".to_owned(), vec![AnswerEvent::Malformed]),
        ("no delta", "data: {\"type\":\"content_block_delta\"}\n\n".to_owned(), vec![]),
    ] {
        assert_eq!(read(&body), want, "{name}");
    }
}

#[test]
fn an_error_in_the_stream_is_an_error() {
    let body = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let error = ApiError { kind: "overloaded_error".into(), code: String::new(), message: "Overloaded".into() };
    assert_eq!(read(body), [AnswerEvent::Error(error)]);
}

proptest! {
    #[test]
    fn any_json_is_survived(body in "(data: )?[\\[\\]{}\":,a-z0-9 \n]{0,200}") {
        read(&body);
    }

    #[test]
    fn any_conversation_alternates(kinds in prop::collection::vec((0_u8..5, "[ a-c]{0,2}"), 0..20)) {
        let turns: Vec<Turn<'_>> = kinds.iter().map(|(kind, word)| match kind {
            0 | 1 => Turn::User(word),
            2 => said(word),
            3 => Turn::ToolResult { id: word, text: "found" },
            _ => Turn::Assistant { text: word, tool_calls: vec![AskedTool { id: word, name: "n", arguments: "{}" }] },
        }).collect();
        let messages = short(turns);
        let ids: Vec<_> = messages.iter().filter_map(|m| m.split_once("use ")?.1.split(' ').next()).collect();
        prop_assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
        for (n, message) in messages.iter().enumerate() {
            prop_assert!(message.starts_with(if n % 2 == 0 { "u: " } else { "a: " }), "{messages:?}");
            if let Some((_, id)) = message.split_once("use ") {
                let id = id.split(' ').next().unwrap_or("");
                prop_assert!(messages[n + 1].starts_with(&format!("u: result {id} ")), "{messages:?}");
            }
        }
        prop_assert_eq!(messages.len() % 2, 1);
    }
}
