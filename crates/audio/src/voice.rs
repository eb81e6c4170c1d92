//! When the caller speaks: voice activity with hysteresis, in media time.
//!
//! The first detector is `earshot` (16 kHz, frames of 256 samples). It is sure down to 10 dB of speech over noise and
//! takes noise for speech at 5 dB, so on noisy lines a second, slower detector run elsewhere may decide
//! ([`VoiceDetector::push_with`]).

use serde::{Deserialize, Serialize};

use crate::frames::Reframer;
use crate::level::{self, NoiseFloor};
use crate::resample::Resampler;

/// One frame of the detector.
pub const FRAME_MS: u32 = 16;
/// Samples of one frame at the detector's rate.
pub const FRAME_SAMPLES: usize = 256;
const DETECTOR_HZ: u32 = 16_000;

/// Frames quieter than this (rms) are silence without asking the detector. The idle noise of a mu-law line is
/// -72 dBFS, the last breath of a soft-spoken caller about -55.
pub const GATE_DBFS: f32 = -62.0;
/// The same as a power: 10^(-62 / 10).
const GATE_POWER: f32 = 6.31e-7;
/// Quiet frames the detector still gets after the last audible one, so that its memory ends in silence before it rests.
const FRAMES_TO_REST: u32 = 8;

/// Under this much speech over noise, as measured, the line counts as noisy. The measure is within 2 dB of the truth
/// above 8 dB and too kind below.
pub const NOISY_SNR_DB: f32 = 8.0;
/// And again as quiet over this.
pub const QUIET_SNR_DB: f32 = 10.0;
/// Without a second opinion a frame must stand out of the noise by this factor (4 dB) to be loud: otherwise steady noise
/// taken for speech would never end.
const OVER_FLOOR: f32 = 2.5;
/// How long a second opinion stands when no newer one comes: a few of its 32 ms frames and its way through a queue. A
/// stuck second detector must not hold the line open.
pub const SECOND_OPINION_FRESH_MS: u32 = 256;

/// Longest `min_speech_ms` and `hang_ms` taken, in ms.
pub const SETTING_MS_MAX: u32 = 10_000;
/// Most loud frames asked for before speech begins; the window of frames is one machine word.
const LOUD_FRAMES_MAX: u32 = 38;

/// How sure, how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VoiceSettings {
    /// Probability from which a frame is loud, 0.0..=1.0.
    pub threshold: f32,
    /// Speech begins after this much of loud frames within 5/3 of the time.
    pub min_speech_ms: u32,
    /// Speech ends after this long without a loud frame.
    pub hang_ms: u32,
}

impl Default for VoiceSettings {
    fn default() -> Self {
        Self { threshold: 0.5, min_speech_ms: 48, hang_ms: 160 }
    }
}

/// What happened on the line. Times are media time in ms: audio received since the stream began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceEvent {
    /// The caller speaks.
    Began {
        /// Start of the first loud frame.
        at_ms: u64,
    },
    /// The caller stopped.
    Ended {
        /// End of the last loud frame; the event itself comes `hang_ms` later.
        at_ms: u64,
    },
}

/// Judges one frame of 16 ms. Tests script it: any `FnMut(&[i16; 256]) -> f32` is one.
pub trait FrameDetector {
    /// Probability of speech, 0.0..=1.0. Called with consecutive frames at 16 kHz, leaving out long silence.
    fn probability(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32;
    /// A new stream begins.
    fn reset(&mut self) {}
}

impl<F: FnMut(&[i16; FRAME_SAMPLES]) -> f32> FrameDetector for F {
    fn probability(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32 {
        self(frame)
    }
}

/// The built-in detector. About 8 kB, therefore boxed.
#[derive(Default)]
pub struct Earshot(Box<earshot::Detector>);

impl std::fmt::Debug for Earshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Earshot")
    }
}

impl FrameDetector for Earshot {
    fn probability(&mut self, frame: &[i16; FRAME_SAMPLES]) -> f32 {
        self.0.predict_i16(frame)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Voice activity of one stream; one per call and side.
#[derive(Debug)]
pub struct VoiceDetector<D = Earshot> {
    reframer: Reframer,
    core: Core<D>,
}

/// Everything behind the reframer, so that both can be borrowed at once.
#[derive(Debug)]
struct Core<D> {
    detector: D,
    resampler: Resampler,
    wide: Vec<i16>,
    settings: VoiceSettings,
    sample_rate_hz: u32,
    frame_samples: usize,
    frames: u64,
    quiet_frames: u32,
    floor: NoiseFloor,
    noisy: bool,
    second: Option<f32>,
    second_frames_left: u32,
    last_probability: f32,
    /// One bit a frame, newest lowest: loud or not.
    recent: u64,
    began_frame: Option<u64>,
    /// End of the last loud frame, as a count of frames.
    last_loud_end: Option<u64>,
}

impl VoiceDetector<Earshot> {
    /// For a stream of this rate: 8, 16 or 24 kHz exactly, others rounded to the nearest frame. Default settings.
    pub fn new(sample_rate_hz: u32) -> Self {
        Self::with_settings(sample_rate_hz, VoiceSettings::default())
    }

    /// With settings of its own.
    pub fn with_settings(sample_rate_hz: u32, settings: VoiceSettings) -> Self {
        Self::with_detector(sample_rate_hz, settings, Earshot::default())
    }
}

impl<D: FrameDetector> VoiceDetector<D> {
    /// With another detector.
    pub fn with_detector(sample_rate_hz: u32, settings: VoiceSettings, detector: D) -> Self {
        let sample_rate_hz = sample_rate_hz.clamp(crate::resample::RATE_HZ_MIN, crate::resample::RATE_HZ_MAX);
        let frame_samples = (sample_rate_hz * FRAME_MS / 1_000) as usize;
        Self {
            reframer: Reframer::new(frame_samples),
            core: Core {
                detector,
                resampler: Resampler::new(sample_rate_hz, DETECTOR_HZ),
                wide: Vec::with_capacity(FRAME_SAMPLES + 1),
                settings,
                sample_rate_hz,
                frame_samples,
                frames: 0,
                quiet_frames: FRAMES_TO_REST,
                floor: NoiseFloor::new(),
                noisy: false,
                second: None,
                second_frames_left: 0,
                last_probability: 0.0,
                recent: 0,
                began_frame: None,
                last_loud_end: None,
            },
        }
    }

    /// Takes a chunk of any size; appends what happened in it.
    pub fn push(&mut self, pcm: &[i16], out: &mut Vec<VoiceEvent>) {
        let Self { reframer, core } = self;
        reframer.push(pcm, |frame| core.frame(frame, out));
    }

    /// As [`Self::push`], with the newest probability of a second detector, if there is a new one.
    pub fn push_with(&mut self, pcm: &[i16], second: Option<f32>, out: &mut Vec<VoiceEvent>) {
        if second.is_some() {
            self.override_probability(second);
        }
        self.push(pcm, out);
    }

    /// What a second detector says now. It decides while the line is [`Self::noisy`], for at most
    /// [`SECOND_OPINION_FRESH_MS`] of audio; `None` takes it back.
    pub fn override_probability(&mut self, second: Option<f32>) {
        self.core.second = second.filter(|p| p.is_finite());
        self.core.second_frames_left = SECOND_OPINION_FRESH_MS / FRAME_MS;
    }

    /// Between `Began` and `Ended`.
    pub fn is_speaking(&self) -> bool {
        self.core.began_frame.is_some()
    }

    /// End of the last loud frame in media ms, whether or not it belonged to speech; `None` before the first.
    pub fn last_loud_ms(&self) -> Option<u64> {
        self.core.last_loud_end.map(|frame| self.core.frame_ms(frame))
    }

    /// Length of the current run of speech, first loud frame to last, in ms; 0 when nobody speaks.
    pub fn speech_ms(&self) -> u64 {
        match (self.core.began_frame, self.core.last_loud_end) {
            (Some(began), Some(end)) => self.core.frame_ms(end).saturating_sub(self.core.frame_ms(began)),
            (None, _) | (_, None) => 0,
        }
    }

    /// Media time judged so far, in ms: whole frames only.
    pub fn now_ms(&self) -> u64 {
        self.core.frame_ms(self.core.frames)
    }

    /// Probability that decided the last frame; 0.0 when it was below the gate.
    pub fn last_probability(&self) -> f32 {
        self.core.last_probability
    }

    /// Speech over noise, see [`NoiseFloor::snr_db`].
    pub fn snr_db(&self) -> f32 {
        self.core.floor.snr_db()
    }

    /// Level of the line without speech.
    pub fn floor_dbfs(&self) -> f32 {
        self.core.floor.floor_dbfs()
    }

    /// The line is too noisy to trust the first detector: [`NOISY_SNR_DB`], and back at [`QUIET_SNR_DB`].
    pub fn noisy(&self) -> bool {
        self.core.noisy
    }

    /// A new stream begins: time, floor and speech start over, settings stay.
    pub fn reset(&mut self) {
        self.reframer = Reframer::new(self.core.frame_samples);
        let core = &mut self.core;
        core.detector.reset();
        core.resampler.reset();
        core.frames = 0;
        core.quiet_frames = FRAMES_TO_REST;
        core.floor = NoiseFloor::new();
        core.noisy = false;
        core.second = None;
        core.last_probability = 0.0;
        core.recent = 0;
        core.began_frame = None;
        core.last_loud_end = None;
    }
}

impl<D: FrameDetector> Core<D> {
    fn frame(&mut self, frame: &[i16], out: &mut Vec<VoiceEvent>) {
        let power = level::power(frame);
        let probability = self.judge(frame, power);
        let loud = probability >= self.settings.threshold && power > 0.0;
        self.last_probability = probability;
        self.floor.push_power(power, loud);
        let snr_db = self.floor.snr_db();
        self.noisy = self.floor.is_settled() && snr_db < if self.noisy { QUIET_SNR_DB } else { NOISY_SNR_DB };
        self.frames += 1;
        self.recent = self.recent << 1 | u64::from(loud);
        if loud {
            self.last_loud_end = Some(self.frames);
        }
        match self.began_frame {
            None => self.maybe_begin(out),
            Some(_) => self.maybe_end(out),
        }
    }

    /// Probability that counts for this frame.
    fn judge(&mut self, frame: &[i16], power: f32) -> f32 {
        if self.second_frames_left == 0 {
            self.second = None;
        } else {
            self.second_frames_left -= 1;
        }
        let audible = power >= GATE_POWER;
        self.quiet_frames = if audible { 0 } else { self.quiet_frames.saturating_add(1) };
        if self.quiet_frames > FRAMES_TO_REST {
            return 0.0;
        }
        self.wide.clear();
        self.resampler.process(frame, &mut self.wide);
        // Exact for 8, 16 and 24 kHz; an odd rate is a sample short or long.
        self.wide.resize(FRAME_SAMPLES, 0);
        let Some(wide) = self.wide.first_chunk() else { return 0.0 };
        let first = self.detector.probability(wide);
        match self.second {
            _ if !audible => 0.0,
            Some(second) if self.noisy => second,
            Some(_) | None if self.floor.is_settled() && power < self.floor.floor_power() * OVER_FLOOR => 0.0,
            Some(_) | None => first,
        }
    }

    fn maybe_begin(&mut self, out: &mut Vec<VoiceEvent>) {
        let need = self.settings.min_speech_ms.div_ceil(FRAME_MS).clamp(1, LOUD_FRAMES_MAX);
        let window = (need * 5).div_ceil(3);
        let loud = self.recent & (u64::MAX >> (64 - window));
        if loud.count_ones() >= need {
            let frames_back = u64::from(64 - loud.leading_zeros());
            let began = self.frames - frames_back;
            self.began_frame = Some(began);
            out.push(VoiceEvent::Began { at_ms: self.frame_ms(began) });
        }
    }

    fn maybe_end(&mut self, out: &mut Vec<VoiceEvent>) {
        let end = self.last_loud_end.unwrap_or(self.frames);
        let hang_frames = self.settings.hang_ms.min(SETTING_MS_MAX).div_ceil(FRAME_MS).max(1);
        if self.frames - end >= u64::from(hang_frames) {
            self.began_frame = None;
            // What was heard belongs to the run that ended.
            self.recent = 0;
            out.push(VoiceEvent::Ended { at_ms: self.frame_ms(end) });
        }
    }

    /// Media time at which a frame begins.
    fn frame_ms(&self, frame: u64) -> u64 {
        frame * self.frame_samples as u64 * 1_000 / u64::from(self.sample_rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// A detector that says `loud` when the frame's loudest sample passes 5000, so the audio is the script.
    fn by_level(frame: &[i16; FRAME_SAMPLES]) -> f32 {
        if level::peak(frame) > 5_000 { 0.9 } else { 0.1 }
    }

    const LOUD: i16 = 10_000;
    const SOFT: i16 = 300;

    fn frames(rate_hz: u32, script: &str) -> Vec<i16> {
        let n = (rate_hz * FRAME_MS / 1_000) as usize;
        script
            .chars()
            .flat_map(|c| match c {
                '#' => vec![LOUD; n],
                '.' => vec![SOFT; n],
                _ => vec![0; n],
            })
            .collect()
    }

    fn events(rate_hz: u32, settings: VoiceSettings, script: &str) -> Vec<VoiceEvent> {
        let mut out = Vec::new();
        VoiceDetector::with_detector(rate_hz, settings, by_level).push(&frames(rate_hz, script), &mut out);
        out
    }

    fn began(frame: u64) -> VoiceEvent {
        VoiceEvent::Began { at_ms: frame * 16 }
    }

    fn ended(frame: u64) -> VoiceEvent {
        VoiceEvent::Ended { at_ms: frame * 16 }
    }

    #[test]
    fn hysteresis_table() {
        let default = VoiceSettings::default();
        for (script, want) in [
            ("....................", vec![]),
            ("..##................", vec![]),
            ("..###...............", vec![began(2), ended(5)]),
            ("..###.......", vec![began(2)]),
            // Two dropouts within the window of five frames.
            ("..#.#.#.............", vec![began(2), ended(7)]),
            ("..#..#..#..#........", vec![]),
            ("..##...#............", vec![]),
            // A pause shorter than the hang is the same speech.
            (".###........####...........", vec![began(1), ended(16)]),
            // A pause of the hang is two.
            (".###..........###..........", vec![began(1), ended(4), began(14), ended(17)]),
            // One loud frame holds speech open, but alone begins none.
            (".###.........#.........#..............", vec![began(1), ended(24)]),
            (".###..........#.............", vec![began(1), ended(4)]),
        ] {
            // At 16 kHz nothing is filtered, so frames are judged exactly as scripted.
            assert_eq!(events(16_000, default, script), want, "{script}");
        }
    }

    #[test]
    fn settings_are_kept() {
        let slow = VoiceSettings { min_speech_ms: 96, hang_ms: 32, ..VoiceSettings::default() };
        assert_eq!(events(16_000, slow, "..#####......"), []);
        assert_eq!(events(16_000, slow, "..######......"), [began(2), ended(8)]);
        let sure = VoiceSettings { threshold: 0.95, ..slow };
        assert_eq!(events(16_000, sure, "..############"), []);
        let instant = VoiceSettings { min_speech_ms: 0, hang_ms: 0, ..VoiceSettings::default() };
        assert_eq!(events(16_000, instant, ".#.."), [began(1), ended(2)]);
        let silly = VoiceSettings { min_speech_ms: u32::MAX, hang_ms: u32::MAX, ..VoiceSettings::default() };
        assert_eq!(events(16_000, silly, &("....".to_owned() + &"#".repeat(50))), [began(4)]);
    }

    #[test]
    fn every_rate_gives_the_same_times() {
        for rate_hz in [8_000, 16_000, 24_000] {
            let got = events(rate_hz, VoiceSettings::default(), "___#####________________________");
            let [VoiceEvent::Began { at_ms }, VoiceEvent::Ended { at_ms: end_ms }] = got[..] else {
                panic!("{rate_hz}: {got:?}")
            };
            // The filter's delay of 1.5 ms may carry a trace into the next frame.
            assert!(at_ms == 48 && (end_ms == 128 || end_ms == 144), "{rate_hz}: {got:?}");
        }
    }

    #[test]
    fn any_chunk_size_gives_the_same_events() {
        let pcm = frames(8_000, "...######..............####...........####..____.....");
        let mut whole = Vec::new();
        VoiceDetector::with_detector(8_000, VoiceSettings::default(), by_level).push(&pcm, &mut whole);
        assert_eq!(whole.len(), 6, "{whole:?}");
        for size in [1, 7, 80, 160, 801] {
            let mut cut = Vec::new();
            let mut v = VoiceDetector::with_detector(8_000, VoiceSettings::default(), by_level);
            pcm.chunks(size).for_each(|c| v.push(c, &mut cut));
            assert_eq!(cut, whole, "chunks of {size}");
        }
    }

    #[test]
    fn the_state_can_be_asked() {
        let mut v = VoiceDetector::with_detector(16_000, VoiceSettings::default(), by_level);
        let mut out = Vec::new();
        assert_eq!((v.is_speaking(), v.last_loud_ms(), v.speech_ms(), v.now_ms()), (false, None, 0, 0));
        v.push(&frames(16_000, ".##"), &mut out);
        assert_eq!((v.is_speaking(), v.last_loud_ms(), v.speech_ms()), (false, Some(48), 0));
        v.push(&frames(16_000, "###.."), &mut out);
        assert_eq!((v.is_speaking(), v.last_loud_ms(), v.speech_ms(), v.now_ms()), (true, Some(96), 80, 128));
        v.push(&frames(16_000, "........"), &mut out);
        assert_eq!((v.is_speaking(), v.last_loud_ms(), v.speech_ms()), (false, Some(96), 0));
        v.reset();
        assert_eq!((v.is_speaking(), v.last_loud_ms(), v.now_ms()), (false, None, 0));
    }

    #[test]
    fn silence_costs_nothing() {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let detector = move |_: &[i16; FRAME_SAMPLES]| {
            count.set(count.get() + 1);
            1.0
        };
        let mut v = VoiceDetector::with_detector(8_000, VoiceSettings::default(), detector);
        let mut out = Vec::new();
        v.push(&frames(8_000, &"_".repeat(500)), &mut out);
        assert_eq!(asked.get(), 0, "silence from the start");
        v.push(&frames(8_000, "####"), &mut out);
        v.push(&frames(8_000, &"_".repeat(500)), &mut out);
        assert_eq!(asked.get(), 4 + FRAMES_TO_REST, "the detector hears a little silence, then rests");
        // However sure it is, silence is no speech.
        assert_eq!(out, [began(500), ended(504)]);
    }

    /// Steady sound with hardly any pauses: 3 dB between loud and soft.
    fn noisy_line(v: &mut VoiceDetector<fn(&[i16; FRAME_SAMPLES]) -> f32>, out: &mut Vec<VoiceEvent>) {
        let n = 128;
        let pcm: Vec<i16> = (0..400).flat_map(|i| vec![if i % 4 == 0 { 5_600 } else { 4_000 }; n]).collect();
        v.push(&pcm, out);
        assert!(v.noisy(), "snr {}", v.snr_db());
    }

    #[test]
    fn a_second_opinion_decides_on_a_noisy_line_only() {
        let quiet = VoiceSettings::default();
        let mut out = Vec::new();
        let mut v = VoiceDetector::with_detector(8_000, quiet, by_level);
        v.push(&frames(8_000, &".".repeat(30)), &mut out);
        for _ in 0..30 {
            v.push_with(&frames(8_000, "#"), Some(0.0), &mut out);
        }
        assert!(!v.noisy());
        assert_eq!(out, [began(30)], "a quiet line does not listen to it");

        let mut v = VoiceDetector::with_detector(8_000, quiet, by_level as fn(&[i16; FRAME_SAMPLES]) -> f32);
        out.clear();
        noisy_line(&mut v, &mut out);
        out.clear();
        let speaking = v.is_speaking();
        let loud = vec![6_000; 128];
        for _ in 0..20 {
            v.push_with(&loud, Some(0.01), &mut out);
        }
        assert!(!v.is_speaking(), "was {speaking}: {out:?}");
        out.clear();
        let soft = vec![4_000; 128];
        for _ in 0..5 {
            v.push_with(&soft, Some(0.99), &mut out);
        }
        assert!(v.is_speaking(), "{out:?}");
    }

    #[test]
    fn a_stale_second_opinion_is_forgotten() {
        let mut v =
            VoiceDetector::with_detector(8_000, VoiceSettings::default(), by_level as fn(&[i16; FRAME_SAMPLES]) -> f32);
        let mut out = Vec::new();
        noisy_line(&mut v, &mut out);
        out.clear();
        let soft = vec![4_000; 128];
        v.override_probability(Some(0.99));
        for _ in 0..SECOND_OPINION_FRESH_MS / FRAME_MS {
            v.push(&soft, &mut out);
            assert_eq!(v.last_probability(), 0.99);
        }
        v.push(&soft, &mut out);
        assert_eq!(v.last_probability(), 0.0);
        v.override_probability(Some(f32::NAN));
        v.push(&soft, &mut out);
        assert_eq!(v.last_probability(), 0.0, "no number, no opinion");
    }

    #[test]
    fn steady_noise_does_not_hold_speech_open() {
        let fooled = |_: &[i16; FRAME_SAMPLES]| 0.9;
        let mut v = VoiceDetector::with_detector(16_000, VoiceSettings::default(), fooled);
        let mut out = Vec::new();
        v.push(&frames(16_000, &".".repeat(100)), &mut out);
        assert!(v.noisy() && !v.is_speaking(), "{out:?}");
        out.clear();
        v.push(&frames(16_000, "####................"), &mut out);
        assert_eq!(out, [began(100), ended(104)], "what stands out is speech");
    }

    #[test]
    fn a_caller_who_speaks_at_once_is_no_noise() {
        let mut v = VoiceDetector::with_detector(16_000, VoiceSettings::default(), by_level);
        let mut out = Vec::new();
        v.push(&frames(16_000, "####################............"), &mut out);
        assert_eq!((out, v.noisy()), (vec![began(0), ended(20)], false));
    }

    #[test]
    fn odd_rates_do_not_drift() {
        let mut v = VoiceDetector::with_detector(11_025, VoiceSettings::default(), by_level);
        let mut out = Vec::new();
        v.push(&vec![0; 11_025 * 60], &mut out);
        assert!(60_000 - v.now_ms() <= 16, "{}", v.now_ms());
        VoiceDetector::with_detector(0, VoiceSettings::default(), by_level).push(&[1; 500], &mut out);
        assert_eq!(out, []);
    }

    #[test]
    fn earshot_hears_nothing_in_silence_and_in_a_tone_of_the_line() {
        let mut v = VoiceDetector::new(8_000);
        let mut out = Vec::new();
        let hum: Vec<i16> =
            (0..40_000).map(|i| (1_000.0 * (std::f32::consts::TAU * 50.0 * i as f32 / 8_000.0).sin()) as i16).collect();
        v.push(&hum, &mut out);
        v.push(&[0; 8_000], &mut out);
        assert_eq!(out, []);
    }
}
