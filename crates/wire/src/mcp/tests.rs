//! Messages as the specification prints them.

use super::*;
use proptest::prelude::*;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is no object"),
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn requests_of_both_eras_are_as_the_specification_prints_them() {
    let arguments = object(json!({"location": "Seattle, WA"}));
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "caly", "version": env!("CARGO_PKG_VERSION")},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "get_weather", "arguments": {"location": "Seattle, WA"}});
    let mut with_meta = params.clone();
    with_meta["_meta"] = meta.clone();
    for (sent, want) in [
        (
            call(1, "get_weather", &arguments, Era::Stateless),
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": with_meta}),
        ),
        (
            call(2, "get_weather", &arguments, Era::WithSession),
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}),
        ),
        (
            list(3, Some("page-2"), Era::WithSession),
            json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {"cursor": "page-2"}}),
        ),
        (
            list(4, None, Era::Stateless),
            json!({"jsonrpc": "2.0", "id": 4, "method": "tools/list", "params": {"_meta": meta}}),
        ),
        (
            initialize(5, WITH_SESSION[0]),
            json!({"jsonrpc": "2.0", "id": 5, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "caly", "version": env!("CARGO_PKG_VERSION")}}}),
        ),
        (initialized(), json!({"jsonrpc": "2.0", "method": "notifications/initialized"})),
        (
            cancelled(6),
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 6, "reason": "timed out"}}),
        ),
        (answer(&json!("a"), "ping"), json!({"jsonrpc": "2.0", "id": "a", "result": {}})),
        (
            answer(&json!(7), "sampling/createMessage"),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "this client has no such method"}}),
        ),
    ] {
        assert_eq!(parsed(&sent), want);
    }
}

#[test]
fn each_kind_of_message_is_told_apart() {
    let error = |code, supported: &[&str]| RpcError {
        code,
        message: "no".to_owned(),
        supported: supported.iter().map(|text| (*text).to_owned()).collect(),
    };
    for (text, want) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#,
            Some(vec![Message::Result { id: 1, result: object(json!({"a": 1})) }]),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":["2025-11-25"]}}}"#,
            Some(vec![Message::Error { id: Some(1), error: error(-32_022, &["2025-11-25"]) }]),
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#,
            Some(vec![Message::Error { id: None, error: error(-32_700, &[]) }]),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#,
            Some(vec![Message::Request { id: json!("x"), method: "ping".to_owned() }]),
        ),
        (r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#, Some(vec![Message::Notification])),
        (
            r#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":3,"result":{}}]"#,
            Some(vec![Message::Notification, Message::Result { id: 3, result: Map::new() }]),
        ),
        (r#"{"id":1,"result":{}}"#, None),
        (r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, None),
        (r#"{"jsonrpc":"2.0","id":"other","result":{}}"#, None),
        (r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, None),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#, None),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, None),
        (r#"{"jsonrpc":"2.0","id":1}"#, None),
        (r#""text""#, None),
        ("<html>", None),
        ("", None),
    ] {
        assert_eq!(read(text), want, "{text}");
    }
}

#[test]
fn the_answer_to_initialize_names_a_revision_that_is_known() {
    for (result, want) in [
        (
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}}}),
            Some(Initialized { version: "2025-06-18", has_tools: true }),
        ),
        (
            json!({"protocolVersion": "2025-11-25", "capabilities": {}}),
            Some(Initialized { version: "2025-11-25", has_tools: false }),
        ),
        (json!({"protocolVersion": "1.0.0", "capabilities": {"tools": {}}}), None),
        (json!({"protocolVersion": "2025-11-25"}), None),
        (json!({}), None),
    ] {
        assert_eq!(Initialized::read(&object(result.clone())), want, "{result}");
    }
    for (id, fine) in [("1868a90c", true), ("", false), ("a b", false), ("a\nb", false), ("é", false)] {
        assert_eq!(is_session_id(id), fine, "{id}");
    }
    assert!(!is_session_id(&"x".repeat(513)));
}

#[test]
fn a_page_holds_what_can_be_read_of_it() {
    let page = ToolPage::read(&object(json!({
        "resultType": "complete",
        "tools": [
            {"name": "a", "description": "x".repeat(5_000), "inputSchema": {"type": "object"}},
            {"name": "b", "title": "B\u{7}ig", "inputSchema": {}, "annotations": {"readOnlyHint": true}},
            {"name": "c", "inputSchema": {"type": "object"}},
            {"name": "no schema"},
            {"name": "null schema", "inputSchema": null},
            {"name": "", "inputSchema": {}},
            {"name": "n".repeat(129), "inputSchema": {}},
            7,
        ],
        "nextCursor": "next", "ttlMs": 300_000,
    })))
    .expect("a page");
    let names: Vec<(&str, usize, bool)> =
        page.tools.iter().map(|t| (t.name.as_str(), t.description.len(), t.reads_only)).collect();
    assert_eq!(names, [("a", DESCRIPTION_BYTES_MAX, false), ("b", 3, true), ("c", 1, false)]);
    assert_eq!(page.next.as_deref(), Some("next"));
    for none in [json!({}), json!({"tools": 1}), json!({"tools": [], "resultType": "input_required"})] {
        assert_eq!(ToolPage::read(&object(none.clone())), None, "{none}");
    }
    let many: Vec<Value> = (0..5_000).map(|n| json!({"name": n.to_string(), "inputSchema": {}})).collect();
    let many = ToolPage::read(&object(json!({"tools": many, "nextCursor": "c".repeat(5_000)}))).expect("a page");
    assert_eq!((many.tools.len(), many.next), (PAGE_TOOLS_MAX, None));
}

#[test]
fn results_are_read_whatever_they_are_made_of() {
    let done = |text: &str, structured: Option<Value>, is_error| {
        Some(ToolResult::Done { text: text.to_owned(), structured, is_error })
    };
    for (result, want) in [
        (json!({"content": [{"type": "text", "text": "72"}], "isError": false}), done("72", None, false)),
        (
            json!({"content": [{"type": "text", "text": "a"}, {"type": "image", "data": "x"}, {"type": "text", "text": "b"},
                {"type": "resource", "resource": {"uri": "file:///x", "text": "c"}},
                {"type": "resource", "resource": {"uri": "file:///x", "blob": "AAAA"}},
                {"type": "resource_link", "uri": "file:///x", "name": "d"}, {"type": "new"}, 7]}),
            done("a\nb\nc\nd", None, false),
        ),
        (
            json!({"content": [], "structuredContent": {"t": 22.5}}),
            done(r#"{"t":22.5}"#, Some(json!({"t": 22.5})), false),
        ),
        (
            json!({"content": [{"type": "text", "text": "warm"}], "structuredContent": [1]}),
            done("warm", Some(json!([1])), false),
        ),
        (
            json!({"resultType": "complete", "content": [{"type": "text", "text": "no"}], "isError": true}),
            done("no", None, true),
        ),
        (json!({"content": []}), done("", None, false)),
        (json!({"resultType": "input_required", "inputRequests": {}}), Some(ToolResult::NeedsInput)),
        (json!({"resultType": "task", "content": []}), None),
        (json!({}), None),
    ] {
        assert_eq!(ToolResult::read(&object(result.clone())), want, "{result}");
    }
}

#[test]
fn header_values_are_encoded_as_the_specification_prints_them() {
    for (text, want) in [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("", ""),
    ] {
        assert_eq!(header_value(text), want, "{text}");
    }
}

#[test]
fn arguments_are_repeated_where_the_schema_says() {
    let schema = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        "flag": {"type": "boolean", "x-mcp-header": "Flag"},
        "plain": {"type": "string", "default": {"x-mcp-header": "data"}},
    }});
    let found = mirrored(&schema).expect("fine");
    let values = |arguments: Value| -> Vec<(String, String)> {
        let arguments = object(arguments);
        found.iter().filter_map(|one| Some((one.header.clone(), one.value(&arguments)?))).collect()
    };
    let mut all = values(json!({"region": "us\r\nHost: x", "deep": {"n": -7}, "flag": true}));
    all.sort();
    assert_eq!(
        all,
        [
            ("mcp-param-flag".to_owned(), "true".to_owned()),
            ("mcp-param-n".to_owned(), "-7".to_owned()),
            ("mcp-param-region".to_owned(), "=?base64?dXMNCkhvc3Q6IHg=?=".to_owned()),
        ]
    );
    assert_eq!(values(json!({"region": null, "deep": 4})), []);
    assert_eq!(values(json!({"deep": {"n": 9_007_199_254_740_993_i64}})), []);
    let property = |property: Value| json!({"properties": {"a": property}});
    for (schema, want) in [
        (property(json!({"type": "string", "x-mcp-header": ""})), HeaderFault::Name),
        (property(json!({"type": "string", "x-mcp-header": "a b"})), HeaderFault::Name),
        (property(json!({"type": "string", "x-mcp-header": "a\r\nb"})), HeaderFault::Name),
        (property(json!({"type": "string", "x-mcp-header": 7})), HeaderFault::Name),
        (property(json!({"type": "number", "x-mcp-header": "A"})), HeaderFault::Kind),
        (property(json!({"x-mcp-header": "A"})), HeaderFault::Kind),
        (property(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}})), HeaderFault::Place),
        (json!({"type": "string", "x-mcp-header": "A"}), HeaderFault::Place),
        (json!({"anyOf": [property(json!({"type": "string", "x-mcp-header": "A"}))]}), HeaderFault::Place),
        (
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}}),
            HeaderFault::Twice,
        ),
    ] {
        assert_eq!(mirrored(&schema), Err(want), "{schema}");
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let _ = read(&text);
        let value = header_value(&text);
        prop_assert!(value.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\t')));
    }

    #[test]
    fn any_json_is_survived(key in "[a-zA-Z]{1,8}", text in ".{0,20}", number in any::<i64>()) {
        for name in ["tools", "content", "structuredContent", "resultType", "nextCursor", key.as_str()] {
            for value in [json!(text), json!(number), json!([text]), json!([{"type": text}]), json!(null), json!({})] {
                let result = object(json!({name: value}));
                let _ = (ToolPage::read(&result), ToolResult::read(&result), Initialized::read(&result));
            }
        }
    }
}
