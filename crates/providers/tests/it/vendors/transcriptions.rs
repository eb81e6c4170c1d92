use super::{PATIENCE, fakes, http, key, nobody, until};
use providers::openai::{OpenAiTranscriber, TranscriptionSettings, UTTERANCE_S_MAX};
use providers::transcriber::{
    AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream,
};
use providers::{Error, ErrorKind};
use std::time::Duration;
use testkit::vendors::{FakeVendors, TranscriptionFault, Transcripts, VendorSettings};
use tokio::time::timeout;

const RATE: usize = 8_000;

fn settings(url: &str) -> TranscriptionSettings {
    TranscriptionSettings {
        base_url: url.to_owned(),
        ..TranscriptionSettings::new("whisper-fake", Some(key("sk-secret")))
    }
}

fn hasty(url: &str) -> TranscriptionSettings {
    TranscriptionSettings { timeout: Duration::from_millis(200), ..settings(url) }
}

fn options() -> TranscriberOptions {
    TranscriberOptions { sample_rate_hz: RATE as u32, language: "hi-IN".into() }
}

async fn open(settings: TranscriptionSettings) -> TranscriberStream {
    OpenAiTranscriber::new(http(), settings).open(options()).await.expect("a stream")
}

async fn scripted(texts: &[&str]) -> FakeVendors {
    let transcripts = Transcripts::Script(texts.iter().map(|t| (*t).to_owned()).collect());
    FakeVendors::start(VendorSettings { transcripts, ..VendorSettings::instant() }).await.expect("a free port")
}

async fn tell(stream: &TranscriberStream, input: TranscriberInput) {
    stream.input.send(input).await.expect("it listens");
}

async fn speak(stream: &TranscriberStream, level: i16, ms: usize) {
    tell(stream, TranscriberInput::Audio(vec![level; RATE * ms / 1_000].into())).await;
}

async fn finalize(stream: &TranscriberStream, work: u64) {
    tell(stream, TranscriberInput::Finalize { work }).await;
}

async fn next(stream: &mut TranscriberStream) -> (u64, Result<String, Error>) {
    match timeout(PATIENCE, stream.output.recv()).await.expect("an answer").expect("the stream lives") {
        TranscriberOutput::Final { work, text } => (work, Ok(text)),
        TranscriberOutput::Failed { work: Some(work), error } => (work, Err(error)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_utterance_is_sent_whole_and_its_text_comes_back() {
    let fakes = scripted(&[" Where is my order? ", "Thank you."]).await;
    let settings = TranscriptionSettings { prompt: "Caly".into(), ..settings(&fakes.openai_url()) };
    let mut stream = open(settings).await;
    speak(&stream, 100, 200).await;
    speak(&stream, -300, 300).await;
    finalize(&stream, 7).await;
    let (work, text) = next(&mut stream).await;
    assert_eq!((work, text.expect("a text").as_str()), (7, "Where is my order?"));
    let asked = fakes.last_transcription();
    assert_eq!((asked.model.as_str(), asked.language.as_str(), asked.prompt.as_str()), ("whisper-fake", "hi", "Caly"));
    assert_eq!(asked.sample_rate_hz, RATE as u32);
    assert_eq!(asked.pcm, [vec![100; 1_600], vec![-300; 2_400]].concat());
    // More of the same utterance: all of it is sent again.
    speak(&stream, 50, 100).await;
    finalize(&stream, 8).await;
    assert_eq!(next(&mut stream).await.1.expect("a text"), "Thank you.");
    assert_eq!(fakes.last_transcription().pcm.len(), 4_800);
    // A new one begins with nothing.
    tell(&stream, TranscriberInput::Discard).await;
    speak(&stream, 9, 100).await;
    finalize(&stream, 9).await;
    assert_eq!(next(&mut stream).await.0, 9);
    assert_eq!(fakes.last_transcription().pcm, vec![9; 800]);
    assert_eq!((fakes.stats().refused, fakes.stats().transcription_aborted), (0, 0));
}

#[tokio::test]
async fn it_says_what_it_is() {
    let transcriber = OpenAiTranscriber::new(http(), settings("http://127.0.0.1:1/v1"));
    assert_eq!((transcriber.name(), transcriber.audio_wanted()), ("openai", AudioWanted::SpeechOnly));
    let shown = format!("{transcriber:?}");
    assert!(!shown.contains("sk-secret"), "{shown}");
    let silent = TranscriberOptions { sample_rate_hz: 0, ..options() };
    assert_eq!(transcriber.open(silent).await.expect_err("refused").kind, ErrorKind::Rejected);
}

#[tokio::test]
async fn what_is_too_short_has_no_words_and_is_not_sent() {
    let fakes = fakes().await;
    let mut stream = open(settings(&fakes.openai_url())).await;
    finalize(&stream, 1).await;
    assert_eq!(next(&mut stream).await.1.expect("a text"), "");
    speak(&stream, 100, 99).await;
    finalize(&stream, 2).await;
    assert_eq!(next(&mut stream).await.1.expect("a text"), "");
    assert_eq!(fakes.stats().transcription_requests, 0);
}

#[tokio::test]
async fn a_long_utterance_keeps_its_end() {
    let fakes = fakes().await;
    let mut stream = open(settings(&fakes.openai_url())).await;
    for second in 0..UTTERANCE_S_MAX + 5 {
        speak(&stream, second as i16, 1_000).await;
    }
    finalize(&stream, 1).await;
    assert!(next(&mut stream).await.1.is_ok());
    let pcm = fakes.last_transcription().pcm;
    assert_eq!((pcm.len(), pcm.first(), pcm.last()), (RATE * UTTERANCE_S_MAX, Some(&5), Some(&64)));
}

#[tokio::test]
async fn the_language_can_be_left_to_the_model() {
    let fakes = fakes().await;
    let mut stream = open(TranscriptionSettings { send_language: false, ..settings(&fakes.openai_url()) }).await;
    speak(&stream, 100, 200).await;
    finalize(&stream, 1).await;
    assert!(next(&mut stream).await.1.is_ok());
    assert_eq!(fakes.last_transcription().language, "");
}

#[tokio::test]
async fn a_newer_request_takes_the_place_of_the_older_and_both_are_answered_once() {
    let fakes = fakes().await;
    let mut stream = open(settings(&fakes.openai_url())).await;
    fakes.break_transcription(TranscriptionFault::Hang, 1);
    speak(&stream, 100, 200).await;
    finalize(&stream, 1).await;
    until("the first one is there", || fakes.stats().transcription_requests == 1).await;
    speak(&stream, 100, 200).await;
    finalize(&stream, 2).await;
    let (first, second) = (next(&mut stream).await, next(&mut stream).await);
    assert_eq!((first.0, first.1.expect_err("replaced").kind), (1, ErrorKind::Overloaded));
    assert_eq!((second.0, second.1.is_ok()), (2, true));
    assert_eq!(fakes.last_transcription().pcm.len(), 3_200);
    until("the first one is dropped", || fakes.stats().transcription_aborted == 1).await;
    assert!(stream.output.try_recv().is_err());
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_dropped() {
    let fakes = fakes().await;
    fakes.break_transcription(TranscriptionFault::Hang, 3);
    for (n, ending) in ["discarded", "no more requests", "nobody reads"].into_iter().enumerate() {
        let stream = open(settings(&fakes.openai_url())).await;
        speak(&stream, 100, 200).await;
        finalize(&stream, 1).await;
        until("the request is there", || fakes.stats().transcription_requests == n as u64 + 1).await;
        let TranscriberStream { input, mut output } = stream;
        match ending {
            "discarded" => input.send(TranscriberInput::Discard).await.expect("it listens"),
            "no more requests" => drop(input),
            _ => output.close(),
        }
        until(ending, || fakes.stats().transcription_aborted == n as u64 + 1).await;
        assert!(output.try_recv().is_err(), "{ending}");
    }
}

#[tokio::test]
async fn failures_have_their_kind_and_the_stream_lives_on() {
    let fakes = scripted(&["नमस्ते"]).await;
    let mut stream = open(hasty(&fakes.openai_url())).await;
    speak(&stream, 100, 200).await;
    for (work, (fault, kind)) in [
        (TranscriptionFault::Status(400), ErrorKind::Rejected),
        (TranscriptionFault::Status(401), ErrorKind::Unauthorized),
        (TranscriptionFault::Status(429), ErrorKind::Overloaded),
        (TranscriptionFault::Status(500), ErrorKind::Unavailable),
        (TranscriptionFault::Status(529), ErrorKind::Overloaded),
        (TranscriptionFault::Hang, ErrorKind::TimedOut),
        (TranscriptionFault::Stall, ErrorKind::TimedOut),
        (TranscriptionFault::Cut, ErrorKind::Unavailable),
        (TranscriptionFault::Malformed, ErrorKind::Protocol),
        (TranscriptionFault::Html, ErrorKind::Protocol),
        (TranscriptionFault::NoText, ErrorKind::Protocol),
        (TranscriptionFault::Endless, ErrorKind::Protocol),
    ]
    .into_iter()
    .enumerate()
    {
        fakes.break_transcription(fault, 1);
        finalize(&stream, work as u64).await;
        let (answered, text) = next(&mut stream).await;
        let error = text.expect_err("an error");
        assert_eq!((answered, error.kind), (work as u64, kind), "{fault:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("sk-secret") && !shown.contains("नमस्ते"), "{shown}");
        assert_eq!(shown.contains("retry after 1 s"), fault == TranscriptionFault::Status(429), "{shown}");
    }
    fakes.break_transcription(TranscriptionFault::Drip, 1);
    finalize(&stream, 100).await;
    assert_eq!(next(&mut stream).await.1.expect("a text"), "नमस्ते");
}

#[tokio::test]
async fn the_check_tells_a_wrong_key_apart() {
    let settings = VendorSettings { key: Some("sk-right".into()), ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings).await.expect("a free port");
    let check = async |url: &str, key| {
        OpenAiTranscriber::new(http(), TranscriptionSettings { key, ..self::settings(url) }).check().await
    };
    check(&fakes.openai_url(), Some(key("sk-right"))).await.expect("the check passes");
    for wrong in [None, Some(key("sk-wrong"))] {
        let error = check(&fakes.openai_url(), wrong).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unauthorized);
    }
    let elsewhere = format!("http://{}/v1", nobody());
    assert_eq!(check(&elsewhere, None).await.expect_err("nobody").kind, ErrorKind::Unavailable);
}
