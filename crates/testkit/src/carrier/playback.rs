//! The far end's playback: a queue drained in real time. No clock in here; the caller says how far time has come.

use super::{Gap, MarksAfterClear};
use std::collections::VecDeque;

/// A silence longer than this after a mark is no part of a reply any more.
pub(super) const REPLY_PAUSE_MS: u64 = 700;
/// Audio queued at most; what comes on top is dropped and a violation. An hour in one burst is no telephone call.
pub(super) const QUEUE_MS_MAX: u64 = 600_000;

#[derive(Clone, Debug)]
enum Queued {
    Audio(VecDeque<i16>),
    Mark(String),
}

/// A mark that has been reached, or given back by a clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkReached {
    /// Its name.
    pub name: String,
    /// When.
    pub at_ms: u64,
}

/// What waits to be heard, and what has been heard.
#[derive(Clone, Debug)]
pub struct Playback {
    sample_rate_hz: u64,
    prebuffer_samples: usize,
    queue: VecDeque<Queued>,
    queued_samples: usize,
    /// Sample at which playback may begin after it had run dry.
    start_at: usize,
    timeline: Vec<i16>,
    /// Where playback ran dry, and whether a mark stood at the end of what had been played.
    dry_at: Option<usize>,
    marked: bool,
    marks_used: bool,
    gaps: Vec<Gap>,
    pauses: Vec<Gap>,
    max_ahead_ms: u64,
}

impl Playback {
    /// An empty one.
    #[must_use]
    pub fn new(sample_rate_hz: u32, prebuffer_ms: u64) -> Self {
        let sample_rate_hz = u64::from(sample_rate_hz);
        Self {
            sample_rate_hz,
            prebuffer_samples: (prebuffer_ms * sample_rate_hz / 1000) as usize,
            queue: VecDeque::new(),
            queued_samples: 0,
            start_at: 0,
            timeline: Vec::new(),
            dry_at: None,
            marked: false,
            marks_used: false,
            gaps: Vec::new(),
            pauses: Vec::new(),
            max_ahead_ms: 0,
        }
    }

    fn ms(&self, samples: usize) -> u64 {
        samples as u64 * 1000 / self.sample_rate_hz
    }

    /// Plays up to `now_ms`; returns the marks reached on the way.
    pub fn advance(&mut self, now_ms: u64) -> Vec<MarkReached> {
        let target = (now_ms * self.sample_rate_hz / 1000) as usize;
        let mut reached = Vec::new();
        loop {
            let position = self.timeline.len();
            match self.queue.front_mut() {
                Some(Queued::Mark(_)) => {
                    let Some(Queued::Mark(name)) = self.queue.pop_front() else { break };
                    self.marked = true;
                    reached.push(MarkReached { name, at_ms: self.ms(position) });
                }
                Some(Queued::Audio(_)) if position < self.start_at && position < target => {
                    self.timeline.resize(self.start_at.min(target), 0);
                }
                Some(Queued::Audio(audio)) if position < target => {
                    let count = audio.len().min(target - position);
                    self.timeline.extend(audio.drain(..count));
                    self.queued_samples -= count;
                    self.marked = false;
                    let empty = audio.is_empty();
                    if empty {
                        self.queue.pop_front();
                    }
                    if self.queued_samples == 0 {
                        self.dry_at = Some(self.timeline.len());
                    }
                }
                Some(Queued::Audio(_)) => break,
                None => {
                    if position < target {
                        self.timeline.resize(target, 0);
                    }
                    break;
                }
            }
        }
        reached
    }

    /// Takes audio that arrived at `now_ms`; false when there is no room.
    pub fn audio(&mut self, now_ms: u64, pcm: &[i16]) -> bool {
        if self.ms(self.queued_samples + pcm.len()) > QUEUE_MS_MAX {
            return false;
        }
        if pcm.is_empty() {
            return true;
        }
        if self.queued_samples == 0 {
            let now = (now_ms * self.sample_rate_hz / 1000) as usize;
            // At the start of a reply the buffer fills first; audio that is only late is played at once.
            let continues = self.ran_dry_until(now);
            self.start_at = if continues { 0 } else { now + self.prebuffer_samples };
        }
        match self.queue.back_mut() {
            Some(Queued::Audio(audio)) => audio.extend(pcm),
            Some(Queued::Mark(_)) | None => self.queue.push_back(Queued::Audio(pcm.iter().copied().collect())),
        }
        self.queued_samples += pcm.len();
        self.max_ahead_ms = self.max_ahead_ms.max(self.ms(self.queued_samples));
        true
    }

    /// Notes the silence that ends now; true when it was inside a reply.
    fn ran_dry_until(&mut self, now: usize) -> bool {
        let Some(dry_at) = self.dry_at.take() else { return false };
        let length_ms = self.ms(now.saturating_sub(dry_at));
        let gap = Gap { at_ms: self.ms(dry_at), length_ms };
        let short = length_ms < REPLY_PAUSE_MS;
        if self.marked {
            if short && length_ms > 0 {
                self.pauses.push(gap);
            }
            return short;
        }
        // Inside a sentence a silence of any length is a gap, if the server marks the ends of its sentences at all.
        let inside = short || self.marks_used;
        if inside && length_ms > 0 {
            self.gaps.push(gap);
        }
        short
    }

    /// Takes a mark.
    pub fn mark(&mut self, name: &str) {
        self.marks_used = true;
        self.queue.push_back(Queued::Mark(name.to_owned()));
    }

    /// Drops what waits. Returns how many ms of audio it was, the marks to give back and those lost.
    pub fn clear(&mut self, now_ms: u64, policy: MarksAfterClear) -> (u64, Vec<MarkReached>, Vec<String>) {
        let dropped_ms = self.ms(self.queued_samples);
        let names: Vec<String> = self
            .queue
            .drain(..)
            .filter_map(|queued| match queued {
                Queued::Mark(name) => Some(name),
                Queued::Audio(_) => None,
            })
            .collect();
        self.queued_samples = 0;
        self.dry_at = None;
        self.marked = false;
        match policy {
            MarksAfterClear::Echo => {
                let back = names.iter().map(|name| MarkReached { name: name.clone(), at_ms: now_ms }).collect();
                (dropped_ms, back, names)
            }
            MarksAfterClear::Drop => (dropped_ms, Vec::new(), names),
        }
    }

    /// When the next mark will be reached, if nothing is cleared.
    #[must_use]
    pub fn next_mark_ms(&self) -> Option<u64> {
        let mut ahead = 0;
        for queued in &self.queue {
            match queued {
                Queued::Audio(audio) => ahead += audio.len(),
                Queued::Mark(_) => {
                    let start = if ahead > 0 { self.timeline.len().max(self.start_at) } else { self.timeline.len() };
                    // Rounded up: at this time it has been reached for sure.
                    return Some(((start + ahead) as u64 * 1000).div_ceil(self.sample_rate_hz));
                }
            }
        }
        None
    }

    /// What has been heard so far.
    #[must_use]
    pub fn timeline(&self) -> &[i16] {
        &self.timeline
    }

    /// What waits.
    #[must_use]
    pub fn queued_ms(&self) -> u64 {
        self.ms(self.queued_samples)
    }

    /// Ends it: what was heard, the gaps, the pauses, how far ahead the server was at most.
    #[must_use]
    pub fn finish(self) -> (Vec<i16>, Vec<Gap>, Vec<Gap>, u64) {
        (self.timeline, self.gaps, self.pauses, self.max_ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8_000;

    fn playback(prebuffer_ms: u64) -> Playback {
        Playback::new(RATE, prebuffer_ms)
    }
    fn tone(ms: usize) -> Vec<i16> {
        vec![1000; ms * 8]
    }
    fn names(reached: &[MarkReached]) -> Vec<(&str, u64)> {
        reached.iter().map(|mark| (mark.name.as_str(), mark.at_ms)).collect()
    }

    #[test]
    fn audio_is_heard_from_when_it_arrives_plus_the_buffer() {
        for (prebuffer_ms, from) in [(0, 500), (100, 600)] {
            let mut playback = playback(prebuffer_ms);
            playback.advance(500);
            playback.audio(500, &tone(200));
            playback.advance(2000);
            let timeline = playback.timeline();
            assert_eq!(timeline.len(), 16_000);
            assert!(timeline[..from * 8].iter().all(|s| *s == 0));
            assert!(timeline[from * 8..(from + 200) * 8].iter().all(|s| *s == 1000));
            assert!(timeline[(from + 200) * 8..].iter().all(|s| *s == 0));
        }
    }

    #[test]
    fn marks_come_back_when_all_before_them_has_been_heard() {
        let mut playback = playback(100);
        playback.advance(50);
        playback.audio(50, &tone(100));
        playback.mark("a");
        playback.audio(50, &tone(100));
        playback.mark("b");
        assert_eq!(playback.next_mark_ms(), Some(250));
        assert_eq!(playback.advance(249), []);
        assert_eq!(names(&playback.advance(250)), [("a", 250)]);
        assert_eq!(names(&playback.advance(1000)), [("b", 350)]);
        assert_eq!(playback.next_mark_ms(), None);
        playback.mark("at once");
        assert_eq!(names(&playback.advance(1000)), [("at once", 1000)]);
    }

    #[test]
    fn a_clear_empties_the_queue_under_both_policies() {
        for (policy, back) in [(MarksAfterClear::Echo, vec![("a", 300)]), (MarksAfterClear::Drop, vec![])] {
            let mut playback = playback(0);
            playback.audio(0, &tone(1000));
            playback.mark("a");
            playback.advance(300);
            let (dropped_ms, echoed, affected) = playback.clear(300, policy);
            assert_eq!((dropped_ms, names(&echoed), affected), (700, back, vec!["a".to_owned()]));
            playback.advance(1000);
            assert!(playback.timeline()[300 * 8..].iter().all(|s| *s == 0));
            assert_eq!(playback.queued_ms(), 0);
            // What follows a clear is a new reply, not a gap.
            playback.audio(1000, &tone(100));
            assert_eq!(playback.finish().1, []);
        }
    }

    #[test]
    fn running_dry_inside_a_reply_is_a_gap() {
        let mut playback = playback(100);
        playback.audio(0, &tone(100));
        playback.advance(260);
        playback.audio(260, &tone(100));
        playback.advance(1000);
        let (timeline, gaps, pauses, _) = playback.finish();
        assert_eq!(gaps, [Gap { at_ms: 200, length_ms: 60 }]);
        assert_eq!(pauses, []);
        assert!(timeline[260 * 8..360 * 8].iter().all(|s| *s == 1000), "late audio is played at once");
    }

    #[test]
    fn lateness_within_the_buffer_is_no_gap() {
        let mut playback = playback(100);
        for (sent, late) in [(0, 0), (100, 90), (200, 10), (300, 99)] {
            playback.advance(sent + late);
            playback.audio(sent + late, &tone(100));
        }
        playback.advance(2000);
        let (_, gaps, _, max_ahead_ms) = playback.finish();
        assert_eq!(gaps, []);
        assert_eq!(max_ahead_ms, 190);
    }

    #[test]
    fn silence_between_replies_is_no_gap_and_between_sentences_a_pause() {
        let mut playback = playback(0);
        for (at, marked) in [(0, true), (300, true), (2000, false), (3000, false)] {
            playback.advance(at);
            playback.audio(at, &tone(100));
            if marked {
                playback.mark("m");
            }
        }
        playback.advance(4000);
        let (_, gaps, pauses, _) = playback.finish();
        assert_eq!(pauses, [Gap { at_ms: 100, length_ms: 200 }]);
        // The last one: 900 ms inside a sentence, since this server marks its sentences.
        assert_eq!(gaps, [Gap { at_ms: 2100, length_ms: 900 }]);
    }

    #[test]
    fn a_burst_counts_as_ahead_and_too_much_is_refused() {
        let mut playback = playback(0);
        assert!(playback.audio(0, &tone(5000)));
        assert!(!playback.audio(0, &vec![0; 8 * QUEUE_MS_MAX as usize]));
        assert_eq!(playback.finish().3, 5000);
    }
}
