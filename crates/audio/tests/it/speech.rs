//! The voice detector on recorded speech, clean and with noise. Needs the prompts of the Asterisk package; without them
//! the tests say so and pass. Also the measurement of its cost.

use std::path::Path;

use audio::level;
use audio::resample::Resampler;
use audio::voice::{VoiceDetector, VoiceEvent};
use audio::wav;

const PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// One prompt at 8 kHz.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn prompt(name: &str) -> Option<Vec<i16>> {
    let path = Path::new(PROMPTS).join(name).with_extension("wav");
    match std::fs::read(&path) {
        Ok(bytes) => {
            let wav = wav::read(&bytes).expect("an Asterisk prompt is 16-bit PCM");
            assert_eq!((wav.rate, wav.channels), (8_000, 1));
            Some(wav.samples)
        }
        Err(_) => {
            eprintln!("skipped: no {}", path.display());
            None
        }
    }
}

/// Noise of one seed, evenly spread, at a level in dBFS.
fn noise(samples: usize, dbfs: f32, mut seed: u32) -> impl Iterator<Item = i16> {
    let half_width = 32_768.0 * 10_f32.powf(dbfs / 20.0) * 3_f32.sqrt();
    (0..samples).map(move |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((seed >> 8) as f32 / 8_388_608.0 - 1.0) * half_width) as i16
    })
}

/// Prompts in silence.
struct Dialogue {
    pcm: Vec<i16>,
    /// Where the prompts lie, in ms.
    places: Vec<(u64, u64)>,
    /// Level while somebody speaks.
    speech_dbfs: f32,
}

/// 1.5 s of silence, then each prompt with 1.5 s of silence after it.
fn dialogue(names: &[&str]) -> Option<Dialogue> {
    let mut pcm = vec![0; 12_000];
    let mut places = Vec::new();
    let mut active = Vec::new();
    for name in names {
        let speech = prompt(name)?;
        let from = pcm.len() as u64 / 8;
        pcm.extend_from_slice(&speech);
        places.push((from, pcm.len() as u64 / 8));
        pcm.extend_from_slice(&[0; 12_000]);
        active.extend(speech.chunks(128).filter(|c| level::rms_dbfs(c) > -45.0).flatten().copied());
    }
    Some(Dialogue { pcm, places, speech_dbfs: level::rms_dbfs(&active) })
}

const NAMES: [&str; 6] =
    ["hello-world", "agent-incorrect", "agent-alreadyon", "agent-newlocation", "agent-loggedoff", "agent-loginok"];

fn add_noise(pcm: &mut [i16], dbfs: f32) {
    let n = pcm.len();
    pcm.iter_mut().zip(noise(n, dbfs, 42)).for_each(|(s, n)| *s = s.saturating_add(n));
}

/// Runs of speech as the detector sees them.
fn runs(detector: &mut VoiceDetector, pcm: &[i16]) -> Vec<(u64, u64)> {
    let mut events = Vec::new();
    pcm.chunks(160).for_each(|c| detector.push(c, &mut events));
    let mut runs = Vec::new();
    let mut began = None;
    for event in events {
        match event {
            VoiceEvent::Began { at_ms } => began = Some(at_ms),
            VoiceEvent::Ended { at_ms } => runs.push((began.take().expect("began first"), at_ms)),
        }
    }
    assert_eq!(began, None, "the last run ends with the silence");
    runs
}

#[test]
fn clean_speech_is_found_and_silence_is_not() {
    let Some(Dialogue { pcm, places, .. }) = dialogue(&NAMES) else { return };
    let mut detector = VoiceDetector::new(8_000);
    let runs = runs(&mut detector, &pcm);
    for &(from, to) in &places {
        assert!(runs.iter().any(|r| r.0 < to && r.1 > from), "nothing in {from}..{to}: {runs:?}");
    }
    for run in &runs {
        // The detector sees 48 ms at once: it may begin and end that much off.
        assert!(places.iter().any(|p| run.0 + 64 >= p.0 && run.1 <= p.1 + 160), "{run:?} is silence: {places:?}");
    }
    let spoken: u64 = runs.iter().map(|r| r.1 - r.0).sum();
    let all: u64 = places.iter().map(|p| p.1 - p.0).sum();
    assert!(spoken * 10 > all * 6, "{spoken} ms of {all} ms");
    assert!(!detector.noisy() && detector.snr_db() > 30.0, "snr {}", detector.snr_db());
}

#[test]
fn every_rate_finds_the_same_speech() {
    let Some(Dialogue { pcm, places, .. }) = dialogue(&NAMES[..2]) else { return };
    for rate_hz in [16_000, 24_000] {
        let mut wide = Vec::new();
        Resampler::new(8_000, rate_hz).process(&pcm, &mut wide);
        let runs = runs(&mut VoiceDetector::new(rate_hz), &wide);
        for &(from, to) in &places {
            assert!(runs.iter().any(|r| r.0 < to && r.1 > from), "{rate_hz}: nothing in {from}..{to}");
        }
    }
}

#[test]
fn the_measured_snr_is_near_the_mixed_one() {
    let Some(Dialogue { pcm: clean, speech_dbfs, .. }) = dialogue(&NAMES) else { return };
    for snr_db in [25.0, 20.0, 15.0, 12.0, 5.0, 2.0, 0.0] {
        let mut pcm = clean.clone();
        add_noise(&mut pcm, speech_dbfs - snr_db);
        let mut detector = VoiceDetector::new(8_000);
        detector.push(&pcm, &mut Vec::new());
        let got = detector.snr_db();
        // Under 10 dB only the loudest of the speech stands out, and the measure is too kind.
        if snr_db > 10.0 {
            assert!((got - snr_db).abs() < 4.0, "mixed at {snr_db} dB, measured {got:.1}");
        }
        assert_eq!(detector.noisy(), snr_db < 10.0, "at {snr_db} dB, measured {got:.1}");
    }
}

#[test]
fn speech_is_found_in_moderate_noise() {
    let Some(Dialogue { mut pcm, places, speech_dbfs }) = dialogue(&NAMES) else { return };
    add_noise(&mut pcm, speech_dbfs - 15.0);
    let runs = runs(&mut VoiceDetector::new(8_000), &pcm);
    for &(from, to) in &places {
        assert!(runs.iter().any(|r| r.0 < to && r.1 > from), "nothing in {from}..{to}: {runs:?}");
    }
    let outside: u64 = runs.iter().filter(|r| !places.iter().any(|p| r.0 < p.1 && r.1 > p.0)).map(|r| r.1 - r.0).sum();
    assert!(outside < 500, "{outside} ms of noise taken for speech: {runs:?}");
}

#[test]
#[ignore = "a measurement: run alone with --run-ignored and --no-capture"]
fn cost() {
    let per = |what: &str, frames: u32, work: &mut dyn FnMut()| {
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = std::time::Instant::now();
            work();
            best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(frames));
        }
        eprintln!("{what}: {best:.3} us");
    };
    let frames = 5_000;
    let loud: Vec<i16> = noise(128 * frames as usize, -25.0, 1).collect();
    let silence = vec![0_i16; loud.len()];
    let mut events = Vec::new();
    let mut detector = VoiceDetector::new(8_000);
    per("voice, 16 ms at 8 kHz, loud", frames, &mut || detector.push(&loud, &mut events));
    let mut detector = VoiceDetector::new(8_000);
    per("voice, 16 ms at 8 kHz, silence", frames, &mut || detector.push(&silence, &mut events));
    for (from, to) in
        [(8_000_u32, 16_000_u32), (8_000, 24_000), (16_000, 8_000), (24_000, 8_000), (24_000, 16_000), (16_000, 24_000)]
    {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::new();
        let seconds = loud.len() as u32 * 50 / from;
        per(&format!("resample {from} -> {to}, 20 ms"), seconds, &mut || {
            out.clear();
            resampler.process(&loud, &mut out);
        });
    }
    let mut codes = Vec::new();
    per("mu-law encode, 20 ms at 8 kHz", frames * 128 / 160, &mut || {
        codes.clear();
        audio::g711::mulaw_encode_into(&loud, &mut codes);
    });
    let mut pcm = Vec::new();
    per("mu-law decode, 20 ms at 8 kHz", frames * 128 / 160, &mut || {
        pcm.clear();
        audio::g711::mulaw_decode_into(&codes, &mut pcm);
    });
    let start = std::time::Instant::now();
    for _ in 0..100 {
        std::hint::black_box(Resampler::new(std::hint::black_box(24_000), 8_000));
    }
    eprintln!("Resampler::new: {:.1} us", start.elapsed().as_secs_f64() * 1e4);
    let Some(Dialogue { pcm: clean, places, speech_dbfs }) = dialogue(&NAMES) else { return };
    for snr_db in [60.0, 25.0, 20.0, 15.0, 12.0, 10.0, 8.0, 5.0, 0.0] {
        let mut pcm = clean.clone();
        add_noise(&mut pcm, speech_dbfs - snr_db);
        let mut detector = VoiceDetector::new(8_000);
        let mut events = Vec::new();
        let mut noisy = 0;
        for chunk in pcm.chunks(160) {
            detector.push(chunk, &mut events);
            noisy += usize::from(detector.noisy());
        }
        let share = noisy * 100 / (pcm.len() / 160);
        let (got, runs) = (detector.snr_db(), events.len() / 2);
        eprintln!("mixed at {snr_db} dB: {got:.1} dB, noisy {share} %, {runs} runs for {} prompts", places.len());
    }
}
