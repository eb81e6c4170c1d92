//! Frames of a fixed size out of chunks of any size.

/// Longest frame, in samples: one second at 48 kHz. Bounds the carry-over of a [`Reframer`].
pub const FRAME_SAMPLES_MAX: usize = 48_000;

/// Cuts a stream of chunks into frames of one size; what is left waits for the next chunk.
#[derive(Debug, Clone)]
pub struct Reframer {
    frame_samples: usize,
    carry: Vec<i16>,
}

impl Reframer {
    /// Frames of `frame_samples`, held to 1..=[`FRAME_SAMPLES_MAX`].
    pub fn new(frame_samples: usize) -> Self {
        let frame_samples = frame_samples.clamp(1, FRAME_SAMPLES_MAX);
        Self { frame_samples, carry: Vec::with_capacity(frame_samples) }
    }

    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Samples waiting for their frame to fill; always less than a frame.
    pub fn pending(&self) -> usize {
        self.carry.len()
    }

    /// Gives every full frame to `each`, in order. Frames that lie whole within `input` are not copied.
    pub fn push(&mut self, mut input: &[i16], mut each: impl FnMut(&[i16])) {
        if !self.carry.is_empty() {
            let missing = (self.frame_samples - self.carry.len()).min(input.len());
            let (head, rest) = input.split_at(missing);
            self.carry.extend_from_slice(head);
            input = rest;
            if self.carry.len() < self.frame_samples {
                return;
            }
            each(&self.carry);
            self.carry.clear();
        }
        let frames = input.chunks_exact(self.frame_samples);
        self.carry.extend_from_slice(frames.remainder());
        frames.for_each(each);
    }

    /// Gives what is left, filled up with zeros, if anything is left.
    pub fn flush(&mut self, each: impl FnOnce(&[i16])) {
        if !self.carry.is_empty() {
            self.carry.resize(self.frame_samples, 0);
            each(&self.carry);
            self.carry.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(reframer: &mut Reframer, input: &[i16]) -> Vec<Vec<i16>> {
        let mut got = Vec::new();
        reframer.push(input, |f| got.push(f.to_vec()));
        got
    }

    #[test]
    fn frames_come_out_whole_and_in_order() {
        let mut r = Reframer::new(4);
        assert_eq!(frames(&mut r, &[1, 2, 3]), Vec::<Vec<i16>>::new());
        assert_eq!(r.pending(), 3);
        assert_eq!(frames(&mut r, &[4, 5, 6, 7, 8, 9]), [vec![1, 2, 3, 4], vec![5, 6, 7, 8]]);
        assert_eq!(r.pending(), 1);
        assert_eq!(frames(&mut r, &[10, 11, 12]), [vec![9, 10, 11, 12]]);
        assert_eq!(r.pending(), 0);
        assert_eq!(frames(&mut r, &[]), Vec::<Vec<i16>>::new());
    }

    #[test]
    fn flush_pads_once() {
        let mut r = Reframer::new(3);
        assert!(frames(&mut r, &[7]).is_empty());
        let mut got = Vec::new();
        r.flush(|f| got.push(f.to_vec()));
        r.flush(|f| got.push(f.to_vec()));
        assert_eq!(got, [vec![7, 0, 0]]);
    }

    #[test]
    fn silly_sizes_are_held_to_the_limits() {
        assert_eq!(Reframer::new(0).frame_samples(), 1);
        assert_eq!(Reframer::new(usize::MAX).frame_samples(), FRAME_SAMPLES_MAX);
        assert_eq!(frames(&mut Reframer::new(0), &[1, 2]), [vec![1], vec![2]]);
    }
}
