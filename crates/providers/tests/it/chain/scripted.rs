//! Providers that do what a test says, without sockets, so that the clock can be moved.

use providers::language_model::{LanguageModel, Prompt, Thought};
use providers::speaker::{SpeakRequest, Speaker, SpeechChunk};
use providers::transcriber::{
    AudioWanted, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput, TranscriberStream,
};
use providers::{BoxFuture, Error, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// One that answers after a time, or never, or fails; and how often it was asked.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    pub(super) name: &'static str,
    /// Before the first piece; `None` = never.
    pub(super) first: Mutex<Option<Duration>>,
    /// Between pieces.
    pub(super) step: Duration,
    pub(super) pieces: usize,
    pub(super) fails: AtomicBool,
    pub(super) asked: AtomicU32,
    /// Requests under way.
    pub(super) running: Arc<AtomicU32>,
}

struct Running(Arc<AtomicU32>);

impl Running {
    fn begin(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Scripted {
    pub(super) fn new(name: &'static str, first: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { name, first: Mutex::new(first), pieces: 2, ..Self::default() })
    }

    pub(super) fn set_first(&self, first: Option<Duration>) {
        *self.first.lock().expect("no holder panics") = first;
    }

    pub(super) fn set_fails(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    pub(super) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    fn first(&self) -> Option<Duration> {
        *self.first.lock().expect("no holder panics")
    }

    fn error(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "scripted", self.name)
    }

    fn run<P: Send + 'static>(
        &self,
        piece: impl Fn(usize) -> P + Send + Sync + 'static,
        end: Option<P>,
    ) -> mpsc::Receiver<Result<P, Error>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (out, receiver) = mpsc::channel(16);
        let (first, step, pieces) = (self.first(), self.step, self.pieces);
        let (running, failed) =
            (Running::begin(&self.running), self.fails.load(Ordering::SeqCst).then(|| self.error()));
        tokio::spawn(async move {
            let _running = running;
            let work = async {
                match first {
                    Some(first) => sleep(first).await,
                    None => std::future::pending().await,
                }
                if let Some(error) = failed {
                    let _ = out.send(Err(error)).await;
                    return;
                }
                for n in 0..pieces {
                    if n > 0 {
                        sleep(step).await;
                    }
                    let _ = out.send(Ok(piece(n))).await;
                }
                if let Some(end) = end {
                    let _ = out.send(Ok(end)).await;
                }
            };
            tokio::select! {
                () = out.closed() => {}
                () = work => {}
            }
        });
        receiver
    }
}

impl LanguageModel for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn think(&self, _prompt: Prompt) -> mpsc::Receiver<Result<Thought, Error>> {
        let name = self.name;
        self.run(move |_| Thought::Text(name.to_owned()), Some(Thought::Done))
    }
}

impl Speaker for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Each piece is 100 ms at 8 kHz, of the length of the name as its level.
    fn speak(&self, _request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let level = self.name.len() as i16;
        self.run(move |_| SpeechChunk::from(vec![level; 800]), None)
    }
}

impl Transcriber for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn audio_wanted(&self) -> AudioWanted {
        AudioWanted::SpeechOnly
    }

    /// Answers how many samples it heard since the last `Discard`, after the time; the time of opening is none.
    fn open(&self, _options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.fails.load(Ordering::SeqCst) {
                return Err(self.error());
            }
            let (input, mut told) = mpsc::channel(50);
            let (out, output) = mpsc::channel(64);
            let (first, name, running) = (self.first(), self.name, Running::begin(&self.running));
            tokio::spawn(async move {
                let _running = running;
                let mut heard = 0;
                while let Some(told) = told.recv().await {
                    match told {
                        TranscriberInput::Audio(pcm) | TranscriberInput::Silence(pcm) => heard += pcm.len(),
                        TranscriberInput::Discard => heard = 0,
                        TranscriberInput::Finalize { work } => {
                            let Some(first) = first else { continue };
                            sleep(first).await;
                            let text = format!("{name} {heard}");
                            let _ = out.send(TranscriberOutput::Final { work, text }).await;
                        }
                    }
                }
            });
            Ok(TranscriberStream { input, output })
        })
    }
}
