use super::{PATIENCE, fakes, http, key, nobody, until};
use providers::language_model::{ANSWER_BYTES_MAX, LanguageModel, Message, Prompt, Role, Thought};
use providers::openai::{Deadlines, ModelSettings, OpenAiModel};
use providers::{Error, ErrorKind};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::vendors::{Answers, ChatFault, FakeVendors, VendorSettings};
use tokio::sync::mpsc::Receiver;
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

fn prompt() -> Prompt {
    Prompt {
        system: "Be brief.".into(),
        messages: vec![
            Message { role: Role::User, text: "Hello".into() },
            Message { role: Role::Assistant, text: "Hi. How can I help?".into() },
            Message { role: Role::User, text: "Where is \"my\" order?".into() },
        ],
        temperature: 0.4,
    }
}

/// The whole text, and the error if it ended with one.
async fn listen(mut thoughts: Receiver<Result<Thought, Error>>) -> (String, Option<Error>) {
    let mut text = String::new();
    let reading = async {
        let mut done = false;
        while let Some(thought) = thoughts.recv().await {
            assert!(!done, "nothing may follow the end");
            match thought {
                Ok(Thought::Text(more)) => text.push_str(&more),
                Ok(Thought::Done) => done = true,
                Err(error) => return Some(error),
            }
        }
        assert!(done, "the end must be told");
        None
    };
    let error = timeout(PATIENCE, reading).await.expect("an end");
    (text, error)
}

#[tokio::test]
async fn an_answer_arrives_whole_and_the_request_is_as_it_should_be() {
    let fakes = fakes().await;
    let (text, error) = listen(model(&fakes.openai_url()).think(prompt())).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text, "Sure, I have found your order now. It is on its way and will arrive this afternoon.");
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
    let prompt = Prompt { messages: vec![Message { role: Role::User, text: said.into() }], ..prompt() };
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
    let (_, error) = listen(model(&format!("http://{}/v1", nobody().await)).think(prompt())).await;
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
        let thoughts =
            model.think(Prompt { messages: vec![Message { role: Role::User, text: text.clone() }], ..prompt() });
        async move { (text, listen(thoughts).await.0) }
    });
    for (want, got) in futures_util::future::join_all(asked).await {
        assert_eq!(got, want);
    }
}

#[test]
fn nothing_that_prints_shows_the_key() {
    let shown = format!("{:?}", model("http://127.0.0.1:1/v1"));
    assert!(!shown.contains("sk-secret"), "{shown}");
}
