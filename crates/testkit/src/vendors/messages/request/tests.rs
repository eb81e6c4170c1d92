use super::*;
use serde_json::json;

fn refused(change: impl FnOnce(&mut Value)) -> Option<String> {
    let mut body = json!({
        "model": "m", "max_tokens": 10, "stream": true,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "look_up", "description": "", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "One moment."},
                {"type": "tool_use", "id": "t1", "name": "look_up", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "found"},
                {"type": "text", "text": "and?"},
            ]},
        ],
    });
    change(&mut body);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    read(&headers, body.to_string().as_bytes()).err()
}

fn remove(body: &mut Value, name: &str) {
    body.as_object_mut().expect("an object").remove(name);
}

#[test]
fn what_the_vendor_takes_is_taken() {
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|b| ["system", "tools"].into_iter().for_each(|name| remove(b, name))), None);
}

#[test]
fn requests_that_the_vendor_refuses_are_refused_with_its_words() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 12] = [
        (|b| remove(b, "model"), "model: Field required"),
        (|b| remove(b, "max_tokens"), "max_tokens: Field required"),
        (|b| b["max_tokens"] = json!(0), "max_tokens: Input should be greater"),
        (|b| b["max_completion_tokens"] = json!(9), "max_completion_tokens: Extra inputs are not permitted"),
        (|b| b["temperature"] = json!(1.1), "temperature: range: 0..1"),
        (|b| b["system"][0]["text"] = json!(""), "system: text content blocks must be non-empty"),
        (|b| b["system"][0]["cache_control"]["type"] = json!("forever"), "system.0.cache_control.type"),
        (|b| b["tools"][0]["name"] = json!("look up"), "tools.0.custom.name"),
        (|b| b["tools"][0]["parameters"] = json!({}), "tools.0.custom.parameters: Extra inputs"),
        (|b| remove(&mut b["tools"][0], "input_schema"), "tools.0.custom.input_schema.type"),
        (|b| b["messages"] = json!([]), "messages: at least one message is required"),
        (|b| b["messages"][0]["name"] = json!("me"), "messages.0.name: Extra inputs are not permitted"),
    ];
    for (change, want) in cases {
        let said = refused(change).unwrap_or_else(|| panic!("taken: {want}"));
        assert!(said.starts_with(want), "{said}");
    }
}

#[test]
fn conversations_that_the_vendor_refuses_are_refused_with_its_words() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 13] = [
        (|b| b["messages"][0]["role"] = json!("assistant"), "messages: first message must use the \"user\" role"),
        (|b| b["messages"][0]["role"] = json!("system"), "messages.0.role"),
        (|b| b["messages"][1] = json!({"role": "user", "content": "?"}), "messages: roles must alternate"),
        (|b| b["messages"][0]["content"] = json!(""), "messages.0: all messages must have non-empty content"),
        (|b| b["messages"][2]["content"][1]["text"] = json!(""), "messages: text content blocks must be non-empty"),
        (|b| b["messages"][2]["content"][1]["text"] = json!(" "), "messages: text content blocks must contain"),
        (|b| b["messages"][2]["content"] = json!("and?"), "messages.1: `tool_use` ids were found without"),
        (
            |b| b["messages"][2]["content"].as_array_mut().expect("blocks").reverse(),
            "messages.1: `tool_use` ids were found without",
        ),
        (
            |b| b["messages"][2]["content"][0]["tool_use_id"] = json!("t2"),
            "messages.2.content.0: unexpected `tool_use_id`",
        ),
        (|b| b["messages"][1]["content"][1]["id"] = json!("t:1"), "messages.1.content.1.tool_use.id"),
        (|b| b["messages"][1]["content"][1]["input"] = json!("{}"), "messages.1.content.1.tool_use.input"),
        (|b| b["messages"][2]["content"][1]["type"] = json!("tool_use"), "messages.2.content.1: Input tag"),
        (|b| drop(b["messages"].as_array_mut().expect("messages").drain(1..)), ""),
    ];
    for (change, want) in cases {
        let said = refused(change);
        assert_eq!(said.is_none(), want.is_empty(), "{want}");
        assert!(said.is_none_or(|said| said.starts_with(want)), "{want}");
    }
    let prefilled = refused(|b| {
        b["messages"].as_array_mut().expect("messages").push(json!({"role": "assistant", "content": "I"}));
    });
    assert!(prefilled.expect("refused").contains("prefill"));
    let twice = refused(|b| {
        let again = b["messages"].as_array().expect("messages")[1..].to_vec();
        b["messages"].as_array_mut().expect("messages").extend(again);
    });
    assert_eq!(twice.as_deref(), Some("messages: `tool_use` ids must be unique"));
}
