//! Items that come one by one and are worked on together. While a batch is under way the next one gathers, so that under
//! load many share one transaction, and an item that comes alone waits for nobody.
//!
//! An item is answered when the work on its batch is over. What is done with the items of a batch, and what happens to
//! the others when one of them is bad, is the work's own business.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Items of one batch. What a transaction costs by itself has long vanished in so many; more would only make the first of
/// them wait.
pub(crate) const BATCH_MAX: usize = 128;
/// Items that wait for a batch: as many as there can be carriers' requests at once, and those that were given up
/// meanwhile, which cost nothing but their place.
const WAITING_MAX: usize = 1_024;
/// Batches under way at once, and only while the others are slow: each waits for the database, and what keeps one (a lock
/// on one call, on one organisation's audit log) must not keep everybody's.
const FLIGHTS_MAX: usize = 4;
/// An item that waits for longer may have a batch of its own beside the one under way.
const SLOW: Duration = Duration::from_millis(100);

/// What is done with the items.
pub(crate) trait Work: Send + Sync + 'static {
    /// What comes.
    type Item: Send;
    /// What is answered.
    type Answer: Send;

    /// Two items with the same key are never in one batch; the later one follows in a later batch.
    fn key(item: &Self::Item) -> Option<&str>;

    /// Works on a batch of at most [`BATCH_MAX`]; the answers, in the items' order.
    fn run(self: Arc<Self>, batch: Vec<Self::Item>) -> impl Future<Output = Vec<Self::Answer>> + Send;
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Too many wait already.
    Full,
    /// The work panicked.
    Lost,
}

/// Gathers items.
pub(crate) struct Gatherer<W: Work> {
    line: Arc<Mutex<Line<W>>>,
}

struct Line<W: Work> {
    waiting: VecDeque<Waiting<W>>,
    /// Batches under way.
    flights: usize,
}

struct Waiting<W: Work> {
    item: W::Item,
    answer: oneshot::Sender<W::Answer>,
}

impl<W: Work> Default for Gatherer<W> {
    fn default() -> Self {
        Self { line: Arc::new(Mutex::new(Line { waiting: VecDeque::new(), flights: 0 })) }
    }
}

fn lock<W: Work>(line: &Mutex<Line<W>>) -> MutexGuard<'_, Line<W>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W: Work> Gatherer<W> {
    /// Works on this item, together with those that come at the same time. Whoever stops waiting before its batch begins
    /// takes the item back; later, the work is done all the same.
    pub(crate) async fn submit(&self, work: &Arc<W>, item: W::Item) -> Result<W::Answer, NoAnswer> {
        let (answer, mut answered) = oneshot::channel();
        let idle = {
            let mut line = lock(&self.line);
            if line.waiting.len() >= WAITING_MAX {
                return Err(NoAnswer::Full);
            }
            line.waiting.push_back(Waiting { item, answer });
            line.flights == 0 && line.take_off()
        };
        if idle {
            self.fly(work);
        }
        loop {
            match tokio::time::timeout(SLOW, &mut answered).await {
                Ok(answer) => return answer.map_err(|_| NoAnswer::Lost),
                Err(_) => {
                    let more = lock(&self.line).take_off();
                    if more {
                        self.fly(work);
                    }
                }
            }
        }
    }

    fn fly(&self, work: &Arc<W>) {
        tokio::spawn(fly(Landing(Arc::clone(&self.line)), Arc::clone(work)));
    }
}

/// Batch after batch until nobody waits. A task of its own, so that nobody's hanging up ends another's work.
async fn fly<W: Work>(landing: Landing<W>, work: Arc<W>) {
    loop {
        // Whoever is ready to come may come along: one round of the other tasks, no waiting.
        tokio::task::yield_now().await;
        let batch = lock(&landing.0).board();
        if batch.is_empty() {
            return;
        }
        let (items, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
        let outcome = Arc::clone(&work).run(items).await;
        for (answer, outcome) in answers.into_iter().zip(outcome) {
            // Somebody may have stopped waiting.
            let _ = answer.send(outcome);
        }
    }
}

/// A flight is over however it ends.
struct Landing<W: Work>(Arc<Mutex<Line<W>>>);

impl<W: Work> Drop for Landing<W> {
    fn drop(&mut self) {
        lock(&self.0).flights -= 1;
    }
}

impl<W: Work> Line<W> {
    /// Whether there is work for one more flight, which then counts.
    fn take_off(&mut self) -> bool {
        let wanted = self.flights < FLIGHTS_MAX && !self.waiting.is_empty();
        self.flights += usize::from(wanted);
        wanted
    }

    /// The next batch: the longest waiting, no key twice, nobody who has stopped waiting.
    fn board(&mut self) -> Vec<Waiting<W>> {
        let mut batch: Vec<Waiting<W>> = Vec::with_capacity(self.waiting.len().min(BATCH_MAX));
        let mut keys: HashSet<String> = HashSet::new();
        let mut later = VecDeque::new();
        while batch.len() < BATCH_MAX {
            let Some(next) = self.waiting.pop_front() else { break };
            if next.answer.is_closed() {
                continue;
            }
            let twice = W::key(&next.item).is_some_and(|key| !keys.insert(key.to_owned()));
            if twice { later.push_back(next) } else { batch.push(next) }
        }
        later.append(&mut self.waiting);
        self.waiting = later;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    /// Answers with the batch's number and the item; waits for a permit for each batch.
    struct Desk {
        batches: AtomicUsize,
        open: Semaphore,
        seen: Mutex<Vec<Vec<String>>>,
    }

    impl Desk {
        fn new(permits: usize) -> Arc<Self> {
            Arc::new(Self { batches: AtomicUsize::new(0), open: Semaphore::new(permits), seen: Mutex::default() })
        }

        fn seen(&self) -> Vec<Vec<String>> {
            self.seen.lock().expect("free").clone()
        }
    }

    impl Work for Desk {
        type Item = String;
        type Answer = (usize, String);

        fn key(item: &String) -> Option<&str> {
            item.strip_prefix("key:")
        }

        async fn run(self: Arc<Self>, batch: Vec<String>) -> Vec<(usize, String)> {
            let number = self.batches.fetch_add(1, Ordering::Relaxed);
            self.seen.lock().expect("free").push(batch.clone());
            assert!(!batch.iter().any(|item| item == "panic"), "as asked");
            self.open.acquire().await.expect("open").forget();
            batch.into_iter().map(|item| (number, item)).collect()
        }
    }

    type Answered = tokio::task::JoinHandle<Result<(usize, String), NoAnswer>>;

    fn send(gatherer: &Arc<Gatherer<Desk>>, desk: &Arc<Desk>, item: &str) -> Answered {
        let (gatherer, desk, item) = (gatherer.clone(), desk.clone(), item.to_owned());
        tokio::spawn(async move { gatherer.submit(&desk, item).await })
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_come_while_a_batch_is_under_way_are_the_next_in_order() {
        let (gatherer, desk) = (Arc::new(Gatherer::default()), Desk::new(0));
        let first = send(&gatherer, &desk, "a");
        settle().await;
        let rest: Vec<Answered> = ["b", "c", "d"].map(|item| send(&gatherer, &desk, item)).into();
        settle().await;
        assert_eq!(desk.seen(), [["a"]], "one batch at a time");
        desk.open.add_permits(1);
        assert_eq!(first.await.expect("ends"), Ok((0, "a".to_owned())));
        desk.open.add_permits(1);
        for (one, item) in rest.into_iter().zip(["b", "c", "d"]) {
            assert_eq!(one.await.expect("ends"), Ok((1, item.to_owned())), "its own answer");
        }
        assert_eq!(desk.seen(), [vec!["a"], vec!["b", "c", "d"]]);
        settle().await;
        assert_eq!(lock(&gatherer.line).flights, 0, "nothing runs when nobody waits");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_ready_at_the_same_time_comes_along_at_once() {
        let (gatherer, desk) = (Arc::new(Gatherer::default()), Desk::new(9));
        let all: Vec<Answered> = (0..5).map(|n| send(&gatherer, &desk, &n.to_string())).collect();
        for one in all {
            assert_eq!(one.await.expect("ends").expect("an answer").0, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_has_a_size_and_no_key_twice() {
        let (gatherer, desk) = (Arc::new(Gatherer::default()), Desk::new(0));
        let first = send(&gatherer, &desk, "first");
        settle().await;
        let mut all: Vec<Answered> =
            ["key:x", "y", "key:x", "key:z", "key:x"].map(|item| send(&gatherer, &desk, item)).into();
        all.extend((0..BATCH_MAX).map(|n| send(&gatherer, &desk, &n.to_string())));
        settle().await;
        desk.open.add_permits(9);
        for one in all.into_iter().chain([first]) {
            one.await.expect("ends").expect("an answer");
        }
        let seen = desk.seen();
        assert_eq!(seen[1][..4], ["key:x", "y", "key:z", "0"]);
        assert_eq!(seen[1].len(), BATCH_MAX);
        assert_eq!(seen[2][0], "key:x", "the longest waiting first");
        assert_eq!(seen[3], ["key:x"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_line_takes_nobody_and_keeps_those_in_it() {
        let (gatherer, desk) = (Arc::new(Gatherer::default()), Desk::new(0));
        let first = send(&gatherer, &desk, "first");
        settle().await;
        let waiting: Vec<Answered> = (0..WAITING_MAX).map(|n| send(&gatherer, &desk, &n.to_string())).collect();
        settle().await;
        assert_eq!(gatherer.submit(&desk, "late".to_owned()).await, Err(NoAnswer::Full));
        desk.open.add_permits(100);
        for one in waiting.into_iter().chain([first]) {
            one.await.expect("ends").expect("an answer");
        }
        assert_eq!(gatherer.submit(&desk, "later".to_owned()).await.expect("room again").1, "later");
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_hangs_keeps_others_for_a_moment_only() {
        let (gatherer, desk) = (Arc::new(Gatherer::default()), Desk::new(0));
        let stuck = send(&gatherer, &desk, "stuck");
        settle().await;
        let others: Vec<Answered> = ["a", "b"].map(|item| send(&gatherer, &desk, item)).into();
        settle().await;
        assert_eq!(desk.seen().len(), 1);
        tokio::time::sleep(2 * SLOW).await;
        assert_eq!(desk.seen()[1..], [["a", "b"]]);
        // However slow all are, there are a few at once.
        for n in 0..10 {
            let _waits = send(&gatherer, &desk, &n.to_string());
            tokio::time::sleep(2 * SLOW).await;
        }
        assert_eq!(desk.seen().len(), FLIGHTS_MAX);
        desk.open.add_permits(100);
        for one in others.into_iter().chain([stuck]) {
            one.await.expect("ends").expect("an answer");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_stopped_waiting_is_left_out_and_who_hangs_up_later_ends_nothing() {
        let (gatherer, desk) = (Arc::new(Gatherer::default()), Desk::new(0));
        let first = send(&gatherer, &desk, "first");
        settle().await;
        let (gone, stays) = (send(&gatherer, &desk, "gone"), send(&gatherer, &desk, "stays"));
        settle().await;
        gone.abort();
        // Its batch is under way.
        first.abort();
        settle().await;
        desk.open.add_permits(9);
        assert_eq!(stays.await.expect("ends"), Ok((1, "stays".to_owned())));
        assert_eq!(desk.seen(), [["first"], ["stays"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_loses_its_batch_and_nothing_after_it() {
        let (gatherer, desk) = (Arc::new(Gatherer::default()), Desk::new(9));
        assert_eq!(send(&gatherer, &desk, "panic").await.expect("ends"), Err(NoAnswer::Lost));
        assert_eq!(send(&gatherer, &desk, "after").await.expect("ends").expect("an answer").1, "after");
    }
}
