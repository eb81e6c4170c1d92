use super::*;
use serde_json::json;

fn refused(change: fn(&mut Value)) -> Option<String> {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}});
    let mut body = json!({
        "model": "m", "stream": true, "tool_choice": "auto",
        "tools": [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "user", "content": "and?"},
        ],
    });
    change(&mut body);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    read(&headers, body.to_string().as_bytes()).err()
}

#[test]
fn tools_that_the_vendor_refuses_are_refused_with_its_words() {
    assert_eq!(refused(|_| {}), None);
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 10] = [
        (|b| drop(b.as_object_mut().expect("an object").remove("tools")), "Invalid value for 'tool_choice'"),
        (|b| b["tools"] = json!([]), "Invalid 'tools': empty array"),
        (|b| b["tools"] = json!([{"name": "look_up"}]), "Missing required parameter: 'tools[0].type'"),
        (|b| b["tools"][0]["function"]["name"] = json!("look up"), "Invalid 'tools[0].function.name'"),
        (|b| b["tools"][0]["function"]["parameters"] = json!({}), "Invalid schema for function 'look_up'"),
        (|b| b["messages"][1]["tool_calls"] = json!([]), "Invalid 'messages[1].tool_calls': empty array"),
        (|b| b["messages"][1]["tool_calls"] = json!([{"id": "c1"}]), "Missing required parameter in 'messages[1]"),
        (|b| b["messages"][2]["tool_call_id"] = json!("c2"), "messages with role 'tool' must be a response"),
        (
            |b| drop(b["messages"].as_array_mut().expect("messages").remove(2)),
            "An assistant message with 'tool_calls' must be followed by tool messages",
        ),
        (|b| b["messages"][0]["tool"] = json!(1), "Unknown parameter: 'messages[0].tool'"),
    ];
    for (change, want) in cases {
        let said = refused(change).unwrap_or_else(|| panic!("taken: {want}"));
        assert!(said.starts_with(want), "{said}");
    }
}
