//! What is counted, and nothing dearer than counting. Times are microseconds unless said.

use std::collections::BTreeMap;

/// Refusals, breaks and surprises that are kept in words.
const NOTES_MAX: usize = 5;
/// Values of one kind that are kept; an hour of two thousand callers is less.
const VALUES_MAX: usize = 2_000_000;
/// Width of a bucket of [`Lateness`].
const BUCKET: u64 = 100;
/// Buckets; the last one holds all that is later.
const BUCKETS: usize = 5_000;

/// How late something was that happens too often to keep every time: to 0.1 ms, up to half a second.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    counts: Vec<u64>,
    total: u64,
}

impl Lateness {
    pub(super) fn add(&mut self, late: u64) {
        if self.counts.is_empty() {
            self.counts.resize(BUCKETS, 0);
        }
        self.counts[((late / BUCKET) as usize).min(BUCKETS - 1)] += 1;
        self.total += 1;
    }

    /// This percentile by nearest rank, in milliseconds, rounded up to a tenth; none of nothing.
    #[must_use]
    pub fn percentile_ms(&self, percent: u64) -> Option<f64> {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map(|bucket| (bucket as u64 + 1) as f64 * BUCKET as f64 / 1_000.0)
    }

    fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.counts.iter().enumerate() {
            if self.counts.is_empty() {
                self.counts.resize(BUCKETS, 0);
            }
            self.counts[bucket] += count;
        }
        self.total += other.total;
    }
}

/// What a group of calls was like within the window, and on its way into it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Calls announced.
    pub placed: u64,
    /// Calls whose media began.
    pub begun: u64,
    /// Calls that ended as they should.
    pub ended: u64,
    /// Calls that the server would not take, by the status it said so with.
    pub refused: BTreeMap<u16, u64>,
    /// Calls that broke, or could not be announced.
    pub errors: u64,
    /// The first of those, in words.
    pub notes: Vec<String>,
    /// Seconds of calls within the window.
    pub call_s: f64,
    /// Seconds of calls that are over, in and out of the window.
    pub lived_s: f64,
    /// From the announcement's first byte to the open socket.
    pub setup: Vec<u32>,
    /// The caller's last speech frame sent to the agent's first sound.
    pub answers: Vec<u32>,
    /// What the caller said and nobody answered.
    pub unanswered: u64,
    /// Sound of the agent that answers nothing.
    pub unexpected: u64,
    /// Interruptions.
    pub barge_ins: u64,
    /// The interruption's first frame sent to the agent's clear.
    pub reactions: Vec<u32>,
    /// Interruptions that no clear followed.
    pub missed: u64,
    /// Sound that came after a clear.
    pub stale: u64,
    /// Replies heard.
    pub replies: u64,
    /// Replies whose playback ran dry for longer than 5 ms.
    pub replies_with_gap: u64,
    /// For how long playback ran dry.
    pub gaps: Vec<u32>,
    /// Frames of a reply that came when playback had run dry.
    pub late_frames: u64,
    /// Frames of sound that came.
    pub frames_heard: u64,
    /// Frames of sound sent.
    pub frames_sent: u64,
    /// Frames that the carrier would not have liked: no multiple of its unit.
    pub odd_frames: u64,
    /// How late the frames were sent.
    pub late: Lateness,
}

impl Figures {
    pub(super) fn keep(values: &mut Vec<u32>, micros: u64) {
        if values.len() < VALUES_MAX {
            values.push(u32::try_from(micros).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn error(&mut self, why: impl Into<String>) {
        self.errors += 1;
        if self.notes.len() < NOTES_MAX {
            self.notes.push(why.into());
        }
    }

    /// Calls refused, whatever the status.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Takes the figures of another group.
    pub fn add(&mut self, other: &Self) {
        self.placed += other.placed;
        self.begun += other.begun;
        self.ended += other.ended;
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.errors += other.errors;
        let room = NOTES_MAX.saturating_sub(self.notes.len());
        self.notes.extend(other.notes.iter().take(room).cloned());
        self.call_s += other.call_s;
        self.lived_s += other.lived_s;
        self.setup.extend(&other.setup);
        self.answers.extend(&other.answers);
        self.unanswered += other.unanswered;
        self.unexpected += other.unexpected;
        self.barge_ins += other.barge_ins;
        self.reactions.extend(&other.reactions);
        self.missed += other.missed;
        self.stale += other.stale;
        self.replies += other.replies;
        self.replies_with_gap += other.replies_with_gap;
        self.gaps.extend(&other.gaps);
        self.late_frames += other.late_frames;
        self.frames_heard += other.frames_heard;
        self.frames_sent += other.frames_sent;
        self.odd_frames += other.odd_frames;
        self.late.merge(&other.late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_has_percentiles() {
        let mut late = Lateness::default();
        assert_eq!(late.percentile_ms(99), None);
        for n in 0..100 {
            late.add(n * 100);
        }
        assert_eq!(late.percentile_ms(50), Some(5.0));
        assert_eq!(late.percentile_ms(99), Some(9.9));
        late.add(10_000_000);
        let mut both = Lateness::default();
        both.merge(&late);
        assert_eq!(both.percentile_ms(100), Some(500.0));
        assert_eq!(both.total, 101);
    }

    #[test]
    fn only_the_first_errors_are_kept_in_words() {
        let mut figures = Figures::default();
        for n in 0..20 {
            figures.error(n.to_string());
        }
        *figures.refused.entry(503).or_default() += 2;
        let mut all = Figures::default();
        all.add(&figures);
        all.add(&figures);
        assert_eq!((all.errors, all.notes.len(), all.refusals()), (40, NOTES_MAX, 4));
    }
}
