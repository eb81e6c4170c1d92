use super::super::{PATIENCE, fakes, http, key, nobody, until};
use providers::ErrorKind;
use providers::sarvam::{SarvamTranscriber, TranscriberSettings};
use providers::transcriber::{
    AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream,
};
use std::time::Duration;
use testkit::vendors::{FakeVendors, SarvamListenFault, Transcripts, VendorSettings};
use tokio::time::timeout;
use wire::sarvam::Protocol;

const RATE: u32 = 8_000;
const BOTH: [Protocol; 2] = [Protocol::Realtime, Protocol::Streaming];

fn settings(fakes: &FakeVendors, protocol: Protocol) -> TranscriberSettings {
    let mut settings = TranscriberSettings {
        base_url: fakes.sarvam_url(),
        silence_ms: Some(100),
        quiet_wait: Duration::from_millis(150),
        reconnect_first_wait: Duration::from_millis(20),
        ..TranscriberSettings::new(key("sk-sarvam-secret"))
    };
    if protocol == Protocol::Streaming {
        settings.set_model("saaras:v3");
    }
    assert_eq!(settings.protocol, protocol);
    settings
}

fn options(language: &str) -> TranscriberOptions {
    TranscriberOptions { sample_rate_hz: RATE, language: language.into() }
}

async fn open(settings: TranscriberSettings) -> TranscriberStream {
    SarvamTranscriber::new(http(), settings).open(options("hi-IN")).await.expect("a stream")
}

async fn scripted(texts: &[&str]) -> FakeVendors {
    let transcripts = Transcripts::Script(texts.iter().map(|t| (*t).to_owned()).collect());
    FakeVendors::start(VendorSettings { transcripts, ..VendorSettings::instant() }).await.expect("a free port")
}

/// Sends so much audio in frames of 20 ms.
async fn send_at(stream: &TranscriberStream, rate: u32, level: i16, ms: usize) {
    for _ in 0..ms / 20 {
        let frame = vec![level; rate as usize / 50];
        stream.input.send(TranscriberInput::Audio(frame.into())).await.expect("it listens");
    }
}

async fn speak(stream: &TranscriberStream, ms: usize) {
    send_at(stream, RATE, 2_000, ms).await;
}

async fn silence(stream: &TranscriberStream, ms: usize) {
    send_at(stream, RATE, 0, ms).await;
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

/// Everything up to the answer of this number, one line each.
async fn lines_until(stream: &mut TranscriberStream, last: u64) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        lines.push(match next(stream).await.expect("it lives") {
            TranscriberOutput::Partial { text } => format!("partial {text}"),
            TranscriberOutput::EndOfUtterance { sure } => format!("end {sure}"),
            TranscriberOutput::Language { tag } => format!("language {tag}"),
            TranscriberOutput::Final { work, text } => format!("final {work} {text}"),
            TranscriberOutput::Failed { work, error } => format!("failed {work:?} {error}"),
        });
        if lines.last().is_some_and(|line| line.starts_with(&format!("final {last} "))) {
            return lines;
        }
    }
}

#[tokio::test]
async fn words_are_shown_and_the_end_is_told_before_the_final_text() {
    let fakes = scripted(&["मेरा ऑर्डर कहाँ है", "धन्यवाद"]).await;
    let mut stream = open(settings(&fakes, Protocol::Realtime)).await;
    speak(&stream, 400).await;
    silence(&stream, 200).await;
    until("the text is final", || fakes.sarvam().stats().listen_finals == 1).await;
    finalize(&stream, 5).await;
    assert_eq!(
        lines_until(&mut stream, 5).await,
        ["partial मेरा ऑर्डर", "end false", "partial मेरा ऑर्डर कहाँ है", "final 5 मेरा ऑर्डर कहाँ है"]
    );
    stream.input.send(TranscriberInput::Discard).await.expect("it listens");
    speak(&stream, 300).await;
    silence(&stream, 200).await;
    finalize(&stream, 6).await;
    assert_eq!(final_text(&mut stream, 6).await, "धन्यवाद", "the first utterance is forgotten");
    assert_eq!(fakes.sarvam().stats().refused, 0);
    let query = fakes.sarvam().last_query();
    assert!(query.contains("language_code=hi-IN&model=saaras:v3-realtime&stream_type=fast"), "{query}");
}

#[tokio::test]
async fn the_older_protocol_flushes_and_shows_no_words() {
    let fakes = scripted(&["where is my order", "thank you"]).await;
    let mut stream = open(settings(&fakes, Protocol::Streaming)).await;
    speak(&stream, 600).await;
    finalize(&stream, 5).await;
    assert_eq!(
        lines_until(&mut stream, 5).await,
        ["end false", "partial where is my order", "final 5 where is my order"],
        "nobody waited for a pause"
    );
    stream.input.send(TranscriberInput::Discard).await.expect("it listens");
    silence(&stream, 200).await;
    speak(&stream, 300).await;
    finalize(&stream, 6).await;
    assert_eq!(final_text(&mut stream, 6).await, "thank you");
    let stats = fakes.sarvam().stats();
    assert_eq!((stats.listen_flushes, stats.refused), (2, 0));
}

#[tokio::test]
async fn pieces_that_the_vendor_ended_itself_are_one_utterance() {
    for protocol in BOTH {
        let fakes = scripted(&["where is", "my order", "please"]).await;
        let mut stream = open(settings(&fakes, protocol)).await;
        for _ in 0..3 {
            speak(&stream, 200).await;
            silence(&stream, 600).await;
        }
        // Here audio comes faster than it is spoken: a request must not overtake what is still on its way.
        loop {
            if let Some(TranscriberOutput::Partial { text }) = next(&mut stream).await
                && text == "where is my order please"
            {
                break;
            }
        }
        finalize(&stream, 1).await;
        assert_eq!(final_text(&mut stream, 1).await, "where is my order please", "{protocol:?}");
    }
}

#[tokio::test]
async fn silence_has_no_words() {
    for protocol in BOTH {
        let fakes = scripted(&["yes"]).await;
        let mut stream = open(settings(&fakes, protocol)).await;
        if protocol == Protocol::Streaming {
            // It says nothing before there is speech; only then is its silence believed.
            speak(&stream, 200).await;
            finalize(&stream, 0).await;
            assert_eq!(final_text(&mut stream, 0).await, "yes");
            stream.input.send(TranscriberInput::Discard).await.expect("it listens");
        }
        silence(&stream, 400).await;
        finalize(&stream, 1).await;
        assert_eq!(final_text(&mut stream, 1).await, "", "{protocol:?}");
    }
}

#[tokio::test]
async fn the_language_is_found_out_when_none_is_given() {
    for (protocol, asked) in
        [(Protocol::Realtime, "language_code=auto"), (Protocol::Streaming, "language-code=unknown")]
    {
        let fakes = scripted(&["नमस्ते"]).await;
        let transcriber = SarvamTranscriber::new(http(), settings(&fakes, protocol));
        let mut stream = transcriber.open(options("")).await.expect("a stream");
        speak(&stream, 400).await;
        silence(&stream, 600).await;
        finalize(&stream, 1).await;
        let lines = lines_until(&mut stream, 1).await;
        assert_eq!(lines.iter().filter(|line| *line == "language hi-IN").count(), 1, "{lines:?}");
        assert!(fakes.sarvam().last_query().contains(asked));
    }
}

#[tokio::test]
async fn other_rates_are_sent_as_16_khz() {
    let fakes = scripted(&["yes"]).await;
    let transcriber = SarvamTranscriber::new(http(), settings(&fakes, Protocol::Realtime));
    let options = TranscriberOptions { sample_rate_hz: 24_000, ..options("en-US") };
    let mut stream = transcriber.open(options).await.expect("a stream");
    send_at(&stream, 24_000, 2_000, 300).await;
    send_at(&stream, 24_000, 0, 300).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "yes");
    assert_eq!(fakes.sarvam().stats().listen_bytes, 600 * 32);
    assert!(fakes.sarvam().last_query().contains("language_code=en-IN"));
}

#[tokio::test]
async fn a_refused_handshake_has_its_kind_and_tells_no_secret() {
    let fakes = fakes().await;
    for protocol in BOTH {
        for (status, kind) in [
            (400, ErrorKind::Rejected),
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (429, ErrorKind::Overloaded),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Overloaded),
        ] {
            fakes.sarvam().break_listen(SarvamListenFault::Status(status), 2);
            let transcriber = SarvamTranscriber::new(http(), settings(&fakes, protocol));
            let error = transcriber.open(options("hi-IN")).await.expect_err("refused");
            assert_eq!(error.kind, kind, "{status}");
            assert_eq!(transcriber.check().await.expect_err("refused").kind, kind, "{status}");
            let shown = format!("{error} {error:?} {transcriber:?}");
            assert!(shown.contains(&status.to_string()) && !shown.contains("sk-sarvam-secret"), "{shown}");
            assert_eq!(shown.contains("retry after 7 s"), status == 429, "{shown}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_as_such() {
    let strict = VendorSettings { key: Some("right".into()), ..VendorSettings::instant() };
    let fakes = FakeVendors::start(strict).await.expect("a free port");
    for protocol in BOTH {
        let transcriber = SarvamTranscriber::new(http(), settings(&fakes, protocol));
        let error = transcriber.check().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unauthorized);
        assert!(error.detail.contains("invalid_api_key_error"), "{error}");
        let right = TranscriberSettings { key: key(" right\n"), ..settings(&fakes, protocol) };
        SarvamTranscriber::new(http(), right).check().await.expect("the key is right");
        until("the check leaves nothing open", || fakes.sarvam().stats().listen_open == 0).await;
    }
}

#[tokio::test]
async fn bad_settings_are_refused_before_anything_is_sent() {
    let fakes = fakes().await;
    let usual = || settings(&fakes, Protocol::Realtime);
    for url in ["", "api.sarvam.ai", "ftp://x", "ws://"] {
        let odd = TranscriberSettings { base_url: url.into(), ..usual() };
        let error = SarvamTranscriber::new(http(), odd).open(options("hi-IN")).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Rejected, "{url}: {error}");
    }
    let odd = TranscriberSettings { key: key("a\nb"), ..usual() };
    let error = SarvamTranscriber::new(http(), odd).open(options("hi-IN")).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    let transcriber = SarvamTranscriber::new(http(), usual());
    assert_eq!((transcriber.name(), transcriber.audio_wanted()), ("sarvam", AudioWanted::Continuous));
    let slow = TranscriberOptions { sample_rate_hz: 11_025, ..options("hi-IN") };
    for bad in [slow, options("fr-FR")] {
        assert_eq!(transcriber.open(bad).await.expect_err("refused").kind, ErrorKind::Rejected);
    }
    assert_eq!(fakes.sarvam().stats().listen_streams, 0);
    let away = TranscriberSettings { base_url: format!("ws://{}", nobody()), ..usual() };
    let error = SarvamTranscriber::new(http(), away).open(options("hi-IN")).await.expect_err("nobody there");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_model_that_does_not_exist_ends_the_stream_and_the_check() {
    let fakes = fakes().await;
    let odd = TranscriberSettings { model: "saaras:v99-realtime".into(), ..settings(&fakes, Protocol::Realtime) };
    let error = SarvamTranscriber::new(http(), odd.clone()).check().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Rejected);
    let mut stream = open(odd).await;
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    assert!(next(&mut stream).await.is_none(), "and then it is closed");
}

#[tokio::test]
async fn a_broken_connection_is_mended_and_nothing_is_lost() {
    for protocol in BOTH {
        let fakes = scripted(&["where is my order"]).await;
        fakes.sarvam().break_listen(SarvamListenFault::CloseAfter { audio_ms: 400, code: 1011 }, 1);
        let mut stream = open(settings(&fakes, protocol)).await;
        speak(&stream, 600).await;
        silence(&stream, 200).await;
        finalize(&stream, 1).await;
        assert_eq!(final_text(&mut stream, 1).await, "where is my order", "{protocol:?}");
        let stats = fakes.sarvam().stats();
        assert_eq!(stats.listen_streams, 2);
        assert!(stats.listen_bytes >= (800 + 400) * 16, "{}: the beginning was not sent again", stats.listen_bytes);
    }
}

#[tokio::test]
async fn what_was_final_before_a_break_is_kept_and_not_sent_again() {
    let fakes = scripted(&["where is", "my order"]).await;
    fakes.sarvam().break_listen(SarvamListenFault::CloseAfter { audio_ms: 1_000, code: 1011 }, 1);
    let mut stream = open(settings(&fakes, Protocol::Realtime)).await;
    speak(&stream, 300).await;
    silence(&stream, 300).await;
    // Its text must be here before the break: a partial shows it.
    loop {
        if let Some(TranscriberOutput::Partial { text }) = next(&mut stream).await
            && text == "where is"
        {
            break;
        }
    }
    silence(&stream, 500).await;
    until("it is connected again", || fakes.sarvam().stats().listen_streams == 2).await;
    speak(&stream, 300).await;
    silence(&stream, 200).await;
    finalize(&stream, 1).await;
    // The second connection counts its utterances from the beginning, as its script does.
    assert_eq!(final_text(&mut stream, 1).await, "where is where is");
    let sent = fakes.sarvam().stats().listen_bytes;
    assert!(sent < (1_100 + 500 + 800) * 16, "{sent}: what was final was sent again");
}

#[tokio::test]
async fn hopeless_errors_are_not_tried_again_and_others_are() {
    let fakes = fakes().await;
    for (fault, kind) in [
        (SarvamListenFault::CloseAfter { audio_ms: 100, code: 4_000 }, ErrorKind::Rejected),
        (SarvamListenFault::ErrorAfter { audio_ms: 100, status: 401 }, ErrorKind::Unauthorized),
        (SarvamListenFault::ErrorAfter { audio_ms: 100, status: 400 }, ErrorKind::Rejected),
    ] {
        let before = fakes.sarvam().stats().listen_streams;
        fakes.sarvam().break_listen(fault, 1);
        let mut stream = open(settings(&fakes, Protocol::Realtime)).await;
        speak(&stream, 200).await;
        let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
        assert_eq!((error.kind, fakes.sarvam().stats().listen_streams), (kind, before + 1), "{fault:?}");
    }
    for fault in [
        SarvamListenFault::ErrorAfter { audio_ms: 100, status: 503 },
        SarvamListenFault::CloseAfter { audio_ms: 100, code: 1003 },
        SarvamListenFault::CloseAfter { audio_ms: 100, code: 1008 },
    ] {
        let before = fakes.sarvam().stats().listen_streams;
        fakes.sarvam().break_listen(fault, 1);
        let stream = open(settings(&fakes, Protocol::Realtime)).await;
        speak(&stream, 200).await;
        until("it connects again", || fakes.sarvam().stats().listen_streams == before + 2).await;
    }
}

#[tokio::test]
async fn a_vendor_that_stays_away_ends_the_stream() {
    let fakes = fakes().await;
    fakes.sarvam().break_listen(SarvamListenFault::CloseAfter { audio_ms: 100, code: 1011 }, 1);
    let mut stream = open(settings(&fakes, Protocol::Realtime)).await;
    fakes.sarvam().break_listen(SarvamListenFault::Status(503), 100);
    speak(&stream, 200).await;
    finalize(&stream, 3).await;
    let TranscriberOutput::Failed { work: Some(3), error } = answer(&mut stream).await else { panic!("no failure") };
    assert_eq!(error.kind, ErrorKind::Overloaded);
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert!(error.is_transient());
    assert!(next(&mut stream).await.is_none(), "and then it is closed");
    assert_eq!(fakes.sarvam().stats().refused, 3, "three tries");
}

#[tokio::test]
async fn a_request_without_final_text_is_answered_with_what_is_there() {
    let fakes = scripted(&["where is my order"]).await;
    fakes.sarvam().break_listen(SarvamListenFault::NoFinal, 1);
    let hasty =
        TranscriberSettings { finalize_timeout: Duration::from_millis(200), ..settings(&fakes, Protocol::Realtime) };
    let mut stream = open(hasty).await;
    speak(&stream, 400).await;
    silence(&stream, 200).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "where is");
}

#[tokio::test]
async fn a_mute_vendor_fails_the_requests_and_is_left() {
    for protocol in BOTH {
        let fakes = scripted(&["where is my order"]).await;
        fakes.sarvam().break_listen(SarvamListenFault::Mute, 1);
        let hasty = TranscriberSettings { finalize_timeout: Duration::from_millis(200), ..settings(&fakes, protocol) };
        let mut stream = open(hasty).await;
        speak(&stream, 300).await;
        silence(&stream, 600).await;
        for work in 1..=2 {
            finalize(&stream, work).await;
            let TranscriberOutput::Failed { work: Some(failed), error } = answer(&mut stream).await else {
                panic!("answered")
            };
            assert_eq!((failed, error.kind), (work, ErrorKind::TimedOut));
        }
        until("it connects again", || fakes.sarvam().stats().listen_streams == 2).await;
        finalize(&stream, 3).await;
        assert_eq!(final_text(&mut stream, 3).await, "where is my order", "{protocol:?}: it got the audio");
    }
}

#[tokio::test]
async fn a_vendor_that_lives_and_notices_nothing_has_heard_no_words() {
    let fakes = scripted(&["where is my order"]).await;
    fakes.sarvam().break_listen(SarvamListenFault::Deaf, 1);
    let mut stream = open(settings(&fakes, Protocol::Realtime)).await;
    speak(&stream, 300).await;
    finalize(&stream, 1).await;
    assert_eq!(final_text(&mut stream, 1).await, "");
}

#[tokio::test]
async fn messages_nobody_knows_are_skipped() {
    for protocol in BOTH {
        let fakes = scripted(&["where is my order"]).await;
        fakes.sarvam().break_listen(SarvamListenFault::Garbage, 1);
        let mut stream = open(settings(&fakes, protocol)).await;
        speak(&stream, 400).await;
        silence(&stream, 600).await;
        finalize(&stream, 1).await;
        assert_eq!(final_text(&mut stream, 1).await, "where is my order");
        assert_eq!(fakes.sarvam().stats().listen_streams, 1);
    }
}

#[tokio::test]
async fn a_silent_line_is_kept_open() {
    for protocol in BOTH {
        let settings_of_fakes = VendorSettings { listen_idle_ms: 400, ..VendorSettings::instant() };
        let fakes = FakeVendors::start(settings_of_fakes).await.expect("a free port");
        let keeping = TranscriberSettings { keep_alive_every: Duration::from_millis(50), ..settings(&fakes, protocol) };
        let _stream = open(keeping).await;
        until("many signs of life", || {
            let stats = fakes.sarvam().stats();
            stats.listen_pings >= 12 || stats.listen_bytes >= 12 * 1_600
        })
        .await;
        assert_eq!(fakes.sarvam().stats().listen_streams, 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_call_is_told_to_the_vendor() {
    let fakes = fakes().await;
    let stream = open(settings(&fakes, Protocol::Realtime)).await;
    until("it is open", || fakes.sarvam().stats().listen_open == 1).await;
    drop(stream);
    until("it is told", || fakes.sarvam().stats().listen_farewells == 1).await;
    until("it is closed", || fakes.sarvam().stats().listen_open == 0).await;
    // Whoever keeps one end does not keep the stream.
    let TranscriberStream { input, output } = open(settings(&fakes, Protocol::Streaming)).await;
    drop(output);
    until("it is closed, too", || fakes.sarvam().stats().listen_open == 0 && input.is_closed()).await;
}

#[tokio::test]
async fn the_fakes_going_away_is_a_broken_stream() {
    let fakes = fakes().await;
    let mut stream = open(settings(&fakes, Protocol::Realtime)).await;
    drop(fakes);
    let TranscriberOutput::Failed { work: None, error } = answer(&mut stream).await else { panic!("no end") };
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
