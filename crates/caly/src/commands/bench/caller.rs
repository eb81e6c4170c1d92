//! The people on the telephones: what they say and when, and a meter around them that tells how late this process is.

use super::figures::{Figures, Window};
use anyhow::Context;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::caller::{Piece, Script, ScriptedCaller, TurnKind, Utterance, Voice};
use testkit::carrier::{CallObservation, CallerAction, CallerSide, LOUD_DBFS, rms_dbfs};
use tokio::time::Instant;

/// Rate of the line.
pub(super) const SAMPLE_RATE_HZ: u32 = 8_000;
/// Silence before a call's first turn.
const LEAD_MS: u64 = 2_500;
/// From one turn to the next.
const TURN_MS: u64 = 6_000;
/// From a turn that is interrupted to the next.
const BARGE_TURN_MS: u64 = 10_000;
/// Every so many turns the caller interrupts the answer.
const BARGE_EVERY: u64 = 3;
/// The interruption begins so long after the agent is heard.
const BARGE_AFTER_MS: u64 = 1_000;
/// Length of a turn: a whole number of frames, so that its last frame is speech to its end.
const UTTERANCE_MS: u64 = 1_600;
/// Length of an interruption.
const BARGE_MS: u64 = 1_000;
/// The recordings that the two are cut from; both have a long stretch without a pause.
const UTTERANCE_CLIP: &str = "followme/pls-hold-while-try.wav";
const BARGE_CLIP: &str = "vm-nobodyavail.wav";
const SPEECH_DBFS: f32 = -20.0;
/// Window of the search for such a stretch.
const WINDOW_MS: u64 = 10;
/// Quieter is a pause.
const PAUSE_DBFS: f32 = -40.0;
/// No pause is longer, or a server might end the turn in it.
const PAUSE_MS_MAX: u64 = 70;
/// The line's own noise: never digital silence, far below any speech. Largest sample.
const NOISE_PEAK: i16 = 6;
/// The noise is the same in every run.
const SEED: u64 = 7;

/// What is said, cut once and shared by all calls.
#[derive(Debug)]
pub(super) struct Speech {
    utterance: Vec<i16>,
    barge_in: Vec<i16>,
}

impl Speech {
    pub(super) fn load(voices: &Path) -> anyhow::Result<Self> {
        let voice = Voice::open(voices).context("the callers have no voice; run `make models`")?;
        let cut = |clip: &str, ms| {
            let piece = Piece::Clip { clip: clip.to_owned(), from_ms: None, to_ms: None };
            let whole = voice.say(&[piece], SAMPLE_RATE_HZ, SPEECH_DBFS)?;
            let stretch = unbroken(&whole, ms).map(<[i16]>::to_vec);
            stretch.with_context(|| format!("the recording {clip} has no {ms} ms of speech without a pause"))
        };
        Ok(Self { utterance: cut(UTTERANCE_CLIP, UTTERANCE_MS)?, barge_in: cut(BARGE_CLIP, BARGE_MS)? })
    }
}

/// A stretch of speech of this length without a pause that is loud to its very end: the one with the loudest end.
fn unbroken(pcm: &[i16], length_ms: u64) -> Option<&[i16]> {
    let window = samples(WINDOW_MS);
    let levels: Vec<f32> = pcm.chunks_exact(window).map(rms_dbfs).collect();
    let (length, pause_max) = ((length_ms / WINDOW_MS) as usize, (PAUSE_MS_MAX / WINDOW_MS) as usize);
    let fits = |stretch: &[f32]| {
        let loud = |level: &f32| *level > PAUSE_DBFS;
        stretch.first().is_some_and(loud)
            && stretch[length.saturating_sub(2)..].iter().all(loud)
            && stretch.split(loud).all(|pause| pause.len() <= pause_max)
    };
    let end_level = |stretch: &[f32]| stretch[length.saturating_sub(2)..].iter().copied().fold(0.0, f32::min);
    let (from, _) = levels
        .windows(length)
        .enumerate()
        .filter(|(_, stretch)| fits(stretch))
        .map(|(from, stretch)| (from, end_level(stretch)))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    pcm.get(from * window..(from + length) * window)
}

fn samples(ms: u64) -> usize {
    (ms * u64::from(SAMPLE_RATE_HZ) / 1_000) as usize
}

/// A caller who says the same at fixed times, and interrupts every third answer.
#[derive(Clone, Debug)]
pub(super) struct TurnCaller {
    speech: Arc<Speech>,
    turns: u64,
    next_turn_ms: u64,
    barge_in: BargeIn,
    saying: Option<(TurnKind, usize)>,
    noise: u64,
    said: Vec<Utterance>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BargeIn {
    None,
    /// When the agent is heard.
    Awaited,
    At(u64),
}

impl TurnCaller {
    pub(super) fn new(speech: Arc<Speech>) -> Self {
        Self {
            speech,
            turns: 0,
            next_turn_ms: LEAD_MS,
            barge_in: BargeIn::None,
            saying: None,
            noise: SEED,
            said: Vec::new(),
        }
    }

    /// Begins what is due.
    fn begin(&mut self, now_ms: u64, frame_ms: u64, agent_heard: bool) {
        if self.barge_in == BargeIn::Awaited && agent_heard {
            self.barge_in = BargeIn::At(now_ms + BARGE_AFTER_MS);
        }
        match self.barge_in {
            BargeIn::At(at_ms) if now_ms >= at_ms => {
                self.barge_in = BargeIn::None;
                self.say(TurnKind::BargeIn, now_ms, frame_ms, agent_heard);
            }
            BargeIn::None | BargeIn::Awaited if now_ms >= self.next_turn_ms => {
                self.turns += 1;
                let interrupts = self.turns.is_multiple_of(BARGE_EVERY);
                self.barge_in = if interrupts { BargeIn::Awaited } else { BargeIn::None };
                self.next_turn_ms = now_ms + if interrupts { BARGE_TURN_MS } else { TURN_MS };
                self.say(TurnKind::Turn, now_ms, frame_ms, agent_heard);
            }
            BargeIn::None | BargeIn::Awaited | BargeIn::At(_) => {}
        }
    }

    fn say(&mut self, kind: TurnKind, now_ms: u64, frame_ms: u64, agent_was_speaking: bool) {
        self.saying = Some((kind, 0));
        let length_ms = self.clip(kind).len() as u64 * 1_000 / u64::from(SAMPLE_RATE_HZ);
        self.said.push(Utterance {
            turn: self.said.len(),
            text: String::new(),
            kind,
            loud_start_ms: now_ms,
            loud_end_ms: now_ms + length_ms,
            first_loud_sent_ms: now_ms + frame_ms,
            agent_was_speaking,
            out_of_patience: false,
        });
    }

    fn clip(&self, kind: TurnKind) -> &[i16] {
        match kind {
            TurnKind::Turn => &self.speech.utterance,
            TurnKind::BargeIn | TurnKind::Backchannel => &self.speech.barge_in,
        }
    }

    fn noise(&mut self) -> i16 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        // The remainder is at most twelve.
        (self.noise % (2 * NOISE_PEAK as u64 + 1)) as i16 - NOISE_PEAK
    }
}

impl CallerSide for TurnCaller {
    fn next_frame(&mut self, now_ms: u64, agent_dbfs: f32, count: usize, frame: &mut Vec<i16>) -> CallerAction {
        if self.saying.is_none() {
            let frame_ms = count as u64 * 1_000 / u64::from(SAMPLE_RATE_HZ);
            self.begin(now_ms, frame_ms, agent_dbfs > LOUD_DBFS);
        }
        if let Some((kind, position)) = self.saying {
            let clip = self.clip(kind);
            let end = (position + count).min(clip.len());
            frame.extend_from_slice(&clip[position..end]);
            self.saying = (end < clip.len()).then_some((kind, end));
        }
        while frame.len() < count {
            let noise = self.noise();
            frame.push(noise);
        }
        CallerAction::Stay
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// For stub vendors.
    Turns(TurnCaller),
    /// For the built-in models: the visit to the clinic.
    Script(Box<ScriptedCaller>),
}

impl Caller {
    /// The visit to the clinic.
    pub(super) fn clinic(voices: &Path) -> anyhow::Result<Self> {
        let voice = Voice::open(voices).context("the callers have no voice; run `make models`")?;
        let caller = ScriptedCaller::new(Script::clinic(), &voice, SAMPLE_RATE_HZ, SEED);
        Ok(Self::Script(Box::new(caller.context("the caller cannot speak")?)))
    }

    fn said(&self) -> &[Utterance] {
        match self {
            Self::Turns(caller) => &caller.said,
            Self::Script(caller) => caller.utterances(),
        }
    }

    /// The agent may hang up: everything has been said.
    fn has_said_all(&self) -> bool {
        match self {
            Self::Turns(_) => false,
            Self::Script(caller) => caller.unsaid() == 0,
        }
    }
}

/// A caller on the line, with a meter for this process's own lateness.
pub(super) struct Metered {
    caller: Caller,
    frame_ms: u64,
    window: Window,
    hang_up_at: Instant,
    /// When the call began, if the frame just sent was in time.
    earliest: Option<Instant>,
    /// The same of each frame of the window.
    begins: Vec<Instant>,
}

impl Metered {
    pub(super) const fn new(caller: Caller, frame_ms: u64, window: Window, hang_up_at: Instant) -> Self {
        Self { caller, frame_ms, window, hang_up_at, earliest: None, begins: Vec::new() }
    }

    /// What the call was like.
    pub(super) fn figures(&self, seen: &CallObservation) -> Figures {
        // No frame is early: the earliest one was in time.
        let Some(began) = self.earliest else { return Figures::failed(super::figures::failure(seen, true)) };
        let late_us = self.begins.iter().map(|begin| begin.duration_since(began).as_micros() as u64).collect();
        Figures::of_call(seen, self.caller.said(), self.caller.has_said_all(), self.window, began, late_us)
    }
}

impl CallerSide for Metered {
    fn next_frame(&mut self, now_ms: u64, agent_dbfs: f32, count: usize, frame: &mut Vec<i16>) -> CallerAction {
        let now = Instant::now();
        // The frame of these milliseconds is due when they are over.
        let begin = now.checked_sub(Duration::from_millis(now_ms + self.frame_ms)).unwrap_or(now);
        self.earliest = Some(self.earliest.map_or(begin, |earliest| earliest.min(begin)));
        if self.window.contains(now) {
            self.begins.push(begin);
        }
        if now >= self.hang_up_at {
            return CallerAction::HangUp;
        }
        match &mut self.caller {
            Caller::Turns(caller) => caller.next_frame(now_ms, agent_dbfs, count, frame),
            Caller::Script(caller) => caller.next_frame(now_ms, agent_dbfs, count, frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::carrier::SILENCE_DBFS;

    fn speech() -> Arc<Speech> {
        Arc::new(Speech { utterance: vec![5_000; samples(UTTERANCE_MS)], barge_in: vec![4_000; samples(BARGE_MS)] })
    }

    /// Plays a caller against an agent that answers each turn after 500 ms, for 2.5 s.
    fn play(frame_ms: u64, until_ms: u64) -> (TurnCaller, Vec<i16>) {
        let mut caller = TurnCaller::new(speech());
        let mut all = Vec::new();
        for now_ms in (0..until_ms).step_by(frame_ms as usize) {
            let since = caller.said.last().map_or(u64::MAX, |said| now_ms.saturating_sub(said.loud_end_ms));
            let loud = (500..3_000).contains(&since);
            let mut frame = Vec::new();
            caller.next_frame(now_ms, if loud { -20.0 } else { SILENCE_DBFS }, samples(frame_ms), &mut frame);
            assert_eq!(frame.len(), samples(frame_ms));
            all.extend(frame);
        }
        (caller, all)
    }

    #[test]
    fn turns_come_every_six_seconds_and_every_third_answer_is_interrupted() {
        for frame_ms in [20, 100] {
            let (caller, pcm) = play(frame_ms, 45_000);
            let said: Vec<(TurnKind, u64)> = caller.said.iter().map(|said| (said.kind, said.loud_start_ms)).collect();
            let barge_ms = 14_500 + UTTERANCE_MS + 500 + BARGE_AFTER_MS;
            let want = [(TurnKind::Turn, 2_500), (TurnKind::Turn, 8_500), (TurnKind::Turn, 14_500)];
            assert_eq!(said[..3], want);
            assert_eq!(said[3], (TurnKind::BargeIn, barge_ms));
            assert_eq!(said[4], (TurnKind::Turn, 24_500));
            for said in &caller.said {
                let part = &pcm[samples(said.loud_start_ms)..samples(said.loud_end_ms)];
                assert!(part.iter().all(|sample| *sample >= 4_000), "{said:?}");
                assert!(pcm[samples(said.loud_end_ms)].unsigned_abs() <= 6);
            }
        }
    }

    #[test]
    fn an_agent_that_says_nothing_is_asked_again_and_never_interrupted() {
        let mut caller = TurnCaller::new(speech());
        for now_ms in (0..60_000).step_by(100) {
            caller.next_frame(now_ms, SILENCE_DBFS, samples(100), &mut Vec::new());
        }
        assert!(caller.said.iter().all(|said| said.kind == TurnKind::Turn));
        assert!(caller.said.len() >= 7, "{}", caller.said.len());
    }

    #[test]
    fn a_stretch_has_no_pause_and_ends_loud() {
        let mut pcm = vec![5_000_i16; samples(400)];
        pcm.extend(vec![0; samples(100)]);
        pcm.extend(vec![5_000; samples(600)]);
        pcm.extend(vec![9_000; samples(20)]);
        pcm.extend(vec![0; samples(300)]);
        let stretch = unbroken(&pcm, 500).expect("600 ms are there");
        assert_eq!(stretch.len(), samples(500));
        assert_eq!(stretch.last(), Some(&9_000));
        assert!(stretch.iter().all(|sample| *sample != 0));
        assert_eq!(unbroken(&pcm, 700), None);
        assert_eq!(unbroken(&pcm[..samples(300)], 500), None);
    }
}
