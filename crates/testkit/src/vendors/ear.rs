//! Hears where speech begins and ends by loudness alone. Enough for a fake: its callers speak in clean pieces.

/// Length of a window, in milliseconds.
const WINDOW_MS: u64 = 10;
/// Mean of the samples' size above which a window is loud.
const LOUD: u64 = 200;
/// So much loudness is speech, in milliseconds.
const SPEECH_MS: u64 = 50;
/// So much silence forgets loudness that was too short for speech, in milliseconds.
const FORGET_MS: u64 = 100;

/// What was heard; times in milliseconds of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The caller goes on speaking: time for an interim result.
    More { from_ms: u64, to_ms: u64 },
    /// The caller stopped.
    Ended { from_ms: u64, to_ms: u64 },
}

#[derive(Debug)]
pub(super) struct Ear {
    window: usize,
    /// Silence that ends speech; `None` = nothing ends it.
    end_ms: Option<u64>,
    interim_ms: u64,
    /// Audio heard.
    pub(super) at_ms: u64,
    count: usize,
    sum: u64,
    loud_ms: u64,
    quiet_ms: u64,
    next_interim_ms: u64,
    began_ms: Option<u64>,
}

impl Ear {
    pub(super) fn new(sample_rate_hz: usize, end_ms: Option<u64>, interim_ms: u64) -> Self {
        Self {
            window: sample_rate_hz * WINDOW_MS as usize / 1_000,
            end_ms,
            interim_ms,
            at_ms: 0,
            count: 0,
            sum: 0,
            loud_ms: 0,
            quiet_ms: 0,
            next_interim_ms: interim_ms,
            began_ms: None,
        }
    }

    pub(super) fn hear(&mut self, pcm: &[u8], out: &mut Vec<Heard>) {
        for pair in pcm.as_chunks::<2>().0 {
            self.sum += u64::from(i16::from_le_bytes(*pair).unsigned_abs());
            self.count += 1;
            if self.count == self.window {
                let loud = self.sum > LOUD * self.window as u64;
                (self.sum, self.count) = (0, 0);
                self.at_ms += WINDOW_MS;
                if loud { self.loud(out) } else { self.quiet(out) }
            }
        }
    }

    /// Has speech begun that has not ended?
    pub(super) const fn is_speaking(&self) -> bool {
        self.began_ms.is_some()
    }

    /// Ends what is being said, as a request does.
    pub(super) fn end(&mut self) -> Option<Heard> {
        let from_ms = self.began_ms.take()?;
        self.loud_ms = 0;
        Some(Heard::Ended { from_ms, to_ms: self.at_ms })
    }

    fn loud(&mut self, out: &mut Vec<Heard>) {
        self.quiet_ms = 0;
        self.loud_ms += WINDOW_MS;
        if self.began_ms.is_none() && self.loud_ms >= SPEECH_MS {
            self.began_ms = Some(self.at_ms - SPEECH_MS);
            self.next_interim_ms = self.interim_ms;
        }
        if let Some(from_ms) = self.began_ms
            && self.loud_ms >= self.next_interim_ms
        {
            self.next_interim_ms += self.interim_ms;
            out.push(Heard::More { from_ms, to_ms: self.at_ms });
        }
    }

    fn quiet(&mut self, out: &mut Vec<Heard>) {
        self.quiet_ms += WINDOW_MS;
        if self.began_ms.is_none() {
            if self.quiet_ms >= FORGET_MS {
                self.loud_ms = 0;
            }
        } else if self.end_ms.is_some_and(|end| self.quiet_ms >= end) {
            out.extend(self.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(level: i16, ms: usize) -> Vec<u8> {
        std::iter::repeat_n(level, 8 * ms).flat_map(i16::to_le_bytes).collect()
    }

    fn heard(ear: &mut Ear, pieces: &[Vec<u8>]) -> Vec<Heard> {
        let mut out = Vec::new();
        for piece in pieces {
            ear.hear(piece, &mut out);
        }
        out
    }

    #[test]
    fn speech_begins_goes_on_and_ends() {
        let mut ear = Ear::new(8_000, Some(100), 300);
        let pieces = [sound(0, 200), sound(1_000, 400), sound(0, 90)];
        assert_eq!(heard(&mut ear, &pieces), [Heard::More { from_ms: 200, to_ms: 500 }]);
        assert_eq!(heard(&mut ear, &[sound(0, 10)]), [Heard::Ended { from_ms: 200, to_ms: 700 }]);
        assert_eq!(heard(&mut ear, &[sound(0, 1_000)]), []);
        assert_eq!(ear.end(), None);
    }

    #[test]
    fn clicks_and_hiss_are_no_speech() {
        let mut ear = Ear::new(8_000, Some(100), 300);
        let pieces = [sound(1_000, 40), sound(0, 100), sound(1_000, 40), sound(0, 100), sound(150, 2_000)];
        assert_eq!(heard(&mut ear, &pieces), []);
    }

    #[test]
    fn without_endpointing_only_a_request_ends_it() {
        let mut ear = Ear::new(8_000, None, 10_000);
        assert_eq!(heard(&mut ear, &[sound(1_000, 100), sound(0, 5_000)]), []);
        assert_eq!(ear.end(), Some(Heard::Ended { from_ms: 0, to_ms: 5_100 }));
    }

    #[test]
    fn pieces_of_any_size_sound_the_same() {
        let whole: Vec<u8> = [sound(0, 35), sound(1_000, 77), sound(0, 300)].concat();
        let want = heard(&mut Ear::new(8_000, Some(100), 30), std::slice::from_ref(&whole));
        for size in [2, 14, 160, 1_000] {
            let pieces: Vec<_> = whole.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(heard(&mut Ear::new(8_000, Some(100), 30), &pieces), want, "{size}");
        }
    }
}
