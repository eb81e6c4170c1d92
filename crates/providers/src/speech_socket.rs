//! What text to speech over WebSockets has in common: connections that stay open from sentence to sentence, carry
//! several at a time where the vendor can, and survive a sentence that is not wanted any more.
//!
//! One pool for each speaker. A sentence takes the least busy connection that leads where it wants to go (voice, rate
//! and language may be part of the address), or opens one. A connection that was lost while it was idle is noticed by
//! the next sentence, which then opens another; nothing else is tried twice.
//!
//! A vendor adds a [`Protocol`]: its address, and a [`Talk`] for each connection, which is pure.

mod connection;
mod sentence;

use crate::http::{Http, error_body, kind_of_status, transport_error};
use crate::live::{Address, Frame, Socket, Vendor};
use crate::speaker::{CHUNK_QUEUE, SpeakRequest, SpeechChunk, TEXT_BYTES_MAX, WordTime};
use crate::{Error, ErrorKind};
use connection::{Command, Connection};
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use sentence::Line;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use wire::word_times::TimedWord;

/// Connections of one speaker, those being opened included. Where a vendor speaks one sentence at a time on each, it is
/// the sentences being made at one moment: no node has so many. What a vendor allows is less, and it says so itself.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Longest wait for the first sound of a sentence. A caller has long said "hello?" by then.
pub const FIRST_SOUND_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest wait between two pieces of sound.
pub const PIECE_TIMEOUT: Duration = Duration::from_secs(4);
/// Longest sentence in time: it is taken as it is played.
pub const SENTENCE_TIMEOUT: Duration = Duration::from_secs(180);
/// Sound of one sentence, in seconds, that is kept until the call takes it: vendors make it many times faster than it
/// is played. Twice what the longest text gives.
pub const SENTENCE_SOUND_S_MAX: usize = 120;
/// Pieces of one sentence that wait for the call; with pieces of 20 ms over a minute.
const EVENTS_MAX: usize = 4_096;
/// Sentences and cancellations on their way to one connection. It reads them at once.
const COMMANDS_MAX: usize = 64;
/// Longest answer to the question whether service and key work.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Rates a call can want. All vendors here make them themselves.
const SAMPLE_RATES_HZ: [u32; 3] = [8_000, 16_000, 24_000];

/// How long speech may take, piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpeechDeadlines {
    /// From the request to the first sound, a new connection included.
    pub first: Duration,
    /// From one piece to the next.
    pub idle: Duration,
    /// From the request to the last chunk taken by the call, which takes them as it plays.
    pub total: Duration,
}

impl Default for SpeechDeadlines {
    fn default() -> Self {
        Self { first: FIRST_SOUND_TIMEOUT, idle: PIECE_TIMEOUT, total: SENTENCE_TIMEOUT }
    }
}

/// What a connection may be used for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections in all.
    pub(crate) connections: usize,
    /// Sentences on one connection at a time.
    pub(crate) sentences: usize,
    /// Sentences begun on one connection within some time.
    pub(crate) pace: Option<(usize, Duration)>,
    /// A connection without a sentence for so long is closed.
    pub(crate) idle_timeout: Duration,
    /// Of a sentence.
    pub(crate) deadlines: SpeechDeadlines,
}

/// How a vendor is reached.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// Who it is.
    fn vendor(&self) -> &'static Vendor;
    /// Where such a sentence is spoken. Equal addresses share connections.
    fn address(&self, request: &SpeakRequest) -> Result<Address, Error>;
    /// A new connection's side of the conversation.
    fn talk(&self) -> Box<dyn Talk>;
}

/// One connection's side of the conversation. Pure. Sentences have numbers that are never used again.
pub(crate) trait Talk: Send {
    /// What is sent to have a sentence spoken.
    fn begin(&mut self, id: u64, request: &SpeakRequest, out: &mut Vec<Message>);
    /// What is sent when it is not wanted any more.
    fn cancel(&mut self, id: u64, out: &mut Vec<Message>) -> Cancelled;
    /// What the vendor says. An error ends the connection.
    fn heard(&mut self, frame: Frame, events: &mut Vec<(u64, Event)>) -> Result<(), Error>;
    /// What is sent before the connection is closed.
    fn farewell(&self) -> Option<Message>;
}

/// What a cancellation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The place is free.
    Over,
    /// The place is free when the vendor says `End` for it.
    Ending,
}

/// Something that happened to a sentence.
#[derive(Debug)]
pub(crate) enum Event {
    /// Samples, 16 bit little-endian.
    Sound(Vec<u8>),
    /// Words whose times became known, in order.
    Words(Vec<WordTime>),
    /// It is complete (or, when it was cancelled, over).
    End,
    /// The vendor will not complete it.
    Failed(Error),
    /// The connection is lost.
    Lost(Error),
}

/// A sentence's name on the wire.
pub(crate) fn context_name(id: u64) -> String {
    format!("s{id}")
}

/// The number behind it; `None` when it is none of ours.
pub(crate) fn context_number(name: &str) -> Option<u64> {
    name.strip_prefix('s')?.parse().ok()
}

/// Words as vendors tell them, as the call takes them.
pub(crate) fn told(words: Vec<TimedWord>) -> Event {
    let time = |TimedWord { text, from_ms, to_ms }| WordTime { text, from_ms, to_ms };
    Event::Words(words.into_iter().map(time).collect())
}

/// The connections of one speaker. Dropping the last one closes them.
#[derive(Clone)]
pub(crate) struct SpeechSocket(Arc<Pool>);

pub(in crate::speech_socket) struct Pool {
    protocol: Box<dyn Protocol>,
    limits: Limits,
    lanes: Mutex<Lanes>,
    numbers: AtomicU64,
}

#[derive(Default)]
struct Lanes {
    open: Vec<Lane>,
    connecting: usize,
    /// Addresses that connections lead to: a few, while there are hundreds of connections to look through.
    urls: Vec<Arc<str>>,
}

impl Lanes {
    /// The one copy of this address.
    fn url(&mut self, url: &str) -> Arc<str> {
        if let Some(known) = self.urls.iter().find(|known| known.as_ref() == url) {
            return Arc::clone(known);
        }
        // Only connections, and whoever looks for one, hold an address.
        self.urls.retain(|known| Arc::strong_count(known) > 1);
        let url: Arc<str> = url.into();
        self.urls.push(Arc::clone(&url));
        url
    }
}

/// An open connection as the pool sees it.
struct Lane {
    number: u64,
    url: Arc<str>,
    commands: mpsc::Sender<Command>,
    /// Sentences on it.
    load: usize,
    /// When the last ones began, as far as its pace is limited.
    begins: VecDeque<Instant>,
    life: Arc<Life>,
}

/// When a connection was last known to be alive.
pub(in crate::speech_socket) struct Life {
    opened: Instant,
    /// When the vendor said something, or a sentence came while there was none; ms since then.
    sign_ms: AtomicU64,
}

impl Life {
    pub(in crate::speech_socket) fn sign(&self, now: Instant) {
        self.sign_ms.store(self.ms(now), Ordering::Relaxed);
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.opened).as_millis()).unwrap_or(u64::MAX)
    }

    fn silent_for(&self, now: Instant) -> Duration {
        Duration::from_millis(self.ms(now).saturating_sub(self.sign_ms.load(Ordering::Relaxed)))
    }
}

impl fmt::Debug for SpeechSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechSocket").finish_non_exhaustive()
    }
}

impl SpeechSocket {
    pub(crate) fn new(protocol: impl Protocol, limits: Limits) -> Self {
        let protocol = Box::new(protocol);
        Self(Arc::new(Pool { protocol, limits, lanes: Mutex::default(), numbers: AtomicU64::new(1) }))
    }

    /// The whole of [`crate::speaker::Speaker::speak`].
    pub(crate) fn speak(&self, request: SpeakRequest) -> mpsc::Receiver<Result<SpeechChunk, Error>> {
        let (out, receiver) = mpsc::channel(CHUNK_QUEUE);
        if request.text.trim().is_empty() {
            return receiver;
        }
        if let Err(error) = self.0.acceptable(&request) {
            out.try_send(Err(error)).expect("the queue is new and has room");
            return receiver;
        }
        let pool = Arc::clone(&self.0);
        tokio::spawn(async move {
            let result = tokio::select! {
                // The receiver is gone: dropping the sentence cancels it.
                () = out.closed() => return,
                result = sentence::run(&pool, &request, &out) => result,
            };
            if let Err(error) = result {
                // A full queue with a live receiver is waited for; a closed one needs no news.
                let _ = out.send(Err(error)).await;
            }
        });
        receiver
    }

    /// Opens the connection that such a sentence will want, when there is none: it is spoken 100 to 300 ms earlier.
    pub(crate) async fn warm(&self, like: &SpeakRequest) -> Result<(), Error> {
        let address = self.0.protocol.address(like)?;
        if self.0.lanes().open.iter().any(|lane| lane.url.as_ref() == address.url()) {
            return Ok(());
        }
        let place = self.0.reserve()?;
        let socket = address.connect().await?;
        place.fill(socket, address.url(), None);
        Ok(())
    }
}

impl Pool {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ErrorKind, detail: &str) -> Error {
        self.protocol.vendor().error(kind, detail)
    }

    fn acceptable(&self, request: &SpeakRequest) -> Result<(), Error> {
        if request.text.len() > TEXT_BYTES_MAX {
            return Err(self.error(ErrorKind::Rejected, "the text is too long for one request"));
        }
        if !SAMPLE_RATES_HZ.contains(&request.sample_rate_hz) {
            return Err(self.error(ErrorKind::Rejected, "only 8, 16 and 24 kHz can be made"));
        }
        self.protocol.address(request).map(drop)
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins a sentence, on an open connection if there is one and `fresh` does not forbid it.
    async fn begin(self: &Arc<Self>, request: &SpeakRequest, fresh: bool) -> Result<Line, Error> {
        let address = self.protocol.address(request)?;
        if !fresh && let Some(line) = self.begin_on_open(address.url(), request) {
            return Ok(line);
        }
        let place = self.reserve()?;
        let socket = address.connect().await?;
        let (begin, line) = self.line(request);
        let commands = place.fill(socket, address.url(), Some(begin));
        Ok(line.on(commands, false))
    }

    fn begin_on_open(&self, url: &str, request: &SpeakRequest) -> Option<Line> {
        let mut lanes = self.lanes();
        let url = lanes.url(url);
        let now = Instant::now();
        loop {
            let lanes_there = lanes.open.iter_mut().filter(|lane| Arc::ptr_eq(&lane.url, &url));
            let free = lanes_there.filter_map(|lane| lane.has_room(&self.limits, now).then_some(lane));
            let lane = free.min_by_key(|lane| lane.load)?;
            let (begin, line) = self.line(request);
            match lane.commands.try_send(begin) {
                Ok(()) => {
                    lane.begun(&self.limits, now);
                    return Some(line.on(lane.commands.clone(), true));
                }
                Err(_) => {
                    // It has just ended.
                    let number = lane.number;
                    lanes.open.retain(|lane| lane.number != number);
                }
            }
        }
    }

    fn line(&self, request: &SpeakRequest) -> (Command, LineParts) {
        let id = self.number();
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        (Command::Begin { id, request: request.clone(), events }, LineParts { id, events: receiver })
    }

    /// A place for one more connection; an idle one makes room for it.
    fn reserve(self: &Arc<Self>) -> Result<Place, Error> {
        let mut lanes = self.lanes();
        if lanes.open.len() + lanes.connecting >= self.limits.connections {
            // Its task ends when nobody can send it anything any more.
            match lanes.open.iter().position(|lane| lane.load == 0) {
                Some(idle) => drop(lanes.open.swap_remove(idle)),
                None => return Err(self.error(ErrorKind::Overloaded, "all connections are busy")),
            }
        }
        lanes.connecting += 1;
        drop(lanes);
        Ok(Place(Arc::clone(self)))
    }

    /// A sentence has left its place.
    pub(in crate::speech_socket) fn finished(&self, number: u64) {
        if let Some(lane) = self.lanes().open.iter_mut().find(|lane| lane.number == number) {
            lane.load = lane.load.saturating_sub(1);
        }
    }

    /// No more sentences for this connection.
    pub(in crate::speech_socket) fn gone(&self, number: u64) {
        self.lanes().open.retain(|lane| lane.number != number);
    }
}

impl Lane {
    fn has_room(&mut self, limits: &Limits, now: Instant) -> bool {
        if let Some((most, within)) = limits.pace {
            while self.begins.front().is_some_and(|begin| now.duration_since(*begin) > within) {
                self.begins.pop_front();
            }
            if self.begins.len() >= most {
                return false;
            }
        }
        // One that does not answer may hang: what follows goes elsewhere.
        let hangs = self.load > 0 && self.life.silent_for(now) >= sentence::DOUBTFUL_AFTER;
        !hangs && self.load < limits.sentences
    }

    fn begun(&mut self, limits: &Limits, now: Instant) {
        if self.load == 0 {
            self.life.sign(now);
        }
        self.load += 1;
        if limits.pace.is_some() {
            self.begins.push_back(now);
        }
    }
}

/// A line before it is known on which connection it is.
struct LineParts {
    id: u64,
    events: mpsc::Receiver<Event>,
}

impl LineParts {
    fn on(self, commands: mpsc::Sender<Command>, reused: bool) -> Line {
        Line::new(self.id, self.events, commands, reused)
    }
}

/// A place that is kept while its connection is opened.
struct Place(Arc<Pool>);

impl Place {
    fn fill(self, socket: Socket, url: &str, first: Option<Command>) -> mpsc::Sender<Command> {
        let pool = &self.0;
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let now = Instant::now();
        let url = pool.lanes().url(url);
        let mut lane = Lane {
            number: pool.number(),
            url,
            commands: commands.clone(),
            load: 0,
            begins: VecDeque::new(),
            life: Arc::new(Life { opened: now, sign_ms: AtomicU64::new(0) }),
        };
        if let Some(first) = first {
            commands.try_send(first).expect("the queue is new and has room");
            lane.begun(&pool.limits, now);
        }
        let connection = Connection::new(pool, lane.number, socket, receiver, Arc::clone(&lane.life));
        pool.lanes().open.push(lane);
        tokio::spawn(connection.run());
        commands
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lanes().connecting -= 1;
    }
}

/// What a vendor answered to a small question.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The beginning of it, when the status is not 200.
    pub(crate) body: Vec<u8>,
    wait_s: Option<u32>,
}

impl Answered {
    /// An error unless the status is 200.
    pub(crate) fn fine(&self, vendor: &'static Vendor) -> Result<(), Error> {
        if self.status == 200 {
            return Ok(());
        }
        let said = (vendor.refusal)(&self.body);
        let wait = self.wait_s.map(|seconds| format!(" (retry after {seconds} s)")).unwrap_or_default();
        let detail = format!("HTTP {} {}", self.status, said.trim());
        Err(vendor.error(kind_of_status(self.status), format!("{}{wait}", detail.trim_end())))
    }
}

/// Asks `url`, which may begin with `wss`, with the key and, where a vendor wants it, a version.
pub(crate) async fn ask(
    vendor: &'static Vendor,
    http: &Http,
    url: &str,
    header: (HeaderName, String),
    version: Option<(&'static str, &'static str)>,
) -> Result<Answered, Error> {
    let url = url.trim().replacen("wss://", "https://", 1).replacen("ws://", "http://", 1);
    let mut key = HeaderValue::try_from(header.1)
        .map_err(|_| vendor.error(ErrorKind::Unauthorized, "the key has characters no key has"))?;
    key.set_sensitive(true);
    let mut request = http.client().get(url).header(header.0, key).timeout(CHECK_TIMEOUT);
    if let Some((name, value)) = version {
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(|error| transport_error(vendor.name, error))?;
    let status = response.status().as_u16();
    let wait_s = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let body = if status == 200 { Vec::new() } else { error_body(response).await };
    Ok(Answered { status, body, wait_s })
}
