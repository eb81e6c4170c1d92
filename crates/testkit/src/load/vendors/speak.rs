//! `GET /v1/speak` as developers.deepgram.com/reference/text-to-speech/speak-streaming describes it: a sentence is heard
//! after 80 ms, then comes ten times as fast as it is spoken, in pieces of 100 ms that are made once.

use super::super::context::Context;
use super::super::frame::{Kind, Side, write};
use super::super::wheel::Micros;
use super::{Line, MS, rate};
use serde_json::Value;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// From a sentence to its first sound.
pub(super) const FIRST_MS: u64 = 80;
/// Length of a piece.
const PIECE_MS: u64 = 100;
/// From piece to piece.
const STEP_MS: u64 = 10;
/// How long a character is spoken.
const CHARACTER_MS: u64 = 35;
/// The shortest sentence.
const SENTENCE_MS_MIN: u64 = 100;
/// Loudness of the voice: largest sample.
const PEAK: f64 = 8_000.0;
/// Its pitch.
const PITCH_HZ: f64 = 140.0;
/// Sentences that wait; a call asks for two at a time.
const JOBS_MAX: usize = 64;

#[derive(Debug)]
enum Job {
    Sound { left_ms: u64 },
    Flushed,
    Close,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Speak {
    rate: usize,
    text: String,
    /// When it is due, what.
    jobs: VecDeque<(Micros, Job)>,
    busy_until: Micros,
    /// A piece as a whole frame.
    piece: Vec<u8>,
    /// When the next timer fires.
    woken: Option<Micros>,
}

/// A hum with overtones: as loud from its first sample to its last.
fn voice(rate: usize, ms: u64) -> Vec<u8> {
    let samples = rate * ms as usize / 1_000;
    let sample = |n: usize| {
        let phase = TAU * PITCH_HZ * n as f64 / rate as f64;
        (PEAK * (0.6 * phase.sin() + 0.3 * (2.0 * phase).sin() + 0.1 * (5.0 * phase).sin())) as i16
    };
    (0..samples).flat_map(|n| sample(n).to_le_bytes()).collect()
}

impl Speak {
    pub(super) fn new(query: &str, context: &mut Context) -> Self {
        context.counts.speaks += 1;
        let rate = rate(query);
        let mut piece = Vec::new();
        write(Side::Server, Kind::Binary, &voice(rate, PIECE_MS), &mut piece);
        Self { rate, text: String::new(), jobs: VecDeque::new(), busy_until: 0, piece, woken: None }
    }

    pub(super) fn told(&mut self, message: &Value, line: &mut Line<'_>, context: &mut Context) {
        match message["type"].as_str().unwrap_or_default() {
            "Speak" => {
                self.text.push_str(message["text"].as_str().unwrap_or_default());
                if self.text.trim_end().ends_with(['.', '?', '!']) {
                    self.sentence(context);
                }
            }
            "Flush" => {
                self.sentence(context);
                self.push(self.busy_until.max(context.now), Job::Flushed);
            }
            "Clear" => {
                context.counts.clears += 1;
                self.jobs.clear();
                self.text.clear();
                self.busy_until = context.now;
                line.text(r#"{"type":"Cleared","sequence_id":0}"#, context);
            }
            "Close" => {
                self.sentence(context);
                self.push(self.busy_until.max(context.now), Job::Close);
            }
            _ => {}
        }
        self.wake(line, context);
    }

    fn push(&mut self, at: Micros, job: Job) {
        if self.jobs.len() < JOBS_MAX {
            self.jobs.push_back((at, job));
        }
    }

    fn sentence(&mut self, context: &mut Context) {
        let characters = self.text.trim().chars().count() as u64;
        self.text.clear();
        if characters == 0 {
            return;
        }
        context.counts.sentences += 1;
        let left_ms = (characters * CHARACTER_MS).max(SENTENCE_MS_MIN);
        let at = (context.now + FIRST_MS * MS).max(self.busy_until);
        self.busy_until = at + left_ms.div_ceil(PIECE_MS) * STEP_MS * MS;
        self.push(at, Job::Sound { left_ms });
    }

    /// One timer at a time.
    fn wake(&mut self, line: &Line<'_>, context: &mut Context) {
        if let Some((at, _)) = self.jobs.front()
            && self.woken.is_none_or(|woken| woken > *at)
        {
            self.woken = Some(*at);
            line.wake(*at, context);
        }
    }

    pub(super) fn due(&mut self, line: &mut Line<'_>, context: &mut Context) {
        if self.woken.is_some_and(|woken| woken > context.now + MS) {
            // A timer of what has been cleared.
            return;
        }
        self.woken = None;
        while let Some((at, job)) = self.jobs.front_mut()
            && *at <= context.now + MS
        {
            context.vendors_late.add(context.now.saturating_sub(*at));
            match job {
                Job::Sound { left_ms } if *left_ms > PIECE_MS => {
                    *left_ms -= PIECE_MS;
                    *at += STEP_MS * MS;
                    line.socket.send(&self.piece);
                    continue;
                }
                Job::Sound { left_ms } => {
                    let sound = voice(self.rate, *left_ms);
                    context.scratch.clear();
                    write(Side::Server, Kind::Binary, &sound, &mut context.scratch);
                    line.socket.send(&context.scratch);
                }
                Job::Flushed => line.text(r#"{"type":"Flushed","sequence_id":0}"#, context),
                Job::Close => line.close(context),
            }
            self.jobs.pop_front();
        }
        self.wake(line, context);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sound::level_of_masked;
    use super::*;

    #[test]
    fn the_voice_is_loud_everywhere() {
        for rate in [8_000, 16_000, 24_000] {
            let sound = voice(rate, PIECE_MS);
            assert_eq!(sound.len(), rate / 5);
            for from in (0..sound.len()).step_by(rate / 50) {
                assert!(level_of_masked(&sound, [0; 4], from, rate / 100) > 500, "{rate} {from}");
            }
        }
    }
}
