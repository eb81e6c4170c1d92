//! The input log of a call on disk, one JSON line per input: `caly replay FILE` replays it.

use call::log::{LINES_MAX, Line};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// Lines waiting for the disk. A disk that is this far behind loses lines of a log, not of a call.
const QUEUE: usize = 512;
/// Lines of this long are written together.
const GATHER: Duration = Duration::from_millis(500);

/// Writes a call's log. Lines are written by their own task; the call never waits for the disk.
pub(crate) struct CallLog {
    lines: Option<mpsc::Sender<Line>>,
    written: usize,
}

impl CallLog {
    /// A log that keeps nothing.
    pub(crate) const fn off() -> Self {
        Self { lines: None, written: 0 }
    }

    /// Logs into `dir/CALL.jsonl`.
    pub(crate) fn open(dir: &Path, call: model::CallId) -> Self {
        let (lines, receiver) = mpsc::channel(QUEUE);
        let path = dir.join(format!("{call}.jsonl"));
        tokio::spawn(write(path, receiver));
        Self { lines: Some(lines), written: 0 }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line. A log with a hole could not be replayed, so it ends at the first line that does not fit.
    pub(crate) fn push(&mut self, line: Line) {
        self.written += 1;
        let full = self.written > LINES_MAX;
        if let Some(lines) = &self.lines
            && (full || lines.try_send(line).is_err())
        {
            tracing::warn!("the log of a call ends early: the disk is behind or the call is too long");
            self.lines = None;
        }
    }
}

async fn write(path: PathBuf, mut lines: mpsc::Receiver<Line>) {
    if let Err(error) = append(&path, &mut lines).await {
        tracing::warn!(error = %error, "the log of a call could not be written");
    }
}

async fn append(path: &Path, lines: &mut mpsc::Receiver<Line>) -> std::io::Result<()> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut batch = Vec::new();
    let mut bytes = Vec::new();
    while lines.recv_many(&mut batch, QUEUE).await > 0 {
        bytes.clear();
        for line in batch.drain(..) {
            serde_json::to_writer(&mut bytes, &line)?;
            bytes.push(b'\n');
        }
        file.write_all(&bytes).await?;
        // Lets a second of lines gather: one write, not ten.
        tokio::time::sleep(GATHER).await;
    }
    file.flush().await
}
