//! Speakers: faults × positions, over sockets.

use super::{Bench, SLACK, dripping, http, link, named, requests, silent, split};
use crate::vendors::{PATIENCE, key, nobody, until};
use futures_util::future::join_all;
use model::Stage;
use providers::Error;
use providers::chain::{ChainSpeaker, FIRST_SOUND, Link, Meter, SPEECH_DEADLINE, SPEECH_IDLE};
use providers::openai::{OpenAiSpeaker, SpeechSettings};
use providers::speaker::{SpeakRequest, Speaker, SpeechChunk};
use std::sync::Arc;
use std::time::Duration;
use testkit::vendors::{FakeVendors, SpeechFault};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const RATE: u32 = 8_000;

fn speaker(name: &'static str, url: &str) -> Link<dyn Speaker> {
    let mut settings = SpeechSettings::new("m", Some(key("sk-secret")));
    url.clone_into(&mut settings.base_url);
    let provider: Arc<dyn Speaker> = Arc::new(OpenAiSpeaker::new(http(), settings));
    Link { voice: format!("voice-of-{name}"), ..link(name, provider) }
}

fn request() -> SpeakRequest {
    SpeakRequest {
        text: "One two three four".into(),
        language: "en-IN".into(),
        voice: "voice-of-the-call".into(),
        sample_rate_hz: RATE,
    }
}

/// Ms of sound, and how it ended.
async fn read(mut chunks: mpsc::Receiver<Result<SpeechChunk, Error>>) -> (usize, Result<(), Error>) {
    let mut samples = 0;
    let reading = async {
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Ok(chunk) => samples += chunk.pcm.len(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    let end = timeout(PATIENCE, reading).await.expect("an end");
    (samples * 1_000 / RATE as usize, end)
}

/// What is wrong with one provider before it has made a sound.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Refuse,
    Silent,
    Drip,
    Speech(SpeechFault),
}

const BEFORE_THE_FIRST_SOUND: &[Wrong] = &[
    Wrong::Refuse,
    Wrong::Silent,
    Wrong::Drip,
    Wrong::Speech(SpeechFault::StallAfter(0)),
    Wrong::Speech(SpeechFault::CutAfter(0)),
    Wrong::Speech(SpeechFault::Wav),
    Wrong::Speech(SpeechFault::Mp3),
    Wrong::Speech(SpeechFault::Empty),
    Wrong::Speech(SpeechFault::Status(400)),
    Wrong::Speech(SpeechFault::Status(401)),
    Wrong::Speech(SpeechFault::Status(429)),
    Wrong::Speech(SpeechFault::Status(500)),
    Wrong::Speech(SpeechFault::Status(503)),
];

impl Wrong {
    fn hangs(self) -> bool {
        matches!(self, Self::Silent | Self::Drip | Self::Speech(SpeechFault::StallAfter(0)))
    }

    async fn url(self, fakes: &FakeVendors) -> String {
        match self {
            Self::Refuse => format!("http://{}/v1", nobody()),
            Self::Silent => format!("http://{}/v1", silent().await),
            // Half a millisecond of sound a second: never enough for a chunk.
            Self::Drip => format!("http://{}/v1", dripping("audio/pcm", &[0, 0]).await),
            Self::Speech(fault) => {
                fakes.break_speech(fault, u32::MAX);
                fakes.openai_url()
            }
        }
    }
}

#[tokio::test]
async fn the_next_one_speaks_whatever_is_wrong_with_those_before() {
    let cells = BEFORE_THE_FIRST_SOUND.iter().flat_map(|wrong| [(*wrong, 1usize), (*wrong, 2)]);
    join_all(cells.map(|(wrong, bad)| async move {
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await, named("c").await];
        let mut links = Vec::new();
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            let url = if n < bad { wrong.url(&fakes[n]).await } else { fakes[n].openai_url() };
            links.push(speaker(name, &url));
        }
        let (first, others) = split(links);
        let chain = ChainSpeaker::new(first, others, bench.guard(1), meter.clone());
        let what = format!("{wrong:?} × {bad}");
        let begun = Instant::now();
        let (ms, end) = read(chain.speak(request())).await;
        assert!(end.is_ok(), "{what}: {end:?}");
        // Four words of 330 ms, made in whole chunks of 100 ms.
        assert!(ms.abs_diff(1_400) < 50, "{what}: {ms} ms");
        let promised = if wrong.hangs() { FIRST_SOUND * bad as u32 } else { Duration::ZERO };
        assert!(begun.elapsed() < promised + SLACK, "{what}: {:?}", begun.elapsed());
        let good = ["a", "b", "c"][bad];
        assert!(fakes[bad].last_speech().contains(&format!("voice-of-{good}")), "{what}: {}", fakes[bad].last_speech());
        let usage = meter.usage();
        assert_eq!(usage.counts.fallbacks_speaking, 1, "{what}");
        let line = usage.lines.iter().find(|line| line.provider == good).expect("a line");
        assert_eq!((line.stage, line.requests, line.characters), (Stage::Speaking, 1, 18), "{what}");
        assert_eq!(line.audio_ms as usize, ms, "{what}");
        // The rest of the call stays with it.
        assert!(read(chain.speak(request())).await.1.is_ok(), "{what}");
        assert_eq!((requests(&meter, Stage::Speaking, "a"), meter.usage().counts.fallbacks_speaking), (1, 1), "{what}");
        if let Wrong::Speech(SpeechFault::StallAfter(0)) = wrong {
            until("the hanging request is dropped", || fakes[0].stats().speech_aborted == 1).await;
        }
    }))
    .await;
}

#[tokio::test]
async fn when_all_fail_an_error_comes_within_the_deadline() {
    join_all(BEFORE_THE_FIRST_SOUND.iter().map(|wrong| async move {
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await];
        let (first, others) =
            split(vec![speaker("a", &wrong.url(&fakes[0]).await), speaker("b", &wrong.url(&fakes[1]).await)]);
        let chain = ChainSpeaker::new(first, others, bench.guard(1), meter.clone());
        let begun = Instant::now();
        let (ms, end) = read(chain.speak(request())).await;
        assert!(ms == 0 && end.is_err(), "{wrong:?}: {ms} ms");
        assert!(begun.elapsed() < SPEECH_DEADLINE + SLACK, "{wrong:?}: {:?}", begun.elapsed());
        let tries = requests(&meter, Stage::Speaking, "a") + requests(&meter, Stage::Speaking, "b");
        assert!((2..=3).contains(&tries), "{wrong:?}: {tries} requests");
    }))
    .await;
}

#[tokio::test]
async fn a_sentence_that_sounds_is_not_begun_again() {
    let faults = [(SpeechFault::StallAfter(4), SPEECH_IDLE), (SpeechFault::CutAfter(4), Duration::ZERO)];
    join_all(faults.map(|(fault, promised)| async move {
        let (bench, meter) = (Bench::new(), Meter::new());
        let fakes = [named("a").await, named("b").await];
        fakes[0].break_speech(fault, 1);
        let (first, others) = split(vec![speaker("a", &fakes[0].openai_url()), speaker("b", &fakes[1].openai_url())]);
        let chain = ChainSpeaker::new(first, others, bench.guard(1), meter.clone());
        let begun = Instant::now();
        let (ms, end) = read(chain.speak(request())).await;
        assert!(ms > 0 && ms < 4 * 330 && end.is_err(), "{fault:?}: {ms} ms, {end:?}");
        assert!(begun.elapsed() < promised + SLACK, "{fault:?}: {:?}", begun.elapsed());
        assert_eq!(fakes[1].stats().speech_requests, 0, "{fault:?}");
        let (ms, end) = read(chain.speak(request())).await;
        assert!(ms > 1_200 && end.is_ok() && fakes[1].stats().speech_requests == 1, "{fault:?}: the other goes on");
    }))
    .await;
}

#[tokio::test]
async fn the_only_one_is_tried_again_where_that_may_help() {
    for (fault, times, tries, fine) in [
        (SpeechFault::Status(503), 1, 2, true),
        (SpeechFault::Status(500), 2, 3, true),
        (SpeechFault::Status(500), 9, 3, false),
        (SpeechFault::Status(401), 1, 1, false),
        (SpeechFault::Mp3, 1, 1, false),
    ] {
        let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
        fakes.break_speech(fault, times);
        let chain = ChainSpeaker::new(speaker("a", &fakes.openai_url()), Vec::new(), bench.guard(1), meter.clone());
        let (ms, end) = read(chain.speak(request())).await;
        assert_eq!((ms > 1_200, end.is_ok()), (fine, fine), "{fault:?} × {times}: {end:?}");
        assert_eq!(requests(&meter, Stage::Speaking, "a"), tries, "{fault:?} × {times}");
    }
}

#[tokio::test]
async fn the_only_one_that_hangs_is_asked_a_second_time() {
    join_all([(SpeechFault::StallAfter(0), 1, true), (SpeechFault::StallAfter(0), 9, false)].map(
        |(fault, times, fine)| async move {
            let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
            fakes.break_speech(fault, times);
            let chain = ChainSpeaker::new(speaker("a", &fakes.openai_url()), Vec::new(), bench.guard(1), meter.clone());
            let begun = Instant::now();
            let (ms, end) = read(chain.speak(request())).await;
            assert_eq!((ms > 1_200, end.is_ok()), (fine, fine), "{times}: {end:?}");
            let promised = if fine { FIRST_SOUND } else { SPEECH_DEADLINE };
            assert!(begun.elapsed() >= promised && begun.elapsed() < promised + SLACK, "{:?}", begun.elapsed());
            assert_eq!(requests(&meter, Stage::Speaking, "a"), 2, "{times}");
            until("what hung is dropped", || fakes.stats().speech_aborted == if fine { 1 } else { 2 }).await;
        },
    ))
    .await;
}

#[tokio::test]
async fn a_sentence_that_is_interrupted_leaves_nothing_behind() {
    let (bench, meter, fakes) = (Bench::new(), Meter::new(), named("a").await);
    fakes.break_speech(SpeechFault::StallAfter(4), 1);
    let chain = ChainSpeaker::new(speaker("a", &fakes.openai_url()), Vec::new(), bench.guard(1), meter.clone());
    let mut chunks = chain.speak(request());
    assert!(chunks.recv().await.is_some_and(|chunk| chunk.is_ok()));
    drop(chunks);
    until("the request is dropped", || fakes.stats().speech_aborted == 1).await;
    assert!(chain.speak(SpeakRequest { text: " ".into(), ..request() }).recv().await.is_none());
    assert_eq!(requests(&meter, Stage::Speaking, "a"), 1, "nothing to say is no request");
}
