//! A voice for callers: vowels from a pulse train through resonators, enough like speech for the voice detector.

/// Centre frequencies of the first three formants of some vowels, in Hz.
const VOWELS: [[f64; 3]; 4] =
    [[730.0, 1_090.0, 2_440.0], [270.0, 2_290.0, 3_010.0], [530.0, 1_840.0, 2_480.0], [570.0, 840.0, 2_410.0]];
/// Their bandwidths, in Hz.
const BANDWIDTHS: [f64; 3] = [80.0, 100.0, 140.0];
/// Length of a syllable.
const SYLLABLE_MS: usize = 160;
/// Loudest sample.
const PEAK: f64 = 9_000.0;

/// Speech of this length.
pub(crate) fn say(rate_hz: u32, ms: usize) -> Vec<i16> {
    let rate = f64::from(rate_hz);
    let samples = rate_hz as usize * ms / 1_000;
    let syllable = rate_hz as usize * SYLLABLE_MS / 1_000;
    let mut memory = [[0.0_f64; 2]; 3];
    let mut phase = 0.0;
    let mut noise = 0x2545_F491_u32;
    let mut wave = Vec::with_capacity(samples);
    for n in 0..samples {
        let within = (n % syllable) as f64 / syllable as f64;
        // The pitch falls over a syllable; the pulse is a short tooth.
        phase += (150.0 - 35.0 * within) / rate;
        phase -= phase.floor();
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let breath = f64::from(noise >> 16) / 32_768.0 - 1.0;
        let mut sound = if phase < 0.12 { phase / 0.12 } else { 0.0 } - 0.06 + breath * 0.02;
        let vowel = VOWELS[n / syllable % VOWELS.len()];
        for (state, (hz, bandwidth)) in memory.iter_mut().zip(vowel.iter().zip(BANDWIDTHS)) {
            let hz = hz.min(rate * 0.45);
            let radius = (-std::f64::consts::PI * bandwidth / rate).exp();
            let turn = 2.0 * radius * (std::f64::consts::TAU * hz / rate).cos();
            let out = sound * (1.0 - radius) + turn * state[0] - radius * radius * state[1];
            *state = [out, state[0]];
            sound = out * 4.0;
        }
        wave.push(sound * (std::f64::consts::PI * within).sin().sqrt());
    }
    let loudest = wave.iter().fold(f64::MIN_POSITIVE, |loudest, sample| sample.abs().max(loudest));
    wave.iter().map(|sample| (sample / loudest * PEAK) as i16).collect()
}

#[test]
fn the_test_voice_is_speech_to_the_voice_detector() {
    let mut pcm = vec![0; 8_000];
    pcm.extend(say(8_000, 800));
    pcm.extend(vec![0; 8_000]);
    let mut events = Vec::new();
    audio::voice::VoiceDetector::new(8_000).push(&pcm, &mut events);
    let [audio::voice::VoiceEvent::Began { at_ms: began }, audio::voice::VoiceEvent::Ended { at_ms: ended }] =
        events[..]
    else {
        panic!("one run of speech, not {events:?}");
    };
    assert!((900..1_300).contains(&began) && (1_500..1_950).contains(&ended), "{events:?}");
}
