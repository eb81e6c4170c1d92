//! The disk side of recordings: one task a node gathers what all calls have recorded, and writes it in few visits to
//! the disk. A call only hands over a piece a second and never waits.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Pieces are gathered for so long: a thousand calls make twenty visits to the disk a second, not thousands.
const GATHER: Duration = Duration::from_millis(50);
/// Pieces of one call that wait for the disk, a second each. Beyond it the piece is lost, counted, and the call goes on.
const PIECES_PER_CALL: usize = 8;
/// Pieces written in one visit: 8 MB at 8 kHz. A visit must not hold up what came after it for long.
const VISIT_MAX: usize = 256;

/// Where calls hand in what they recorded. Cheap to clone; its task ends when the last one is dropped.
#[derive(Clone)]
pub(crate) struct Spool(mpsc::Sender<Job>);

enum Job {
    Piece { file: Arc<SpoolFile>, at: u64, bytes: Vec<u8> },
    End { file: Arc<SpoolFile>, done: oneshot::Sender<std::io::Result<()>> },
}

/// The file of one recording.
struct SpoolFile {
    file: std::fs::File,
    rate: u32,
    channels: u16,
    waiting: AtomicUsize,
    /// Why it could not be written; nothing is written to it from then on.
    failed: Mutex<Option<std::io::Error>>,
}

/// One recording being written. Dropping it leaves the file as it is.
pub(crate) struct Spooled {
    jobs: mpsc::Sender<Job>,
    file: Arc<SpoolFile>,
}

/// The disk has too much to do: the piece was not taken.
#[derive(Debug)]
pub(crate) struct Behind;

impl Spool {
    /// For a node with so many calls at most; starts the task.
    pub(crate) fn new(calls_max: usize) -> Self {
        // One more for the end of each.
        let (jobs, receiver) = mpsc::channel(calls_max.max(1) * (PIECES_PER_CALL + 1));
        tokio::spawn(serve(receiver));
        Self(jobs)
    }

    /// Begins a file: a valid WAV without any sound yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) async fn begin(&self, path: &Path, rate: u32, channels: u16) -> std::io::Result<Spooled> {
        let path = path.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::create(path)?;
            file.write_all(&audio::wav::header(rate, channels, 0))?;
            Ok::<_, std::io::Error>(file)
        });
        let file = made.await.map_err(std::io::Error::other)??;
        let (waiting, failed) = (AtomicUsize::new(0), Mutex::new(None));
        Ok(Spooled { jobs: self.0.clone(), file: Arc::new(SpoolFile { file, rate, channels, waiting, failed }) })
    }
}

impl Spooled {
    /// Samples as bytes, `at` bytes after the first sample. A stretch that is never written is silence.
    pub(crate) fn write(&self, at: u64, bytes: Vec<u8>) -> Result<(), Behind> {
        if self.file.waiting.fetch_add(1, Ordering::Relaxed) >= PIECES_PER_CALL {
            self.file.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Behind);
        }
        self.jobs.try_send(Job::Piece { file: Arc::clone(&self.file), at, bytes }).map_err(|_| Behind)
    }

    /// After the last piece: returns when all of it is on the disk.
    ///
    /// # Errors
    /// The first thing that went wrong with this file.
    pub(crate) async fn finish(self) -> std::io::Result<()> {
        let (done, written) = oneshot::channel();
        let gone = || std::io::Error::other("the spool is gone");
        self.jobs.send(Job::End { file: self.file, done }).await.map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }
}

async fn serve(mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(VISIT_MAX);
    while jobs.recv_many(&mut batch, VISIT_MAX).await > 0 {
        if batch.len() < VISIT_MAX {
            sleep(GATHER).await;
            while batch.len() < VISIT_MAX
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
        }
        let visit = tokio::task::spawn_blocking(move || {
            for job in batch.drain(..) {
                perform(job);
            }
            batch
        });
        // A visit does not panic; if it did, its pieces would be missing and the next ones be written all the same.
        batch = visit.await.unwrap_or_default();
    }
}

fn perform(job: Job) {
    match job {
        Job::Piece { file, at, bytes } => {
            file.write(at, &bytes);
            file.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        // To be sure that it is on the disk takes long, and is not to hold up the calls that go on.
        Job::End { file, done } => drop(tokio::task::spawn_blocking(move || {
            // The call is gone: nobody asks any more.
            let _ = done.send(file.close());
        })),
    }
}

impl SpoolFile {
    fn write(&self, at: u64, bytes: &[u8]) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = self.append(at, bytes).err();
        }
    }

    /// The header is patched each time: the file can be played at every moment.
    fn append(&self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = &self.file;
        let header = audio::wav::header(self.rate, self.channels, at + bytes.len() as u64);
        file.seek(SeekFrom::Start(header.len() as u64 + at))?;
        file.write_all(bytes)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)
    }

    fn close(&self) -> std::io::Result<()> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => self.file.sync_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> audio::wav::Wav {
        audio::wav::read(&std::fs::read(path).expect("the file is there")).expect("a WAV")
    }

    #[tokio::test]
    async fn pieces_of_many_calls_end_up_in_their_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::new(20);
        let mut files = Vec::new();
        for call in 0..20u8 {
            let path = folder.path().join(format!("{call}.wav"));
            files.push((call, path.clone(), spool.begin(&path, 8_000, 2).await.expect("a file")));
        }
        for at in 0..4 {
            for (call, _, file) in &files {
                file.write(at * 8, vec![*call; 8]).expect("room");
            }
        }
        for (call, path, file) in files {
            file.finish().await.expect("closed");
            let want = i16::from_le_bytes([call, call]);
            assert_eq!(read(&path).samples, vec![want; 16]);
        }
    }

    #[tokio::test]
    async fn what_is_lost_is_silence_and_what_follows_stays_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("call.wav");
        let file = Spool::new(1).begin(&path, 8_000, 2).await.expect("a file");
        file.write(0, vec![1; 4]).expect("room");
        file.write(8, vec![2; 4]).expect("room");
        file.finish().await.expect("closed");
        assert_eq!(read(&path).samples, [257, 257, 0, 0, 514, 514]);
    }

    #[tokio::test]
    async fn a_disk_that_does_not_keep_up_costs_pieces_not_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = Spool::new(1).begin(&folder.path().join("call.wav"), 8_000, 2).await.expect("a file");
        // The task has no turn before the first wait: all of them are in the queue.
        let taken = (0..PIECES_PER_CALL as u64 + 3).filter(|n| file.write(n * 4, vec![0; 4]).is_ok()).count();
        assert_eq!(taken, PIECES_PER_CALL);
        file.finish().await.expect("closed");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_says_so_at_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("call.wav");
        std::fs::write(&path, b"").expect("a file");
        let spool = Spool::new(1);
        let readable = std::fs::File::open(&path).expect("open");
        let file = SpoolFile {
            file: readable,
            rate: 8_000,
            channels: 2,
            waiting: AtomicUsize::new(0),
            failed: Mutex::new(None),
        };
        let spooled = Spooled { jobs: spool.0.clone(), file: Arc::new(file) };
        spooled.write(0, vec![1; 4]).expect("room");
        assert!(spooled.finish().await.is_err());
    }
}
