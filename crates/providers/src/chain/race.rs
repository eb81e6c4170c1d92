//! Who begins first: asks one provider after the other, or two at once, until one of them begins to deliver.

use super::guard::Attempt;
use super::{Chain, Order, RETRIES, ROOM_MIN};
use crate::resilience::random01;
use crate::{BoxFuture, Error, ErrorKind};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How long each and all may take to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// One, when there is another after it.
    pub(super) first: Duration,
    /// All.
    pub(super) all: Duration,
    /// After so long without a beginning a second one is asked as well.
    pub(super) hedge_after: Option<Duration>,
    /// The last one is asked a second time, once, when it is late by `first`, and whichever begins first is taken: one
    /// request that hangs is no dead provider.
    pub(super) twice: bool,
    /// What it means that one ends without having begun.
    pub(super) empty: ErrorKind,
}

/// One that has begun.
pub(super) struct Begun<P> {
    pub(super) index: usize,
    pub(super) attempt: Attempt,
    /// What came up to the beginning, in order.
    pub(super) head: Vec<P>,
    pub(super) rest: mpsc::Receiver<Result<P, Error>>,
}

type Running<P> = FuturesUnordered<BoxFuture<'static, (usize, Result<Begun<P>, Error>)>>;

/// Asks until one begins. `ask` sends the request to a link; `begins` tells a beginning from what comes before it.
pub(super) async fn first<T, P>(
    chain: &Chain<T>,
    limits: Limits,
    ask: impl Fn(usize) -> mpsc::Receiver<Result<P, Error>>,
    begins: fn(&P) -> bool,
) -> Result<Begun<P>, Error>
where
    T: ?Sized,
    P: Send + 'static,
{
    let now = Instant::now();
    let last = now + limits.all;
    let mut hedge_at = limits.hedge_after.map(|after| now + after);
    let (mut may_ask_twice, mut twice_at) = (limits.twice, None);
    let mut order = chain.order();
    let mut running: Running<P> = FuturesUnordered::new();
    let (mut failed, mut attempts, mut retrying) = (None, 0u32, false);
    let start = |index: usize, attempt: Attempt, more: bool| {
        let until = if more { last.min(Instant::now() + limits.first) } else { last };
        chain.note(index, |line| line.requests = line.requests.saturating_add(1));
        begin(index, attempt, ask(index), begins, until, limits.empty)
    };
    loop {
        if running.is_empty() {
            let (index, attempt, again) = whom(chain, &mut order, failed.take(), attempts, last).await?;
            retrying |= again;
            attempts += 1;
            let more = chain.somebody(&order);
            // What runs on this machine is late because it is busy.
            let elsewhere = chain.link(index).target.is_some();
            twice_at = (may_ask_twice && elsewhere && !more).then(|| (Instant::now() + limits.first, index));
            running.push(start(index, attempt, more));
        }
        let far = last + limits.all;
        tokio::select! {
            biased;
            Some((index, result)) = running.next() => {
                if retrying {
                    chain.guard.retried(result.is_ok());
                }
                match result {
                    Ok(begun) => {
                        chain.delivers(index);
                        return Ok(begun);
                    }
                    Err(error) => {
                        tracing::warn!(provider = %chain.link(index).name, error = %error, "a provider failed");
                        failed = Some((index, error));
                    }
                }
            }
            () = sleep_until(hedge_at.unwrap_or(far)), if hedge_at.is_some() => {
                hedge_at = None;
                if let Some((index, attempt)) = chain.next(&mut order) {
                    attempts += 1;
                    running.push(start(index, attempt, chain.somebody(&order)));
                }
            }
            () = sleep_until(twice_at.map_or(far, |(at, _)| at)), if twice_at.is_some() => {
                may_ask_twice = false;
                let late = twice_at.take().filter(|(at, _)| *at + ROOM_MIN < last);
                if let Some((index, attempt)) = late.and_then(|(_, index)| Some((index, chain.attempt(index)?))) {
                    tracing::debug!(provider = %chain.link(index).name, "late, and asked once more");
                    (attempts, retrying) = (attempts + 1, true);
                    running.push(start(index, attempt, false));
                }
            }
        }
    }
}

/// Whom to ask when nobody is being asked: the next one, or once more the last one, which failed so.
async fn whom<T: ?Sized>(
    chain: &Chain<T>,
    order: &mut Order,
    failed: Option<(usize, Error)>,
    attempts: u32,
    last: Instant,
) -> Result<(usize, Attempt, bool), Error> {
    if let Some((index, attempt)) = chain.next(order) {
        return Ok((index, attempt, false));
    }
    let (index, error) = failed.ok_or_else(|| chain.nobody())?;
    match again(chain, index, &error, attempts, last).await {
        Some(attempt) => Ok((index, attempt, true)),
        None => Err(error),
    }
}

/// Waits until the last one may be tried once more, if that is worth it.
async fn again<T: ?Sized>(
    chain: &Chain<T>,
    index: usize,
    error: &Error,
    attempts: u32,
    last: Instant,
) -> Option<Attempt> {
    let wait = RETRIES.after(error, attempts, random01())?;
    if Instant::now() + wait + ROOM_MIN > last {
        return None;
    }
    sleep(wait).await;
    chain.attempt(index)
}

/// One request up to its beginning.
fn begin<P: Send + 'static>(
    index: usize,
    attempt: Attempt,
    mut pieces: mpsc::Receiver<Result<P, Error>>,
    begins: fn(&P) -> bool,
    until: Instant,
    empty: ErrorKind,
) -> BoxFuture<'static, (usize, Result<Begun<P>, Error>)> {
    Box::pin(async move {
        let mut head = Vec::new();
        let error = loop {
            match timeout_at(until, pieces.recv()).await {
                Ok(Some(Ok(piece))) => {
                    let begun = begins(&piece);
                    head.push(piece);
                    if begun {
                        let mut attempt = attempt;
                        attempt.begin();
                        return (index, Ok(Begun { index, attempt, head, rest: pieces }));
                    }
                }
                Ok(Some(Err(error))) => break error,
                Ok(None) => break Error::new(empty, "chain", "it ended without having begun"),
                Err(_) => break Error::new(ErrorKind::TimedOut, "chain", "no beginning in time"),
            }
        };
        attempt.failed(&error);
        (index, Err(error))
    })
}
