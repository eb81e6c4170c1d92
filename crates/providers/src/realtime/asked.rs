//! An answer or a sentence under way: its channel, its deadlines, its limits.

use super::SpeechModelLimits;
use super::conversation::plain;
use super::engine::Ask;
use crate::language_model::{ANSWER_BYTES_MAX, TOOL_CALLS_MAX, Thought, ToolCall, Usage};
use crate::speaker::SpeechChunk;
use crate::{Error, ErrorKind};
use audio::resample::Resampler;
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

/// Pieces of one answer that wait for the call: a vendor makes sound many times faster than it is played, and with
/// pieces of 100 ms this is the longest answer.
pub(super) const QUEUE: usize = 2_048;
/// Longest answer or sentence in time, in seconds.
pub(super) const SOUND_S_MAX: usize = 180;
/// Length of a piece, in milliseconds.
const PIECE_MS: usize = 100;

/// Where it goes.
pub(super) enum Channel {
    Thought(Sender<Result<Thought, Error>>),
    Speech(Sender<Result<SpeechChunk, Error>>),
}

impl Channel {
    pub(super) async fn closed(&self) {
        match self {
            Self::Thought(out) => out.closed().await,
            Self::Speech(out) => out.closed().await,
        }
    }

    /// The last there is to say. With the queue full nobody reads, and the end of the channel has to do.
    pub(super) fn fail(&self, error: Error) {
        match self {
            Self::Thought(out) => drop(out.try_send(Err(error))),
            Self::Speech(out) => drop(out.try_send(Err(error))),
        }
    }
}

pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) out: Channel,
    /// When it is late.
    pub(super) due: Instant,
    total: Instant,
    /// Something of it was delivered.
    pub(super) begun: bool,
    limits: SpeechModelLimits,
    rate_hz: u32,
    resampler: Option<(u32, Resampler)>,
    samples: usize,
    text: String,
    tools: usize,
}

const FULL: &str = "the call does not take its answer";

impl Asked {
    pub(super) fn new(ask: Ask, out: Channel, rate_hz: u32, limits: SpeechModelLimits, now: Instant) -> Self {
        Self {
            ask,
            out,
            due: now + limits.first,
            total: now + limits.total,
            begun: false,
            limits,
            rate_hz,
            resampler: None,
            samples: 0,
            text: String::new(),
            tools: 0,
        }
    }

    /// A piece came: the next has its own time.
    pub(super) fn heard(&mut self, now: Instant) {
        self.due = (now + self.limits.idle).min(self.total);
    }

    pub(super) fn audio(&mut self, pcm: &[i16], rate_hz: u32) -> Result<(), &'static str> {
        let wanted = self.rate_hz;
        let fresh = || (rate_hz, Resampler::new(rate_hz, wanted));
        let (_, resampler) = match &mut self.resampler {
            Some(held) if held.0 == rate_hz => held,
            other => other.insert(fresh()),
        };
        let mut ours = Vec::with_capacity(pcm.len());
        resampler.process(pcm, &mut ours);
        self.samples += ours.len();
        if self.samples > SOUND_S_MAX * wanted as usize {
            return Err("the answer does not end");
        }
        self.sound(&ours)
    }

    fn sound(&mut self, pcm: &[i16]) -> Result<(), &'static str> {
        for piece in pcm.chunks(self.rate_hz as usize * PIECE_MS / 1_000) {
            self.begun = true;
            let sent = match &self.out {
                Channel::Thought(out) => out.try_send(Ok(Thought::Audio(piece.to_vec()))).is_ok(),
                Channel::Speech(out) => out.try_send(Ok(SpeechChunk::from(piece.to_vec()))).is_ok(),
            };
            if !sent {
                return Err(FULL);
            }
        }
        Ok(())
    }

    pub(super) fn text(&mut self, text: String) -> Result<(), &'static str> {
        if self.text.len() + text.len() > ANSWER_BYTES_MAX {
            return Err("the answer does not end");
        }
        self.text.push_str(&text);
        self.think(Thought::Text(text))
    }

    pub(super) fn tool(&mut self, call: ToolCall) -> Result<(), &'static str> {
        self.tools += 1;
        if self.tools > TOOL_CALLS_MAX {
            return Err("the answer asks for too many tools");
        }
        self.think(Thought::ToolCall(call))
    }

    pub(super) fn usage(&mut self, usage: Usage) -> Result<(), &'static str> {
        self.think(Thought::Usage(usage))
    }

    /// Of a sentence nothing but the sound is told.
    fn think(&mut self, thought: Thought) -> Result<(), &'static str> {
        match &self.out {
            Channel::Thought(out) => {
                self.begun = true;
                out.try_send(Ok(thought)).map_err(|_| FULL)
            }
            Channel::Speech(_) => Ok(()),
        }
    }

    /// It is complete.
    pub(super) fn done(mut self, name: &'static str) {
        if let Some((_, resampler)) = &mut self.resampler {
            let mut rest = Vec::new();
            resampler.flush(&mut rest);
            // It is over either way.
            let _ = self.sound(&rest);
        }
        match (&self.out, &self.ask) {
            (Channel::Thought(out), _) => drop(out.try_send(Ok(Thought::Done))),
            (Channel::Speech(_), _) if self.samples == 0 => {
                self.out.fail(Error::new(ErrorKind::Protocol, name, "answered without any sound"));
            }
            (Channel::Speech(_), Ask::Say(words)) => {
                if !self.text.is_empty() && plain(&self.text) != plain(words) {
                    tracing::warn!(provider = name, "said other words than it was told to");
                }
            }
            (Channel::Speech(_), Ask::Think(_)) => {}
        }
    }
}
