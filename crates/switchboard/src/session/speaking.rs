//! The agent's audio: sentences are spoken one after the other, paced, framed and marked for the carrier.

use super::Session;
use super::told::Told;
use audio::pace::{FrameRule, OutKind, Pacer};
use call::{HeardSpeech, Input, SpeechId};
use model::{CallTime, CarrierKind, SpeechConfig};
use providers::Error;
use providers::speaker::{SpeakRequest, Speaker, SpeechChunk};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;
use wire::carrier::Encoder;

/// How far ahead of the caller's ear we send. Enough for a late wake-up and the network; a barge-in throws it away
/// with one `clear`.
const LEAD_MS: u64 = 300;
/// The speaker is read only while less than this waits to be sent: it is held back, and what is thrown away at a
/// barge-in stays small.
const AHEAD_MS: u64 = 10_000;

/// See the module.
pub(crate) struct Speaking {
    carrier: CarrierKind,
    encoder: Encoder,
    pacer: Pacer,
    rate: u32,
    speaker: Arc<dyn Speaker>,
    language: String,
    voice: String,
    waiting: VecDeque<(SpeechId, String)>,
    current: Option<Current>,
    told: Told,
    /// The sentence whose frames are going out.
    going_out: Option<u64>,
    control: VecDeque<String>,
    frame: Vec<i16>,
}

struct Current {
    speech: SpeechId,
    chunks: mpsc::Receiver<Result<SpeechChunk, Error>>,
    samples: u64,
}

/// What the speaker gave: audio, an error, or the end.
pub(crate) struct Chunk {
    speech: SpeechId,
    audio: Option<Result<SpeechChunk, Error>>,
}

impl Speaking {
    pub(crate) fn new(
        carrier: CarrierKind,
        stream_id: &str,
        rate: u32,
        speaker: Arc<dyn Speaker>,
        language: &str,
        config: &SpeechConfig,
    ) -> Self {
        let rule = wire::carrier::frame_rule(carrier);
        let pacer = Pacer::new(FrameRule {
            sample_rate_hz: rate,
            frame_ms: rule.frame_ms,
            multiple_samples: rule.multiple_samples(),
            lead_ms: LEAD_MS,
        });
        Self {
            carrier,
            encoder: Encoder::new(carrier, stream_id, rate),
            pacer,
            rate,
            speaker,
            language: language.to_owned(),
            voice: config.voice.clone(),
            waiting: VecDeque::new(),
            current: None,
            told: Told::default(),
            going_out: None,
            control: VecDeque::new(),
            frame: Vec::new(),
        }
    }

    pub(crate) const fn carrier(&self) -> CarrierKind {
        self.carrier
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty() || self.pacer.queued_ms() > 0 || self.going_out.is_some()
    }

    /// When something may be sent, ms since the media began.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.pacer.next_at_ms()
    }

    pub(crate) fn say(&mut self, speech: SpeechId, text: String) {
        self.waiting.push_back((speech, text));
        self.start_next();
    }

    fn start_next(&mut self) {
        if self.current.is_some() {
            return;
        }
        let Some((speech, text)) = self.waiting.pop_front() else { return };
        self.told.begin(speech, &text);
        let chunks = self.speaker.speak(SpeakRequest {
            text,
            language: self.language.clone(),
            voice: self.voice.clone(),
            sample_rate_hz: self.rate,
        });
        self.current = Some(Current { speech, chunks, samples: 0 });
    }

    /// The next piece from the speaker; waits for ever while none is wanted.
    pub(crate) async fn next_chunk(&mut self) -> Chunk {
        if self.pacer.queued_ms() < AHEAD_MS
            && let Some(current) = &mut self.current
        {
            let audio = current.chunks.recv().await;
            return Chunk { speech: current.speech, audio };
        }
        std::future::pending().await
    }

    /// This sentence will not be spoken.
    pub(crate) fn give_up(&mut self, speech: SpeechId) {
        self.waiting.retain(|(waiting, _)| *waiting != speech);
        if self.current.as_ref().is_some_and(|current| current.speech == speech) {
            self.current = None;
            self.pacer.finish(speech.0);
            self.start_next();
        }
    }

    /// Forgets everything that was not heard, here and at the carrier, and says how far it was heard.
    pub(crate) fn clear(&mut self, now_ms: u64) -> Vec<HeardSpeech> {
        let heard = self.position(now_ms);
        self.pacer.clear(now_ms);
        self.waiting.clear();
        self.current = None;
        self.told.forget();
        self.going_out = None;
        let mut message = String::new();
        self.encoder.clear(&mut message);
        self.control.push_back(message);
        heard
    }

    /// How far every unfinished sentence has been heard.
    pub(crate) fn position(&self, now_ms: u64) -> Vec<HeardSpeech> {
        let mut heard: Vec<HeardSpeech> = self
            .pacer
            .clone()
            .clear(now_ms)
            .into_iter()
            .map(|c| {
                let speech = SpeechId(c.speech);
                let heard_words = self.told.heard_words(speech, c.heard_ms);
                HeardSpeech { speech, heard_ms: c.heard_ms, total_ms: c.total_ms, heard_words }
            })
            .collect();
        let unsent = self.current.iter().map(|c| c.speech).chain(self.waiting.iter().map(|(speech, _)| *speech));
        for speech in unsent {
            if heard.iter().all(|h| h.speech != speech) {
                heard.push(HeardSpeech { speech, heard_ms: 0, total_ms: None, heard_words: None });
            }
        }
        heard
    }

    /// A mark came back.
    pub(crate) fn played(&mut self, mark: &str) -> Option<SpeechId> {
        let speech = mark.strip_prefix('s')?.parse().ok()?;
        self.pacer.played(speech);
        self.told.played(SpeechId(speech));
        if self.going_out == Some(speech) {
            self.going_out = None;
        }
        Some(SpeechId(speech))
    }
}

impl Session {
    /// A piece of speech, or the end of a sentence.
    pub(super) fn speech(&mut self, chunk: Chunk) {
        let Chunk { speech, audio } = chunk;
        let Some(current) = self.speaking.current.as_mut().filter(|current| current.speech == speech) else { return };
        match audio {
            Some(Ok(SpeechChunk { pcm, words })) => {
                current.samples += pcm.len() as u64;
                self.speaking.told.words(speech, words);
                // AHEAD_MS is far below the pacer's own limit; a refusal is a chunk of minutes, and not spoken.
                if self.speaking.pacer.push(speech.0, &pcm).is_err() {
                    tracing::warn!(call.id = %self.grant.call, "a sentence is too long to be queued");
                }
            }
            Some(Err(error)) => {
                tracing::warn!(call.id = %self.grant.call, error = %error, "a sentence could not be spoken");
                self.sentence_done(speech);
            }
            None => self.sentence_done(speech),
        }
    }

    fn sentence_done(&mut self, speech: SpeechId) {
        let Some(current) = self.speaking.current.take() else { return };
        let total_ms = current.samples * 1_000 / u64::from(self.speaking.rate);
        if total_ms == 0 {
            self.input(Input::SpeechFailed { speech });
        } else {
            self.speaking.pacer.finish(speech.0);
            self.input(Input::SpeechSynthesized { speech, total_ms });
        }
        self.speaking.start_next();
    }

    /// The next message for the carrier, if one is due.
    pub(super) fn next_message(&mut self, now: CallTime) -> Option<String> {
        if let Some(message) = self.speaking.control.pop_front() {
            return Some(message);
        }
        let mut frame = std::mem::take(&mut self.speaking.frame);
        let out = self.speaking.pacer.next_into(now.ms(), &mut frame);
        let message = out.and_then(|out| self.encode(out, &frame));
        self.speaking.frame = frame;
        message
    }

    fn encode(&mut self, out: OutKind, frame: &[i16]) -> Option<String> {
        let mut message = String::new();
        match out {
            OutKind::Frame { speech } => {
                if let Err(error) = self.speaking.encoder.audio(frame, &mut message) {
                    tracing::error!(call.id = %self.grant.call, error = %error, "a frame of ours breaks the carrier's rule");
                    return None;
                }
                let length_ms = frame.len() as u64 * 1_000 / u64::from(self.speaking.rate);
                let plays_at_ms = self.speaking.pacer.playout_end_ms().saturating_sub(length_ms);
                if let Some(recorder) = &mut self.recorder {
                    recorder.agent(plays_at_ms, frame);
                }
                if self.speaking.going_out != Some(speech) {
                    self.speaking.going_out = Some(speech);
                    self.input(Input::SpeechStarted { speech: SpeechId(speech) });
                }
            }
            OutKind::Mark { speech } => self.speaking.encoder.mark(&format!("s{speech}"), &mut message),
        }
        Some(message)
    }
}
