//! The built-in models themselves, on recorded human speech. Needs `make models`; fails without it.
//! `CALY_TEST_MODELS=skip` leaves these tests out.
#![expect(clippy::disallowed_methods, reason = "tests learn from the environment where the models are")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use providers::local::{Builtin, InferencePool, ModelPaths, PoolSettings, UTTERANCE_S_MAX};
use providers::speaker::{SpeakRequest, Speaker};
use providers::transcriber::{Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput};
use providers::turn::TurnDetector;
use providers::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Rate of the recordings.
const LINE_HZ: u32 = 8_000;

struct Loaded {
    builtin: Builtin,
    pool: InferencePool,
}

/// Loaded once for all tests; nothing when the tests of models are to be left out.
fn loaded() -> Option<&'static Loaded> {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    if std::env::var("CALY_TEST_MODELS").is_ok_and(|v| v == "skip") {
        return None;
    }
    Some(LOADED.get_or_init(|| {
        let pool = InferencePool::start(PoolSettings { workers: 2, queue: 64 }).unwrap();
        let builtin = Builtin::load(&ModelPaths::in_folder(models_folder()), &pool, &|_| ()).unwrap_or_else(|errors| {
            panic!("no models: run `make models`, or set CALY_TEST_MODELS=skip ({})", errors[0]);
        });
        assert!(builtin.missing.is_empty(), "run `make models`: {:?}", builtin.missing);
        Loaded { builtin, pool }
    }))
}

fn models_folder() -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache");
        std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("caly/models")
    };
    std::env::var_os("CALY_MODELS_DIR").map_or_else(cache, PathBuf::from)
}

fn voice_folder() -> PathBuf {
    models_folder().parent().expect("a folder above").join("voices/asterisk-en")
}

fn recording(name: &str) -> Vec<i16> {
    let path = voice_folder().join(format!("{name}.wav"));
    let mut reader =
        hound::WavReader::open(&path).unwrap_or_else(|e| panic!("{}: {e}; run `make models`", path.display()));
    assert_eq!(reader.spec().sample_rate, LINE_HZ);
    reader.samples::<i16>().map(Result::unwrap).collect()
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; LINE_HZ as usize / 1000 * ms]
}

/// Clips of five words and more, up to 14 s, every n-th: name and what is said.
fn sentences(every: usize) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(voice_folder().join("core-sounds-en.txt")).expect("run `make models`");
    let clips: BTreeMap<&str, &str> = text
        .lines()
        .filter(|line| !line.starts_with(';'))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, said)| (name.trim(), said.trim()))
        .collect();
    clips
        .into_iter()
        .filter(|(_, said)| !said.contains(['[', '(', '<', '{']) && language::words::normalize(said).len() >= 5)
        .filter(|(name, _)| voice_folder().join(format!("{name}.wav")).is_file())
        .filter(|(name, _)| recording(name).len() <= 14 * LINE_HZ as usize)
        .map(|(name, said)| (name.to_owned(), said.to_owned()))
        .step_by(every)
        .collect()
}

async fn heard(pcm: Vec<i16>) -> String {
    let loaded = loaded().expect("asked before");
    loaded.builtin.transcriber.as_ref().expect("loaded").transcribe(pcm, LINE_HZ).await.unwrap()
}

async fn spoken(text: &str, sample_rate_hz: u32) -> Result<Vec<Vec<i16>>, Error> {
    let speaker = loaded().expect("asked before").builtin.speaker.as_ref().expect("loaded");
    let mut receiver = speaker.speak(SpeakRequest {
        text: text.to_owned(),
        language: "en-IN".to_owned(),
        voice: String::new(),
        sample_rate_hz,
    });
    let mut chunks = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        chunks.push(chunk?.pcm);
    }
    Ok(chunks)
}

#[tokio::test]
async fn recorded_telephone_speech_is_understood() {
    if loaded().is_none() {
        return;
    }
    let (mut wrong, mut words) = (0.0, 0);
    let clips = sentences(5);
    assert!(clips.len() >= 25, "{} clips", clips.len());
    for (name, said) in &clips {
        let got = heard(recording(name)).await;
        let count = language::words::normalize(said).len();
        wrong += language::words::error_rate(said, &got) * count as f64;
        words += count;
    }
    let rate = wrong / words as f64;
    assert!(rate < 0.09, "{:.1} % of {words} words wrong in {} clips", rate * 100.0, clips.len());
}

#[tokio::test]
async fn silence_and_very_short_sound_give_no_words() {
    if loaded().is_none() {
        return;
    }
    for pcm in [Vec::new(), silence(50), silence(3_000), vec![6_000; 700]] {
        assert_eq!(heard(pcm).await, "");
    }
}

#[tokio::test]
async fn what_is_spoken_is_understood_again() {
    if loaded().is_none() {
        return;
    }
    for text in [
        "Good morning, this is the front desk. How can I help you?",
        "Your appointment is on Tuesday at half past four.",
        "Thank you for calling, and have a nice day.",
    ] {
        let got = heard(spoken(text, LINE_HZ).await.unwrap().concat()).await;
        assert!(language::words::error_rate(text, &got) < 0.15, "{text} -> {got}");
    }
}

#[tokio::test]
async fn speech_comes_in_small_chunks_at_one_level() {
    if loaded().is_none() {
        return;
    }
    let text = "Please hold on for a moment, while I look for a free appointment for you on that day.";
    for rate in [8_000, 16_000, 24_000] {
        let chunks = spoken(text, rate).await.unwrap();
        assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= rate as usize / 10));
        let pcm = chunks.concat();
        let seconds = pcm.len() as f64 / f64::from(rate);
        assert!((3.0..9.0).contains(&seconds), "{seconds} s");
        let level = audio::level::rms_dbfs(&pcm);
        assert!((-26.0..-17.0).contains(&level), "{level} dBFS");
    }
}

#[tokio::test]
async fn a_second_speaker_says_the_same_and_the_second_time_costs_nothing() {
    if loaded().is_none() {
        return;
    }
    let text = "One moment please.";
    let pool = InferencePool::start(PoolSettings { workers: 1, queue: 4 }).unwrap();
    let mut paths = ModelPaths::in_folder("nowhere");
    paths.hibari = Some(models_folder().join("hibari"));
    let builtin = Builtin::load(&paths, &pool, &|_| ()).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!(builtin.missing.len(), 3, "the others are not there and do not stand in its way");
    let speaker = builtin.speaker.unwrap();
    let mut said = Vec::new();
    for _ in 0..2 {
        let mut receiver = speaker.speak(SpeakRequest {
            text: text.to_owned(),
            language: "en".to_owned(),
            voice: "a voice of somebody else".to_owned(),
            sample_rate_hz: LINE_HZ,
        });
        let mut pcm = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            pcm.extend(chunk.unwrap().pcm);
        }
        said.push(pcm);
    }
    assert_eq!(pool.counts().finished, 1, "the second came from memory");
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0], spoken(text, LINE_HZ).await.unwrap().concat());
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_or_silent() {
    if loaded().is_none() {
        return;
    }
    assert_eq!(spoken(&"long ".repeat(1_000), LINE_HZ).await.unwrap_err().kind, ErrorKind::Rejected);
    assert_eq!(spoken("hello", 1).await.unwrap_err().kind, ErrorKind::Rejected);
    for text in
        ["", "   ", "…", "[x](/y/)", "नमस्ते", "\u{0}\u{1F600}", "((((", "1234567890123456789012345678901234567890"]
    {
        assert!(spoken(text, LINE_HZ).await.is_ok(), "{text}");
    }
}

async fn stream(language: &str, sample_rate_hz: u32) -> Result<providers::transcriber::TranscriberStream, Error> {
    let transcriber = loaded().expect("asked before").builtin.transcriber.as_ref().expect("loaded");
    transcriber.open(TranscriberOptions { sample_rate_hz, language: language.to_owned() }).await
}

#[tokio::test]
async fn a_stream_answers_the_newest_request_and_forgets_on_discard() {
    if loaded().is_none() {
        return;
    }
    let mut stream = stream("en-IN", LINE_HZ).await.unwrap();
    for chunk in recording("auth-thankyou").chunks(800) {
        stream.input.send(TranscriberInput::Audio(chunk.into())).await.unwrap();
    }
    for work in [1, 2, 3] {
        stream.input.send(TranscriberInput::Finalize { work }).await.unwrap();
    }
    let text = loop {
        match stream.output.recv().await.unwrap() {
            TranscriberOutput::Final { work: 3, text } => break text,
            TranscriberOutput::Final { .. }
            | TranscriberOutput::Partial { .. }
            | TranscriberOutput::EndOfUtterance { .. }
            | TranscriberOutput::Language { .. } => {}
            TranscriberOutput::Failed { error, .. } => panic!("{error}"),
        }
    };
    assert!(text.to_lowercase().contains("thank you"), "{text}");
    stream.input.send(TranscriberInput::Discard).await.unwrap();
    stream.input.send(TranscriberInput::Finalize { work: 4 }).await.unwrap();
    match stream.output.recv().await.unwrap() {
        TranscriberOutput::Final { work, text } => assert_eq!((work, text.as_str()), (4, "")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_endless_utterance_keeps_its_end() {
    if loaded().is_none() {
        return;
    }
    let mut stream = stream("en", LINE_HZ).await.unwrap();
    for _ in 0..UTTERANCE_S_MAX + 5 {
        stream.input.send(TranscriberInput::Audio(silence(1_000).into())).await.unwrap();
    }
    stream.input.send(TranscriberInput::Audio(recording("auth-thankyou").into())).await.unwrap();
    stream.input.send(TranscriberInput::Finalize { work: 9 }).await.unwrap();
    let answer = stream.output.recv().await.unwrap();
    let TranscriberOutput::Final { work: 9, text } = &answer else { panic!("{answer:?}") };
    assert!(text.to_lowercase().contains("thank"), "{text}");
}

#[tokio::test]
async fn other_languages_and_rates_are_refused() {
    if loaded().is_none() {
        return;
    }
    for (sample_rate_hz, language) in [(LINE_HZ, "hi-IN"), (1_000, "en"), (192_000, "en")] {
        assert_eq!(stream(language, sample_rate_hz).await.unwrap_err().kind, ErrorKind::Rejected);
    }
}

fn at_16k(pcm: &[i16]) -> Vec<i16> {
    let mut out = Vec::new();
    let mut resampler = audio::resample::Resampler::new(LINE_HZ, 16_000);
    resampler.process(pcm, &mut out);
    resampler.flush(&mut out);
    out
}

#[tokio::test]
async fn whole_sentences_sound_more_finished_than_cut_ones() {
    let Some(loaded) = loaded() else { return };
    let turn = loaded.builtin.turn.as_ref().unwrap();
    let (mut whole, mut cut, mut count) = (0.0, 0.0, 0.0);
    for (name, _) in sentences(12) {
        let pcm = recording(&name);
        let pause = silence(200);
        let half = &pcm[..pcm.len() * 55 / 100];
        whole += turn.score(at_16k(&[&pcm[..], &pause].concat())).await.unwrap();
        cut += turn.score(at_16k(&[half, &pause].concat())).await.unwrap();
        count += 1.0;
    }
    let (whole, cut) = (whole / count, cut / count);
    assert!(whole > 0.8, "{whole}");
    assert!(cut < whole - 0.1, "{cut} of {whole}");
}

#[tokio::test]
async fn voice_is_told_from_noise() {
    let Some(loaded) = loaded() else { return };
    let activity = loaded.builtin.silero.as_ref().unwrap();
    let mean = |p: &[f32]| p.iter().sum::<f32>() / p.len() as f32;
    let mut state = 1u32;
    let noise: Vec<i16> = (0..32_000)
        .map(|_| {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            ((state >> 16) as i16) / 40
        })
        .collect();
    let speech = at_16k(&recording("auth-thankyou"));
    let voiced = activity.stream().push(&speech).unwrap();
    assert_eq!(voiced.len(), speech.len() / providers::local::FRAME_SAMPLES);
    assert!(mean(&voiced) > 0.4, "{}", mean(&voiced));
    assert!(mean(&activity.stream().push(&noise).unwrap()) < 0.2);

    // In pieces and through the pool it hears the same.
    let mut stream = activity.stream();
    let mut pieces = Vec::new();
    for piece in speech.chunks(160) {
        let (back, probabilities) = activity.score(stream, piece.to_vec()).await.unwrap();
        stream = back;
        pieces.extend(probabilities);
    }
    assert_eq!(pieces, voiced);
    assert_eq!(loaded.pool.counts().panicked, 0);
}
