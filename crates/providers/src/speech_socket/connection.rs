//! One connection: hands sentences to the vendor and what comes back to the sentences.

use super::{Cancelled, Event, Life, Pool, SENTENCE_SOUND_S_MAX, Talk};
use crate::alarm::Alarm;
use crate::live::{DEAD_AFTER, Frame, PING_AFTER, Socket, Vendor};
use crate::speaker::SpeakRequest;
use crate::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// A cancelled sentence that the vendor does not end for so long: the connection is not used for new ones.
const ENDING_TIMEOUT: Duration = Duration::from_secs(5);

/// What a sentence wants of its connection.
pub(super) enum Command {
    /// Speak this.
    Begin { id: u64, request: SpeakRequest, events: mpsc::Sender<Event> },
    /// Not wanted any more.
    Cancel {
        id: u64,
        /// The vendor did not answer in time: no new sentences here.
        doubtful: bool,
    },
}

/// A sentence under way.
struct Sentence {
    /// `None` = cancelled, and not yet ended by the vendor.
    events: Option<mpsc::Sender<Event>>,
    bytes_left: usize,
    /// When a cancelled one must have ended.
    until: Option<Instant>,
}

/// Why a connection ends.
enum End {
    /// It is not needed any more.
    Idle,
    /// It is lost.
    Lost(Error),
    /// The vendor said something after which it is no good any more.
    Failed(Error),
}

pub(super) struct Connection {
    pool: Weak<Pool>,
    vendor: &'static Vendor,
    number: u64,
    idle_timeout: Duration,
    socket: Socket,
    talk: Box<dyn Talk>,
    commands: mpsc::Receiver<Command>,
    sentences: BTreeMap<u64, Sentence>,
    out: Vec<Message>,
    events: Vec<(u64, Event)>,
    life: Arc<Life>,
    /// No new sentences; it ends with the last one.
    retired: bool,
    idle_since: Instant,
    heard_at: Instant,
    pinged: bool,
    alarm: Alarm,
}

impl Connection {
    pub(super) fn new(
        pool: &Arc<Pool>,
        number: u64,
        socket: Socket,
        commands: mpsc::Receiver<Command>,
        life: Arc<Life>,
    ) -> Self {
        let now = Instant::now();
        Self {
            pool: Arc::downgrade(pool),
            vendor: pool.protocol.vendor(),
            number,
            idle_timeout: pool.limits.idle_timeout,
            socket,
            talk: pool.protocol.talk(),
            commands,
            sentences: BTreeMap::new(),
            out: Vec::new(),
            events: Vec::new(),
            life,
            retired: false,
            idle_since: now,
            heard_at: now,
            pinged: false,
            alarm: Alarm::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let end = loop {
            match self.step().await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        self.finish(end).await;
    }

    async fn step(&mut self) -> Result<(), End> {
        let wake = self.next_wake();
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.command(command),
                None => return Err(End::Idle),
            },
            frame = self.socket.next_frame() => self.heard(frame.map_err(End::Lost)?)?,
            () = self.alarm.at(wake) => self.overdue(Instant::now()).await?,
        }
        let mut out = self.out.drain(..).peekable();
        while let Some(message) = out.next() {
            let sent =
                if out.peek().is_some() { self.socket.feed(message).await } else { self.socket.send(message).await };
            sent.map_err(End::Lost)?;
        }
        drop(out);
        if self.retired && self.sentences.is_empty() { Err(End::Idle) } else { Ok(()) }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Begin { id, request, events } => {
                // 16 bit.
                let bytes_left = request.sample_rate_hz as usize * 2 * SENTENCE_SOUND_S_MAX;
                self.talk.begin(id, &request, &mut self.out);
                self.sentences.insert(id, Sentence { events: Some(events), bytes_left, until: None });
            }
            Command::Cancel { id, doubtful } => {
                self.cancel(id);
                if doubtful {
                    self.retire();
                }
            }
        }
    }

    /// Nobody wants it, or it has become too long.
    fn cancel(&mut self, id: u64) {
        let Some(sentence) = self.sentences.get_mut(&id) else { return };
        if sentence.events.take().is_none() {
            return;
        }
        match self.talk.cancel(id, &mut self.out) {
            Cancelled::Over => self.remove(id),
            Cancelled::Ending => sentence.until = Some(Instant::now() + ENDING_TIMEOUT),
        }
    }

    fn remove(&mut self, id: u64) {
        if self.sentences.remove(&id).is_some() {
            self.idle_since = Instant::now();
            if let Some(pool) = self.pool.upgrade() {
                pool.finished(self.number);
            }
        }
    }

    fn retire(&mut self) {
        self.retired = true;
        if let Some(pool) = self.pool.upgrade() {
            pool.gone(self.number);
        }
    }

    fn heard(&mut self, frame: Frame) -> Result<(), End> {
        self.heard_at = Instant::now();
        self.pinged = false;
        if let Frame::SignOfLife = frame {
            return Ok(());
        }
        self.life.sign(self.heard_at);
        let mut events = std::mem::take(&mut self.events);
        let result = self.talk.heard(frame, &mut events);
        for (id, event) in events.drain(..) {
            self.happened(id, event);
        }
        self.events = events;
        result.map_err(End::Failed)
    }

    fn happened(&mut self, id: u64, event: Event) {
        let last = matches!(event, Event::End | Event::Failed(_) | Event::Lost(_));
        // Of a sentence that was cancelled and freed its place at once more may come.
        let Some(sentence) = self.sentences.get_mut(&id) else { return };
        let mut wanted = true;
        if let Event::Sound(piece) = &event {
            wanted = piece.len() <= sentence.bytes_left;
            sentence.bytes_left = sentence.bytes_left.saturating_sub(piece.len());
        }
        if let Some(events) = &sentence.events {
            // A queue without room or reader.
            wanted = wanted && events.try_send(event).is_ok();
        }
        if last {
            self.remove(id);
        } else if !wanted {
            self.cancel(id);
        }
    }

    fn next_wake(&self) -> Instant {
        let life = self.heard_at + if self.pinged { DEAD_AFTER } else { PING_AFTER };
        let mut wake = life;
        if self.sentences.is_empty() {
            wake = wake.min(self.idle_since + self.idle_timeout);
        }
        let ending = self.sentences.values().filter_map(|sentence| sentence.until).min();
        ending.map_or(wake, |until| wake.min(until))
    }

    async fn overdue(&mut self, now: Instant) -> Result<(), End> {
        if self.sentences.is_empty() && now >= self.idle_since + self.idle_timeout {
            return Err(End::Idle);
        }
        if now >= self.heard_at + DEAD_AFTER {
            return Err(End::Lost(self.vendor.error(ErrorKind::Unavailable, "no sign of life")));
        }
        let stuck: Vec<u64> = self
            .sentences
            .iter()
            .filter(|(_, sentence)| sentence.until.is_some_and(|until| now >= until))
            .map(|(id, _)| *id)
            .collect();
        if !stuck.is_empty() {
            self.retire();
        }
        for id in stuck {
            self.remove(id);
        }
        if !self.pinged && now >= self.heard_at + PING_AFTER {
            self.pinged = true;
            self.socket.ping().await.map_err(End::Lost)?;
        }
        Ok(())
    }

    async fn finish(mut self, end: End) {
        // First: after this nobody puts a sentence here.
        self.retire();
        let lost = || self.vendor.error(ErrorKind::Unavailable, "closed");
        let again = |error: &Error| Error::new(error.kind, self.vendor.name, error.detail.clone());
        let told = || match &end {
            End::Idle => Event::Lost(lost()),
            End::Lost(error) => Event::Lost(again(error)),
            End::Failed(error) => Event::Failed(again(error)),
        };
        for events in self.sentences.values().filter_map(|sentence| sentence.events.as_ref()) {
            // Full or without a reader: there is nobody to tell.
            let _ = events.try_send(told());
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Begin { events, .. } = command {
                // It was never sent: the sentence may open another connection.
                let _ = events.try_send(Event::Lost(lost()));
            }
        }
        self.socket.close(self.talk.farewell()).await;
    }
}
