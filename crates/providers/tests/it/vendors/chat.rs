use super::language_models::{ORDER, after, hear, listen, prompt, tool, tool_prompt, with_tools};
use super::{PATIENCE, fakes, http, key, nobody, until};
use providers::ErrorKind;
use providers::language_model::{
    ANSWER_BYTES_MAX, ARGUMENTS_BYTES_MAX, LanguageModel, Message, Prompt, TOOL_CALLS_MAX, TOOLS_MAX, Thought, Usage,
};
use providers::openai::{Deadlines, ModelSettings, OpenAiModel};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::vendors::{Answers, ChatFault, FakeVendors, ToolStyle, VendorSettings};
use tokio::time::timeout;

fn settings(url: &str) -> ModelSettings {
    ModelSettings { base_url: url.to_owned(), ..ModelSettings::new("fake-1", Some(key("sk-secret"))) }
}

fn model(url: &str) -> OpenAiModel {
    OpenAiModel::new(http(), settings(url))
}

fn hasty(url: &str) -> OpenAiModel {
    let deadlines =
        Deadlines { first: Duration::from_millis(200), idle: Duration::from_millis(200), ..Deadlines::default() };
    OpenAiModel::new(http(), ModelSettings { deadlines, ..settings(url) })
}

#[tokio::test]
async fn an_answer_arrives_whole_and_the_request_is_as_it_should_be() {
    let fakes = fakes().await;
    let (text, error) = listen(model(&fakes.openai_url()).think(prompt())).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text, ORDER);
    let sent: Value = serde_json::from_str(&fakes.last_chat()).expect("JSON");
    assert_eq!(
        sent["messages"],
        json!([
            {"role":"system","content":"Be brief."},
            {"role":"user","content":"Hello"},
            {"role":"assistant","content":"Hi. How can I help?"},
            {"role":"user","content":"Where is \"my\" order?"},
        ])
    );
    assert_eq!((&sent["model"], &sent["temperature"]), (&json!("fake-1"), &json!(0.4)));
    assert_eq!((fakes.stats().chat_aborted, fakes.stats().refused), (0, 0));
}

#[tokio::test]
async fn the_slash_of_the_base_url_does_not_matter() {
    let fakes = fakes().await;
    for url in [fakes.openai_url(), format!("{}/", fakes.openai_url())] {
        assert!(listen(model(&url).think(prompt())).await.1.is_none(), "{url}");
        model(&url).check().await.expect("the check passes");
    }
}

#[tokio::test]
async fn pieces_arrive_as_they_are_made() {
    let slow = VendorSettings { chat_token_ms: 20, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(slow).await.expect("a free port");
    let mut thoughts = model(&fakes.openai_url()).think(prompt());
    let mut pieces = 0;
    while let Some(thought) = timeout(PATIENCE, thoughts.recv()).await.expect("more") {
        if matches!(thought.expect("no error"), Thought::Text(_)) {
            if pieces == 0 {
                assert!(fakes.stats().chat_tokens < 20, "the first piece came with the last token");
            }
            pieces += 1;
        }
    }
    assert!(pieces > 1);
}

#[tokio::test]
async fn every_conversation_gets_its_own_answers() {
    let script = vec!["First answer.".to_owned(), "Second answer.".to_owned()];
    let settings = VendorSettings { answers: Answers::Script(script), ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    assert_eq!(listen(model(&fakes.openai_url()).think(prompt())).await.0, "Second answer.");
    let first = Prompt { messages: prompt().messages[..1].to_vec(), ..prompt() };
    assert_eq!(listen(model(&fakes.openai_url()).think(first)).await.0, "First answer.");
}

#[tokio::test]
async fn strange_characters_survive_both_ways() {
    let settings = VendorSettings { answers: Answers::Echo, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let said = "नमस्ते \"quoted\" back\\slash \u{1F600} data: [DONE] {json}\ttab";
    let prompt = Prompt { messages: vec![Message::Caller(said.into())], ..prompt() };
    assert_eq!(listen(model(&fakes.openai_url()).think(prompt)).await.0, said);
}

#[tokio::test]
async fn refusals_have_their_kind_and_tell_no_secret() {
    let fakes = fakes().await;
    for (status, kind, transient) in [
        (400, ErrorKind::Rejected, false),
        (401, ErrorKind::Unauthorized, false),
        (404, ErrorKind::Rejected, false),
        (429, ErrorKind::Overloaded, true),
        (500, ErrorKind::Unavailable, true),
        (503, ErrorKind::Overloaded, true),
        (529, ErrorKind::Overloaded, true),
    ] {
        fakes.break_chat(ChatFault::Status(status), 1);
        let (text, error) = listen(model(&fakes.openai_url()).think(prompt())).await;
        let error = error.expect("an error");
        assert_eq!((error.kind, error.is_transient(), text.as_str()), (kind, transient, ""), "{status}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&status.to_string()), "{shown}");
        assert!(!shown.contains("sk-secret") && !shown.contains("order"), "{shown}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_apart() {
    let settings = VendorSettings { key: Some("sk-right".into()), ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let (_, error) = listen(model(&fakes.openai_url()).think(prompt())).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Unauthorized);
    assert_eq!(model(&fakes.openai_url()).check().await.expect_err("refused").kind, ErrorKind::Unauthorized);
    let odd = ModelSettings { key: Some(key("a\nb")), ..self::settings(&fakes.openai_url()) };
    let (_, error) = listen(OpenAiModel::new(http(), odd).think(prompt())).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Unauthorized);
}

#[tokio::test]
async fn failures_in_the_middle_keep_what_was_said_and_say_what_happened() {
    let fakes = fakes().await;
    for (fault, kind) in [
        (ChatFault::CutAfter(3), ErrorKind::Unavailable),
        (ChatFault::EndAfter(3), ErrorKind::Unavailable),
        (ChatFault::ErrorAfter(3), ErrorKind::Unavailable),
        (ChatFault::GarbageAfter(3), ErrorKind::Protocol),
        (ChatFault::StallAfter(3), ErrorKind::TimedOut),
    ] {
        fakes.break_chat(fault, 1);
        let (text, error) = listen(hasty(&fakes.openai_url()).think(prompt())).await;
        assert_eq!(error.expect("an error").kind, kind, "{fault:?}");
        assert_eq!(text, "Sure, I", "{fault:?}");
    }
}

#[tokio::test]
async fn no_first_token_is_a_timeout() {
    let fakes = fakes().await;
    fakes.break_chat(ChatFault::StallAfter(0), 1);
    let (_, error) = listen(hasty(&fakes.openai_url()).think(prompt())).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::TimedOut);
    until("the request is dropped", || fakes.stats().chat_aborted == 1).await;
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let (_, error) = listen(model(&format!("http://{}/v1", nobody())).think(prompt())).await;
    let error = error.expect("an error");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let (_, error) = listen(model("not a url").think(prompt())).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
}

#[tokio::test]
async fn dropping_the_receiver_ends_the_request() {
    let fakes = fakes().await;
    // Before the answer, and in the middle of it.
    fakes.break_chat(ChatFault::StallAfter(0), 1);
    let thoughts = model(&fakes.openai_url()).think(prompt());
    until("the request is there", || fakes.stats().chat_requests == 1).await;
    drop(thoughts);
    until("the request is dropped", || fakes.stats().chat_aborted == 1).await;
    fakes.break_chat(ChatFault::StallAfter(5), 1);
    let mut thoughts = model(&fakes.openai_url()).think(prompt());
    assert!(thoughts.recv().await.is_some());
    drop(thoughts);
    until("the answer is dropped", || fakes.stats().chat_aborted == 2).await;
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_the_limit() {
    let fakes = fakes().await;
    fakes.break_chat(ChatFault::Endless, 1);
    let (text, error) = listen(model(&fakes.openai_url()).think(prompt())).await;
    assert!(error.is_none());
    assert_eq!(text.len(), ANSWER_BYTES_MAX);
    until("the rest is dropped", || fakes.stats().chat_aborted == 1).await;
}

#[tokio::test]
async fn many_at_once_get_their_own_answers() {
    let settings = VendorSettings { answers: Answers::Echo, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let model = model(&fakes.openai_url());
    let asked = (0..40).map(|n| {
        let text = format!("call {n} of many");
        let thoughts = model.think(Prompt { messages: vec![Message::Caller(text.clone())], ..prompt() });
        async move { (text, listen(thoughts).await.0) }
    });
    for (want, got) in futures_util::future::join_all(asked).await {
        assert_eq!(got, want);
    }
}

#[tokio::test]
async fn tools_are_asked_for_and_their_results_come_back() {
    for style in [ToolStyle::Pieces, ToolStyle::AtOnce, ToolStyle::NoId, ToolStyle::NoIndex] {
        let fakes = with_tools(style).await;
        let model = model(&fakes.openai_url());
        let heard = hear(model.think(tool_prompt())).await;
        assert!(heard.error.is_none(), "{style:?}: {:?}", heard.error);
        assert_eq!(heard.text, "One moment.", "{style:?}");
        let calls: Vec<_> = heard.calls.iter().map(|c| (c.name.as_str(), c.arguments.as_str())).collect();
        assert_eq!(calls, [("look_up", r#"{"id": "नमस्ते"}"#), ("weather", "{}")], "{style:?}");
        assert!(!heard.calls[0].id.is_empty() && heard.calls[0].id != heard.calls[1].id, "{style:?}");
        let sent: Value = serde_json::from_str(&fakes.last_chat()).expect("JSON");
        assert_eq!((&sent["tool_choice"], sent["tools"].as_array().map(Vec::len)), (&json!("auto"), Some(2)));
        let then = hear(model.think(after(tool_prompt(), &heard))).await;
        assert!(then.error.is_none(), "{style:?}: {:?}", then.error);
        assert_eq!((then.text.as_str(), then.calls.len()), ("look_up is done, weather is done", 0), "{style:?}");
        assert_eq!(fakes.stats().refused, 0, "{style:?}");
    }
}

#[tokio::test]
async fn tools_beyond_the_limits_are_failures() {
    let fakes = fakes().await;
    let tools = (0..=TOOLS_MAX).map(|n| tool(&format!("tool{n}"))).collect();
    let (_, error) = listen(model(&fakes.openai_url()).think(Prompt { tools, ..prompt() })).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
    assert_eq!(fakes.stats().chat_requests, 0);
    let many = vec![("look_up".to_owned(), "{}".to_owned()); TOOL_CALLS_MAX + 1];
    let long = vec![("look_up".to_owned(), format!("\"{}\"", "x".repeat(ARGUMENTS_BYTES_MAX)))];
    for calls in [many, long] {
        let answers = Answers::Tools { text: "One moment.".into(), calls, style: ToolStyle::Pieces };
        let fakes = FakeVendors::start(VendorSettings { answers, ..VendorSettings::instant() }).await.expect("a port");
        let heard = hear(model(&fakes.openai_url()).think(tool_prompt())).await;
        assert_eq!(heard.error.expect("an error").kind, ErrorKind::Protocol);
        assert_eq!((heard.text.as_str(), heard.calls.len()), ("One moment.", 0));
    }
}

#[tokio::test]
async fn what_it_cost_is_told_before_the_end() {
    let fakes = fakes().await;
    let heard = hear(model(&fakes.openai_url()).think(prompt())).await;
    assert_eq!(heard.usage, Some(Usage { prompt_tokens: 50, cached_tokens: 10, completion_tokens: 20 }));
    let uncounted = ModelSettings { include_usage: false, ..settings(&fakes.openai_url()) };
    let heard = hear(OpenAiModel::new(http(), uncounted).think(prompt())).await;
    assert!(heard.usage.is_none() && heard.error.is_none());
}

#[tokio::test]
async fn a_server_that_never_counts_delays_neither_text_nor_end_for_long() {
    let fakes = fakes().await;
    fakes.break_chat(ChatFault::NoEnd, 1);
    let heard = hear(model(&fakes.openai_url()).think(prompt())).await;
    assert!(heard.usage.is_none() && heard.error.is_none());
    assert_eq!(heard.text, ORDER);
    until("the connection is given up", || fakes.stats().chat_aborted == 1).await;
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_the_same_answer() {
    let fakes = with_tools(ToolStyle::Pieces).await;
    fakes.break_chat(ChatFault::Drip, 1);
    let heard = hear(model(&fakes.openai_url()).think(tool_prompt())).await;
    assert!(heard.error.is_none() && heard.usage.is_some());
    assert_eq!((heard.text.as_str(), heard.calls.len()), ("One moment.", 2));
}

#[tokio::test]
async fn a_page_for_people_is_no_answer() {
    let fakes = fakes().await;
    fakes.break_chat(ChatFault::Html, 1);
    let (text, error) = listen(model(&fakes.openai_url()).think(prompt())).await;
    assert_eq!((error.expect("an error").kind, text.as_str()), (ErrorKind::Protocol, ""));
}

#[tokio::test]
async fn no_answer_at_all_is_a_timeout() {
    let fakes = fakes().await;
    fakes.break_chat(ChatFault::Hang, 1);
    let (_, error) = listen(hasty(&fakes.openai_url()).think(prompt())).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::TimedOut);
    until("the request is dropped", || fakes.stats().chat_aborted == 1).await;
}

#[tokio::test]
async fn waiting_as_long_as_asked_is_told() {
    let fakes = fakes().await;
    fakes.break_chat(ChatFault::Status(429), 1);
    let (_, error) = listen(model(&fakes.openai_url()).think(prompt())).await;
    assert!(error.expect("an error").detail.contains("retry after 1 s"));
}

#[test]
fn nothing_that_prints_shows_the_key() {
    let shown = format!("{:?}", model("http://127.0.0.1:1/v1"));
    assert!(!shown.contains("sk-secret"), "{shown}");
}
