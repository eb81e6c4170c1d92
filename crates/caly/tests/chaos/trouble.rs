//! The bucket is away, slow, refuses, is full, wants less, under calls and webhooks: carriers do not notice, and in the end
//! everything has arrived.

use crate::dice::Dice;
use crate::figures::Figures;
use crate::node::Node;
use crate::place::Place;
use crate::round::{Round, all_lines, judge, tell};
use crate::scene::Scene;
use std::time::Duration;
use testkit::vendors::bucket::BucketFault;
use tokio::time::Instant;

/// Each trouble lasts so long: some calls end meanwhile, and some uploads are tried more than once.
const TROUBLE: Duration = Duration::from_secs(4);
/// A webhook that waited for the bucket would take longer, or for ever.
const ANSWERED_WITHIN_MS: u64 = 1_000;
/// Outages first: what they hold back is on its way again by the end.
const TROUBLES: [BucketFault; 4] = [
    BucketFault::Status(503, u32::MAX),
    BucketFault::RefuseWrites(507, "InsufficientStorage"),
    BucketFault::RefuseWrites(400, "BadDigest"),
    BucketFault::Slow(1_500),
];

/// See the module.
///
/// # Panics
/// With everything that is wrong at its end.
pub(crate) async fn play(place: &Place) {
    let scene = Box::pin(Scene::new(place)).await;
    let round = Round { seed: 1, kills: 0 };
    let (mut figures, mut dice) = (Figures::new(round, place), Dice::new(round.seed));
    let settings = scene.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut node = Node::spawn(place, &settings);
    figures.started(node.up(&scene.http, &scene.url()).await.expect("it starts"));
    let troubles = async {
        scene.bucket.close().await;
        tokio::time::sleep(TROUBLE).await;
        scene.bucket.reopen().await.expect("the port is free");
        for trouble in TROUBLES {
            scene.bucket.fault(Some(trouble));
            tokio::time::sleep(TROUBLE).await;
        }
        scene.bucket.fault(None);
        scene.close();
    };
    tokio::join!(all_lines(&scene, dice.split()), troubles);
    let mut problems = Box::pin(judge(&scene, &mut figures, node, Instant::now())).await;
    let kept = scene.ledger.kept().answered_ms.clone();
    let slow = kept.iter().filter(|ms| **ms > ANSWERED_WITHIN_MS).count();
    if slow > 0 {
        problems.push(format!("{slow} webhooks were answered after more than {ANSWERED_WITHIN_MS} ms"));
    }
    tell(&scene, &mut figures, problems);
}
