use super::{PATIENCE, fakes, http, key, nobody, until};
use providers::ErrorKind;
use providers::deepgram::{DeepgramSettings, DeepgramTranscriber};
use providers::transcriber::{
    AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream,
};
use std::time::Duration;
use testkit::vendors::{FakeVendors, ListenFault, Transcripts, VendorSettings};
use tokio::time::timeout;
use wire::deepgram::Endpointing;

const RATE: u32 = 8_000;

fn settings(url: &str) -> DeepgramSettings {
    DeepgramSettings {
        listen_url: url.to_owned(),
        endpointing: Endpointing::AfterMs(100),
        reconnect_first_wait: Duration::from_millis(20),
        ..DeepgramSettings::new(key("dg-secret"))
    }
}

fn options() -> TranscriberOptions {
    TranscriberOptions { sample_rate_hz: RATE, language: "en-IN".into() }
}

async fn open(settings: DeepgramSettings) -> TranscriberStream {
    DeepgramTranscriber::new(http(), settings).open(options()).await.expect("a stream")
}

async fn scripted(texts: &[&str]) -> FakeVendors {
    let transcripts = Transcripts::Script(texts.iter().map(|t| (*t).to_owned()).collect());
    FakeVendors::start(VendorSettings { transcripts, ..VendorSettings::instant() }).await.expect("a free port")
}

/// Sends so much audio in frames of 20 ms.
async fn send(stream: &TranscriberStream, level: i16, ms: usize) {
    for _ in 0..ms / 20 {
        let frame = vec![level; RATE as usize / 50];
        stream.input.send(TranscriberInput::Audio(frame.into())).await.expect("it listens");
    }
}

async fn speak(stream: &TranscriberStream, ms: usize) {
    send(stream, 2_000, ms).await;
}

async fn silence(stream: &TranscriberStream, ms: usize) {
    send(stream, 0, ms).await;
}

async fn finalize(stream: &TranscriberStream, work: u64) {
    stream.input.send(TranscriberInput::Finalize { work }).await.expect("it listens");
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
            other @ (TranscriberOutput::Final { .. } | TranscriberOutput::Failed { .. }) => return other,
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
async fn an_utterance_is_transcribed() {
    let fakes = scripted(&["where is my order", "thank you"]).await;
    let mut stream = open(settings(&fakes.listen_url())).await;
    speak(&stream, 600).await;
    let TranscriberOutput::Partial { text } = next(&mut stream).await.expect("it lives") else { panic!("no partial") };
    assert_eq!(text, "where is");
    finalize(&stream, 5).await;
    assert_eq!(final_text(&mut stream, 5).await, "where is my order");
    stream.input.send(TranscriberInput::Discard).await.expect("it listens");
    silence(&stream, 200).await;
    speak(&stream, 300).await;
    finalize(&stream, 6).await;
    assert_eq!(final_text(&mut stream, 6).await, "thank you", "the first utterance is forgotten");
    assert_eq!(fakes.stats().refused, 0);
}

#[tokio::test]
async fn pieces_that_the_vendor_ended_itself_are_one_utterance() {
    let fakes = scripted(&["where is", "my order", "please"]).await;
    let mut stream = open(settings(&fakes.listen_url())).await;
    for _ in 0..2 {
        speak(&stream, 200).await;
        silence(&stream, 200).await;
    }
    speak(&stream, 200).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is my order please");
}

#[tokio::test]
async fn the_vendors_own_end_of_an_utterance_is_told_once_there_are_words() {
    let fakes = scripted(&["where is my order"]).await;
    let mut stream = open(settings(&fakes.listen_url())).await;
    silence(&stream, 400).await;
    speak(&stream, 300).await;
    silence(&stream, 300).await;
    let mut before = String::new();
    loop {
        match next(&mut stream).await.expect("it lives") {
            TranscriberOutput::Partial { text } => before = text,
            TranscriberOutput::EndOfUtterance { sure } => break assert!(sure),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(before, "where is my order", "its words come first");
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is my order");
}

#[tokio::test]
async fn silence_has_no_words() {
    let fakes = fakes().await;
    let mut stream = open(settings(&fakes.listen_url())).await;
    silence(&stream, 400).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "");
}

#[tokio::test]
async fn audio_that_queued_up_goes_out_together() {
    let fakes = fakes().await;
    let mut stream = open(settings(&fakes.listen_url())).await;
    // No await between them: the session cannot run on this one thread until all are queued.
    for _ in 0..40 {
        stream.input.try_send(TranscriberInput::Audio(vec![0; 160].into())).expect("room");
    }
    finalize(&stream, 1).await;
    final_text(&mut stream, 1).await;
    let stats = fakes.stats();
    assert_eq!(stats.listen_bytes, 40 * 320);
    assert!(stats.listen_messages < 10, "{} messages", stats.listen_messages);
}

#[tokio::test]
async fn a_refused_handshake_has_its_kind_and_tells_no_secret() {
    let fakes = fakes().await;
    for (status, kind) in [
        (400, ErrorKind::Rejected),
        (401, ErrorKind::Unauthorized),
        (403, ErrorKind::Unauthorized),
        (429, ErrorKind::Overloaded),
        (500, ErrorKind::Unavailable),
        (503, ErrorKind::Overloaded),
    ] {
        fakes.break_listen(ListenFault::Status(status), 1);
        let transcriber = DeepgramTranscriber::new(http(), settings(&fakes.listen_url()));
        let error = transcriber.open(options()).await.expect_err("refused");
        assert_eq!(error.kind, kind, "{status}");
        let shown = format!("{error} {error:?} {transcriber:?}");
        assert!(shown.contains(&status.to_string()) && !shown.contains("dg-secret"), "{shown}");
    }
    assert_eq!(DeepgramTranscriber::new(http(), settings("x")).audio_wanted(), AudioWanted::Continuous);
}

#[tokio::test]
async fn bad_settings_are_refused_before_anything_is_sent() {
    let fakes = fakes().await;
    for url in ["", "deepgram.com", "ftp://x/v1/listen", "ws://"] {
        let error = DeepgramTranscriber::new(http(), settings(url)).open(options()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Rejected, "{url}: {error}");
    }
    let odd = DeepgramSettings { key: key("a\nb"), ..settings(&fakes.listen_url()) };
    let error = DeepgramTranscriber::new(http(), odd).open(options()).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let slow = TranscriberOptions { sample_rate_hz: 1, ..options() };
    let error = DeepgramTranscriber::new(http(), settings(&fakes.listen_url())).open(slow).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Rejected);
    let error = DeepgramTranscriber::new(http(), settings(&format!("ws://{}/v1/listen", nobody())))
        .open(options())
        .await
        .expect_err("nobody there");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_broken_connection_is_mended_and_nothing_is_lost() {
    let fakes = scripted(&["where is my order"]).await;
    fakes.break_listen(ListenFault::CloseAfter { audio_ms: 400, code: 1011 }, 1);
    let mut stream = open(settings(&fakes.listen_url())).await;
    speak(&stream, 600).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is my order");
    let stats = fakes.stats();
    assert_eq!(stats.listen_streams, 2);
    assert!(stats.listen_bytes >= (600 + 400) * 16, "{} bytes: the beginning was not sent again", stats.listen_bytes);
}

#[tokio::test]
async fn what_was_final_before_a_break_is_kept_and_not_sent_again() {
    let fakes = scripted(&["where is", "my order"]).await;
    fakes.break_listen(ListenFault::CloseAfter { audio_ms: 1_000, code: 1011 }, 1);
    let mut stream = open(settings(&fakes.listen_url())).await;
    speak(&stream, 300).await;
    silence(&stream, 300).await;
    until("the first part is final", || fakes.stats().listen_finals == 1).await;
    // Its text must be here before the break: a partial shows it.
    loop {
        if let Some(TranscriberOutput::Partial { text }) = next(&mut stream).await
            && text == "where is"
        {
            break;
        }
    }
    silence(&stream, 500).await;
    until("it is connected again", || fakes.stats().listen_streams == 2).await;
    speak(&stream, 300).await;
    finalize(&stream, 1).await;
    // The second connection counts its utterances from the beginning, as its script does.
    assert_eq!(final_text(&mut stream, 1).await, "where is where is");
}

#[tokio::test]
async fn a_vendor_that_stays_away_ends_the_stream() {
    let fakes = fakes().await;
    fakes.break_listen(ListenFault::CloseAfter { audio_ms: 100, code: 1011 }, 1);
    let mut stream = open(settings(&fakes.listen_url())).await;
    fakes.break_listen(ListenFault::Status(503), 100);
    speak(&stream, 200).await;
    finalize(&stream, 3).await;
    let TranscriberOutput::Failed { work: Some(3), error } = answer(&mut stream).await else { panic!("no failure") };
    assert_eq!(error.kind, ErrorKind::Overloaded);
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert!(error.is_transient());
    assert!(next(&mut stream).await.is_none(), "and then it is closed");
    assert_eq!(fakes.stats().refused, 3, "three tries");
}

#[tokio::test]
async fn hopeless_errors_are_not_tried_again() {
    let fakes = fakes().await;
    fakes.break_listen(ListenFault::CloseAfter { audio_ms: 100, code: 1008 }, 1);
    let mut stream = open(settings(&fakes.listen_url())).await;
    speak(&stream, 200).await;
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert_eq!((error.kind, fakes.stats().listen_streams), (ErrorKind::Rejected, 1));
    // The key was revoked in the middle.
    fakes.break_listen(ListenFault::CloseAfter { audio_ms: 100, code: 1011 }, 1);
    let mut stream = open(settings(&fakes.listen_url())).await;
    fakes.break_listen(ListenFault::Status(401), 100);
    speak(&stream, 200).await;
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert_eq!((error.kind, fakes.stats().refused), (ErrorKind::Unauthorized, 1));
}

#[tokio::test]
async fn a_vendor_that_breaks_every_time_is_given_up() {
    let fakes = fakes().await;
    fakes.break_listen(ListenFault::CloseAfter { audio_ms: 20, code: 1011 }, 1_000);
    let quick = DeepgramSettings { reconnect_first_wait: Duration::from_millis(1), ..settings(&fakes.listen_url()) };
    let mut stream = open(quick).await;
    // Nothing ever gets its text, so each connection is sent it again, and breaks.
    speak(&stream, 100).await;
    let TranscriberOutput::Failed { work: None, .. } = answer(&mut stream).await else { panic!("no end") };
    assert_eq!(fakes.stats().listen_streams, u64::from(providers::live::RECONNECTS_PER_CALL_MAX) + 1);
}

#[tokio::test]
async fn a_request_without_answer_is_answered_with_what_is_there() {
    let fakes = scripted(&["where is my order"]).await;
    fakes.break_listen(ListenFault::IgnoreFinalize, 1);
    let mut stream =
        open(DeepgramSettings { finalize_timeout: Duration::from_millis(100), ..settings(&fakes.listen_url()) }).await;
    speak(&stream, 300).await;
    silence(&stream, 300).await;
    until("the text is final", || fakes.stats().listen_finals == 1).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is my order");
}

#[tokio::test]
async fn a_mute_vendor_fails_the_requests_and_is_left() {
    let fakes = scripted(&["where is my order"]).await;
    fakes.break_listen(ListenFault::Mute, 1);
    let mut stream =
        open(DeepgramSettings { finalize_timeout: Duration::from_millis(150), ..settings(&fakes.listen_url()) }).await;
    speak(&stream, 300).await;
    for work in 1..=2 {
        finalize(&stream, work).await;
        let TranscriberOutput::Failed { work: Some(failed), error } = answer(&mut stream).await else {
            panic!("answered")
        };
        assert_eq!((failed, error.kind), (work, ErrorKind::TimedOut));
    }
    until("it connects again", || fakes.stats().listen_streams == 2).await;
    finalize(&stream, 3).await;
    assert_eq!(final_text(&mut stream, 3).await, "where is my order", "the new connection got the audio");
}

#[tokio::test]
async fn messages_nobody_knows_are_skipped() {
    let fakes = scripted(&["where is my order"]).await;
    fakes.break_listen(ListenFault::Garbage, 1);
    let mut stream = open(settings(&fakes.listen_url())).await;
    speak(&stream, 400).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is my order");
    assert_eq!(fakes.stats().listen_streams, 1);
}

#[tokio::test]
async fn a_silent_line_is_kept_open() {
    let settings_of_fakes = VendorSettings { listen_idle_ms: 400, ..VendorSettings::instant() };
    let fakes = FakeVendors::start(settings_of_fakes).await.expect("a free port");
    let keeping = DeepgramSettings { keep_alive_every: Duration::from_millis(50), ..settings(&fakes.listen_url()) };
    let mut stream = open(keeping).await;
    until("many were sent", || fakes.stats().listen_keep_alives >= 12).await;
    finalize(&stream, 1).await;
    final_text(&mut stream, 1).await;
    assert_eq!(fakes.stats().listen_streams, 1);
}

#[tokio::test]
async fn the_end_of_a_call_is_told_to_the_vendor() {
    let fakes = fakes().await;
    let stream = open(settings(&fakes.listen_url())).await;
    until("it is open", || fakes.stats().listen_open == 1).await;
    drop(stream);
    until("it is told", || fakes.stats().listen_farewells == 1).await;
    until("it is closed", || fakes.stats().listen_open == 0).await;
    // Whoever keeps one end does not keep the stream.
    let TranscriberStream { input, output } = open(settings(&fakes.listen_url())).await;
    drop(output);
    until("it is told again", || fakes.stats().listen_farewells == 2).await;
    assert!(input.is_closed());
}

#[tokio::test]
async fn the_fakes_going_away_is_a_broken_stream() {
    let fakes = fakes().await;
    let mut stream = open(settings(&fakes.listen_url())).await;
    drop(fakes);
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
