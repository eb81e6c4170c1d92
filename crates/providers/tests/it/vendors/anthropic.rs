use super::language_models::{ORDER, after, hear, listen, prompt, tool_prompt, with_tools};
use super::{fakes, http, key, nobody, until};
use providers::ErrorKind;
use providers::anthropic::{AnthropicModel, AnthropicSettings, MAX_TOKENS};
use providers::language_model::{ANSWER_BYTES_MAX, LanguageModel, Message, Prompt, TOOLS_MAX, Usage};
use providers::openai::Deadlines;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::vendors::{Answers, ChatFault, FakeVendors, ToolStyle, VendorSettings};

fn settings(url: &str) -> AnthropicSettings {
    AnthropicSettings { base_url: url.to_owned(), ..AnthropicSettings::new("claude-fake", Some(key("sk-ant-secret"))) }
}

fn model(url: &str) -> AnthropicModel {
    AnthropicModel::new(http(), settings(url))
}

fn hasty(url: &str) -> AnthropicModel {
    let short = Duration::from_millis(200);
    let deadlines = Deadlines { first: short, idle: short, ..Deadlines::default() };
    AnthropicModel::new(http(), AnthropicSettings { deadlines, ..settings(url) })
}

fn sent(fakes: &FakeVendors) -> Value {
    serde_json::from_str(&fakes.last_messages()).expect("JSON")
}

#[tokio::test]
async fn an_answer_arrives_whole_and_the_request_is_as_it_should_be() {
    let fakes = fakes().await;
    let heard = hear(model(&fakes.anthropic_url()).think(prompt())).await;
    assert!(heard.error.is_none(), "{:?}", heard.error);
    assert_eq!(heard.text, ORDER);
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    assert_eq!(
        sent(&fakes),
        json!({
            "model": "claude-fake",
            "max_tokens": MAX_TOKENS,
            "stream": true,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": text("Hello")},
                {"role": "assistant", "content": text("Hi. How can I help?")},
                {"role": "user", "content": text("Where is \"my\" order?")},
            ],
        })
    );
    assert_eq!((fakes.stats().messages_aborted, fakes.stats().refused), (0, 0));
}

#[tokio::test]
async fn instructions_are_read_from_the_cache_the_second_time() {
    let fakes = fakes().await;
    let model = model(&fakes.anthropic_url());
    for cached_tokens in [0, 1_000] {
        let usage = hear(model.think(prompt())).await.usage;
        assert_eq!(usage, Some(Usage { prompt_tokens: 1_050, cached_tokens, completion_tokens: 20 }));
    }
    let bare = AnthropicSettings { cache_system: false, send_temperature: true, ..settings(&fakes.anthropic_url()) };
    let heard = hear(AnthropicModel::new(http(), bare).think(Prompt { temperature: 1.5, ..prompt() })).await;
    assert_eq!(heard.usage, Some(Usage { prompt_tokens: 50, cached_tokens: 0, completion_tokens: 20 }));
    assert_eq!(sent(&fakes)["temperature"], json!(1.0));
}

#[tokio::test]
async fn conversations_that_the_vendor_would_refuse_are_put_right() {
    let settings = VendorSettings { answers: Answers::Echo, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    for messages in [
        vec![],
        vec![Message::agent("Hello, this is the shop.")],
        vec![Message::agent("Hello."), Message::agent("Are you there?"), Message::Caller("Yes.".into())],
        vec![Message::Caller("Yes.".into()), Message::agent(" "), Message::Caller("\n".into())],
        vec![Message::ToolResult { id: "x".into(), name: "look_up".into(), text: "7".into() }],
    ] {
        let shown = format!("{messages:?}");
        let (_, error) = listen(model(&fakes.anthropic_url()).think(Prompt { messages, ..prompt() })).await;
        assert!(error.is_none(), "{shown}: {error:?}");
    }
    assert_eq!(fakes.stats().refused, 0);
}

#[tokio::test]
async fn tools_are_asked_for_and_their_results_come_back() {
    let fakes = with_tools(ToolStyle::Pieces).await;
    for drip in [false, true] {
        let model = model(&fakes.anthropic_url());
        if drip {
            fakes.break_messages(ChatFault::Drip, 2);
        }
        let heard = hear(model.think(tool_prompt())).await;
        assert!(heard.error.is_none(), "{:?}", heard.error);
        assert_eq!(heard.text, "One moment.");
        let calls: Vec<_> = heard.calls.iter().map(|c| (c.name.as_str(), c.arguments.as_str())).collect();
        assert_eq!(calls, [("look_up", r#"{"id": "नमस्ते"}"#), ("weather", "{}")]);
        let then = hear(model.think(after(tool_prompt(), &heard))).await;
        assert!(then.error.is_none(), "{:?}", then.error);
        assert_eq!((then.text.as_str(), then.calls.len()), ("look_up is done, weather is done", 0));
    }
    assert_eq!(fakes.stats().refused, 0);
    let tools = vec![tool_prompt().tools.remove(0); TOOLS_MAX + 1];
    let (_, error) = listen(model(&fakes.anthropic_url()).think(Prompt { tools, ..prompt() })).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
}

#[tokio::test]
async fn refusals_have_their_kind_and_tell_no_secret() {
    let fakes = fakes().await;
    for (status, kind, transient) in [
        (400, ErrorKind::Rejected, false),
        (401, ErrorKind::Unauthorized, false),
        (403, ErrorKind::Unauthorized, false),
        (404, ErrorKind::Rejected, false),
        (413, ErrorKind::Rejected, false),
        (429, ErrorKind::Overloaded, true),
        (500, ErrorKind::Unavailable, true),
        (529, ErrorKind::Overloaded, true),
    ] {
        fakes.break_messages(ChatFault::Status(status), 1);
        let (text, error) = listen(model(&fakes.anthropic_url()).think(prompt())).await;
        let error = error.expect("an error");
        assert_eq!((error.kind, error.is_transient(), text.as_str()), (kind, transient, ""), "{status}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&status.to_string()), "{shown}");
        assert_eq!(shown.contains("retry after 1 s"), status == 429, "{shown}");
        assert!(!shown.contains("sk-ant-secret") && !shown.contains("order"), "{shown}");
    }
}

#[tokio::test]
async fn the_check_tells_a_wrong_key_apart() {
    let settings = VendorSettings { key: Some("sk-ant-right".into()), ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let wrong = model(&fakes.anthropic_url());
    assert_eq!(wrong.check().await.expect_err("refused").kind, ErrorKind::Unauthorized);
    assert_eq!(listen(wrong.think(prompt())).await.1.expect("an error").kind, ErrorKind::Unauthorized);
    let with = |key| AnthropicModel::new(http(), AnthropicSettings { key, ..self::settings(&fakes.anthropic_url()) });
    with(Some(key("sk-ant-right "))).check().await.expect("the check passes");
    for odd in [None, Some(key("a\nb"))] {
        assert_eq!(with(odd).check().await.expect_err("refused").kind, ErrorKind::Unauthorized);
    }
    let elsewhere = format!("http://{}/v1", nobody());
    assert_eq!(model(&elsewhere).check().await.expect_err("nobody").kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn failures_in_the_middle_keep_what_was_said_and_say_what_happened() {
    let fakes = fakes().await;
    for (fault, kind) in [
        (ChatFault::CutAfter(3), ErrorKind::Unavailable),
        (ChatFault::EndAfter(3), ErrorKind::Unavailable),
        (ChatFault::ErrorAfter(3), ErrorKind::Overloaded),
        (ChatFault::GarbageAfter(3), ErrorKind::Protocol),
        (ChatFault::StallAfter(3), ErrorKind::TimedOut),
    ] {
        fakes.break_messages(fault, 1);
        let (text, error) = listen(hasty(&fakes.anthropic_url()).think(prompt())).await;
        assert_eq!(error.expect("an error").kind, kind, "{fault:?}");
        assert_eq!(text, "Sure, I", "{fault:?}");
    }
}

#[tokio::test]
async fn answers_that_never_come_are_failures() {
    let fakes = fakes().await;
    for (aborted, (fault, kind)) in
        [(ChatFault::Hang, ErrorKind::TimedOut), (ChatFault::StallAfter(0), ErrorKind::TimedOut)]
            .into_iter()
            .enumerate()
    {
        fakes.break_messages(fault, 1);
        let (_, error) = listen(hasty(&fakes.anthropic_url()).think(prompt())).await;
        assert_eq!(error.expect("an error").kind, kind, "{fault:?}");
        until("the request is dropped", || fakes.stats().messages_aborted == aborted as u64 + 1).await;
    }
    fakes.break_messages(ChatFault::Html, 1);
    let (_, error) = listen(hasty(&fakes.anthropic_url()).think(prompt())).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn a_body_that_stays_open_delays_nothing() {
    let fakes = fakes().await;
    fakes.break_messages(ChatFault::NoEnd, 1);
    let heard = hear(model(&fakes.anthropic_url()).think(prompt())).await;
    assert!(heard.error.is_none() && heard.usage.is_some());
    assert_eq!(heard.text, ORDER);
}

#[tokio::test]
async fn dropping_the_receiver_ends_the_request() {
    let fakes = fakes().await;
    fakes.break_messages(ChatFault::StallAfter(5), 1);
    let mut thoughts = model(&fakes.anthropic_url()).think(prompt());
    assert!(thoughts.recv().await.is_some());
    drop(thoughts);
    until("the answer is dropped", || fakes.stats().messages_aborted == 1).await;
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_the_limit() {
    let fakes = fakes().await;
    fakes.break_messages(ChatFault::Endless, 1);
    let (text, error) = listen(model(&fakes.anthropic_url()).think(prompt())).await;
    assert!(error.is_none());
    assert_eq!(text.len(), ANSWER_BYTES_MAX);
    until("the rest is dropped", || fakes.stats().messages_aborted == 1).await;
}

#[tokio::test]
async fn the_fake_is_as_strict_about_headers_as_the_vendor() {
    let fakes = fakes().await;
    for (version, key, status, words) in [
        (None, Some("k"), 400, "anthropic-version: header is required"),
        (Some("2020-01-01"), Some("k"), 400, "is not a valid version"),
        (Some("2023-06-01"), None, 401, "x-api-key header is required"),
        (Some("2023-06-01"), Some("k"), 200, "claude-fake"),
    ] {
        let mut request = http().client().get(format!("{}/models", fakes.anthropic_url()));
        for (name, value) in [("anthropic-version", version), ("x-api-key", key)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), status, "{words}");
        let body = response.text().await.expect("a body");
        assert!(body.contains(words), "{body}");
    }
}

#[test]
fn nothing_that_prints_shows_the_key() {
    let shown = format!("{:?}", model("http://127.0.0.1:1/v1"));
    assert!(!shown.contains("sk-ant-secret"), "{shown}");
}
