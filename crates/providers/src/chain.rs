//! Several providers of one kind, behind the trait of that kind: who fails or is late is followed by the next one, at
//! once, with what has not been delivered.
//!
//! Made for each call. Before a request goes out the breaker of that organisation and provider is asked; what came of it
//! is told to the breaker. What was partly delivered (a sentence that began to sound, an answer whose text began) is
//! never begun again by another: it ends with an error, and the call decides.

mod guard;
mod language_model;
mod meter;
mod race;
mod speaker;
mod transcriber;
mod utterance;

pub use guard::Guard;
pub use language_model::{ANSWER_DEADLINE, ANSWER_IDLE, ChainModel, FIRST_TEXT};
pub use meter::Meter;
pub use speaker::{ChainSpeaker, FIRST_SOUND, SPEECH_DEADLINE, SPEECH_IDLE};
pub use transcriber::{ChainTranscriber, OPEN_DEADLINE, TEXT_DEADLINE, TEXT_FIRST};
pub use utterance::REPLAY_S_MAX;

use crate::resilience::{ATTEMPTS_MAX, RetryPolicy, Target};
use crate::{Error, ErrorKind};
use guard::Attempt;
use model::Stage;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Providers of one chain: the chosen one and three fallbacks.
pub const LINKS_MAX: usize = 4;
/// A provider that was replaced is asked first again after so long. It has its breaker besides; a minute is what most
/// vendors' hiccups last.
pub const RECOVERY_AFTER: Duration = Duration::from_secs(60);
/// The one that was replaced is asked again only when nothing was wanted for so long: the sentences of one answer follow
/// one another at once, and are to be spoken in one voice.
pub const ANSWER_GAP: Duration = Duration::from_secs(2);
/// When the last provider is tried once more: soon, since the caller waits; at random, since others wait, too.
const RETRIES: RetryPolicy = RetryPolicy {
    attempts: ATTEMPTS_MAX,
    first_wait: Duration::from_millis(200),
    wait_max: Duration::from_millis(800),
};
/// A try with less time than this left is not worth the request.
const ROOM_MIN: Duration = Duration::from_millis(300);

/// One provider of a chain.
#[derive(Debug)]
pub struct Link<T: ?Sized> {
    /// Its client.
    pub provider: Arc<T>,
    /// Who it is, for what a call used: `deepgram`.
    pub name: String,
    /// With which model; empty when it has one only.
    pub model: String,
    /// Voice of a speaker; empty = its default. Of no meaning for others.
    pub voice: String,
    /// Its breaker; none for what runs on this machine, which is not left alone when it is busy.
    pub target: Option<Target>,
}

impl<T: ?Sized> Link<T> {
    /// A provider without model, voice or breaker.
    pub fn new(provider: Arc<T>, name: impl Into<String>) -> Self {
        Self { provider, name: name.into(), model: String::new(), voice: String::new(), target: None }
    }
}

impl<T: ?Sized> Clone for Link<T> {
    fn clone(&self) -> Self {
        Self {
            provider: Arc::clone(&self.provider),
            name: self.name.clone(),
            model: self.model.clone(),
            voice: self.voice.clone(),
            target: self.target,
        }
    }
}

/// What the chains of all kinds have in common.
struct Chain<T: ?Sized> {
    links: Vec<Link<T>>,
    stage: Stage,
    guard: Guard,
    meter: Meter,
    preferred: Mutex<Preferred>,
}

/// Who is asked first.
#[derive(Clone, Copy, Debug)]
struct Preferred {
    index: usize,
    /// Since when, if it is not the first.
    since: Instant,
    last_used: Instant,
}

impl<T: ?Sized> Chain<T> {
    fn new(first: Link<T>, fallbacks: Vec<Link<T>>, stage: Stage, guard: Guard, meter: Meter) -> Self {
        let mut links = Vec::with_capacity(LINKS_MAX);
        links.push(first);
        links.extend(fallbacks.into_iter().take(LINKS_MAX - 1));
        let now = Instant::now();
        let preferred = Mutex::new(Preferred { index: 0, since: now, last_used: now });
        Self { links, stage, guard, meter, preferred }
    }

    /// The link; the number comes from this chain.
    fn link(&self, index: usize) -> &Link<T> {
        &self.links[index]
    }

    /// In which order they are asked now.
    fn order(&self) -> Order {
        let now = Instant::now();
        let mut preferred = self.preferred();
        if preferred.index != 0
            && now.duration_since(preferred.since) >= RECOVERY_AFTER
            && now.duration_since(preferred.last_used) >= ANSWER_GAP
        {
            preferred.index = 0;
        }
        preferred.last_used = now;
        Order::starting_with(preferred.index, self.links.len())
    }

    /// This one delivers; it is asked first from now on.
    fn delivers(&self, index: usize) {
        let now = Instant::now();
        let mut preferred = self.preferred();
        preferred.last_used = now;
        if preferred.index == index {
            return;
        }
        (preferred.index, preferred.since) = (index, now);
        drop(preferred);
        if index == 0 {
            return;
        }
        tracing::warn!(stage = self.stage.as_str(), provider = %self.link(index).name, "a fallback took over");
        self.meter.note(|usage| {
            let count = match self.stage {
                Stage::Transcribing => &mut usage.counts.fallbacks_transcribing,
                Stage::Thinking => &mut usage.counts.fallbacks_thinking,
                Stage::Speaking => &mut usage.counts.fallbacks_speaking,
                Stage::Tool => return,
            };
            *count = count.saturating_add(1);
        });
    }

    /// This one broke off in the middle of what it delivered: the next one is asked first from now on. Otherwise a provider
    /// that begins well and never ends would be asked again and again, although another is there.
    fn broke_off(&self, index: usize) {
        let count = self.links.len();
        let others = (1..count).map(|n| (index + n) % count);
        let next = others.into_iter().find(|other| self.guard.would_pass(self.link(*other).target));
        if let Some(next) = next {
            self.delivers(next);
        }
    }

    /// The answer has just ended: what follows at once belongs to it.
    fn used(&self) {
        self.preferred().last_used = Instant::now();
    }

    /// The next one that its breaker lets pass.
    fn next(&self, order: &mut Order) -> Option<(usize, Attempt)> {
        while let Some(index) = order.next() {
            match self.attempt(index) {
                Some(attempt) => return Some((index, attempt)),
                None => tracing::debug!(provider = %self.link(index).name, "left out: its breaker is open"),
            }
        }
        None
    }

    /// Is there one among them that its breaker would let pass?
    fn somebody(&self, order: &Order) -> bool {
        order.0.iter().any(|index| self.guard.would_pass(self.link(*index).target))
    }

    fn attempt(&self, index: usize) -> Option<Attempt> {
        self.guard.attempt(self.link(index).target)
    }

    /// Nobody was asked.
    fn nobody(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "chain", "left alone for a minute after failures")
    }

    fn preferred(&self) -> std::sync::MutexGuard<'_, Preferred> {
        // Whole after every step: a panic elsewhere leaves nothing half done.
        self.preferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of what the call used.
    fn note(&self, index: usize, change: impl FnOnce(&mut model::UsageLine)) {
        let link = self.link(index);
        self.meter.note(|usage| {
            if let Some(line) = usage.line(self.stage, &link.name, &link.model) {
                change(line);
            }
        });
    }
}

/// Numbers of links that are still to be asked.
#[derive(Clone, Debug, Default)]
struct Order(std::collections::VecDeque<usize>);

impl Order {
    fn starting_with(first: usize, count: usize) -> Self {
        Self(std::iter::once(first).chain((0..count).filter(|index| *index != first)).collect())
    }

    /// All but this one.
    fn without(index: usize, count: usize) -> Self {
        Self((0..count).filter(|other| *other != index).collect())
    }

    fn next(&mut self) -> Option<usize> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_delivers_is_asked_first() {
        assert_eq!(Order::starting_with(0, 3).0, [0, 1, 2]);
        assert_eq!(Order::starting_with(2, 3).0, [2, 0, 1]);
        assert_eq!(Order::without(1, 3).0, [0, 2]);
        assert_eq!(Order::without(0, 1).next(), None);
    }
}
