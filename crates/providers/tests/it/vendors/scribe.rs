//! ElevenLabs' live transcription, over real sockets.

use super::{PATIENCE, http, key, nobody, until};
use providers::ErrorKind;
use providers::elevenlabs::{ElevenLabsTranscriber, ListenSettings};
use providers::transcriber::{
    AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream,
};
use std::time::Duration;
use testkit::vendors::{Scribe, ScribeFault, Transcripts};
use tokio::time::timeout;

const RATE: u32 = 8_000;
const KEY: &str = "sk-secret";

async fn scripted(texts: &[&str]) -> Scribe {
    let transcripts = Transcripts::Script(texts.iter().map(|t| (*t).to_owned()).collect());
    Scribe::start(KEY, transcripts, Duration::from_secs(15)).await.expect("a free port")
}

fn settings(fake: &Scribe) -> ListenSettings {
    ListenSettings {
        base_url: fake.url(),
        reconnect_first_wait: Duration::from_millis(20),
        ..ListenSettings::new(key(KEY))
    }
}

fn hasty(fake: &Scribe) -> ListenSettings {
    ListenSettings { finalize_timeout: Duration::from_millis(200), ..settings(fake) }
}

fn options(language: &str) -> TranscriberOptions {
    TranscriberOptions { sample_rate_hz: RATE, language: language.into() }
}

async fn open(settings: ListenSettings) -> TranscriberStream {
    ElevenLabsTranscriber::new(http(), settings).open(options("hi-IN")).await.expect("a stream")
}

async fn send_at(stream: &TranscriberStream, rate: u32, level: i16, ms: usize) {
    for _ in 0..ms / 20 {
        let frame = vec![level; rate as usize / 50];
        stream.input.send(TranscriberInput::Audio(frame.into())).await.expect("it listens");
    }
}

async fn speak(stream: &TranscriberStream, ms: usize) {
    send_at(stream, RATE, 2_000, ms).await;
}

async fn finalize(stream: &TranscriberStream, work: u64) {
    stream.input.send(TranscriberInput::Finalize { work }).await.expect("it listens");
}

async fn discard(stream: &TranscriberStream) {
    stream.input.send(TranscriberInput::Discard).await.expect("it listens");
}

async fn next(stream: &mut TranscriberStream) -> Option<TranscriberOutput> {
    timeout(PATIENCE, stream.output.recv()).await.expect("an answer")
}

/// The next that answers something.
async fn answer(stream: &mut TranscriberStream) -> TranscriberOutput {
    loop {
        match next(stream).await.expect("it lives") {
            TranscriberOutput::Partial { .. }
            | TranscriberOutput::EndOfUtterance { .. }
            | TranscriberOutput::Language { .. } => {}
            other => return other,
        }
    }
}

async fn final_text(stream: &mut TranscriberStream, want: u64) -> String {
    match answer(stream).await {
        TranscriberOutput::Final { work, text } if work == want => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn words_are_shown_and_the_text_is_asked_for() {
    let fake = scripted(&["मेरा ऑर्डर कहाँ है", "धन्यवाद"]).await;
    let mut stream = open(settings(&fake)).await;
    speak(&stream, 500).await;
    finalize(&stream, 5).await;
    let mut partials = Vec::new();
    loop {
        match next(&mut stream).await.expect("it lives") {
            TranscriberOutput::Partial { text } => partials.push(text),
            TranscriberOutput::Final { work: 5, text } => {
                assert_eq!(text, "मेरा ऑर्डर कहाँ है");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(partials, ["मेरा ऑर्डर", "मेरा ऑर्डर कहाँ है"]);
    discard(&stream).await;
    speak(&stream, 400).await;
    finalize(&stream, 6).await;
    assert_eq!(final_text(&mut stream, 6).await, "धन्यवाद", "the first utterance is forgotten");
    assert_eq!(fake.stats().refused, 0);
    let want = "model_id=scribe_v2_realtime&audio_format=pcm_8000&commit_strategy=manual&language_code=hi";
    assert_eq!(fake.last_query(), want);
}

#[tokio::test]
async fn short_words_and_silence_are_answered_too() {
    let fake = scripted(&["yes"]).await;
    let mut stream = open(settings(&fake)).await;
    speak(&stream, 100).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "yes", "too little audio for a commit is made up with silence");
    finalize(&stream, 2).await;
    assert_eq!(final_text(&mut stream, 2).await, "yes", "nothing new");
    discard(&stream).await;
    send_at(&stream, RATE, 0, 600).await;
    finalize(&stream, 3).await;
    assert_eq!(final_text(&mut stream, 3).await, "");
    assert_eq!((fake.stats().refused, fake.stats().streams), (0, 1));
}

#[tokio::test]
async fn two_halves_are_one_utterance() {
    let fake = scripted(&["where is", "my order"]).await;
    let mut stream = open(settings(&fake)).await;
    speak(&stream, 400).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is");
    speak(&stream, 400).await;
    finalize(&stream, 2).await;
    assert_eq!(final_text(&mut stream, 2).await, "where is my order");
}

#[tokio::test]
async fn the_language_is_found_out_when_none_is_given() {
    let fake = scripted(&["नमस्ते"]).await;
    let transcriber = ElevenLabsTranscriber::new(http(), settings(&fake));
    let mut stream = transcriber.open(options("")).await.expect("a stream");
    for work in 1..=2 {
        speak(&stream, 400).await;
        finalize(&stream, work).await;
        assert_eq!(final_text(&mut stream, work).await, ["नमस्ते", "नमस्ते नमस्ते"][work as usize - 1]);
    }
    discard(&stream).await;
    finalize(&stream, 3).await;
    let mut tags = Vec::new();
    loop {
        match next(&mut stream).await.expect("it lives") {
            TranscriberOutput::Language { tag } => tags.push(tag),
            TranscriberOutput::Final { work: 3, .. } => break,
            _ => {}
        }
    }
    assert!(tags.len() <= 1, "{tags:?}: told again although it did not change");
    assert!(fake.last_query().contains("include_language_detection=true"));
}

#[tokio::test]
async fn odd_rates_are_sent_as_16_khz() {
    let fake = scripted(&["yes"]).await;
    let transcriber = ElevenLabsTranscriber::new(http(), settings(&fake));
    let options = TranscriberOptions { sample_rate_hz: 32_000, ..options("en-IN") };
    let mut stream = transcriber.open(options).await.expect("a stream");
    send_at(&stream, 32_000, 2_000, 500).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "yes");
    assert_eq!(fake.stats().bytes, 500 * 32);
    assert!(fake.last_query().contains("pcm_16000"));
}

#[tokio::test]
async fn a_refused_handshake_has_its_kind_and_tells_no_secret() {
    let fake = scripted(&["yes"]).await;
    for (status, kind) in [
        (400, ErrorKind::Rejected),
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Unauthorized),
        (429, ErrorKind::Overloaded),
        (500, ErrorKind::Unavailable),
        (503, ErrorKind::Overloaded),
    ] {
        fake.break_streams(ScribeFault::Status(status), 2);
        let transcriber = ElevenLabsTranscriber::new(http(), settings(&fake));
        let error = transcriber.open(options("hi-IN")).await.expect_err("refused");
        assert_eq!(error.kind, kind, "{status}");
        assert_eq!(transcriber.check().await.expect_err("refused").kind, kind, "{status}");
        let shown = format!("{error} {error:?} {transcriber:?}");
        assert!(shown.contains(&status.to_string()) && !shown.contains(KEY), "{shown}");
        assert_eq!(shown.contains("retry after 7 s"), status == 429, "{shown}");
    }
}

#[tokio::test]
async fn a_wrong_key_ends_the_check_and_the_stream() {
    let fake = scripted(&["yes"]).await;
    let wrong = ListenSettings { key: key("wrong"), ..settings(&fake) };
    let error = ElevenLabsTranscriber::new(http(), wrong.clone()).check().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let mut stream = open(wrong).await;
    finalize(&stream, 1).await;
    let mut kinds = Vec::new();
    while let Some(output) = next(&mut stream).await {
        if let TranscriberOutput::Failed { work, error } = output {
            kinds.push((work, error.kind));
        }
    }
    assert!(kinds.ends_with(&[(None, ErrorKind::Unauthorized)]), "{kinds:?}");
    let right = ListenSettings { key: key(" sk-secret\n"), ..settings(&fake) };
    ElevenLabsTranscriber::new(http(), right).check().await.expect("the key is right");
    until("the check leaves nothing open", || fake.stats().open == 0).await;
}

#[tokio::test]
async fn bad_settings_are_refused_before_anything_is_sent() {
    let fake = scripted(&["yes"]).await;
    for url in ["", "api.elevenlabs.io", "ftp://x", "ws://"] {
        let odd = ListenSettings { base_url: url.into(), ..settings(&fake) };
        let error = ElevenLabsTranscriber::new(http(), odd).open(options("hi-IN")).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Rejected, "{url}: {error}");
    }
    let odd = ListenSettings { key: key("a\nb"), ..settings(&fake) };
    let error = ElevenLabsTranscriber::new(http(), odd).open(options("hi-IN")).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let transcriber = ElevenLabsTranscriber::new(http(), settings(&fake));
    assert_eq!((transcriber.name(), transcriber.audio_wanted()), ("elevenlabs", AudioWanted::Continuous));
    for rate in [0, 4_000, 96_000] {
        let bad = TranscriberOptions { sample_rate_hz: rate, ..options("hi-IN") };
        assert_eq!(transcriber.open(bad).await.expect_err("refused").kind, ErrorKind::Rejected);
    }
    assert_eq!(fake.stats().streams, 0);
    let away = ListenSettings { base_url: format!("ws://{}", nobody()), ..settings(&fake) };
    let error = ElevenLabsTranscriber::new(http(), away).open(options("hi-IN")).await.expect_err("nobody there");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_broken_connection_is_mended_and_nothing_is_lost() {
    let fake = scripted(&["where is my order"]).await;
    fake.break_streams(ScribeFault::CloseAfter { audio_ms: 400, code: 1011 }, 1);
    let mut stream = open(settings(&fake)).await;
    speak(&stream, 600).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is my order");
    let stats = fake.stats();
    assert_eq!(stats.streams, 2);
    assert!(stats.bytes >= (600 + 400) * 16, "{}: the beginning was not sent again", stats.bytes);
}

#[tokio::test]
async fn hopeless_errors_are_not_tried_again_and_others_are() {
    let fake = scripted(&["yes"]).await;
    for (kind, want) in [
        ("quota_exceeded", ErrorKind::Rejected),
        ("unaccepted_terms", ErrorKind::Rejected),
        ("auth_error", ErrorKind::Unauthorized),
    ] {
        let before = fake.stats().streams;
        fake.break_streams(ScribeFault::ErrorAfter { audio_ms: 100, kind }, 1);
        let mut stream = open(settings(&fake)).await;
        speak(&stream, 200).await;
        let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
        assert_eq!((error.kind, fake.stats().streams), (want, before + 1), "{kind}");
        assert!(!error.to_string().contains("secret words"), "{error}");
    }
    for kind in ["rate_limited", "session_time_limit_exceeded", "transcriber_error"] {
        let before = fake.stats().streams;
        fake.break_streams(ScribeFault::ErrorAfter { audio_ms: 100, kind }, 1);
        let stream = open(settings(&fake)).await;
        speak(&stream, 200).await;
        until("it connects again", || fake.stats().streams == before + 2).await;
    }
}

#[tokio::test]
async fn a_vendor_that_stays_away_ends_the_stream() {
    let fake = scripted(&["yes"]).await;
    fake.break_streams(ScribeFault::CloseAfter { audio_ms: 100, code: 1011 }, 1);
    let mut stream = open(settings(&fake)).await;
    fake.break_streams(ScribeFault::Status(503), 100);
    speak(&stream, 200).await;
    finalize(&stream, 3).await;
    let TranscriberOutput::Failed { work: Some(3), error } = answer(&mut stream).await else { panic!("no failure") };
    assert_eq!(error.kind, ErrorKind::Overloaded);
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert!(error.is_transient());
    assert!(next(&mut stream).await.is_none(), "and then it is closed");
    assert_eq!(fake.stats().refused, 3, "three tries");
}

#[tokio::test]
async fn a_commit_without_an_answer_is_answered_with_what_is_there() {
    let fake = scripted(&["where is my order"]).await;
    fake.break_streams(ScribeFault::NoFinal, 1);
    let mut stream = open(hasty(&fake)).await;
    speak(&stream, 500).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is");
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let fake = scripted(&["where is", "my order"]).await;
    fake.break_streams(ScribeFault::Slow(100), 1);
    let mut stream = open(settings(&fake)).await;
    speak(&stream, 200).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is");
}

#[tokio::test]
async fn a_mute_vendor_fails_the_requests_and_is_left() {
    let fake = scripted(&["where is my order"]).await;
    fake.break_streams(ScribeFault::Mute, 1);
    let mut stream = open(hasty(&fake)).await;
    speak(&stream, 300).await;
    for work in 1..=2 {
        finalize(&stream, work).await;
        let TranscriberOutput::Failed { work: Some(failed), error } = answer(&mut stream).await else {
            panic!("answered")
        };
        assert_eq!((failed, error.kind), (work, ErrorKind::TimedOut));
    }
    until("it connects again", || fake.stats().streams == 2).await;
    finalize(&stream, 3).await;
    assert_eq!(final_text(&mut stream, 3).await, "where is my order", "it got the audio");
}

#[tokio::test]
async fn messages_nobody_knows_are_skipped() {
    let fake = scripted(&["where is my order"]).await;
    fake.break_streams(ScribeFault::Garbage, 1);
    let mut stream = open(settings(&fake)).await;
    speak(&stream, 400).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is my order");
    assert_eq!(fake.stats().streams, 1);
}

#[tokio::test]
async fn a_silent_line_is_kept_open() {
    let transcripts = Transcripts::Script(vec!["yes".into()]);
    let fake = Scribe::start(KEY, transcripts, Duration::from_millis(400)).await.expect("a free port");
    let keeping = ListenSettings { keep_alive_every: Duration::from_millis(50), ..settings(&fake) };
    let _stream = open(keeping).await;
    until("much silence", || fake.stats().bytes >= 12 * 320).await;
    assert_eq!(fake.stats().streams, 1);
}

#[tokio::test]
async fn the_end_of_a_call_ends_the_stream() {
    let fake = scripted(&["yes"]).await;
    let stream = open(settings(&fake)).await;
    until("it is open", || fake.stats().open == 1).await;
    drop(stream);
    until("it is closed", || fake.stats().open == 0).await;
    // Whoever keeps one end does not keep the stream.
    let TranscriberStream { input, output } = open(settings(&fake)).await;
    drop(output);
    until("it is closed, too", || fake.stats().open == 0 && input.is_closed()).await;
    let mut stream = open(settings(&fake)).await;
    drop(fake);
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
