//! Work of a call that runs beside it: thinking, judging, tools. Tracked by name, cancelled by name.

use audio::ambience::Ambience;
use call::WorkId;
use providers::Error;
use providers::language_model::Thought;
use providers::local::SileroStream;
use providers::tools::{ToolError, ToolOutput};
use providers::transcriber::TranscriberStream;
use std::collections::BTreeMap;
use std::future::Future;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Results waiting for the call; each piece of work has at most a few under way, and the call reads at once.
const QUEUE: usize = 64;
/// Work under way for one call. The call asks for at most four things at a time; more is a fault of ours.
const WORK_MAX: usize = 16;

/// A result.
pub(crate) enum WorkEvent {
    Scored { work: WorkId, score: Result<f32, Error> },
    Thought { work: WorkId, piece: Result<Thought, Error> },
    Tool { work: WorkId, outcome: Result<ToolOutput, ToolError> },
    Voices(Result<(Box<SileroStream>, Vec<f32>), Error>),
    TranscriberOpened { language: String, opened: Result<TranscriberStream, Error> },
    Ambience(Box<Ambience>),
}

/// The work of one call. Dropping it cancels all.
pub(crate) struct Work {
    sender: mpsc::Sender<WorkEvent>,
    receiver: mpsc::Receiver<WorkEvent>,
    running: BTreeMap<WorkId, DropGuard>,
    all: CancellationToken,
    _guard: DropGuard,
}

impl Work {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let all = CancellationToken::new();
        Self { sender, receiver, running: BTreeMap::new(), _guard: all.clone().drop_guard(), all }
    }

    pub(crate) async fn next(&mut self) -> WorkEvent {
        match self.receiver.recv().await {
            Some(event) => event,
            // We hold a sender ourselves; the channel cannot close.
            None => std::future::pending().await,
        }
    }

    /// Runs named work until it is done or cancelled.
    pub(crate) fn start<F>(&mut self, work: WorkId, run: impl FnOnce(mpsc::Sender<WorkEvent>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while self.running.len() >= WORK_MAX {
            self.running.pop_first();
        }
        let token = self.all.child_token();
        self.running.insert(work, token.clone().drop_guard());
        self.spawn(token, run(self.sender.clone()));
    }

    /// Runs work that only the end of the call cancels.
    pub(crate) fn start_unnamed<F>(&mut self, run: impl FnOnce(mpsc::Sender<WorkEvent>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(self.all.child_token(), run(self.sender.clone()));
    }

    #[expect(clippy::unused_self, reason = "work is started through its owner only")]
    fn spawn(&self, token: CancellationToken, future: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = future => {}
            }
        });
    }

    pub(crate) fn cancel(&mut self, work: WorkId) {
        self.running.remove(&work);
    }

    /// The work has given its last result.
    pub(crate) fn finished(&mut self, work: WorkId) {
        self.running.remove(&work);
    }

    pub(crate) fn cancel_all(&mut self) {
        self.running.clear();
        self.all.cancel();
    }
}
