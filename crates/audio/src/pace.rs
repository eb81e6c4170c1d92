//! The pacer: speech goes out at the speed it is heard, a little ahead, in the frames the carrier wants.
//!
//! It knows by a model what the caller has heard: a frame begins when the one before it ends, or when it is sent,
//! whichever is later. A carrier's mark coming back makes it exact ([`Pacer::played`]). Frame rules of Exotel: multiples
//! of 320 bytes, or its platform inserts 20 ms of silence; a burst of many seconds cuts greetings short.

use std::collections::VecDeque;

/// Most speech queued, in seconds. Built-in voices make an answer of a minute at once; two minutes are 4 MB at 16 kHz.
/// Full means: wait, do not synthesize further.
pub const QUEUE_S_MAX: u64 = 120;
/// Most speeches at once, heard in part or waiting: an answer is some dozen sentences.
pub const SPEECHES_MAX: usize = 256;
/// Longest lead and longest frame taken from a [`FrameRule`], in ms: more could not be taken back on a barge-in.
pub const LEAD_MS_MAX: u64 = 5_000;
/// An incomplete frame goes out when no more than this is left to play: the time a shell needs to wake and send.
pub const DRY_MARGIN_MS: u64 = 20;
/// A gap inside a speech counts from here on: shorter ones vanish in the carrier's jitter buffer.
pub const GAP_MS_MIN: u64 = 20;

/// How a carrier wants its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRule {
    /// Rate of all audio pushed, in Hz.
    pub sample_rate_hz: u32,
    /// Length of a normal frame; rounded up to the multiple.
    pub frame_ms: u32,
    /// Every frame is a multiple of this many samples (Exotel: 320 bytes, 160 samples at any rate).
    pub multiple_samples: usize,
    /// How far ahead of playout frames may be sent; at least one frame is.
    pub lead_ms: u64,
    /// While the caller has enough, frames wait until so much can be sent at once: fewer writes and wake-ups. Held to
    /// what leaves [`DRY_MARGIN_MS`] of the lead; less than a frame means frame by frame.
    pub burst_ms: u64,
}

/// The audio was not taken: [`QUEUE_S_MAX`] or [`SPEECHES_MAX`] is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("speech queue is full, {free_samples} samples free")]
pub struct QueueFull {
    /// How many samples would be taken now.
    pub free_samples: usize,
}

/// What to send next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// Audio.
    Frame {
        /// Which speech it belongs to.
        speech: u64,
        /// PCM, a multiple of the rule's samples.
        samples: Vec<i16>,
    },
    /// The speech's last frame has gone out: ask the carrier to say when it is played.
    Mark {
        /// Which speech.
        speech: u64,
    },
}

/// As [`Out`], the samples being in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutKind {
    /// The buffer holds a frame of this speech.
    Frame {
        /// Which speech it belongs to.
        speech: u64,
    },
    /// The buffer is empty; a mark for this speech is due.
    Mark {
        /// Which speech.
        speech: u64,
    },
}

/// How far a speech had got when everything was cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleared {
    /// Which speech.
    pub speech: u64,
    /// How much of it the caller heard, by the model, in ms.
    pub heard_ms: u64,
    /// Its whole length in ms; `None`: synthesis was not finished.
    pub total_ms: Option<u64>,
    /// How much of it was never sent, in ms.
    pub queued_ms: u64,
}

/// Paces one call's speech. Times are `now_ms` of the call's clock and never run backwards.
#[derive(Debug, Clone)]
pub struct Pacer {
    sample_rate_hz: u64,
    frame_samples: usize,
    multiple_samples: usize,
    lead_us: u64,
    /// A frame that does not go out together with others waits for so long.
    hold_us: u64,
    /// Frames are going out, up to the lead.
    bursting: bool,
    /// In order of first push: sent whole and still playing, then being sent, then waiting.
    speeches: VecDeque<Speech>,
    /// Sent and not yet played by the model; bounded by the lead.
    playing: VecDeque<Sent>,
    queued_samples: usize,
    next_serial: u64,
    /// Playout without a gap: since when, and how many samples.
    run_start_us: u64,
    run_samples: u64,
    underruns: u64,
    gap_ms: u64,
}

#[derive(Debug, Clone)]
struct Speech {
    id: u64,
    serial: u64,
    queue: VecDeque<i16>,
    finished: bool,
    /// All sent, mark given.
    marked: bool,
    pushed_samples: u64,
    sent_samples: u64,
    heard_samples: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    serial: u64,
    start_us: u64,
    end_us: u64,
    samples: u64,
}

impl Pacer {
    /// For one carrier's rule. Zeros and sizes beyond the limits are held to what works.
    pub fn new(rule: FrameRule) -> Self {
        let rate = u64::from(rule.sample_rate_hz.clamp(1_000, 192_000));
        let second = rate as usize;
        let multiple_samples = rule.multiple_samples.clamp(1, second);
        let frame_ms = u64::from(rule.frame_ms).min(LEAD_MS_MAX);
        let frame_samples = ((frame_ms * rate / 1_000) as usize).max(1).next_multiple_of(multiple_samples);
        let frame_us = (frame_samples as u64 * 1_000_000).div_ceil(rate);
        let burst_us_max = (rule.lead_ms.min(LEAD_MS_MAX).saturating_sub(DRY_MARGIN_MS)) * 1_000;
        let lead_us = (rule.lead_ms.min(LEAD_MS_MAX) * 1_000).max(frame_us);
        Self {
            sample_rate_hz: rate,
            frame_samples,
            multiple_samples,
            lead_us,
            hold_us: rule.burst_ms.saturating_mul(1_000).min(burst_us_max).saturating_sub(frame_us),
            bursting: false,
            speeches: VecDeque::new(),
            playing: VecDeque::new(),
            queued_samples: 0,
            next_serial: 0,
            run_start_us: 0,
            run_samples: 0,
            underruns: 0,
            gap_ms: 0,
        }
    }

    /// Queues audio of a speech; the first push gives it its place. All or nothing.
    ///
    /// # Errors
    /// [`QueueFull`]: send first, or clear.
    pub fn push(&mut self, speech: u64, samples: &[i16]) -> Result<(), QueueFull> {
        let free_samples = self.free_samples();
        if samples.len() > free_samples {
            return Err(QueueFull { free_samples });
        }
        let speech = self.open(speech).ok_or(QueueFull { free_samples: 0 })?;
        speech.queue.extend(samples);
        speech.pushed_samples += samples.len() as u64;
        self.queued_samples += samples.len();
        Ok(())
    }

    /// No more audio of this speech will come. A speech that never had any still gives its mark, in its place.
    pub fn finish(&mut self, speech: u64) {
        if let Some(speech) = self.open(speech) {
            speech.finished = true;
        }
    }

    /// What to send now; call until `None`.
    pub fn next(&mut self, now_ms: u64) -> Option<Out> {
        let mut samples = Vec::new();
        Some(match self.next_into(now_ms, &mut samples)? {
            OutKind::Frame { speech } => Out::Frame { speech, samples },
            OutKind::Mark { speech } => Out::Mark { speech },
        })
    }

    /// As [`Self::next`], into a buffer that is cleared first.
    pub fn next_into(&mut self, now_ms: u64, buffer: &mut Vec<i16>) -> Option<OutKind> {
        buffer.clear();
        let now_us = micros(now_ms);
        self.forget_played(now_us);
        let Some(index) = self.speeches.iter().position(|s| !s.marked) else {
            self.bursting = false;
            return None;
        };
        if self.speeches[index].queue.is_empty() && self.speeches[index].finished {
            let speech = &mut self.speeches[index];
            speech.marked = true;
            let id = speech.id;
            self.forget_played(now_us);
            return Some(OutKind::Mark { speech: id });
        }
        let due = self.due(index);
        self.bursting = due.is_some_and(|(_, due_us)| now_us >= due_us);
        let (take, _) = due.filter(|_| self.bursting)?;
        let length = take.next_multiple_of(self.multiple_samples);
        self.advance_playout(index, length, now_us);
        let speech = &mut self.speeches[index];
        buffer.extend(speech.queue.drain(..take));
        buffer.resize(length, 0);
        speech.sent_samples += length as u64;
        self.queued_samples -= take;
        Some(OutKind::Frame { speech: speech.id })
    }

    /// When [`Self::next`] may give something if nothing else happens (a time gone by means now); `None`: nothing to
    /// send.
    pub fn next_at_ms(&self) -> Option<u64> {
        let index = self.speeches.iter().position(|s| !s.marked)?;
        let speech = &self.speeches[index];
        if speech.queue.is_empty() && speech.finished {
            return Some(0);
        }
        self.due(index).map(|(_, due_us)| due_us.div_ceil(1_000))
    }

    /// Barge-in: forgets all that is queued or sent and not yet played. Gives every speech the caller had not heard to
    /// the end, in order. Tell the carrier to clear too, and push nothing more of these speeches.
    pub fn clear(&mut self, now_ms: u64) -> Vec<Cleared> {
        let now_us = micros(now_ms);
        self.forget_played(now_us);
        while let Some(sent) = self.playing.pop_front() {
            // Only the first can have begun.
            let heard_us = now_us.clamp(sent.start_us, sent.end_us) - sent.start_us;
            self.add_heard(sent.serial, heard_us * self.sample_rate_hz / 1_000_000);
        }
        let rate = self.sample_rate_hz;
        let ms = |samples: u64| samples * 1_000 / rate;
        let cleared = self
            .speeches
            .drain(..)
            .map(|s| Cleared {
                speech: s.id,
                heard_ms: ms(s.heard_samples.min(s.pushed_samples)),
                total_ms: s.finished.then(|| ms(s.pushed_samples)),
                queued_ms: ms(s.queue.len() as u64),
            })
            .collect();
        self.queued_samples = 0;
        self.bursting = false;
        self.run_start_us = now_us.min(self.playout_end_us());
        self.run_samples = 0;
        cleared
    }

    /// The carrier says it has played this speech to its mark: it and all before it are heard.
    pub fn played(&mut self, speech: u64) {
        let Some(index) = self.speeches.iter().position(|s| s.marked && s.id == speech) else { return };
        let serial = self.speeches[index].serial;
        self.speeches.drain(..=index);
        self.playing.retain(|sent| sent.serial > serial);
    }

    /// The speech the caller hears now, by the model.
    pub fn playing(&self, now_ms: u64) -> Option<u64> {
        let now_us = micros(now_ms);
        let sent = self.playing.iter().find(|s| s.end_us > now_us).filter(|s| s.start_us <= now_us)?;
        self.index_of(sent.serial).map(|i| self.speeches[i].id)
    }

    /// Nothing is queued, open or playing.
    pub fn is_idle(&self, now_ms: u64) -> bool {
        self.speeches.iter().all(|s| s.marked) && self.playing.iter().all(|s| s.end_us <= micros(now_ms))
    }

    /// When all that was sent will be played, by the model, rounded up; in the past when nothing plays.
    pub fn playout_end_ms(&self) -> u64 {
        self.playout_end_us().div_ceil(1_000)
    }

    /// Speech waiting to be sent, in ms.
    pub fn queued_ms(&self) -> u64 {
        self.queued_samples as u64 * 1_000 / self.sample_rate_hz
    }

    /// Samples that [`Self::push`] would take now.
    pub fn free_samples(&self) -> usize {
        ((QUEUE_S_MAX * self.sample_rate_hz) as usize).saturating_sub(self.queued_samples)
    }

    /// Samples of a normal frame.
    pub fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// How often a speech ran dry in its middle for more than [`GAP_MS_MIN`].
    pub fn underruns(&self) -> u64 {
        self.underruns
    }

    /// Silence those gaps made in all, in ms.
    pub fn gap_ms(&self) -> u64 {
        self.gap_ms
    }

    /// The speech with this id that still takes audio, made if there is none; `None` at [`SPEECHES_MAX`].
    fn open(&mut self, id: u64) -> Option<&mut Speech> {
        let index = match self.speeches.iter().position(|s| s.id == id && !s.marked) {
            Some(index) => index,
            None if self.speeches.len() >= SPEECHES_MAX => return None,
            None => {
                self.speeches.push_back(Speech {
                    id,
                    serial: self.next_serial,
                    queue: VecDeque::new(),
                    finished: false,
                    marked: false,
                    pushed_samples: 0,
                    sent_samples: 0,
                    heard_samples: 0,
                });
                self.next_serial += 1;
                self.speeches.len() - 1
            }
        };
        self.speeches.get_mut(index)
    }

    /// How many queued samples the next frame takes, and from when on it may go; `None`: wait for more.
    fn due(&self, index: usize) -> Option<(usize, u64)> {
        let speech = &self.speeches[index];
        let queued = speech.queue.len();
        let take = queued.min(self.frame_samples);
        if take == 0 {
            return None;
        }
        let within_lead_us = |samples: usize, hold_us: u64| {
            let end_us = self.run_start_us + self.duration_us(self.run_samples + samples as u64);
            (end_us + hold_us).saturating_sub(self.lead_us)
        };
        if take == self.frame_samples || speech.finished {
            let hold_us = if self.bursting { 0 } else { self.hold_us };
            return Some((take, within_lead_us(take.next_multiple_of(self.multiple_samples), hold_us)));
        }
        let whole = queued - queued % self.multiple_samples;
        let dry_us = self.playout_end_us().saturating_sub(DRY_MARGIN_MS * 1_000);
        (whole > 0).then(|| (whole, dry_us.max(within_lead_us(whole, 0))))
    }

    fn advance_playout(&mut self, index: usize, length: usize, now_us: u64) {
        let end_us = self.playout_end_us();
        if now_us > end_us {
            let gap_ms = (now_us - end_us) / 1_000;
            if self.speeches[index].sent_samples > 0 && gap_ms > GAP_MS_MIN {
                self.underruns += 1;
                self.gap_ms += gap_ms;
            }
            self.run_start_us = now_us;
            self.run_samples = 0;
        }
        let start_us = self.playout_end_us();
        self.run_samples += length as u64;
        self.playing.push_back(Sent {
            serial: self.speeches[index].serial,
            start_us,
            end_us: self.playout_end_us(),
            samples: length as u64,
        });
    }

    /// Books the frames that have been played, and lets go of the speeches that have ended with them.
    fn forget_played(&mut self, now_us: u64) {
        while let Some(sent) = self.playing.pop_front_if(|s| s.end_us <= now_us) {
            self.add_heard(sent.serial, sent.samples);
        }
        while self.speeches.pop_front_if(|s| s.marked && s.heard_samples >= s.sent_samples).is_some() {}
    }

    fn add_heard(&mut self, serial: u64, samples: u64) {
        if let Some(index) = self.index_of(serial) {
            self.speeches[index].heard_samples += samples;
        }
    }

    /// Serials are consecutive: speeches leave at the front only.
    fn index_of(&self, serial: u64) -> Option<usize> {
        let first = self.speeches.front()?.serial;
        let index = usize::try_from(serial.checked_sub(first)?).ok()?;
        (index < self.speeches.len()).then_some(index)
    }

    fn playout_end_us(&self) -> u64 {
        self.run_start_us + self.duration_us(self.run_samples)
    }

    fn duration_us(&self, samples: u64) -> u64 {
        samples * 1_000_000 / self.sample_rate_hz
    }
}

/// Held to a range in which sums cannot overflow: 35 000 years.
fn micros(now_ms: u64) -> u64 {
    now_ms.min(1 << 50) * 1_000
}
