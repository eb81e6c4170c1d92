//! The recording: both sides of a call on one clock, caller left, agent right.
//!
//! The clock is a count of samples since the call began. Agent audio arrives ahead of its playout and is cut on a
//! barge-in; so a stretch must only be drained when nothing more can change in it.

/// Most audio held of one side, in seconds after the last drained sample. The pacer's lead is under 5 s; the rest is a
/// disk that stalls.
pub const BUFFER_S_MAX: u64 = 30;
/// How much later than asked audio may be placed because its side is still busy. Packets of a phone line bunch up by
/// some 100 ms; more would make the two sides talk past each other.
pub const SLIP_MS_MAX: u64 = 250;
/// Most that one [`TwoChannel::drain`] gives, in seconds.
pub const DRAIN_S_MAX: u64 = 60;

/// One moment of both sides.
const PAIR_BYTES: usize = 4;

/// Collects both sides; give it audio, drain interleaved stereo.
#[derive(Debug, Clone)]
pub struct TwoChannel {
    sample_rate_hz: u64,
    drained: u64,
    caller: Vec<i16>,
    agent: Vec<i16>,
    dropped_samples: u64,
}

impl TwoChannel {
    /// At the call's rate, in Hz.
    pub fn new(sample_rate_hz: u32) -> Self {
        Self {
            sample_rate_hz: u64::from(sample_rate_hz.max(1)),
            drained: 0,
            caller: Vec::new(),
            agent: Vec::new(),
            dropped_samples: 0,
        }
    }

    /// The caller's audio, its first sample being at `at_sample`.
    pub fn push_caller(&mut self, at_sample: u64, pcm: &[i16]) {
        self.dropped_samples += place(&mut self.caller, self.drained, self.sample_rate_hz, at_sample, pcm);
    }

    /// The agent's audio; `at_sample` may lie ahead.
    pub fn push_agent(&mut self, at_sample: u64, pcm: &[i16]) {
        self.dropped_samples += place(&mut self.agent, self.drained, self.sample_rate_hz, at_sample, pcm);
    }

    /// Barge-in: the agent's audio from here on was never played.
    pub fn cut_agent(&mut self, from_sample: u64) {
        let keep = usize::try_from(from_sample.saturating_sub(self.drained)).unwrap_or(usize::MAX);
        self.agent.truncate(keep);
    }

    /// Appends left-right pairs up to `upto_sample` (exclusive) as 16 bit little-endian, silence where nothing was pushed.
    /// At most [`DRAIN_S_MAX`] a call: returns how many pairs, call again until 0.
    pub fn drain(&mut self, upto_sample: u64, out: &mut Vec<u8>) -> usize {
        let pairs = upto_sample.saturating_sub(self.drained).min(DRAIN_S_MAX * self.sample_rate_hz);
        let pairs = usize::try_from(pairs).unwrap_or(0);
        let start = out.len();
        out.resize(start + pairs * PAIR_BYTES, 0);
        for (side, offset) in [(&mut self.caller, 0), (&mut self.agent, 2)] {
            let there = pairs.min(side.len());
            for (pair, sample) in out[start..].chunks_exact_mut(PAIR_BYTES).zip(&side[..there]) {
                pair[offset..offset + 2].copy_from_slice(&sample.to_le_bytes());
            }
            side.drain(..there);
        }
        self.drained += pairs as u64;
        pairs
    }

    /// Position up to which everything has been drained.
    pub fn drained_samples(&self) -> u64 {
        self.drained
    }

    /// Position after the last sample that either side has.
    pub fn end_sample(&self) -> u64 {
        self.drained + self.caller.len().max(self.agent.len()) as u64
    }

    /// Samples lost to [`SLIP_MS_MAX`] and [`BUFFER_S_MAX`], both sides together.
    pub fn dropped_samples(&self) -> u64 {
        self.dropped_samples
    }
}

/// Appends `pcm` to one side at its place or, where the side is still busy, right after; returns the samples dropped.
fn place(side: &mut Vec<i16>, drained: u64, rate: u64, at_sample: u64, pcm: &[i16]) -> u64 {
    let end = drained + side.len() as u64;
    let slip_max = SLIP_MS_MAX * rate / 1_000;
    let limit = BUFFER_S_MAX * rate;
    // What is too late by more than the limit goes; the rest joins on at the limit.
    let late = end.saturating_sub(at_sample).saturating_sub(slip_max);
    let late = usize::try_from(late).unwrap_or(usize::MAX).min(pcm.len());
    let kept = &pcm[late..];
    let gap = at_sample.saturating_sub(end);
    let room = limit.saturating_sub(side.len() as u64);
    if kept.is_empty() || gap >= room {
        return pcm.len() as u64;
    }
    let fits = usize::try_from(room - gap).unwrap_or(usize::MAX).min(kept.len());
    side.resize(side.len() + gap as usize, 0);
    side.extend_from_slice(&kept[..fits]);
    (pcm.len() - fits) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(r: &mut TwoChannel, upto: u64) -> Vec<i16> {
        let mut out = Vec::new();
        while r.drain(upto, &mut out) > 0 {}
        out.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect()
    }

    #[test]
    fn sides_meet_on_one_clock() {
        let mut r = TwoChannel::new(8_000);
        r.push_caller(1, &[1, 2]);
        r.push_agent(2, &[-5, -6]);
        assert_eq!(r.end_sample(), 4);
        assert_eq!(drained(&mut r, 5), [0, 0, 1, 0, 2, -5, 0, -6, 0, 0]);
        assert_eq!(r.drained_samples(), 5);
        assert_eq!(drained(&mut r, 5), Vec::<i16>::new());
        assert_eq!(drained(&mut r, 3), Vec::<i16>::new());
    }

    #[test]
    fn overlap_slips_and_never_overwrites() {
        let mut r = TwoChannel::new(8_000);
        r.push_caller(0, &[1; 4]);
        r.push_caller(2, &[2; 4]);
        r.push_caller(20, &[3; 1]);
        let left: Vec<i16> = drained(&mut r, 21).into_iter().step_by(2).collect();
        assert_eq!(left[..9], [1, 1, 1, 1, 2, 2, 2, 2, 0]);
        assert_eq!((left[19], left[20]), (0, 3));
        assert_eq!(r.dropped_samples(), 0);
    }

    #[test]
    fn slip_is_limited() {
        let mut r = TwoChannel::new(8_000);
        r.push_caller(0, &[1; 2_100]);
        // 2100 late, 2000 allowed: the first 100 go.
        let late: Vec<i16> = (0..150).collect();
        r.push_caller(0, &late);
        assert_eq!(r.dropped_samples(), 100);
        assert_eq!(r.end_sample(), 2_150);
        let left: Vec<i16> = drained(&mut r, 2_150).into_iter().step_by(2).collect();
        assert_eq!((left[2_099], left[2_100]), (1, 100));
        // And what is altogether too late goes altogether.
        r.push_agent(0, &[9; 10]);
        assert_eq!(r.dropped_samples(), 110);
        assert_eq!(r.end_sample(), 2_150);
    }

    #[test]
    fn what_comes_for_a_drained_stretch_slips_to_the_next() {
        let mut r = TwoChannel::new(8_000);
        assert_eq!(drained(&mut r, 100).len(), 200);
        r.push_caller(90, &[7; 3]);
        assert_eq!(drained(&mut r, 104), [7, 0, 7, 0, 7, 0, 0, 0]);
    }

    #[test]
    fn a_barge_in_cuts_the_unplayed() {
        let mut r = TwoChannel::new(8_000);
        r.push_agent(0, &[4; 10]);
        r.cut_agent(6);
        r.cut_agent(8);
        r.push_agent(8, &[5; 2]);
        let right: Vec<i16> = drained(&mut r, 10).into_iter().skip(1).step_by(2).collect();
        assert_eq!(right, [4, 4, 4, 4, 4, 4, 0, 0, 5, 5]);
        r.push_agent(10, &[6; 5]);
        r.cut_agent(0);
        assert_eq!(drained(&mut r, 12), [0; 4]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut r = TwoChannel::new(8_000);
        let limit = BUFFER_S_MAX * 8_000;
        r.push_agent(u64::MAX, &[1; 10]);
        r.push_agent(limit, &[1; 10]);
        assert_eq!((r.dropped_samples(), r.end_sample()), (20, 0));
        r.push_agent(limit - 4, &[1; 10]);
        assert_eq!((r.dropped_samples(), r.end_sample()), (26, limit));
        for i in 0..300 {
            r.push_caller(i * 8_000, &[2; 8_000]);
        }
        assert_eq!(r.end_sample(), limit);
    }

    #[test]
    fn one_drain_is_bounded() {
        let mut r = TwoChannel::new(8_000);
        let mut out = Vec::new();
        assert_eq!(r.drain(u64::MAX, &mut out) as u64, DRAIN_S_MAX * 8_000);
        assert_eq!(out.len() as u64, DRAIN_S_MAX * 8_000 * 4);
    }
}
