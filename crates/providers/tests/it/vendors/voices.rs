//! What the three voices over WebSockets have in common. What is particular to each is beside it.

use super::{PATIENCE, http, key, nobody, until};
use providers::aura::{AuraSettings, AuraSpeaker};
use providers::cartesia::{CartesiaSettings, CartesiaSpeaker};
use providers::elevenlabs::{ElevenLabsSettings, ElevenLabsSpeaker};
use providers::speaker::{CHUNK_QUEUE, SpeakRequest, Speaker, SpeechChunk, TEXT_BYTES_MAX, WordTime};
use providers::speech_socket::SpeechDeadlines;
use providers::{Error, ErrorKind};
use std::time::Duration;
use testkit::vendors::{VoiceFault, Voices, VoicesSettings};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

pub(super) const KEY: &str = "sk-secret";
pub(super) const VENDORS: [&str; 3] = ["elevenlabs", "cartesia", "aura"];

/// What tests change about a speaker.
#[derive(Clone, Copy)]
pub(super) struct Knobs {
    pub(super) key: &'static str,
    pub(super) connections_max: usize,
    pub(super) idle_timeout: Duration,
    pub(super) deadlines: SpeechDeadlines,
}

impl Default for Knobs {
    fn default() -> Self {
        let (connections_max, idle_timeout) = (32, Duration::from_secs(60));
        Self { key: KEY, connections_max, idle_timeout, deadlines: SpeechDeadlines::default() }
    }
}

impl Knobs {
    pub(super) fn hasty() -> Self {
        let short = Duration::from_millis(250);
        let deadlines = SpeechDeadlines { first: short, idle: short, ..SpeechDeadlines::default() };
        Self { deadlines, ..Self::default() }
    }
}

pub(super) fn elevenlabs(url: &str, knobs: Knobs) -> ElevenLabsSettings {
    let Knobs { key: text, connections_max, idle_timeout, deadlines } = knobs;
    let base_url = url.to_owned();
    ElevenLabsSettings { base_url, connections_max, idle_timeout, deadlines, ..ElevenLabsSettings::new(key(text)) }
}

pub(super) fn cartesia(url: &str, knobs: Knobs) -> CartesiaSettings {
    let Knobs { key: text, connections_max, idle_timeout, deadlines } = knobs;
    let base_url = url.to_owned();
    CartesiaSettings { base_url, connections_max, idle_timeout, deadlines, ..CartesiaSettings::new(key(text)) }
}

pub(super) fn aura(url: &str, knobs: Knobs) -> AuraSettings {
    let Knobs { key: text, connections_max, idle_timeout, deadlines } = knobs;
    let base_url = url.to_owned();
    AuraSettings { base_url, connections_max, idle_timeout, deadlines, ..AuraSettings::new(key(text)) }
}

fn speaker_at(vendor: &str, url: &str, knobs: Knobs) -> Box<dyn Speaker> {
    match vendor {
        "elevenlabs" => Box::new(ElevenLabsSpeaker::new(http(), elevenlabs(url, knobs))),
        "cartesia" => Box::new(CartesiaSpeaker::new(http(), cartesia(url, knobs))),
        _ => Box::new(AuraSpeaker::new(http(), aura(url, knobs))),
    }
}

fn speaker(vendor: &str, voices: &Voices, knobs: Knobs) -> Box<dyn Speaker> {
    speaker_at(vendor, &voices.url(vendor), knobs)
}

pub(super) async fn voices() -> Voices {
    Voices::start(VoicesSettings::instant(KEY)).await.expect("a free port")
}

pub(super) fn request(text: &str, sample_rate_hz: u32) -> SpeakRequest {
    SpeakRequest { text: text.into(), language: "en-IN".into(), voice: String::new(), sample_rate_hz }
}

pub(super) struct Heard {
    pub(super) chunks: Vec<Vec<i16>>,
    pub(super) words: Vec<WordTime>,
    pub(super) error: Option<Error>,
}

impl Heard {
    pub(super) fn samples(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    fn kind(&self) -> Option<ErrorKind> {
        self.error.as_ref().map(|error| error.kind)
    }
}

pub(super) async fn listen(mut chunks: Receiver<Result<SpeechChunk, Error>>) -> Heard {
    let mut heard = Heard { chunks: Vec::new(), words: Vec::new(), error: None };
    let reading = async {
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Ok(SpeechChunk { pcm, words }) => {
                    heard.words.extend(words);
                    heard.chunks.extend((!pcm.is_empty()).then_some(pcm));
                }
                Err(error) => heard.error = Some(error),
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("an end");
    heard
}

#[tokio::test]
async fn speech_has_the_wanted_rate_and_length() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::default());
        for rate in [8_000u32, 16_000, 24_000] {
            let heard = listen(speaker.speak(request("One two three", rate))).await;
            assert!(heard.error.is_none(), "{vendor}: {:?}", heard.error);
            // Three words of 330 ms, made in whole pieces of 100 ms.
            assert_eq!(heard.samples(), rate as usize, "{vendor} at {rate}");
            assert!(heard.chunks.iter().all(|c| c.len() <= rate as usize / 10), "{vendor}");
            assert!(heard.chunks.iter().flatten().any(|s| s.unsigned_abs() > 3_000), "{vendor}");
        }
        assert_eq!((voices.stats().refused, voices.stats().completed), (0, 3), "{vendor}");
    }
}

#[tokio::test]
async fn sentences_share_a_connection() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::default());
        for _ in 0..10 {
            assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none(), "{vendor}");
        }
        assert_eq!((voices.stats().connections, voices.stats().sentences), (1, 10), "{vendor}");
        drop(speaker);
        until("the connection is closed", || voices.stats().open == 0).await;
    }
}

#[tokio::test]
async fn sentences_at_one_time_do_not_mix() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::default());
        let texts: Vec<String> = (1..12).map(|n| "word ".repeat(n)).collect();
        let speaking = texts.iter().map(|text| listen(speaker.speak(request(text, 8_000))));
        let all = futures_util::future::join_all(speaking).await;
        for (n, heard) in all.iter().enumerate() {
            assert!(heard.error.is_none(), "{vendor}: {:?}", heard.error);
            assert_eq!(heard.samples(), ((n + 1) * 330).div_ceil(100) * 800, "{vendor} {n}");
        }
        assert_eq!(voices.stats().refused, 0, "{vendor}");
    }
}

#[tokio::test]
async fn what_cannot_be_spoken_is_not_asked_for() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::default());
        let heard = listen(speaker.speak(request(" \n", 8_000))).await;
        assert!(heard.chunks.is_empty() && heard.error.is_none());
        for bad in [request(&"a".repeat(TEXT_BYTES_MAX + 1), 8_000), request("Hello", 11_025), request("Hello", 0)] {
            assert_eq!(listen(speaker.speak(bad)).await.kind(), Some(ErrorKind::Rejected), "{vendor}");
        }
        for url in ["", "elevenlabs.io", "ftp://x"] {
            let heard = listen(speaker_at(vendor, url, Knobs::default()).speak(request("Hello", 8_000))).await;
            assert_eq!(heard.kind(), Some(ErrorKind::Rejected), "{vendor} {url}");
        }
        assert_eq!(voices.stats().connections, 0, "{vendor}");
    }
}

#[tokio::test]
async fn failures_have_their_kind() {
    for vendor in VENDORS {
        let voices = voices().await;
        for (fault, kind, some) in [
            (VoiceFault::StallAfter(0), ErrorKind::TimedOut, false),
            (VoiceFault::StallAfter(2), ErrorKind::TimedOut, true),
            (VoiceFault::CutAfter(2), ErrorKind::Unavailable, true),
            (VoiceFault::CloseAfter { pieces: 2, code: 1011 }, ErrorKind::Unavailable, true),
            (VoiceFault::CloseAfter { pieces: 0, code: 1008 }, ErrorKind::Rejected, false),
            (VoiceFault::GarbageAfter(0), ErrorKind::Protocol, false),
            (VoiceFault::GarbageAfter(2), ErrorKind::Protocol, true),
            (VoiceFault::Wav, ErrorKind::Protocol, false),
            (VoiceFault::Empty, ErrorKind::Protocol, false),
            (VoiceFault::Error(500), ErrorKind::Unavailable, false),
        ] {
            voices.break_sentences(fault, 1);
            let heard = listen(speaker(vendor, &voices, Knobs::hasty()).speak(request("One two three", 8_000))).await;
            assert_eq!(heard.kind(), Some(kind), "{vendor} {fault:?}: {:?}", heard.error);
            assert_eq!(!heard.chunks.is_empty(), some, "{vendor} {fault:?}: noise must not be heard");
            let shown = format!("{:?}", heard.error);
            assert!(!shown.contains("secret") && !shown.contains("three"), "{shown}");
        }
        let url = format!("ws://{}", nobody());
        let heard = listen(speaker_at(vendor, &url, Knobs::default()).speak(request("Hello", 8_000))).await;
        assert_eq!(heard.kind(), Some(ErrorKind::Unavailable), "{vendor}");
    }
}

#[tokio::test]
async fn a_refused_handshake_has_its_kind_and_tells_no_secret() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::default());
        for (status, kind) in [
            (400, ErrorKind::Rejected),
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (429, ErrorKind::Overloaded),
            (500, ErrorKind::Unavailable),
        ] {
            voices.refuse(status, 1);
            let heard = listen(speaker.speak(request("Hello", 8_000))).await;
            assert_eq!(heard.kind(), Some(kind), "{vendor} {status}");
            let shown = format!("{:?}", heard.error);
            assert!(shown.contains(&status.to_string()) && !shown.contains("secret"), "{vendor}: {shown}");
            assert_eq!(shown.contains("retry after 7 s"), status == 429, "{vendor}: {shown}");
        }
        for wrong in ["sk-wrong", "a\nb"] {
            let knobs = Knobs { key: wrong, ..Knobs::default() };
            let heard = listen(speaker_at(vendor, &voices.url(vendor), knobs).speak(request("Hello", 8_000))).await;
            assert_eq!(heard.kind(), Some(ErrorKind::Unauthorized), "{vendor}");
        }
        assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none(), "{vendor}: it goes on");
    }
}

#[tokio::test]
async fn what_is_new_is_skipped() {
    for vendor in VENDORS {
        let voices = voices().await;
        voices.break_sentences(VoiceFault::Novelties, 1);
        let heard = listen(speaker(vendor, &voices, Knobs::default()).speak(request("One two three", 8_000))).await;
        assert!(heard.error.is_none(), "{vendor}: {:?}", heard.error);
        assert_eq!(heard.samples(), 8_000, "{vendor}");
    }
}

#[tokio::test]
async fn speech_without_end_has_one() {
    for vendor in VENDORS {
        let voices = voices().await;
        voices.break_sentences(VoiceFault::Endless, 1);
        let speaker = speaker(vendor, &voices, Knobs::default());
        let heard = listen(speaker.speak(request("Hello", 8_000))).await;
        assert_eq!(heard.kind(), Some(ErrorKind::Protocol), "{vendor}");
        assert!(heard.samples() <= 120 * 8_000, "{vendor}");
    }
}

#[tokio::test]
async fn the_first_sound_does_not_wait_for_the_last() {
    for vendor in VENDORS {
        let settings = VoicesSettings { speed: 20.0, ..VoicesSettings::instant(KEY) };
        let voices = Voices::start(settings).await.expect("a free port");
        let mut chunks = speaker(vendor, &voices, Knobs::default()).speak(request(&"word ".repeat(60), 8_000));
        let first = timeout(PATIENCE, chunks.recv()).await.expect("a chunk").expect("one").expect("no error");
        assert!(!first.pcm.is_empty());
        assert!(voices.stats().bytes < 60 * 330 * 16, "{vendor}: all was made before the first was heard");
    }
}

#[tokio::test]
async fn a_call_that_takes_its_time_loses_nothing_and_holds_nobody_up() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::hasty());
        let slow = speaker.speak(request(&"word ".repeat(60), 8_000));
        until("the queue is full", || slow.len() == CHUNK_QUEUE).await;
        // Longer than the service may pause: the waiting is ours. Others are spoken meanwhile.
        assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none(), "{vendor}");
        tokio::time::sleep(Duration::from_millis(400)).await;
        let heard = listen(slow).await;
        assert!(heard.error.is_none(), "{vendor}: {:?}", heard.error);
        assert_eq!(heard.samples(), 60 * 330 * 8, "{vendor}");
    }
}

#[tokio::test]
async fn dropping_the_receiver_ends_the_sentence_and_not_the_connection() {
    for vendor in VENDORS {
        let settings = VoicesSettings { speed: 20.0, ..VoicesSettings::instant(KEY) };
        let voices = Voices::start(settings).await.expect("a free port");
        let speaker = speaker(vendor, &voices, Knobs::default());
        for n in 1..=3 {
            let mut chunks = speaker.speak(request(&"word ".repeat(20), 8_000));
            assert!(chunks.recv().await.is_some());
            drop(chunks);
            // ElevenLabs has nothing to be told: the context is closed as soon as its text is sent.
            if vendor != "elevenlabs" {
                until("it is cancelled", || voices.stats().cancelled == n).await;
            }
            let heard = listen(speaker.speak(request("Hello", 8_000))).await;
            assert!(heard.error.is_none(), "{vendor}: {:?}", heard.error);
            assert_eq!(heard.samples(), 4 * 800, "{vendor}: only its own sound");
        }
        // Deepgram may still be clearing when the next sentence comes.
        let most = if vendor == "aura" { 2 } else { 1 };
        let stats = voices.stats();
        assert!(stats.connections <= most, "{vendor}: {stats:?}");
        assert_eq!((stats.refused, stats.sentences), (0, 6), "{vendor}");
        drop(speaker);
        until("nothing is left", || voices.stats().open == 0).await;
    }
}

#[tokio::test]
async fn a_connection_that_was_lost_while_idle_is_opened_again() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::default());
        assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none(), "{vendor}");
        // It breaks before the first sound of the second sentence, as a connection does that was lost before.
        voices.break_sentences(VoiceFault::CutAfter(0), 1);
        let heard = listen(speaker.speak(request("One two three", 8_000))).await;
        assert!(heard.error.is_none(), "{vendor}: {:?}", heard.error);
        assert_eq!((heard.samples(), voices.stats().connections), (8_000, 2), "{vendor}");
        // On a new connection nothing is tried twice.
        voices.break_sentences(VoiceFault::CutAfter(0), 2);
        let heard = listen(speaker.speak(request("One", 8_000))).await;
        assert_eq!(heard.kind(), Some(ErrorKind::Unavailable), "{vendor}");
    }
}

#[tokio::test]
async fn a_connection_that_did_not_answer_gets_no_more_sentences() {
    for vendor in VENDORS {
        let voices = voices().await;
        let speaker = speaker(vendor, &voices, Knobs::hasty());
        voices.break_sentences(VoiceFault::StallAfter(0), 1);
        let heard = listen(speaker.speak(request("Hello", 8_000))).await;
        assert_eq!(heard.kind(), Some(ErrorKind::TimedOut), "{vendor}");
        assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none(), "{vendor}");
        assert_eq!(voices.stats().connections, 2, "{vendor}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    for vendor in VENDORS {
        let voices = voices().await;
        let knobs = Knobs { idle_timeout: Duration::from_millis(100), ..Knobs::default() };
        let speaker = speaker(vendor, &voices, knobs);
        assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none(), "{vendor}");
        until("it is closed", || voices.stats().open == 0).await;
        // Cartesia wants no farewell but the closing itself.
        assert_eq!(voices.stats().farewells, u64::from(vendor != "cartesia"), "{vendor}");
        assert!(listen(speaker.speak(request("Hello", 8_000))).await.error.is_none(), "{vendor}");
    }
}

#[tokio::test]
async fn there_are_so_many_connections_and_no_more() {
    let voices = voices().await;
    let knobs = Knobs { connections_max: 2, ..Knobs::hasty() };
    let speaker = speaker("aura", &voices, knobs);
    voices.break_sentences(VoiceFault::StallAfter(1), 2);
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut chunks = speaker.speak(request("Hello", 8_000));
        assert!(chunks.recv().await.expect("a chunk").is_ok());
        busy.push(chunks);
    }
    assert_eq!(listen(speaker.speak(request("Hello", 8_000))).await.kind(), Some(ErrorKind::Overloaded));
    drop(busy);
    until("they are cleared", || voices.stats().cancelled == 2).await;
    // Both are idle and lead to another rate: one makes room.
    let heard = loop {
        let heard = listen(speaker.speak(request("Hello", 16_000))).await;
        if heard.kind() != Some(ErrorKind::Overloaded) {
            break heard;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(heard.error.is_none(), "{:?}", heard.error);
    until("one has closed", || voices.stats().open == 2).await;
}

#[tokio::test]
async fn a_check_costs_no_speech_and_knows_the_key() {
    let voices = voices().await;
    for vendor in VENDORS {
        let url = voices.url(vendor);
        for (text, kind) in [(KEY, None), ("sk-wrong", Some(ErrorKind::Unauthorized))] {
            let knobs = Knobs { key: text, ..Knobs::default() };
            let result = match vendor {
                "elevenlabs" => ElevenLabsSpeaker::new(http(), elevenlabs(&url, knobs)).check().await,
                "cartesia" => CartesiaSpeaker::new(http(), cartesia(&url, knobs)).check().await,
                _ => AuraSpeaker::new(http(), aura(&url, knobs)).check().await,
            };
            assert_eq!(result.err().map(|error| error.kind), kind, "{vendor} {text}");
        }
        voices.refuse(429, 1);
        let knobs = Knobs::default();
        let error = match vendor {
            "elevenlabs" => ElevenLabsSpeaker::new(http(), elevenlabs(&url, knobs)).check().await,
            "cartesia" => CartesiaSpeaker::new(http(), cartesia(&url, knobs)).check().await,
            _ => AuraSpeaker::new(http(), aura(&url, knobs)).check().await,
        };
        let error = error.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Overloaded, "{vendor}");
        assert!(error.to_string().contains("retry after 7 s"), "{error}");
    }
    until("nothing is left open", || voices.stats().open == 0).await;
    assert_eq!(voices.stats().sentences, 0);
}
