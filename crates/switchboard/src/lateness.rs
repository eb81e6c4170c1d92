//! Whether this node has room for another call, learnt from how late it does what is due. A number of calls says little:
//! what a call costs depends on the agent, the vendors and the machine.
//!
//! A task asks to be woken every [`TICK`] and sees when it really is. Audio is sent at least 100 ms before it is heard, so
//! lateness below that is no gap; new calls are refused long before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The task is woken this often.
const TICK: Duration = Duration::from_millis(20);
/// Wake-ups that are looked at: the last second.
const TICKS: usize = 50;
/// Later than this a wake-up counts: more than half of what is between us and a gap. A machine that has too much to do is
/// later within a second; one that shares its processor is seldom so late.
const LATE_MS: u64 = 60;
/// So much of the last second late: no new calls. One pause of the machine is not enough.
const LATE_TICKS_MAX: usize = 12;
/// And again as little as this: room.
const LATE_TICKS_FEW: usize = 3;

/// The last second. Pure.
#[derive(Debug)]
struct LastSecond {
    late: [bool; TICKS],
    next: usize,
    behind: bool,
}

impl LastSecond {
    const fn new() -> Self {
        Self { late: [false; TICKS], next: 0, behind: false }
    }

    /// One more wake-up, so late; whether the node is behind.
    fn push(&mut self, late_ms: u64) -> bool {
        // Ticks that were slept through would all have been late.
        let missed = usize::try_from(late_ms / TICK.as_millis() as u64).unwrap_or(TICKS).min(TICKS - 1);
        for _ in 0..=missed {
            self.late[self.next] = late_ms > LATE_MS;
            self.next = (self.next + 1) % TICKS;
        }
        let late = self.late.iter().filter(|late| **late).count();
        self.behind = late > if self.behind { LATE_TICKS_FEW } else { LATE_TICKS_MAX };
        self.behind
    }
}

/// What the last second was like, for everybody who asks.
#[derive(Debug, Default)]
pub(crate) struct Lateness(AtomicBool);

impl Lateness {
    /// New calls would make live ones late.
    pub(crate) fn is_behind(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Watches until it is dropped.
    pub(crate) async fn watch(&self) {
        let mut last = LastSecond::new();
        loop {
            let due = Instant::now() + TICK;
            sleep_until(due).await;
            let behind = last.push(u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX));
            if self.0.swap(behind, Ordering::Relaxed) != behind {
                let what = if behind { "late: new calls are refused" } else { "in time again: new calls are taken" };
                tracing::warn!("{what}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(ticks: &[(usize, u64)]) -> bool {
        let mut last = LastSecond::new();
        let all = ticks.iter().flat_map(|(count, late_ms)| std::iter::repeat_n(*late_ms, *count));
        all.fold(false, |_, late_ms| last.push(late_ms))
    }

    #[test]
    fn a_node_is_behind_when_it_is_late_again_and_again() {
        let cases: [(&[(usize, u64)], bool); 8] = [
            (&[(200, 0)], false),
            (&[(200, 60)], false),
            (&[(50, 1), (3, 70)], false),
            (&[(50, 1), (4, 70)], true),
            // One pause of the machine, then all is well.
            (&[(50, 1), (1, 150)], false),
            (&[(50, 1), (1, 2_000)], true),
            (&[(50, 1), (9, 70), (30, 1)], true),
            (&[(50, 1), (9, 70), (50, 1)], false),
        ];
        for (ticks, want) in cases {
            assert_eq!(after(ticks), want, "{ticks:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_in_time_takes_calls() {
        let lateness = Lateness::default();
        let watched = tokio::time::timeout(Duration::from_secs(5), lateness.watch()).await;
        assert!(watched.is_err() && !lateness.is_behind());
    }
}
