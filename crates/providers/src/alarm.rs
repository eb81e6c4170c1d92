//! A timer for loops that wake often and seldom for their timer: what is due moves with every message, while the timer
//! stays where it is until then. To set a timer takes a lock that all tasks share.

use std::pin::Pin;
use tokio::time::{Instant, Sleep, sleep_until};

/// See the module. It costs nothing until it is first waited for.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until `due`. Cancel-safe; meant to be called anew in each round of a loop, with whatever is due by then.
    pub async fn at(&mut self, due: Instant) {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // Early is cheap: it looks again. Late is wrong.
        if sleep.deadline() > due || sleep.is_elapsed() {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().await;
        if sleep.deadline() < due {
            sleep.as_mut().reset(due);
            sleep.as_mut().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_when_it_is_due_however_often_that_was_moved() {
        let begin = Instant::now();
        let mut alarm = Alarm::default();
        // Later, later still, then earlier, as the rounds of a loop would have it.
        for (due, given_up) in [(5, 1), (9, 2), (4, 3)] {
            assert!(timeout(SECOND, alarm.at(begin + SECOND * due)).await.is_err());
            assert_eq!(begin.elapsed(), SECOND * given_up);
        }
        alarm.at(begin + SECOND * 4).await;
        assert_eq!(begin.elapsed(), SECOND * 4);
        alarm.at(begin + SECOND * 10).await;
        assert_eq!(begin.elapsed(), SECOND * 10, "and again after it has gone off");
        alarm.at(begin).await;
        assert_eq!(begin.elapsed(), SECOND * 10, "what was due is due");
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_timer_is_no_reason_to_wake() {
        let begin = Instant::now();
        let mut alarm = Alarm::default();
        assert!(timeout(SECOND, alarm.at(begin + SECOND * 2)).await.is_err());
        alarm.at(begin + SECOND * 7).await;
        assert_eq!(begin.elapsed(), SECOND * 7);
    }
}
