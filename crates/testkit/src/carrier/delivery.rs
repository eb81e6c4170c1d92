//! How status callbacks travel: late, again after a refusal, twice, in another order.

use super::announce::{chain, next_random};
use super::{Coding, FakeExotel, StatusCallback};
use serde::Serialize;
use std::time::Duration;

/// An attempt is answered within this, or counts as refused.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Five minutes, then a quarter of an hour more, as one of Exotel's pages says.
const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(900)];
/// A test does not wait for minutes: one is 60 ms.
const TIME_SCALE: f64 = 0.001;

/// How callbacks are delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The pauses before further attempts after anything but a 2xx; as many attempts as there are pauses.
    pub retry_after: Vec<Duration>,
    /// What is left of those pauses: 1 is real time.
    pub time_scale: f64,
    /// Wait so long before the first attempt. Not scaled.
    pub delay: Duration,
    /// How often each callback is told although it was taken the first time; 1 is once.
    pub copies: u32,
    /// Shuffle several callbacks (and their copies) by this seed.
    pub shuffle_seed: Option<u64>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            retry_after: RETRY_AFTER.to_vec(),
            time_scale: TIME_SCALE,
            delay: Duration::ZERO,
            copies: 1,
            shuffle_seed: None,
        }
    }
}

/// What became of one callback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// `answered`, `terminal`, …; none in a thin one.
    pub event: Option<String>,
    /// The call's state in it.
    pub status: String,
    /// Each attempt's answer.
    pub attempts: Vec<Result<u16, String>>,
}

impl Delivered {
    /// The last attempt was answered with 2xx.
    #[must_use]
    pub fn taken(&self) -> bool {
        matches!(self.attempts.last(), Some(Ok(200..=299)))
    }
}

impl FakeExotel {
    /// Delivers callbacks one after the other, each with its repetitions; what became of each, in the order in which
    /// they went.
    pub async fn deliver(
        &self,
        url: &str,
        callbacks: &[StatusCallback],
        coding: Coding,
        delivery: &Delivery,
    ) -> Vec<Delivered> {
        let mut all: Vec<&StatusCallback> =
            callbacks.iter().flat_map(|callback| (0..delivery.copies.max(1)).map(move |_| callback)).collect();
        if let Some(seed) = delivery.shuffle_seed {
            shuffle(&mut all, seed);
        }
        tokio::time::sleep(delivery.delay).await;
        let mut delivered = Vec::with_capacity(all.len());
        for callback in all {
            let attempts = self.attempts(url, callback, coding, delivery).await;
            delivered.push(Delivered { event: callback.event.clone(), status: callback.status.clone(), attempts });
        }
        delivered
    }

    async fn attempts(
        &self,
        url: &str,
        callback: &StatusCallback,
        coding: Coding,
        delivery: &Delivery,
    ) -> Vec<Result<u16, String>> {
        let mut pauses = delivery.retry_after.iter();
        let mut attempts = Vec::new();
        loop {
            let answer = self.post_callback(url, callback, coding).await;
            let taken = matches!(answer, Ok(200..=299));
            attempts.push(answer);
            match pauses.next() {
                Some(pause) if !taken => tokio::time::sleep(pause.mul_f64(delivery.time_scale.max(0.0))).await,
                Some(_) | None => return attempts,
            }
        }
    }

    /// One attempt.
    pub(super) async fn post_callback(
        &self,
        url: &str,
        callback: &StatusCallback,
        coding: Coding,
    ) -> Result<u16, String> {
        let (content_type, body) = callback.coded(coding);
        let request = self.http.post(url).timeout(ATTEMPT_TIMEOUT).header("content-type", content_type).body(body);
        request.send().await.map(|response| response.status().as_u16()).map_err(|error| chain(&error))
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        let other = (next_random(&mut state) % (last as u64 + 1)) as usize;
        items.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_loses_nothing_and_can_be_repeated() {
        let of = |seed| {
            let mut items: Vec<u32> = (0..20).collect();
            shuffle(&mut items, seed);
            items
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        let mut sorted = of(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
