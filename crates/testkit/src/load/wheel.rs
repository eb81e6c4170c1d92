//! One clock for all timers: a wheel with a slot for each millisecond. Setting a timer and firing it cost some
//! nanoseconds, however many there are; none is taken back, whoever set it knows whether it still counts.

/// Slots. A timer farther ahead goes round.
const SLOTS: usize = 16_384;
/// Between two looks at the wheel when nothing is due.
const LOOK_MS: u64 = 50;

/// Microseconds since the load began.
pub(super) type Micros = u64;

/// See the module. Times are microseconds; a timer fires within half a millisecond of its time, early as often as late.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    slots: Vec<Vec<(u64, T)>>,
    /// Every slot up to this one has been fired.
    fired: u64,
}

impl<T> Wheel<T> {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), fired: 0 }
    }

    /// The slot of a time.
    const fn tick(at: Micros) -> u64 {
        (at + 500) / 1_000
    }

    /// Fires `what` at this time; at once if it is over.
    pub(super) fn set(&mut self, at: Micros, what: T) {
        let tick = Self::tick(at).max(self.fired + 1);
        self.slots[tick as usize % SLOTS].push((tick, what));
    }

    /// Takes out what is due.
    pub(super) fn fire(&mut self, now: Micros, due: &mut Vec<T>) {
        // The slot has what is nearest to its millisecond: fired when that has come, half of it is early and half late.
        while self.fired < now / 1_000 {
            self.fired += 1;
            let slot = &mut self.slots[self.fired as usize % SLOTS];
            let mut kept = 0;
            while slot.len() > kept {
                if slot[kept].0 <= self.fired {
                    // The order within a millisecond is of no importance.
                    due.push(slot.swap_remove(kept).1);
                } else {
                    kept += 1;
                }
            }
        }
    }

    /// Milliseconds to wait before anything can be due.
    pub(super) fn wait_ms(&self, now: Micros) -> u64 {
        let next = (1..=LOOK_MS).find(|ahead| !self.slots[(self.fired + ahead) as usize % SLOTS].is_empty());
        let tick = self.fired + next.unwrap_or(LOOK_MS);
        (tick * 1_000).saturating_sub(now).div_ceil(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_within_a_millisecond_of_their_time() {
        let mut wheel = Wheel::new();
        let times: Vec<u64> = (0..4_000).map(|n| n * 7_919 % 40_000_000).collect();
        for at in &times {
            wheel.set(*at, *at);
        }
        let mut fired = Vec::new();
        for now in (0..41_000_000).step_by(250) {
            let mut due = Vec::new();
            wheel.fire(now, &mut due);
            fired.extend(due.into_iter().map(|at| now as i64 - at as i64));
        }
        assert_eq!(fired.len(), times.len());
        assert!(fired.iter().all(|late| (-1_000..=1_000).contains(late)), "{:?}", fired.iter().max());
        let mean = fired.iter().sum::<i64>() / fired.len() as i64;
        assert!(mean.abs() < 200, "{mean}");
    }

    #[test]
    fn what_is_over_fires_next_and_waiting_ends_in_time() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        assert_eq!(wheel.wait_ms(0), LOOK_MS);
        wheel.fire(9_000_000, &mut due);
        wheel.set(5, "over");
        wheel.set(9_020_000, "soon");
        assert_eq!(wheel.wait_ms(9_000_000), 1);
        wheel.fire(9_001_000, &mut due);
        assert_eq!(due, ["over"]);
        assert_eq!(wheel.wait_ms(9_001_000), 19);
        wheel.fire(9_019_000, &mut due);
        assert_eq!(due, ["over"]);
        wheel.fire(9_020_000, &mut due);
        assert_eq!(due, ["over", "soon"]);
    }
}
