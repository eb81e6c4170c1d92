//! OpenAI Realtime, over real sockets: transcriber, model and speaker on one connection.

use super::realtime::{
    KEY, RATE, answer, caller, hasty, listen, next, options, prompt, read, request, say, speak, tell,
};
use super::{PATIENCE, http, key, nobody, until};
use model::{SpeechModelConfig, SpeechModelVendor};
use providers::ErrorKind;
use providers::language_model::{LanguageModel, Message, Prompt, ToolSpec, Usage};
use providers::realtime::{SpeechModelCall, check, speech_model, speech_model_with};
use providers::speaker::{SpeakRequest, Speaker};
use providers::transcriber::{AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput};
use serde_json::json;
use std::sync::Arc;
use testkit::vendors::{OpenAiRealtime, RealtimeFault, Reply};
use tokio::time::timeout;

async fn fake(transcripts: &[&str], replies: &[&str]) -> OpenAiRealtime {
    let transcripts = transcripts.iter().map(|text| (*text).to_owned()).collect();
    let replies = replies.iter().map(|text| Reply::Words((*text).to_owned())).collect();
    OpenAiRealtime::start(KEY, transcripts, replies).await.expect("a free port")
}

fn config(url: &str) -> SpeechModelConfig {
    SpeechModelConfig {
        vendor: SpeechModelVendor::Openai,
        base_url: Some(url.to_owned()),
        model: String::new(),
        voice: String::new(),
        system_prompt: "Be kind.".into(),
    }
}

fn call(fake: &OpenAiRealtime) -> Arc<SpeechModelCall> {
    speech_model(&http(), &config(&fake.url()), Some(key(KEY)), RATE).expect("right settings")
}

fn hasty_call(fake: &OpenAiRealtime) -> Arc<SpeechModelCall> {
    speech_model_with(&http(), &config(&fake.url()), Some(key(KEY)), RATE, hasty()).expect("right settings")
}

#[tokio::test]
async fn one_connection_hears_answers_and_says() {
    let fake = fake(&["मेरा ऑर्डर कहाँ है", "धन्यवाद"], &["It is on its way", "You are welcome"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    // 8 words of 200 ms, at the call's rate.
    let (samples, error) = listen(call.speak(request("Welcome to the clinic how can I help"))).await;
    assert!(error.is_none() && samples.abs_diff(8 * 1_600) < 160, "{samples} {error:?}");
    assert_eq!(say(&mut stream, 1).await, "मेरा ऑर्डर कहाँ है");
    let mut messages = vec![Message::agent("Welcome to the clinic how can I help"), caller("मेरा ऑर्डर कहाँ है")];
    let read_back = read(call.think(prompt(&messages))).await;
    assert_eq!((read_back.text.as_str(), read_back.done), ("It is on its way", true));
    assert!(read_back.samples.abs_diff(5 * 1_600) < 160, "{}", read_back.samples);
    let usage = Usage { prompt_tokens: 20, cached_tokens: 5, completion_tokens: 10 };
    assert_eq!(read_back.usage, Some(usage));
    assert_eq!(
        fake.conversation(),
        ["agent: Welcome to the clinic how can I help", "caller audio: मेरा ऑर्डर कहाँ है"],
        "what was said beside the conversation is part of it"
    );
    assert_eq!(say(&mut stream, 2).await, "धन्यवाद");
    messages.extend([Message::agent("It is on its way"), caller("धन्यवाद")]);
    assert_eq!(read(call.think(prompt(&messages))).await.text, "You are welcome");
    let stats = fake.stats();
    assert_eq!((stats.connections, stats.refused), (1, 0), "{}", stats.last_refusal);
    assert_eq!(fake.conversation().len(), 4, "nothing twice: {:?}", fake.conversation());
    let input = fake.session()["audio"]["input"].clone();
    assert_eq!((&input["turn_detection"], &input["transcription"]["language"]), (&json!(null), &json!("hi")));
    assert_eq!((Transcriber::name(&*call), call.audio_wanted()), ("openai-realtime", AudioWanted::SpeechOnly));
}

#[tokio::test]
async fn an_interrupted_answer_is_known_as_far_as_it_was_heard() {
    let fake = fake(&["tell me", "stop"], &["one two three four", "sorry"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    read(call.think(prompt(&[caller("tell me")]))).await;
    say(&mut stream, 2).await;
    let heard = [caller("tell me"), Message::agent("one two"), caller("stop")];
    assert_eq!(read(call.think(prompt(&heard))).await.text, "sorry");
    // "onetwo" is 6 of 15 letters, of 800 ms.
    assert_eq!(fake.conversation(), ["caller audio: tell me", "agent heard 320 ms", "caller audio: stop"]);
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn what_was_never_heard_is_taken_back_and_a_cough_too() {
    let fake = fake(&["hm", "tell me", "no"], &["one two three four", "sorry"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    for work in 1..=2 {
        say(&mut stream, work).await;
    }
    read(call.think(prompt(&[caller("tell me")]))).await;
    assert_eq!(fake.conversation(), ["caller audio: tell me"]);
    say(&mut stream, 3).await;
    read(call.think(prompt(&[caller("tell me"), caller("no")]))).await;
    assert_eq!(fake.conversation(), ["caller audio: tell me", "caller audio: no"]);
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn a_dropped_answer_is_cancelled_and_the_next_is_given() {
    let fake = fake(&["tell me"], &["a b c d e f g h", "sorry"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    fake.break_next(RealtimeFault::Drip(50), 1);
    let mut thoughts = call.think(prompt(&[caller("tell me")]));
    assert!(timeout(PATIENCE, thoughts.recv()).await.expect("a piece").is_some());
    drop(thoughts);
    assert_eq!(read(call.think(prompt(&[caller("tell me")]))).await.text, "sorry");
    let stats = fake.stats();
    assert_eq!((stats.cancelled, stats.refused, stats.connections), (1, 0, 1), "{}", stats.last_refusal);
    assert_eq!(fake.conversation(), ["caller audio: tell me"]);
    // The same for a sentence.
    fake.break_next(RealtimeFault::Drip(50), 1);
    let mut chunks = call.speak(request("a b c d e f g h"));
    assert!(timeout(PATIENCE, chunks.recv()).await.expect("a piece").is_some());
    drop(chunks);
    until("it is cancelled", || fake.stats().cancelled == 2).await;
}

#[tokio::test]
async fn functions_are_asked_for_and_their_results_are_given() {
    let replies = vec![Reply::Function("book".into(), r#"{"day":"Monday"}"#.into()), Reply::Words("Booked".into())];
    let fake = OpenAiRealtime::start(KEY, vec!["book me".into()], replies).await.expect("a free port");
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    let tools =
        vec![ToolSpec { name: "book".into(), description: "Books.".into(), parameters: json!({"type": "object"}) }];
    let asked = read(call.think(Prompt { tools: tools.clone(), ..prompt(&[caller("book me")]) })).await;
    let [tool] = &asked.tools[..] else { panic!("{asked:?}") };
    assert_eq!((tool.name.as_str(), tool.arguments.as_str(), asked.done), ("book", r#"{"day":"Monday"}"#, true));
    assert_eq!(fake.session()["tools"][0]["name"], "book");
    let result = Message::ToolResult { id: tool.id.clone(), name: "book".into(), text: "done".into() };
    let asked_tool = Message::Agent { text: String::new(), tool_calls: vec![tool.clone()] };
    let messages = [caller("book me"), asked_tool, result];
    assert_eq!(read(call.think(Prompt { tools, ..prompt(&messages) })).await.text, "Booked");
    let known = fake.conversation();
    assert_eq!((known.len(), known[2].as_str()), (3, "result done"), "{known:?}");
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn two_halves_are_one_utterance_and_no_words_are_no_words() {
    let fake = fake(&["where is", "my order", ""], &["Here"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    tell(&stream, TranscriberInput::Finalize { work: 9 }).await;
    let TranscriberOutput::Final { work: 9, text } = answer(&mut stream).await else { panic!("no text") };
    assert_eq!(text, "", "nothing was said");
    for (work, want) in [(1, "where is"), (2, "where is my order")] {
        speak(&stream, 40).await;
        tell(&stream, TranscriberInput::Finalize { work }).await;
        let TranscriberOutput::Final { text, .. } = answer(&mut stream).await else { panic!("no text") };
        assert_eq!(text, want, "too short for a commit is made longer");
    }
    tell(&stream, TranscriberInput::Discard).await;
    read(call.think(prompt(&[caller("where is my order")]))).await;
    assert_eq!(fake.conversation(), ["caller audio: where is", "caller audio: my order"]);
    assert_eq!(say(&mut stream, 3).await, "");
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn a_refused_handshake_has_its_kind_and_tells_no_secret() {
    let fake = fake(&[], &[]).await;
    for (status, kind) in [
        (400, ErrorKind::Rejected),
        (403, ErrorKind::Unauthorized),
        (429, ErrorKind::Overloaded),
        (500, ErrorKind::Unavailable),
        (503, ErrorKind::Overloaded),
    ] {
        fake.break_next(RealtimeFault::Status(status), 3);
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
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    check(&http(), &config(&fake.url()), Some(key(" sk-secret\n"))).await.expect("the key is right");
    until("the check leaves nothing open", || fake.stats().open == 0).await;
}

#[tokio::test]
async fn bad_settings_are_refused_before_anything_is_sent() {
    let fake = fake(&[], &[]).await;
    for url in ["", "api.openai.com", "ftp://x"] {
        let error = speech_model(&http(), &config(url), Some(key(KEY)), RATE).expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Rejected, "{url}: {error}");
    }
    let own = SpeechModelConfig { base_url: None, ..config("") };
    let error = speech_model(&http(), &own, None, RATE).expect_err("no key");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let error = speech_model(&http(), &config(&fake.url()), Some(key("a\nb")), RATE).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let error = speech_model(&http(), &config(&fake.url()), Some(key(KEY)), 0).expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Rejected);
    let call = call(&fake);
    let other = TranscriberOptions { sample_rate_hz: 16_000, ..options() };
    assert_eq!(call.open(other).await.expect_err("refused").kind, ErrorKind::Rejected);
    let (_, error) = listen(call.speak(SpeakRequest { sample_rate_hz: 16_000, ..request("a") })).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
    let (_, error) = listen(call.speak(request(&"a".repeat(2_001)))).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
    assert_eq!(listen(call.speak(request(" \n"))).await.0, 0);
    assert_eq!(fake.stats().connections, 0);
    let away = config(&format!("ws://{}", nobody()));
    let call = speech_model(&http(), &away, Some(key(KEY)), RATE).expect("right settings");
    assert_eq!(call.open(options()).await.expect_err("nobody there").kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_session_that_is_not_set_up_is_an_error() {
    let fake = fake(&[], &[]).await;
    for (fault, kind) in [
        (RealtimeFault::Mute, ErrorKind::TimedOut),
        (RealtimeFault::NoSession("invalid_session"), ErrorKind::Rejected),
        (RealtimeFault::NoSession("invalid_api_key"), ErrorKind::Unauthorized),
        (RealtimeFault::NoSession("insufficient_quota"), ErrorKind::Overloaded),
    ] {
        fake.break_next(fault, 1);
        let error = hasty_call(&fake).open(options()).await.expect_err("refused");
        assert_eq!(error.kind, kind, "{fault:?}");
        assert!(!error.to_string().contains("secret words"), "{error}");
    }
}

#[tokio::test]
async fn answers_that_go_wrong_have_their_kind() {
    let fake = fake(&["tell me"], &["one two three four"]).await;
    for (fault, kind, some) in [
        (RealtimeFault::Silent, ErrorKind::TimedOut, false),
        (RealtimeFault::StallAfter(0), ErrorKind::TimedOut, false),
        (RealtimeFault::StallAfter(2), ErrorKind::TimedOut, true),
        (RealtimeFault::CutAfter(2), ErrorKind::Unavailable, true),
        (RealtimeFault::FailAfter(0, "server_error"), ErrorKind::Unavailable, false),
        (RealtimeFault::FailAfter(2, "rate_limit_exceeded"), ErrorKind::Overloaded, true),
    ] {
        let call = hasty_call(&fake);
        let stream = call.open(options()).await.expect("a stream");
        fake.break_next(fault, 1);
        let answer = read(call.think(prompt(&[caller("tell me")]))).await;
        let error = answer.error.expect("an error");
        assert_eq!((error.kind, answer.samples > 0, answer.done), (kind, some, false), "{fault:?} {error}");
        assert!(!error.to_string().contains("secret words"), "{error}");
        // The next is answered, on this connection or another.
        assert_eq!(read(call.think(prompt(&[caller("tell me")]))).await.text, "one two three four", "{fault:?}");
        fake.break_next(fault, 1);
        let (samples, error) = listen(call.speak(request("one two three four"))).await;
        assert_eq!((error.expect("an error").kind, samples > 0), (kind, some), "{fault:?}");
        drop(stream);
    }
    assert_eq!(fake.stats().refused, 0, "{}", fake.stats().last_refusal);
}

#[tokio::test]
async fn a_slow_answer_is_an_answer_and_one_without_end_is_not() {
    let fake = fake(&["tell me"], &["one two three"]).await;
    let call = call(&fake);
    fake.break_next(RealtimeFault::Drip(60), 1);
    assert_eq!(read(call.think(prompt(&[caller("tell me")]))).await.text, "one two three");
    fake.break_next(RealtimeFault::Endless, 1);
    let answer = read(call.think(prompt(&[caller("tell me")]))).await;
    assert_eq!(answer.error.expect("an error").kind, ErrorKind::Protocol);
    assert!(answer.samples <= 181 * RATE as usize);
    until("it is cancelled", || fake.stats().cancelled == 1).await;
}

#[tokio::test]
async fn a_broken_connection_is_mended_with_the_conversation_so_far() {
    let fake = fake(&["tell me", "and then"], &["one two", "three"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    say(&mut stream, 1).await;
    fake.break_next(RealtimeFault::CutAfter(0), 1);
    // Nothing of it was delivered: it is asked again, on the new connection.
    let answer = read(call.think(prompt(&[Message::agent("Welcome"), caller("tell me")]))).await;
    assert_eq!((answer.text.as_str(), answer.done), ("one two", true), "{answer:?}");
    assert_eq!(fake.conversation(), ["agent: Welcome", "caller: tell me"], "as text");
    assert_eq!((fake.stats().connections, fake.stats().refused), (2, 0), "{}", fake.stats().last_refusal);
    // The transcription goes on.
    assert_eq!(say(&mut stream, 2).await, "tell me", "the script of a new connection begins anew");
}

#[tokio::test]
async fn an_utterance_survives_a_break() {
    let fake = fake(&["tell me"], &["one"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    speak(&stream, 400).await;
    until("it has heard it", || fake.stats().bytes >= 390 * 48).await;
    fake.break_next(RealtimeFault::CutAfter(0), 1);
    assert!(read(call.think(prompt(&[caller("a")]))).await.done);
    tell(&stream, TranscriberInput::Finalize { work: 1 }).await;
    let TranscriberOutput::Final { work: 1, text } = answer(&mut stream).await else { panic!("no text") };
    assert_eq!(text, "tell me");
    assert!(fake.stats().bytes >= 780 * 48, "{}: it was not sent again", fake.stats().bytes);
}

#[tokio::test]
async fn a_vendor_that_stays_away_ends_everything_once() {
    let fake = fake(&["tell me"], &["one two"]).await;
    let call = call(&fake);
    let mut stream = call.open(options()).await.expect("a stream");
    fake.break_next(RealtimeFault::CutAfter(0), 1);
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
    fake.break_next(RealtimeFault::NoTranscript, 1);
    let mut stream = hasty_call(&fake).open(options()).await.expect("a stream");
    speak(&stream, 200).await;
    tell(&stream, TranscriberInput::Finalize { work: 1 }).await;
    let TranscriberOutput::Failed { work: Some(1), error } = answer(&mut stream).await else { panic!("answered") };
    assert_eq!(error.kind, ErrorKind::TimedOut);
}

#[tokio::test]
async fn messages_nobody_knows_are_skipped() {
    let fake = fake(&["tell me"], &["one two"]).await;
    fake.break_next(RealtimeFault::Garbage, 1);
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
