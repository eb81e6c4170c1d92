//! One call's transcription: owns the connection, mends it when it breaks.

use super::socket::{Address, Socket};
use super::{Answer, DEAD_AFTER, Dialect, PING_AFTER, RECONNECT_TRIES, RECONNECTS_PER_CALL_MAX, SEND_SAMPLES_MAX};
use crate::alarm::Alarm;
use crate::resilience::{RetryPolicy, random01};
use crate::transcriber::{INPUT_QUEUE, Pcm, TranscriberInput, TranscriberOutput};
use crate::{Error, ErrorKind};
use audio::resample::Resampler;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};

/// Places of the result queue that partial results leave free for answers.
const ROOM_FOR_ANSWERS: usize = 16;
/// Requests in a row without any result after which the connection is taken for dead although it answers pings.
const SILENT_REQUESTS_MAX: u32 = 2;
/// Longest wait between two tries to reconnect.
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(2);

/// Why a connection is over.
enum End {
    /// The call is over, or reads no more.
    CallOver,
    /// It broke.
    Broken(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// How a session is run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where to connect.
    pub(crate) address: Address,
    /// Longest wait for the answer to a request.
    pub(crate) finalize_timeout: Duration,
    /// A sign of life after so much silence of ours.
    pub(crate) keep_alive_every: Duration,
    /// Upper end of the wait before the first try to reconnect.
    pub(crate) reconnect_first_wait: Duration,
    /// From the call's rate to the one the vendor gets, when they differ.
    pub(crate) resampler: Option<Resampler>,
}

pub(crate) struct Session<D> {
    address: Address,
    name: &'static str,
    finalize_timeout: Duration,
    keep_alive_every: Duration,
    reconnect: RetryPolicy,
    resampler: Option<Resampler>,
    input: Receiver<TranscriberInput>,
    output: Sender<TranscriberOutput>,
    dialect: D,
    /// Answers on their way from the utterance to the queue; kept to save allocations.
    answers: Vec<Answer>,
    last_sent: Instant,
    last_heard: Instant,
    pinged: bool,
    silent_requests: u32,
}

impl<D: Dialect> Session<D> {
    pub(crate) fn new(
        plan: Plan,
        dialect: D,
        input: Receiver<TranscriberInput>,
        output: Sender<TranscriberOutput>,
    ) -> Self {
        let now = Instant::now();
        Self {
            name: plan.address.vendor.name,
            address: plan.address,
            finalize_timeout: plan.finalize_timeout,
            keep_alive_every: plan.keep_alive_every,
            resampler: plan.resampler,
            reconnect: RetryPolicy {
                // The policy counts attempts, the first one included: that is the connection that broke.
                attempts: RECONNECT_TRIES + 1,
                first_wait: plan.reconnect_first_wait,
                wait_max: RECONNECT_WAIT_MAX,
            },
            input,
            output,
            dialect,
            answers: Vec::new(),
            last_sent: now,
            last_heard: now,
            pinged: false,
            silent_requests: 0,
        }
    }

    pub(crate) async fn run(mut self, mut socket: Socket) {
        let mut breaks = 0;
        loop {
            let error = match Box::pin(self.serve(&mut socket)).await {
                End::CallOver => return socket.close(self.dialect.farewell()).await,
                End::Broken(error) => error,
            };
            // Dropped before the next one is opened: vendors count connections.
            drop(socket);
            breaks += 1;
            tracing::info!(provider = self.name, breaks, error = %error, "transcription broke");
            let error = if breaks > RECONNECTS_PER_CALL_MAX {
                End::Broken(error)
            } else {
                match Box::pin(self.connect_again(error)).await {
                    Ok(again) => {
                        socket = again;
                        continue;
                    }
                    Err(end) => end,
                }
            };
            if let End::Broken(error) = error {
                self.fail(error).await;
            }
            return;
        }
    }

    /// Works until the connection is over.
    async fn serve(&mut self, socket: &mut Socket) -> End {
        let (now, mut batch) = (Instant::now(), Vec::with_capacity(INPUT_QUEUE));
        (self.last_sent, self.last_heard, self.pinged, self.silent_requests) = (now, now, false, 0);
        if let Err(error) = self.send_again(socket).await {
            return End::Broken(error);
        }
        let output = self.output.clone();
        // For the whole connection: to wait anew in each round takes a lock.
        let mut over = pin!(output.closed());
        let mut alarm = Alarm::default();
        loop {
            let wake = self.wake_at();
            let result = tokio::select! {
                biased;
                text = socket.next() => self.heard(text),
                count = self.input.recv_many(&mut batch, INPUT_QUEUE) => {
                    if count == 0 { Err(End::CallOver) } else { self.told(socket, &mut batch).await }
                }
                () = &mut over => Err(End::CallOver),
                () = alarm.at(wake) => self.tick(socket).await,
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    /// What the call said, as many messages as were waiting: audio that queued up goes out in one piece.
    async fn told(&mut self, socket: &mut Socket, batch: &mut Vec<TranscriberInput>) -> Result<(), End> {
        let mut pieces = Pieces::default();
        for input in batch.drain(..) {
            match input {
                TranscriberInput::Audio(pcm) => {
                    let pcm = at_their_rate(&mut self.resampler, pcm);
                    self.dialect.audio(Arc::clone(&pcm));
                    pieces.push(pcm);
                }
                TranscriberInput::Silence(pcm) => {
                    let pcm = at_their_rate(&mut self.resampler, pcm);
                    self.dialect.silence(Arc::clone(&pcm));
                    pieces.push(pcm);
                }
                TranscriberInput::Finalize { work } => {
                    let audio = pieces.take();
                    if !audio.is_empty() {
                        self.last_sent = Instant::now();
                        socket.feed(self.dialect.audio_message(&audio)).await?;
                    }
                    let now = Instant::now();
                    self.dialect.request(work, now, now + self.finalize_timeout, &mut self.answers);
                    self.hand_on()?;
                    socket.send(self.dialect.finalize()).await?;
                }
                TranscriberInput::Discard => self.dialect.discard(),
            }
            if pieces.samples >= SEND_SAMPLES_MAX {
                self.send_audio(socket, &pieces.take()).await?;
            }
        }
        Ok(self.send_audio(socket, &pieces.take()).await?)
    }

    async fn send_audio(&mut self, socket: &mut Socket, samples: &[i16]) -> Result<(), Error> {
        // An empty message would mean the end of the stream to some.
        if samples.is_empty() {
            return Ok(());
        }
        self.last_sent = Instant::now();
        socket.send(self.dialect.audio_message(samples)).await
    }

    /// After a break: what has no final text yet, and the requests that still wait.
    async fn send_again(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let pcm = self.dialect.replay();
        for piece in pcm.chunks(SEND_SAMPLES_MAX) {
            self.send_audio(socket, piece).await?;
        }
        if self.dialect.is_wanted() { socket.send(self.dialect.finalize()).await } else { Ok(()) }
    }

    /// What the server said.
    fn heard(&mut self, text: Result<Option<impl AsRef<str>>, Error>) -> Result<(), End> {
        let text = text?;
        self.last_heard = Instant::now();
        self.pinged = false;
        let Some(text) = text else { return Ok(()) };
        let heard = self.dialect.heard(text.as_ref(), self.last_heard, &mut self.answers);
        self.hand_on()?;
        if heard? {
            self.silent_requests = 0;
        }
        Ok(())
    }

    /// When there is something to do without anybody saying anything.
    fn wake_at(&self) -> Instant {
        let keep_alive = self.last_sent + self.keep_alive_every;
        let listen = self.last_heard + if self.pinged { DEAD_AFTER } else { PING_AFTER };
        let wake = keep_alive.min(listen);
        self.dialect.next_due().map_or(wake, |due| due.min(wake))
    }

    async fn tick(&mut self, socket: &mut Socket) -> Result<(), End> {
        let now = Instant::now();
        let late = self.dialect.overdue(now, &mut self.answers);
        self.hand_on()?;
        if late {
            self.silent_requests += 1;
            if self.silent_requests >= SILENT_REQUESTS_MAX {
                return Err(End::Broken(Error::new(ErrorKind::TimedOut, self.name, "no results")));
            }
        }
        if now >= self.last_heard + DEAD_AFTER {
            return Err(End::Broken(Error::new(ErrorKind::TimedOut, self.name, "the connection is silent")));
        }
        if !self.pinged && now >= self.last_heard + PING_AFTER {
            self.pinged = true;
            socket.ping().await?;
        }
        if now >= self.last_sent + self.keep_alive_every {
            self.last_sent = now;
            socket.send(self.dialect.keep_alive()).await?;
        }
        Ok(())
    }

    /// Tries to connect, while the call goes on speaking.
    async fn connect_again(&mut self, broken: Error) -> Result<Socket, End> {
        let mut last = broken;
        for attempt in 1.. {
            let Some(wait) = self.reconnect.after(&last, attempt, random01()) else { break };
            match self.attempt(wait).await {
                Ok(socket) => return Ok(socket),
                Err(End::CallOver) => return Err(End::CallOver),
                Err(End::Broken(error)) => last = error,
            }
        }
        Err(End::Broken(last))
    }

    async fn attempt(&mut self, wait: Duration) -> Result<Socket, End> {
        let Self { address, name, input, output, dialect, answers, resampler, finalize_timeout, .. } = self;
        let mut connecting = Box::pin(async {
            sleep(wait).await;
            address.connect().await
        });
        loop {
            let far = Instant::now() + DEAD_AFTER;
            tokio::select! {
                biased;
                socket = &mut connecting => return Ok(socket?),
                told = input.recv() => match told {
                    None => return Err(End::CallOver),
                    Some(TranscriberInput::Audio(pcm)) => dialect.audio(at_their_rate(resampler, pcm)),
                    Some(TranscriberInput::Silence(pcm)) => dialect.silence(at_their_rate(resampler, pcm)),
                    Some(TranscriberInput::Finalize { work }) => {
                        let now = Instant::now();
                        dialect.request(work, now, now + *finalize_timeout, answers);
                        hand_on(name, answers, output)?;
                    }
                    Some(TranscriberInput::Discard) => dialect.discard(),
                },
                () = output.closed() => return Err(End::CallOver),
                () = sleep_until(dialect.next_due().unwrap_or(far)) => {
                    dialect.overdue(Instant::now(), answers);
                    hand_on(name, answers, output)?;
                }
            }
        }
    }

    fn hand_on(&mut self) -> Result<(), End> {
        hand_on(self.name, &mut self.answers, &self.output)
    }

    /// Tells the call that this is the end.
    async fn fail(&mut self, error: Error) {
        for work in self.dialect.give_up() {
            let error = Error::new(error.kind, self.name, error.detail.clone());
            let _ = self.output.send(TranscriberOutput::Failed { work: Some(work), error }).await;
        }
        // Failing means that nobody listens any more.
        let _ = self.output.send(TranscriberOutput::Failed { work: None, error }).await;
    }
}

fn hand_on(name: &'static str, answers: &mut Vec<Answer>, output: &Sender<TranscriberOutput>) -> Result<(), End> {
    for answer in answers.drain(..) {
        let message = match answer {
            // The next partial replaces this one anyway.
            Answer::Partial(_) if output.capacity() <= ROOM_FOR_ANSWERS => continue,
            Answer::Partial(text) => TranscriberOutput::Partial { text },
            Answer::Final { work, text } => TranscriberOutput::Final { work, text },
            Answer::EndOfUtterance { sure } => TranscriberOutput::EndOfUtterance { sure },
            Answer::Language(tag) => TranscriberOutput::Language { tag },
            Answer::Silent { work } => TranscriberOutput::Failed {
                work: Some(work),
                error: Error::new(ErrorKind::TimedOut, name, "no text in time"),
            },
        };
        match output.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => return Err(End::CallOver),
            Err(TrySendError::Full(_)) => {
                tracing::warn!(provider = name, "the call does not read its transcripts");
                return Err(End::CallOver);
            }
        }
    }
    Ok(())
}

/// Audio that goes out in one message.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Pcm>,
    samples: usize,
}

impl Pieces {
    fn push(&mut self, pcm: Pcm) {
        self.samples += pcm.len();
        self.pieces.push(pcm);
    }

    /// All of it; mostly it is one piece, and no copy.
    fn take(&mut self) -> Pcm {
        self.samples = 0;
        match self.pieces.len() {
            1 => self.pieces.remove(0),
            _ => self.pieces.drain(..).flat_map(|piece| piece.to_vec()).collect(),
        }
    }
}

fn at_their_rate(resampler: &mut Option<Resampler>, pcm: Pcm) -> Pcm {
    let Some(resampler) = resampler else { return pcm };
    let mut converted = Vec::with_capacity(pcm.len());
    resampler.process(&pcm, &mut converted);
    converted.into()
}
