//! Gemini Live, over real sockets: transcriber, model and speaker on one connection.

use super::realtime::{
    KEY, RATE, answer, caller, hasty, listen, next, options, prompt, read, request, say, speak, tell,
};
use super::{PATIENCE, http, key, nobody, until};
use model::{SpeechModelConfig, SpeechModelVendor};
use providers::ErrorKind;
use providers::language_model::{LanguageModel, Message, Prompt, ToolSpec, Usage};
use providers::realtime::{SpeechModelCall, check, speech_model, speech_model_with};
use providers::speaker::Speaker;
use providers::transcriber::{AudioWanted, Transcriber, TranscriberInput, TranscriberOutput};
use serde_json::json;
use std::sync::Arc;
use testkit::vendors::{GeminiFault, GeminiLive, Reply};
use tokio::time::timeout;

async fn fake(transcripts: &[&str], replies: &[&str]) -> GeminiLive {
    let transcripts = transcripts.iter().map(|text| (*text).to_owned()).collect();
    let replies = replies.iter().map(|text| Reply::Words((*text).to_owned())).collect();
    GeminiLive::start(KEY, transcripts, replies).await.expect("a free port")
}

fn config(url: &str) -> SpeechModelConfig {
    SpeechModelConfig {
        vendor: SpeechModelVendor::Gemini,
        base_url: Some(url.to_owned()),
        model: String::new(),
        voice: String::new(),
        system_prompt: "Be kind.".into(),
    }
}

fn call(fake: &GeminiLive) -> Arc<SpeechModelCall> {
    speech_model(&http(), &config(&fake.url()), Some(key(KEY)), RATE).expect("right settings")
}

fn hasty_call(fake: &GeminiLive) -> Arc<SpeechModelCall> {
    speech_model_with(&http(), &config(&fake.url()), Some(key(KEY)), RATE, hasty()).expect("right settings")
}

#[tokio::test]
async fn one_connection_hears_answers_and_says() {
    let fake = fake(&["मेरा ऑर्डर कहाँ है", "धन्यवाद"], &["It is on its way", "You are welcome"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    let (samples, error) = listen(call.speak(request("Welcome to the clinic"))).await;
    assert!(error.is_none() && samples.abs_diff(4 * 1_600) < 160, "{samples} {error:?}");
    assert_eq!(say(&mut stream, 1).await, "मेरा ऑर्डर कहाँ है");
    let mut messages = vec![Message::agent("Welcome to the clinic"), caller("मेरा ऑर्डर कहाँ है")];
    let answer = read(call.think(prompt(&messages))).await;
    assert_eq!((answer.text.as_str(), answer.done), ("It is on its way", true), "{answer:?}");
    assert!(answer.samples.abs_diff(5 * 1_600) < 160, "{}", answer.samples);
    assert_eq!(answer.usage, Some(Usage { prompt_tokens: 20, cached_tokens: 0, completion_tokens: 10 }));
    assert_eq!(say(&mut stream, 2).await, "धन्यवाद");
    messages.extend([Message::agent("It is on its way"), caller("धन्यवाद")]);
    assert_eq!(read(call.think(prompt(&messages))).await.text, "You are welcome");
    let stats = fake.stats();
    assert_eq!((stats.connections, stats.refused, stats.answers), (1, 0, 3), "{}", stats.last_refusal);
    let asked = fake.asked();
    assert!(asked[0].starts_with("words (") && asked[1..] == ["sound", "sound"], "{asked:?}");
    let setup = fake.last_setup();
    assert_eq!(setup["systemInstruction"]["parts"][0]["text"], "Be kind.");
    assert_eq!((Transcriber::name(&*call), call.audio_wanted()), ("gemini-live", AudioWanted::SpeechOnly));
}

#[tokio::test]
async fn after_an_interruption_another_connection_is_told_what_was_heard() {
    let fake = fake(&["tell me", "stop"], &["one two three four", "sorry"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    read(call.think(prompt(&[caller("tell me")]))).await;
    say(&mut stream, 2).await;
    let heard = [caller("tell me"), Message::agent("one two"), caller("stop")];
    let answer = read(call.think(prompt(&heard))).await;
    assert!(answer.done && answer.samples > 0, "{answer:?}");
    assert_eq!(fake.stats().connections, 2);
    let told = fake.last_setup()["systemInstruction"]["parts"][0]["text"].as_str().expect("a text").to_owned();
    assert_eq!(told, "Be kind.\n\nThe conversation so far:\nCaller: tell me\nYou: one two\n");
    assert_eq!(fake.asked().last().map(String::as_str), Some("words stop"));
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
    // The transcription goes on there.
    assert_eq!(say(&mut stream, 3).await, "tell me", "the script of a new connection begins anew");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_heard() {
    let fake = fake(&["hm", "tell me"], &["yes", "one two"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    say(&mut stream, 2).await;
    let answer = read(call.think(prompt(&[caller("tell me")]))).await;
    assert!(answer.done, "{answer:?}");
    let told = fake.last_setup()["systemInstruction"]["parts"][0]["text"].as_str().expect("a text").to_owned();
    assert_eq!(told, "Be kind.", "neither the cough nor the answer to it is known");
    assert_eq!((fake.stats().connections, fake.stats().refused), (2, 0), "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn functions_are_asked_for_and_their_results_are_given() {
    let replies = vec![Reply::Function("book".into(), r#"{"day":"Monday"}"#.into()), Reply::Words("Booked".into())];
    let fake = GeminiLive::start(KEY, vec!["book me".into()], replies).await.expect("a free port");
    let call = call(&fake);
    let tools =
        vec![ToolSpec { name: "book".into(), description: "Books.".into(), parameters: json!({"type": "object"}) }];
    call.prepare("Be brief.", &tools);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    let ask = |messages: &[Message]| Prompt { system: "Be brief.".into(), tools: tools.clone(), ..prompt(messages) };
    let asked = read(call.think(ask(&[caller("book me")]))).await;
    let [tool] = &asked.tools[..] else { panic!("{asked:?}") };
    assert_eq!((tool.name.as_str(), tool.arguments.as_str(), asked.done), ("book", r#"{"day":"Monday"}"#, true));
    let result = Message::ToolResult { id: tool.id.clone(), name: "book".into(), text: "done".into() };
    let asked_tool = Message::Agent { text: String::new(), tool_calls: vec![tool.clone()] };
    let messages = [caller("book me"), asked_tool, result];
    assert_eq!(read(call.think(ask(&messages))).await.text, "Booked");
    let stats = fake.stats();
    assert_eq!((stats.connections, stats.results, stats.refused), (1, 1, 0), "{}", stats.last_refusal);
    assert_eq!(fake.last_setup()["tools"][0]["functionDeclarations"][0]["name"], "book");
}

#[tokio::test]
async fn other_instructions_are_told_to_another_connection() {
    let fake = fake(&["tell me"], &["one two"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    let answer = read(call.think(Prompt { system: "Be brief.".into(), ..prompt(&[caller("tell me")]) })).await;
    assert_eq!((answer.text.as_str(), fake.stats().connections), ("one two", 2));
    assert_eq!(fake.last_setup()["systemInstruction"]["parts"][0]["text"], "Be brief.");
}

#[tokio::test]
async fn a_sentence_over_an_answer_is_refused() {
    let fake = fake(&["tell me"], &["one two three four"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    fake.break_next(GeminiFault::Drip(60), 1);
    say(&mut stream, 1).await;
    let thoughts = call.think(prompt(&[caller("tell me")]));
    let (_, error) = listen(call.speak(request("One moment"))).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Overloaded);
    assert_eq!(read(thoughts).await.text, "one two three four", "and the answer goes on");
}

#[tokio::test]
async fn a_dropped_answer_is_not_waited_for() {
    let fake = fake(&["tell me"], &["a b c d e f g h", "sorry"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    fake.break_next(GeminiFault::Drip(100), 1);
    say(&mut stream, 1).await;
    let mut thoughts = call.think(prompt(&[caller("tell me")]));
    assert!(timeout(PATIENCE, thoughts.recv()).await.expect("a piece").is_some());
    drop(thoughts);
    let again = [caller("tell me"), caller("at once")];
    let answer = read(call.think(prompt(&again))).await;
    assert!(answer.done && answer.error.is_none(), "{answer:?}");
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn a_refused_handshake_has_its_kind_and_tells_no_secret() {
    let fake = fake(&[], &[]).await;
    for (status, kind) in [
        (400, ErrorKind::Rejected),
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Unauthorized),
        (429, ErrorKind::Overloaded),
        (500, ErrorKind::Unavailable),
        (503, ErrorKind::Overloaded),
    ] {
        fake.break_next(GeminiFault::Status(status), 3);
        let call = call(&fake);
        let error = call.open(options()).await.expect_err("refused");
        assert_eq!(error.kind, kind, "{status}");
        let answer = read(call.think(prompt(&[caller("a")]))).await;
        assert_eq!(answer.error.map(|error| error.kind), Some(kind));
        let checked = check(&http(), &config(&fake.url()), Some(key(KEY))).await.expect_err("refused");
        assert_eq!(checked.kind, kind);
        let shown = format!("{error} {error:?} {call:?}");
        assert!(
            shown.contains(&status.to_string()) && !shown.contains(KEY) && !shown.contains("secret words"),
            "{shown}"
        );
        assert_eq!(shown.contains("retry after 7 s"), status == 429, "{shown}");
    }
    let error = check(&http(), &config(&fake.url()), Some(key("wrong"))).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
    check(&http(), &config(&fake.url()), Some(key(" sk-secret\n"))).await.expect("the key is right");
    until("the check leaves nothing open", || fake.stats().open == 0).await;
}

#[tokio::test]
async fn bad_settings_are_refused_before_anything_is_sent() {
    for url in ["", "api.google.com", "ftp://x"] {
        let error = speech_model(&http(), &config(url), Some(key(KEY)), RATE).expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Rejected, "{url}: {error}");
    }
    let own = SpeechModelConfig { base_url: None, ..config("") };
    let error = speech_model(&http(), &own, None, RATE).expect_err("no key");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let away = config(&format!("ws://{}", nobody()));
    let call = speech_model(&http(), &away, Some(key(KEY)), RATE).expect("right settings");
    assert_eq!(call.open(options()).await.expect_err("nobody there").kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_session_that_is_not_set_up_is_an_error() {
    let fake = fake(&[], &[]).await;
    for (fault, kind) in [
        (GeminiFault::Mute, ErrorKind::TimedOut),
        (GeminiFault::NoSetup(1008, "models/x is not found for API version v1beta"), ErrorKind::Rejected),
        (GeminiFault::NoSetup(1007, "API key not valid."), ErrorKind::Unauthorized),
        (GeminiFault::NoSetup(1011, "You exceeded your current quota"), ErrorKind::Overloaded),
        (GeminiFault::NoSetup(1011, "Internal error encountered."), ErrorKind::Unavailable),
    ] {
        fake.break_next(fault, 1);
        let error = hasty_call(&fake).open(options()).await.expect_err("refused");
        assert_eq!(error.kind, kind, "{fault:?}");
    }
}

#[tokio::test]
async fn answers_that_go_wrong_have_their_kind() {
    let fake = fake(&["tell me"], &["one two three four"]).await;
    for (fault, kind, some) in [
        (GeminiFault::Silent, ErrorKind::TimedOut, false),
        (GeminiFault::StallAfter(0), ErrorKind::TimedOut, false),
        (GeminiFault::StallAfter(2), ErrorKind::TimedOut, true),
        (GeminiFault::CutAfter(2), ErrorKind::Unavailable, true),
        (GeminiFault::CloseAfter(2, 1011, "Internal error encountered."), ErrorKind::Unavailable, true),
        (GeminiFault::CloseAfter(2, 1008, "Policy."), ErrorKind::Rejected, true),
    ] {
        let call = hasty_call(&fake);
        fake.break_next(fault, 1);
        let answer = read(call.think(prompt(&[caller("tell me")]))).await;
        let error = answer.error.expect("an error");
        assert_eq!((error.kind, answer.samples > 0, answer.done), (kind, some, false), "{fault:?} {error}");
        // The next is answered, on this connection or another.
        assert_eq!(read(call.think(prompt(&[caller("tell me")]))).await.text, "one two three four", "{fault:?}");
    }
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn a_slow_answer_is_an_answer_and_one_without_end_is_not() {
    let fake = fake(&["tell me"], &["one two three"]).await;
    let call = call(&fake);
    fake.break_next(GeminiFault::Drip(60), 1);
    assert_eq!(read(call.think(prompt(&[caller("tell me")]))).await.text, "one two three");
    fake.break_next(GeminiFault::Endless, 1);
    let answer = read(call.think(prompt(&[caller("tell me")]))).await;
    assert_eq!(answer.error.expect("an error").kind, ErrorKind::Protocol);
    assert!(answer.samples <= 181 * RATE as usize);
}

#[tokio::test]
async fn a_broken_connection_is_mended_with_the_conversation_so_far() {
    let fake = fake(&["tell me"], &["one two"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    let messages = [Message::agent("Welcome"), caller("tell me")];
    fake.break_next(GeminiFault::CutAfter(0), 1);
    let answer = read(call.think(prompt(&messages))).await;
    assert_eq!((answer.text.as_str(), answer.done), ("one two", true), "{answer:?}");
    let told = fake.last_setup()["systemInstruction"]["parts"][0]["text"].as_str().expect("a text").to_owned();
    assert!(told.contains("You: Welcome\n"), "{told}");
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
    assert_eq!(say(&mut stream, 2).await, "tell me", "the transcription goes on");
}

#[tokio::test]
async fn an_utterance_survives_a_break() {
    let fake = fake(&["tell me"], &["one"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    fake.break_next(GeminiFault::CutAfter(0), 1);
    speak(&stream, 400).await;
    tell(&stream, TranscriberInput::Finalize { work: 1 }).await;
    let TranscriberOutput::Final { work: 1, text } = answer(&mut stream).await else { panic!("no text") };
    assert_eq!(text, "tell me");
    assert!(fake.stats().bytes >= 390 * 32, "{}", fake.stats().bytes);
}

#[tokio::test]
async fn a_connection_that_is_to_end_is_replaced_in_a_quiet_moment() {
    let fake = fake(&["tell me"], &["one two"]).await;
    fake.break_next(GeminiFault::GoAway, 1);
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    until("it is replaced", || fake.stats().connections == 2 && fake.stats().open == 1).await;
    assert_eq!(say(&mut stream, 1).await, "tell me");
    assert_eq!(read(call.think(prompt(&[caller("tell me")]))).await.text, "one two");
}

#[tokio::test]
async fn a_vendor_that_stays_away_ends_everything_once() {
    let fake = fake(&["tell me"], &["one two"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    fake.break_next(GeminiFault::CutAfter(0), 1);
    let thoughts = call.think(prompt(&[caller("tell me")]));
    drop(fake);
    assert!(read(thoughts).await.error.expect("an error").is_transient());
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert!(error.is_transient(), "{error}");
    assert!(next(&mut stream).await.is_none(), "and then it is closed");
}

#[tokio::test]
async fn words_that_are_never_written_down_fail_in_time() {
    let fake = fake(&["tell me"], &["one two"]).await;
    fake.break_next(GeminiFault::Silent, 1);
    let mut stream = hasty_call(&fake).open(options()).await.expect("a stream");
    speak(&stream, 200).await;
    tell(&stream, TranscriberInput::Finalize { work: 1 }).await;
    let TranscriberOutput::Failed { work: Some(1), error } = answer(&mut stream).await else { panic!("answered") };
    assert_eq!(error.kind, ErrorKind::TimedOut);
}

#[tokio::test]
async fn messages_nobody_knows_are_skipped() {
    let fake = fake(&["tell me"], &["one two"]).await;
    fake.break_next(GeminiFault::Garbage, 1);
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    assert_eq!(say(&mut stream, 1).await, "tell me");
    assert_eq!(read(call.think(prompt(&[caller("tell me")]))).await.text, "one two");
    assert_eq!(fake.stats().connections, 1);
}

#[tokio::test]
async fn the_end_of_a_call_closes_its_connection() {
    let fake = fake(&[], &[]).await;
    let call = call(&fake);
    let stream = call.open(options()).await.expect("a stream");
    assert_eq!(fake.stats().open, 1);
    drop(call);
    drop(stream);
    until("it is closed", || fake.stats().open == 0).await;
}
