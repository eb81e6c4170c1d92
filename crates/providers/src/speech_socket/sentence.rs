//! One sentence: from its place on a connection to the call.

use super::connection::Command;
use super::{Event, Pool};
use crate::live::SpeechCutter;
use crate::speaker::{SpeakRequest, SpeechChunk};
use crate::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use wire::openai::{PcmBytes, foreign_audio};

/// A connection that has said nothing for so long when its sentence is given up gets no new ones: it may hang. Good ones
/// begin within 400 ms, and whoever waits for them gives up before their own deadline.
pub(super) const DOUBTFUL_AFTER: Duration = Duration::from_millis(1_500);

/// A sentence's place on a connection. Dropping it before the end cancels the sentence there.
pub(super) struct Line {
    id: u64,
    events: mpsc::Receiver<Event>,
    commands: mpsc::Sender<Command>,
    /// The connection was open before, so that it may have been lost unnoticed.
    reused: bool,
    over: bool,
    /// The connection did not answer in time.
    doubtful: bool,
    /// When something last came of it, or it was begun.
    heard_at: Instant,
}

impl Line {
    pub(super) fn new(id: u64, events: mpsc::Receiver<Event>, commands: mpsc::Sender<Command>, reused: bool) -> Self {
        Self { id, events, commands, reused, over: false, doubtful: false, heard_at: Instant::now() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.over {
            // Without room for it the connection notices at the next piece that nobody takes it.
            let hangs = self.events.is_empty() && self.heard_at.elapsed() >= DOUBTFUL_AFTER;
            let _ = self.commands.try_send(Command::Cancel { id: self.id, doubtful: self.doubtful || hangs });
        }
    }
}

/// Speaks; an error ends it. Dropping this future cancels.
pub(super) async fn run(
    pool: &Arc<Pool>,
    request: &SpeakRequest,
    out: &mpsc::Sender<Result<SpeechChunk, Error>>,
) -> Result<(), Error> {
    let begun = Instant::now();
    let mut sentence = Sentence {
        pool,
        first_until: begun + pool.limits.deadlines.first,
        last: begun + pool.limits.deadlines.total,
        bytes: PcmBytes::new(),
        pcm: Vec::new(),
        cutter: SpeechCutter::new(out, request.sample_rate_hz),
        heard: false,
        told: false,
    };
    let mut fresh = false;
    loop {
        let beginning = timeout_at(sentence.first_until.min(sentence.last), pool.begin(request, fresh));
        let mut line = beginning.await.map_err(|_| sentence.late())??;
        match sentence.listen(&mut line).await {
            Ok(()) => return Ok(()),
            Err(Miss::Lost(error))
                if error.kind == ErrorKind::Unavailable && line.reused && !fresh && !sentence.told =>
            {
                tracing::debug!(provider = error.provider, "an idle connection was lost");
                fresh = true;
            }
            Err(Miss::Lost(error) | Miss::Failed(error)) => return Err(error),
        }
    }
}

/// Why a sentence is not complete.
enum Miss {
    /// Its connection was lost.
    Lost(Error),
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

struct Sentence<'a> {
    pool: &'a Pool,
    first_until: Instant,
    last: Instant,
    bytes: PcmBytes,
    pcm: Vec<i16>,
    cutter: SpeechCutter<'a>,
    heard: bool,
    /// The call has sound or words of it.
    told: bool,
}

impl Sentence<'_> {
    fn late(&self) -> Error {
        self.pool.error(ErrorKind::TimedOut, "no speech in time")
    }

    async fn listen(&mut self, line: &mut Line) -> Result<(), Miss> {
        let mut until = self.last.min(self.first_until);
        loop {
            let Ok(event) = timeout_at(until, line.events.recv()).await else {
                line.doubtful = true;
                return Err(self.late().into());
            };
            line.heard_at = Instant::now();
            match event {
                Some(Event::Sound(piece)) if piece.is_empty() => {}
                Some(Event::Sound(piece)) => {
                    self.take(&piece).await?;
                    // After `take`: the time the call lets us wait is not the service's.
                    until = self.last.min(Instant::now() + self.pool.limits.deadlines.idle);
                }
                Some(Event::Words(words)) => {
                    self.told = true;
                    self.cutter.tell(words);
                }
                Some(Event::End) => {
                    line.over = true;
                    break;
                }
                Some(Event::Failed(error)) => {
                    line.over = true;
                    return Err(Miss::Failed(error));
                }
                Some(Event::Lost(error)) => {
                    line.over = true;
                    return Err(Miss::Lost(error));
                }
                None => return Err(self.pool.error(ErrorKind::Protocol, "more speech than any sentence is").into()),
            }
        }
        self.cutter.finish().await;
        if self.heard { Ok(()) } else { Err(self.pool.error(ErrorKind::Protocol, "answered without any sound").into()) }
    }

    async fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        if !std::mem::replace(&mut self.heard, true)
            && let Some(container) = foreign_audio(piece)
        {
            return Err(self.pool.error(ErrorKind::Protocol, &format!("answered {container}, not raw samples")));
        }
        self.told = true;
        self.pcm.clear();
        self.bytes.push(piece, &mut self.pcm);
        self.cutter.push(&self.pcm).await;
        Ok(())
    }
}
