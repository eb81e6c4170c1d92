//! Threads for inference, apart from the asynchronous ones: a model that computes for 100 ms must never stand between
//! a call and its next 20 ms of sound. Work that could not start in time is not done at all.

use crate::{Error, ErrorKind};
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Inferences waiting for a thread. At about 100 ms each, one thread is more than 3 s behind with this many: who comes
/// later is told at once.
pub const QUEUE_MAX: usize = 32;
/// Threads at most: beyond this the memory bandwidth is the limit and not the cores.
pub const WORKERS_MAX: usize = 32;
/// Niceness of the threads on Linux: the tasks that move sound go first when the processor is short.
const NICENESS: i32 = 5;

/// How late the pool is, is forgotten by half in this time: a pause in the talk of a few callers is no reserve.
const FORGET_HALF: Duration = Duration::from_secs(4);

const PROVIDER: &str = "builtin";

/// How large a pool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Inferences at the same time, each on one thread.
    pub workers: usize,
    /// Inferences waiting.
    pub queue: usize,
}

impl Default for PoolSettings {
    /// A thread for each core. What moves sound needs little, and goes before them ([`NICENESS`]); with one core kept
    /// for it, two cores served half as many calls.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { workers: cores.min(WORKERS_MAX), queue: QUEUE_MAX }
    }
}

/// What a pool has done and is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Inferences under way.
    pub running: usize,
    /// Inferences waiting (with those given up and not yet taken out).
    pub queued: usize,
    /// Finished, since the start.
    pub finished: u64,
    /// Refused because the queue was full, since the start.
    pub refused: u64,
    /// Not started before their deadline, since the start.
    pub timed_out: u64,
    /// Ended in a panic, since the start.
    pub panicked: u64,
}

/// Threads for inference. Clones share them; they end with the last clone.
#[derive(Clone)]
pub struct InferencePool {
    owner: Arc<Owner>,
}

/// Tells the threads to end when the last handle is gone.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        queue.jobs.clear();
        self.0.wake.notify_all();
    }
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    queue_max: usize,
    running: AtomicUsize,
    finished: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    panicked: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    late: Lateness,
}

/// How long work waits for a thread, smoothed.
#[derive(Clone, Copy, Default)]
struct Lateness {
    ms: f64,
    at: Option<Instant>,
}

impl Lateness {
    fn at(self, now: Instant) -> f64 {
        let elapsed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.ms * (-elapsed.as_secs_f64() / FORGET_HALF.as_secs_f64()).exp2()
    }

    /// The worst of late counts at once, the good slowly.
    fn note(&mut self, waited: Duration, now: Instant) {
        *self = Self { ms: self.at(now).max(waited.as_secs_f64() * 1_000.0), at: Some(now) };
    }
}

struct Job {
    queued_at: Instant,
    ticket: Arc<Ticket>,
    deadline: Instant,
    work: Box<dyn FnOnce() + Send>,
}

/// Who was first: the thread that wants to start the work, or the one who waits and gives it up.
struct Ticket(AtomicU8);

const WAITING: u8 = 0;
const STARTED: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Ticket {
    fn claim(&self, as_state: u8) -> bool {
        self.0.compare_exchange(WAITING, as_state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }
}

/// Gives the work up when the one who waits for it goes away.
struct GiveUp(Arc<Ticket>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.claim(GIVEN_UP);
    }
}

impl Shared {
    /// The queue. A panic cannot leave it half-changed: no foreign code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, job: Job) -> Result<(), Error> {
        let mut queue = self.lock();
        if queue.jobs.len() >= self.queue_max {
            queue.jobs.retain(|waiting| !waiting.ticket.is_given_up());
        }
        if queue.jobs.len() >= self.queue_max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let detail = format!("{} inferences are waiting already", self.queue_max);
            return Err(Error::new(ErrorKind::Overloaded, PROVIDER, detail));
        }
        queue.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    /// The next job that somebody still waits for; nothing when the pool has ended.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            while let Some(job) = queue.jobs.pop_front() {
                let now = Instant::now();
                if !job.ticket.is_given_up() {
                    queue.late.note(now.saturating_duration_since(job.queued_at), now);
                }
                if job.deadline <= now {
                    // The one who waits finds out by the same deadline; here it only must not run late.
                    job.ticket.claim(GIVEN_UP);
                } else if job.ticket.claim(STARTED) {
                    return Some(job);
                }
            }
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            self.running.fetch_add(1, Ordering::Relaxed);
            (job.work)();
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl InferencePool {
    /// Starts the threads.
    ///
    /// # Errors
    /// `Unavailable` when the system gives no thread.
    pub fn start(settings: PoolSettings) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            queue_max: settings.queue.max(1),
            running: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        });
        let owner = Arc::new(Owner(Arc::clone(&shared)));
        for index in 0..settings.workers.clamp(1, WORKERS_MAX) {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("inference-{index}"))
                .spawn(move || {
                    stand_back();
                    shared.work();
                })
                .map_err(|e| Error::new(ErrorKind::Unavailable, PROVIDER, "no thread for inference").caused_by(e))?;
        }
        Ok(Self { owner })
    }

    /// Queues work now; the future gives its result. Dropping the future takes the work back if it has not started.
    ///
    /// # Errors
    /// `Overloaded` when the queue is full, `TimedOut` when no thread was free before `deadline` (work that has started
    /// is waited for), `Unavailable` when the work panicked.
    pub fn run<T, F>(&self, deadline: Instant, work: F) -> impl Future<Output = Result<T, Error>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let shared = Arc::clone(&self.owner.0);
        let ticket = Arc::new(Ticket(AtomicU8::new(WAITING)));
        let (sender, mut receiver) = oneshot::channel();
        let counts = Arc::clone(&shared);
        let work = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
                counts.panicked.fetch_add(1, Ordering::Relaxed);
                Error::new(ErrorKind::Unavailable, PROVIDER, "the inference panicked")
            });
            counts.finished.fetch_add(1, Ordering::Relaxed);
            // Nobody waits any more: a barge-in, or the end of the call.
            let _ = sender.send(result);
        });
        let submitted = shared.submit(Job { queued_at: Instant::now(), ticket: Arc::clone(&ticket), deadline, work });
        let guard = GiveUp(ticket);
        async move {
            submitted?;
            let answer = match tokio::time::timeout_at(deadline, &mut receiver).await {
                Ok(answer) => answer,
                Err(_) if guard.0.claim(GIVEN_UP) || guard.0.is_given_up() => {
                    shared.timed_out.fetch_add(1, Ordering::Relaxed);
                    return Err(Error::new(ErrorKind::TimedOut, PROVIDER, "no thread was free in time"));
                }
                Err(_) => receiver.await,
            };
            answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, PROVIDER, "the inference was not started")))
        }
    }

    /// How late work begins, in ms: the longest wait of the last seconds, or that of the work that waits now.
    #[must_use]
    pub fn late_ms(&self) -> u64 {
        let now = Instant::now();
        let queue = self.owner.0.lock();
        let waiting = queue.jobs.iter().find(|job| !job.ticket.is_given_up());
        let waits = waiting.map_or(Duration::ZERO, |job| now.saturating_duration_since(job.queued_at));
        let late = queue.late.at(now).max(waits.as_secs_f64() * 1_000.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
        let late_ms = late as u64;
        late_ms
    }

    /// What it has done and is doing.
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        let shared = &self.owner.0;
        PoolCounts {
            running: shared.running.load(Ordering::Relaxed),
            queued: shared.lock().jobs.len(),
            finished: shared.finished.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            timed_out: shared.timed_out.load(Ordering::Relaxed),
            panicked: shared.panicked.load(Ordering::Relaxed),
        }
    }
}

/// Lowers the priority of this thread. Only Linux knows it per thread; where it is refused, nothing is lost but order.
pub(super) fn stand_back() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
    #[cfg(not(target_os = "linux"))]
    let _ = NICENESS;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn pool(workers: usize, queue: usize) -> InferencePool {
        InferencePool::start(PoolSettings { workers, queue }).unwrap()
    }

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// Occupies one worker until the sender is dropped; returns when the worker is in it.
    fn occupy(pool: &InferencePool) -> (mpsc::Sender<()>, crate::BoxFuture<'static, Result<(), Error>>) {
        let (release, wait) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let running = pool.run(in_a_minute(), move || {
            entered.send(()).unwrap();
            let _ = wait.recv();
        });
        inside.recv().unwrap();
        (release, Box::pin(running))
    }

    #[tokio::test]
    async fn knows_how_late_it_is() {
        let pool = pool(1, 4);
        assert_eq!(pool.late_ms(), 0);
        let (release, running) = occupy(&pool);
        let waits = pool.run(in_a_minute(), || ());
        while pool.late_ms() < 20 {
            tokio::task::yield_now().await;
        }
        drop(release);
        let _ = tokio::join!(running, waits);
        assert!((1..60_000).contains(&pool.late_ms()), "it is not forgotten at once");
        let now = Instant::now();
        let mut late = Lateness::default();
        late.note(Duration::from_millis(800), now);
        late.note(Duration::from_millis(10), now);
        for (after, want) in [(0, 800.0), (4, 400.0), (8, 200.0), (60, 0.1)] {
            let got = late.at(now + Duration::from_secs(after));
            assert!((got - want).abs() < 0.1, "{after} s: {got}");
        }
    }

    #[tokio::test]
    async fn gives_the_result() {
        let pool = pool(2, 4);
        let (a, b) = tokio::join!(pool.run(in_a_minute(), || 6 * 7), pool.run(in_a_minute(), || "text".to_owned()));
        assert_eq!(a.unwrap(), 42);
        assert_eq!(b.unwrap(), "text");
        assert_eq!(pool.counts().finished, 2);
    }

    #[tokio::test]
    async fn runs_on_a_named_thread_of_its_own() {
        let pool = pool(1, 1);
        let name = pool.run(in_a_minute(), || std::thread::current().name().map(str::to_owned));
        assert_eq!(name.await.unwrap().as_deref(), Some("inference-0"));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let pool = pool(1, 2);
        let (release, first) = occupy(&pool);
        let second = pool.run(in_a_minute(), || 1);
        let third = pool.run(in_a_minute(), || 2);
        let refused = pool.run(in_a_minute(), || 3).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Overloaded);
        assert_eq!(pool.counts(), PoolCounts { running: 1, queued: 2, refused: 1, ..PoolCounts::default() });
        drop(release);
        first.await.unwrap();
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_cannot_start_in_time_is_never_done() {
        let pool = pool(1, 4);
        let (release, first) = occupy(&pool);
        let (done, was_done) = mpsc::channel();
        let late = pool.run(Instant::now() + Duration::from_millis(50), move || done.send(()).unwrap());
        assert_eq!(late.await.unwrap_err().kind, ErrorKind::TimedOut);
        drop(release);
        first.await.unwrap();
        assert!(was_done.recv().is_err(), "it was dropped without being called");
        assert_eq!(pool.counts().timed_out, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_has_started_is_waited_for_past_its_deadline() {
        let pool = pool(1, 4);
        let (release, wait) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let slow = pool.run(Instant::now() + Duration::from_millis(50), move || {
            entered.send(()).unwrap();
            let _ = wait.recv();
            7
        });
        inside.recv().unwrap();
        let slow = tokio::spawn(slow);
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(release);
        assert_eq!(slow.await.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn dropping_the_future_takes_waiting_work_back_and_frees_its_place() {
        let pool = pool(1, 1);
        let (release, first) = occupy(&pool);
        let (done, was_done) = mpsc::channel();
        let dropped = pool.run(in_a_minute(), move || done.send(()).unwrap());
        // Polled once, so that it waits.
        let mut dropped = Box::pin(dropped);
        tokio::select! {
            biased;
            _ = &mut dropped => panic!("the worker is busy"),
            () = std::future::ready(()) => {}
        }
        drop(dropped);
        let next = pool.run(in_a_minute(), || 5);
        drop(release);
        first.await.unwrap();
        assert_eq!(next.await.unwrap(), 5);
        assert!(was_done.recv().is_err());
    }

    #[tokio::test]
    async fn a_future_never_polled_takes_its_work_back_too() {
        let pool = pool(1, 1);
        let (release, first) = occupy(&pool);
        drop(pool.run(in_a_minute(), || 1));
        let next = pool.run(in_a_minute(), || 2);
        drop(release);
        first.await.unwrap();
        assert_eq!(next.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_worker_lives_on() {
        let pool = pool(1, 4);
        let failed = pool.run(in_a_minute(), || -> u8 { panic!("for the test") }).await.unwrap_err();
        assert_eq!(failed.kind, ErrorKind::Unavailable);
        assert_eq!(pool.run(in_a_minute(), || 1).await.unwrap(), 1);
        assert_eq!(pool.counts().panicked, 1);
    }

    #[tokio::test]
    async fn the_end_of_the_pool_ends_what_waits() {
        let pool = pool(1, 4);
        let (release, first) = occupy(&pool);
        let waiting = pool.run(in_a_minute(), || 1);
        // The futures hold the threads' queue, not the pool.
        drop(pool);
        drop(release);
        first.await.unwrap();
        assert_eq!(waiting.await.unwrap_err().kind, ErrorKind::TimedOut);
    }
}
