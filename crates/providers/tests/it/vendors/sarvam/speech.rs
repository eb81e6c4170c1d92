use super::super::{PATIENCE, fakes, http, key, nobody, until};
use providers::openai::Deadlines;
use providers::sarvam::{SarvamSpeaker, SpeakerSettings};
use providers::speaker::{CHUNK_QUEUE, SpeakRequest, Speaker, SpeechChunk, TEXT_BYTES_MAX};
use providers::{Error, ErrorKind};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::vendors::{FakeVendors, SarvamSpeechFault, VendorSettings};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

fn settings(fakes: &FakeVendors) -> SpeakerSettings {
    SpeakerSettings { base_url: fakes.sarvam_url(), ..SpeakerSettings::new(key("sk-sarvam-secret")) }
}

fn speaker(fakes: &FakeVendors) -> SarvamSpeaker {
    SarvamSpeaker::new(http(), settings(fakes))
}

fn hasty(fakes: &FakeVendors) -> SarvamSpeaker {
    let deadlines =
        Deadlines { first: Duration::from_millis(300), idle: Duration::from_millis(300), ..Deadlines::default() };
    SarvamSpeaker::new(http(), SpeakerSettings { deadlines, ..settings(fakes) })
}

fn request(text: &str, sample_rate_hz: u32) -> SpeakRequest {
    SpeakRequest { text: text.into(), language: "hi-IN".into(), voice: String::new(), sample_rate_hz }
}

async fn listen(mut chunks: Receiver<Result<SpeechChunk, Error>>) -> (Vec<Vec<i16>>, Option<Error>) {
    let mut all = Vec::new();
    let reading = async {
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Ok(chunk) => all.push(chunk.pcm),
                Err(error) => return Some(error),
            }
        }
        None
    };
    let error = timeout(PATIENCE, reading).await.expect("an end");
    (all, error)
}

#[tokio::test]
async fn speech_has_the_wanted_rate_and_length() {
    let fakes = fakes().await;
    let speaker = speaker(&fakes);
    assert_eq!(speaker.name(), "sarvam");
    for rate in [8_000u32, 16_000, 24_000] {
        let (chunks, error) = listen(speaker.speak(request("एक दो तीन", rate))).await;
        assert!(error.is_none(), "{error:?}");
        // Three words of 330 ms, made in whole chunks of 250 ms.
        let samples: usize = chunks.iter().map(Vec::len).sum();
        assert_eq!(samples, rate as usize);
        assert!(chunks.iter().all(|c| !c.is_empty() && c.len() <= rate as usize / 10));
        let loud = chunks.iter().flatten().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples as f64;
        assert!(loud.sqrt() > 500.0, "too quiet at {rate}: {}", loud.sqrt());
        let config: Value = serde_json::from_str(&fakes.sarvam().last_config()).expect("JSON");
        let want = json!({"model":"bulbul:v3","language_code":"hi-IN","speaker":"shubh","speech_sample_rate":rate,
            "output_audio_codec":"linear16"});
        assert_eq!(config, want);
    }
    let stats = fakes.sarvam().stats();
    assert_eq!((stats.aborted, stats.refused), (0, 0));
}

#[tokio::test]
async fn sentences_one_after_the_other_share_a_connection() {
    let fakes = fakes().await;
    let speaker = speaker(&fakes);
    speaker.check().await.expect("it works");
    for n in 0..5 {
        // Each with its own configuration.
        let named = SpeakRequest {
            voice: if n % 2 == 0 { "ritu".into() } else { String::new() },
            language: if n % 2 == 0 { "ta".into() } else { "or-IN".into() },
            ..request("one two three four", if n % 2 == 0 { 8_000 } else { 16_000 })
        };
        let (chunks, error) = listen(speaker.clone().speak(named)).await;
        assert!(error.is_none() && !chunks.is_empty(), "{error:?}");
        let (voice, language) = if n % 2 == 0 { ("ritu", "ta-IN") } else { ("shubh", "od-IN") };
        let config: Value = serde_json::from_str(&fakes.sarvam().last_config()).expect("JSON");
        assert_eq!((&config["speaker"], &config["language_code"]), (&json!(voice), &json!(language)));
    }
    let stats = fakes.sarvam().stats();
    assert_eq!((stats.speech_streams, stats.sentences), (1, 5), "the check opened it");
    // Sentences at the same time need one each, and leave them for later.
    let both = [speaker.speak(request("one", 8_000)), speaker.speak(request("two", 8_000))];
    for chunks in both {
        assert!(listen(chunks).await.1.is_none());
    }
    for _ in 0..3 {
        assert!(listen(speaker.speak(request("again", 8_000))).await.1.is_none());
    }
    assert_eq!(fakes.sarvam().stats().speech_streams, 2);
    drop(speaker);
    until("all are closed", || fakes.sarvam().stats().speech_open == 0).await;
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced_unheard() {
    let fakes = fakes().await;
    let speaker = speaker(&fakes);
    for _ in 0..4 {
        fakes.sarvam().break_speech(SarvamSpeechFault::CloseAtEnd, 1);
        let (chunks, error) = listen(speaker.speak(request("one two three", 8_000))).await;
        assert!(error.is_none() && !chunks.is_empty(), "{error:?}");
    }
    assert_eq!((fakes.sarvam().stats().speech_streams, fakes.sarvam().stats().sentences), (4, 4));
}

#[tokio::test]
async fn what_cannot_be_spoken_is_not_asked_for() {
    let fakes = fakes().await;
    let speaker = speaker(&fakes);
    let (chunks, error) = listen(speaker.speak(request(" \n", 8_000))).await;
    assert!(chunks.is_empty() && error.is_none());
    let french = SpeakRequest { language: "fr-FR".into(), ..request("Bonjour", 8_000) };
    let long = request(&"a".repeat(TEXT_BYTES_MAX + 1), 8_000);
    for bad in [long, request("Hello", 11_025), request("Hello", 0), french] {
        let (_, error) = listen(speaker.speak(bad)).await;
        assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
    }
    assert_eq!(fakes.sarvam().stats().speech_streams, 0);
}

#[tokio::test]
async fn failures_have_their_kind_and_tell_no_secret() {
    let fakes = fakes().await;
    for (fault, kind) in [
        (SarvamSpeechFault::Status(403), ErrorKind::Unauthorized),
        (SarvamSpeechFault::Status(400), ErrorKind::Rejected),
        (SarvamSpeechFault::Status(429), ErrorKind::Overloaded),
        (SarvamSpeechFault::Status(500), ErrorKind::Unavailable),
        (SarvamSpeechFault::ErrorAfter(0, 422), ErrorKind::Rejected),
        (SarvamSpeechFault::ErrorAfter(1, 429), ErrorKind::Overloaded),
        (SarvamSpeechFault::StallAfter(0), ErrorKind::TimedOut),
        (SarvamSpeechFault::StallAfter(2), ErrorKind::TimedOut),
        (SarvamSpeechFault::CutAfter(0), ErrorKind::Unavailable),
        (SarvamSpeechFault::CutAfter(2), ErrorKind::Unavailable),
        (SarvamSpeechFault::Wav, ErrorKind::Protocol),
        (SarvamSpeechFault::Mp3, ErrorKind::Protocol),
        (SarvamSpeechFault::Empty, ErrorKind::Protocol),
        (SarvamSpeechFault::NotBase64, ErrorKind::Protocol),
        (SarvamSpeechFault::NotJson, ErrorKind::Protocol),
    ] {
        fakes.sarvam().break_speech(fault, 1);
        let (chunks, error) = listen(hasty(&fakes).speak(request("one two three", 8_000))).await;
        let error = error.expect("an error");
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        use SarvamSpeechFault::{CutAfter, ErrorAfter, StallAfter};
        let some = matches!(fault, StallAfter(2) | CutAfter(2) | ErrorAfter(1, _));
        assert_eq!(!chunks.is_empty(), some, "{fault:?}: noise must not be heard");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("sk-sarvam-secret") && !shown.contains("one two"), "{shown}");
    }
    let away = SpeakerSettings { base_url: format!("ws://{}", nobody()), ..settings(&fakes) };
    let (_, error) = listen(SarvamSpeaker::new(http(), away).speak(request("Hello", 8_000))).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_voice_the_model_does_not_have_is_refused() {
    let fakes = fakes().await;
    let odd = SpeakRequest { voice: "anushka".into(), ..request("Hello", 8_000) };
    let (_, error) = listen(speaker(&fakes).speak(odd)).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
}

#[tokio::test]
async fn the_check_tells_a_wrong_key() {
    let strict = VendorSettings { key: Some("right".into()), ..VendorSettings::instant() };
    let fakes = FakeVendors::start(strict).await.expect("a free port");
    assert_eq!(speaker(&fakes).check().await.expect_err("refused").kind, ErrorKind::Unauthorized);
    let right = SpeakerSettings { key: key("right"), ..settings(&fakes) };
    SarvamSpeaker::new(http(), right).check().await.expect("the key is right");
}

#[tokio::test]
async fn the_first_sound_does_not_wait_for_the_last() {
    let settings = VendorSettings { speech_speed: 20.0, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let mut chunks = speaker(&fakes).speak(request(&"word ".repeat(60), 8_000));
    let first = timeout(PATIENCE, chunks.recv()).await.expect("a chunk").expect("one").expect("no error");
    assert!(!first.pcm.is_empty());
    assert!(fakes.sarvam().stats().speech_bytes < 60 * 330 * 16, "all was made before the first was heard");
}

#[tokio::test]
async fn a_call_that_takes_its_time_holds_the_service_back_and_loses_nothing() {
    let fakes = fakes().await;
    let mut chunks = hasty(&fakes).speak(request(&"word ".repeat(60), 8_000));
    until("the queue is full", || chunks.len() == CHUNK_QUEUE).await;
    // Longer than the service may pause: the waiting is ours.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut samples = 0;
    while let Some(chunk) = timeout(PATIENCE, chunks.recv()).await.expect("more") {
        samples += chunk.expect("no error").pcm.len();
    }
    assert_eq!(samples, (60_usize * 330).div_ceil(250) * 2_000);
}

#[tokio::test]
async fn dropping_the_receiver_ends_the_sentence_and_its_connection() {
    let fakes = fakes().await;
    let speaker = speaker(&fakes);
    fakes.sarvam().break_speech(SarvamSpeechFault::StallAfter(2), 1);
    let mut chunks = speaker.speak(request("one two three", 8_000));
    assert!(chunks.recv().await.is_some());
    drop(chunks);
    until("the speech is dropped", || fakes.sarvam().stats().aborted == 1).await;
    until("the connection is closed", || fakes.sarvam().stats().speech_open == 0).await;
    let (chunks, error) = listen(speaker.speak(request("next", 8_000))).await;
    assert!(error.is_none() && !chunks.is_empty(), "{error:?}");
    assert_eq!(fakes.sarvam().stats().speech_streams, 2);
}
