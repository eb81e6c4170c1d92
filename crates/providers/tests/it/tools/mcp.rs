//! Servers of tools, of each revision.

use super::{KEY, clients, key_of, run, toolbox};
use providers::tools::{ToolClients, ToolError, Toolbox};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::peers::mcp::{FakeMcp, McpCall, McpEra, McpFault, McpMode, McpOptions};

const ERAS: [McpEra; 6] = [
    McpEra::Stateless,
    McpEra::Session("2025-11-25"),
    McpEra::Session("2025-03-26"),
    McpEra::Session("2024-11-05"),
    McpEra::SessionWithoutId("2025-06-18"),
    McpEra::Names("2025-06-18"),
];

fn server(server: &FakeMcp, more: Value) -> Value {
    let mut config = json!({"kind": "mcp", "url": server.url(), "timeout_ms": 1_000});
    for (name, value) in more.as_object().expect("an object") {
        config[name] = value.clone();
    }
    json!({"crm": config})
}

async fn prepared(clients: &ToolClients, fake: &FakeMcp, more: Value) -> Toolbox {
    let tools = toolbox(clients, server(fake, more));
    tools.prepare().await;
    tools
}

fn names(tools: &Toolbox) -> Vec<String> {
    tools.specs().into_iter().map(|spec| spec.name).collect()
}

/// Runs the tool that reads, whatever happens to it before.
async fn find(tools: &Toolbox) -> Result<String, ToolError> {
    run(tools, "crm_find", json!({"phone": "1"})).await.map(|output| output.text)
}

#[tokio::test]
async fn tools_are_listed_and_run_in_every_revision_and_mode() {
    for era in ERAS {
        for mode in [McpMode::Json, McpMode::Events, McpMode::Asking] {
            let mut options = McpOptions::new(era, mode);
            options.key = Some(KEY);
            let fake = FakeMcp::start(options).await;
            let tools = prepared(&clients(), &fake, json!({"key": key_of(&fake.url())})).await;
            assert_eq!(
                (names(&tools), tools.faults()),
                (vec!["crm_find".to_owned(), "crm_save_note".to_owned()], vec![]),
                "{era:?} {mode:?}"
            );
            let arguments = json!({"text": "नमस्ते", "region": "south\r\nindia"});
            let output = run(&tools, "crm_save_note", arguments.clone()).await.expect("saved");
            assert_eq!(output.text, "fine", "{era:?} {mode:?}");
            assert_eq!(fake.calls(), [McpCall { name: "save.note".to_owned(), arguments }]);
            tools.close().await;
            assert_eq!(fake.violations(), Vec::<String>::new(), "{era:?} {mode:?}");
            let sessions = match era {
                McpEra::Stateless => (0, 0),
                McpEra::SessionWithoutId(_) => (1, 0),
                McpEra::Session(_) | McpEra::Names(_) => (1, 1),
            };
            assert_eq!(fake.sessions(), sessions, "{era:?} {mode:?}");
            if mode == McpMode::Asking && era != McpEra::Stateless {
                let answers = fake.answers();
                assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": "ask-1", "result": {}}));
                assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&json!(7), &json!(-32601)));
            }
        }
    }
}

#[tokio::test]
async fn the_era_is_found_once_for_all_calls() {
    let fake = FakeMcp::start(McpOptions::new(McpEra::Session("2025-11-25"), McpMode::Json)).await;
    let clients = clients();
    for _ in 0..2 {
        prepared(&clients, &fake, json!({})).await.close().await;
    }
    let methods = fake.methods();
    let lists = methods.iter().filter(|method| *method == "tools/list").count();
    assert_eq!((methods[0].as_str(), lists), ("tools/list", 1 + 2 * 2), "one try in the new way: {methods:?}");
    assert_eq!(fake.sessions(), (2, 2));
}

#[tokio::test]
async fn a_dropped_toolbox_ends_its_session() {
    let fake = FakeMcp::start(McpOptions::new(McpEra::Session("2025-11-25"), McpMode::Json)).await;
    drop(prepared(&clients(), &fake, json!({})).await);
    let ended = async {
        while fake.sessions() != (1, 1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("ended");
}

#[tokio::test]
async fn a_lost_session_is_begun_again_once() {
    for (lost, works) in [(1, true), (2, false)] {
        let fake = FakeMcp::start(McpOptions::new(McpEra::Session("2025-11-25"), McpMode::Json)).await;
        let tools = prepared(&clients(), &fake, json!({})).await;
        fake.set_fault(Some(McpFault::LosesSession(lost)));
        let outcome = find(&tools).await;
        assert_eq!(
            (outcome.is_ok(), fake.sessions().0, fake.calls().len()),
            (works, 2, usize::from(works)),
            "{outcome:?}"
        );
        assert_eq!(fake.violations(), Vec::<String>::new());
        // And the next one works in any case: a lost session has done nothing.
        find(&tools).await.expect("found");
    }
}

#[tokio::test]
async fn two_at_once_begin_one_session() {
    let fake = FakeMcp::start(McpOptions::new(McpEra::Session("2025-11-25"), McpMode::Json)).await;
    let tools = prepared(&clients(), &fake, json!({})).await;
    fake.set_fault(Some(McpFault::LosesSession(1)));
    let (one, other) = tokio::join!(find(&tools), find(&tools));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(fake.sessions().0, 2);
}

#[tokio::test]
async fn whatever_goes_wrong_is_told_in_time() {
    for era in [McpEra::Stateless, McpEra::Session("2025-11-25")] {
        for (fault, want) in [
            (McpFault::Hang("tools/call"), "no answer in time"),
            (McpFault::Html("tools/call"), "neither JSON nor events"),
            (McpFault::Garbage("tools/call"), "no message"),
            (McpFault::WrongId("tools/call"), "another request"),
            (McpFault::Status("tools/call", 500), "status 500"),
            (McpFault::Status("tools/call", 429), "status 429"),
            (McpFault::Status("tools/call", 401), "status 401"),
            (McpFault::Status("tools/call", 302), "status 302"),
            (McpFault::Error("tools/call"), "Unknown tool: nothing (code -32602)"),
            (McpFault::Huge("tools/call"), "too large"),
            (McpFault::EndsEarly("tools/call"), "without an answer"),
        ] {
            let fake = FakeMcp::start(McpOptions::new(era, McpMode::Json)).await;
            let tools = prepared(&clients(), &fake, json!({"timeout_ms": 500})).await;
            fake.set_fault(Some(fault));
            let said = find(&tools).await.expect_err("failed").to_string();
            assert!(said.contains(want) && !said.contains("127.0.0.1"), "{era:?} {fault:?}: {said}");
            fake.set_fault(None);
            assert_eq!(find(&tools).await.expect("again"), "fine", "{era:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_list_is_left_out_and_asked_again() {
    for era in [McpEra::Stateless, McpEra::Session("2025-11-25")] {
        for fault in [
            McpFault::Hang("tools/list"),
            McpFault::Html("tools/list"),
            McpFault::Garbage("tools/list"),
            McpFault::WrongId("tools/list"),
            McpFault::Status("tools/list", 500),
            McpFault::Huge("tools/list"),
            McpFault::EndsEarly("tools/list"),
        ] {
            let mut options = McpOptions::new(era, McpMode::Events);
            options.fault = Some(fault);
            let fake = FakeMcp::start(options).await;
            let tools = prepared(&clients(), &fake, json!({"timeout_ms": 400})).await;
            assert_eq!((names(&tools), tools.faults().len()), (vec![], 1), "{era:?} {fault:?}");
            assert_eq!(find(&tools).await, Err(ToolError::Unknown));
            fake.set_fault(None);
            tools.prepare().await;
            assert_eq!((names(&tools).len(), tools.faults().len()), (2, 0), "{era:?} {fault:?}");
        }
    }
    for fault in [McpFault::Hang("initialize"), McpFault::Garbage("initialize"), McpFault::Status("initialize", 403)] {
        let mut options = McpOptions::new(McpEra::Session("2025-11-25"), McpMode::Json);
        options.fault = Some(fault);
        let fake = FakeMcp::start(options).await;
        let tools = prepared(&clients(), &fake, json!({"timeout_ms": 400})).await;
        assert_eq!((names(&tools), tools.faults().len()), (vec![], 1), "{fault:?}");
    }
    let unknown = FakeMcp::start(McpOptions::new(McpEra::Session("1999-01-01"), McpMode::Json)).await;
    assert_eq!(prepared(&clients(), &unknown, json!({})).await.faults().len(), 1);
}

#[tokio::test]
async fn a_wrong_key_opens_nothing() {
    let mut options = McpOptions::new(McpEra::Stateless, McpMode::Json);
    options.key = Some("another");
    let fake = FakeMcp::start(options).await;
    let tools = prepared(&clients(), &fake, json!({"key": key_of(&fake.url())})).await;
    let told = tools.faults().remove(0).1.to_string();
    assert!(told.contains("401") && !told.contains(KEY), "{told}");
    assert!(fake.methods().is_empty(), "no second try with initialize");
}

#[tokio::test]
async fn lists_are_bounded() {
    let tool =
        |name: String| json!({"name": name, "description": "x".repeat(3_000), "inputSchema": {"type": "object"}});
    let mut options = McpOptions::new(McpEra::Stateless, McpMode::Json);
    options.tools = (0..1_000).map(|n| tool(format!("t{n}"))).collect();
    options.page = 15;
    let fake = FakeMcp::start(options.clone()).await;
    let tools = prepared(&clients(), &fake, json!({})).await;
    assert_eq!((names(&tools).len(), fake.methods().len()), (20, 2));
    assert!(tools.specs().iter().all(|spec| spec.description.len() <= 1_000));
    let only = prepared(&clients(), &fake, json!({"only": ["t3", "t40", "t999"]})).await;
    assert_eq!(names(&only), ["crm_t3", "crm_t40"], "what is not within ten pages is not found");
    options.fault = Some(McpFault::Circle);
    let circle = FakeMcp::start(options.clone()).await;
    let tools = prepared(&clients(), &circle, json!({"only": ["nothing"], "timeout_ms": 3_000})).await;
    assert_eq!((names(&tools).len(), circle.methods().len()), (0, 10));
    options.fault = None;
    options.page = 100;
    options.tools = (0..20)
        .map(|n| json!({"name": format!("t{n}"), "inputSchema": {"type": "object", "description": "x".repeat(10_000)}}))
        .collect();
    let large = FakeMcp::start(options).await;
    assert_eq!(names(&prepared(&clients(), &large, json!({})).await).len(), 4, "48 kB together");
}

#[tokio::test]
async fn tools_that_may_not_be_offered_are_left_out_alone() {
    let mut options = McpOptions::new(McpEra::Stateless, McpMode::Json);
    options.page = 100;
    options.tools = vec![
        json!({"name": "fine", "description": "ok", "inputSchema": {"type": "object"}}),
        json!({"name": "remote", "inputSchema": {"$ref": "https://evil.example/schema.json"}}),
        json!({"name": "list", "inputSchema": {"type": "array"}}),
        json!({"name": "circle", "inputSchema": {"properties": {"a": {"$ref": "#"}}}}),
        json!({"name": "header", "inputSchema": {"properties": {"a": {"type": "string", "x-mcp-header": "a\r\nb"}}}}),
        json!({"name": "number", "inputSchema": {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}}),
        json!({"name": "no schema"}),
        json!({"name": "fine", "description": "the same name", "inputSchema": {"type": "object"}}),
        json!({"name": "fine too".repeat(10), "inputSchema": {"type": "object"}}),
    ];
    let fake = FakeMcp::start(options).await;
    let mut agent = server(&fake, json!({}));
    agent["crm_fine"] = json!({"kind": "end-call", "description": "ours"});
    let tools = toolbox(&clients(), agent);
    tools.prepare().await;
    let specs = tools.specs();
    assert_eq!(specs.len(), 3, "{specs:?}");
    assert_eq!((specs[0].name.as_str(), specs[0].description.as_str()), ("crm_fine", "ours"));
    assert!(specs.iter().all(
        |spec| spec.name.len() <= 64 && spec.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    ));
}

#[tokio::test]
async fn results_are_text_values_or_what_went_wrong() {
    let fake = FakeMcp::start(McpOptions::new(McpEra::Stateless, McpMode::Events)).await;
    let tools = prepared(&clients(), &fake, json!({"result_bytes_max": 64})).await;
    for (result, want) in [
        (
            json!({"content": [{"type": "text", "text": "a"}, {"type": "image", "data": ""}, {"type": "text", "text": "b"}]}),
            Ok("a\nb"),
        ),
        (json!({"content": [], "structuredContent": {"id": "A-1"}}), Ok(r#"{"id":"A-1"}"#)),
        (json!({"content": []}), Ok("done")),
        (json!({"content": [{"type": "text", "text": "x".repeat(100)}]}), Ok("was cut here")),
        (
            json!({"content": [{"type": "text", "text": "no such customer"}], "isError": true}),
            Err("it failed: no such customer"),
        ),
        (json!({"resultType": "input_required", "inputRequests": {}}), Err("not possible on a call")),
        (json!({"resultType": "task"}), Err("cannot be read")),
        (json!({"nothing": 1}), Err("cannot be read")),
    ] {
        fake.set_result(result.clone());
        match (find(&tools).await, want) {
            (Ok(text), Ok(want)) => assert!(text.ends_with(want) || text.contains(want), "{result}: {text}"),
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{result}: {error}"),
            (outcome, want) => panic!("{result}: {outcome:?} instead of {want:?}"),
        }
    }
    fake.set_result(json!({"content": [{"type": "text", "text": "{\"id\": \"A-2\", \"n\": 3}"}]}));
    let output = run(&tools, "crm_find", json!({"phone": "2"})).await.expect("found");
    assert_eq!((output.values["id"].as_str(), output.values["n"].as_str()), ("A-2", "3"));
}

#[tokio::test]
async fn what_changes_something_is_done_once_and_arguments_are_checked() {
    let fake = FakeMcp::start(McpOptions::new(McpEra::Session("2025-11-25"), McpMode::Json)).await;
    let tools = prepared(&clients(), &fake, json!({})).await;
    run(&tools, "crm_save_note", json!({"text": "a"})).await.expect("saved");
    let again = run(&tools, "crm_save_note", json!({"text": "a"})).await.expect_err("saved").to_string();
    assert!(again.contains("already done") && again.contains("fine"), "{again}");
    for _ in 0..2 {
        find(&tools).await.expect("reading again is fine");
    }
    for (name, given, want) in [
        ("crm_save_note", json!({}), "\"text\" is a required property"),
        ("crm_save_note", json!({"text": 7}), "not of type"),
        ("crm_save_note", json!({"text": "x", "y": 1}), "was unexpected"),
        ("save.note", json!({"text": "x"}), "no tool of this name"),
        ("crm_other", json!({}), "no tool of this name"),
    ] {
        let said = run(&tools, name, given).await.expect_err("refused").to_string();
        assert!(said.contains(want), "{name}: {said}");
    }
    assert_eq!(fake.calls().len(), 3);
}

#[tokio::test]
async fn servers_are_reached_by_the_same_rules_as_web_services() {
    for url in ["http://metadata.example.org:9/mcp", "https://169.254.169.254/mcp", "http://private.example.org/mcp"] {
        let tools = toolbox(&clients(), json!({"crm": {"kind": "mcp", "url": url, "timeout_ms": 1_000}}));
        tools.prepare().await;
        let told = tools.faults().remove(0).1.to_string();
        assert!(told.contains("may not be asked"), "{url}: {told}");
    }
}
