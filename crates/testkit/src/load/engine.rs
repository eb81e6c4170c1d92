//! The loop: one thread waits for all sockets and all timers of callers and vendors at once.

use super::call::{Call, Life, Next};
use super::carrier::Target;
use super::context::{Context, GROUPS, Group, Timer, VendorCounts, What};
use super::figures::{Figures, Lateness};
use super::socket::Socket;
use super::vendors::{Answers, Vendor};
use super::wheel::{Micros, Wheel};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// Events taken at a time: timers are looked at in between.
const EVENTS_MAX: usize = 64;
/// Orders that wait.
const COMMANDS_MAX: usize = 64;
/// Bytes read at a time; more than a socket holds at once as a rule.
const READ_BYTES: usize = 64 * 1024;
/// Between two looks of others at the counters.
const PUBLISHED_EVERY: Micros = 100_000;
/// From one hanging up to the next, when all do.
const HUNG_UP_EVERY: Micros = 5_000;
/// Calls at once that a generator takes.
pub const CALLS_MAX: usize = 4_000;
/// A leg of a party; see [`Timer`].
const LEGS_OF_ONE: u64 = 1 << 24;

/// Calls that are to be made.
#[derive(Clone, Debug)]
pub struct Order {
    /// With whom they are counted.
    pub group: Group,
    /// How many.
    pub calls: usize,
    /// When the first begins.
    pub begins: Instant,
    /// The others follow evenly within this time.
    pub over: Duration,
    /// How long they take.
    pub life: Life,
    /// Whom they call.
    pub target: Arc<Target>,
}

/// What has been counted since the last time it was taken.
#[derive(Debug)]
pub struct Taken {
    /// Of each group, as [`Group`] numbers them.
    pub groups: [Figures; GROUPS],
    /// What vendors were asked for, since the beginning.
    pub vendors: VendorCounts,
    /// How late the vendors were with what they owed.
    pub vendors_late: Lateness,
    /// Processor time of callers and vendors within the window, in seconds; none where the system does not tell.
    pub processor_s: Option<f64>,
    /// How long their thread waited for a processor within the window, in seconds.
    pub waited_s: Option<f64>,
}

macro_rules! progress {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters that others may look at while calls go on.
        #[derive(Debug, Default)]
        pub struct Progress { $($(#[$doc])* $name: AtomicU64),* }

        impl Progress {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> u64 { self.$name.load(Ordering::Relaxed) })*
        }
    };
}

progress! {
    /// Calls whose media is open.
    live,
    /// Lines that are not done.
    lines,
    /// Answers heard.
    answers,
    /// Gaps heard.
    gaps,
    /// Calls refused.
    refused,
    /// Calls that broke.
    errors,
}

enum Command {
    Order(Order),
    Window(Instant, Instant),
    HangUp,
    Take(oneshot::Sender<Taken>),
    Stop,
}

/// The generator has ended, or was asked for too much at once.
#[derive(Debug, thiserror::Error)]
#[error("the load generator takes no orders any more")]
pub struct Ended;

/// Callers and vendors on a thread of their own. Dropping it ends them all.
#[derive(Debug)]
pub struct Load {
    commands: SyncSender<Command>,
    waker: Waker,
    /// See there.
    pub progress: Arc<Progress>,
    /// Where the vendors listen.
    pub vendors: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Starts the thread; the vendors listen, nobody calls yet.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub fn start() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let vendors = listener.local_addr()?;
        let progress = Arc::new(Progress::default());
        let (commands, receiver) = sync_channel(COMMANDS_MAX);
        let registry = poll.registry().try_clone()?;
        let engine = Engine::new(poll, registry, listener, receiver, Arc::clone(&progress));
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(move || engine.run())?;
        Ok(Self { commands, waker, progress, vendors, thread: Some(thread) })
    }

    fn command(&self, command: Command) -> Result<(), Ended> {
        match self.commands.try_send(command) {
            Ok(()) => self.waker.wake().map_err(|_| Ended),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Ended),
        }
    }

    /// Calls are to be made.
    ///
    /// # Errors
    /// When there are more orders than can wait.
    pub fn order(&self, order: Order) -> Result<(), Ended> {
        self.command(Command::Order(order))
    }

    /// What is said from `opens` to `closes` counts.
    ///
    /// # Errors
    /// When there are more orders than can wait.
    pub fn window(&self, opens: Instant, closes: Instant) -> Result<(), Ended> {
        self.command(Command::Window(opens, closes))
    }

    /// All callers hang up, 200 a second; nobody calls again.
    ///
    /// # Errors
    /// When there are more orders than can wait.
    pub fn hang_up(&self) -> Result<(), Ended> {
        self.command(Command::HangUp)
    }

    /// What has been counted; counting begins anew.
    ///
    /// # Errors
    /// When the thread is gone.
    pub async fn take(&self) -> Result<Taken, Ended> {
        let (sender, receiver) = oneshot::channel();
        self.command(Command::Take(sender))?;
        receiver.await.map_err(|_| Ended)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let asked = self.command(Command::Stop);
        if let Some(thread) = self.thread.take()
            && asked.is_ok()
        {
            // It looks at its orders at once.
            let _ = thread.join();
        }
    }
}

enum Party {
    Call(Box<Call>),
    Vendor(Box<Vendor>),
}

/// Seconds of processor time and of waiting for it, where this system tells.
type UsedAndWaited = Option<(f64, f64)>;

struct Engine {
    poll: Poll,
    listener: TcpListener,
    commands: Receiver<Command>,
    progress: Arc<Progress>,
    epoch: Instant,
    context: Context,
    parties: Vec<Option<Party>>,
    free: Vec<usize>,
    generation: u64,
    lines: u64,
    published: Micros,
    /// Processor time and waiting when the window opened and when it closed.
    used: (UsedAndWaited, UsedAndWaited),
    stopped: bool,
}

/// What this thread has used and how long it waited, in seconds: proc_pid_schedstat(5), nanoseconds.
fn used() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().ok());
    Some((numbers.next()?? / 1e9, numbers.next()?? / 1e9))
}

impl Engine {
    fn new(
        poll: Poll,
        registry: mio::Registry,
        listener: TcpListener,
        commands: Receiver<Command>,
        progress: Arc<Progress>,
    ) -> Self {
        let context = Context {
            now: 0,
            wheel: Wheel::new(),
            registry,
            scratch: Vec::new(),
            figures: Default::default(),
            window: (0, 0),
            hanging_up: false,
            hangs_up: (0, 0),
            live: 0,
            calls: 0,
            random: 0x9E37_79B9_7F4A_7C15,
            answers: Answers::new(),
            counts: VendorCounts::default(),
            vendors_late: Lateness::default(),
        };
        Self {
            poll,
            listener,
            commands,
            progress,
            epoch: Instant::now(),
            context,
            parties: Vec::new(),
            free: Vec::new(),
            generation: 0,
            lines: 0,
            published: 0,
            used: (None, None),
            stopped: false,
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; READ_BYTES];
        let mut due = Vec::new();
        while !self.stopped {
            let now = self.tick();
            let wait = Duration::from_millis(self.context.wheel.wait_ms(now));
            match self.poll.poll(&mut events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Nothing can be waited for any more; whoever gives orders is told so.
                Err(_) => return,
            }
            self.tick();
            self.timers(&mut due);
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => self.obey(),
                    Token(slot) => {
                        let ended = event.is_read_closed() || event.is_error();
                        self.with(slot, |party, context| match party {
                            Party::Call(call) => call.ready(ended, &mut buffer, context),
                            Party::Vendor(vendor) => vendor.ready(ended, &mut buffer, context),
                        });
                    }
                }
                self.tick();
            }
            self.look();
        }
    }

    fn tick(&mut self) -> Micros {
        self.context.now = self.epoch.elapsed().as_micros() as u64;
        self.context.now
    }

    fn timers(&mut self, due: &mut Vec<Timer>) {
        self.context.wheel.fire(self.context.now, due);
        for timer in due.drain(..) {
            self.with(timer.slot, |party, context| match party {
                Party::Call(call) => call.fired(timer, context),
                Party::Vendor(vendor) => vendor.fired(timer, context),
            });
            self.tick();
        }
    }

    fn with(&mut self, slot: usize, act: impl FnOnce(&mut Party, &mut Context) -> Next) {
        let Some(place) = self.parties.get_mut(slot) else { return };
        let Some(party) = place else { return };
        if act(party, &mut self.context) == Next::Gone {
            self.lines -= u64::from(matches!(party, Party::Call(_)));
            *place = None;
            self.free.push(slot);
        }
    }

    /// A place for somebody, and a number that no timer has yet.
    fn place(&mut self) -> (usize, u64) {
        self.generation += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.parties.push(None);
            self.parties.len() - 1
        });
        (slot, self.generation * LEGS_OF_ONE)
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let (slot, leg) = self.place();
            let both = Interest::READABLE | Interest::WRITABLE;
            let registered = self.context.registry.register(&mut stream, Token(slot), both);
            if registered.and_then(|()| stream.set_nodelay(true)).is_err() {
                self.free.push(slot);
                continue;
            }
            self.parties[slot] = Some(Party::Vendor(Box::new(Vendor::new(slot, leg, Socket::new(stream)))));
        }
    }

    fn at(&self, moment: Instant) -> Micros {
        moment.saturating_duration_since(self.epoch).as_micros() as u64
    }

    fn obey(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Order(order) => self.take_order(&order),
                Command::Window(opens, closes) => {
                    self.context.window = (self.at(opens), self.at(closes));
                    self.used = (None, None);
                }
                Command::HangUp => {
                    self.context.hanging_up = true;
                    self.context.hangs_up = (self.context.now, self.context.live * HUNG_UP_EVERY);
                }
                Command::Take(to) => {
                    // Whoever asked may be gone.
                    let _ = to.send(self.taken());
                }
                Command::Stop => self.stopped = true,
            }
        }
    }

    fn take_order(&mut self, order: &Order) {
        self.context.hanging_up = false;
        let begins = self.at(order.begins);
        let over = order.over.as_micros() as u64;
        let room = CALLS_MAX.saturating_sub(self.lines as usize);
        for n in 0..order.calls.min(room) {
            let (slot, leg) = self.place();
            let call = Call::new(slot, leg, order.group, order.life, Arc::clone(&order.target));
            let at = begins + over * n as u64 / order.calls as u64;
            self.context.wheel.set(at, call.timer(What::Begin));
            self.parties[slot] = Some(Party::Call(Box::new(call)));
            self.lines += 1;
        }
    }

    fn taken(&mut self) -> Taken {
        for party in self.parties.iter_mut().flatten() {
            if let Party::Call(call) = party {
                call.count(&mut self.context);
            }
        }
        let (opened, closed) = self.used;
        let between = opened.zip(closed.or_else(used));
        Taken {
            groups: std::mem::take(&mut self.context.figures),
            vendors: self.context.counts,
            vendors_late: std::mem::take(&mut self.context.vendors_late),
            processor_s: between.map(|(opened, closed)| closed.0 - opened.0),
            waited_s: between.map(|(opened, closed)| closed.1 - opened.1),
        }
    }

    /// Notes what is used when the window opens and closes, and lets others see how it goes.
    fn look(&mut self) {
        let (now, (opens, closes)) = (self.context.now, self.context.window);
        if self.used.0.is_none() && now >= opens && opens != closes {
            self.used.0 = used();
            self.context.vendors_late = Lateness::default();
        }
        if self.used.0.is_some() && self.used.1.is_none() && now >= closes {
            self.used.1 = used();
        }
        if now < self.published + PUBLISHED_EVERY {
            return;
        }
        self.published = now;
        let sum = |of: fn(&Figures) -> u64| self.context.figures.iter().map(of).sum();
        let Progress { live, lines, answers, gaps, refused, errors } = &*self.progress;
        for (counter, count) in [
            (live, self.context.live),
            (lines, self.lines),
            (answers, sum(|figures| figures.answers.len() as u64)),
            (gaps, sum(|figures| figures.gaps.len() as u64)),
            (refused, sum(Figures::refusals)),
            (errors, sum(|figures| figures.errors)),
        ] {
            counter.store(count, Ordering::Relaxed);
        }
    }
}
