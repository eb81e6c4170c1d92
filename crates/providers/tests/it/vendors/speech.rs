use super::{PATIENCE, fakes, http, key, nobody, until};
use providers::openai::{Deadlines, OpenAiSpeaker, SpeechSettings};
use providers::speaker::{CHUNK_QUEUE, SpeakRequest, Speaker, SpeechChunk, TEXT_BYTES_MAX};
use providers::{Error, ErrorKind};
use serde_json::Value;
use std::time::Duration;
use testkit::vendors::{FakeVendors, SpeechFault, VendorSettings};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

fn settings(url: &str) -> SpeechSettings {
    SpeechSettings { base_url: url.to_owned(), ..SpeechSettings::new("fake-tts", Some(key("sk-secret"))) }
}

fn speaker(url: &str) -> OpenAiSpeaker {
    OpenAiSpeaker::new(http(), settings(url))
}

fn hasty(url: &str) -> OpenAiSpeaker {
    let deadlines =
        Deadlines { first: Duration::from_millis(200), idle: Duration::from_millis(200), ..Deadlines::default() };
    OpenAiSpeaker::new(http(), SpeechSettings { deadlines, ..settings(url) })
}

fn request(text: &str, sample_rate_hz: u32) -> SpeakRequest {
    SpeakRequest { text: text.into(), language: "en-IN".into(), voice: String::new(), sample_rate_hz }
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
    for rate in [8_000u32, 16_000, 24_000] {
        let (chunks, error) = listen(speaker(&fakes.openai_url()).speak(request("One two three", rate))).await;
        assert!(error.is_none(), "{error:?}");
        // Three words of 330 ms, made in whole chunks of 100 ms.
        let samples: usize = chunks.iter().map(Vec::len).sum();
        assert!(samples.abs_diff(rate as usize) <= rate as usize / 100, "{samples} at {rate}");
        assert!(chunks.iter().all(|c| !c.is_empty() && c.len() <= rate as usize / 10));
        let loud = chunks.iter().flatten().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples as f64;
        assert!(loud.sqrt() > 500.0, "too quiet at {rate}: {}", loud.sqrt());
    }
    let sent: Value = serde_json::from_str(&fakes.last_speech()).expect("JSON");
    assert_eq!((sent["voice"].as_str(), sent["input"].as_str()), (Some("alloy"), Some("One two three")));
    assert_eq!((fakes.stats().speech_aborted, fakes.stats().refused), (0, 0));
}

#[tokio::test]
async fn the_voice_of_the_request_wins() {
    let fakes = fakes().await;
    let named = SpeakRequest { voice: "nova".into(), ..request("Hello", 8_000) };
    assert!(listen(speaker(&fakes.openai_url()).speak(named)).await.1.is_none());
    assert!(fakes.last_speech().contains(r#""voice":"nova""#));
}

#[tokio::test]
async fn what_cannot_be_spoken_is_not_asked_for() {
    let fakes = fakes().await;
    let speaker = speaker(&fakes.openai_url());
    let (chunks, error) = listen(speaker.speak(request(" \n", 8_000))).await;
    assert!(chunks.is_empty() && error.is_none());
    for bad in [request(&"a".repeat(TEXT_BYTES_MAX + 1), 8_000), request("Hello", 11_025), request("Hello", 0)] {
        let (_, error) = listen(speaker.speak(bad)).await;
        assert_eq!(error.expect("an error").kind, ErrorKind::Rejected);
    }
    assert_eq!(fakes.stats().speech_requests, 0);
}

#[tokio::test]
async fn failures_have_their_kind() {
    let fakes = fakes().await;
    for (fault, kind) in [
        (SpeechFault::Status(401), ErrorKind::Unauthorized),
        (SpeechFault::Status(400), ErrorKind::Rejected),
        (SpeechFault::Status(429), ErrorKind::Overloaded),
        (SpeechFault::Status(500), ErrorKind::Unavailable),
        (SpeechFault::StallAfter(0), ErrorKind::TimedOut),
        (SpeechFault::StallAfter(2), ErrorKind::TimedOut),
        (SpeechFault::CutAfter(2), ErrorKind::Unavailable),
        (SpeechFault::Wav, ErrorKind::Protocol),
        (SpeechFault::Mp3, ErrorKind::Protocol),
        (SpeechFault::Empty, ErrorKind::Protocol),
    ] {
        fakes.break_speech(fault, 1);
        let (chunks, error) = listen(hasty(&fakes.openai_url()).speak(request("One two three", 8_000))).await;
        assert_eq!(error.expect("an error").kind, kind, "{fault:?}");
        let some = matches!(fault, SpeechFault::StallAfter(2) | SpeechFault::CutAfter(2));
        assert_eq!(!chunks.is_empty(), some, "{fault:?}: noise must not be heard");
    }
    let (_, error) = listen(speaker(&format!("http://{}/v1", nobody())).speak(request("Hello", 8_000))).await;
    assert_eq!(error.expect("an error").kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_first_sound_does_not_wait_for_the_last() {
    let settings = VendorSettings { speech_speed: 20.0, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let mut chunks = speaker(&fakes.openai_url()).speak(request(&"word ".repeat(60), 8_000));
    let first = timeout(PATIENCE, chunks.recv()).await.expect("a chunk").expect("one").expect("no error");
    assert!(!first.pcm.is_empty());
    assert!(fakes.stats().speech_bytes < 60 * 330 * 48, "all was made before the first was heard");
}

#[tokio::test]
async fn a_call_that_takes_its_time_holds_the_service_back_and_loses_nothing() {
    let fakes = fakes().await;
    let mut chunks = hasty(&fakes.openai_url()).speak(request(&"word ".repeat(60), 8_000));
    until("the queue is full", || chunks.len() == CHUNK_QUEUE).await;
    // Longer than the service may pause: the waiting is ours.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut samples = 0;
    while let Some(chunk) = timeout(PATIENCE, chunks.recv()).await.expect("more") {
        samples += chunk.expect("no error").pcm.len();
    }
    assert!(samples.abs_diff(60 * 330 * 8) <= 800, "{samples}");
}

#[tokio::test]
async fn dropping_the_receiver_ends_the_request() {
    let fakes = fakes().await;
    fakes.break_speech(SpeechFault::StallAfter(2), 2);
    let mut chunks = speaker(&fakes.openai_url()).speak(request("One two three", 8_000));
    assert!(chunks.recv().await.is_some());
    drop(chunks);
    until("the speech is dropped", || fakes.stats().speech_aborted == 1).await;
}
