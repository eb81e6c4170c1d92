//! Several calls on a node, and several nodes on a database.

use crate::place::{Place, both_databases, eventually};
use crate::post::announce;
use crate::telephone::{self, Line};
use crate::voice;
use crate::world::{World, length_ms, talker};
use model::{CallStatus, EndedReason, TranscriptTurn};
use std::time::Duration;
use testkit::carrier::RecordedCaller;

/// Calls at once: enough to get in each other's way, few enough for a busy machine.
const CALLS: u64 = 8;

both_databases! {
    async fn calls_at_once_do_not_mix(place) {
        let world = World::new(place, talker(4)).await;
        let server = world.serve(&[]).await;
        let calls = (0..CALLS).map(|n| {
            let server = &server;
            async move {
                let mut caller = RecordedCaller::new(voice::say(8_000, 300), 3_000 + n * 200);
                Box::pin(telephone::call(server, &mut caller, |_| {})).await
            }
        });
        for seen in futures_util::future::join_all(calls).await {
            let call = world.ended(&seen.call_id).await;
            assert_eq!(call.ended_reason, Some(EndedReason::CallerHungUp));
            assert!(call.duration_ms.is_some_and(|ms| ms.abs_diff(seen.duration_ms) < 1_500), "{call:?}");
            let (_, wav) = world.stored_recording(call.id).await;
            assert!(length_ms(&wav).abs_diff(seen.duration_ms) <= 1_500);
            // A busy node may have had no time to be heard; it must have begun to speak.
            let turns = world.turns(call.id).await;
            let said = |turn: &TranscriptTurn| turn.intended.as_deref().unwrap_or(&turn.text).starts_with("words words");
            assert!(turns.iter().any(said), "{turns:?}");
            assert_eq!(seen.violations, Vec::<String>::new());
        }
        assert_eq!(world.calls().await.len() as u64, CALLS);
        let leaves = async || (world.vendors.stats().listen_open == 0).then_some(());
        eventually("the vendors are left", Duration::from_secs(10), leaves).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_a_database() {
    let Some(place) = Place::postgres().await else { return };
    let world = World::new(&place, talker(60)).await;
    let first = world.serve(&[]).await;
    let mut line = Line::open(&announce(&first, "call-1").await, "call-1").await.expect("accepted");
    line.start().await;
    line.event("media").await;

    // The start of another node closes nothing that the first one holds.
    let elsewhere = place.path("elsewhere").display().to_string();
    let second = world.serve(&[("CALY_DATA_DIR", &elsewhere)]).await;
    // A call announced at one is taken by the other.
    let url = announce(&first, "call-2").await.replace(&first.url[7..], &second.url[7..]);
    let mut other = Line::open(&url, "call-2").await.expect("accepted");
    other.start().await;
    other.event("media").await;
    line.event("media").await;
    let owner = async |sid: &str| world.call(sid).await.and_then(|call| call.owner_node).expect("an owner");
    assert_ne!(owner("call-1").await, owner("call-2").await);
    other.stop("callended").await;
    assert!(other.closed().await);
    assert_eq!(world.reason("call-2").await, "caller/hung-up");
    assert_eq!(world.call("call-1").await.map(|call| call.status), Some(CallStatus::InProgress));
    line.stop("callended").await;
    assert!(line.closed().await);
    assert_eq!(world.reason("call-1").await, "caller/hung-up");
    // Each node stores what is on its own disk.
    let ready =
        async || (place.number("select count(*) from recordings where status = 'ready'").await == 2).then_some(());
    eventually("both recordings are stored", Duration::from_secs(20), ready).await;
    first.stop().await;
    second.stop().await;
    place.remove().await;
}
