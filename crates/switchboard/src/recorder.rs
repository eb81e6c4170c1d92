//! The recording of a call while it runs: both sides on one clock, appended to a spool file at most a second behind.
//!
//! The file is a valid WAV after every write: the header is patched each time. After `kill -9` it holds everything up
//! to the last write, and the job that stores it repairs the header from the file's length.

use audio::record::TwoChannel;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// Audio is written when it is this old: by then the carrier has sent us the caller's side of it, and what the caller
/// has heard of ours is settled.
const SETTLE_MS: u64 = 400;
/// Audio is written this often.
const FLUSH_MS: u64 = 1_000;
/// Pieces waiting for the disk, a second each. Beyond it the piece is lost, counted, and the call goes on.
const QUEUE: usize = 8;
/// Two channels: caller left, agent right.
pub(crate) const CHANNELS: u16 = 2;

/// Records one call.
pub(crate) struct Recorder {
    sides: TwoChannel,
    rate: u32,
    pieces: mpsc::Sender<Vec<i16>>,
    done: oneshot::Receiver<std::io::Result<()>>,
    drained_samples: u64,
    next_flush_ms: u64,
    lost: u64,
}

impl Recorder {
    /// Begins a recording in `path`.
    pub(crate) async fn begin(path: &Path, rate: u32) -> std::io::Result<Self> {
        let mut file = File::create(path).await?;
        file.write_all(&audio::wav::header(rate, CHANNELS, 0)).await?;
        file.flush().await?;
        let (pieces, receiver) = mpsc::channel(QUEUE);
        let (finished, done) = oneshot::channel();
        tokio::spawn(async move {
            // The receiver is gone only when the call is; nobody is left to tell.
            let _ = finished.send(write(file, rate, receiver).await);
        });
        let sides = TwoChannel::new(rate);
        Ok(Self { sides, rate, pieces, done, drained_samples: 0, next_flush_ms: FLUSH_MS, lost: 0 })
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

    /// When [`Self::flush`] wants to be called.
    pub(crate) const fn due_ms(&self) -> u64 {
        self.next_flush_ms
    }

    /// Hands what is settled to the disk.
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
        let mut piece = Vec::with_capacity(usize::try_from((upto - self.drained_samples) * 2).unwrap_or(0));
        while self.sides.drain(upto, &mut piece) > 0 {}
        self.drained_samples = upto;
        if self.pieces.try_send(piece).is_err() {
            self.lost += 1;
        }
    }

    /// Writes the rest and closes the file.
    pub(crate) async fn finish(mut self, end_ms: u64) -> std::io::Result<()> {
        self.drain(end_ms);
        if self.lost > 0 {
            tracing::warn!(pieces = self.lost, "the disk was too slow: seconds of a recording are missing");
        }
        drop(self.pieces);
        self.done.await.unwrap_or_else(|_| Err(std::io::Error::other("the recording task is gone")))
    }

    const fn sample(&self, ms: u64) -> u64 {
        ms * self.rate as u64 / 1_000
    }
}

async fn write(mut file: File, rate: u32, mut pieces: mpsc::Receiver<Vec<i16>>) -> std::io::Result<()> {
    let mut data_bytes: u64 = 0;
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.recv().await {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|sample| sample.to_le_bytes()));
        file.write_all(&bytes).await?;
        data_bytes += bytes.len() as u64;
        patch_header(&mut file, rate, data_bytes).await?;
    }
    file.sync_all().await
}

async fn patch_header(file: &mut File, rate: u32, data_bytes: u64) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0)).await?;
    file.write_all(&audio::wav::header(rate, CHANNELS, data_bytes)).await?;
    file.seek(SeekFrom::End(0)).await?;
    file.flush().await
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
        // The disk is written by a task of its own; it is waited for, not slept for.
        for _ in 0..10_000 {
            let bytes = tokio::fs::read(path).await.expect("the file is there");
            if let Ok(wav) = audio::wav::read(&bytes)
                && wav.samples.len() >= at_least_frames * 2
            {
                return wav;
            }
            tokio::task::yield_now().await;
        }
        panic!("nothing was written");
    }

    #[tokio::test]
    async fn the_file_is_playable_at_every_moment() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("call.wav");
        let mut recorder = Recorder::begin(&path, RATE).await.expect("a file");
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
        let mut recorder = Recorder::begin(&path, RATE).await.expect("a file");
        recorder.agent(0, &[7; 8_000]);
        recorder.cut_agent(250);
        recorder.finish(1_000).await.expect("closed");
        let wav = written(&path, 8_000).await;
        let heard = wav.samples.iter().skip(1).step_by(2).filter(|sample| **sample == 7).count();
        assert_eq!(heard, 2_000, "a quarter of a second");
    }
}
