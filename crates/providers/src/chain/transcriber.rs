//! Transcribers behind one another. A stream that dies is opened anew, by the same one first, then by the next; it gets
//! the audio of the utterance again, and the request that still waits.

use super::guard::Attempt;
use super::utterance::{Gate, Newest};
use super::{Chain, Guard, Link, Meter, Order, RETRIES, ROOM_MIN};
use crate::alarm::Alarm;
use crate::resilience::random01;
use crate::transcriber::{
    AudioWanted, INPUT_QUEUE, OUTPUT_QUEUE, Pcm, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput,
    TranscriberStream,
};
use crate::{BoxFuture, Error, ErrorKind};
use model::Stage;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Longest wait for a stream to be open. A handshake takes a quarter of a second.
pub const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// Longest wait for the text of an utterance when there is another who could be asked: the call gives up after 4 s, and
/// the other needs as long.
pub const TEXT_FIRST: Duration = Duration::from_millis(1_800);
/// Longest wait for the text from whomever: a little before the call gives up.
pub const TEXT_DEADLINE: Duration = Duration::from_millis(3_800);
/// When all have failed, nobody is asked for so long. The caller says it again meanwhile.
const REST: Duration = Duration::from_secs(2);
/// Streams that die one after the other without having given a text before the next one is asked: the first may have been
/// idle for too long.
const DEATHS_MAX: u32 = 2;
/// Streams of one call that are opened. More means that nothing helps.
const OPENINGS_MAX: u32 = 60;
/// Places of the result queue that partial results leave free for answers.
const ROOM_FOR_ANSWERS: usize = 16;

/// A transcriber with its fallbacks, for one call. It is open at once: what comes before somebody listens is kept.
pub struct ChainTranscriber(Arc<Chain<dyn Transcriber>>);

impl ChainTranscriber {
    /// At most [`super::LINKS_MAX`] in all.
    #[must_use]
    pub fn new(
        first: Link<dyn Transcriber>,
        fallbacks: Vec<Link<dyn Transcriber>>,
        guard: Guard,
        meter: Meter,
    ) -> Self {
        Self(Arc::new(Chain::new(first, fallbacks, Stage::Transcribing, guard, meter)))
    }
}

impl Transcriber for ChainTranscriber {
    fn name(&self) -> &'static str {
        self.0.link(0).provider.name()
    }

    fn audio_wanted(&self) -> AudioWanted {
        self.0.link(0).provider.audio_wanted()
    }

    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            if options.sample_rate_hz == 0 {
                return Err(Error::new(ErrorKind::Rejected, "chain", "a sample rate of 0 Hz"));
            }
            let (input, requests) = mpsc::channel(INPUT_QUEUE);
            let (results, output) = mpsc::channel(OUTPUT_QUEUE);
            let mut session = Session::new(Arc::clone(&self.0), options, results);
            tokio::spawn(async move {
                session.begin_round(None);
                // An end is told by the closed channel.
                let _ = session.run(requests).await;
            });
            Ok(TranscriberStream { input, output })
        })
    }
}

/// The call is over, or reads no more.
struct Over;

/// Who listens.
enum Line {
    /// Nobody.
    Down,
    /// Somebody soon.
    Opening { index: usize, attempt: Attempt, opening: BoxFuture<'static, Result<TranscriberStream, Error>> },
    /// This one.
    Open { index: usize, attempt: Option<Attempt>, stream: TranscriberStream, gate: Gate, samples: u64 },
}

/// What the line says.
enum Said {
    Opened(Result<TranscriberStream, Error>),
    Output(Option<TranscriberOutput>),
}

impl Line {
    async fn next(&mut self) -> Said {
        match self {
            Self::Down => std::future::pending().await,
            Self::Opening { opening, .. } => Said::Opened(opening.as_mut().await),
            Self::Open { stream, .. } => Said::Output(stream.output.recv().await),
        }
    }
}

/// A text that is waited for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    work: u64,
    /// Then somebody else is asked.
    due: Option<Instant>,
    /// Whose time that is: to be opened again does not prolong it.
    due_of: Option<usize>,
    /// Then the same one is asked again.
    again: Option<Instant>,
    /// Then it has failed.
    last: Instant,
    tries: u32,
}

struct Session {
    chain: Arc<Chain<dyn Transcriber>>,
    options: TranscriberOptions,
    given: AudioWanted,
    output: mpsc::Sender<TranscriberOutput>,
    heard: Newest,
    line: Line,
    /// Who else can be asked before all have failed.
    order: Order,
    asked: Option<Asked>,
    /// Who was open before.
    before: Option<usize>,
    /// All have failed: nobody is asked before then.
    rest_until: Option<Instant>,
    openings: u32,
    /// Streams that died since the last text.
    deaths: u32,
    last_error: Option<Error>,
}

impl Session {
    fn new(
        chain: Arc<Chain<dyn Transcriber>>,
        options: TranscriberOptions,
        output: mpsc::Sender<TranscriberOutput>,
    ) -> Self {
        let given = chain.link(0).provider.audio_wanted();
        let heard = Newest::of_utterance(options.sample_rate_hz);
        Self {
            chain,
            options,
            given,
            output,
            heard,
            line: Line::Down,
            order: Order::default(),
            asked: None,
            before: None,
            rest_until: None,
            openings: 0,
            deaths: 0,
            last_error: None,
        }
    }

    async fn run(&mut self, mut input: mpsc::Receiver<TranscriberInput>) -> Result<(), Over> {
        let output = self.output.clone();
        // For the whole run: to wait anew in each round takes a lock.
        let mut over = pin!(output.closed());
        let mut alarm = Alarm::default();
        loop {
            let wake = self.wake_at();
            tokio::select! {
                biased;
                () = &mut over => return Err(Over),
                said = self.line.next() => match said {
                    Said::Opened(opened) => self.opened(opened)?,
                    Said::Output(said) => self.said(said)?,
                },
                told = input.recv() => match told {
                    Some(told) => self.told(told)?,
                    None => return Err(Over),
                },
                () = alarm.at(wake) => self.overdue(Instant::now())?,
            }
        }
    }

    /// Far away when nothing is waited for.
    fn wake_at(&self) -> Instant {
        let far = Instant::now() + OPEN_DEADLINE;
        let times = self.asked.map(|asked| [Some(asked.last), asked.due, asked.again]);
        times.into_iter().flatten().flatten().min().unwrap_or(far)
    }

    /// All are asked, `same` before the others.
    fn begin_round(&mut self, same: Option<usize>) {
        self.order = match same {
            Some(index) => Order::starting_with(index, self.chain.links.len()),
            None => self.chain.order(),
        };
        self.rest_until = None;
        self.open_next();
    }

    /// Opens a stream with the next one that may be asked.
    fn open_next(&mut self) {
        self.line = Line::Down;
        if self.openings >= OPENINGS_MAX {
            return self.rest();
        }
        let Some((index, attempt)) = self.chain.next(&mut self.order) else { return self.rest() };
        self.openings += 1;
        let (provider, options) = (Arc::clone(&self.chain.link(index).provider), self.options.clone());
        let late = || Error::new(ErrorKind::TimedOut, "chain", "no connection in time");
        let opening =
            Box::pin(
                async move { timeout(OPEN_DEADLINE, provider.open(options)).await.unwrap_or_else(|_| Err(late())) },
            );
        self.line = Line::Opening { index, attempt, opening };
        self.set_due();
    }

    /// All have failed.
    fn rest(&mut self) {
        self.line = Line::Down;
        self.order = Order::default();
        self.rest_until = Some(Instant::now() + REST);
    }

    /// Somebody else is asked in time, if there is somebody.
    fn set_due(&mut self) {
        let index = match self.line {
            Line::Opening { index, .. } | Line::Open { index, .. } => index,
            Line::Down => return,
        };
        let somebody = self.chain.somebody(&self.order);
        if let Some(asked) = &mut self.asked {
            asked.again = None;
            let due = asked.due.filter(|_| asked.due_of == Some(index));
            let due = due.unwrap_or_else(|| asked.last.min(Instant::now() + TEXT_FIRST));
            (asked.due, asked.due_of) = (somebody.then_some(due), Some(index));
        }
    }

    fn opened(&mut self, opened: Result<TranscriberStream, Error>) -> Result<(), Over> {
        let Line::Opening { index, attempt, .. } = std::mem::replace(&mut self.line, Line::Down) else {
            return Ok(());
        };
        let stream = match opened {
            Ok(stream) => stream,
            Err(error) => {
                self.log(index, &error);
                attempt.failed(&error);
                self.last_error = Some(error);
                self.open_next();
                return self.answer_if_down();
            }
        };
        if self.before == Some(index) {
            self.chain.meter.note(|usage| usage.counts.reconnects = usage.counts.reconnects.saturating_add(1));
        }
        self.before = Some(index);
        self.chain.delivers(index);
        let wanted = self.chain.link(index).provider.audio_wanted();
        let gate = Gate::new(self.given, wanted, self.options.sample_rate_hz);
        self.line = Line::Open { index, attempt: Some(attempt), stream, gate, samples: 0 };
        self.send_audio(self.heard.all(), TranscriberInput::Audio);
        if self.asked.is_some() {
            self.send_request();
        }
        self.answer_if_down()
    }

    /// What the call says.
    fn told(&mut self, told: TranscriberInput) -> Result<(), Over> {
        match told {
            TranscriberInput::Audio(pcm) => {
                self.heard.push(Arc::clone(&pcm));
                self.hand_on(pcm, TranscriberInput::Audio);
            }
            TranscriberInput::Silence(pcm) => {
                self.heard.clear();
                self.heard.push(Arc::clone(&pcm));
                self.hand_on(pcm, TranscriberInput::Silence);
            }
            TranscriberInput::Finalize { work } => {
                if let Some(older) = self.asked.take() {
                    let error = Error::new(ErrorKind::Overloaded, "chain", "a newer request took its place");
                    self.tell(TranscriberOutput::Failed { work: Some(older.work), error })?;
                }
                let last = Instant::now() + TEXT_DEADLINE;
                self.asked = Some(Asked { work, due: None, due_of: None, again: None, last, tries: 0 });
                match self.line {
                    Line::Open { index, .. } => {
                        // Whoever has failed before may be well again.
                        self.order = Order::without(index, self.chain.links.len());
                        self.send_request();
                    }
                    Line::Opening { .. } => self.set_due(),
                    Line::Down => self.wake_up(),
                }
            }
            TranscriberInput::Discard => {
                self.heard.clear();
                self.asked = None;
                if let Line::Open { stream, gate, .. } = &mut self.line {
                    gate.discard();
                    // Full: it is replaced at the next piece of audio.
                    let _ = stream.input.try_send(TranscriberInput::Discard);
                }
            }
        }
        self.answer_if_down()
    }

    fn hand_on(&mut self, pcm: Pcm, kind: fn(Pcm) -> TranscriberInput) {
        match self.line {
            Line::Open { .. } => self.send_audio(pcm, kind),
            Line::Opening { .. } => {}
            Line::Down => self.wake_up(),
        }
    }

    /// Nobody listens: all are asked again, unless they have just failed.
    fn wake_up(&mut self) {
        if self.rest_until.is_none_or(|until| Instant::now() >= until) {
            self.begin_round(None);
        }
    }

    /// Who waits for text is told when there is nobody to give it.
    fn answer_if_down(&mut self) -> Result<(), Over> {
        if !matches!(self.line, Line::Down) {
            return Ok(());
        }
        let over = self.openings >= OPENINGS_MAX;
        if self.asked.is_none() && !over {
            return Ok(());
        }
        let error = self.last_error.take().unwrap_or_else(|| self.chain.nobody());
        if over {
            self.fail_asked(Error::new(error.kind, error.provider, error.detail.clone()))?;
            self.tell(TranscriberOutput::Failed { work: None, error })?;
            return Err(Over);
        }
        self.fail_asked(error)
    }

    fn fail_asked(&mut self, error: Error) -> Result<(), Over> {
        match self.asked.take() {
            Some(asked) => self.tell(TranscriberOutput::Failed { work: Some(asked.work), error }),
            None => Ok(()),
        }
    }

    fn send_audio(&mut self, pcm: Pcm, kind: fn(Pcm) -> TranscriberInput) {
        let Line::Open { index, stream, gate, samples, .. } = &mut self.line else { return };
        let pcm = gate.pass(pcm);
        if pcm.is_empty() {
            return;
        }
        let (index, rate, before) = (*index, u64::from(self.options.sample_rate_hz), *samples);
        *samples += pcm.len() as u64;
        let ms = *samples * 1_000 / rate - before * 1_000 / rate;
        if stream.input.try_send(kind(pcm)).is_err() {
            return self.stuck();
        }
        self.chain.note(index, |line| line.audio_ms = line.audio_ms.saturating_add(ms));
    }

    fn send_request(&mut self) {
        let Some(work) = self.asked.map(|asked| asked.work) else { return };
        let Line::Open { index, stream, gate, .. } = &mut self.line else { return };
        let (index, rest) = (*index, gate.rest());
        if !rest.is_empty() && stream.input.try_send(TranscriberInput::Audio(rest)).is_err()
            || stream.input.try_send(TranscriberInput::Finalize { work }).is_err()
        {
            return self.stuck();
        }
        self.chain.note(index, |line| line.requests = line.requests.saturating_add(1));
        if let Some(asked) = &mut self.asked {
            asked.tries += 1;
        }
        self.set_due();
    }

    /// It does not take what it is given (or has ended, which is the same now).
    fn stuck(&mut self) {
        self.lost(Error::new(ErrorKind::TimedOut, "chain", "the stream takes nothing"));
    }

    /// The stream is dead: the same one again where that may help, then the others.
    fn lost(&mut self, error: Error) {
        let index = self.give_up_line(&error);
        self.deaths += 1;
        let same = error.is_transient() && self.deaths < DEATHS_MAX;
        self.last_error = Some(error);
        if let (true, Some(index)) = (same, index) {
            self.begin_round(Some(index));
        } else {
            self.open_next();
        }
    }

    /// Tells its breaker, and drops it.
    fn give_up_line(&mut self, error: &Error) -> Option<usize> {
        match std::mem::replace(&mut self.line, Line::Down) {
            Line::Down => None,
            Line::Opening { index, attempt, .. } => {
                self.log(index, error);
                attempt.failed(error);
                Some(index)
            }
            Line::Open { index, attempt, .. } => {
                self.log(index, error);
                match attempt {
                    Some(attempt) => attempt.failed(error),
                    None => self.chain.guard.failed(self.chain.link(index).target, error),
                }
                Some(index)
            }
        }
    }

    fn log(&self, index: usize, error: &Error) {
        tracing::warn!(provider = %self.chain.link(index).name, error = %error, "a transcriber failed");
    }

    /// What the stream says.
    fn said(&mut self, said: Option<TranscriberOutput>) -> Result<(), Over> {
        match said {
            // The next one replaces it anyway.
            Some(TranscriberOutput::Partial { .. }) if self.output.capacity() <= ROOM_FOR_ANSWERS => {}
            Some(
                said @ (TranscriberOutput::Partial { .. }
                | TranscriberOutput::EndOfUtterance { .. }
                | TranscriberOutput::Language { .. }),
            ) => self.tell(said)?,
            Some(TranscriberOutput::Final { work, text }) => {
                self.deaths = 0;
                if let Line::Open { index, attempt, .. } = &mut self.line {
                    match attempt.take() {
                        Some(attempt) => attempt.succeeded(),
                        None => self.chain.guard.succeeded(self.chain.link(*index).target),
                    }
                }
                if self.asked.is_some_and(|asked| asked.work == work) {
                    if self.asked.take().is_some_and(|asked| asked.tries > 1) {
                        self.chain.guard.retried(true);
                    }
                    self.tell(TranscriberOutput::Final { work, text })?;
                }
            }
            Some(TranscriberOutput::Failed { work: Some(work), error }) => {
                if self.asked.is_some_and(|asked| asked.work == work) {
                    self.no_text(error)?;
                }
            }
            Some(TranscriberOutput::Failed { work: None, error }) => self.lost(error),
            None => self.lost(Error::new(ErrorKind::Unavailable, "chain", "the stream ended")),
        }
        self.answer_if_down()
    }

    /// The one that listens has no text for what is asked: the next one, or the same once more.
    fn no_text(&mut self, error: Error) -> Result<(), Over> {
        if self.chain.somebody(&self.order) {
            self.give_up_line(&error);
            self.last_error = Some(error);
            self.open_next();
            return Ok(());
        }
        if let Line::Open { index, .. } = self.line {
            self.log(index, &error);
            self.chain.guard.failed(self.chain.link(index).target, &error);
        }
        let now = Instant::now();
        let again = self.asked.as_mut().and_then(|asked| {
            let wait = RETRIES.after(&error, asked.tries, random01())?;
            asked.again = (now + wait + ROOM_MIN < asked.last).then_some(now + wait);
            asked.again
        });
        if again.is_some() {
            return Ok(());
        }
        if self.asked.is_some_and(|asked| asked.tries > 1) {
            self.chain.guard.retried(false);
        }
        self.fail_asked(error)
    }

    fn overdue(&mut self, now: Instant) -> Result<(), Over> {
        let Some(asked) = &mut self.asked else { return Ok(()) };
        let late = || Error::new(ErrorKind::TimedOut, "chain", "no text in time");
        if now >= asked.last {
            let error = late();
            if let Line::Open { index, .. } = self.line {
                self.log(index, &error);
                self.chain.guard.failed(self.chain.link(index).target, &error);
            }
            return self.fail_asked(error);
        }
        if asked.again.is_some_and(|again| now >= again) {
            asked.again = None;
            self.send_request();
        } else if asked.due.is_some_and(|due| now >= due) {
            asked.due = None;
            let error = late();
            self.give_up_line(&error);
            self.last_error = Some(error);
            self.open_next();
        }
        self.answer_if_down()
    }

    fn tell(&self, output: TranscriberOutput) -> Result<(), Over> {
        self.output.try_send(output).map_err(|error| {
            if let mpsc::error::TrySendError::Full(_) = error {
                tracing::warn!("the call does not read its transcripts");
            }
            Over
        })
    }
}
