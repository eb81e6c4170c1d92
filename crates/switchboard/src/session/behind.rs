//! Sound behind the agent: mixed under what it says, and sent by itself between sentences. What is sent by itself never
//! stands before speech: it is taken back from the carrier when there is something to say.

use audio::ambience::{Ambience, Sound};
use model::AmbienceSound;

/// A frame of nothing but this sound goes out when less than this is left to play: enough for a late wake-up.
const LEAD_MS: u64 = 60;

/// See the module.
#[derive(Default)]
pub(super) struct Behind {
    sound: Option<Ambience>,
    /// Until when frames of nothing else play.
    plays_until_ms: u64,
    /// Until when speech plays.
    speech_until_ms: u64,
    /// Frames that came too late to follow the one before.
    skipped: u64,
}

impl Behind {
    /// From now on there is a sound.
    pub(super) fn begin(&mut self, sound: Ambience) {
        self.sound = Some(sound);
    }

    /// Adds it to what is said.
    pub(super) fn mix(&mut self, frame: &mut [i16]) {
        if let Some(sound) = &mut self.sound {
            sound.mix(frame);
        }
    }

    /// When the next frame of nothing else is due, if nothing is said.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.sound.as_ref().map(|_| self.end_ms().saturating_sub(LEAD_MS))
    }

    /// Such a frame, if one is due; gives when it plays.
    pub(super) fn frame(&mut self, now_ms: u64, samples: usize, rate: u32, frame: &mut Vec<i16>) -> Option<u64> {
        if self.due_ms()? > now_ms || samples == 0 {
            return None;
        }
        if self.end_ms() > 0 && self.end_ms() < now_ms {
            self.skipped += 1;
        }
        let plays_at_ms = self.end_ms().max(now_ms);
        self.plays_until_ms = plays_at_ms + samples as u64 * 1_000 / u64::from(rate);
        self.sound.as_mut()?.frame(samples, frame);
        Some(plays_at_ms)
    }

    /// Something of it is still to be played, and would stand before speech.
    pub(super) const fn is_ahead(&self, now_ms: u64) -> bool {
        self.plays_until_ms > now_ms
    }

    /// The carrier has been told to forget what it has.
    pub(super) const fn clear(&mut self, now_ms: u64) {
        self.plays_until_ms = 0;
        self.speech_until_ms = now_ms;
    }

    /// Speech plays until then.
    pub(super) const fn speech_until(&mut self, at_ms: u64) {
        self.speech_until_ms = at_ms;
    }

    fn end_ms(&self) -> u64 {
        self.plays_until_ms.max(self.speech_until_ms)
    }

    /// How often it stopped for a moment because we were late.
    pub(super) const fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// As the agent names it.
pub(super) const fn sound(chosen: AmbienceSound) -> Sound {
    match chosen {
        AmbienceSound::Office => Sound::Office,
        AmbienceSound::Line => Sound::Line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind() -> Behind {
        let mut behind = Behind::default();
        behind.begin(Ambience::new(Sound::Line, 40, 8_000, 1));
        behind
    }

    #[test]
    fn without_a_sound_nothing_is_ever_due() {
        let (mut behind, mut frame) = (Behind::default(), vec![7; 4]);
        assert_eq!((behind.due_ms(), behind.frame(0, 800, 8_000, &mut frame)), (None, None));
        behind.mix(&mut frame);
        assert_eq!(frame, [7; 4]);
    }

    #[test]
    fn frames_follow_each_other_a_little_ahead() {
        let (mut behind, mut frame) = (behind(), Vec::new());
        assert_eq!(behind.frame(10, 800, 8_000, &mut frame), Some(10));
        assert_eq!(frame.len(), 800);
        assert_eq!(behind.frame(20, 800, 8_000, &mut frame), None, "enough is there");
        assert_eq!(behind.due_ms(), Some(110 - LEAD_MS));
        assert_eq!(behind.frame(55, 800, 8_000, &mut frame), Some(110));
        assert_eq!(behind.skipped(), 0);
        assert_eq!(behind.frame(400, 800, 8_000, &mut frame), Some(400), "late: it goes on from now");
        assert_eq!(behind.skipped(), 1);
    }

    #[test]
    fn it_gives_way_to_speech() {
        let (mut behind, mut frame) = (behind(), Vec::new());
        behind.frame(10, 800, 8_000, &mut frame);
        assert!(behind.is_ahead(60) && !behind.is_ahead(110));
        behind.clear(60);
        assert!(!behind.is_ahead(60), "taken back");
        behind.speech_until(2_000);
        assert!(!behind.is_ahead(1_000), "speech is not in its own way");
        assert_eq!(behind.due_ms(), Some(2_000 - LEAD_MS), "it follows what is said");
    }
}
