//! What depends on time alone: deadlines to the millisecond, recovery, pace.

use super::scripted::Scripted;
use super::{Bench, link, split};
use providers::chain::{
    ANSWER_DEADLINE, ANSWER_GAP, ANSWER_IDLE, ChainModel, ChainSpeaker, ChainTranscriber, FIRST_SOUND, FIRST_TEXT,
    Meter, RECOVERY_AFTER, REPLAY_S_MAX, SPEECH_DEADLINE, SPEECH_IDLE, TEXT_DEADLINE, TEXT_FIRST,
};
use providers::language_model::{LanguageModel, Prompt, Thought};
use providers::resilience::BREAKER_OPEN_MS;
use providers::speaker::{SpeakRequest, Speaker};
use providers::transcriber::{Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

const MS: Duration = Duration::from_millis(1);

/// To the nearest 10 ms: timers have a grain of 1 ms.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis((time.as_micros() as u64 + 5_000) / 10_000 * 10)
}

fn models(scripts: &[&Arc<Scripted>], hedge_after_ms: u64, bench: &Bench, meter: &Meter) -> ChainModel {
    let links = scripts.iter().map(|one| link(one.name, Arc::clone(*one) as Arc<dyn LanguageModel>)).collect();
    let (first, others) = split(links);
    ChainModel::new(first, others, hedge_after_ms, bench.guard(1), meter.clone())
}

fn speakers(scripts: &[&Arc<Scripted>], bench: &Bench, meter: &Meter) -> ChainSpeaker {
    let links = scripts.iter().map(|one| link(one.name, Arc::clone(*one) as Arc<dyn Speaker>)).collect();
    let (first, others) = split(links);
    ChainSpeaker::new(first, others, bench.guard(1), meter.clone())
}

fn transcribers(scripts: &[&Arc<Scripted>], bench: &Bench, meter: &Meter) -> ChainTranscriber {
    let links = scripts.iter().map(|one| link(one.name, Arc::clone(*one) as Arc<dyn Transcriber>)).collect();
    let (first, others) = split(links);
    ChainTranscriber::new(first, others, bench.guard(1), meter.clone())
}

fn prompt() -> Prompt {
    Prompt { system: String::new(), messages: Vec::new(), temperature: 0.0, tools: Vec::new() }
}

/// Who answered, and after how long; none = an error.
async fn answer(model: &ChainModel) -> (Option<String>, Duration) {
    let begun = Instant::now();
    let mut thoughts = model.think(prompt());
    let mut who = None;
    while let Some(thought) = thoughts.recv().await {
        match thought {
            Ok(Thought::Text(text)) => who = Some(text),
            Ok(_) => {}
            Err(_) => return (None, rounded(begun.elapsed())),
        }
    }
    (who, rounded(begun.elapsed()))
}

/// Length of the name of who spoke.
async fn voice(speaker: &ChainSpeaker) -> Option<i16> {
    let request =
        SpeakRequest { text: "Hello.".into(), language: "en-IN".into(), voice: String::new(), sample_rate_hz: 8_000 };
    let mut chunks = speaker.speak(request);
    let mut level = None;
    while let Some(chunk) = chunks.recv().await {
        level = chunk.ok()?.pcm.first().copied();
    }
    level
}

#[tokio::test(start_paused = true)]
async fn each_model_has_its_time_and_the_last_one_what_is_left() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let scripts = [Scripted::new("a", None), Scripted::new("bb", None), Scripted::new("ccc", Some(MS * 2_400))];
    let chain = models(&[&scripts[0], &scripts[1], &scripts[2]], 0, &bench, &meter);
    assert_eq!(answer(&chain).await, (Some("ccc".into()), FIRST_TEXT * 2 + MS * 2_400));
    scripts[2].set_first(None);
    assert_eq!(answer(&chain).await, (None, ANSWER_DEADLINE));
    sleep(MS).await;
    assert!(scripts.iter().all(|one| one.running() == 0), "nothing is left running");
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_one_is_heard_when_it_begins_before_the_second() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let (slow, second) = (Scripted::new("slow", Some(MS * 900)), Scripted::new("second", Some(MS * 700)));
    let chain = models(&[&slow, &second], 500, &bench, &meter);
    assert_eq!(answer(&chain).await, (Some("slow".into()), MS * 900));
    assert_eq!((slow.asked(), second.asked(), meter.usage().counts.fallbacks_thinking), (1, 1, 0));
    second.set_first(Some(MS * 100));
    assert_eq!(answer(&chain).await, (Some("second".into()), MS * 600));
    sleep(MS).await;
    assert_eq!((slow.running(), second.running()), (0, 0));
    // One that fails does not wait for the hedge.
    slow.set_fails(true);
    slow.set_first(Some(MS * 10));
    let chain = models(&[&slow, &second], 500, &bench, &meter);
    assert_eq!(answer(&chain).await, (Some("second".into()), MS * 110));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_in_the_middle_ends() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let script = Arc::new(Scripted {
        name: "a",
        first: std::sync::Mutex::new(Some(MS)),
        step: Duration::from_secs(60),
        pieces: 2,
        ..Scripted::default()
    });
    let chain = models(&[&script], 0, &bench, &meter);
    assert_eq!(answer(&chain).await, (None, ANSWER_IDLE));
}

#[tokio::test(start_paused = true)]
async fn the_first_voice_comes_back_after_a_minute_but_not_within_an_answer() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let (first, other) = (Scripted::new("a", None), Scripted::new("bb", Some(MS * 100)));
    let chain = speakers(&[&first, &other], &bench, &meter);
    let begun = Instant::now();
    assert_eq!(voice(&chain).await, Some(2));
    assert_eq!(rounded(begun.elapsed()), FIRST_SOUND + MS * 100);
    first.set_first(Some(MS * 50));
    // Sentence after sentence of one long answer.
    while begun.elapsed() < RECOVERY_AFTER + Duration::from_secs(20) {
        assert_eq!(voice(&chain).await, Some(2), "{:?}", begun.elapsed());
        sleep(Duration::from_secs(1)).await;
    }
    advance(ANSWER_GAP).await;
    assert_eq!(voice(&chain).await, Some(1));
    assert_eq!((first.asked(), meter.usage().counts.fallbacks_speaking), (2, 1));
    // One that fails again is left again.
    first.set_fails(true);
    assert_eq!(voice(&chain).await, Some(2));
    assert_eq!(meter.usage().counts.fallbacks_speaking, 2);
}

#[tokio::test(start_paused = true)]
async fn the_fallbacks_own_breaker_brings_the_first_back() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let (first, other) = (Scripted::new("a", Some(MS)), Scripted::new("bb", Some(MS)));
    first.set_fails(true);
    let chain = speakers(&[&first, &other], &bench, &meter);
    assert_eq!(voice(&chain).await, Some(2));
    first.set_fails(false);
    other.set_fails(true);
    assert_eq!(voice(&chain).await, Some(1), "who else");
    assert_eq!(voice(&chain).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_costs_no_time_and_closes_by_a_trial() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let (first, other) = (Scripted::new("a", None), Scripted::new("bb", Some(MS)));
    for _ in 0..5 {
        // Five calls.
        assert_eq!(voice(&speakers(&[&first, &other], &bench, &meter)).await, Some(2));
    }
    let begun = Instant::now();
    assert_eq!(voice(&speakers(&[&first, &other], &bench, &meter)).await, Some(2));
    assert_eq!((rounded(begun.elapsed()), first.asked()), (Duration::ZERO, 5));
    first.set_first(Some(MS));
    advance(Duration::from_millis(BREAKER_OPEN_MS)).await;
    assert_eq!(voice(&speakers(&[&first, &other], &bench, &meter)).await, Some(1));
    assert!(bench.targets.states().is_empty());
}

#[tokio::test(start_paused = true)]
async fn silence_in_a_sentence_is_counted_against_the_sound_that_was_made() {
    for (step, pieces, want) in [
        // As fast as it is heard: never late.
        (MS * 100, 300, None),
        // A little slower than it is heard, for long.
        (MS * 150, 40, None),
        // A drop every second and a half: two of them fit.
        (MS * 1_500, 10, Some(SPEECH_IDLE + MS * 200)),
        (Duration::from_secs(60), 2, Some(SPEECH_IDLE)),
    ] {
        let (bench, meter) = (Bench::new(), Meter::new());
        let script = Arc::new(Scripted {
            name: "a",
            first: std::sync::Mutex::new(Some(Duration::ZERO)),
            step,
            pieces,
            ..Scripted::default()
        });
        let begun = Instant::now();
        let spoken = voice(&speakers(&[&script], &bench, &meter)).await;
        match want {
            None => assert_eq!(spoken, Some(1), "{step:?}"),
            Some(within) => {
                assert_eq!(spoken, None, "{step:?}");
                assert!(begun.elapsed().abs_diff(within) < MS * 10, "{step:?}: {:?}", begun.elapsed());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn speakers_have_their_time() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let scripts = [Scripted::new("a", None), Scripted::new("bb", None), Scripted::new("ccc", None)];
    let chain = speakers(&[&scripts[0], &scripts[1], &scripts[2]], &bench, &meter);
    let begun = Instant::now();
    assert_eq!(voice(&chain).await, None);
    assert_eq!(rounded(begun.elapsed()), SPEECH_DEADLINE);
    assert!(scripts.iter().all(|one| one.asked() == 1));
}

async fn open(chain: &ChainTranscriber) -> TranscriberStream {
    chain.open(TranscriberOptions { sample_rate_hz: 8_000, language: "en-IN".into() }).await.expect("at once")
}

/// The text, or none for a failure; and how long it took.
async fn ask(stream: &mut TranscriberStream, work: u64) -> (Option<String>, Duration) {
    let begun = Instant::now();
    stream.input.send(TranscriberInput::Finalize { work }).await.expect("it listens");
    match stream.output.recv().await.expect("an answer") {
        TranscriberOutput::Final { work: answered, text } if answered == work => (Some(text), rounded(begun.elapsed())),
        TranscriberOutput::Failed { work: Some(answered), .. } if answered == work => (None, rounded(begun.elapsed())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_utterance_is_heard_again_by_the_next_transcriber_in_time() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let (first, second) = (Scripted::new("a", None), Scripted::new("b", Some(MS * 300)));
    let chain = transcribers(&[&first, &second], &bench, &meter);
    let mut stream = open(&chain).await;
    for _ in 0..REPLAY_S_MAX + 5 {
        stream.input.send(TranscriberInput::Audio(vec![1; 8_000].into())).await.expect("it listens");
        sleep(MS).await;
    }
    let want = format!("b {}", REPLAY_S_MAX * 8_000);
    assert_eq!(ask(&mut stream, 1).await, (Some(want), TEXT_FIRST + MS * 300), "the newest of it");
    assert_eq!(first.running(), 0, "the first one is closed");
    stream.input.send(TranscriberInput::Discard).await.expect("it listens");
    stream.input.send(TranscriberInput::Audio(vec![1; 80].into())).await.expect("it listens");
    assert_eq!(ask(&mut stream, 2).await, (Some("b 80".into()), MS * 300));
    drop(stream);
    sleep(MS).await;
    assert_eq!((first.running(), second.running()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_heard_again_but_for_what_came_just_before_the_words() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let (first, second) = (Scripted::new("a", None), Scripted::new("b", Some(MS * 300)));
    let chain = transcribers(&[&first, &second], &bench, &meter);
    let mut stream = open(&chain).await;
    for _ in 0..20 {
        stream.input.send(TranscriberInput::Silence(vec![0; 4_000].into())).await.expect("it listens");
        sleep(MS).await;
    }
    stream.input.send(TranscriberInput::Audio(vec![1; 800].into())).await.expect("it listens");
    assert_eq!(ask(&mut stream, 1).await, (Some("b 4800".into()), TEXT_FIRST + MS * 300));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_nobody_gives_is_told_in_time() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let (first, second) = (Scripted::new("a", None), Scripted::new("b", None));
    for (scripts, want) in [(vec![&first], TEXT_DEADLINE), (vec![&first, &second], TEXT_DEADLINE)] {
        let chain = transcribers(&scripts, &bench, &meter);
        let mut stream = open(&chain).await;
        stream.input.send(TranscriberInput::Audio(vec![1; 800].into())).await.expect("it listens");
        assert_eq!(ask(&mut stream, 1).await, (None, want), "{}", scripts.len());
    }
}

#[tokio::test(start_paused = true)]
async fn when_nobody_listens_it_is_tried_again_after_a_rest() {
    let (bench, meter) = (Bench::new(), Meter::new());
    let only = Scripted::new("a", Some(MS * 100));
    only.set_fails(true);
    let chain = transcribers(&[&only], &bench, &meter);
    let mut stream = open(&chain).await;
    stream.input.send(TranscriberInput::Audio(vec![1; 800].into())).await.expect("it listens");
    assert_eq!(ask(&mut stream, 1).await, (None, Duration::ZERO));
    only.set_fails(false);
    advance(Duration::from_secs(2)).await;
    stream.input.send(TranscriberInput::Audio(vec![1; 800].into())).await.expect("it listens");
    assert_eq!(ask(&mut stream, 2).await, (Some("a 1600".into()), MS * 100));
}
