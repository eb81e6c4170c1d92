//! Transcribers: faults × positions, over sockets.

use super::{Bench, SLACK, dripping, http, link, named, requests, silent, split};
use crate::vendors::{PATIENCE, key, nobody, until};
use futures_util::future::join_all;
use model::Stage;
use providers::Error;
use providers::chain::{ChainTranscriber, Link, Meter, OPEN_DEADLINE, TEXT_DEADLINE, TEXT_FIRST};
use providers::deepgram::{DeepgramSettings, DeepgramTranscriber};
use providers::openai::{OpenAiTranscriber, TranscriptionSettings};
use providers::transcriber::{
    AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use testkit::vendors::{FakeVendors, ListenFault, TranscriptionFault};
use tokio::time::{Instant, timeout};

const RATE: u32 = 8_000;

fn streaming(name: &'static str, url: &str) -> Link<dyn Transcriber> {
    let settings = DeepgramSettings {
        listen_url: url.to_owned(),
        reconnect_first_wait: Duration::from_millis(20),
        ..DeepgramSettings::new(key("dg-secret"))
    };
    link(name, Arc::new(DeepgramTranscriber::new(http(), settings)) as Arc<dyn Transcriber>)
}

fn batch(name: &'static str, url: &str) -> Link<dyn Transcriber> {
    let mut settings = TranscriptionSettings::new("whisper", Some(key("sk-secret")));
    url.clone_into(&mut settings.base_url);
    link(name, Arc::new(OpenAiTranscriber::new(http(), settings)) as Arc<dyn Transcriber>)
}

async fn open(chain: &ChainTranscriber) -> TranscriberStream {
    chain.open(TranscriberOptions { sample_rate_hz: RATE, language: "en-IN".into() }).await.expect("at once")
}

async fn speak(stream: &TranscriberStream, ms: usize) {
    for _ in 0..ms / 20 {
        stream.input.send(TranscriberInput::Audio(vec![2_000; RATE as usize / 50].into())).await.expect("it listens");
    }
}

async fn finalize(stream: &TranscriberStream, work: u64) {
    stream.input.send(TranscriberInput::Finalize { work }).await.expect("it listens");
}

/// The next answer.
async fn answer(stream: &mut TranscriberStream) -> (Option<u64>, Result<String, Error>) {
    loop {
        let next = timeout(PATIENCE, stream.output.recv()).await.expect("an answer").expect("the stream lives");
        match next {
            TranscriberOutput::Final { work, text } => return (Some(work), Ok(text)),
            TranscriberOutput::Failed { work, error } => return (work, Err(error)),
            TranscriberOutput::Partial { .. }
            | TranscriberOutput::EndOfUtterance { .. }
            | TranscriberOutput::Language { .. } => {}
        }
    }
}

/// What is wrong with a transcriber.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Refuse,
    Silent,
    Listen(ListenFault),
    Batch(BatchWrong),
}

#[derive(Clone, Copy, Debug)]
enum BatchWrong {
    Refuse,
    Silent,
    Drip,
    Fault(TranscriptionFault),
}

const WRONGS: &[Wrong] = &[
    Wrong::Refuse,
    Wrong::Silent,
    Wrong::Listen(ListenFault::Status(400)),
    Wrong::Listen(ListenFault::Status(401)),
    Wrong::Listen(ListenFault::Status(429)),
    Wrong::Listen(ListenFault::Status(500)),
    Wrong::Listen(ListenFault::Mute),
    Wrong::Listen(ListenFault::CloseAfter { audio_ms: 100, code: 1011 }),
    Wrong::Listen(ListenFault::CloseAfter { audio_ms: 100, code: 1008 }),
    Wrong::Batch(BatchWrong::Refuse),
    Wrong::Batch(BatchWrong::Silent),
    Wrong::Batch(BatchWrong::Drip),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Hang)),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Stall)),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Cut)),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Malformed)),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Html)),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::NoText)),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Status(400))),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Status(401))),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Status(429))),
    Wrong::Batch(BatchWrong::Fault(TranscriptionFault::Status(500))),
];

fn v1(address: SocketAddr) -> String {
    format!("http://{address}/v1")
}

impl Wrong {
    /// Such a transcriber.
    async fn link(self, name: &'static str, fakes: &FakeVendors) -> Link<dyn Transcriber> {
        let listen = |address: SocketAddr| format!("ws://{address}/v1/listen");
        match self {
            Self::Refuse => streaming(name, &listen(nobody())),
            Self::Silent => streaming(name, &listen(silent().await)),
            Self::Listen(fault) => {
                fakes.break_listen(fault, u32::MAX);
                streaming(name, &fakes.listen_url())
            }
            Self::Batch(BatchWrong::Refuse) => batch(name, &v1(nobody())),
            Self::Batch(BatchWrong::Silent) => batch(name, &v1(silent().await)),
            Self::Batch(BatchWrong::Drip) => batch(name, &v1(dripping("application/json", b" ").await)),
            Self::Batch(BatchWrong::Fault(fault)) => {
                fakes.break_transcription(fault, u32::MAX);
                batch(name, &fakes.openai_url())
            }
        }
    }

    /// A good one of the same kind.
    fn good(self, name: &'static str, fakes: &FakeVendors) -> Link<dyn Transcriber> {
        match self {
            Self::Refuse | Self::Silent | Self::Listen(_) => streaming(name, &fakes.listen_url()),
            Self::Batch(_) => batch(name, &fakes.openai_url()),
        }
    }
}

#[tokio::test]
async fn the_next_one_hears_the_utterance_whatever_is_wrong_with_those_before() {
    let cells = WRONGS.iter().flat_map(|wrong| [(*wrong, 1usize), (*wrong, 2)]);
    join_all(cells.map(|(wrong, bad)| async move {
        let what = format!("{wrong:?} × {bad}");
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await, named("c").await];
        let mut links = Vec::new();
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            links.push(if n < bad { wrong.link(name, &fakes[n]).await } else { wrong.good(name, &fakes[n]) });
        }
        let (first, others) = split(links);
        let chain = ChainTranscriber::new(first, others, bench.guard(1), meter.clone());
        let mut stream = open(&chain).await;
        speak(&stream, 600).await;
        let begun = Instant::now();
        finalize(&stream, 7).await;
        let good = ["a", "b", "c"][bad];
        let (work, text) = answer(&mut stream).await;
        assert_eq!((work, text.ok()), (Some(7), Some(format!("heard by {good}"))), "{what}");
        assert!(begun.elapsed() < TEXT_FIRST * bad as u32 + SLACK, "{what}: {:?}", begun.elapsed());
        // The first one that opened may have been heard from before it failed.
        let fallbacks = meter.usage().counts.fallbacks_transcribing;
        assert!((1..=bad as u32).contains(&fallbacks), "{what}: {fallbacks}");
        let usage = meter.usage();
        let line = usage.lines.iter().find(|line| line.provider == good).expect("a line");
        assert_eq!((line.stage, line.requests, line.audio_ms), (Stage::Transcribing, 1, 600), "{what}: all of it");
        // It stays with the one that works.
        stream.input.send(TranscriberInput::Discard).await.expect("it listens");
        speak(&stream, 300).await;
        finalize(&stream, 8).await;
        let (work, text) = answer(&mut stream).await;
        assert_eq!((work, text.is_ok()), (Some(8), true), "{what}");
        assert_eq!(requests(&meter, Stage::Transcribing, good), 2, "{what}");
        drop(stream);
        until("all streams are closed", || fakes.iter().all(|fakes| fakes.stats().listen_open == 0)).await;
    }))
    .await;
}

#[tokio::test]
async fn when_all_fail_that_is_told_before_the_call_gives_up_and_the_next_utterance_is_tried() {
    join_all(WRONGS.iter().map(|wrong| async move {
        let what = format!("{wrong:?}");
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await];
        let (first, others) = split(vec![wrong.link("a", &fakes[0]).await, wrong.link("b", &fakes[1]).await]);
        let chain = ChainTranscriber::new(first, others, bench.guard(1), meter.clone());
        let mut stream = open(&chain).await;
        speak(&stream, 400).await;
        let begun = Instant::now();
        finalize(&stream, 1).await;
        let (work, text) = answer(&mut stream).await;
        assert!(work == Some(1) && text.is_err(), "{what}: {text:?}");
        assert!(begun.elapsed() < TEXT_DEADLINE + Duration::from_millis(200) + SLACK, "{what}: {:?}", begun.elapsed());
        stream.input.send(TranscriberInput::Discard).await.expect("it listens");
        speak(&stream, 200).await;
        finalize(&stream, 2).await;
        let (work, text) = answer(&mut stream).await;
        assert!(work == Some(2) && text.is_err(), "{what}: every request is answered");
        drop(stream);
        until("all streams are closed", || fakes.iter().all(|fakes| fakes.stats().listen_open == 0)).await;
    }))
    .await;
}

#[tokio::test]
async fn one_that_dies_is_opened_again_and_hears_the_utterance_again() {
    let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
    // The client mends breaks by itself; a refusal that would be refused again ends its stream.
    fakes.break_listen(ListenFault::CloseAfter { audio_ms: 300, code: 1011 }, 1);
    let chain = ChainTranscriber::new(streaming("a", &fakes.listen_url()), Vec::new(), bench.guard(1), meter.clone());
    let mut stream = open(&chain).await;
    speak(&stream, 600).await;
    finalize(&stream, 1).await;
    let (work, text) = answer(&mut stream).await;
    assert_eq!((work, text.expect("a text").as_str()), (Some(1), "heard by a"));
    assert!(fakes.stats().listen_streams >= 2);
    assert!(bench.targets.states().is_empty(), "it works again");
}

#[tokio::test]
async fn the_only_one_is_asked_again_where_that_may_help() {
    for (fault, times, tries, fine) in [
        (TranscriptionFault::Status(503), 1, 2, true),
        (TranscriptionFault::Status(500), 2, 3, true),
        (TranscriptionFault::Status(500), 9, 3, false),
        (TranscriptionFault::Status(401), 1, 1, false),
        (TranscriptionFault::Malformed, 1, 1, false),
    ] {
        let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
        fakes.break_transcription(fault, times);
        let chain = ChainTranscriber::new(batch("a", &fakes.openai_url()), Vec::new(), bench.guard(1), meter.clone());
        let mut stream = open(&chain).await;
        speak(&stream, 400).await;
        finalize(&stream, 1).await;
        let (work, text) = answer(&mut stream).await;
        assert_eq!((work, text.is_ok()), (Some(1), fine), "{fault:?} × {times}");
        assert_eq!(requests(&meter, Stage::Transcribing, "a"), tries, "{fault:?} × {times}");
    }
}

#[tokio::test]
async fn breakers_are_one_organisations() {
    let (bench, fakes) = (Bench::new(), [named("a").await, named("b").await]);
    fakes[0].break_listen(ListenFault::Status(401), 1);
    let hear = async |n: u128| {
        let (first, others) =
            split(vec![streaming("a", &fakes[0].listen_url()), streaming("b", &fakes[1].listen_url())]);
        let chain = ChainTranscriber::new(first, others, bench.guard(n), Meter::new());
        let mut stream = open(&chain).await;
        speak(&stream, 300).await;
        finalize(&stream, 1).await;
        answer(&mut stream).await.1.expect("a text")
    };
    assert_eq!(hear(1).await, "heard by b");
    assert_eq!(hear(1).await, "heard by b");
    assert_eq!(fakes[0].stats().listen_streams, 0, "it was not asked again");
    assert_eq!(hear(2).await, "heard by a");
}

#[tokio::test]
async fn what_is_said_before_anybody_listens_is_heard() {
    let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
    let chain = ChainTranscriber::new(streaming("a", &fakes.listen_url()), Vec::new(), bench.guard(1), meter.clone());
    assert_eq!(chain.audio_wanted(), AudioWanted::Continuous);
    let mut stream = open(&chain).await;
    // No await in between: the session has not begun yet.
    for _ in 0..20 {
        stream.input.try_send(TranscriberInput::Audio(vec![2_000; 160].into())).expect("room");
    }
    stream.input.try_send(TranscriberInput::Finalize { work: 3 }).expect("room");
    let (work, text) = timeout(OPEN_DEADLINE, answer(&mut stream)).await.expect("soon");
    assert_eq!((work, text.expect("a text").as_str()), (Some(3), "heard by a"));
    assert_eq!(meter.usage().lines[0].audio_ms, 400);
}

#[tokio::test]
async fn a_newer_request_takes_the_place_of_an_older_one() {
    let (bench, fakes) = (Bench::new(), named("a").await);
    fakes.break_transcription(TranscriptionFault::Hang, 1);
    let chain = ChainTranscriber::new(batch("a", &fakes.openai_url()), Vec::new(), bench.guard(1), Meter::new());
    let mut stream = open(&chain).await;
    speak(&stream, 400).await;
    finalize(&stream, 1).await;
    until("the first is asked", || fakes.stats().transcription_requests == 1).await;
    finalize(&stream, 2).await;
    let (work, text) = answer(&mut stream).await;
    assert!(work == Some(1) && text.is_err());
    let (work, text) = answer(&mut stream).await;
    assert_eq!((work, text.expect("a text").as_str()), (Some(2), "heard by a"));
}
