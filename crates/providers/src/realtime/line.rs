//! The one connection of a call: owns the socket, mends it once when it breaks, and brings what the engine says to the
//! channels of the call.

use super::SpeechModelLimits;
use super::asked::{Asked, Channel};
use super::engine::{Ask, Engine, Out};
use crate::live::{DEAD_AFTER, Frame, PING_AFTER, Socket};
use crate::transcriber::{TranscriberInput, TranscriberOutput};
use crate::{Error, ErrorKind};
use audio::resample::Resampler;
use futures_util::future::select_all;
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

/// Breaks of one call that are mended. More is a vendor or a line that is down.
const BREAKS_MAX: u32 = 10;
/// Connections that one call replaces because the vendor's memory could not be changed otherwise.
const REOPENINGS_MAX: u32 = 200;
/// Answers and sentences under way or waiting. A call has one of each as a rule.
const ASKS_MAX: usize = 8;

/// Places of the result queue that partial results leave free for answers.
const ROOM_FOR_ANSWERS: usize = 16;

/// What the call wants.
pub(super) enum Command {
    /// Its transcription begins.
    Listen {
        language: String,
        input: Receiver<TranscriberInput>,
        output: Sender<TranscriberOutput>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Something of the model.
    Ask { ask: Ask, out: Channel },
}

struct Listen {
    input: Receiver<TranscriberInput>,
    output: Sender<TranscriberOutput>,
}

enum End {
    /// Nobody wants anything any more.
    Over,
    /// It broke.
    Broken(Error),
    /// It is to be replaced.
    Reopen,
}

enum Event {
    Frame(Result<Frame, Error>),
    Command(Option<Command>),
    Input(Option<TranscriberInput>),
    Unheard,
    Unwanted(u64),
    Tick,
}

pub(super) struct Line {
    engine: Box<dyn Engine>,
    rate_hz: u32,
    limits: SpeechModelLimits,
    commands: Receiver<Command>,
    commands_over: bool,
    listen: Option<Listen>,
    opening: Option<oneshot::Sender<Result<(), Error>>>,
    resampler: Resampler,
    asks: BTreeMap<u64, Asked>,
    next_id: u64,
    out: Vec<Out>,
    last_heard: Instant,
    pinged: bool,
    breaks: u32,
    reopenings: u32,
}

impl Line {
    pub(super) fn new(
        engine: Box<dyn Engine>,
        rate_hz: u32,
        limits: SpeechModelLimits,
        commands: Receiver<Command>,
    ) -> Self {
        let resampler = Resampler::new(rate_hz, engine.rate_hz());
        Self {
            engine,
            rate_hz,
            limits,
            commands,
            commands_over: false,
            listen: None,
            opening: None,
            resampler,
            asks: BTreeMap::new(),
            next_id: 0,
            out: Vec::new(),
            last_heard: Instant::now(),
            pinged: false,
            breaks: 0,
            reopenings: 0,
        }
    }

    /// Connects when something is first wanted; after a failure when something is wanted again.
    pub(super) async fn run(mut self) {
        while let Some(command) = self.commands.recv().await {
            self.command(command);
            match Box::pin(self.connect()).await {
                Ok(socket) => {
                    if Box::pin(self.serve_until_dead(socket)).await {
                        return;
                    }
                }
                Err(error) => self.fail_all(&error).await,
            }
        }
    }

    /// True = nobody wants anything any more.
    async fn serve_until_dead(&mut self, mut socket: Socket) -> bool {
        loop {
            if let Some(reply) = self.opening.take() {
                // Whoever asked may be gone.
                let _ = reply.send(Ok(()));
            }
            let broken = match self.serve(&mut socket).await {
                End::Over => {
                    socket.close(None).await;
                    return true;
                }
                End::Reopen => {
                    self.reopenings += 1;
                    socket.close(None).await;
                    self.fail_begun(&Error::new(
                        ErrorKind::Unavailable,
                        self.engine.name(),
                        "the connection is replaced",
                    ));
                    (self.reopenings > REOPENINGS_MAX).then(|| {
                        Error::new(ErrorKind::Unavailable, self.engine.name(), "too many connections in one call")
                    })
                }
                End::Broken(error) => {
                    self.breaks += 1;
                    tracing::info!(provider = self.engine.name(), breaks = self.breaks, %error, "speech model broke");
                    drop(socket);
                    let hopeless = !error.is_transient() || self.breaks > BREAKS_MAX;
                    if !hopeless {
                        self.fail_begun(&error);
                    }
                    hopeless.then_some(error)
                }
            };
            let again = match broken {
                Some(error) => Err(error),
                None => Box::pin(self.connect()).await,
            };
            match again {
                Ok(again) => socket = again,
                Err(error) => {
                    self.fail_all(&error).await;
                    return false;
                }
            }
        }
    }

    /// A connection that is set up, with the conversation so far and all that is wanted.
    async fn connect(&mut self) -> Result<Socket, Error> {
        self.deliver_rest();
        let mut socket = self.engine.address()?.connect().await?;
        let (name, patience) = (self.engine.name(), self.limits.setup);
        let setting_up = async {
            self.engine.begin(&mut self.out);
            self.hand_on(&mut socket).await?;
            while !self.engine.is_ready() {
                let frame = socket.next_frame().await?;
                self.engine.heard(&frame, Instant::now(), &mut self.out)?;
                self.hand_on(&mut socket).await?;
            }
            self.engine.resume(&mut self.out);
            for (id, asked) in &self.asks {
                self.engine.ask(*id, &asked.ask, &mut self.out);
            }
            self.hand_on(&mut socket).await
        };
        let set_up = timeout(patience, Box::pin(setting_up)).await;
        set_up.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, name, "no session in time")))?;
        (self.last_heard, self.pinged) = (Instant::now(), false);
        Ok(socket)
    }

    async fn serve(&mut self, socket: &mut Socket) -> End {
        loop {
            let event = self.next(socket).await;
            let result = match event {
                Event::Frame(frame) => self.heard(frame),
                Event::Command(Some(command)) => {
                    self.command_now(command);
                    Ok(())
                }
                Event::Command(None) => {
                    self.commands_over = true;
                    Ok(())
                }
                Event::Input(Some(input)) => {
                    self.told(input);
                    Ok(())
                }
                Event::Input(None) | Event::Unheard => {
                    self.listen = None;
                    self.engine.discard(&mut self.out);
                    Ok(())
                }
                Event::Unwanted(id) => {
                    self.asks.remove(&id);
                    self.engine.cancel(id, &mut self.out);
                    Ok(())
                }
                Event::Tick => self.tick(socket).await,
            };
            if let Err(error) = result {
                return End::Broken(error);
            }
            let reopen = self.out.iter().any(|out| matches!(out, Out::Reopen));
            if let Err(error) = self.hand_on(socket).await {
                return End::Broken(error);
            }
            if self.commands_over && self.listen.is_none() {
                return End::Over;
            }
            if reopen {
                return End::Reopen;
            }
        }
    }

    async fn next(&mut self, socket: &mut Socket) -> Event {
        let wake = self.wake_at();
        let Self { commands, commands_over, listen, asks, .. } = self;
        let unwanted = async {
            if asks.is_empty() {
                return std::future::pending().await;
            }
            select_all(asks.iter().map(|(id, asked)| {
                Box::pin(async {
                    asked.out.closed().await;
                    *id
                })
            }))
            .await
            .0
        };
        let (input, output) = match listen {
            Some(listen) => (Some(&mut listen.input), Some(&listen.output)),
            None => (None, None),
        };
        let told = async {
            match input {
                Some(input) => input.recv().await,
                None => std::future::pending().await,
            }
        };
        let unheard = async {
            match output {
                Some(output) => output.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            id = unwanted => Event::Unwanted(id),
            frame = socket.next_frame() => Event::Frame(frame),
            command = commands.recv(), if !*commands_over => Event::Command(command),
            input = told => Event::Input(input),
            () = unheard => Event::Unheard,
            () = sleep_until(wake) => Event::Tick,
        }
    }

    fn wake_at(&self) -> Instant {
        let listen = self.last_heard + if self.pinged { DEAD_AFTER } else { PING_AFTER };
        let asks = self.asks.values().map(|asked| asked.due).min();
        [asks, self.engine.next_due()].into_iter().flatten().fold(listen, Instant::min)
    }

    /// Registers what is wanted.
    fn command(&mut self, command: Command) -> Option<u64> {
        match command {
            Command::Listen { language, input, output, reply } => {
                self.engine.language(&language);
                self.listen = Some(Listen { input, output });
                self.opening = Some(reply);
                None
            }
            Command::Ask { ask, out } => {
                if self.asks.len() >= ASKS_MAX {
                    out.fail(Error::new(ErrorKind::Overloaded, self.engine.name(), "too many answers at a time"));
                    return None;
                }
                self.next_id += 1;
                self.asks.insert(self.next_id, Asked::new(ask, out, self.rate_hz, self.limits, Instant::now()));
                Some(self.next_id)
            }
        }
    }

    /// The same, on a connection.
    fn command_now(&mut self, command: Command) {
        if let Some(id) = self.command(command)
            && let Some(asked) = self.asks.get(&id)
        {
            self.engine.ask(id, &asked.ask, &mut self.out);
        }
        if let Some(reply) = self.opening.take() {
            let _ = reply.send(Ok(()));
        }
    }

    fn told(&mut self, input: TranscriberInput) {
        match input {
            TranscriberInput::Audio(pcm) | TranscriberInput::Silence(pcm) => {
                let mut theirs = Vec::with_capacity(pcm.len() * 3);
                self.resampler.process(&pcm, &mut theirs);
                self.engine.audio(theirs, &mut self.out);
            }
            TranscriberInput::Finalize { work } => {
                let now = Instant::now();
                self.engine.finalize(work, now, now + self.limits.finalize, &mut self.out);
            }
            TranscriberInput::Discard => self.engine.discard(&mut self.out),
        }
    }

    fn heard(&mut self, frame: Result<Frame, Error>) -> Result<(), Error> {
        let frame = frame?;
        (self.last_heard, self.pinged) = (Instant::now(), false);
        match frame {
            Frame::SignOfLife => Ok(()),
            Frame::Text(_) | Frame::Binary(_) => self.engine.heard(&frame, self.last_heard, &mut self.out),
        }
    }

    async fn tick(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let now = Instant::now();
        self.engine.overdue(now, &mut self.out);
        let late: Vec<u64> = self.asks.iter().filter(|(_, asked)| asked.due <= now).map(|(id, _)| *id).collect();
        let mut silent = false;
        for id in late {
            let Some(asked) = self.asks.remove(&id) else { continue };
            silent |= !asked.begun;
            let detail = if asked.begun { "the answer stopped" } else { "no answer in time" };
            asked.out.fail(Error::new(ErrorKind::TimedOut, self.engine.name(), detail));
            self.engine.cancel(id, &mut self.out);
        }
        if silent || now >= self.last_heard + DEAD_AFTER {
            // A vendor that answers nothing may answer on another connection.
            return Err(Error::new(ErrorKind::TimedOut, self.engine.name(), "the connection is silent"));
        }
        if !self.pinged && now >= self.last_heard + PING_AFTER {
            self.pinged = true;
            socket.ping().await?;
        }
        Ok(())
    }

    /// Does what the engine said. What could not be sent is lost with its connection, the rest stays to be done.
    async fn hand_on(&mut self, socket: &mut Socket) -> Result<(), Error> {
        // Doing it can lead to more: an answer that is too long is cancelled.
        while !self.out.is_empty() {
            let mut todo = VecDeque::from(std::mem::take(&mut self.out));
            while let Some(out) = todo.pop_front() {
                if let Out::Send(message) = out {
                    if let Err(error) = socket.send(message).await {
                        self.out.extend(todo);
                        return Err(error);
                    }
                } else {
                    self.deliver(out);
                }
            }
        }
        Ok(())
    }

    /// What has no connection any more is not sent; what is for the call is given to it.
    fn deliver_rest(&mut self) {
        for out in std::mem::take(&mut self.out) {
            self.deliver(out);
        }
        self.out.clear();
    }

    fn deliver(&mut self, out: Out) {
        match out {
            Out::Send(_) | Out::Reopen => {}
            Out::Partial(text) => self.say(TranscriberOutput::Partial { text }),
            Out::Final { work, text } => self.say(TranscriberOutput::Final { work, text }),
            Out::Failed { work, error } => self.say(TranscriberOutput::Failed { work: Some(work), error }),
            Out::Audio { id, pcm, rate_hz } => self.give(id, |asked| asked.audio(&pcm, rate_hz)),
            Out::Text { id, text } => self.give(id, |asked| asked.text(text)),
            Out::Tool { id, call } => self.give(id, |asked| asked.tool(call)),
            Out::Usage { id, usage } => self.give(id, |asked| asked.usage(usage)),
            Out::Done { id } => {
                if let Some(asked) = self.asks.remove(&id) {
                    asked.done(self.engine.name());
                }
            }
            Out::Fail { id, error } => {
                if let Some(asked) = self.asks.remove(&id) {
                    asked.out.fail(error);
                }
            }
        }
    }

    fn give(&mut self, id: u64, give: impl FnOnce(&mut Asked) -> Result<(), &'static str>) {
        let Some(asked) = self.asks.get_mut(&id) else { return };
        asked.heard(Instant::now());
        if let Err(detail) = give(asked)
            && let Some(asked) = self.asks.remove(&id)
        {
            asked.out.fail(Error::new(ErrorKind::Protocol, self.engine.name(), detail));
            self.engine.cancel(id, &mut self.out);
        }
    }

    fn say(&mut self, output: TranscriberOutput) {
        let Some(listen) = &self.listen else { return };
        // The next partial replaces this one anyway.
        if matches!(output, TranscriberOutput::Partial { .. }) && listen.output.capacity() <= ROOM_FOR_ANSWERS {
            return;
        }
        if listen.output.try_send(output).is_err() {
            if !listen.output.is_closed() {
                tracing::warn!(provider = self.engine.name(), "the call does not read its transcripts");
            }
            self.listen = None;
        }
    }

    /// What was partly delivered is not begun again.
    fn fail_begun(&mut self, error: &Error) {
        let begun: Vec<u64> = self.asks.iter().filter(|(_, asked)| asked.begun).map(|(id, _)| *id).collect();
        for id in begun {
            if let Some(asked) = self.asks.remove(&id) {
                asked.out.fail(again(self.engine.name(), error));
            }
        }
    }

    async fn fail_all(&mut self, error: &Error) {
        self.deliver_rest();
        let name = self.engine.name();
        if let Some(reply) = self.opening.take() {
            let _ = reply.send(Err(again(name, error)));
            self.listen = None;
        }
        for asked in std::mem::take(&mut self.asks).into_values() {
            asked.out.fail(again(name, error));
        }
        let works = self.engine.give_up();
        if let Some(listen) = self.listen.take() {
            for work in works.into_iter().map(Some).chain([None]) {
                // Failing means that nobody listens any more.
                let _ = listen.output.send(TranscriberOutput::Failed { work, error: again(name, error) }).await;
            }
        }
    }
}

fn again(name: &'static str, error: &Error) -> Error {
    Error::new(error.kind, name, error.detail.clone())
}
