//! The database goes away for a while: new calls are refused, live ones go on, and nothing of them is lost.

use crate::place::{Place, Way, eventually};
use crate::post::{CALL_START, get, signed, start};
use crate::telephone;
use crate::world::{World, talker};
use model::{CallStatus, EndedReason};
use std::time::Duration;
use testkit::carrier::{Closed, RecordedCaller};

const A_WHILE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_survives_an_outage_of_the_database() {
    let Some(place) = Place::postgres().await else { return };
    let world = World::new(&place, talker(6)).await;
    let mut way = Way::to(&place).await;
    let server = world.serve(&[("DATABASE_URL", &way.url.clone())]).await;
    assert_eq!(get(&server, "/health/ready").await.status, 200);
    let mut caller = RecordedCaller::new(Vec::new(), 6_000);
    // The carrier cannot report the end while the database is away; it does not matter.
    let carrier = Box::pin(telephone::call(&server, &mut caller, |options| options.report_end = false));
    let (seen, ()) = tokio::join!(carrier, async {
        eventually("a live call", A_WHILE, async || {
            world.calls().await.into_iter().find(|call| call.status == CallStatus::InProgress)
        })
        .await;
        way.cut();
        let gone = eventually("not ready without a database", A_WHILE, async || {
            Some(get(&server, "/health/ready").await).filter(|answer| answer.status == 503)
        })
        .await;
        assert_eq!(gone.body["status"], "database unavailable");
        // A database that is away is no reason to restart the process.
        assert_eq!(get(&server, "/health/live").await.status, 200);
    });
    assert_eq!(seen.closed, Closed::ByCaller { answered: true }, "the call went on");
    assert!(seen.duration_ms >= 6_000);
    assert_eq!(world.call(&seen.call_id).await.map(|call| call.status), Some(CallStatus::InProgress));
    way.mend().await;
    let call = world.ended(&seen.call_id).await;
    assert_eq!(call.ended_reason, Some(EndedReason::CallerHungUp));
    let turns = world.turns(call.id).await;
    assert_eq!(
        turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(),
        ["words words words words words words."]
    );
    world.stored_recording(call.id).await;
    assert_eq!(world.audited("call.ended").await.len(), 1);
    server.stop().await;
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_new_calls_are_refused_and_taken_again_later() {
    let Some(place) = Place::postgres().await else { return };
    let world = World::new(&place, talker(6)).await;
    let mut way = Way::to(&place).await;
    let server = world.serve(&[("DATABASE_URL", &way.url.clone())]).await;
    way.cut();
    // The first one may meet a connection that is not known to be dead yet.
    let refused = signed(&server, CALL_START, &start("call-1")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    way.mend().await;
    let taken = eventually("calls are taken again", A_WHILE, async || {
        Some(signed(&server, CALL_START, &start("call-1")).await).filter(|answer| answer.status == 200)
    });
    assert!(taken.await.media().contains("/media/exotel/"));
    assert_eq!(world.calls().await.len(), 1);
    server.stop().await;
    place.remove().await;
}
