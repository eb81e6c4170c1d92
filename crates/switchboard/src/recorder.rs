//! The recording of a call while it runs: both sides on one clock, given to the spool at most a second behind.
//!
//! The file is a valid WAV after every write. After `kill -9` it holds everything up to the last write, and the job that
//! stores it repairs the header from the file's length.

use crate::spool::{Spool, Spooled};
use audio::record::TwoChannel;
use std::path::{Path, PathBuf};

/// Audio is written when it is this old: by then the carrier has sent us the caller's side of it, and what the caller
/// has heard of ours is settled.
const SETTLE_MS: u64 = 400;
/// Audio is written this often.
const FLUSH_MS: u64 = 1_000;
/// Two channels: caller left, agent right.
pub(crate) const CHANNELS: u16 = 2;
/// Both channels of a moment, 16 bit each.
const PAIR_BYTES: u64 = 4;

/// Records one call.
pub(crate) struct Recorder {
    sides: TwoChannel,
    rate: u32,
    file: Spooled,
    drained_samples: u64,
    next_flush_ms: u64,
    lost: u64,
}

impl Recorder {
    /// Begins a recording in `path`.
    pub(crate) async fn begin(spool: &Spool, path: &Path, rate: u32) -> std::io::Result<Self> {
        let file = spool.begin(path, rate, CHANNELS).await?;
        let sides = TwoChannel::new(rate);
        Ok(Self { sides, rate, file, drained_samples: 0, next_flush_ms: FLUSH_MS, lost: 0 })
    }

    pub(crate) fn caller(&mut self, at_sample: u64, pcm: &[i16]) {
        self.sides.push_caller(at_sample, pcm);
    }

    /// The agent's audio, at the moment it will be played to the caller.
    pub(crate) fn agent(&mut self, at_ms: u64, pcm: &[i16]) {
        self.sides.push_agent(self.sample(at_ms), pcm);
    }

    /// What would have been played from here on will not be.
    pub(crate) fn cut_agent(&mut self, at_ms: u64) {
        self.sides.cut_agent(self.sample(at_ms));
    }

    /// Hands what is settled to the disk, once a second. To be called with every frame of the caller's: there is nothing
    /// to write while none comes.
    pub(crate) fn flush(&mut self, now_ms: u64) {
        if now_ms < self.next_flush_ms {
            return;
        }
        self.next_flush_ms = now_ms + FLUSH_MS;
        self.drain(now_ms.saturating_sub(SETTLE_MS));
    }

    fn drain(&mut self, upto_ms: u64) {
        let upto = self.sample(upto_ms);
        if upto <= self.drained_samples {
            return;
        }
        let mut piece = Vec::new();
        while self.sides.drain(upto, &mut piece) > 0 {}
        let at = self.drained_samples * PAIR_BYTES;
        self.drained_samples = upto;
        if self.file.write(at, piece).is_err() {
            self.lost += 1;
        }
    }

    /// Writes the rest and closes the file.
    pub(crate) async fn finish(mut self, end_ms: u64) -> std::io::Result<()> {
        self.drain(end_ms);
        if self.lost > 0 {
            tracing::warn!(pieces = self.lost, "the disk was too slow: seconds of a recording are silent");
        }
        self.file.finish().await
    }

    const fn sample(&self, ms: u64) -> u64 {
        ms * self.rate as u64 / 1_000
    }
}

/// Where the recording of a call is spooled.
pub(crate) fn spool_path(dir: &Path, call: model::CallId) -> PathBuf {
    dir.join(format!("{call}.wav"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8_000;

    async fn written(path: &Path, at_least_frames: usize) -> audio::wav::Wav {
        // The disk is written by a task of its own, which gathers for a moment.
        let waiting = async {
            loop {
                let bytes = tokio::fs::read(path).await.expect("the file is there");
                if let Ok(wav) = audio::wav::read(&bytes)
                    && wav.samples.len() >= at_least_frames * 2
                {
                    return wav;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await.expect("written")
    }

    #[tokio::test]
    async fn the_file_is_playable_at_every_moment() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("call.wav");
        let mut recorder = Recorder::begin(&Spool::new(1), &path, RATE).await.expect("a file");
        for second in 0..3u64 {
            recorder.caller(second * 8_000, &[100; 8_000]);
            recorder.agent(second * 1_000 + 500, &[-200; 4_000]);
            recorder.flush((second + 1) * 1_000);
        }
        // Three seconds have passed; all but what may still change is on the disk, before the end.
        let wav = written(&path, 8 * (3_000 - usize::try_from(SETTLE_MS).expect("small"))).await;
        assert_eq!((wav.channels, wav.rate), (2, RATE));
        assert_eq!(&wav.samples[..2], &[100, 0], "the caller is left, the agent silent at first");
        assert_eq!(&wav.samples[2 * 4_000..2 * 4_000 + 2], &[100, -200], "the agent is right, where it was played");
        recorder.finish(3_000).await.expect("closed");
        assert_eq!(written(&path, 24_000).await.samples.len(), 48_000);
    }

    #[tokio::test]
    async fn what_was_not_played_is_not_recorded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("call.wav");
        let mut recorder = Recorder::begin(&Spool::new(1), &path, RATE).await.expect("a file");
        recorder.agent(0, &[7; 8_000]);
        recorder.cut_agent(250);
        recorder.finish(1_000).await.expect("closed");
        let wav = written(&path, 8_000).await;
        let heard = wav.samples.iter().skip(1).step_by(2).filter(|sample| **sample == 7).count();
        assert_eq!(heard, 2_000, "a quarter of a second");
    }
}
