//! When the server dies.

use crate::dice::Dice;
use crate::scene::Scene;
use std::time::Duration;

/// A life of the server lasts so long at most, in milliseconds, and at random so long at least.
const LIFE_MS: (u64, u64) = (300, 3_000);
/// Where a kill is aimed, and of a hundred kills how many.
const AIMS: [(Aim, u64); 6] = [
    (Aim::AnyTime, 35),
    (Aim::CallEnded, 15),
    (Aim::WebhookSent, 15),
    (Aim::UploadBegun, 10),
    (Aim::UploadStored, 15),
    (Aim::Starting, 10),
];

/// What a kill is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aim {
    /// Nothing: at random.
    AnyTime,
    /// A call has just ended, by either side.
    CallEnded,
    /// A webhook is on its way in.
    WebhookSent,
    /// A recording is on its way to the bucket.
    UploadBegun,
    /// The bucket has a recording and the server may not know it yet.
    UploadStored,
    /// The server has just been started and may not be up yet.
    Starting,
}

impl Aim {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut left = dice.between(0, 99);
        for (aim, share) in AIMS {
            if left < share {
                return aim;
            }
            left -= share;
        }
        Self::AnyTime
    }

    /// Longest delay between what is aimed at and the kill, ms: a database transaction, a request to the bucket.
    const fn delay_max_ms(self) -> u64 {
        match self {
            Self::AnyTime => 0,
            Self::CallEnded => 150,
            Self::WebhookSent => 15,
            Self::UploadBegun => 40,
            Self::UploadStored => 80,
            Self::Starting => 400,
        }
    }
}

/// Returns when the server shall die. It has just come up, or with [`Aim::Starting`] has just been started.
pub(crate) async fn wait(aim: Aim, scene: &Scene<'_>, dice: &mut Dice) {
    let delay = Duration::from_millis(dice.between(0, aim.delay_max_ms()));
    let (least, most) = LIFE_MS;
    let life = Duration::from_millis(dice.between(least, most));
    let mut writes = scene.bucket.writes();
    let before = *writes.borrow_and_update();
    let event = async {
        match aim {
            Aim::AnyTime => std::future::pending().await,
            Aim::Starting => {}
            Aim::CallEnded => scene.signals.call_ended.notified().await,
            Aim::WebhookSent => scene.signals.webhook_sent.notified().await,
            // The sender lives as long as the bucket.
            Aim::UploadBegun => drop(writes.wait_for(|now| now.begun > before.begun).await),
            Aim::UploadStored => drop(writes.wait_for(|now| now.stored > before.stored).await),
        }
    };
    if tokio::time::timeout(life, event).await.is_ok() {
        tokio::time::sleep(delay).await;
    }
}
