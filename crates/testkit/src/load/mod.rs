//! Load: thousands of callers and all their vendors from one core.
//!
//! The fakes of [`crate::carrier`] and [`crate::vendors`] are faithful, and dear: a task for each, JSON built and taken
//! apart for every frame. Here one thread waits for all sockets and all timers at once; frames of sound are coded once
//! and shared by all calls, with only the running numbers written anew; of what is heard only a few samples are looked at.
//! The caller's behaviour and what is counted are those of our comparisons between voice servers; see [`line`].

mod call;
mod carrier;
mod context;
mod engine;
mod figures;
mod frame;
mod http;
mod line;
pub mod relay;
mod script;
mod socket;
mod sound;
mod vendors;
mod wheel;

pub use call::Life;
pub use carrier::{Announce, Target};
pub use context::{GROUPS, Group, VendorCounts};
pub use engine::{CALLS_MAX, Ended, Load, Order, Progress, Taken};
pub use figures::{Figures, Lateness};
pub use line::LEAD_MS;
pub use script::{Format, SAMPLE_RATE_HZ, Script};
pub use sound::Coding;
pub use vendors::VENDORS_MS;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::{Duration, Instant};
    use tokio::net::TcpListener;

    const CALLS: usize = 5;

    fn script(format: Format, frame_ms: u64) -> Script {
        let hum = |ms: usize| -> Vec<i16> { (0..ms * 8).map(|n| if n % 40 < 20 { 4_000 } else { -4_000 }).collect() };
        Script::new(format, frame_ms, &hum(800), &hum(400))
    }

    /// Callers, vendors and the relay between them.
    async fn play(format: Format, frame_ms: u64) -> Taken {
        let load = Load::start().expect("a thread and a port");
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let server = listener.local_addr().expect("its address");
        let relay = tokio::spawn(relay::serve(listener, load.vendors));
        let announce = Announce::Direct { path: "/ws".to_owned() };
        let number = "+918047491899".to_owned();
        let target = Arc::new(Target { server, announce, number, script: script(format, frame_ms), lead_ms: 100 });
        let begins = Instant::now();
        let (over, life) = (Duration::from_millis(100), Life::Open);
        load.window(begins, begins + Duration::from_secs(60)).expect("taken");
        load.order(Order { group: Group::Live, calls: CALLS, begins, over, life, target }).expect("taken");
        // An answer takes about 1.5 s; a slow machine is waited for, a broken relay is not.
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if load.progress.answers() == CALLS as u64 {
                break;
            }
        }
        assert_eq!((load.progress.live(), load.progress.errors()), (CALLS as u64, 0));
        load.hang_up().expect("taken");
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if load.progress.lines() == 0 {
                break;
            }
        }
        let taken = load.take().await.expect("figures");
        relay.abort();
        taken
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn callers_are_answered_through_a_relay() {
        for (format, frame_ms) in [(Format::Exotel, 100), (Format::Twilio, 20)] {
            let taken = play(format, frame_ms).await;
            let figures = &taken.groups[Group::Live as usize];
            assert_eq!((figures.errors, &figures.notes), (0, &Vec::new()), "{format:?}");
            assert_eq!((figures.placed, figures.begun, figures.ended), (5, 5, 5), "{format:?}");
            assert_eq!((figures.answers.len(), figures.unanswered), (CALLS, 0), "{format:?}");
            // The vendors take their time, whatever else happens.
            let floor = u32::try_from(VENDORS_MS * 1_000).expect("small") - 4_000;
            assert!(figures.answers.iter().all(|answer| *answer >= floor), "{:?}", figures.answers);
            assert_eq!((figures.unexpected, figures.stale, figures.setup.len()), (0, 0, CALLS));
            assert!(figures.call_s > 5.0 && figures.frames_heard > 0, "{}", figures.call_s);
            assert_eq!((taken.vendors.listens, taken.vendors.chats), (5, 5));
            assert!(taken.vendors.finals >= 5);
        }
    }
}
